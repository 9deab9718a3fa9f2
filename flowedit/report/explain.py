"""EditedPhoto -> what it does to each face, in numbers and words: how far, where, which way, folds, color."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.crop import Crop, crop_key
from flowedit.face.landmarks import BOTH_EYES
from flowedit.face.measures import rgb_to_lab
from flowedit.face.parts import PARTS, part_masks
from flowedit.face.regions import REGIONS, face_distance, region_mask
from flowedit.face.retouch import RETOUCHED, Retouch
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.warp import count_folds, warp
from flowedit.report.describe import describe_colors, describe_details, describe_points
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import Composition, FieldTransform, Transform, leaves

LATTICE = 256  # points along a side of the crop that are evaluated
VISIBLE_PX = 0.5  # what moves further counts as moved
STILL_PX = 0.1  # a region whose mean movement is less stands still
OFF_FACE = 0.3  # interocular distances from the face's outline on, all is background


@dataclass(frozen=True)
class Movement:
    """How far content moves: in photo pixels, in percent of the crop's side, and of the outer-canthal distance."""

    largest_px: float
    largest_percent_of_crop: float
    largest_percent_of_eye_distance: float | None
    mean_px: float
    mean_percent_of_crop: float
    mean_percent_of_eye_distance: float | None


@dataclass(frozen=True)
class Background:
    """What happens off the face, in photo pixels.

    Attributes:
        largest_px: the longest movement.
        bend_px: the most that a straight level or upright line departs from the nearest straight line.
    """

    largest_px: float
    bend_px: float


@dataclass(frozen=True)
class Tint:
    """Absolute change of a channel by the tint, image units."""

    largest: float
    mean: float


@dataclass(frozen=True)
class RegionReport:
    """What happens to one region of a face.

    Directions are those the viewer sees in the upright face: right is the picture's right, outward is away from the
    middle of the region (each eye has its own) once the region's common movement is taken out.

    Attributes:
        movement_px: mean, photo pixels.
        movement_percent_of_eye_distance: the same, of the outer-canthal distance; None where that is 0.
        direction: in words, `still` or `mixed`.
        tint: mean change of R, G, B, image units.
        lab: mean change of L, a, b that the tint makes, CIELAB; None without a photo.
    """

    movement_px: float
    movement_percent_of_eye_distance: float | None
    direction: str
    tint: list[float]
    lab: list[float] | None


