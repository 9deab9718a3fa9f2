"""The commands: each reads its options, makes edits of a photo, and writes what was asked for."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

import flowedit
from flowedit.app.batch import Files, Target, Verb, run_all
from flowedit.app.console import format_facts, say
from flowedit.app.options import Editing, Output, Search, describe_strength, parse_prompts, show_progress
from flowedit.app.paths import EDIT_FILE, WrongUsage
from flowedit.checks import Group, number, require, warn
from flowedit.config import STRENGTHS
from flowedit.photo.codec import FORMATS, readable_suffixes
from flowedit.video.encode import VIDEOS

if TYPE_CHECKING:
    from flowedit.edit import Edit


Words = Positional[tuple[str, ...]]


@dataclass(frozen=True)
class EditCommand(Editing):
    """Edit photos by a sentence: flowedit edit face.jpg "a smiling face" -o smiling.png"""

    words: Annotated[Words, arg(metavar="PHOTO [PHOTO ...] PROMPT", help_behavior_hint="(required)")]
    """PHOTO is a file, a folder or a quoted glob; PROMPT comes last and is TEXT or TEXT=WEIGHT."""
    output: Annotated[Output, arg(name="")] = field(default_factory=Output)

    @property
    def prompts(self) -> str | dict[str, float]:
        """The prompts with their weights."""
        return parse_prompts([self.words[-1], *self.also])

    @property
    def bar(self) -> bool | None:
        """Whether a bar shows the search."""
        return show_progress(self.output.quiet)

    def targets(self) -> list[Target]:
        """Return the kinds of files to write."""
        return self.output.targets()

    def write(self, edits: list[Edit], files: Files) -> list[str]:
        """Write the picture, and the rest as asked."""
        return self.output.write(edits, files, self.output.overwrite)

    def run(self) -> int:
        """Edit each photo."""
        if len(self.words) < 2:
            raise WrongUsage(f"edit must be given PHOTO and PROMPT; got {' '.join(self.words) or 'neither'}")
        *photos, prompt = self.words
        if Path(prompt).suffix.lower() in readable_suffixes():
            raise WrongUsage(f"PROMPT must be words, after every PHOTO; got the file name {prompt!r}")
        parse_prompts([prompt, *self.also])
        output = self.output
        return run_all(self, photos, inputs=self.check(), overwrite=output.overwrite, quiet=output.quiet)


@dataclass(frozen=True)
class Asked(Search, Verb):
    """What one photo is asked to become, by either of the commands that show more than one picture of it."""

    photo: Annotated[Positional[Path], arg(metavar="PHOTO")]
    """A photo, or a folder or quoted glob, for each photo in it."""
    prompt: Annotated[Positional[str], arg(metavar="PROMPT")]
    """TEXT or TEXT=WEIGHT."""
    quiet: Annotated[bool, FlagCreatePairsOff] = False
    """Print errors and warnings only."""

    @property
    def prompts(self) -> str | dict[str, float]:
        """The prompts with their weights."""
        return parse_prompts([self.prompt, *self.also])

    def run(self) -> int:
        """Make and write the pictures of each photo."""
        parse_prompts([self.prompt, *self.also])  # refuses before any work
        return run_all(self, [str(self.photo)], inputs=self.inputs(), quiet=self.quiet)


@dataclass(frozen=True)
class SweepCommand(Asked):
    """Show an edit at many strengths: flowedit sweep face.jpg "a smiling face" -o strip.png --animation smile.gif"""

    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for the strip. Default: PHOTO_sweep.png in the current folder."""
    strengths: tuple[float, ...] = STRENGTHS
    """0 is the photo, 1 the edit as optimized; the strength that the edit chose is shown among them."""
    animation: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also write the edit coming and going: a .gif, .webp or .apng, or an .mp4 if PyAV is installed."""

    def __post_init__(self) -> None:
        good = 0 < len(self.strengths) <= 64 and all(map(math.isfinite, self.strengths))
        require(good, f"strengths must be 1 to 64 finite numbers; got {self.strengths}")

    def targets(self) -> list[Target]:
        """Return the kinds of files to write."""
        from flowedit.video.animations import ANIMATIONS, check_moving

        if self.animation is not None and not self.animation.is_dir():
            check_moving(self.animation)
        return [
            Target("--out", self.out, "_sweep.png", tuple(FORMATS), optional=False),
            Target("--animation", self.animation, "_sweep.gif", (*ANIMATIONS, *VIDEOS)),
        ]

    def make(self, photo: Path) -> list[Edit]:
        """Optimize one edit."""
        return [flowedit.optimize(photo, self.prompts, **self.arguments(show_progress(self.quiet)))]

    def write(self, edits: list[Edit], files: Files) -> list[str]:
        """Draw it at each strength."""
        from flowedit.report.strips import RATE, coming_and_going, save_strip
        from flowedit.video.animations import at_rate, save_animation

        (edit,) = edits
        save_strip(edit.edited, files["--out"][0], self.strengths, note=edit.provenance())
        for path in files.get("--animation", ()):
            pictures = at_rate(coming_and_going(edit.edited), RATE)
            save_animation(path, pictures, metadata=edit.edited.original.metadata, note=edit.provenance())
        return [describe_strength(", ".join(str(path) for paths in files.values() for path in paths), edit)]


@dataclass(frozen=True)
class VaryCommand(Asked):
    """Find several different edits for one sentence: flowedit vary face.jpg "a smiling face" --sheet sheet.png"""

    n: int = 4
    """How many, from 1 to 16."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for the first; the others' names get a number. Default: PHOTO_variant.png in the current folder."""
    save_edits: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also keep the edits themselves, for `flowedit apply`: file for the first, as OUT."""
    sheet: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also put the face and its variants side by side."""
    strip_location: Annotated[bool, FlagCreatePairsOff] = False
    """As for `flowedit edit`."""

    def __post_init__(self) -> None:
        from flowedit.fit.variants import MOST

        require(1 <= self.n <= MOST, f"n must be from 1 to {MOST}; got {self.n}")

    def targets(self) -> list[Target]:
        """Return the kinds of files to write."""
        return [
            Target("--out", self.out, "_variant.png", tuple(FORMATS), optional=False, copies=self.n),
            Target("--save-edits", self.save_edits, EDIT_FILE, (EDIT_FILE,), copies=self.n),
            Target("--sheet", self.sheet, "_variants.png", tuple(FORMATS)),
        ]

    def make(self, photo: Path) -> list[Edit]:
        """Optimize a few times, each time away from what was found before."""
        return flowedit.variants(photo, self.prompts, self.n, **self.arguments(show_progress(self.quiet)))

    def write(self, edits: list[Edit], files: Files) -> list[str]:
        """Write each, and the sheet."""
        from flowedit.report.strips import save_variants

        for path, edit in zip(files["--out"], edits, strict=False):
            edit.save(path, strip_location=self.strip_location)
        for path, edit in zip(files.get("--save-edits", ()), edits, strict=False):
            edit.save_edit(path)
        for path in files.get("--sheet", ()):
            save_variants([edit.edited for edit in edits], path, note=edits[0].provenance())
        if len(edits) < self.n and edits[-1].stopped == "interrupted":
            warn(f"{len(edits)} of {self.n} found")
        return [describe_strength(path, edit) for path, edit in zip(files["--out"], edits, strict=False)]


