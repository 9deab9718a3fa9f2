"""Edit -> what it does, in numbers and words: how far, where, which way, folds, color."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.crop import Crop, extract
from flowedit.face.measures import rgb_to_lab
from flowedit.face.parts import PARTS, part_masks
from flowedit.face.regions import REGIONS, face_distance, region_mask
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.warp import count_folds, warp
from flowedit.photo import photo as images
from flowedit.report.describe import describe_colors, describe_points
from flowedit.transform.render import render
from flowedit.transform.transforms import (
    Composition,
    FieldTransform,
    Transform,
    crop_key,
    find_crops,
    leaves,
    move_crop,
)

if TYPE_CHECKING:
    from flowedit.edit import Edit


LATTICE = 256  # points along a side of the crop that are looked at
VISIBLE_PX = 0.5  # what moves further counts as moved
STILL_PX = 0.1  # a region whose mean movement is less stands still
OFF_FACE = 0.3  # eye distances from the face's outline on, all is background


def explain(edit: Edit) -> dict[str, Any]:
    """Tell in numbers what an edit does at its own strength; JSON-able.

    With a photo only what lies inside it is counted; without one (after `load`) the whole crop, and pixels
    are those of the photo the edit was made for. Similarity and identity distance are told where they were measured on
    the edit's own photo.
    Directions are those the viewer sees in the upright face: right is the picture's right, outward is away
    from the middle of the part (each eye has its own) once the part's common movement is taken out.

    Returns:
        `prompts`, `encoder`, `region` (joined by commas where an edit is made of several), `strength`,
        `strength_reason`, `stopped`;
        `similarity`: prompt -> {"before", "after"} cosines, which may fall where the target is a direction; `gain`:
        share of the change from "a face" to the prompts that the guide sees; `identity_distance` or None; and `faces`,
        which holds for each crop
        `crop_side_px`; `eye_distance_px` between the outer eye corners, or None;
        `movement`: `largest_` and `mean_` in `px`, `percent_of_crop` and, or None, `percent_of_eye_distance`;
        `moved_share`: of the crop, moved over 0.5 px; `changed_share`: of the pixels of the upright box around
        the crop, not the same in 8 bits, None without a photo; `folds` and `folds_share` of 256 x 256 points;
        `background`: outside the face, or None, the `largest_px` movement, and `bend_px`: how far a straight level
        or upright line there departs from the nearest straight line, at most;
        `tint`: `largest` and `mean` absolute change of a channel, image units;
        `parts`: lips, skin, cheeks, brows and irises -> the R, G, B added to the whole of it, image units;
        `regions`: name -> `movement_px` (mean), `movement_percent_of_eye_distance`, `direction`, `tint` (mean change
        of R, G, B), and with a photo `lab`, the mean change of L, a, b that the tint makes, if landmarks are known;
        `points`: what moved, in words: "mouth corners up 4.2 px (3.1 % of the distance between the eyes)";
        `colors`: what was colored, in words, with a photo: "lips redder by 12.0 and darker by 5.1" (CIELAB).
        Shares are fractions. `judge` is there if one was asked: its name, its similarity, what it and the
        guide gained, as shares of the prompt's change, and whether the guide was fooled.
    """
    facts = edit.facts
    regions = {layer.region for layer in leaves(edit.transforms) if layer.region is not None}
    return {
        "prompts": dict(edit.prompts),
        "encoder": facts.get("encoder"),
        "region": ", ".join(sorted(regions)) or None,
        "strength": edit.strength,
        "strength_reason": edit.strength_reason,
        "stopped": edit.stopped,
        "similarity": {
            prompt: {"before": before, "after": after}
            for prompt, (before, after) in (facts.get("similarity") or {}).items()
        },
        "gain": facts.get("gain"),
        "identity_distance": facts.get("identity_distance"),
        **({"judge": facts["judge"]} if "judge" in facts else {}),
        "faces": {
            f"face {i}": summarize_face(edit, crop, look(edit, crop))
            for i, crop in enumerate(find_crops(edit.transforms), 1)
        },
    }


class Look(NamedTuple):
    """What an edit does at LATTICE x LATTICE points of a crop."""

    offsets: Offsets  # crop coordinates and image units
    moved: Tensor  # (2, n, n) how far the content now seen there has come, photo pixels along the crop's axes
    seen: Tensor  # (n, n) 1 inside the photo, 0 outside; all 1 where the photo is not known
    pixels: Tensor | None  # (1, 3, n, n) the photo; None where it is not known
    lab: Tensor | None  # (3, n, n) what the tint changes, CIELAB; None likewise

    @property
    def tint(self) -> Tensor:
        """(3, n, n) image units."""
        return self.offsets.color[0]


@torch.no_grad()
def look(edit: Edit, crop: Crop) -> Look:
    """Ask for an edit's offsets, at its own strength, over one of its crops."""
    offsets = move_crop(edit.transforms, crop, LATTICE, edit.strength)
    seen, pixels, lab = torch.ones(LATTICE, LATTICE), None, None
    if edit.photo is not None:
        extent = torch.tensor([edit.photo.width, edit.photo.height])
        place = crop.to_photo(pixel_centers(LATTICE))
        seen = ((place > 0) & (place < extent)).all(-1).float()
        pixels = extract(edit.photo, crop, LATTICE)
        moved = warp(pixels, offsets._replace(color=torch.zeros_like(offsets.color)))
        lab = (rgb_to_lab((moved + offsets.color).clamp(0, 1)) - rgb_to_lab(moved))[0]
    # output(p) = image(p + coord(p)): what is seen at p has come from there, so it moved by minus coord.
    return Look(offsets, offsets.coord[0] * (-crop.side_px / 2), seen, pixels, lab)


