"""Edit each portrait in less and less light, and as a gray photo, and measure what becomes of its colors.

A prompt about shape must leave hues alone. A region's hue is the mean a* and b* of CIELAB over it, and its move is
measured twice: where the region's own pixels went (`moved along`: what lies on a lip stays of the lip, wherever it is
shown), and at the same place of both pictures (`in place`: skin that a thinner lip uncovers counts as a change of hue).
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import flowedit
from benchmarks import judge
from benchmarks.common import environment, finite, usage_errors, write_report
from benchmarks.edit import Portrait, check_shapes, faces_of, find_asked, look_at, shared_options, units_of, values_of
from benchmarks.table import RIGHT_SD, align, middle
from flowedit import Edit
from flowedit.checks import require
from flowedit.face.crop import extract
from flowedit.field.offsets import pixel_centers
from flowedit.guide.encoder import Encoder
from flowedit.photo.photo import load as load_photo
from flowedit.task.prepare import resolve_encoder
from flowedit.transform.render import EditedPhoto

PROMPTS = ("a smiling face", "a sad face", "big eyes", "a slim jaw")
LIGHT = (1.0, 0.5, 0.3, 0.15, 0.08)  # shares
REGIONS = ("lips", "skin", "cheeks", "eyes", "brows")
MOST_HUE = 2.0  # a region's mean may move by this in a* and b*, Delta E
LUMA = np.array([0.299, 0.587, 0.114])
NEAR = 4  # a color is the photo's own if the photo has one as near in a* and in b*


def in_light(pixels: np.ndarray, share: float | None) -> np.ndarray:
    """Show an sRGB picture, (H, W, 3) uint8, in a share of its light; None makes it gray."""
    if share is None:
        return np.repeat((pixels @ LUMA).round()[..., None], 3, axis=2).astype(np.uint8)
    x = pixels / 255
    linear = share * np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92)
    x = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return (255 * x).round().astype(np.uint8)


def region_hues(lab: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Average a* and b* of (3, S, S) CIELAB over each of REGIONS that is seen: (2,)."""
    seen = {name: weights[name] for name in REGIONS if name in weights}
    return {name: (lab[1:] * weight).sum((1, 2)) / weight.sum() for name, weight in seen.items()}


def move_along(weights: Mapping[str, Tensor], coord: Tensor) -> dict[str, Tensor]:
    """Carry (S, S) weights with a movement (1, 2, S, S): each place has the weight of the place that it reads."""
    grid = pixel_centers(coord.shape[-1])[None] + coord.permute(0, 2, 3, 1)
    names = list(weights)
    stack = torch.stack([weights[name] for name in names])[None]
    moved = F.grid_sample(stack, grid, padding_mode="border", align_corners=False)[0]
    return dict(zip(names, moved, strict=True))


def share_new(before: Tensor, after: Tensor) -> float:
    """Return the share of pixels whose a* and b* no pixel of the other (3, S, S) picture has, within NEAR."""

    def cells(lab: Tensor) -> Tensor:
        return (lab[1:] + 128).round().long().clamp(0, 255)

    table = torch.zeros(1, 1, 256, 256)
    table[0, 0, cells(before)[0], cells(before)[1]] = 1
    near = F.max_pool2d(table, 2 * NEAR + 1, 1, NEAR)[0, 0]
    return 1 - float(near[cells(after)[0], cells(after)[1]].mean())


