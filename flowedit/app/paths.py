"""The photos a command line names, and the files it will write."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from flowedit.photo.codec import readable_suffixes
from flowedit.photo.photo import read_note

EDIT_FILE = ".flowedit"
OUTPUT_NAME = re.compile(r"_(edited|plot|sheet|sweep|variants?)(_\d+)?$")  # as the commands make up names


class WrongUsage(ValueError):
    """A command that cannot be carried out as written: one line, exit code 2."""


def check_ending(flag: str, path: Path, endings: Sequence[str]) -> None:
    """Refuse a file by its name; WrongUsage where it does not end, whatever the case, as it must."""
    if path.suffix.lower() not in endings:
        raise WrongUsage(f"{flag} must end in {'one of ' * (len(endings) > 1)}{', '.join(endings)}; got {path}")


@dataclass(frozen=True)
class Photos:
    """What a command line's words name.

    Attributes:
        paths: at least one, in order, without repeats.
        several: whether the words can name more than one photo.
        remarks: what was left out of folders and globs, and why; a line for each kind.
    """

    paths: tuple[Path, ...]
    several: bool
    remarks: tuple[str, ...] = ()


def find_photos(words: Sequence[str]) -> Photos:
    """Expand files, folders and globs.

    Folders and globs give readable pictures that are not hidden and that flowedit did not make; a file named by itself
    is taken as it is, and its reader reports what is wrong with it.

    Raises:
        ValueError: a folder or glob holds no picture; a folder cannot be read.
    """
    photos: list[Path] = []
    remarks: list[str] = []
    several = len(words) > 1
    for word in words:
        path = Path(word)
        if path.is_dir():
            entries = sorted(entry for entry in path.iterdir() if entry.name[0] != ".")
        elif not path.exists() and any(sign in word for sign in "*?["):
            entries = sorted(map(Path, glob(word, recursive=True)))
        else:
            photos.append(path)
            continue
        several = True
        skipped = {entry: reason for entry in entries if (reason := _reason_to_skip(entry))}
        for reason, count in Counter(skipped.values()).items():
            remarks.append(f"{word}: skipped {count} {'entry' if count == 1 else 'entries'}: {reason}")
        pictures = [entry for entry in entries if entry not in skipped]
        if not pictures:
            raise ValueError(f"PHOTO must name at least one picture; got {word!r}")
        photos += pictures
    return Photos(tuple(dict.fromkeys(photos)), several, tuple(remarks))


def name_files(option: Path | None, photos: Sequence[Path], several: bool, suffix: str) -> list[Path]:
    """Return one output per photo: `option`, or PHOTO + `suffix` in the folder `option`, numbered if taken.

    Raises:
        WrongUsage: several photos would go into one file.
    """
    if option is not None and not several and not option.is_dir():
        return [option]
    folder = option or Path()
    if not folder.is_dir() and (folder.is_file() or folder.suffix.lower() in readable_suffixes() | {EDIT_FILE}):
        raise WrongUsage(f"outputs of several photos must go to a folder; got {folder}")
    names: dict[str, None] = {}
    for photo in photos:
        name, count = f"{photo.stem}{suffix}", 2
        while name in names:
            name, count = f"{photo.stem}_{count}{suffix}", count + 1
        names[name] = None
    return [folder / name for name in names]


def number(first: Path, n: int) -> list[Path]:
    """Name n files: `first`, and the same with _2, _3, ... before its ending."""
    return [first, *(first.with_name(f"{first.stem}_{k}{first.suffix}") for k in range(2, n + 1))]


def _reason_to_skip(path: Path) -> str:
    """Return why an entry of a folder or a match of a glob is no photo to edit; empty where it is one."""
    if path.is_dir():
        return "folders are not searched"
    if not path.is_file():
        return "no regular file"
    if path.suffix.lower() not in readable_suffixes():
        return f"{path.suffix or 'no ending'} is no picture's that can be read"
    if OUTPUT_NAME.search(path.stem) and _is_flowedits(path):
        return "made by flowedit, as their names and records say"
    return ""


def _is_flowedits(path: Path) -> bool:
    """Return whether a picture carries flowedit's record; False where it cannot be read, which its editing reports."""
    try:
        return (read_note(path) or {}).get("tool") == "flowedit"
    except (OSError, ValueError):
        return False
