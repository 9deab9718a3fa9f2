"""The command line: arguments -> Config -> one verb -> files.

It uses what any user of the library can use, parses with tyro (so a flag, a field of Config, its default and
its help line are one text), and prints through `console` only.
Exit codes: 0 done, 1 failed or stopped by Ctrl-C, 2 wrong usage.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg, subcommand

import flowedit
from flowedit.app.batch import Output, check_picture, run_each
from flowedit.app.console import complain, log_in_one_line, one_line, say, warnings_in_one_line
from flowedit.app.paths import EDIT_FILE, PICTURES, WrongUsage, name_targets, number
from flowedit.config import STRENGTHS, Config

if TYPE_CHECKING:
    from flowedit.edit import Edit


Words = Positional[tuple[str, ...]]


@dataclass(frozen=True)
class EditCommand:
    """Edit photos by a sentence: flowedit edit face.jpg "a smiling face" -o smiling.png"""

    words: Annotated[Words, arg(metavar="PHOTO [PHOTO ...] PROMPT", help_behavior_hint="(required)")]
    """PHOTO is a file, a folder or a quoted glob; PROMPT comes last and is TEXT or TEXT=WEIGHT."""
    also: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT[=WEIGHT]")] = ()
    """One more prompt, as --also "big eyes=0.5"; weight 1 if not given, negative to avoid it."""
    encoder: Annotated[str | None, arg(metavar="NAME")] = None
    """open_clip's MODEL:PRETRAINED or MODEL:PATH, a folder in its layout, or faceclip: shipped, the default."""
    judge: Annotated[str | None, arg(metavar="NAME")] = None
    """One more encoder, which only looks at the result: a warning says so if it sees nothing of the guide's gain."""
    output: Annotated[Output, arg(name="")] = field(default_factory=Output)
    config: Annotated[Config, arg(name="")] = field(default_factory=Config)

    def run(self) -> int:
        """Optimize one edit for each photo."""
        if len(self.words) < 2:
            raise WrongUsage(f"edit must be given PHOTO and PROMPT; got {' '.join(self.words) or 'neither'}")
        *photos, prompt = self.words
        if Path(prompt).suffix.lower() in PICTURES:
            raise WrongUsage(f"PROMPT must be words, after every PHOTO; got the file name {prompt!r}")
        prompts = parse_prompts([prompt, *self.also])

        progress = False if self.output.quiet else None

        def optimize(photo: Path) -> Edit:
            return flowedit.optimize(
                photo, prompts, config=self.config, encoder=self.encoder, judge=self.judge, progress=progress
            )

        return run_each(photos, self.output, optimize)


@dataclass(frozen=True)
class Asked:
    """What one photo is asked to become, by either of the commands that show more than one picture of it."""

    photo: Annotated[Positional[Path], arg(metavar="PHOTO")]
    """A photo."""
    prompt: Annotated[Positional[str], arg(metavar="PROMPT")]
    """TEXT or TEXT=WEIGHT."""
    also: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT[=WEIGHT]")] = ()
    """One more prompt, as for `flowedit edit`."""
    encoder: Annotated[str | None, arg(metavar="NAME")] = None
    """As for `flowedit edit`."""
    quiet: Annotated[bool, FlagCreatePairsOff] = False
    """Print errors and warnings only."""
    config: Annotated[Config, arg(name="")] = field(default_factory=Config)

    @property
    def task(self) -> tuple[Path, str | dict[str, float]]:
        return self.photo, parse_prompts([self.prompt, *self.also])

    @property
    def how(self) -> dict[str, Any]:
        return {"config": self.config, "encoder": self.encoder, "progress": False if self.quiet else None}


@dataclass(frozen=True)
class SweepCommand(Asked):
    """Show an edit at many strengths: flowedit sweep face.jpg "a smiling face" -o strip.png --animation smile.gif"""

    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for the strip. Default: PHOTO_sweep.png in the current folder."""
    strengths: tuple[float, ...] = STRENGTHS
    """0 is the photo, 1 the edit as optimized; the strength that the edit chose is shown among them."""
    animation: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also write the edit coming and going: a .gif, or an .mp4 if imageio with ffmpeg is installed."""

    def run(self) -> int:
        """Optimize once, draw many."""
        from flowedit.report.strips import check_animation, check_strip, save_animation, save_strip

        out = name_targets(self.out, [self.photo], False, "_sweep.png")[0]
        animation = [] if self.animation is None else name_targets(self.animation, [self.photo], False, "_sweep.gif")
        written = [out, *animation]
        if self.photo.resolve() in {path.resolve() for path in written}:
            raise WrongUsage(f"OUT and --animation must not replace the photo; got {self.photo}")
        check_strip(out)  # said now, not after the work
        for path in animation:
            check_animation(path)
        edit = flowedit.optimize(*self.task, **self.how)
        save_strip(edit.edited, out, self.strengths)
        for path in animation:
            save_animation(edit.edited, path)
        if not self.quiet:
            say(
                f"{self.photo} -> {', '.join(map(str, written))}: strength {edit.strength:.2f} ({edit.strength_reason})"
            )
        return 0


