"""What an edit did to a face, measured on pictures alone: geometry, truth, identity, folds, color."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit import Edit
from flowedit.face import landmarks as marks
from flowedit.face.crop import Crop, extract, face_crop
from flowedit.face.detect import Face, descriptor, find_faces, landmarks
from flowedit.face.measures import rgb_to_lab
from flowedit.face.regions import outline_distance, region_mask, smoothstep
from flowedit.field.offsets import pixel_centers
from flowedit.field.warp import count_folds
from flowedit.photo.photo import Photo
from flowedit.report.describe import follow
from flowedit.report.explain import measure_background, sample_crop

CROP_PX = 256  # side of the crop in which identity, color and folds are measured
INNER = marks.INNER
BROW_EDGE = (0.04, 0.10)  # interocular distances from the brow's line where a brow ends
LEAST_PX = 30  # regions smaller than this, such as closed eyes, have no color of their own

# Prompt -> (measure of flowedit.face.measures, direction).
GEOMETRY: dict[str, tuple[str, int]] = {
    "a smiling face": ("mouth_curvature", 1),
    "a sad face": ("mouth_curvature", -1),
    "a surprised face": ("brow_height", 1),
    "big eyes": ("eye_area", 1),
    "small eyes": ("eye_area", -1),
    "thick lips": ("lip_thickness", 1),
    "raised eyebrows": ("brow_height", 1),
    "a narrow nose": ("nose_width", -1),
    "a wide nose": ("nose_width", 1),
    "a slim jaw": ("jaw_width", -1),
}

MOUTH, EYES = ("mouth_open", "mouth_width", "lip_thickness"), ("eye_area", "eye_open")
# Prompt -> other measures that move by nature with what it names; the rest should stay.
NAMED_TOO: dict[str, tuple[str, ...]] = {
    "a smiling face": (*MOUTH, *EYES),
    "a sad face": (*MOUTH, *EYES, "brow_height"),
    "a surprised face": (*MOUTH, *EYES),
    "big eyes": EYES,
    "small eyes": EYES,
    "a slim jaw": ("face_width",),
}


@dataclass(frozen=True)
class Tint:
    """What a color prompt should do.

    Attributes:
        region: name in `regions`, where the color should change.
        against: region whose change is subtracted, or None.
        wanted: axis of CIELAB ("L", "a", "b") -> sign.
        others: regions that should keep their color.
    """

    region: str
    against: str | None
    wanted: Mapping[str, int]
    others: tuple[str, ...]


COLORS: dict[str, Tint] = {
    "red lipstick": Tint("lips", "skin", {"a": 1}, ("skin", "eyes", "around")),
    "pale skin": Tint("skin", None, {"L": 1}, ("eyes", "lips", "around")),
    "tanned skin": Tint("skin", None, {"L": -1, "b": 1}, ("eyes", "lips", "around")),
    "rosy cheeks": Tint("cheeks", "plain skin", {"a": 1}, ("plain skin", "eyes", "lips", "around")),
}


def find_face(photo: Photo, near: Tensor | None = None) -> Face | None:
    """Find the largest face, or the one whose landmarks' middle is within the outer-canthal distance of that of `near`.

    Args:
        photo: unedited, or edited and read again.
        near: (68, 2) photo pixels, the face before the edit.
    """
    faces = find_faces(photo)
    if not faces:
        return None
    if near is None:
        return max(faces, key=lambda face: face_crop(face.landmarks).side_px)
    middle, reach = near.mean(0), float(marks.outer_canthal_distance(near))
    nearest = min(faces, key=lambda face: float((face.landmarks.mean(0) - middle).norm()))
    return nearest if float((nearest.landmarks.mean(0) - middle).norm()) <= reach else None


def spread(values: Sequence[float]) -> float:
    """Return the population's standard deviation, robustly: 1.4826 times the median absolute deviation."""
    data = torch.tensor(values, dtype=torch.float64)
    return 1.4826 * float((data - data.quantile(0.5)).abs().quantile(0.5))


