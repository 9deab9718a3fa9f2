"""Hair, beard area, lids and lines, measured on pictures alone: what no guide says of an edit.

Everything is measured on a crop before and after, with regions drawn on the face before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.judge import Change, color_changes, lab, regions
from flowedit.face.crop import Crop, extract
from flowedit.face.guided import blur
from flowedit.face.hair import HAIR_PX, hair_mask
from flowedit.face.landmarks import interocular_distance
from flowedit.face.light import measure_light
from flowedit.face.retouch import HAIR_REACH, inside_photo, widened
from flowedit.face.retouch_masks import draw_places
from flowedit.photo.photo import Photo

SIZE_PX = 256  # side of the crop that is measured
SURE = 0.8  # share of a mask from which on a place is surely of a region
LINES = (0.01, 0.05)  # interocular distances: deviations between which structure counts as lines
LINED = ("forehead", "eye corners", "mouth lines", "under-eye skin", "cheek skin")
LEAST_PX = 60  # of a region that is measured

# What a prompt does to the hair: axis of CIELAB -> sign, as in `judge.Tint`.
HAIR: dict[str, Mapping[str, int]] = {
    "blonde hair": {"L": 1, "b": 1},
    "brown hair": {"b": 1},
    "black hair": {"L": -1},
    "red hair": {"a": 1},
    "gray hair": {"b": -1},
}


@dataclass(frozen=True)
class HairChange:
    """What happened to hair, and how much of it leaked.

    Attributes:
        hair: the hair's change of color.
        skin: mean Delta E of the skin's pixels over that of the hair's.
        around: the same of what is neither face nor hair.
    """

    hair: Change
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
    changes = color_changes(lab(before), lab(after), weights)
    whole = max(changes["hair"].pixels, 1e-6)
    leaks = [changes[name].pixels / whole if name in changes else 0.0 for name in ("skin", "around")]
    return HairChange(changes["hair"], *leaks)


def hair_effect(change: HairChange, prompt: str) -> float:
    """Return how far hair went the way that a prompt of `HAIR` asks for, Delta E units, or the worst axis."""
    steps = [sign * change.hair.mean["Lab".index(axis)] for axis, sign in HAIR[prompt].items()]
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
    """Measure how much darker than the cheeks the beard area, the upper lids and the skin under the eyes are: CIELAB L.

    Args:
        image: (1, 3, S, S) a crop.
        landmarks: (68, 2) crop coordinates.
    """
    size, lightness = image.shape[-1], lab(image)[0]
    cheeks = regions(landmarks, size).get("cheeks")
    if cheeks is None:
        return {}

    def mean(weight: Tensor) -> float:
        return float((lightness * weight).sum() / weight.sum().clamp_min(1e-6))

    drawn = draw_places(("beard", "lids", "liner", "rings"), landmarks)
    masks = {name: F.interpolate(mask[None, None], (size, size), mode="bilinear")[0, 0] for name, mask in drawn.items()}
    cheek = cheeks * (1 - torch.stack(list(masks.values())).amax(0))
    return {name: mean(cheek) - mean(mask) for name, mask in masks.items()}