@dataclass(frozen=True)
class FaceReport:
    """What an edit does over one crop.

    With a photo only what lies inside it is counted; without one the whole crop, and pixels are those of the photo the
    edit was made for. Shares are fractions.

    Attributes:
        points: what moved, in words: "mouth corners up 4.2 px (3.1 % of the distance between the outer eye corners)".
        colors: what was colored, in words, with a photo: "lips redder by 12.0 and darker by 5.1" (CIELAB); and what was
            done to fine structure: "lines on the forehead 40 % deeper".
        crop_side_px: photo pixels along the crop.
        eye_distance_px: the outer-canthal distance, photo pixels; None without landmarks.
        movement: largest and mean.
        moved_share: of the crop, moved over 0.5 px.
        changed_share: of the pixels of the upright box around the crop, not the same in 8 bits; None without a photo.
        folds: of 256 x 256 points.
        folds_share: the same as a share.
        background: None without landmarks.
        tint: largest and mean.
        parts: lips, skin, cheeks, brows and irises -> the R, G, B added to the whole of it, image units.
        regions: name -> its report; empty without landmarks.
    """

    points: list[str]
    colors: list[str]
    crop_side_px: float
    eye_distance_px: float | None
    movement: Movement
    moved_share: float
    changed_share: float | None
    folds: int
    folds_share: float
    background: Background | None
    tint: Tint
    parts: dict[str, list[float]]
    regions: dict[str, RegionReport]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values under the same names; `lab` only where it is known."""
        values = asdict(self)
        for region in values["regions"].values():
            if region["lab"] is None:
                del region["lab"]
        return values


class CropSample(NamedTuple):
    """What an edit does at LATTICE x LATTICE points of a crop."""

    offsets: Offsets  # crop coordinates and image units
    moved: Tensor  # (2, n, n) how far the content now seen there has come, photo pixels along the crop's axes
    inside: Tensor  # (n, n) 1 inside the photo, 0 outside; all 1 where the photo is not known
    pixels: Tensor | None  # (1, 3, n, n) the photo; None where it is not known
    lab: Tensor | None  # (3, n, n) what the tint changes, CIELAB; None likewise

    @property
    def tint(self) -> Tensor:
        """(3, n, n) image units."""
        return self.offsets.color[0]

    def distance(self) -> Tensor:
        """(n, n) length of `moved`."""
        return _length(self.moved)


def analyze(edited: EditedPhoto) -> list[FaceReport]:
    """Measure what an edit does, crop by crop."""
    return [report_face(edited, crop, sample_crop(edited, crop)) for crop in edited.crops()]


@torch.no_grad()
def sample_crop(edited: EditedPhoto, crop: Crop) -> CropSample:
    """Evaluate an edit over one of its crops."""
    offsets = edited.offsets(crop, LATTICE)
    inside, pixels, lab = torch.ones(LATTICE, LATTICE), None, None
    if edited.photo is not None:
        extent = torch.tensor([edited.photo.width, edited.photo.height])
        place = crop.to_photo(pixel_centers(LATTICE))
        inside = ((place > 0) & (place < extent)).all(-1).float()
        pixels = edited.unedited(crop, LATTICE)
        still = torch.zeros_like(offsets.color)
        moved = warp(pixels, offsets._replace(color=still))
        retouched = edited.retouched(crop, LATTICE)
        if retouched is not pixels:  # what is added to the photo before it moves is seen as a tint where it goes
            added = warp(retouched, offsets._replace(color=still)) - moved
            offsets = offsets._replace(color=offsets.color + added)
        lab = (rgb_to_lab((moved + offsets.color).clamp(0, 1)) - rgb_to_lab(moved))[0]
    # output(p) = image(p + coord(p)): what is seen at p has come from there, so it moved by minus coord.
    return CropSample(offsets, offsets.coord[0] * (-crop.side_px / 2), inside, pixels, lab)


def report_face(edited: EditedPhoto, crop: Crop, sample: CropSample) -> FaceReport:
    """Sum up one crop."""
    distance = sample.distance() * sample.inside
    change = sample.tint.abs() * sample.inside
    side = crop.side_px
    eyes = None if crop.outer_canthal_distance is None else crop.outer_canthal_distance * side / 2
    movement: dict[str, float | None] = {}
    for name, value in (("largest", float(distance.max())), ("mean", _mean(distance, sample.inside))):
        movement[f"{name}_px"] = round(value, 3)
        movement[f"{name}_percent_of_crop"] = round(100 * value / side, 3)
        movement[f"{name}_percent_of_eye_distance"] = _percent(value, eyes)
    folds = count_folds(sample.offsets.coord)
    return FaceReport(
        points=[] if crop.landmarks is None else describe_points(sample.moved, crop),
        colors=_colors(edited, sample, crop) + describe_details(_details(edited.transforms, crop, edited.strength)),
        crop_side_px=round(side, 2),
        eye_distance_px=None if eyes is None else round(eyes, 2),
        movement=Movement(**movement),  # type: ignore[arg-type]
        moved_share=round(_mean((distance > VISIBLE_PX).float(), sample.inside), 4),
        changed_share=_changed_share(edited, crop),
        folds=folds,
        folds_share=folds / LATTICE**2,
        background=measure_background(sample, crop),
        tint=Tint(round(float(change.max()), 4), round(_mean(change.mean(0), sample.inside), 4)),
        parts=_parts(edited, crop),
        regions=_regions(sample, crop),
    )


def _percent(value: float, of: float | None) -> float | None:
    return round(100 * value / of, 3) if of else None


def _changed_share(edited: EditedPhoto, crop: Crop) -> float | None:
    """Share of a crop's pixels in the photo that a picture saved in 8 bits shows differently."""
    if edited.photo is None:
        return None
    box = crop.box(edited.photo.height, edited.photo.width)
    if box[0] >= box[2] or box[1] >= box[3]:
        return 0.0
    before, after = (each.pixels(box, np.uint8) for each in (edited.at(0.0), edited))
    return round(float((before != after).any(-1).mean()), 4)


