"""Small interpolation stencils, and one way to read a lattice through any of them."""

from __future__ import annotations

import torch
from torch import Tensor


def linear(t: Tensor) -> Tensor:
    """Return the weights (2, N) of the two nodes around a point at t (N,) in [0, 1) between them."""
    return torch.stack([1 - t, t])


def catmull_rom(t: Tensor) -> Tensor:
    """Return the weights (4, N) of the interpolating cubic (Keys 1981, a = -1/2); at t = 0 exactly 0, 1, 0,
    0."""
    return torch.stack(
        [
            t * (-0.5 + t * (1 - 0.5 * t)),
            1 + t * t * (1.5 * t - 2.5),
            t * (0.5 + t * (2 - 1.5 * t)),
            t * t * (0.5 * t - 0.5),
        ]
    )


def b_spline(t: Tensor) -> Tensor:
    """Return the weights (4, N) of the uniform cubic B-spline: all in [0, 1], summing to one, twice
    continuous."""
    s = 1 - t
    return torch.stack([s**3, 3 * t**3 - 6 * t**2 + 4, 3 * s**3 - 6 * s**2 + 4, t**3]) / 6


STENCILS = {"linear": linear, "catmull_rom": catmull_rom, "b_spline": b_spline}  # their order is known to sample.cpp


def gather(values: Tensor, x: Tensor, y: Tensor, wx: Tensor, wy: Tensor) -> Tensor:
    """Read a lattice at N points; beyond its border the outermost node repeats.

    Each result is a sum in one fixed order, so its bits depend on its own point alone.

    Args:
        values: (C, H, W).
        x: (N,) int64, the column of the node at or before each point.
        y: (N,) int64, its row.
        wx: (T, N) weights along x of the T nodes from x - (T / 2 - 1) on; T even.
        wy: (T, N) weights along y.

    Returns:
        (C, N).
    """
    channels, height, width = values.shape
    nodes = values.reshape(channels, height * width)
    taps = range(1 - len(wx) // 2, 1 + len(wx) // 2)
    columns = [(x + k).clamp(0, width - 1) for k in taps]
    result = values.new_zeros(channels, len(x))
    for k, wk in zip(taps, wy, strict=True):
        start = (y + k).clamp(0, height - 1) * width
        line = values.new_zeros(channels, len(x))
        for column, w in zip(columns, wx, strict=True):
            line = line + nodes.index_select(1, start + column) * w
        result = result + line * wk
    return result