def summarize_face(edit: Edit, crop: Crop, look: Look) -> dict[str, Any]:
    """Sum up one crop; see `explain`."""
    distance = look.moved.norm(dim=0) * look.seen
    change = look.tint.abs() * look.seen
    side = crop.side_px
    eyes = None if crop.eye_distance is None else crop.eye_distance * side / 2
    movement: dict[str, float | None] = {}
    for name, value in (("largest", float(distance.max())), ("mean", _mean(distance, look.seen))):
        movement[f"{name}_px"] = round(value, 3)
        movement[f"{name}_percent_of_crop"] = round(100 * value / side, 3)
        movement[f"{name}_percent_of_eye_distance"] = round(100 * value / eyes, 3) if eyes else None
    folds = count_folds(look.offsets.coord)
    return {
        "points": []
        if crop.landmarks is None
        else describe_points(look.moved, crop),  # what most will want comes first
        "colors": _colors(look, crop),
        "crop_side_px": round(side, 2),
        "eye_distance_px": None if eyes is None else round(eyes, 2),
        "movement": movement,
        "moved_share": round(_mean((distance > VISIBLE_PX).float(), look.seen), 4),
        "changed_share": _changed_share(edit, crop),
        "folds": folds,
        "folds_share": folds / LATTICE**2,
        "background": summarize_background(look, crop),
        "tint": {
            "largest": round(float(change.max()), 4),
            "mean": round(_mean(change.mean(0), look.seen), 4),
        },
        "parts": _parts(edit, crop),
        "regions": _regions(look, crop),
    }


def _changed_share(edit: Edit, crop: Crop) -> float | None:
    """Share of a crop's pixels in the photo that a picture saved in 8 bits shows differently."""
    if edit.photo is None:
        return None
    box = crop.box(edit.photo.height, edit.photo.width)
    if box[0] >= box[2] or box[1] >= box[3]:
        return 0.0
    pictures = (render(edit.photo, edit.transforms, shape=s, color=s, box=box) for s in (0.0, edit.strength))
    before, after = (images.quantize(picture, np.uint8) for picture in pictures)
    return round(float((before != after).any(-1).mean()), 4)


def summarize_background(look: Look, crop: Crop) -> dict[str, float] | None:
    """Tell what happens outside the face: the longest movement, and the most that a straight line bends, pixels."""
    if crop.landmarks is None:
        return None
    off = face_distance(pixel_centers(LATTICE, dtype=torch.float64), crop.landmarks)
    weight = (off > OFF_FACE).float() * look.seen
    # A level line's points go up and down by moved[1], an upright one's left and right by moved[0].
    bends = (_bend(look.moved[1], weight), _bend(look.moved[0].T, weight.T))
    return {
        "largest_px": round(float((look.moved.norm(dim=0) * weight).max()), 3),
        "bend_px": round(max(bends), 3),
    }


def _bend(moved: Tensor, weight: Tensor) -> float:
    """How far (n, n) heights depart from the straight line of least squares in their row, at most."""
    at = pixel_centers(moved.shape[-1])[0, :, 0].expand_as(moved)
    total = weight.sum(1, keepdim=True).clamp_min(1e-9)
    x, y = (v - (v * weight).sum(1, keepdim=True) / total for v in (at, moved))
    slope = (x * y * weight).sum(1, keepdim=True) / (x * x * weight).sum(1, keepdim=True).clamp_min(1e-9)
    return float(((y - slope * x) * weight).abs().max())