def share_above(effects: Sequence[float | None], threshold: float) -> float:
    """Return the share of effects above a threshold; None, a face that was lost, counts as not above."""
    return sum(effect is not None and effect > threshold for effect in effects) / len(effects)


def displacement(after: Tensor, before: Tensor) -> Tensor:
    """Return how points moved once shift, rotation and scale are removed, in the frame of `before`.

    `after` (n, 2), any frame, is carried onto `before` (n, 2) by the similarity of least squares (Procrustes,
    no reflection); what is left, (n, 2) float64, has zero mean.
    """
    p, q = (torch.view_as_complex((x - x.mean(0)).double().contiguous()) for x in (after, before))
    turn = (p.conj() * q).sum() / p.abs().square().sum()  # rotation and scale as one complex number
    return torch.view_as_real(turn * p - q)


def correlation(first: Tensor, second: Tensor) -> float:
    """Return the correlation of all coordinates of two displacements; 0 where one does not move at all."""
    a, b = (x.flatten().double() - x.double().mean() for x in (first, second))
    length = float(a.norm() * b.norm())
    return float(a @ b) / length if length > 1e-12 else 0.0


def describe(photo: Photo, crop: Crop) -> Tensor | None:
    """Describe the face in a crop, detected afresh there: (128,), or None where dlib finds none."""
    face = extract(photo, crop, CROP_PX)
    points = landmarks(face)
    return None if points is None else descriptor(face, points)


def describe_alone(photo: Photo, face: Face) -> Tensor:
    """Describe a face in the crop that its own landmarks give, as somebody with two files would: (128,)."""
    crop = face_crop(face.landmarks)
    assert crop.landmarks is not None  # face_crop sets them
    return descriptor(extract(photo, crop, CROP_PX), crop.landmarks)


def distance(after: Tensor | None, before: Tensor | None) -> float:
    """Return how far two descriptors lie apart; infinite where a face was lost."""
    return math.inf if after is None or before is None else float((after - before).norm())


def carried_landmarks(edit: Edit) -> tuple[Tensor, Tensor] | None:
    """Return an unedited face's landmarks (68, 2), and where the edit's movement carries them.

    Nothing is found anew. Both in crop coordinates; None without landmarks.
    """
    crop = edit.edited.crops()[0]
    if crop.landmarks is None:
        return None
    shift = follow(sample_crop(edit.edited, crop).moved, crop.landmarks.float(), crop.side_px)
    return crop.landmarks, crop.landmarks + shift.T * (2 / crop.side_px)


@torch.no_grad()
def fold_share(edit: Edit) -> float:
    """Return the share of the crop's pixels, on a 256 x 256 grid, that the edit at its strength turns over."""
    edited, crops = edit.edited, edit.edited.crops()
    folds = sum(count_folds(edited.offsets(crop, CROP_PX).coord) for crop in crops)
    return folds / (CROP_PX**2 * len(crops))


def bend(edit: Edit) -> float | None:
    """Return how far a straight line beside the face bends at most, in percent of the outer-canthal distance."""
    crop = edit.edited.crops()[0]
    background = measure_background(sample_crop(edit.edited, crop), crop)
    if background is None or crop.outer_canthal_distance is None:
        return None
    return 100 * background.bend_px / (crop.outer_canthal_distance * crop.side_px / 2)


def lab(image: Tensor) -> Tensor:
    """Turn (1, 3, H, W) sRGB in [0, 1] into (3, H, W) CIELAB."""
    return rgb_to_lab(image)[0]


