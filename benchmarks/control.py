"""What can be done with an edit: undo it, carry it to others, do two at once, several ways, and have it judged."""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

import flowedit
from benchmarks import judge
from benchmarks.common import environment, finite, usage_errors, write_report
from benchmarks.edit import Portrait, check_shapes, compare, faces_of, find_asked, look_at, shared_options, units_of
from benchmarks.table import RIGHT_SD, align, middle
from flowedit import Edit
from flowedit.checks import require
from flowedit.face.regions import face_distance
from flowedit.field.raster import RasterField
from flowedit.fit.variants import spread
from flowedit.guide.encoder import Encoder, load_encoder
from flowedit.guide.targets import text_change
from flowedit.photo.photo import load as load_photo
from flowedit.task.judge import judge_edit, measure_similarity
from flowedit.task.prepare import resolve_encoder
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import FieldTransform

PROMPTS = ("a smiling face", "a sad face", "big eyes", "a wide nose")
PAIRS = (("a smiling face", "big eyes"), ("a smiling face", "a wide nose"), ("a sad face", "a slim jaw"))
OTHERS = 20  # faces that one person's edit is carried to
CLEAR_SD, MOST_ELSEWHERE = 0.7, 1 / 3  # what each variant must do of what is asked, and may do of what is not
LOUD, PLANTING = 0.03, 30  # most that a planted edit adds to a channel, image units; its steps


class Bench:
    """Portraits, the unit of each measure, and the guide of all edits.

    Attributes:
        portraits: to be edited.
        sd: measure -> its deviation over everyone.
        guide: the encoder.
        options: the command line's.
    """

    def __init__(self, options: argparse.Namespace, guide: Encoder) -> None:
        population, paths = faces_of(options)
        self.sd = units_of(population)
        self.portraits = [look_at(path, population[path]) for path in paths]
        self.guide, self.options = guide, options

    @property
    def arguments(self) -> dict[str, Any]:
        """Of all edits."""
        return {"config": self.options.config, "encoder": self.guide, "progress": False}

    def edit(self, portrait: Portrait, prompt: str | Mapping[str, float], **rest: Any) -> Edit:
        """Optimize one."""
        return flowedit.optimize(portrait.path, prompt, **{**self.arguments, **rest})

    def effects(self, portrait: Portrait, edit: Edit) -> Mapping[str, float] | None:
        """Each measure's move, in its deviations; None for a face that is lost."""
        return compare(portrait, edit, self.sd)[0]["effects_sd"]

    def toward(self, effects: Mapping[str, float] | None, prompt: str) -> float | None:
        """How far the measure that a prompt names went its way."""
        name, sign = judge.GEOMETRY[prompt]
        return None if effects is None else sign * effects[name]

    def elsewhere(self, effects: Mapping[str, float] | None, prompt: str) -> float:
        """Mean move of the measures that a prompt does not name, over that of the named one; infinite the wrong way."""
        own = self.toward(effects, prompt)
        if effects is None or own is None or own <= 0:
            return math.inf
        named = (judge.GEOMETRY[prompt][0], *judge.NAMED_TOO.get(prompt, ()))
        return fmean(abs(value) for name, value in effects.items() if name not in named) / own


def undo(bench: Bench) -> list[dict[str, Any]]:
    """Undo each edit on its picture in 8 bits; the error is over the pixels of the face, of 255."""
    rows = []
    for prompt in bench.options.prompts:
        errors, changes = [], []
        for portrait in bench.portraits:
            edit = bench.edit(portrait, prompt)
            edited = load_photo(edit.to_pil())
            back = load_photo((~edit).apply(edited).to_pil())
            inside = _face(portrait, edited.height, edited.width)
            before = load_photo(portrait.path).tensor()[..., inside]
            for seen, kept in ((back, errors), (edited, changes)):
                kept.append(255 * float((seen.tensor()[..., inside] - before).abs().mean()))
        row = {"prompt": prompt, "n": len(errors), "changed": median(changes)}
        rows.append(row | {"error": median(errors), "worst": max(errors)})
    return rows


def _face(portrait: Portrait, height: int, width: int) -> torch.Tensor:
    """Mark the pixels of a photo that lie on the face: (H, W) bool."""
    marks = portrait.crop.landmarks
    assert marks is not None  # face_crop sets them
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    return face_distance(portrait.crop.to_crop(torch.stack([x, y], -1)), marks) < 0