def _parts(edit: Edit, crop: Crop) -> dict[str, list[float]]:
    """Tell the color added to each part of a face: R, G, B in image units."""
    colors = edit.strength * _part_colors(edit.transforms, crop)
    if not colors.any() and all(layer.part_tint is None for layer in leaves(edit.transforms)):
        return {}
    return {
        name: [round(value, 4) + 0.0 for value in color] for name, color in zip(PARTS, colors.tolist(), strict=True)
    }


def _part_colors(transforms: Sequence[Transform], crop: Crop) -> Tensor:
    """Add up the colors of a face's parts, (5, 3); what is undone counts against."""
    total = torch.zeros(len(PARTS), 3)
    for move in transforms:
        if isinstance(move, FieldTransform):
            if move.part_tint is not None and crop_key(move.crop) == crop_key(crop):
                total += move.strength * move.part_tint.colors().detach().cpu()
        elif isinstance(move, Composition):
            total += move.strength * sum(_part_colors(stage, crop) for stage in move.stages)
        else:
            total -= move.strength * _part_colors(move.transforms, crop)
    return total


def _colors(look: Look, crop: Crop) -> list[str]:
    if look.pixels is None or look.lab is None or crop.landmarks is None:
        return []
    masks = part_masks(look.pixels, crop.landmarks).float()[None]
    weights = F.interpolate(masks, (LATTICE, LATTICE), mode="bilinear")[0] * look.seen
    parts = zip(PARTS, weights, strict=True)
    return describe_colors({name: [_mean(axis, weight) for axis in look.lab] for name, weight in parts})


def _regions(look: Look, crop: Crop) -> dict[str, dict[str, Any]]:
    """Sum up each part of a face: mean movement in pixels, direction in words, mean change of R, G, B."""
    if crop.landmarks is None:
        return {}
    told, eyes = {}, float(crop.eye_distance or 0) * crop.side_px / 2
    for name in REGIONS:
        weight = region_mask(name, crop.landmarks, LATTICE)[0, 0] * look.seen
        distance = _mean(look.moved.norm(dim=0), weight)
        told[name] = {
            "movement_px": round(distance, 3),
            "movement_percent_of_eye_distance": round(100 * distance / eyes, 3),
            "direction": _direction(look.moved, weight, crop.landmarks if name == "eyes" else None),
            "tint": [round(_mean(channel, weight), 4) + 0.0 for channel in look.tint],  # no -0.0
            **({} if look.lab is None else {"lab": [round(_mean(axis, weight), 2) + 0.0 for axis in look.lab]}),
        }
    return told


def _direction(moved: Tensor, weight: Tensor, eyes: Tensor | None) -> str:
    """Put the movement (2, n, n) of a part (n, n) into words; `eyes` are the landmarks if it is the eyes."""
    typical = _mean(moved.norm(dim=0), weight)
    if typical < STILL_PX:
        return "still"
    outward = _spread(moved, weight)
    if eyes is not None:
        # A pair may move apart or grow, each about its own middle: the stronger of both is told.
        on_left = (pixel_centers(LATTICE)[..., 0] < eyes[36:48, 0].mean()).float()
        grown = (_spread(moved, weight * on_left) + _spread(moved, weight * (1 - on_left))) / 2
        outward = max(outward, grown, key=abs)
    right, down = (_mean(axis, weight) for axis in moved)
    parts = [(down, "down", "up"), (outward, "outward", "inward"), (right, "right", "left")]
    parts.sort(key=lambda part: -abs(part[0]))
    least = max(abs(parts[0][0]) / 3, typical / 5)
    words = [plus if value > 0 else minus for value, plus, minus in parts if abs(value) >= least]
    return " and ".join(words) or "mixed"


def _spread(moved: Tensor, weight: Tensor) -> float:
    """Return how far a part's content goes away from the part's middle on average, beyond what all of it does."""
    x, y = pixel_centers(LATTICE).unbind(-1)
    away = torch.stack([x - _mean(x, weight), y - _mean(y, weight)])
    common = torch.tensor([_mean(axis, weight) for axis in moved])[:, None, None]
    return _mean(((moved - common) * F.normalize(away, dim=0)).sum(0), weight)


def _mean(values: Tensor, weight: Tensor) -> float:
    """Average (n, n) values; 0 where nothing has weight."""
    return float((values * weight).sum(dtype=torch.float64) / weight.sum(dtype=torch.float64).clamp_min(1e-9))
