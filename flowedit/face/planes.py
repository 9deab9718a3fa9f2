"""Planes over a square about a face: read at places, grown and shrunk."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.kernels import Interpolation, sample


def read_planes(planes: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Read planes over a square, (C, n, n), at places in [-1, 1]: (C, N)."""
    half = planes.shape[-1] / 2
    x, y = x.clamp(-1, 1), y.clamp(-1, 1)
    return sample(planes, (x + 1) * half - 0.5, (y + 1) * half - 0.5, Interpolation.LINEAR)


def grow(plane: Tensor, by: int) -> Tensor:
    """Return the largest value of a plane (n, n) within a square of `by` places to each side: (n, n)."""
    rows = F.max_pool2d(plane[None, None], (2 * by + 1, 1), 1, (by, 0))
    return F.max_pool2d(rows, (1, 2 * by + 1), 1, (0, by))[0, 0]


def shrink(plane: Tensor, by: int) -> Tensor:
    """Return the least value likewise."""
    return 1 - grow(1 - plane, by)


def grow_within(seeds: Tensor, solid: Tensor, steps: int | None = None) -> Tensor:
    """Return what can be reached from seeds (n, n) through solid places (n, n), both 0 or 1: (n, n).

    Args:
        seeds: where it begins; what of them is not solid does not count.
        solid: where it may go.
        steps: to a place beside or at a corner, at most; None is as many as it takes.
    """
    reached = solid * seeds
    while steps is None or steps > 0:
        wider = reached
        count = 8 if steps is None else min(8, steps)
        for _ in range(count):
            wider = solid * grow(wider, 1)
        if torch.equal(wider, reached):
            break
        reached, steps = wider, None if steps is None else steps - count
    return reached