def transfer(bench: Bench) -> list[dict[str, Any]]:
    """Carry the first person's edits to the others, by landmarks and by frame, at the strength that keeps identity."""
    source, *others = bench.portraits[: OTHERS + 1]
    rows = []
    for prompt in bench.options.prompts:
        edit = bench.edit(source, prompt)
        own = bench.toward(bench.effects(source, edit), prompt)
        for by in ("landmarks", "frame"):
            carried = [edit.apply(portrait.path, by=by).within() for portrait in others]
            transforms = [bench.toward(bench.effects(*pair), prompt) for pair in zip(others, carried, strict=True)]
            known = [move for move in transforms if move is not None]
            row = {"prompt": prompt, "by": by, "n": len(transforms), "right": judge.share_above(transforms, RIGHT_SD)}
            row |= {"effect": median(known) if known else None, "own": own}
            rows.append(row | {"strength": fmean(each.strength for each in carried)})
    return rows


def together(bench: Bench) -> list[dict[str, Any]]:
    """Ask for two things at once: one edit for both, against the sum of an edit for each."""
    rows = []
    for pair in PAIRS:
        found: dict[str, list[tuple[Mapping[str, float] | None, Edit, float]]] = {"jointly": [], "sum": []}
        for portrait in bench.portraits:
            singles = [bench.edit(portrait, prompt) for prompt in pair]
            both = bench.edit(portrait, dict.fromkeys(pair, 1.0))
            for way, edit in (("jointly", both), ("sum", (singles[0] + singles[1]).within())):
                numbers = compare(portrait, edit, bench.sd)[0]
                found[way].append((numbers["effects_sd"], edit, numbers["identity"]))
        for way, edits in found.items():
            seen = [effects for effects, _, _ in edits if effects is not None]
            named = {judge.GEOMETRY[prompt][0] for prompt in pair}
            transforms = [[bench.toward(effects, prompt) or 0.0 for effects in seen] for prompt in pair]
            row = {"prompts": " + ".join(pair), "way": way, "n": len(edits)}
            row["right"] = sum(min(both) > RIGHT_SD for both in zip(*transforms, strict=True)) / len(edits)
            row |= {name: middle(values) for name, values in zip(("first", "second"), transforms, strict=True)}
            row["rest"] = middle(fmean(abs(v) for k, v in effects.items() if k not in named) for effects in seen)
            row["identity"] = median(distance for _, _, distance in edits)
            rows.append(row | {"strength": fmean(edit.strength for _, edit, _ in edits)})
    return rows


def several(bench: Bench, find: Callable[..., list[Edit]] | None = None) -> list[dict[str, Any]]:
    """Ask for four variants: how different they are, whether each does what was asked, and how many little else.

    Args:
        bench: with prompts that have a measure of shape.
        find: makes the edits of a photo and a prompt; None is `variants`.
    """
    find = find or partial(flowedit.variants, **bench.arguments)
    rows = []
    for prompt in bench.options.prompts:
        spreads, gains, each = [], [], []
        for portrait in bench.portraits:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # fewer are counted
                edits = find(portrait.path, prompt)
            spreads.append(spread(edits))
            asked = [replace(edit, prompts={prompt: 1.0}) for edit in edits]  # a variant's own lean to more
            own = [measure_similarity(edit, bench.guide)[1].share for edit in asked]
            gains.append(max(own) / min(own) if min(own) > 0 else math.inf)
            for k, effects in enumerate(bench.effects(portrait, edit) for edit in edits):
                numbers = {"own": bench.toward(effects, prompt), "elsewhere": bench.elsewhere(effects, prompt)}
                each.append({"photo": portrait.path.name, "variant": k, **numbers, "effects_sd": effects})
        counts = [sum(one["photo"] == portrait.path.name for one in each) for portrait in bench.portraits]
        transforms, elsewhere = [one["own"] for one in each], [one["elsewhere"] for one in each]
        row = {"prompt": prompt, "n": len(spreads), "variants": fmean(counts)}
        row |= {str(number): counts.count(number) for number in (4, 3, 2, 1)}
        row |= {"spread": median(spreads), "gains": median(gains), "right": judge.share_above(transforms, RIGHT_SD)}
        row |= {"clear": judge.share_above(transforms, CLEAR_SD), "effect": middle(transforms)}
        row |= {"least": min(-math.inf if move is None else move for move in transforms)}
        rows.append(row | {"alone": fmean(ratio <= MOST_ELSEWHERE for ratio in elsewhere), "each": each})
    return rows