def regions(landmarks: Tensor, size: int) -> dict[str, Tensor]:
    """Draw the regions whose color is measured, as (size, size) weights in [0, 1]; tiny ones are left out.

    `lips` and `eyes` are the landmarks' own outlines, `brows` strips along theirs; `cheeks` two discs; `skin` as in
    flowedit; `plain skin` that without the cheeks; `around` hair and background: off the face by 0.3 interocular
    distances, and above the jaw's corners, since the neck is skin too.

    Args:
        landmarks: (68, 2) crop coordinates, of the unedited face.
        size: pixels along one side.
    """
    skin = region_mask("skin", landmarks, size)
    unit = float(marks.interocular_distance(landmarks))
    grid = pixel_centers(size)
    cheek = torch.zeros(size, size)
    for around in zip(marks.OUTER_LOWER_LIDS, marks.MOUTH_CORNERS, marks.CHEEKS, marks.NOSE_WINGS, strict=True):
        middle = landmarks[list(around)].mean(0)
        cheek = torch.maximum(cheek, ((grid - middle).norm(dim=-1) < 0.25 * unit).float())
    parts = [skin, *(region_mask(name, landmarks, size) for name in ("eyes", "brows", "mouth"))]
    reach = max(1, round(0.3 * unit * size / 2))
    face = F.max_pool2d(torch.cat(parts).amax(0, keepdim=True), 2 * reach + 1, 1, reach)[0, 0]
    above = grid[..., 1] < landmarks[list(marks.JAW_CORNERS), 1].mean()
    brows = torch.stack([outline_distance(grid.double(), landmarks[brow].double(), False) for brow in marks.BROWS])
    drawn = {
        "brows": smoothstep(brows.amin(0) / unit, *BROW_EDGE).float(),
        "lips": polygon(landmarks[marks.OUTER_LIPS], size) * (1 - polygon(landmarks[marks.INNER_LIPS], size)),
        "eyes": torch.maximum(*(polygon(landmarks[eye], size) for eye in marks.EYES)),
        "cheeks": cheek * skin[0, 0],
        "skin": skin[0, 0],
        "plain skin": skin[0, 0] * (1 - cheek),
        "around": ((face == 0) & above).float(),
    }
    return {name: weight for name, weight in drawn.items() if float(weight.sum()) >= LEAST_PX}


def polygon(points: Tensor, size: int) -> Tensor:
    """Fill a polygon (n, 2) in crop coordinates: (size, size), the share of each pixel that lies inside."""
    import numpy as np
    from PIL import Image, ImageDraw

    fine = 4 * size  # Pillow fills the outline's own pixels too: a quarter of a pixel matters less
    picture = Image.new("L", (fine, fine))
    corners = ((points.double() + 1) * (fine / 2) - 0.5).flatten().tolist()
    ImageDraw.Draw(picture).polygon(corners, fill=1)
    return F.avg_pool2d(torch.from_numpy(np.array(picture, dtype=np.float32))[None], 4)[0]


@dataclass(frozen=True)
class Change:
    """What happened to a region's color in CIELAB: the move of its mean, and the mean Delta E of its pixels."""

    mean: tuple[float, float, float]
    pixels: float

    @property
    def delta_e(self) -> float:
        """Delta E (CIE 1976) of the region's mean color."""
        return math.hypot(*self.mean)


def color_changes(before: Tensor, after: Tensor, weights: Mapping[str, Tensor]) -> dict[str, Change]:
    """Compare two (3, S, S) CIELAB pictures region by region, with the same (S, S) weights for both."""
    moved = after - before
    apart = moved.norm(dim=0)
    changes = {}
    for name, weight in weights.items():
        lightness, red, yellow = ((moved * weight).sum((1, 2)) / weight.sum()).tolist()
        changes[name] = Change((lightness, red, yellow), float((apart * weight).sum() / weight.sum()))
    return changes


def tint_effect(changes: Mapping[str, Change], tint: Tint) -> float | None:
    """Return how far the named region went the wanted way, in Delta E units.

    With several axes all must go the right way, and the length counts; else the worst of them, at most 0.
    None where the region is not visible.
    """
    if tint.region not in changes or (tint.against is not None and tint.against not in changes):
        return None
    base = (0.0, 0.0, 0.0) if tint.against is None else changes[tint.against].mean
    steps = []
    for axis, sign in tint.wanted.items():
        index = "Lab".index(axis)
        steps.append(sign * (changes[tint.region].mean[index] - base[index]))
    return math.hypot(*steps) if min(steps) > 0 else min(steps)