@dataclass(frozen=True)
class ApplyCommand(Group, Verb):
    """Put a saved edit on other photos: flowedit apply smile.flowedit other.jpg"""

    edit: Annotated[Positional[Path], arg(metavar="EDIT")]
    """File made by --save-edit."""
    photos: Annotated[Words, arg(metavar="PHOTO [PHOTO ...]", help_behavior_hint="(required)")]
    """Files, folders or quoted globs."""
    face: int | Literal["largest", "all"] = "largest"
    """Which face gets it: the largest, all, or an index counted from the left, from 0."""
    by: Literal["landmarks", "frame"] = "landmarks"
    """Bend the edit from feature to feature, or keep it in the same place of the square around the face."""
    identity: float | None = number(0.35, above=0)
    """Budget by which the strength is chosen anew for each face; None keeps the edit's own strength."""
    undo: Annotated[bool, FlagCreatePairsOff] = False
    """PHOTO is a picture that EDIT has made, of any size: take the edit back, at its own strength."""
    output: Annotated[Output, arg(name="")] = field(default_factory=Output)

    def make(self, photo: Path) -> list[Edit]:
        """Carry the edit's movement to a photo, in face coordinates, or take it back."""
        edit = flowedit.load(self.edit)
        if self.undo:
            from flowedit.photo.photo import read_note

            note = read_note(photo) if photo.is_file() else None
            if note is None or note.get("photo_sha256") != edit.origin:
                warn(f"{photo} carries no record of having been made from this edit's photo")
            elif note.get("prompts") != dict(edit.prompts):
                other = ", ".join(map(repr, note.get("prompts") or ["nothing"]))
                warn(f"{photo} was made by another edit of the same photo, as its record says: {other}")
            return [(~edit).apply(photo)]
        carried = edit.apply(photo, face=self.face, by=self.by)
        asked = self.identity is None or self.output.strength is not None or carried.facts.in_place
        return [carried if asked else carried.within(identity=self.identity)]

    def targets(self) -> list[Target]:
        """Return the kinds of files to write."""
        return self.output.targets()

    def write(self, edits: list[Edit], files: Files) -> list[str]:
        """Write the picture, and the rest as asked."""
        return self.output.write(edits, files, self.output.overwrite)

    def run(self) -> int:
        """Carry the edit to each photo."""
        if not self.photos:
            raise WrongUsage("apply must be given EDIT and PHOTO; got no PHOTO")
        if self.undo and (self.face, self.by, self.identity) != ("largest", "landmarks", 0.35):
            raise WrongUsage("--undo must go without --face, --by and --identity: it takes back what was done")
        flowedit.load(self.edit)  # refuses before any work
        output = self.output
        return run_all(self, self.photos, inputs=[self.edit], overwrite=output.overwrite, quiet=output.quiet)


@dataclass(frozen=True)
class ExplainCommand:
    """Tell what an edit does, from its file or from the record inside an edited picture."""

    edit: Annotated[Positional[Path], arg(metavar="EDIT")]
    """File made by --save-edit, or a picture or video that flowedit wrote."""
    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print JSON."""

    def run(self) -> int:
        """Print the facts."""
        facts: dict[str, Any] | None
        if self.edit.suffix.lower() in VIDEOS:
            from flowedit.video.clips import read_record

            facts = read_record(self.edit)
        elif self.edit.suffix.lower() in readable_suffixes():
            from flowedit.photo.photo import read_note

            facts = read_note(self.edit)
        else:
            facts = flowedit.load(self.edit).explain()
        if facts is None:
            raise ValueError(f"EDIT must carry flowedit's record; got {self.edit}, which has none")
        say(json.dumps(facts, indent=2) if self.json else "\n".join(format_facts(facts)))
        return 0


@dataclass(frozen=True)
class InfoCommand:
    """Tell versions, machine, kernel backends and shipped encoders."""

    def run(self) -> int:
        """Print them."""
        from flowedit.app.environment import describe_environment

        say("\n".join(format_facts(describe_environment())))
        return 0