def judged(bench: Bench) -> list[dict[str, Any]]:
    """Let a second encoder look at the default edits, and the guide at edits planted to deceive a fragile one."""
    options, rows = bench.options, []
    second = load_encoder(options.judge)
    fragile = None if options.fragile is None else load_encoder(options.fragile)
    for kind in ("default",) if fragile is None else ("default", "planted"):
        for prompt in options.prompts:
            facts = []
            for portrait in bench.portraits:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if kind == "default" or fragile is None:
                        facts.append(judge_edit(bench.edit(portrait, prompt), bench.guide, second))
                    else:
                        facts.append(judge_edit(plant(portrait, prompt, fragile), fragile, bench.guide))
            row = {"edits": kind, "prompt": prompt, "n": len(facts), "warned": fmean(f["fooled"] for f in facts)}
            seen = {"guide": median(f["guide_gain"] for f in facts), "judge": median(f["gain"] for f in facts)}
            rows.append(row | seen)
    return rows


def plant(portrait: Portrait, prompt: str, guide: Encoder) -> Edit:
    """Give each pixel the color that pleases a guide most, by the signs of its gradient, with no regularization.

    Not by the loop: what it shows the guide is softened and seen from several views, which takes such colors away.
    """
    photo, prompts = load_photo(portrait.path), {prompt: 1.0}
    asked = text_change(guide, prompts)
    pixels = EditedPhoto(photo, ()).unedited(portrait.crop, guide.size)
    color = torch.zeros_like(pixels, requires_grad=True)
    for _ in range(PLANTING):
        (slope,) = torch.autograd.grad((guide.image(pixels + color) @ asked).sum(), color)
        with torch.no_grad():
            color += LOUD / 6 * slope.sign()
            color.clamp_(-LOUD, LOUD)
    field = RasterField.from_offsets(torch.zeros(2, 4, 4), color.detach()[0], 0.045, 2 * LOUD)
    return Edit(photo, (FieldTransform(field, portrait.crop),), prompts)


PARTS: dict[str, Callable[[Bench], list[dict[str, Any]]]] = {
    "undo": undo,
    "transfer": transfer,
    "together": together,
    "several": several,
    "judge": judged,
}


def format_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows of one part in aligned columns: shares in percent, other numbers with two digits."""

    def written(key: str, value: Any) -> str:
        if value is None:
            return "-"
        if key in ("right", "clear", "alone", "warned"):
            return f"{value:.0%}"
        return f"{value:.2f}" if isinstance(value, float) else str(value)

    keys = [key for key, value in rows[0].items() if not isinstance(value, list)]
    words = sum(isinstance(value, str) for value in rows[0].values())
    return "\n".join(align([keys, *([written(key, row[key]) for key in keys] for row in rows)], words))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = shared_options("control", __doc__, PROMPTS, None)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=None, help="parts to run; judge needs --judge")
    parser.add_argument("--judge", help="a second encoder that looks at the default edits, as for flowedit edit")
    parser.add_argument(
        "--fragile", help="a guide that is not robust; the planted edits please it, and --encoder judges"
    )
    parser.add_argument("--json", type=Path, help="file for every row, the machine, versions and commit")
    options = parser.parse_args(arguments)
    options.only = options.only or [name for name in PARTS if name != "judge" or options.judge]
    with usage_errors(parser):
        require("judge" not in options.only or options.judge, "judge must be given an encoder by --judge; got none")
        check_shapes(options.prompts)
        find_asked(options)
    return options


def main(arguments: Sequence[str] | None = None, encoder: Encoder | None = None) -> None:
    options = parse(arguments)
    about = environment()
    bench = Bench(options, encoder or resolve_encoder(options.encoder, options.config))
    require("transfer" not in options.only or len(bench.portraits) > 1, "transfer must have a second portrait; got one")
    report: dict[str, Any] = {}
    print(f"{len(bench.portraits)} portraits ({options.people}), encoder {bench.guide.name}")
    for name in options.only:
        report[name] = PARTS[name](bench)
        print(f"\n{name}: {(PARTS[name].__doc__ or '').splitlines()[0]}\n{format_rows(report[name])}", flush=True)
    if options.json is not None:
        setup = {"encoder": bench.guide.name, "people": options.people, "match": options.match}
        setup["config"] = options.config.to_dict()
        write_report(options.json, finite({**about, **setup, **report}))


if __name__ == "__main__":
    sys.exit(main())
