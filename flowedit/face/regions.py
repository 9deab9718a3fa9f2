"""Regions of a face as soft masks, drawn from its 68 landmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flowedit.checks import describe, require, whole_number
from flowedit.face.landmarks import (
    BROWS,
    CHEEKS,
    EARS,
    EYES,
    JAW,
    NOSE_BASE,
    NOSE_ROOT,
    OUTER_LIPS,
    check_landmarks,
    eye_centers,
    interocular_distance,
    mouth_center,
)
from flowedit.field.offsets import MOST_PX, pixel_centers


@dataclass(frozen=True)
class Margins:
    """How far regions reach beyond their landmarks; set by eye.

    A pair is where a mask begins to fall and where it has fallen to 0, in interocular distances outside an outline.
    Not of `Config`: a region is the same place in every edit, file and report.
    """

    mouth: tuple[float, float] = (0.10, 0.35)
    eyes: tuple[float, float] = (0.08, 0.25)
    brows: tuple[float, float] = (0.10, 0.28)
    nose: tuple[float, float] = (0.12, 0.30)
    jaw: tuple[float, float] = (0.15, 0.50)
    face: tuple[float, float] = (-0.05, 0.10)
    skin_at_eyes: tuple[float, float] = (0.05, 0.14)
    skin_at_brows: tuple[float, float] = (0.07, 0.16)
    skin_at_lips: tuple[float, float] = (0.03, 0.12)
    forehead: float = 0.85  # its height above the ears, in distances from mouth to eyes


MARGINS = Margins()
REGIONS = ("mouth", "eyes", "brows", "nose", "jaw", "skin")
MASK_PX = 256  # side of a mask of several regions


def region_mask(name: str, landmarks: Tensor, size: int, margins: Margins = MARGINS) -> Tensor:
    """Draw a region of the face as a soft mask in the crop's frame.

    "skin" is the face without eyes, brows and lips; its forehead is an estimate, and hair over it is not
    known.

    Args:
        name: one of REGIONS.
        landmarks: (68, 2) crop coordinates.
        size: the mask's side in pixels.
        margins: how far it reaches.

    Returns:
        (1, 1, size, size) float32: 1 in the region and a small margin, falling smoothly to exactly 0.
    """
    require(name in REGIONS, f"region must be one of {', '.join(REGIONS)}; got {describe(name)}")
    size = whole_number("size", size, 1, MOST_PX)
    check_landmarks(landmarks)
    points = landmarks.double()
    unit, grid = interocular_distance(points), pixel_centers(size, dtype=torch.float64)

    def soft(outline: Tensor, edge: tuple[float, float], *, closed: bool = True) -> Tensor:
        """Return 1 up to the first distance of `edge` from an outline, 0 from the second on, a smooth step between."""
        return smoothstep(distance_near(grid, outline, float(unit) * edge[1], closed) / unit, *edge)

    def both(pair: tuple[slice, slice], edge: tuple[float, float], *, closed: bool) -> Tensor:
        one, other = (soft(points[part], edge, closed=closed) for part in pair)
        return torch.maximum(one, other)

    lips = points[OUTER_LIPS]
    if name == "mouth":
        mask = soft(lips, margins.mouth)
    elif name == "eyes":
        mask = both(EYES, margins.eyes, closed=True)
    elif name == "brows":
        mask = both(BROWS, margins.brows, closed=False)
    elif name == "nose":
        mask = soft(torch.cat([points[NOSE_ROOT, None], points[NOSE_BASE]]), margins.nose)
    elif name == "jaw":
        mask = soft(points[CHEEKS[0] : CHEEKS[1] + 1], margins.jaw, closed=False)
    else:
        mask = smoothstep(face_distance(grid, points, margins), *margins.face)
        mask = mask * (1 - both(EYES, margins.skin_at_eyes, closed=True))
        mask = mask * (1 - both(BROWS, margins.skin_at_brows, closed=False))
        mask = mask * (1 - soft(lips, margins.skin_at_lips))
    return mask.float()[None, None]


def mask_regions(region: str | None, protect: Sequence[str], landmarks: Tensor | None) -> Tensor | None:
    """Draw what may change: nothing but `region`, if that is not None, and nothing of the regions in `protect`.

    Returns:
        (1, 1, 256, 256) as of `region_mask`; None where all may change.
    """
    if region is None and not protect:
        return None
    require(landmarks is not None, "region and protect must go with a detected face; got a whole picture")
    assert landmarks is not None  # for the type checker
    whole = torch.ones(1, 1, MASK_PX, MASK_PX, dtype=torch.float32, device="cpu")
    mask = whole if region is None else region_mask(region, landmarks, MASK_PX)
    for name in protect:
        mask = mask * (1 - region_mask(name, landmarks, MASK_PX))
    return mask


def face_outline(points: Tensor, up: Tensor) -> Tensor:
    """Close the jaw line over the forehead with half an ellipse that is `up` high."""
    left, right = points[EARS[0]], points[EARS[1]]
    middle, half = (left + right) / 2, (right - left) / 2
    angle = torch.linspace(0, math.pi, 17, dtype=torch.float64, device=points.device)[1:-1, None]
    return torch.cat([points[JAW], middle + half * angle.cos() + up * angle.sin()])


def outline_distance(grid: Tensor, outline: Tensor, closed: bool) -> Tensor:
    """Return each grid point's distance to a polyline; to a closed one it is negative inside (even-odd
    rule)."""
    ends = outline.roll(-1, 0) if closed else outline[1:]
    x, y = (axis.contiguous() for axis in grid.unbind(-1))
    square = torch.full(x.shape, math.inf, dtype=torch.float64, device=x.device)
    inside = torch.zeros(x.shape, dtype=torch.bool, device=x.device)
    for (ax, ay), (bx, by) in zip(outline.tolist(), ends.tolist(), strict=False):
        edge_x, edge_y, to_x, to_y = bx - ax, by - ay, x - ax, y - ay
        along = (to_x * edge_x + to_y * edge_y).mul_(1 / max(edge_x**2 + edge_y**2, 1e-18)).clamp_(0, 1)
        off_x, off_y = to_x - along * edge_x, to_y - along * edge_y
        square = torch.minimum(square, off_x.square_().add_(off_y.square_()))
        if closed and ay != by:
            crosses = (ay > y) != (by > y)
            inside ^= crosses & ((to_x * edge_y < to_y * edge_x) == (edge_y > 0))
    distance = square.sqrt_()
    return torch.where(inside, -distance, distance) if closed else distance


def distance_near(
    grid: Tensor, outline: Tensor, margin: float, closed: bool = True, about: Tensor | None = None
) -> Tensor:
    """Return `outline_distance` near an outline, and infinity away from it, which saves most of a grid.

    Args:
        grid: (size, size, 2) `pixel_centers` in float64.
        outline: (n, 2).
        margin: around the points' upright box, crop units, within which it is measured.
        closed: see `outline_distance`.
        about: (m, 2) other points, whose box it is; None is the outline's own.
    """
    about = outline if about is None else about
    size, reach = len(grid), max(0.0, margin)
    low, high = (torch.stack([about.amin(0) - reach, about.amax(0) + reach]) + 1) * (size / 2)
    left, top = low.floor().clamp(0, size).long().tolist()
    right, bottom = high.ceil().clamp(0, size).long().tolist()
    distance = torch.full_like(grid[..., 0], math.inf)
    distance[top:bottom, left:right] = outline_distance(grid[top:bottom, left:right], outline, closed)
    return distance


def face_distance(grid: Tensor, landmarks: Tensor, margins: Margins = MARGINS) -> Tensor:
    """Return how far places (..., 2) lie from a face's outline, in interocular distances; negative inside."""
    points = landmarks.double()
    (left, right), mouth = eye_centers(points), mouth_center(points)
    outline = face_outline(points, margins.forehead * ((left + right) / 2 - mouth))
    return outline_distance(grid, outline, True) / interocular_distance(points)


def smoothstep(distance: Tensor, full: float, zero: float) -> Tensor:
    """Step smoothly from 1 up to `full` down to 0 from `zero` on."""
    t = ((zero - distance) / (zero - full)).clamp(0, 1)
    return t * t * (3 - 2 * t)
