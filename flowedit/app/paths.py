"""The photos a command line names, and the files it will write; no file is opened here."""

from __future__ import annotations

from collections.abc import Sequence
from glob import glob
from pathlib import Path

PICTURES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})  # sought in folders
EDIT_FILE = ".flowedit"


class WrongUsage(Exception):
    """A command that cannot be carried out as written: one line, exit code 2."""


def find_photos(words: Sequence[str]) -> tuple[list[Path], bool]:
    """Expand files, folders and globs, in order and without repeats; tell too whether they can name several.

    Raises:
        ValueError: a folder or glob holds no picture. A missing file is left for its reader to report.
    """
    photos: list[Path] = []
    several = len(words) > 1
    for word in words:
        path = Path(word)
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES and p.name[0] != ".")
        elif not path.exists() and any(sign in word for sign in "*?["):
            found = sorted(p for p in map(Path, glob(word, recursive=True)) if p.is_file())
        else:
            photos.append(path)
            continue
        several = True
        if not found:
            raise ValueError(f"PHOTO must name at least one picture; got {word!r}")
        photos += found
    return list(dict.fromkeys(photos)), several


def name_targets(option: Path | None, photos: Sequence[Path], several: bool, ending: str) -> list[Path]:
    """Name one output per photo: `option`, or PHOTO + `ending` in the folder `option`, numbered if taken.

    Raises:
        ValueError: the folder of a single output does not exist (a folder of outputs is made).
        WrongUsage: several photos would go into one file.
    """
    if option is not None and not several and not option.is_dir():
        if not option.parent.is_dir():
            raise ValueError(f"{option} must be in a folder that exists; got {option.parent}")
        return [option]
    folder = option or Path()
    if not folder.is_dir() and (folder.is_file() or folder.suffix.lower() in PICTURES | {EDIT_FILE}):
        raise WrongUsage(f"outputs of several photos must go to a folder; got {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    names: dict[str, None] = {}
    for photo in photos:
        name, number = f"{photo.stem}{ending}", 2
        while name in names:
            name, number = f"{photo.stem}_{number}{ending}", number + 1
        names[name] = None
    return [folder / name for name in names]


def number(first: Path, n: int) -> list[Path]:
    """Name n files: `first`, and the same with _2, _3, ... before its ending."""
    return [first, *(first.with_name(f"{first.stem}_{k}{first.suffix}") for k in range(2, n + 1))]
