"""How a map p -> p + coord(p) scales areas."""

from __future__ import annotations

import torch
from torch import Tensor


def jacobian_determinant(coord: Tensor) -> Tensor:
    """Return the factor by which p -> p + coord(p) scales areas at every pixel, (B, 1, h, w); at most zero is a fold.

    By central differences, one-sided at the border; along a side of one pixel the slope is zero.

    Args:
        coord: (B, 2, h, w), crop coordinates.

    Raises:
        ValueError: coord has another shape.
    """
    if coord.ndim != 4 or coord.shape[1] != 2:
        raise ValueError(f"coord must have shape (B, 2, h, w); got {tuple(coord.shape)}")
    dx, dy = (difference(coord, dim, before=1, after=1) for dim in (3, 2))
    return determinant(dx, dy)[:, None]


def difference(coord: Tensor, dim: int, *, before: int, after: int) -> Tensor:
    """Return d coord / d position along dim, from the neighbors so many pixels before and after inside the border."""
    n = coord.shape[dim]
    index = torch.arange(n, device=coord.device)
    # At a border without a neighbor on the side asked for, the other side is taken.
    high = (index + after).clamp(min(1, n - 1), n - 1)
    low = (index - before).clamp(0, max(n - 2, 0))
    shape = [-1 if d == dim else 1 for d in range(4)]
    spacing = ((high - low).clamp(min=1).to(coord.dtype) * (2 / n)).reshape(shape)
    return (coord.index_select(dim, high) - coord.index_select(dim, low)) / spacing


def determinant(dx: Tensor, dy: Tensor) -> Tensor:
    """Return the determinant (B, h, w) of identity plus the slopes (B, 2, h, w) along x and y."""
    return (1 + dx[:, 0]) * (1 + dy[:, 1]) - dx[:, 1] * dy[:, 0]
