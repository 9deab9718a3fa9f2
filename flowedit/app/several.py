"""The app's work on other files than the photo: a folder of photos, and a clip."""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flowedit
from flowedit.app.names import plain, safe_name
from flowedit.app.outputs import baked
from flowedit.app.session import Session
from flowedit.checks import collect, require
from flowedit.video.animations import ANIMATIONS
from flowedit.video.encode import VIDEOS

if TYPE_CHECKING:
    from flowedit.video.film import ClipResult

MOST_PHOTOS = 500


@dataclass(frozen=True)
class Row:
    """What became of one photo: its name, the strength of its edit, or why there is none."""

    name: str
    strength: float | None
    error: str


def edit_photos(
    session: Session,
    files: Sequence[tuple[Path, str]],
    anew: bool,
    stop: threading.Event,
    ending: str = ".png",
    strip_location: bool = False,
) -> Iterator[tuple[Row, Path]]:
    """Edit photos one after the other into a zip file, which also has a table of what became of each.

    Args:
        session: whose list and sliders say what is done.
        files: paths, and the user's own names for them.
        anew: find the list's prompts in each photo; else the edit is carried from the session's photo.
        stop: ends after the photo in hand.
        ending: of the pictures' format.
        strip_location: leave out where they were taken.

    Yields:
        Each photo's row, and the zip file, which is whole when the last is there.

    Raises:
        ValueError: there is nothing to do, or more than 500 photos.
    """
    require(0 < len(files) <= MOST_PHOTOS, f"choose 1 to {MOST_PHOTOS} photos; got {len(files)}")
    edit, recipe, config = session.whole(), session.recipe, session.settings.config
    carried = baked(session)
    prompts = {text: weight for text, weight in edit.prompts.items() if weight}
    out = session.files.new("edited.zip")
    work = out.parent
    table = io.StringIO()
    rows = csv.writer(table)
    rows.writerow(["photo", "strength", "error"])
    taken: set[str] = set()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for path, own_name in files:
            name, problem, strength = safe_name(own_name), "", None
            try:
                photo = session.read_photo(path)
                if anew:
                    found = recipe.strength * session.predict(photo, prompts)
                else:
                    found = carried.apply(photo).within(identity=config.identity)
                target = work / _unused(f"{Path(name).stem}_edited{ending}", taken)
                how: dict[str, Any] = {"shape": recipe.shape, "color": recipe.color} if anew else {}
                archive.write(found.save(target, strip_location=strip_location, **how), target.name)
                target.unlink()
                strength = found.strength
            except Exception as error:
                problem = plain(error, {path: name})
            rows.writerow([_cell(name), "" if strength is None else f"{strength:.3f}", problem])
            yield Row(name, strength, problem), out
            if stop.is_set():
                break
        archive.writestr("edited.csv", table.getvalue())


def edit_clip(session: Session, path: Path, name: str, strip_location: bool = False) -> tuple[ClipResult, list[str]]:
    """Carry the session's edit through a clip, into a file of its own kind; return that, and what was warned of.

    Raises:
        OSError, ValueError, RuntimeError: as `edit_video`.
    """
    edit = baked(session)
    name = safe_name(name)
    suffix = Path(name).suffix.lower()
    suffix = suffix if suffix in (*ANIMATIONS, *VIDEOS) else ".mp4"
    out = session.files.new(f"{Path(name).stem}_edited{suffix}")
    how: dict[str, Any] = {"strip_location": strip_location, "progress": False}
    with collect() as messages:
        return flowedit.edit_video(path, edit, out, config=session.settings.config, **how), messages


def _unused(name: str, taken: set[str]) -> str:
    path, count = Path(name), 2
    while name in taken:
        name, count = f"{path.stem}_{count}{path.suffix}", count + 1
    taken.add(name)
    return name


def _cell(text: str) -> str:
    """Return a text that a spreadsheet takes for a text."""
    return f"'{text}" if text[:1] in "=+-@" else text
