"""Measure a face's geometry from its 68 landmarks, in numbers that do not depend on pose in the plane or on size."""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import require


def measure(landmarks: Tensor) -> dict[str, Tensor]:
    """Measure twelve attributes of a face.

    Every number is invariant to shift, rotation and scale: lengths are divided by the distance between
    the outer eye corners (or, for the mouth's curvature and the jaw, by the part's own width), and
    heights are taken along the normal of the line between the eyes.

    Args:
        landmarks: (..., 68, 2), x before y, y down, any unit, in dlib's order.

    Returns:
        name -> (...) tensor. `mouth_curvature` is positive when the corners lie above the lips' middle.
    """
    require(
        landmarks.shape[-2:] == (68, 2),
        f"landmarks must have shape (..., 68, 2); got {tuple(landmarks.shape)}",
    )
    across = landmarks[..., 45, :] - landmarks[..., 36, :]
    unit = across.norm(dim=-1)
    right = across / unit[..., None]
    up = torch.stack([right[..., 1], -right[..., 0]], -1)
    height = (landmarks * up[..., None, :]).sum(-1)

    def distance(a: int, b: int) -> Tensor:
        return (landmarks[..., a, :] - landmarks[..., b, :]).norm(dim=-1)

    def middle(*indices: int) -> Tensor:
        return height[..., list(indices)].mean(-1)

    mouth_width = distance(48, 54)
    eyes = polygon_area(landmarks[..., 36:42, :]) + polygon_area(landmarks[..., 42:48, :])
    tall = distance(37, 41) + distance(38, 40) + distance(43, 47) + distance(44, 46)
    brows = middle(*range(17, 27)) - middle(*range(36, 48))
    return {
        "mouth_curvature": (middle(48, 54) - middle(51, 57, 62, 66)) / mouth_width,
        "mouth_open": distance(62, 66) / unit,
        "mouth_width": mouth_width / unit,
        "lip_thickness": (distance(51, 62) + distance(57, 66)) / unit,
        "eye_area": eyes / 2 / unit**2,
        "eye_open": tall / 2 / (distance(36, 39) + distance(42, 45)),
        "brow_height": brows / unit,
        "nose_width": distance(31, 35) / unit,
        "nose_length": distance(27, 33) / unit,
        "face_width": distance(1, 15) / unit,
        "jaw_width": distance(4, 12) / distance(1, 15),
        "face_length": distance(8, 27) / unit,
    }


def polygon_area(points: Tensor) -> Tensor:
    """Area of closed polygons (..., n, 2) by the shoelace formula; (...), in squared units of the points."""
    ahead = points.roll(-1, dims=-2)
    return (points[..., 0] * ahead[..., 1] - points[..., 1] * ahead[..., 0]).sum(-1).abs() / 2