def measure_background(sample: CropSample, crop: Crop) -> Background | None:
    """Measure what happens off the face; None without landmarks."""
    if crop.landmarks is None:
        return None
    off = face_distance(pixel_centers(LATTICE, dtype=torch.float64), crop.landmarks)
    weight = (off > OFF_FACE).float() * sample.inside
    # A level line's points go up and down by moved[1], an upright one's left and right by moved[0].
    bends = (_bend(sample.moved[1], weight), _bend(sample.moved[0].T, weight.T))
    return Background(round(float((sample.distance() * weight).max()), 3), round(max(bends), 3))


def _bend(moved: Tensor, weight: Tensor) -> float:
    """How far (n, n) heights depart from the straight line of least squares in their row, at most."""
    at = pixel_centers(moved.shape[-1])[0, :, 0].expand_as(moved)
    total = weight.sum(1, keepdim=True).clamp_min(1e-9)
    x, y = (v - (v * weight).sum(1, keepdim=True) / total for v in (at, moved))
    slope = (x * y * weight).sum(1, keepdim=True) / (x * x * weight).sum(1, keepdim=True).clamp_min(1e-9)
    return float(((y - slope * x) * weight).abs().max())


def _parts(edited: EditedPhoto, crop: Crop) -> dict[str, list[float]]:
    """Return the color added to each part of a face: R, G, B in image units."""
    colors = edited.strength * _part_colors(edited.transforms, crop)
    if not colors.any() and all(leaf.part_tint is None for leaf in leaves(edited.transforms)):
        return {}
    return {
        name: [round(value, 4) + 0.0 for value in color] for name, color in zip(PARTS, colors.tolist(), strict=True)
    }


def _part_colors(transforms: Sequence[Transform], crop: Crop) -> Tensor:
    """Add up the colors of a face's parts, (5, 3); what is undone counts against."""
    total = torch.zeros(len(PARTS), 3)
    for transform in transforms:
        if isinstance(transform, FieldTransform):
            if transform.part_tint is not None and crop_key(transform.crop) == crop_key(crop):
                total += transform.strength * transform.part_tint.colors().detach().cpu()
        elif isinstance(transform, Composition):
            total += transform.strength * sum(_part_colors(stage, crop) for stage in transform.stages)
        else:
            total -= transform.strength * _part_colors(transform.transforms, crop)
    return total


def _colors(edited: EditedPhoto, sample: CropSample, crop: Crop) -> list[str]:
    if sample.pixels is None or sample.lab is None or crop.landmarks is None:
        return []
    masks = dict(zip(PARTS, part_masks(sample.pixels, crop.landmarks).float(), strict=True))
    for retouch in _retouches(edited.transforms, crop):
        pigments = [part for part in retouch.parts if not RETOUCHED[part].detail and part not in masks]
        masks |= {RETOUCHED[part].noun: retouch.mask_on_crop(part, LATTICE) for part in pigments}
    changes = {}
    for name, mask in masks.items():
        weight = F.interpolate(mask[None, None], (LATTICE, LATTICE), mode="bilinear")[0, 0] * sample.inside
        changes[name] = [_mean(axis, weight) for axis in sample.lab]
    return describe_colors(changes)


def _retouches(transforms: Sequence[Transform], crop: Crop) -> Iterator[Retouch]:
    for leaf in leaves(transforms):
        if leaf.retouch is not None and crop_key(leaf.crop) == crop_key(crop):
            yield leaf.retouch


