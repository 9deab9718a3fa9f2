"""The command `gallery`: a folder of saved edits, listed and shown on photos."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

import flowedit
from flowedit.app.console import complain, escape, one_line, say
from flowedit.app.paths import EDIT_FILE, WrongUsage, check_ending, find_photos
from flowedit.checks import require
from flowedit.photo.codec import FORMATS, readable_suffixes
from flowedit.photo.files import check_outputs

if TYPE_CHECKING:
    from flowedit.edit import Edit
    from flowedit.report.gallery import Card

PAGES = (".html", ".htm")
MOST = 1000  # edits: their thumbnails are held in memory, 400 kB each
MOST_COST = (
    100  # evaluations of fields at a pixel: an edit of more is listed, and not looked at, so that none delays all
)
MOST_TEXT = 300  # letters of an edit's own texts on a line


@dataclass(frozen=True)
class GalleryCommand:
    """List a folder's saved edits, and show them: flowedit gallery edits/ --on face.jpg -o gallery.html"""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Where .flowedit files are; folders in it are not searched."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for a page of HTML with all edits before and after, which needs no network and no other file."""
    sheet: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also put them on one picture."""
    on: Annotated[Path | None, arg(metavar="PHOTO")] = None
    """Photo that shows the edits whose own photo is not found."""
    photos: Annotated[tuple[str, ...], arg(metavar="PHOTO")] = ()
    """Files, folders or quoted globs with the photos that the edits were made on; FOLDER is searched too."""
    quiet: Annotated[bool, FlagCreatePairsOff] = False
    """Print errors and warnings only."""

    def run(self) -> int:
        """List and draw; return the exit status."""
        from flowedit.report.gallery import save_index, save_page

        files = find_edits(self.folder)
        shown = self.out is not None or self.sheet is not None
        photos = find_pictures(self.folder, self.photos, self.on) if shown else []
        self._check_outputs([*files, *photos])
        edits: dict[Path, Edit] = {}
        failed: dict[Path, str] = {}
        for path in files:
            try:
                edits[path] = flowedit.load(path)
            except (OSError, ValueError) as error:
                failed[path] = one_line(error)
                complain(failed[path])
        placed = place(edits, photos, self.on) if shown else {}
        cards = []
        for path, edit in edits.items():
            card, problem = make_card(path, edit, placed.get(path), shown)
            cards.append(card)
            if problem:
                failed[path] = problem
                complain(problem)
            if not self.quiet:
                say(f"{path.name}: {card.title}; " + "; ".join(_told(card)))
        if cards and self.sheet is not None:
            save_index(self.sheet, cards)
        if self.out is not None:
            refused = [text.replace(str(path), path.name) for path, text in failed.items() if path not in edits]
            save_page(self.out, cards, refused, escape)
        return int(bool(failed))

    def _check_outputs(self, inputs: Sequence[Path]) -> None:
        """Refuse what cannot be written, before any work."""
        for flag, path, endings in (("--out", self.out, PAGES), ("--sheet", self.sheet, tuple(FORMATS))):
            if path is not None:
                check_ending(flag, path, endings)
        outputs = {"--out": self.out, "--sheet": self.sheet}
        try:
            check_outputs({flag: [path] for flag, path in outputs.items() if path is not None}, inputs)
        except FileExistsError as error:
            raise WrongUsage(str(error)) from error


def find_edits(folder: Path) -> list[Path]:
    """Return the edit files of a folder, by name, but for hidden ones.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no folder, or has none or more than MOST of them.
    """
    require(folder.is_dir(), f"FOLDER must be a folder; got {folder}")
    files = sorted(path for path in folder.iterdir() if path.suffix == EDIT_FILE and path.name[0] != ".")
    require(0 < len(files) <= MOST, f"{folder} must hold 1 to {MOST} {EDIT_FILE} files; got {len(files)}")
    return files


def find_pictures(folder: Path, words: Sequence[str], on: Path | None) -> list[Path]:
    """Return the files that may be an edit's own photo.

    Raises:
        OSError, ValueError: `on` cannot be read as a picture, or `words` name none.
    """
    from flowedit.photo.photo import read_sides

    if on is not None:
        read_sides(on)
    near = any(path.suffix.lower() in readable_suffixes() for path in folder.iterdir() if path.name[0] != ".")
    named = [] if on is None else [on]
    paths = [*named, *find_photos(words).paths] if words else named
    try:
        found = find_photos([str(folder)]).paths if near else ()
    except ValueError:  # all of them were made by flowedit
        found = ()
    return list(dict.fromkeys([*paths, *found]))


def place(edits: dict[Path, Edit], photos: Sequence[Path], on: Path | None) -> dict[Path, Edit | Exception]:
    """Put each edit on its own photo, or else on `on`, at the strength that is right there.

    Args:
        edits: by file; those that undo are for a picture that they do not name, and are left out, as are long ones.
        photos: where the own ones are looked for; one is decoded if an edit's photo has its size.
        on: a photo, or None.

    Returns:
        By file: the edit with a photo, or why it cannot be put there; what has no photo is left out.
    """
    from flowedit.photo.photo import load, read_sides

    waiting = {path: edit for path, edit in edits.items() if not edit.facts.in_place and not takes_long(edit)}
    placed: dict[Path, Edit | Exception] = {}
    for photo in photos:
        sizes = {tuple(sorted(edit.facts.photo_size or ())) for edit in waiting.values() if edit.origin is not None}
        try:
            if read_sides(photo) not in sizes and () not in sizes:
                continue
            picture = load(photo)
        except (OSError, ValueError):  # a damaged picture in the folder is no edit's photo
            continue
        for path in [path for path, edit in waiting.items() if edit.origin == picture.sha256]:
            placed[path] = waiting.pop(path).apply(picture)
    if on is not None and waiting:
        picture = load(on)
        for path, edit in waiting.items():
            try:
                placed[path] = edit.apply(picture).within()
            except (ValueError, RuntimeError) as error:
                placed[path] = error
    return placed


def make_card(path: Path, edit: Edit, placed: Edit | Exception | None, shown: bool) -> tuple[Card, str]:
    """Sum up an edit, with its pictures where there is a photo.

    Args:
        path: its file.
        edit: as loaded.
        placed: see `place`.
        shown: whether pictures are wanted.

    Returns:
        The card, and what failed, in a line; empty where nothing did.
    """
    from flowedit.report.gallery import Card, draw_pair

    problem = f"{path}: {one_line(placed)}" if isinstance(placed, Exception) else ""
    on = placed if isinstance(placed, flowedit.Edit) else None
    at = edit if on is None else on
    saved = time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
    facts = {"file": path.name, "saved": saved, "strength": f"{at.strength:.2f} ({at.strength_reason})"}
    if edit.facts.gain is not None:
        facts["gain"] = f"{100 * edit.facts.gain:.0f} % of the prompt's change"
    remark = "it undoes an edit, on the picture that one made" if edit.facts.in_place else "its photo was not found"
    card = Card(_shorter(" + ".join(_prompt(*pair) for pair in edit.prompts.items())) or "(no prompt)", facts)
    if takes_long(edit):
        return replace(card, remark="it is made of too many edits to be drawn here"), ""
    try:
        facts["effect"] = describe_effect(at)
        if on is not None:
            photo = on.edited.original.path
            facts["photo"] = "" if photo is None else photo.name
            return replace(card, pictures=draw_pair(on.edited.over_white()), note=on.provenance()), problem
    except (ValueError, RuntimeError) as error:
        problem = problem or f"{path}: {one_line(error)}"
    remark = problem.removeprefix(f"{path}: ") or remark
    return replace(card, remark=remark if shown else ""), problem


def takes_long(edit: Edit) -> bool:
    """Return whether an edit is made of so many that drawing it would hold up all others."""
    from flowedit.transform.transforms import cost

    return cost(edit.transforms) > MOST_COST


def describe_effect(edit: Edit) -> str:
    """Return the most that an edit does to its first face, in words: its longest movement, and its first color."""
    from flowedit.report.explain import analyze

    report = analyze(edit.edited)[0]
    told = [*report.points[:1], *report.colors[:1]]
    longest = f"moves up to {report.movement.largest_px:.1f} px, tints up to {report.tint.largest:.0%}"
    return ", ".join(told) or longest


def _told(card: Card) -> list[str]:
    """Return what a line of the list has beside the title."""
    return [
        text if name in ("saved", "effect") else f"{name} {text}" for name, text in card.facts.items() if name != "file"
    ]


def _prompt(text: str, weight: float) -> str:
    return text if weight == 1 else f"{weight:g} {text}"


def _shorter(text: str) -> str:
    return text if len(text) <= MOST_TEXT else text[: MOST_TEXT - 3] + "..."
