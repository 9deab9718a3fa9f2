"""A face's geometry from its 68 landmarks, in numbers free of pose in the plane and of size; colors in CIELAB."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.checks import require

TO_XYZ = torch.tensor([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = torch.tensor([0.95047, 1.0, 1.08883])  # D65


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


def rgb_to_lab(image: Tensor) -> Tensor:
    """Turn (B, 3, H, W) sRGB in [0, 1] into CIELAB (D65): L in [0, 100], a and b about +-100."""
    linear = torch.where(image > 0.04045, ((image + 0.055) / 1.055) ** 2.4, image / 12.92)
    xyz = torch.einsum("ij,bjhw->bihw", TO_XYZ / WHITE[:, None], linear)
    root = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = root.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], 1)