@dataclass(frozen=True)
class VaryCommand(Asked):
    """Find several different edits for one sentence: flowedit vary face.jpg "a smiling face" --sheet sheet.png"""

    n: int = 4
    """How many."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for the first; the others' names get a number. Default: PHOTO_variant.png in the current folder."""
    save_edits: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also keep the edits themselves, for `flowedit apply`: file for the first, as OUT."""
    sheet: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also put the face and its variants side by side."""

    def run(self) -> int:
        """Optimize a few times, each time away from what was found before."""
        from flowedit.report.strips import check_strip, save_variants

        first = name_targets(self.out, [self.photo], False, "_variant.png")[0]
        files = [] if self.save_edits is None else name_targets(self.save_edits, [self.photo], False, EDIT_FILE)
        sheets = [] if self.sheet is None else name_targets(self.sheet, [self.photo], False, "_variants.png")
        outs = number(first, self.n)
        kept = number(files[0], self.n) if files else []
        written = [path.resolve() for path in (*outs, *sheets, *kept)]
        if self.photo.resolve() in written:
            raise WrongUsage(f"OUT and --sheet must not replace the photo; got {self.photo}")
        if len(set(written)) < len(written):
            raise WrongUsage(f"OUT, --sheet and --save-edits must be different files; got one twice near {first}")
        check_picture(first)  # said now, not after the work
        for path in sheets:
            check_strip(path)
        edits = flowedit.variants(*self.task, self.n, **self.how)
        for path, edit in zip(outs, edits, strict=False):
            edit.save(path)
            if not self.quiet:
                say(f"{self.photo} -> {path}: strength {edit.strength:.2f} ({edit.strength_reason})")
        for path, edit in zip(kept, edits, strict=False):
            edit.save_edit(path)
        for path in sheets:
            save_variants([edit.edited for edit in edits], path)
        if edits[-1].stopped == "interrupted":
            complain(f"interrupted: {len(edits)} of {self.n} found")
            return 1
        if len(edits) < self.n:
            complain(f"{len(edits)} of {self.n} found: others would do less than half as much")
        return 0


@dataclass(frozen=True)
class ApplyCommand:
    """Put a saved edit on other photos: flowedit apply smile.flowedit other.jpg"""

    edit: Annotated[Positional[Path], arg(metavar="EDIT")]
    """File made by --save-edit."""
    photos: Annotated[Words, arg(metavar="PHOTO [PHOTO ...]", help_behavior_hint="(required)")]
    """Files, folders or quoted globs."""
    face: int | Literal["largest", "all"] = "largest"
    """Which face gets it: the largest, all, or an index counted from the left, from 0."""
    by: Literal["landmarks", "frame"] = "landmarks"
    """Bend the edit from feature to feature, or keep it in the same place of the square around the face."""
    identity: float | None = 0.35
    """Budget by which the strength is chosen anew for each face; None keeps the edit's own strength."""
    undo: Annotated[bool, FlagCreatePairsOff] = False
    """PHOTO is a picture that EDIT has made, of any size: take the edit back, at its own strength."""
    output: Annotated[Output, arg(name="")] = field(default_factory=Output)

    def run(self) -> int:
        """Carry the edit's movement to each photo, in face coordinates."""
        if not self.photos:
            raise WrongUsage("apply must be given EDIT and PHOTO; got no PHOTO")
        from flowedit.photo.photo import read_note

        edit = flowedit.load(self.edit)
        if self.undo:
            if (self.face, self.by, self.identity) != ("largest", "landmarks", 0.35):
                raise WrongUsage("--undo must go without --face, --by and --identity: it takes back what was done")

            def take_back(photo: Path) -> Edit:
                note = read_note(photo) if photo.is_file() else None
                if note is None or note.get("photo_sha256") != edit.origin:
                    complain(f"warning: {photo} carries no record of having been made from this edit's photo")
                return (~edit).apply(photo)

            return run_each(self.photos, self.output, take_back)

        def carry(photo: Path) -> Edit:
            carried = edit.apply(photo, face=self.face, by=self.by)
            asked = self.identity is None or self.output.strength is not None or "in_place" in carried.facts
            return carried if asked else carried.within(identity=self.identity)

        return run_each(self.photos, self.output, carry)


