"""Options that several commands share, and what they mean."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

import flowedit
from flowedit.app.batch import Files, Made, Target, Verb
from flowedit.app.console import is_terminal
from flowedit.app.paths import EDIT_FILE, WrongUsage
from flowedit.checks import Group, number, require
from flowedit.config import Config
from flowedit.guide.targets import check_prompts
from flowedit.photo.codec import FORMATS

if TYPE_CHECKING:
    from flowedit.edit import Edit

base_config: ContextVar[Config | None] = ContextVar("base_config", default=None)  # of --config, under the flags


@dataclass(frozen=True)
class Out(Group):
    """Where the picture goes."""

    out: Annotated[Path | None, arg(aliases=("-o",), metavar="OUT")] = None
    """File for one photo, folder for several. Default: PHOTO_edited.png in the current folder."""


@dataclass(frozen=True)
class Pictures(Group):
    """What is written of an edit, and how much of it the picture shows."""

    strength: float | None = number(None)
    """0 is the photo, 1 the edit as optimized. Default: what the edit chose for itself."""
    shape: float = number(1.0)
    """Scale of the movement alone, times strength."""
    color: float = number(1.0)
    """Scale of the tint alone, times strength."""
    save_edit: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also keep the edit itself, for `flowedit apply`: file for one photo, folder for several."""
    plot: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also draw what was done and where: file for one photo, folder for several."""
    sheet: Annotated[Path | None, arg(metavar="PATH")] = None
    """Also put before and after side by side: file for one photo, folder for several."""
    strip_location: Annotated[bool, FlagCreatePairsOff] = False
    """Leave out of OUT where the photo was taken, and the serial numbers of camera and lens."""
    quiet: Annotated[bool, FlagCreatePairsOff] = False
    """Print errors and warnings only."""

    def targets_in(self, out: Path | None, suffix: str = "_edited.png") -> list[Target]:
        """Return the kinds of files to write, the picture first."""
        from flowedit.report.figure import FORMATS as PLOTS

        return [
            Target("--out", out, suffix, tuple(FORMATS), optional=False),
            Target("--save-edit", self.save_edit, EDIT_FILE, (EDIT_FILE,)),
            Target("--plot", self.plot, "_plot.png", tuple(PLOTS)),
            Target("--sheet", self.sheet, "_sheet.png", tuple(FORMATS)),
        ]

    def write(self, edits: list[Edit], files: Files, overwrite: bool = False) -> list[str]:
        """Write one edit's picture, over the photo itself if `overwrite`, and the rest as asked."""
        from flowedit.report.strips import save_sheet

        (edit,) = edits
        scales: dict[str, Any] = {"strength": self.strength, "shape": self.shape, "color": self.color}
        (out,) = files["--out"]
        edit.save(out, **scales, overwrite=overwrite, strip_location=self.strip_location)
        for path in files.get("--save-edit", ()):
            edit.save_edit(path)
        for path in files.get("--plot", ()):
            edit.plot(path)
        for path in files.get("--sheet", ()):
            shown = edit.edited.over_white()
            pair = [each.rows() for each in (shown.at(0.0), shown.at(**scales))]
            save_sheet(path, [pair], icc=shown.original.metadata.icc, note=edit.provenance())
        if self.strength is None:
            return [describe_strength(out, edit)]
        return [f"{out}: strength {self.strength:.2f} (as asked)"]


@dataclass(frozen=True)
class Output(Pictures, Out):
    """Where results go, and how much of the edit they show."""

    overwrite: Annotated[bool, FlagCreatePairsOff] = False
    """Allow OUT to replace the photo itself. Other existing files are replaced without asking."""

    def targets(self) -> list[Target]:
        """Return the kinds of files to write, the picture first."""
        return self.targets_in(self.out)


@dataclass(frozen=True, kw_only=True)
class Search:
    """How the edits of `edit`, `sweep`, `vary` and `imagine` are found."""

    also: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT[=WEIGHT]")] = ()
    """One more prompt, as --also "big eyes=0.5"; weight 1 if not given, negative to avoid it."""
    encoder: Annotated[str | None, arg(metavar="NAME")] = None
    """faceclip, the default, or open_clip's MODEL:PRETRAINED, MODEL:FILE, local-dir:FOLDER or hf-hub:ORG/REPO."""
    settings: Annotated[Path | None, arg(name="config", metavar="FILE")] = None
    """TOML file of settings that differ from the defaults; a flag beside it counts more."""
    config: Annotated[Config, arg(name="")] = field(default_factory=lambda: base_config.get() or Config())

    def arguments(self, bar: bool | None) -> dict[str, Any]:
        """Return the arguments that `optimize`, `variants` and `imagine` share; for `bar` see `show_progress`."""
        return {"config": self.config, "encoder": self.encoder, "progress": bar}

    def inputs(self, judge: str | None = None) -> list[Path]:
        """Return the files that are read beside the photos; see `config_files`."""
        settings = [] if self.settings is None else [self.settings]
        return [*settings, *config_files(self.config, self.encoder, judge)]


