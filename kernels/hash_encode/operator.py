"""`hash_encode` as torch operators, for any points and for a lattice: compiled C++ on the CPU, Triton on CUDA."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

from .. import native
from ..operator import operator
from .reference import level


@functools.lru_cache(maxsize=32)
def grids(n_levels: int, table_size: int, base_resolution: int, per_level_scale: float) -> tuple[Tensor, Tensor]:
    """Describe the levels for the kernels.

    Returns:
        Each level's resolution, rows in use and whether it is dense, (n_levels, 3) int32, and its scale, (n_levels,)
        float64.
    """
    found = [level(k, table_size, base_resolution, per_level_scale) for k in range(n_levels)]
    rows = torch.tensor([[g.resolution, g.entries, g.dense] for g in found], dtype=torch.int32)
    return rows, torch.tensor([g.scale for g in found], dtype=torch.float64)


# --- any points


@operator("flowedit::hash_encode")
def hash_encode(coords: Tensor, table: Tensor, base_resolution: int, per_level_scale: float) -> Tensor:
    """Arguments as in `flowedit.kernels.hash_encode`, float32 and coords in [0, 1]."""
    n_levels, table_size, n_features = table.shape
    rows, scales = grids(n_levels, table_size, base_resolution, per_level_scale)
    out = table.new_empty(len(coords), n_levels * n_features)
    native.call(
        "hash_points_forward", coords.contiguous(), table.contiguous(), rows, scales, out,
        len(coords), n_levels, table_size, n_features,
    )  # fmt: skip
    return out


@hash_encode.register_kernel("cuda")
def _(coords: Tensor, table: Tensor, base_resolution: int, per_level_scale: float) -> Tensor:
    from . import triton_kernel

    return triton_kernel.forward(coords, table, base_resolution, per_level_scale)


@hash_encode.register_fake
def _(coords: Tensor, table: Tensor, base_resolution: int, per_level_scale: float) -> Tensor:
    return table.new_empty(coords.shape[0], table.shape[0] * table.shape[2])


@operator("flowedit::hash_encode_backward")
def hash_encode_backward(
    coords: Tensor,
    table: Tensor,
    cotangent: Tensor,
    base_resolution: int,
    per_level_scale: float,
    to_coords: bool,
    to_table: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients to coords and table; empty where not asked for."""
    n_levels, table_size, n_features = table.shape
    rows, scales = grids(n_levels, table_size, base_resolution, per_level_scale)
    d_coords = coords.new_empty(coords.shape if to_coords else 0)
    d_table = table.new_zeros(table.shape if to_table else 0)
    native.call(
        "hash_points_backward", coords.contiguous(), table.contiguous(), cotangent.contiguous(), rows, scales,
        d_coords if to_coords else None, d_table if to_table else None,
        len(coords), n_levels, table_size, n_features,
    )  # fmt: skip
    return d_coords, d_table


@hash_encode_backward.register_kernel("cuda")
def _(
    coords: Tensor,
    table: Tensor,
    cotangent: Tensor,
    base_resolution: int,
    per_level_scale: float,
    to_coords: bool,
    to_table: bool,
) -> tuple[Tensor, Tensor]:
    from . import triton_kernel

    return triton_kernel.backward(coords, table, cotangent, base_resolution, per_level_scale, to_coords, to_table)


@hash_encode_backward.register_fake
def _(
    coords: Tensor,
    table: Tensor,
    cotangent: Tensor,
    base_resolution: int,
    per_level_scale: float,
    to_coords: bool,
    to_table: bool,
) -> tuple[Tensor, Tensor]:
    return coords.new_empty(coords.shape if to_coords else 0), table.new_empty(table.shape if to_table else 0)


def _save_points(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    coords, table, *ctx.grid = inputs
    ctx.save_for_backward(coords, table)


def _points_backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
    to_coords, to_table = ctx.needs_input_grad[:2]
    d_coords, d_table = hash_encode_backward(*ctx.saved_tensors, cotangent, *ctx.grid, to_coords, to_table)
    return d_coords if to_coords else None, d_table if to_table else None, None, None


hash_encode.register_autograd(_points_backward, setup_context=_save_points)


# --- a lattice of points that do not change, on the CPU


@operator("flowedit::hash_lattice")
def hash_lattice(table: Tensor, rows: Tensor, cells: Tensor, weights: Tensor, height: int) -> Tensor:
    """Encode a lattice of points.

    Args:
        table: (n_levels, table_size, n_features) float32.
        rows: (n_levels, 3) int32, of `grids`.
        cells: (n_levels, width + height) int32, ascending: the vertex before each column, then before each row.
        weights: likewise, float32: the weight of the vertex after.
        height: rows of the lattice.

    Returns:
        (height * width, n_levels * n_features), row by row.
    """
    n_levels, table_size, n_features = table.shape
    width = cells.shape[1] - height
    out = table.new_empty(height * width, n_levels * n_features)
    if out.numel():
        native.call(
            "hash_lattice_forward", table.contiguous(), rows, cells, weights, out,
            n_levels, table_size, n_features, height, width,
        )  # fmt: skip
    return out


@hash_lattice.register_fake
def _(table: Tensor, rows: Tensor, cells: Tensor, weights: Tensor, height: int) -> Tensor:
    return table.new_empty(height * (cells.shape[1] - height), table.shape[0] * table.shape[2])


@operator("flowedit::hash_lattice_backward")
def hash_lattice_backward(
    cotangent: Tensor, rows: Tensor, cells: Tensor, weights: Tensor, height: int, table_size: int
) -> Tensor:
    """The gradient to the table; each level's sums are one thread's, in one order."""
    n_levels = rows.shape[0]
    n_features = cotangent.shape[1] // n_levels
    d_table = cotangent.new_zeros(n_levels, table_size, n_features)
    if cotangent.numel():
        native.call(
            "hash_lattice_backward", cotangent.contiguous(), rows, cells, weights, d_table,
            n_levels, table_size, n_features, height, cells.shape[1] - height,
        )  # fmt: skip
    return d_table


@hash_lattice_backward.register_fake
def _(cotangent: Tensor, rows: Tensor, cells: Tensor, weights: Tensor, height: int, table_size: int) -> Tensor:
    n_levels = rows.shape[0]
    return cotangent.new_empty(n_levels, table_size, cotangent.shape[1] // n_levels)


def _save_lattice(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    table, rows, cells, weights, ctx.height = inputs
    ctx.save_for_backward(rows, cells, weights)
    ctx.table_size = table.shape[1]


def _lattice_backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None, None, None]:
    return hash_lattice_backward(cotangent, *ctx.saved_tensors, ctx.height, ctx.table_size), None, None, None, None


hash_lattice.register_autograd(_lattice_backward, setup_context=_save_lattice)