@dataclass(frozen=True)
class ExplainCommand:
    """Tell what an edit does, from its file or from the record inside an edited picture."""

    edit: Annotated[Positional[Path], arg(metavar="EDIT")]
    """File made by --save-edit, or a picture that flowedit wrote."""
    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print JSON."""

    def run(self) -> int:
        """Print the facts."""
        if self.edit.suffix.lower() in PICTURES:
            from flowedit.photo.photo import read_note

            facts = read_note(self.edit)
            if facts is None:
                raise ValueError(f"EDIT must carry flowedit's record; got {self.edit}, which has none")
        else:
            facts = flowedit.load(self.edit).explain()
        say(json.dumps(facts, indent=2) if self.json else "\n".join(format_facts(facts)))
        return 0


@dataclass(frozen=True)
class InfoCommand:
    """Tell versions, devices, kernel backends and shipped encoders."""

    def run(self) -> int:
        """Print them."""
        from flowedit.app.environment import describe_environment

        say("\n".join(format_facts(describe_environment())))
        return 0


Command = (
    Annotated[EditCommand, subcommand("edit", prefix_name=False)]
    | Annotated[SweepCommand, subcommand("sweep", prefix_name=False)]
    | Annotated[VaryCommand, subcommand("vary", prefix_name=False)]
    | Annotated[ApplyCommand, subcommand("apply", prefix_name=False)]
    | Annotated[ExplainCommand, subcommand("explain", prefix_name=False)]
    | Annotated[InfoCommand, subcommand("info", prefix_name=False)]
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `argv` defaults to the process's own arguments."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    try:
        if arguments == ["--version"]:
            say(f"flowedit {flowedit.__version__}")
            return 0
        with warnings_in_one_line(debug), log_in_one_line(quiet="--quiet" in arguments):
            return parse([a for a in arguments if a != "--debug"]).run()
    except WrongUsage as error:
        complain(str(error))
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 1
    except BrokenPipeError:  # the reader of our output has gone, as in `flowedit info | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug:
            traceback.print_exc()
        complain(one_line(error))
        return 1


def parse(
    arguments: Sequence[str],
) -> EditCommand | SweepCommand | VaryCommand | ApplyCommand | ExplainCommand | InfoCommand:
    """Read the command line; tyro's boxed complaints become one line."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                Command,
                prog="flowedit",
                description="Edit portraits by a sentence. Every command takes --debug, for tracebacks.",
                args=arguments,
            )
    except SystemExit as stop:
        if not stop.code:  # --help
            raise
        what = re.split(r"│ ─+ │", complaint.getvalue())[0]  # above the ruler; below it are hints
        what = " ".join(re.sub(r"╭.*╮|[│╰─╯]", " ", what).split())
        raise WrongUsage(f"{what} (flowedit --help tells more)") from None
    except ValueError as error:  # Config's own checks
        raise WrongUsage(str(error)) from error


def parse_prompts(texts: Sequence[str]) -> str | dict[str, float]:
    """Read TEXT or TEXT=WEIGHT, each; one text of weight 1 stays plain text."""
    weights: dict[str, float] = {}
    for text in texts:
        words, equals, number = text.rpartition("=")
        try:
            words, weight = (words.strip(), float(number)) if equals else (text, 1.0)
        except ValueError:  # an "=" that belongs to the text
            words, weight = text, 1.0
        if words in weights:
            raise WrongUsage(f"each prompt must be given once; got {words!r} twice")
        weights[words] = weight
    return texts[0] if weights == {texts[0]: 1.0} else weights


def format_facts(facts: dict[str, Any], indent: str = "") -> Iterator[str]:
    """Print a nested dict as indented `key: value` lines, and a list of sentences as a line each."""
    for key, value in facts.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from format_facts(value, indent + "  ")
        elif isinstance(value, list) and value and all(isinstance(line, str) for line in value):
            yield f"{indent}{key}:"
            yield from (f"{indent}  {line}" for line in value)
        else:
            yield f"{indent}{key}: {f'{value:.4g}' if isinstance(value, float) else value}"
