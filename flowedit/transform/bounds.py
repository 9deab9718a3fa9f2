"""The identity budget: the strength at which dlib still takes photo and edit for the same person."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import require
from flowedit.face import measures
from flowedit.face.crop import Crop, crop_key, extract
from flowedit.face.detect import descriptor, landmarks
from flowedit.face.landmarks import OUTER_CANTHAL
from flowedit.field.offsets import pixel_centers
from flowedit.field.warp import window
from flowedit.kernels.jacobian import difference
from flowedit.photo import photo as images
from flowedit.photo.kept import KeptWithPhoto
from flowedit.transform.eyes import with_still_eyes
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import FieldTransform

MEASURE_PX = 256  # side of the crop that dlib measures
STRETCH_PX = 128  # side of the grid that slopes are measured on: a raster field's control points are 8 of it apart
STRAIGHT = 0.02  # of the mouth's width, that the corners of a still one lie above the lips' middle
LEAST_SLOPE = 0.01  # of what folds, too
LESS = 2**-6  # of strength: what may be missing to the largest, and what is taken off at a time
SECANTS = 5  # looks along a curve; what follows are bisections
ROUNDING = 0.01  # of LESS
POWER = 0.85  # of the strength, that dlib's distance grows by near its limit: what the first secant takes
KEPT = 64  # descriptions of a photo's faces, 128 numbers each
POWERS = 0.5, 2.0  # of the strength, that what is bounded may grow by: landmarks jump, and so do slopes between looks


_BEFORE = KeptWithPhoto["Tensor | None"](KEPT)


class Bound(NamedTuple):
    """Something that an edit may not exceed.

    Attributes:
        name: what it is, in words.
        limit: the most it may be.
        measure: its value at a strength; 0 at strength 0.
        unit: after the number, or nothing.
        quiet: told only where it holds an edit back.
    """

    name: str
    limit: float
    measure: Callable[[float], float]
    unit: str = ""
    quiet: bool = False

    def describe(self, value: float, relation: str) -> str:
        """Say a value and the limit in one phrase."""
        limit = f"{self.limit:.3g}"
        digits = max(2, len(limit.partition(".")[2]))  # else 0.249 of at most 0.249 would read as 0.25
        return f"{self.name} {value:.{digits}f} {relation} {limit}{self.unit}"


class Strength(NamedTuple):
    """A chosen strength, the identity distance there (None if not measured), and the reason in words."""

    strength: float
    distance: float | None
    reason: str


def transform_weight(leaf: FieldTransform, side: int) -> Tensor:
    """Return window, region and the user's mask over a transform's crop: (1, 1, side, side) in [0, 1]."""
    weight = window(pixel_centers(side)).reshape(1, 1, side, side)
    if leaf.mask is not None:
        weight = weight * F.interpolate(leaf.mask, (side, side), mode="bilinear", align_corners=False)
    if leaf.hard_mask is not None:
        over_photo = images.load(leaf.hard_mask[:, :, None].repeat(3, axis=2))
        weight = weight * extract(over_photo, leaf.crop, side)[:, :1]
    return weight


def bound_displacement(edited: EditedPhoto, limit: float) -> Bound:
    """Bound every face's longest movement, in percent of the distance between its outer eye corners.

    Raises:
        ValueError: a crop has no landmarks.
    """
    crops = []
    for crop in edited.crops():
        eyes = crop.outer_canthal_distance
        require(eyes is not None, "displacement must go with a detected face; got a whole picture")
        assert eyes is not None  # for the type checker
        crops.append((crop, eyes))

    def measure(strength: float) -> float:
        at = edited.at(strength)
        return max(100 * _largest_shift(at, crop) / eyes for crop, eyes in crops)

    return Bound("displacement", limit, measure, f" % of {OUTER_CANTHAL}")


def bound_stretch(edited: EditedPhoto, limit: float) -> Bound:
    """Bound by how much a movement makes anything longer, in percent, but for eyelids and irises that words move."""
    still = EditedPhoto(edited.photo, with_still_eyes(edited.transforms))
    crops = edited.crops()

    def measure(strength: float) -> float:
        return max(100 * _largest_stretch(still.at(strength), crop) for crop in crops)

    return Bound("stretch", limit, measure, " %", quiet=True)


def bound_frown(edited: EditedPhoto) -> Bound:
    """Bound how far corners of a mouth come down, in percent of its width, so that a smile ends in a straight mouth.

    A mouth whose corners lie hardly higher than the lips' middle has none left; of several faces the first counts.

    Raises:
        ValueError: its crop has no landmarks.
    """
    crop = edited.crops()[0]
    points = crop.landmarks
    require(points is not None, "the mouth's corners must go with a detected face; got a whole picture")
    assert points is not None  # for the type checker
    points = points.float()
    raised = measures.measure(points)["mouth_curvature"]

    def fall(strength: float) -> float:
        coord = edited.at(strength).offsets(crop, STRETCH_PX).coord
        # To first order, a point goes to where it is less the shift there.
        shift = F.grid_sample(coord, points[None, None], align_corners=False)[0, :, 0].T
        return 100 * float(raised - measures.measure(points - shift)["mouth_curvature"])

    return Bound(
        "fall of the mouth's corners", max(0.0, 100 * (float(raised) - STRAIGHT)), fall, " % of its width", quiet=True
    )


def choose_strength(edited: EditedPhoto, limit: float | None, bounds: Sequence[Bound] = ()) -> Strength:
    """Find the largest strength up to 1 that keeps every bound and every face within the identity budget.

    The picture as it is saved is looked at first; where its faces are beyond the budget, the strength is searched on
    the crops, which is quick, and then taken down on the picture as it is saved, a little at a time. The distance is
    between dlib's 128-number descriptors of the crop before and after; each time the face is found and its landmarks
    are placed afresh.

    Args:
        edited: has a photo; its own strength does not matter.
        limit: most that the descriptors may differ (Euclidean; dlib calls 0.6 another person); None is none.
        bounds: what else to keep. The reason names the one that holds the edit back.
    """
    identity, excuse = bound_identity(edited, limit)
    low, held, beyond, far = 1.0, None, 0.0, 0.0
    for bound in bounds:  # each by itself: the one that allows the least holds the edit back
        value = bound.measure(low)
        if value > bound.limit:
            low, _ = _search(bound, low, value)
            held = bound
    if identity is not None:
        far = identity.as_saved(low)
        if far > identity.bound.limit:
            low, beyond = _search(identity.bound, low, far)
            held, far = identity.bound, identity.as_saved(low)
            while far > identity.bound.limit and low > 0:  # dlib's landmarks jump by pixels
                low, beyond = max(0.0, low - LESS), far
                far = identity.as_saved(low)
        bounds = [identity.bound, *bounds]

    def describe_bound(bound: Bound, relation: str) -> str:
        measured = far if identity is not None and bound is identity.bound else bound.measure(low)
        return bound.describe(measured, relation)

    if held is not None:
        lost = "beyond it dlib finds no face, " if math.isinf(beyond) else ""
        reason = f"held back: {lost}{describe_bound(held, 'of at most')}"
    else:
        told = ", ".join(describe_bound(bound, "within") for bound in bounds if not bound.quiet)
        reason = f"whole: {told}" if told else ""
    return Strength(low, None if identity is None else far, "; ".join(part for part in (reason, excuse) if part))


class Identity(NamedTuple):
    """The identity budget: on the crops, which is quick, and on the picture as it is saved."""

    bound: Bound
    as_saved: Callable[[float], float]


def bound_identity(edited: EditedPhoto, limit: float | None) -> tuple[Identity | None, str]:
    """Return the identity budget, or None and why there is none."""
    if limit is None:
        return None, "no identity budget was set"
    crops = edited.crops()
    if any(crop.landmarks is None for crop in crops):
        return None, "identity not measured: no aligned face"
    befores = []
    for crop in crops:
        before = _describe_before(edited, crop)
        if before is None:
            return None, "identity not measured: dlib finds no face in the crop"
        befores.append(before)

    def distance(faces: Iterable[Tensor]) -> float:
        far = 0.0
        for face, before in zip(faces, befores, strict=True):
            after = _describe(face)
            if after is None:  # a face that is no face any more has lost its identity
                return float("inf")
            far = max(far, float((after - before).norm()))
        return far

    def on_crops(strength: float) -> float:
        at = edited.at(strength)
        return distance(at.crop_image(crop, MEASURE_PX) for crop in crops)

    def as_saved(strength: float) -> float:
        at = edited.at(strength)
        return distance(at.saved_crop(crop, MEASURE_PX) for crop in crops)

    return Identity(Bound("identity distance", limit, on_crops), as_saved), ""


def _search(bound: Bound, high: float, at_high: float) -> tuple[float, float]:
    """Find the largest multiple of LESS that keeps a bound, between 0 and a strength that does not keep it.

    By secants of the curve in logarithms, since what is bounded grows about as a power of the strength: the first
    strength that keeps the bound ends the search, where the curve through it leaves the bound before the next.

    Args:
        bound: kept at 0.
        high: strength that does not keep it.
        at_high: the bound's value there.

    Returns:
        A strength that was measured to keep the bound, or 0; and the value at the least strength seen not to.
    """
    low, power, looks = 0, POWER, 0
    top = math.ceil(high / LESS)
    while top - low > 1:
        share = bound.limit / at_high if 0 < at_high < math.inf else 0.0
        root = max(0.0, share) ** (1 / power) * high / LESS
        aimed = looks < SECANTS and root > 0
        step = min(max(math.floor(root + ROUNDING), low + 1), top - 1) if aimed else (low + top) // 2
        strength = step * LESS
        value = bound.measure(strength)
        looks += 1
        if 0 < value < at_high < math.inf:
            power = min(POWERS[1], max(POWERS[0], math.log(at_high / value) / math.log(high / strength)))
        if value > bound.limit:
            top, high, at_high = step, strength, value
        else:
            low = step
            if aimed and value > 0 and low * (bound.limit / value) ** (1 / power) < low + 1:
                break
    return low * LESS, at_high


def _largest_shift(edited: EditedPhoto, crop: Crop) -> float:
    """Return the longest movement in a crop, in crop coordinates."""
    return float(edited.offsets(crop, MEASURE_PX).coord.square().sum(1).max().sqrt())


def _largest_stretch(edited: EditedPhoto, crop: Crop) -> float:
    """Return by which share of its length what is seen in a crop is longer than in the photo, at most."""
    coord = edited.offsets(crop, STRETCH_PX).coord
    dx, dy = (difference(coord, dim, before=1, after=1)[0] for dim in (3, 2))
    # The smaller singular value of the slope [[1 + dx0, dy0], [dx1, 1 + dy1]], below 0 where it folds.
    both, apart = (2 + dx[0] + dy[1], dx[1] - dy[0]), (dx[0] - dy[1], dx[1] + dy[0])
    least = (torch.hypot(*both) - torch.hypot(*apart)) / 2
    return 1 / max(float(least.min()), LEAST_SLOPE) - 1


def _describe_before(edited: EditedPhoto, crop: Crop) -> Tensor | None:
    """Describe a crop of a photo, once in the photo's life."""
    return _BEFORE.get(edited.original, crop_key(crop), lambda: _describe(edited.unedited(crop, MEASURE_PX)))


def _describe(face: Tensor) -> Tensor | None:
    points = landmarks(face)
    return None if points is None else descriptor(face, points)