def measure(portrait: Portrait, pixels: np.ndarray, edit: Edit, sd: Mapping[str, float]) -> dict[str, Any]:
    """Measure an edit of a portrait in less light: JSON-able.

    The landmarks are those of the portrait in full light, moved as the dim one was: dlib is no judge of the dark.
    """
    size, crop = judge.CROP_PX, portrait.crop
    lit = EditedPhoto(load_photo(portrait.path), edit.transforms, edit.strength)
    face = judge.find_face(load_photo(lit.pixels()), portrait.face.landmarks)
    effects = None
    if face is not None:
        after = values_of(face.landmarks)
        effects = {name: (after[name] - value) / sd[name] for name, value in portrait.values.items()}
    result = edit.edited.pixels()
    before, after_lab = (judge.lab(extract(load_photo(each), crop, size)) for each in (pixels, result))
    moved = judge.lab(extract(load_photo(edit.edited.at(color=0.0).pixels()), crop, size))
    along = move_along(portrait.regions, edit.edited.offsets(crop, size).coord)
    start = region_hues(before, portrait.regions)

    def apart(hues: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> dict[str, float]:
        return {name: float((hues[name] - base[name]).norm()) for name in hues}

    difference = result.astype(int).max(-1) - result.astype(int).min(-1)
    return {
        "effects_sd": effects,
        "moved along": apart(region_hues(after_lab, along), start),
        "in place": apart(region_hues(after_lab, portrait.regions), start),
        "tint": apart(region_hues(after_lab, along), region_hues(moved, along)),
        "pixel": float((after_lab - moved)[1:].norm(dim=0).max()),
        "new": share_new(before, after_lab),
        "channels": int(difference.max()),
        "strength": edit.strength,
    }


def run(options: argparse.Namespace, encoder: Encoder) -> list[dict[str, Any]]:
    """Edit and measure; a record for every portrait, prompt and light, None for light where the photo is gray."""
    population, paths = faces_of(options)
    sd, records = units_of(population), []
    for path in paths:
        portrait = look_at(path, population[path])
        photo = load_photo(path).pixels
        require(photo.dtype == np.uint8, f"a portrait must have 8 bits; got {photo.dtype} in {path.name}")
        for share in (*options.light, None):
            pixels = in_light(photo, share)
            for prompt in options.prompts:
                record: dict[str, Any] = {"photo": path.name, "prompt": prompt, "light": share}
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        edit = flowedit.optimize(pixels, prompt, config=options.config, encoder=encoder, progress=False)
                    record |= measure(portrait, pixels, edit, sd)
                except ValueError as error:  # no face is found
                    record["refused"] = str(error)
                records.append(record)
        print(f"{path.name} done", file=sys.stderr, flush=True)
    return records


def summarize(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Boil records down to the table's lines: one for each light, worst regions first."""
    lines = [["light", "n", "refused", "right", "effect", "hue 50 %", "worst", "where", "over", "in place", "pixel",
              "new", "channels"]]  # fmt: skip
    for share in dict.fromkeys(record["light"] for record in records):
        everyone = [record for record in records if record["light"] == share]
        known = [record for record in everyone if "refused" not in record]
        lights = "gray" if share is None else f"{share:.0%}"
        if not known:
            lines.append([lights, str(len(everyone)), str(len(everyone)), *["-"] * 10])
            continue
        moves = []
        for record in known:
            name, sign = judge.GEOMETRY[record["prompt"]]
            moves.append(None if record["effects_sd"] is None else sign * record["effects_sd"][name])
        effect = middle(moves)
        worst = max(known, key=lambda record: max(record["moved along"].values()))
        where = max(worst["moved along"], key=lambda name: worst["moved along"][name])
        hues = [max(record["moved along"].values()) for record in known]
        lines.append([
            lights, str(len(everyone)), str(len(everyone) - len(known)), f"{judge.share_above(moves, RIGHT_SD):.0%}",
            "-" if effect is None else f"{effect:+.2f}", f"{median(hues):.2f}", f"{max(hues):.2f}",
            f"{worst['photo'][:3]} {where}", f"{fmean(hue > MOST_HUE for hue in hues):.0%}",
            f"{max(max(record['in place'].values()) for record in known):.2f}",
            f"{max(record['pixel'] for record in known):.1f}", f"{max(record['new'] for record in known):.2%}",
            str(max(record["channels"] for record in known)) if share is None else "-",
        ])  # fmt: skip
    return lines


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = shared_options("light", __doc__, PROMPTS, None)
    parser.add_argument("--light", nargs="+", type=float, default=list(LIGHT), help="shares of the photo's light")
    parser.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    options = parser.parse_args(arguments)
    with usage_errors(parser):
        check_shapes(options.prompts)
        require(all(0 < share <= 1 for share in options.light), f"--light must be in (0, 1]; got {options.light}")
        find_asked(options)
    return options


def main(arguments: Sequence[str] | None = None, encoder: Encoder | None = None) -> None:
    options = parse(arguments)
    about = environment()
    encoder = encoder or resolve_encoder(options.encoder, options.config)
    records = run(options, encoder)
    print("\n".join(align(summarize(records), 1)))
    if options.json is not None:
        setup = {"encoder": encoder.name, "people": options.people, "config": options.config.to_dict()}
        write_report(options.json, finite({**about, **setup, "edits": records}))


if __name__ == "__main__":
    main()
