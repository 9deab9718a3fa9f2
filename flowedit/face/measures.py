"""A face's geometry from its 68 landmarks, in numbers free of pose in the plane and of size; colors in CIELAB."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.checks import require
from flowedit.face.landmarks import (
    BOTH_BROWS,
    BOTH_EYES,
    CHEEKBONES,
    CHIN,
    EYES,
    INNER_CANTHI,
    JAW_CORNERS,
    LIP_MIDDLES,
    LOWER_LIDS,
    MOUTH_CORNERS,
    NOSE_FOOT,
    NOSE_ROOT,
    NOSE_WINGS,
    OUTER_CANTHI,
    UPPER_LIDS,
    outer_canthal_distance,
)

SPREADS = {
    "mouth_curvature": 0.040,
    "mouth_open": 0.0054,
    "mouth_width": 0.039,
    "lip_thickness": 0.032,
    "eye_area": 0.0027,
    "eye_open": 0.044,
    "brow_height": 0.029,
    "nose_width": 0.027,
    "nose_length": 0.035,
    "face_width": 0.068,
    "jaw_width": 0.022,
    "face_length": 0.076,
}
"""Deviation of each measure from face to face: 1.4826 times the median absolute deviation over 51 still faces."""


def measure(landmarks: Tensor) -> dict[str, Tensor]:
    """Measure twelve attributes of a face.

    Every number is invariant to shift, rotation and scale: lengths are divided by the outer-canthal
    distance (or, for the mouth's curvature and the jaw, by the part's own width), and
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
    unit = outer_canthal_distance(landmarks)
    left_eye, right_eye = OUTER_CANTHI
    right = (landmarks[..., right_eye, :] - landmarks[..., left_eye, :]) / unit[..., None]
    up = torch.stack([right[..., 1], -right[..., 0]], -1)
    height = (landmarks * up[..., None, :]).sum(-1)

    def distance(a: int, b: int) -> Tensor:
        return (landmarks[..., a, :] - landmarks[..., b, :]).norm(dim=-1)

    def middle(points: slice | tuple[int, ...]) -> Tensor:
        return height[..., points if isinstance(points, slice) else list(points)].mean(-1)

    upper, upper_inner, lower_inner, lower = LIP_MIDDLES
    mouth_width, face_width = distance(*MOUTH_CORNERS), distance(*CHEEKBONES)
    left_area, right_area = (polygon_area(landmarks[..., eye, :]) for eye in EYES)
    heights = torch.stack([distance(*lids) for lids in zip(UPPER_LIDS, LOWER_LIDS, strict=True)]).sum(0) / 2
    widths = torch.stack([distance(*corners) for corners in zip(OUTER_CANTHI, INNER_CANTHI, strict=True)]).sum(0)
    return {
        "mouth_curvature": (middle(MOUTH_CORNERS) - middle(LIP_MIDDLES)) / mouth_width,
        "mouth_open": distance(upper_inner, lower_inner) / unit,
        "mouth_width": mouth_width / unit,
        "lip_thickness": (distance(upper, upper_inner) + distance(lower, lower_inner)) / unit,
        "eye_area": (left_area + right_area) / 2 / unit**2,
        "eye_open": heights / widths,
        "brow_height": (middle(BOTH_BROWS) - middle(BOTH_EYES)) / unit,
        "nose_width": distance(*NOSE_WINGS) / unit,
        "nose_length": distance(NOSE_ROOT, NOSE_FOOT) / unit,
        "face_width": face_width / unit,
        "jaw_width": distance(*JAW_CORNERS) / face_width,
        "face_length": distance(CHIN, NOSE_ROOT) / unit,
    }


def polygon_area(points: Tensor) -> Tensor:
    """Area of closed polygons (..., n, 2) by the shoelace formula; (...), in squared units of the points."""
    ahead = points.roll(-1, dims=-2)
    return (points[..., 0] * ahead[..., 1] - points[..., 1] * ahead[..., 0]).sum(-1).abs() / 2


def rgb_to_lab(image: Tensor) -> Tensor:
    """Turn (B, 3, H, W) sRGB in [0, 1] into CIELAB (D65): L in [0, 100], a and b about +-100."""
    from kornia import color  # takes seconds: not with the package

    return color.rgb_to_lab(image)
