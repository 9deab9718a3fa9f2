"""The command `flowedit imagine`: words in, pictures out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

import flowedit
from flowedit.app.console import complain, say
from flowedit.app.options import Search, describe_strength, parse_prompts, show_progress
from flowedit.app.paths import EDIT_FILE, WrongUsage, check_ending, number
from flowedit.checks import require
from flowedit.photo.codec import FORMATS
from flowedit.photo.files import check_outputs

if TYPE_CHECKING:
    from flowedit.edit import Edit

WHAT = "each is a changed average of several people, not a generated person"


@dataclass(frozen=True)
class ImagineCommand(Search):
    """Change an average face by a description: flowedit imagine "a smiling old man with green eyes" -o man.png

    No photo is needed. What comes out is a changed average, not a generated person: nobody is to be kept, and
    --identity does not count.
    """

    prompt: Annotated[Positional[str], arg(metavar="PROMPT")]
    """TEXT or TEXT=WEIGHT; words of age and sex choose the average, the rest is the edit."""
    n: int = 4
    """How many, from 1 to 16; --seed makes others."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for the first; the others' names get a number. Default: imagined.png in the current folder."""
    averages: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also write the averages that the faces begin from, for `flowedit apply`: file for the first, as OUT."""
    save_edits: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also keep the edits themselves, for `flowedit apply`: file for the first, as OUT."""
    sheet: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also put the averages and the faces side by side."""
    quiet: Annotated[bool, FlagCreatePairsOff] = False
    """Print errors and warnings only."""

    def __post_init__(self) -> None:
        from flowedit.fit.imagine import MOST

        require(1 <= self.n <= MOST, f"n must be from 1 to {MOST}; got {self.n}")

    def run(self) -> int:
        """Make and write the faces; return the exit status."""
        from flowedit.report.strips import frames, save_sheet

        prompts = parse_prompts([self.prompt, *self.also])
        files = self._files()
        edits = flowedit.imagine(prompts, self.n, seed=self.config.seed, **self.arguments(show_progress(self.quiet)))
        for path, edit in zip(files["--out"], edits, strict=False):
            edit.save(path)
        for path, edit in zip(files.get("--averages", ()), edits, strict=False):
            edit.save(path, strength=0)
        for path, edit in zip(files.get("--save-edits", ()), edits, strict=False):
            edit.save_edit(path)
        for path in files.get("--sheet", ()):
            rows = [[frames(each.edited, [s])[0] for each in edits for s in (0.0, each.strength)]]
            headings = [name for each in edits for name in (_name(each), "changed")]
            save_sheet(path, rows, headings, note=edits[0].provenance())
        if not self.quiet:
            for path, edit in zip(files["--out"], edits, strict=False):
                say(f"{_name(edit)} -> {describe_strength(path, edit)}")
            say(WHAT)
        interrupted = edits[-1].stopped == "interrupted"
        if interrupted:
            complain(f"interrupted: {len(edits)} of {self.n} made")
        return int(interrupted)

    def _files(self) -> dict[str, list[Path]]:
        """Return the files to write, by flag; checks that each can be, and none is read or written twice."""
        files: dict[str, list[Path]] = {}
        wishes = (
            ("--out", self.out or Path("imagined.png"), tuple(FORMATS), self.n),
            ("--averages", self.averages, tuple(FORMATS), self.n),
            ("--save-edits", self.save_edits, (EDIT_FILE,), self.n),
            ("--sheet", self.sheet, tuple(FORMATS), 1),
        )
        for flag, path, endings, copies in wishes:
            if path is not None:
                check_ending(flag, path, endings)
                files[flag] = number(path, copies)
        try:
            check_outputs(files, self.inputs())
        except FileExistsError as error:
            raise WrongUsage(str(error)) from error
        return files


def _name(edit: Edit) -> str:
    assert edit.facts.imagined is not None  # `imagine` sets it
    return f"average {edit.facts.imagined['average']}"
