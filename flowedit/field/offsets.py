"""Offsets: where to read and what to add, for every pixel of a grid over the crop."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MOST_PX = 1 << 16  # along a side of a grid


class Offsets(NamedTuple):
    """Where to read and what to add, for every pixel of an h x w grid over the crop.

    Convention: coord is x before y, in units of half the crop's side (one pixel to the right = 2 / w); color is
    in image units (docs/conventions.md).
    """

    coord: Tensor  # (B, 2, h, w)
    color: Tensor  # (B, 3, h, w)

    @classmethod
    def zeros(cls, batch: int, height: int, width: int) -> Offsets:
        """Return the field that changes nothing."""
        return cls(torch.zeros(batch, 2, height, width), torch.zeros(batch, 3, height, width))


def pixel_centers(size: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu") -> Tensor:
    """Return the (size, size, 2) pixel centers of a size x size grid over the crop: (2 i + 1) / size - 1."""
    line = (2 * torch.arange(size, dtype=torch.float64, device=device) + 1) / size - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).to(dtype)
