"""Interpolation between the nodes of a lattice: the weights, reading at any points, and reading on a finer grid."""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import torch
from torch import Tensor


class Interpolation(IntEnum):
    """A way to interpolate; the values are those of the enum in sample/sample.cpp."""

    LINEAR = 0
    """Between two nodes."""
    CATMULL_ROM = 1
    """The interpolating cubic of Keys 1981 with a = -1/2: through the nodes, and their bits at the nodes. torch's own
    bicubic has a = -3/4, whose slope is another."""
    B_SPLINE = 2
    """The uniform cubic B-spline: not through the nodes, but a weighted mean of them, twice continuous."""

    @property
    def taps(self) -> int:
        """Nodes read along one axis."""
        return 2 if self is Interpolation.LINEAR else 4

    def weights(self, t: Tensor) -> Tensor:
        """Return the weights (taps, N) of the nodes around points at t (N,) in [0, 1) after a node."""
        s = 1 - t
        if self is Interpolation.LINEAR:
            return torch.stack([s, t])
        if self is Interpolation.CATMULL_ROM:  # Keys 1981, Eq. 15
            inner = 1 + t * t * (1.5 * t - 2.5), t * (0.5 + t * (2 - 1.5 * t))
            return torch.stack([t * (-0.5 + t * (1 - 0.5 * t)), *inner, t * t * (0.5 * t - 0.5)])
        return torch.stack([s**3, 3 * t**3 - 6 * t**2 + 4, 3 * s**3 - 6 * s**2 + 4, t**3]) / 6


def gather(values: Tensor, x: Tensor, y: Tensor, wx: Tensor, wy: Tensor) -> Tensor:
    """Read a lattice at N points; beyond its border the outermost node repeats.

    Each result is a sum in a fixed order, so its bits depend on its own point alone.

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


def upsample(values: Tensor, height: int, width: int, interpolation: Interpolation) -> Tensor:
    """Read planes on another grid over the same area: two products with matrices that are made once for each size.

    Convention: both grids span the same area edge to edge (align_corners=False); the outermost nodes repeat.

    Args:
        values: (B, C, h, w) floating, with at least one node.
        height: rows of the result.
        width: columns of the result.
        interpolation: between the nodes.

    Returns:
        (B, C, height, width) in the dtype of values; differentiable.

    Raises:
        ValueError: values have another shape.
    """
    if values.ndim != 4 or 0 in values.shape[2:]:
        raise ValueError(f"values must have shape (B, C, h, w) with at least one node; got {tuple(values.shape)}")
    down = _matrix(height, values.shape[2], interpolation, values.dtype, values.device)
    across = _matrix(width, values.shape[3], interpolation, values.dtype, values.device)
    return down @ values @ across.T


@lru_cache(maxsize=64)
def _matrix(size: int, n: int, interpolation: Interpolation, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (size, n) matrix from n nodes to the values at size pixel centers, along one axis."""
    position = (torch.arange(size, dtype=torch.float64, device="cpu") + 0.5) * (n / size) - 0.5
    first = position.floor()
    weight = interpolation.weights(position - first).T
    reach = torch.arange(interpolation.taps, device="cpu") + 1 - interpolation.taps // 2
    index = (first.long()[:, None] + reach).clamp(0, n - 1)
    matrix = torch.zeros(size, n, dtype=torch.float64, device="cpu")
    return matrix.scatter_add_(1, index, weight).to(device, dtype)
