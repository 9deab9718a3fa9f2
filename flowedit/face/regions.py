"""Regions of a face as soft masks, drawn from its 68 landmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.face.crop import pixel_centers
from flowedit.face.landmarks import check_landmarks

REGIONS = ("mouth", "eyes", "brows", "nose", "jaw", "skin")
MASK_PX = 256  # side of a mask of several regions


def region_mask(name: str, landmarks: Tensor, size: int) -> Tensor:
    """Draw a region of the face as a soft mask in the crop's frame.

    "skin" is the face without eyes, brows and lips; its forehead is an estimate, and hair over it is not
    known.

    Args:
        name: one of REGIONS.
        landmarks: (68, 2) crop coordinates.
        size: the mask's side in pixels.

    Returns:
        (1, 1, size, size) float32: 1 in the region and a small margin, falling smoothly to exactly 0.
    """
    require(name in REGIONS, f"region must be one of {', '.join(REGIONS)}; got {describe(name)}")
    require(isinstance(size, int) and size >= 1, f"size must be a positive number of pixels; got {describe(size)}")
    check_landmarks(landmarks)
    points = landmarks.double()
    unit = (points[42:48].mean(0) - points[36:42].mean(0)).norm()  # the distance between the eyes' centres
    grid = pixel_centers(size)

    def soft(outline: Tensor, full: float, zero: float, *, closed: bool = True) -> Tensor:
        """Return 1 up to `full` eye distances from an outline, 0 from `zero` on, a smooth step between."""
        return smoothstep(outline_distance(grid, outline, closed) / unit, full, zero)

    def both(first: slice, second: slice, full: float, zero: float, *, closed: bool) -> Tensor:
        one, other = (soft(points[part], full, zero, closed=closed) for part in (first, second))
        return torch.maximum(one, other)

    eye, brow, lips = (slice(36, 42), slice(42, 48)), (slice(17, 22), slice(22, 27)), points[48:60]
    if name == "mouth":
        mask = soft(lips, 0.10, 0.35)
    elif name == "eyes":
        mask = both(*eye, 0.08, 0.25, closed=True)
    elif name == "brows":
        mask = both(*brow, 0.10, 0.28, closed=False)
    elif name == "nose":
        mask = soft(points[[27, 31, 32, 33, 34, 35]], 0.12, 0.30)
    elif name == "jaw":
        mask = soft(points[2:15], 0.15, 0.50, closed=False)
    else:
        mask = smoothstep(face_distance(grid, points), -0.05, 0.10)
        mask = mask * (1 - both(*eye, 0.05, 0.14, closed=True))
        mask = mask * (1 - both(*brow, 0.07, 0.16, closed=False))
        mask = mask * (1 - soft(lips, 0.03, 0.12))
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
    mask = torch.ones(1, 1, MASK_PX, MASK_PX) if region is None else region_mask(region, landmarks, MASK_PX)
    for name in protect:
        mask = mask * (1 - region_mask(name, landmarks, MASK_PX))
    return mask


def face_outline(points: Tensor, up: Tensor) -> Tensor:
    """Close the jaw line (0 to 16) over the forehead with half an ellipse that is `up` high."""
    middle, half = (points[0] + points[16]) / 2, (points[16] - points[0]) / 2
    angle = torch.linspace(0, math.pi, 17, dtype=torch.float64)[1:-1, None]
    return torch.cat([points[:17], middle + half * angle.cos() + up * angle.sin()])


def outline_distance(grid: Tensor, outline: Tensor, closed: bool) -> Tensor:
    """Return each grid point's distance to a polyline; to a closed one it is negative inside (even-odd
    rule)."""
    ends = outline.roll(-1, 0) if closed else outline[1:]
    distance = torch.full(grid.shape[:-1], math.inf, dtype=torch.float64)
    inside = torch.zeros(grid.shape[:-1], dtype=torch.bool)
    for a, b in zip(outline, ends, strict=False):
        edge, to = b - a, grid - a
        along = ((to @ edge) / (edge @ edge).clamp_min(1e-18)).clamp(0, 1)
        distance = torch.minimum(distance, (to - along[..., None] * edge).norm(dim=-1))
        crosses = (a[1] > grid[..., 1]) != (b[1] > grid[..., 1])
        inside ^= crosses & ((to[..., 0] * edge[1] < to[..., 1] * edge[0]) == (edge[1] > 0))
    return torch.where(inside, -distance, distance) if closed else distance


def face_distance(grid: Tensor, landmarks: Tensor) -> Tensor:
    """Return how far places (..., 2) lie from a face's outline, in distances between the eyes; negative inside."""
    points = landmarks.double()
    eyes, mouth = points[36:48].mean(0), (points[48] + points[54]) / 2
    unit = (points[42:48].mean(0) - points[36:42].mean(0)).norm()
    return outline_distance(grid, face_outline(points, 0.85 * (eyes - mouth)), True) / unit


def smoothstep(distance: Tensor, full: float, zero: float) -> Tensor:
    """Step smoothly from 1 up to `full` down to 0 from `zero` on."""
    t = ((zero - distance) / (zero - full)).clamp(0, 1)
    return t * t * (3 - 2 * t)