def _details(transforms: Sequence[Transform], crop: Crop, strength: float) -> dict[str, float]:
    """Add up by how much the fine structure of parts is scaled, by their nouns; what is undone counts against."""
    total: dict[str, float] = {}
    for transform in transforms:
        share = strength * transform.strength
        if isinstance(transform, FieldTransform):
            if transform.retouch is None or crop_key(transform.crop) != crop_key(crop):
                continue
            gains = zip(transform.retouch.parts, transform.retouch.gains().detach()[:, 0].tolist(), strict=True)
            inner = {RETOUCHED[part].noun: share * gain for part, gain in gains if RETOUCHED[part].detail}
        elif isinstance(transform, Composition):
            inner = _details([one for stage in transform.stages for one in stage], crop, share)
        else:
            inner = _details(transform.transforms, crop, -share)
        for noun, gain in inner.items():
            total[noun] = total.get(noun, 0.0) + gain
    return total


def _regions(sample: CropSample, crop: Crop) -> dict[str, RegionReport]:
    if crop.landmarks is None:
        return {}
    reports, eyes = {}, float(crop.outer_canthal_distance or 0) * crop.side_px / 2
    distance, grid = sample.distance(), pixel_centers(LATTICE).permute(2, 0, 1)
    for name in REGIONS:
        weight = region_mask(name, crop.landmarks, LATTICE)[0, 0] * sample.inside
        box = _support(weight)
        weight, moved, place = weight[box], sample.moved[:, box[0], box[1]], grid[:, box[0], box[1]]
        typical = _mean(distance[box], weight)
        reports[name] = RegionReport(
            movement_px=round(typical, 3),
            movement_percent_of_eye_distance=_percent(typical, eyes),
            direction=_direction(typical, moved, weight, place, crop.landmarks if name == "eyes" else None),
            tint=[round(_mean(channel[box], weight), 4) + 0.0 for channel in sample.tint],  # no -0.0
            lab=None if sample.lab is None else [round(_mean(axis[box], weight), 2) + 0.0 for axis in sample.lab],
        )
    return reports


def _support(weight: Tensor) -> tuple[slice, slice]:
    """Return the rows and columns that hold all of a part's weight (n, n)."""
    ends = []
    for across in (1, 0):
        at = weight.any(across).nonzero().flatten()
        ends.append(slice(int(at[0]), int(at[-1]) + 1) if len(at) else slice(0, 1))
    return ends[0], ends[1]


def _direction(typical: float, moved: Tensor, weight: Tensor, place: Tensor, eyes: Tensor | None) -> str:
    """Put the movement (2, h, w) of a part (h, w), of a typical length, into words.

    `place` (2, h, w) is where, crop coordinates; `eyes` are the landmarks if it is the eyes.
    """
    if typical < STILL_PX:
        return "still"
    outward = _spread(moved, weight, place)
    if eyes is not None:
        # A pair may move apart or grow, each about its own middle: the stronger of both is told.
        on_left = (place[0] < eyes[BOTH_EYES, 0].mean()).float()
        grown = (_spread(moved, weight * on_left, place) + _spread(moved, weight * (1 - on_left), place)) / 2
        outward = max(outward, grown, key=abs)
    right, down = (_mean(axis, weight) for axis in moved)
    parts = [(down, "down", "up"), (outward, "outward", "inward"), (right, "right", "left")]
    parts.sort(key=lambda part: -abs(part[0]))
    least = max(abs(parts[0][0]) / 3, typical / 5)
    words = [plus if value > 0 else minus for value, plus, minus in parts if abs(value) >= least]
    return " and ".join(words) or "mixed"


def _spread(moved: Tensor, weight: Tensor, place: Tensor) -> float:
    """Return how far a part's content goes away from the part's middle on average, beyond what all of it does."""
    middle, common = (torch.tensor([_mean(axis, weight) for axis in each])[:, None, None] for each in (place, moved))
    away = place - middle
    outward = ((moved - common) * away).sum(0) / _length(away).clamp_min(1e-12)
    return _mean(outward, weight)


def _length(vectors: Tensor) -> Tensor:
    """Return the lengths (h, w) of vectors (2, h, w); `norm` over so short an axis takes ten times as long."""
    return (vectors[0].square() + vectors[1].square()).sqrt()


def _mean(values: Tensor, weight: Tensor) -> float:
    """Average (n, n) values; 0 where nothing has weight."""
    return float((values * weight).sum(dtype=torch.float64) / weight.sum(dtype=torch.float64).clamp_min(1e-9))
