"""Photos in, pictures out: an edit for each, saved as asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff, arg

from flowedit.app.console import complain, one_line, say
from flowedit.app.paths import EDIT_FILE, WrongUsage, find_photos, name_targets
from flowedit.checks import require

if TYPE_CHECKING:
    from flowedit.edit import Edit


@dataclass(frozen=True)
class Output:
    """Where results go, and how much of the edit they show."""

    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for one photo, folder for several. Default: PHOTO_edited.png in the current folder."""
    strength: float | None = None
    """0 is the photo, 1 the edit as optimized. Default: what the edit chose for itself."""
    shape: float = 1.0
    """Scale of the movement alone, times strength."""
    color: float = 1.0
    """Scale of the tint alone, times strength."""
    save_edit: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also keep the edit itself, for `flowedit apply`: file for one photo, folder for several."""
    plot: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also draw what was done and where: file for one photo, folder for several."""
    sheet: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also put before and after side by side: file for one photo, folder for several."""
    overwrite: Annotated[bool, FlagCreatePairsOff] = False
    """Allow OUT to replace the photo itself. Other existing files are replaced without asking."""
    quiet: Annotated[bool, FlagCreatePairsOff] = False
    """Print errors and warnings only."""


def run_each(words: Sequence[str], output: Output, make: Callable[[Path], Edit]) -> int:
    """Make and save an edit for each photo; one that fails is reported and does not stop the rest."""
    photos, several = find_photos(words)
    targets = name_targets(output.out, photos, several, "_edited.png")
    if not output.overwrite and (taken := {p.resolve() for p in photos} & {t.resolve() for t in targets}):
        raise WrongUsage(f"OUT must not replace a photo being edited, short of --overwrite; got {min(taken)}")
    check_picture(targets[0])  # said now, not after the work
    extras: list[tuple[Callable[[Edit, Path], Any], list[Path]]] = [
        (write, name_targets(option, photos, several, ending))
        for option, ending, write in (
            (output.save_edit, EDIT_FILE, lambda edit, path: edit.save_edit(path)),
            (output.plot, "_plot.png", lambda edit, path: edit.plot(path)),
            (output.sheet, "_sheet.png", lambda edit, path: save_sheet(edit, path, output)),
        )
        if option is not None
    ]
    done = failed = 0
    for i, (photo, target) in enumerate(zip(photos, targets, strict=True)):
        start = time.perf_counter()
        try:
            edit = make(photo)
            edit.save(
                target,
                strength=output.strength,
                shape=output.shape,
                color=output.color,
                overwrite=output.overwrite,
            )
            for write, paths in extras:
                write(edit, paths[i])
        except Exception as error:
            if not several or isinstance(error, BrokenPipeError):
                raise
            failed += 1
            complain(f"{photo}: {one_line(error)}")
            continue
        done += 1
        if not output.quiet:
            seconds = time.perf_counter() - start
            given = edit.strength if output.strength is None else output.strength
            reason = edit.strength_reason if output.strength is None else "as asked"
            say(f"{photo} -> {target}: strength {given:.2f} ({reason}), {seconds:.1f} s")
        if edit.stopped == "interrupted":
            rest = f"; {len(photos) - i - 1} photos not edited" if several else ""
            complain(f"interrupted: {target} has the best edit so far{rest}")
            return 1
    if several and not output.quiet:
        say(f"{done} of {len(photos)} photos edited, {failed} failed")
    return int(failed > 0)


def check_picture(out: Path) -> None:
    """Refuse a name that no picture can be saved by."""
    from flowedit.photo.codec import FORMATS

    require(out.suffix.lower() in FORMATS, f"OUT must end in one of {', '.join(FORMATS)}; got {out}")


def save_sheet(edit: Edit, path: Path, output: Output) -> None:
    """Write the photo and the edit side by side."""
    import torch

    from flowedit.photo.photo import save

    after = edit.render(strength=output.strength, shape=output.shape, color=output.color)
    save(path, torch.cat([edit.render(strength=0.0), after], dim=3))