@dataclass(frozen=True, kw_only=True)
class Editing(Search, Verb):
    """How `edit` and `batch` make the edit of a photo."""

    judge: Annotated[str | None, arg(metavar="NAME")] = None
    """One more encoder, which only looks at the result: a warning says so if it sees nothing of the guide's gain."""
    fast: Annotated[bool, FlagCreatePairsOff] = False
    """Predict the edit in one pass of a trained network instead of searching for it; photos go through it together."""
    start: Literal["auto", "predict", "nothing"] = "auto"
    """Where the search starts: predict, from what the network predicts, in 10 steps; nothing; or auto, from a
    prediction where encoder, field and objective are those that the network learned from."""
    predictor: Annotated[str | None, arg(metavar="PATH")] = None
    """The network of --fast and --start: a file or folder that its training made. Default: the shipped one."""

    @property
    def prompts(self) -> str | dict[str, float]:
        """The prompts with their weights."""
        raise NotImplementedError

    @property
    def bar(self) -> bool | None:
        """Whether a bar shows the search; see `show_progress`."""
        raise NotImplementedError

    def make(self, photo: Path) -> list[Edit]:
        """Optimize one edit."""
        how = {**self.arguments(self.bar), "judge": self.judge}
        how["start"] = None if self.start == "nothing" else self.start
        if self.predictor is not None:
            how["start"] = flowedit.load_predictor(self.predictor)
        return [flowedit.optimize(photo, self.prompts, **how)]

    def make_each(self, photos: Sequence[Path]) -> Iterator[Made]:
        """Optimize each, or predict them in batches."""
        if not self.fast:
            yield from super().make_each(photos)
            return
        edits = flowedit.predict_all(
            photos,
            self.prompts,
            config=self.config,
            encoder=self.encoder,
            predictor=self.predictor,
            judge=self.judge,
        )
        for found in edits:
            yield Made(found, 0.0) if isinstance(found, Exception) else Made([found], found.facts["seconds"])

    def check(self) -> list[Path]:
        """Refuse before any work what does not go together or cannot be read; return the files beside the photos."""
        if self.fast and self.start != "auto":
            raise WrongUsage("--fast must go without --start: it takes no steps")
        predicts = self.fast or self.start == "predict"
        if self.predictor is not None and not predicts:
            raise WrongUsage("--predictor must go with --fast or --start predict; got neither")
        inputs = [*self.inputs(self.judge), *predictor_files(self.predictor)]
        if predicts:
            flowedit.load_predictor(self.predictor)
        return inputs


def config_files(config: Config, *encoders: str | None) -> list[Path]:
    """Return the files that settings and encoders by name lead to: masks, corpora, checkpoints, upscalers.

    Raises:
        ValueError: a mask is no regular file, or not there.
    """
    masks = [*([] if config.mask is None else [config.mask]), *config.protected_files]
    for path in masks:
        require(path.is_file(), f"{path} must be a file; got {'another kind' if path.exists() else 'none there'}")
    names = [config.corpus or "", *(config.corpus or "").split(","), str(config.upscaler or "")]
    names += [(name or "").partition(":")[2] for name in encoders]
    return [*masks, *(Path(name) for name in names if name and Path(name).is_file())]


def predictor_files(predictor: str | None) -> list[Path]:
    """Return the file that a predictor by name or path leads to, where there is one."""
    from flowedit.predict.weights import FILE

    paths = [] if predictor is None else [Path(predictor).expanduser(), Path(predictor).expanduser() / FILE]
    return [path for path in paths if path.is_file()]


def show_progress(quiet: bool) -> bool | None:
    """Return `optimize`'s argument: a bar on a terminal, None, or none at all."""
    return None if is_terminal(sys.stderr) and not quiet else False


def parse_prompts(texts: Sequence[str]) -> str | dict[str, float]:
    """Read TEXT or TEXT=WEIGHT, each; one text of weight 1 stays plain text.

    Raises:
        WrongUsage: a text is given twice or has no word, a weight is no finite number, or all are too long for a
            picture's record.
    """
    weights: dict[str, float] = {}
    for text in texts:
        words, equals, end = text.rpartition("=")
        try:
            words, weight = (words.strip(), float(end)) if equals else (text, 1.0)
        except ValueError as error:
            if words == words.rstrip():  # else an "=" that belongs to the text
                wrong = f"the weight of a prompt must be a number; got {end!r} for {words!r}"
                raise WrongUsage(wrong) from error
            words, weight = text, 1.0
        if not math.isfinite(weight):
            raise WrongUsage(f"the weight of a prompt must be a finite number; got {end} for {words!r}")
        if words in weights:
            raise WrongUsage(f"each prompt must be given once; got {words!r} twice")
        weights[words] = weight
    try:
        check_prompts(weights)
    except ValueError as error:
        raise WrongUsage(str(error)) from error
    return texts[0] if weights == {texts[0]: 1.0} else weights


def describe_strength(where: Path | str, edit: Edit) -> str:
    """Return where an edit went, at which strength, why that one, and how much of what was asked it reached."""
    reached = edit.facts.reached
    return f"{where}: strength {edit.strength:.2f} ({edit.strength_reason})" + (f"; {reached}" if reached else "")
