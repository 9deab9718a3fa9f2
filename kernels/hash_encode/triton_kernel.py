"""`hash_encode` in Triton.

Blocks are (points, 4 corners, features); features are padded to a power of two. Positions are not computed by
fused multiply-adds, so that a point falls into the same cell here as in `reference`.
"""

# A kernel's arguments are typed when Triton compiles it.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import reference

PRIME = tl.constexpr(reference.PRIME)


def forward(coords: Tensor, table: Tensor, levels: tuple[Tensor, Tensor], out: Tensor) -> None:
    """Fill out (N, L * F) with the encoding of coords (N, 2) by table (L, T, F); all contiguous and float32."""
    if not out.numel():
        return
    n_levels, table_size, n_features = table.shape
    points, padded = _block(n_features)
    with torch.cuda.device_of(table):
        _forward[(n_levels * triton.cdiv(len(coords), points),)](
            coords, table, *levels, out, len(coords), n_levels, table_size * n_features, n_features, points, padded,
            enable_fp_fusion=False,
        )  # fmt: skip


def backward(
    coords: Tensor, table: Tensor, levels: tuple[Tensor, Tensor], cotangent: Tensor, d_coords: Tensor | None,
    d_table: Tensor | None,
) -> None:  # fmt: skip
    """Fill d_coords, and add to d_table by atomics: its last bits vary from run to run. None is skipped."""
    if not cotangent.numel():
        return
    n_levels, table_size, n_features = table.shape
    points, padded = _block(n_features)
    with torch.cuda.device_of(table):
        _backward[(triton.cdiv(len(coords), points),)](
            coords, table, *levels, cotangent, d_coords, d_table, len(coords), n_levels, table_size * n_features,
            n_features, points, padded, enable_fp_fusion=False,
        )  # fmt: skip


def _block(n_features: int) -> tuple[int, int]:
    """Choose how many points a program takes, and the padded number of features: about 1024 reads at once."""
    padded = triton.next_power_of_2(n_features)
    return max(256 // padded, 1), padded


@triton.jit
def _corners(coords, point, inside, grids, scales, level):
    """Return the rows of the four corners (points, 4), and the corners' weights along x and along y, alike."""
    scale = tl.load(scales + level).to(tl.float32)
    resolution = tl.load(grids + level * 3).to(tl.uint32)
    entries = tl.load(grids + level * 3 + 1).to(tl.uint32)
    dense = tl.load(grids + level * 3 + 2) != 0
    position_x = tl.load(coords + point * 2, inside, 0.0) * scale + 0.5
    position_y = tl.load(coords + point * 2 + 1, inside, 0.0) * scale + 0.5
    first_x, first_y = tl.floor(position_x), tl.floor(position_y)
    x, y = (position_x - first_x)[:, None], (position_y - first_y)[:, None]
    right, below = _sides()
    cell_x = (first_x.to(tl.int32)[:, None] + right).to(tl.uint32)
    cell_y = (first_y.to(tl.int32)[:, None] + below).to(tl.uint32)
    row = tl.where(dense, cell_x + cell_y * resolution, cell_x ^ (cell_y * PRIME)) % entries  # wraps at 2**32
    return row, tl.where(right == 1, x, 1 - x), tl.where(below == 1, y, 1 - y)


@triton.jit
def _sides():
    """Return of each corner whether it is a right one, and whether it is a lower one: (1, 4) each."""
    corner = tl.arange(0, 4)[None, :]
    return corner & 1, corner >> 1


@triton.jit
def _forward(
    coords, table, grids, scales, out, n_points, n_levels, level_size,
    FEATURES: tl.constexpr, POINTS: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    pieces = tl.cdiv(n_points, POINTS)  # programs of one level follow each other: they share the cache
    level = tl.program_id(0) // pieces
    point = (tl.program_id(0) % pieces).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    feature = tl.arange(0, PADDED)
    inside, real = point < n_points, feature < FEATURES
    row, wx, wy = _corners(coords, point, inside, grids, scales, level)
    table += level.to(tl.int64) * level_size
    keep = inside[:, None, None] & real[None, None, :]
    values = tl.load(table + row.to(tl.int64)[:, :, None] * FEATURES + feature[None, None, :], keep, 0.0)
    encoded = tl.sum((wx * wy)[:, :, None] * values, axis=1)
    place = (point * n_levels + level)[:, None] * FEATURES + feature[None, :]
    tl.store(out + place, encoded, inside[:, None] & real[None, :])


@triton.jit
def _backward(
    coords, table, grids, scales, cotangent, d_coords, d_table, n_points, n_levels, level_size,
    FEATURES: tl.constexpr, POINTS: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    point = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    feature = tl.arange(0, PADDED)
    inside, real = point < n_points, feature < FEATURES
    keep = inside[:, None, None] & real[None, None, :]
    right, below = _sides()
    d_x = tl.zeros([POINTS], tl.float32)
    d_y = tl.zeros([POINTS], tl.float32)
    for level in range(n_levels):
        row, wx, wy = _corners(coords, point, inside, grids, scales, level)
        place = (point * n_levels + level)[:, None] * FEATURES + feature[None, :]
        g = tl.load(cotangent + place, inside[:, None] & real[None, :], 0.0)[:, None, :]
        spot = row.to(tl.int64)[:, :, None] * FEATURES + feature[None, None, :]
        if d_coords is not None:
            scale = tl.load(scales + level).to(tl.float32)
            dot = tl.sum(tl.load(table + spot, keep, 0.0) * g, axis=2)
            d_x += scale * tl.sum(tl.where(right == 1, dot, -dot) * wy, axis=1)
            d_y += scale * tl.sum(tl.where(below == 1, dot, -dot) * wx, axis=1)
            table += level_size
        if d_table is not None:
            tl.atomic_add(d_table + spot, (wx * wy)[:, :, None] * g, keep, sem="relaxed")
            d_table += level_size
    if d_coords is not None:
        tl.store(d_coords + point * 2, d_x, inside)
        tl.store(d_coords + point * 2 + 1, d_y, inside)
