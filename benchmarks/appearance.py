"""Edit portraits in hair, make-up, beard shadow, lines, gazes and a few shapes, and measure the pictures alone.

Everything is measured on a crop before and after, with regions drawn on the face before. Hair is where flowedit finds
it in the photo before; what is recolored elsewhere counts as a leak.
"""

from __future__ import annotations

import argparse
import math
import sys
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import flowedit
from benchmarks.common import environment, finite, usage_errors, write_report
from benchmarks.edit import find_asked, shared_options
from benchmarks.imagine import LEAST_DELTA_E, LEAST_SD
from benchmarks.judge import Change, color_changes, find_face, lab, regions
from benchmarks.sheet import CELL_PX, save_sheets, sheet_file
from benchmarks.table import align, middle
from flowedit.checks import require
from flowedit.face import measures
from flowedit.face.crop import Crop, extract, face_crop, widened
from flowedit.face.guided import blur
from flowedit.face.hair import hair_mask
from flowedit.face.hair_dye import HAIR_REACH
from flowedit.face.hair_places import HAIR_PX
from flowedit.face.landmarks import EYES, interocular_distance
from flowedit.face.light import measure_light
from flowedit.face.retouch import inside_photo
from flowedit.face.retouch_masks import draw_places
from flowedit.field.eyes import eye_axes, half_width, lid_edges
from flowedit.guide.encoder import Encoder
from flowedit.photo.photo import Photo
from flowedit.photo.photo import load as load_photo
from flowedit.task.prepare import resolve_encoder

SIZE_PX = 256  # side of the crop that is measured
SURE = 0.8  # share of a mask from which on a place is surely of a region
LINES = (0.01, 0.05)  # interocular distances: deviations between which structure counts as lines
LINED = ("forehead", "eye corners", "mouth lines", "under-eye skin", "cheek skin")
NEUTRAL = 6.0  # chroma, CIELAB, of hair without a hue
LEAST_PX = 60  # of a region that is measured

# What a prompt does to the hair: axis of CIELAB -> sign, as in `judge.Tint`.
HAIR: dict[str, Mapping[str, int]] = {
    "blonde hair": {"L": 1, "b": 1},
    "brown hair": {"b": 1},
    "black hair": {"L": -1},
    "red hair": {"a": 1},
    "gray hair": {"b": -1},  # where it has a hue to lose; hair without is to be lighter
}
# What a prompt does to the darkness of a place, against that of the cheeks: place of `darkness` -> sign.
DARK: dict[str, tuple[str, int]] = {
    "a beard shadow": ("beard", 1),
    "stubble": ("beard", 1),
    "heavy eyeliner": ("liner", 1),
    "blue eye shadow": ("lids", 1),
    "tired eyes with dark rings": ("rings", 1),
    "a rested face": ("rings", -1),
    "bushy eyebrows": ("brows", 1),
    "thin eyebrows": ("brows", -1),
    "no eyebrows": ("brows", -1),
    "matte skin": ("shine", 1),
    "shiny skin": ("shine", -1),
}
# What a prompt does to the energy of the lines: sign.
LINED_BY: dict[str, int] = {
    "smooth skin": -1,
    "deep wrinkles": 1,
    "a younger face": -1,
    "an old woman": 1,
    "a face without freckles": -1,
    "freckles": 1,
}
# What a prompt does to the face's landmarks, found afresh: measure of flowedit.face.measures -> sign.
SHAPES: dict[str, tuple[str, int]] = {
    "closed eyes": ("eye_area", -1),
    "pouting lips": ("mouth_width", -1),
    "chubby cheeks": ("jaw_width", 1),
    "a gaunt face": ("jaw_width", -1),
}
# Where a prompt makes eyes look: axis of `gaze` -> sign.
GAZES: dict[str, tuple[int, int]] = {
    "looking left": (0, -1),
    "looking right": (0, 1),
    "looking up": (1, 1),
    "looking down": (1, -1),
}
PROMPTS = (*HAIR, *DARK, *LINED_BY, *SHAPES, *GAZES)
LEAST_GAZE = 3.0  # percent of an eye's width, an eighth of an iris
DARKEST = 0.3  # share of what lies between the lids that is taken for the iris
SHINING = 0.97  # quantile of the skin's lightness that shines
LEAST_LINES = 0.1  # share by which lines change that is to be seen
MOST_LEAK = 0.1  # of the hair's change, on skin and around


