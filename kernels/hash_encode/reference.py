"""What `hash_encode` means, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PRIME = 2654435761  # multiplies y; x is multiplied by 1 (Müller et al. 2022, Eq. 4)


class Level(NamedTuple):
    """One grid of the pyramid."""

    scale: float  # grid units across the unit square
    resolution: int  # vertices per side
    entries: int  # rows of the table in use
    dense: bool  # every vertex has a row of its own; otherwise rows are hashed


def check_grid(table_shape: Sequence[int], base_resolution: int, per_level_scale: float) -> None:
    """Refuse a table that is not (n_levels, table_size, n_features), or a resolution that cannot be."""
    if len(table_shape) != 3 or 0 in table_shape:
        expected = "(n_levels, table_size, n_features), none of them zero"
        raise ValueError(f"table must have shape {expected}; got {tuple(table_shape)}")
    if base_resolution < 2:
        raise ValueError(f"base_resolution must be at least 2 vertices; got {base_resolution}")
    if not 1 <= per_level_scale < math.inf:
        raise ValueError(f"per_level_scale must be at least 1; got {per_level_scale}")


def level(number: int, table_size: int, base_resolution: int, per_level_scale: float) -> Level:
    """Describe level `number`, counted from the coarsest, as tiny-cuda-nn does.

    `base_resolution` counts vertices, hence the -1; rows are used in eights; a level is dense where it fits.
    """
    scale = base_resolution * per_level_scale**number - 1
    resolution = math.ceil(scale) + 1
    entries = min(-(-(resolution**2) // 8) * 8, table_size)
    return Level(scale, resolution, entries, dense=resolution**2 <= table_size)


def hash_index(cell: Tensor, entries: int) -> Tensor:
    """Spatial hash of Müller et al. 2022 (Instant NGP, Sec. 3); always 2-D here, so two primes suffice.

    Args:
        cell: (..., 2) non-negative int64 vertex numbers, x before y.
        entries: rows in use.

    Returns:
        (...) rows in [0, entries).
    """
    # tiny-cuda-nn multiplies in 32 bits: the product is cut to them before the remainder is taken.
    return (cell[..., 0] ^ (cell[..., 1] * PRIME & 0xFFFFFFFF)) % entries


def corners(coords: Tensor, grid: Level) -> tuple[Tensor, Tensor]:
    """Find the four vertices around each point and their bilinear weights.

    Args:
        coords: (N, 2) in [0, 1].
        grid: the level.

    Returns:
        Rows (N, 4) int64 and weights (N, 4) in the dtype of coords. As in tiny-cuda-nn the grid is shifted by
        half a cell, so that levels do not share their vertices, and the half cell beyond the last vertex
        wraps around to the next row of vertices.
    """
    position = coords * grid.scale + 0.5
    first = position.detach().floor()
    x, y = (position - first).unbind(-1)
    weight = torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], dim=-1)
    step = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], device=coords.device)
    cell = first.long()[:, None] + step
    if grid.dense:
        return (cell[..., 0] + cell[..., 1] * grid.resolution) % grid.entries, weight
    return hash_index(cell, grid.entries), weight


def hash_encode(
    coords: Tensor,
    table: Tensor,
    base_resolution: int,
    per_level_scale: float,
    level_mask: Tensor | None = None,
) -> Tensor:
    """Encode points by interpolated features of every level; arguments as in
    `flowedit.kernels.hash_encode`."""
    coords = coords.to(torch.promote_types(coords.dtype, torch.float32)).clamp(0, 1)
    features = []
    for number, rows in enumerate(table):
        index, weight = corners(coords, level(number, len(rows), base_resolution, per_level_scale))
        feature = (weight.to(rows.dtype)[..., None] * rows[index]).sum(1)
        features.append(feature if level_mask is None else feature * level_mask[number].to(rows.dtype))
    return torch.cat(features, dim=1)
