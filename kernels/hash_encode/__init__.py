"""Multiresolution hash encoding of 2-D coordinates (Müller et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..dispatch import choose
from . import reference
from .lattice import LatticeEncoding
from .operator import hash_encode as operator

__all__ = ["LatticeEncoding", "hash_encode"]


def hash_encode(
    coords: Tensor,
    table: Tensor,
    base_resolution: int,
    per_level_scale: float,
    level_mask: Tensor | None = None,
    backend: str | None = None,
) -> Tensor:
    """Encode points by interpolated features of every level; see `reference.hash_encode` for the meaning.

    Args:
        coords: (N, 2) floating, x before y, in [0, 1]; values outside are clamped.
        table: (n_levels, table_size, n_features) floating.
        base_resolution: vertices per side of the coarsest level, at least 2.
        per_level_scale: growth of the resolution from one level to the next, at least 1.
        level_mask: (n_levels,) factors on the levels' features, or None for all ones.
        backend: a name out of `available()`, or None for the best one here.

    Returns:
        (N, n_levels * n_features), level by level, in the table's dtype. Differentiable in coords, table and
        mask.

    Raises:
        ValueError: a shape or number is not as above.
        RuntimeError: the named backend is not usable here.
    """
    if coords.ndim != 2 or coords.shape[1] != 2:
        raise ValueError(f"coords must have shape (N, 2); got {tuple(coords.shape)}")
    reference.check_grid(table.shape, base_resolution, per_level_scale)
    if level_mask is not None and level_mask.shape != table.shape[:1]:
        raise ValueError(f"level_mask must have shape ({table.shape[0]},); got {tuple(level_mask.shape)}")
    chosen = choose(backend, "hash_encode", table.device, torch.promote_types(coords.dtype, table.dtype))
    if chosen == "torch":
        return reference.hash_encode(coords, table, base_resolution, per_level_scale, level_mask)
    weighed = table if level_mask is None else table * level_mask.to(table.dtype)[:, None, None]
    # float32 inside, whatever the outside
    given = coords.float().clamp(0, 1), weighed.float(), base_resolution, float(per_level_scale)
    if chosen == "tinycudann":
        from . import tinycudann_backend

        return tinycudann_backend.hash_encode(*given).to(table.dtype)
    return operator(*given).to(table.dtype)