@dataclass(frozen=True)
class HairChange:
    """What happened to hair, and how much of it leaked.

    Attributes:
        hair: the hair's change of color.
        neutral: whether it was gray or black before, of no hue that could be lost.
        skin: mean Delta E of the skin's pixels over that of the hair's.
        around: the same of what is neither face nor hair.
    """

    hair: Change
    neutral: bool
    skin: float
    around: float


def hair_on_crop(photo: Photo, crop: Crop, size: int = SIZE_PX) -> Tensor:
    """Find the hair of a photo, over the crop alone: (size, size) in [0, 1]."""
    assert crop.landmarks is not None  # of a face
    image = extract(photo, widened(crop, HAIR_REACH), HAIR_PX)
    inside = inside_photo(crop, photo.height, photo.width)
    mask = hair_mask(image, inside, crop.landmarks, HAIR_REACH, measure_light(extract(photo, crop, size)))
    edge = round(HAIR_PX * (1 - 1 / HAIR_REACH) / 2)
    inner = mask[edge : HAIR_PX - edge, edge : HAIR_PX - edge]
    return F.interpolate(inner[None, None], (size, size), mode="bilinear")[0, 0]


def hair_change(before: Tensor, after: Tensor, landmarks: Tensor, hair: Tensor) -> HairChange | None:
    """Compare the hair of two crops (1, 3, S, S); None where the face shows none.

    Args:
        before: unedited.
        after: edited.
        landmarks: (68, 2) crop coordinates of the first.
        hair: `hair_on_crop` of the first.
    """
    size = before.shape[-1]
    sure = (hair > SURE).float()
    if float(sure.sum()) < LEAST_PX:
        return None
    drawn = regions(landmarks, size)
    near = F.max_pool2d(hair[None, None], 9, 1, 4)[0, 0]
    clear = (near < 1 - SURE).float()
    weights = {"hair": sure, "skin": drawn["skin"] * clear, "around": drawn["around"] * clear}
    weights = {name: weight for name, weight in weights.items() if float(weight.sum()) >= LEAST_PX}
    first = lab(before)
    chroma = float(((first[1:] * sure).sum((1, 2)) / sure.sum()).norm())
    changes = color_changes(first, lab(after), weights)
    whole = max(changes["hair"].pixels, 1e-6)
    leaks = [changes[name].pixels / whole if name in changes else 0.0 for name in ("skin", "around")]
    return HairChange(changes["hair"], chroma < NEUTRAL, *leaks)


def hair_effect(change: HairChange, prompt: str) -> float:
    """Return how far hair went the way that a prompt of `HAIR` asks for, Delta E units, or the worst axis."""
    wanted = {"L": 1} if prompt == "gray hair" and change.neutral else HAIR[prompt]
    steps = [sign * change.hair.mean["Lab".index(axis)] for axis, sign in wanted.items()]
    return sum(step**2 for step in steps) ** 0.5 if min(steps) > 0 else min(steps)


def line_energy(image: Tensor, landmarks: Tensor) -> dict[str, float]:
    """Measure the contrast of the fine structure of the regions LINED: its root mean square over their brightness.

    Args:
        image: (1, 3, S, S) a crop.
        landmarks: (68, 2) crop coordinates.
    """
    size, gray = image.shape[-1], image.mean(1)
    unit = float(interocular_distance(landmarks)) * size / 2
    fine, coarse = (blur(gray, width * unit)[0] for width in LINES)
    found = {}
    for name, mask in draw_places(LINED, landmarks).items():
        weight = F.interpolate(mask[None, None], (size, size), mode="bilinear")[0, 0]
        weight = weight * (weight > SURE / 2)
        if float(weight.sum()) < LEAST_PX:
            continue
        power = ((fine - coarse).square() * weight).sum() / weight.sum()
        found[name] = float(power.sqrt() / ((coarse * weight).sum() / weight.sum()).clamp_min(0.02))
    return found


