"""What `look` means, in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def look(image: Tensor, coord: Tensor, color: Tensor, theta: Tensor, gain: Tensor, size: int) -> Tensor:
    """Look at a moved and tinted image; arguments as in `flowedit.kernels.look`."""
    k = len(theta)
    points = F.affine_grid(theta, [k, 3, size, size], align_corners=False)
    field = _read(torch.cat([coord, color], dim=1), points)
    moved = points + field[:, :2].permute(0, 2, 3, 1)
    return (_read(image, moved) + field[:, 2:] - 0.5) * gain[:, None, None, None] + 0.5


def _read(planes: Tensor, points: Tensor) -> Tensor:
    every = planes.expand(len(points), -1, -1, -1)
    return F.grid_sample(every, points, mode="bilinear", padding_mode="border", align_corners=False)
