"""What `upsample` means, in plain torch."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..bound import bounded
from ..stencil import STENCILS


def upsample(values: Tensor, height: int, width: int, stencil: str, limit: float | None = None) -> Tensor:
    """Read planes on a finer grid; arguments as in `flowedit.kernels.upsample`. Two small matrix products."""
    down = spread(height, values.shape[2], stencil, values.dtype, values.device)
    across = spread(width, values.shape[3], stencil, values.dtype, values.device)
    return down @ (values if limit is None else bounded(values, limit)) @ across.T


@lru_cache(maxsize=64)
def spread(size: int, n: int, stencil: str, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the (size, n) matrix from n nodes to the values at size pixel centres, along one axis."""
    index, weight = taps(size, n, stencil)
    matrix = torch.zeros(size, n, dtype=torch.float64)
    return matrix.scatter_add_(1, index, weight).to(device, dtype)


def taps(size: int, n: int, stencil: str) -> tuple[Tensor, Tensor]:
    """Return the nodes that each of size pixel centres reads, (size, T) int64, and their weights, float64.

    Nodes sit at the centres of n pixels over the same length; the outermost repeat beyond the border.
    """
    position = (torch.arange(size, dtype=torch.float64) + 0.5) * (n / size) - 0.5
    base = position.floor()
    weight = STENCILS[stencil](position - base).T
    reach = torch.arange(weight.shape[1]) + 1 - weight.shape[1] // 2
    return (base.long()[:, None] + reach).clamp(0, n - 1), weight
