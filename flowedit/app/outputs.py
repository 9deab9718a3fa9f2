"""What a session gives away: the picture, the edit, its explanation, and the same on another photo."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowedit.app.names import safe_name
from flowedit.app.paths import EDIT_FILE
from flowedit.app.preview import SHOWN_PX, Preview, shrink
from flowedit.app.recipe import bake
from flowedit.app.session import Session
from flowedit.checks import require
from flowedit.photo.codec import FORMATS

if TYPE_CHECKING:
    from flowedit.edit import Edit


def baked(session: Session) -> Edit:
    """Return the edit with all that the sliders do in it, as its file keeps it; errors as of `bake`."""
    return bake(session.whole(), replace(session.recipe, strength=1.0))


def save_picture(session: Session, ending: str = ".png", strip_location: bool = False) -> Path:
    """Write the edited photo at its own size and depth, with its metadata and a record; return the file.

    Args:
        ending: of a format that `Edit.save` writes.
        strip_location: leave out where it was taken, and serial numbers.
    """
    require(ending in FORMATS, f"a picture must be one of {', '.join(FORMATS)}; got {ending!r:.20}")
    edit, recipe = session.whole(), session.recipe
    path = session.files.new(f"{Path(session.name).stem}_edited{ending}")
    return edit.save(path, shape=recipe.shape, color=recipe.color, strip_location=strip_location)


def save_edit(session: Session) -> Path:
    """Write the edit, without the photo, with all that the sliders do; return the file."""
    edit = baked(session)
    return edit.save_edit(session.files.new(f"{Path(session.name).stem}{EDIT_FILE}"))


def explain(session: Session) -> tuple[dict[str, Any], Path]:
    """Measure what is done, and draw it: the facts of `Edit.explain`, and a picture's file."""
    edit = baked(session)
    return edit.explain(), edit.plot(session.files.new("why.png"))


def transfer(
    session: Session, path: str | Path, name: str, ending: str = ".png", strip_location: bool = False
) -> list[Path]:
    """Carry the edit to another photo, at the strength that is right there.

    Returns:
        The files of that photo and of the result as the page shows them, and of the result as it is saved.
    """
    edit = baked(session)
    photo = session.read_photo(path)
    carried = edit.apply(photo).within(identity=session.settings.config.identity)
    shown = Preview(photo)
    after = shrink(replace(photo, pixels=carried.edited.pixels(dtype=photo.pixels.dtype)), SHOWN_PX)
    saved = carried.save(
        session.files.new(f"{Path(safe_name(name)).stem}_edited{ending}"), strip_location=strip_location
    )
    pictures = [session.files.new("before.png"), session.files.new("after.png")]
    for picture, content in zip(pictures, (shown.png(), shown.png(after.pixels)), strict=True):
        picture.write_bytes(content)
    return [*pictures, saved]
