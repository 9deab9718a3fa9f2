"""Multiresolution hash encoding of 2-D coordinates (Müller et al. 2022)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..dispatch import choose
from . import reference
from .lattice import LatticeEncoding
from .operator import encode

__all__ = ["LatticeEncoding", "hash_encode"]


def hash_encode(
    coords: Tensor,
    table: Tensor,
    base_resolution: int,
    per_level_scale: float,
    level_mask: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Encode points by interpolated features of every level; see `reference.hash_encode` for the meaning.

    Args:
        coords: (N, 2) floating, x before y, in [0, 1]; values outside are clamped.
        table: (n_levels, table_size, n_features) floating.
        base_resolution: vertices per side of the coarsest level, at least 2.
        per_level_scale: growth of the resolution from one level to the next, at least 1.
        level_mask: (n_levels,) factors on the levels' features, or None for all ones.
        backend: "auto", or a name out of `available()`: it is used, or refused.

    Returns:
        (N, n_levels * n_features), level by level, in the table's dtype. Differentiable in coords, table and
        mask.

    Raises:
        ValueError: a shape or number is not as above, or a table of a size that tinycudann does not take.
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
    weighted = table if level_mask is None else table * level_mask.to(table.dtype)[:, None, None]
    return encode(chosen, coords, weighted, base_resolution, per_level_scale)
