"""The command `flowedit video`: a clip in, a clip out."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import FlagCreatePairsOff, Positional, arg

import flowedit
from flowedit.app.console import complain, say
from flowedit.app.options import Search, describe_strength, parse_prompts, predictor_files, show_progress
from flowedit.app.paths import EDIT_FILE, WrongUsage, check_ending
from flowedit.checks import number
from flowedit.fit.video import name_output
from flowedit.photo.files import check_outputs
from flowedit.video.animations import MOVING
from flowedit.video.encode import Encoding

if TYPE_CHECKING:
    from flowedit.edit import Edit


@dataclass(frozen=True)
class VideoCommand(Search):
    """Edit the faces of a clip: flowedit video clip.mp4 "a smiling face" -o smiling.mp4"""

    clip: Annotated[Positional[Path], arg(metavar="CLIP")]
    """A video, or a .gif, .webp or .apng."""
    prompt: Annotated[Positional[str | None], arg(metavar="PROMPT")] = None
    """TEXT or TEXT=WEIGHT; goes without --edit."""
    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for the new clip: .mp4, .m4v, .mov, .mkv, .webm, .gif, .webp or .apng. Default: CLIP_edited in the current
    folder, with the clip's ending where it is one of these."""
    edit: Annotated[Path | None, arg(metavar="PATH")] = None
    """Carry this edit, made by --save-edit, to the clip, instead of finding one for a PROMPT."""
    strength: float | None = number(None)
    """0 is the clip, 1 the edit as optimized. Default: what the edit chose for itself."""
    fast: Annotated[bool, FlagCreatePairsOff] = False
    """Predict the edit in one pass of a trained network instead of searching for it."""
    per_frame: Annotated[bool, FlagCreatePairsOff] = False
    """Predict it anew in each frame, and smooth it over time, instead of carrying one edit through the clip."""
    predictor: Annotated[str | None, arg(metavar="PATH")] = None
    """The network of --fast and --per-frame: a file or folder that its training made. Default: the shipped one."""
    start: Annotated[float | None, arg(name="from", metavar="SECONDS")] = None
    """The edit begins here. Default: with the clip."""
    end: Annotated[float | None, arg(name="to", metavar="SECONDS")] = None
    """It has gone from here on. Default: with the clip."""
    fade: Annotated[float, arg(metavar="SECONDS")] = 0.5
    """It comes and goes in so long, at --from and --to."""
    save_edit: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also keep the edit itself, for `flowedit apply` and --edit."""
    encoding: Annotated[Encoding, arg(name="")] = field(default_factory=Encoding)
    strip_location: Annotated[bool, FlagCreatePairsOff] = False
    """Leave out of OUT where the clip was taken."""
    quiet: Annotated[bool, FlagCreatePairsOff] = False
    """Print errors and warnings only."""

    def run(self) -> int:
        """Edit the clip; return the exit status."""
        wish = self._wish()
        out = self.out or name_output(self.clip)
        check_ending("--out", out, MOVING)
        outputs = {"--out": [out], "--save-edit": [] if self.save_edit is None else [self.save_edit]}
        inputs = [self.clip, *self.inputs(), *predictor_files(self.predictor)]
        try:
            check_outputs(outputs, inputs if self.edit is None else [*inputs, self.edit])
        except FileExistsError as error:
            raise WrongUsage(str(error)) from error
        result = flowedit.edit_video(
            self.clip,
            wish,
            out,
            strength=self.strength,
            start=self.start,
            end=self.end,
            fade=self.fade,
            fast=self.fast,
            per_frame=self.per_frame,
            config=self.config,
            encoder=self.encoder,
            predictor=self.predictor,
            encoding=self.encoding,
            strip_location=self.strip_location,
            progress=show_progress(self.quiet),
        )
        assert result.edit is not None  # for the type checker
        if self.save_edit is not None:
            result.edit.save_edit(self.save_edit)
        if not self.quiet:
            rate = result.frames / max(result.seconds, 1e-9)
            did = f"{result.edited} of {result.frames} frames edited, {result.seconds:.1f} s, {rate:.1f} frames/s"
            say(f"{self.clip} -> {describe_strength(out, result.edit)}, {did}")
        if result.interrupted:
            complain(f"interrupted: {out} has the first {result.duration:.1f} s")
        return int(result.interrupted)

    def _wish(self) -> str | dict[str, float] | Edit:
        """Return the prompts, or the edit; WrongUsage where they do not go together."""
        if (self.prompt is None) == (self.edit is None):
            got = "neither" if self.prompt is None else "both"
            raise WrongUsage(f"video must be given a PROMPT or --edit; got {got}")
        predicts = self.fast or self.per_frame
        if self.predictor is not None and not predicts:
            raise WrongUsage("--predictor must go with --fast or --per-frame; got neither")
        if self.save_edit is not None:
            check_ending("--save-edit", self.save_edit, (EDIT_FILE,))
        if self.edit is not None:
            if self.also or self.fast:
                raise WrongUsage("--edit must go without --also and --fast: it is found already")
            return flowedit.load(self.edit)
        assert self.prompt is not None  # for the type checker
        return parse_prompts([self.prompt, *self.also])