def darkness(image: Tensor, landmarks: Tensor) -> dict[str, float]:
    """Measure how much darker than the cheeks places are, "shine" the skin's lightest: CIELAB L.

    Args:
        image: (1, 3, S, S) a crop.
        landmarks: (68, 2) crop coordinates.
    """
    size, lightness = image.shape[-1], lab(image)[0]
    around = regions(landmarks, size)
    cheeks = around.get("cheeks")
    if cheeks is None:
        return {}

    def mean(weight: Tensor) -> float:
        return float((lightness * weight).sum() / weight.sum().clamp_min(1e-6))

    drawn = draw_places(("beard", "lids", "liner", "rings"), landmarks)
    masks = {name: F.interpolate(mask[None, None], (size, size), mode="bilinear")[0, 0] for name, mask in drawn.items()}
    cheek = cheeks * (1 - torch.stack(list(masks.values())).amax(0))
    found = {name: mean(cheek) - mean(mask) for name, mask in masks.items()}
    if "skin" in around:
        found["shine"] = mean(cheek) - float(lightness[around["skin"] > SURE].quantile(SHINING))
    if not {"brows", "eyes"} <= around.keys():
        return found
    # A brow is moved too: all that is dark about it, over the area of one.
    near = (F.max_pool2d(around["brows"][None, None], 2 * (size // 24) + 1, 1, size // 24) > 0)[0, 0]
    eyes = F.max_pool2d(around["eyes"][None, None], 2 * (size // 64) + 1, 1, size // 64)[0, 0]
    dark = (mean(cheek) - lightness).clamp(min=0) * near * (1 - eyes)
    return {**found, "brows": float(dark.sum() / around["brows"].sum())}


def gaze(before: Tensor, after: Tensor, landmarks: Tensor) -> Tensor:
    """Measure how far to the right and up the middle of what is dark between the lids goes.

    Args:
        before: (1, 3, S, S) a crop.
        after: the edited one.
        landmarks: (68, 2) crop coordinates of the first.

    Returns:
        (2,) the mean of both eyes, percent of an eye's width. As dark as an iris is what DARKEST of the first is.
    """
    v, u = torch.meshgrid(torch.linspace(-0.5, 0.5, 40), torch.linspace(-0.85, 0.85, 68), indexing="ij")
    found = []
    for outline in (landmarks[eye] for eye in EYES):
        (along, down), half, (upper, lower) = eye_axes(outline), half_width(outline), lid_edges(outline)
        at = (outline[0] + outline[3]) / 2 + half * (u[..., None] * along + v[..., None] * down)
        opened = (half * v > upper(u)) & (half * v < lower(u))
        middles = []
        for image in (before, after):
            gray = F.grid_sample(image.mean(1, keepdim=True), at[None], align_corners=False)[0, 0]
            if not middles:
                darkest = gray[opened].quantile(DARKEST)
            iris = opened & (gray <= darkest)
            middles.append(torch.stack([u[iris].mean(), -v[iris].mean()]) / 2)
        found.append(middles[1] - middles[0])
    return 100 * torch.stack(found).mean(0).nan_to_num(-math.inf)


@torch.no_grad()
def measure(prompt: str, before: Tensor, after: Tensor, crop: Crop, hair: Tensor) -> dict[str, Any] | None:
    """Measure one edit's pixels; None where the face shows no hair and hair is asked for.

    Args:
        prompt: of PROMPTS, but for those of SHAPES.
        before: (1, 3, S, S) the crop.
        after: of the edited photo.
        crop: with landmarks.
        hair: `hair_on_crop`.

    Returns:
        effect: the right way above 0, Delta E, CIELAB L, percent of an eye's width, or the share by which lines
        change; seen: whether it is visible; skin and around: `HairChange`'s, of hair.
    """
    assert crop.landmarks is not None
    points = crop.landmarks.float()
    if prompt in HAIR:
        change = hair_change(before, after, points, hair)
        if change is None:
            return None
        seen = change.hair.pixels >= LEAST_DELTA_E
        return {"effect": hair_effect(change, prompt), "seen": seen, "skin": change.skin, "around": change.around}
    if prompt in DARK:
        place, sign = DARK[prompt]
        effect = sign * (darkness(after, points)[place] - darkness(before, points)[place])
        return {"effect": effect, "seen": effect >= LEAST_DELTA_E}
    if prompt in GAZES:
        axis, sign = GAZES[prompt]
        effect = sign * float(gaze(before, after, points)[axis])
        return {"effect": effect, "seen": effect >= LEAST_GAZE}
    energies = line_energy(before, points), line_energy(after, points)
    ratio = fmean(math.log(energies[1][name] / energies[0][name]) for name in energies[0])
    effect = LINED_BY[prompt] * math.expm1(ratio)
    return {"effect": effect, "seen": effect >= LEAST_LINES}


def shape_change(prompt: str, before: Tensor, after: Photo) -> dict[str, Any]:
    """Measure how far a prompt of SHAPES moved a face with landmarks `before` (68, 2), photo pixels.

    Returns:
        effect: deviations of the prompt's measure, the right way above 0; -inf for a face that is lost. seen: as of
        `measure`.
    """
    name, sign = SHAPES[prompt]
    face = find_face(after, near=before)
    if face is None:
        return {"effect": -math.inf, "seen": False}
    moved = measures.measure(face.landmarks)[name] - measures.measure(before)[name]
    effect = sign * float(moved) / measures.SPREADS[name]
    return {"effect": effect, "seen": effect >= LEAST_SD}


def run(options: argparse.Namespace, encoder: Encoder) -> tuple[list[dict[str, Any]], dict[str, list[np.ndarray]]]:
    """Edit and measure: a record for every portrait and prompt, and the pictures of a sheet by its columns."""
    records: list[dict[str, Any]] = []
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("", *options.prompts)}
    done = 0
    for path in options.paths:
        photo = load_photo(path)
        face = find_face(photo)
        if face is None:
            print(f"{path.name}: no face found, left out", file=sys.stderr)
            continue
        crop, done = face_crop(face.landmarks), done + 1
        before, hair = extract(photo, crop, SIZE_PX), hair_on_crop(photo, crop)
        columns[""].append(cell(photo, crop))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they are recorded
            edits = find_edits(path, options, encoder)
        for prompt, edit in zip(options.prompts, edits, strict=True):
            edited = load_photo(edit.edited.pixels())
            if prompt in SHAPES:
                measured: dict[str, Any] | None = shape_change(prompt, face.landmarks, edited)
            else:
                measured = measure(prompt, before, extract(edited, crop, SIZE_PX), crop, hair)
            columns[prompt].append(cell(edited, crop))
            known = {"photo": path.name, "prompt": prompt, "strength": edit.strength, "messages": list(edit.messages)}
            records.append({**known, "found": measured is not None, **(measured or {})})
        print(f"{path.name} done", file=sys.stderr, flush=True)
        if done == options.limit:
            break
    return records, columns


def find_edits(path: Path, options: argparse.Namespace, encoder: Encoder) -> list[flowedit.Edit]:
    if options.by == "predict":
        return flowedit.predict(path, list(options.prompts), config=options.config, encoder=encoder)
    settings: dict[str, Any] = {"config": options.config, "encoder": encoder, "progress": False}
    return [flowedit.optimize(path, prompt, **settings) for prompt in options.prompts]


def cell(photo: Photo, crop: Crop) -> np.ndarray:
    """Draw a face with its hair: (CELL_PX, CELL_PX, 3) uint8."""
    picture = extract(photo, widened(crop, 1.2), CELL_PX)[0]
    return (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def summarize(records: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Boil records down to the table's lines: one for each prompt."""
    lines = [["prompt", "n", "no hair", "right", "seen", "effect", "skin", "around", "kept"]]
    for prompt in dict.fromkeys(record["prompt"] for record in records):
        every = [record for record in records if record["prompt"] == prompt]
        known = [record for record in every if record["found"]]
        row = [prompt, str(len(every)), str(len(every) - len(known)) if prompt in HAIR else "-"]
        if not known:
            lines.append([*row, *["-"] * 6])
            continue
        row += [
            f"{fmean(record['effect'] > 0 for record in known):.0%}",
            f"{fmean(record['seen'] for record in known):.0%}",
        ]
        row.append(f"{middle(record['effect'] for record in known):+.2f}")
        if prompt in HAIR:
            row += [f"{middle(record[name] for record in known):.2f}" for name in ("skin", "around")]
            row.append(f"{fmean(max(record['skin'], record['around']) <= MOST_LEAK for record in known):.0%}")
        else:
            row += ["-"] * 3
        lines.append(row)
    return lines


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = shared_options("appearance", __doc__, PROMPTS, None)
    parser.add_argument("--by", choices=("predict", "optimize"), default="predict", help="how edits are found")
    parser.add_argument("--sheet", type=sheet_file, help="PNG for a sheet of the pictures")
    parser.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    options = parser.parse_args(arguments)
    with usage_errors(parser):
        unknown = [prompt for prompt in options.prompts if prompt not in PROMPTS]
        require(not unknown, f"--prompts must be of {', '.join(PROMPTS)}; got {', '.join(unknown)}")
        find_asked(options)
    return options


def main(arguments: Sequence[str] | None = None, encoder: Encoder | None = None) -> None:
    options = parse(arguments)
    about = environment()
    encoder = encoder or resolve_encoder(options.encoder, options.config)
    records, columns = run(options, encoder)
    require(bool(records), "FOLDER must hold a face; got none")
    print("\n".join(align(summarize(records), 1)))
    if options.sheet is not None:
        names = list(dict.fromkeys(record["photo"] for record in records))
        save_sheets(options.sheet, ["", *options.prompts], names, list(columns.values()))
    if options.json is not None:
        setup = {"encoder": encoder.name, "by": options.by, "config": options.config.to_dict()}
        write_report(options.json, finite({**about, **setup, "edits": records}))


if __name__ == "__main__":
    main()
