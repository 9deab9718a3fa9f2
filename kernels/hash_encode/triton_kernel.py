"""`hash_encode` in Triton, and its form for points that do not change.

Blocks are (points, 4 corners, features); features are padded to a power of two. Positions are not computed by
fused multiply-adds, so that a point falls into the same cell here as in `reference`.
"""

# A kernel's arguments are typed when Triton compiles it.
# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from functools import lru_cache

import torch
import triton
import triton.language as tl
from torch import Tensor

from . import reference

PRIME = tl.constexpr(reference.PRIME)
CHUNK = 256  # entries of the constant operator's transpose that are summed as one
SEGMENTS, WIDTH = 16, 16  # sums that one program makes at a time, and terms of each that it reads at once


def forward(coords: Tensor, table: Tensor, base_resolution: int, per_level_scale: float) -> Tensor:
    """Encode points; see `reference.hash_encode`.

    Args:
        coords: (N, 2) float32 in [0, 1], x before y.
        table: (L, T, F) float32.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: growth of the resolution from one level to the next.

    Returns:
        (N, L * F) float32, level by level.
    """
    coords, table = coords.contiguous(), table.contiguous()
    n_levels, table_size, n_features = table.shape
    out = table.new_empty(len(coords), n_levels * n_features)
    if not out.numel():
        return out
    levels = _levels(n_levels, table_size, base_resolution, per_level_scale, table.device)
    points, padded = _block(n_features)
    with torch.cuda.device_of(table):
        _forward[(n_levels * triton.cdiv(len(coords), points),)](
            coords, table, *levels, out, len(coords), n_levels, table_size * n_features, n_features, points, padded,
            enable_fp_fusion=False,
        )  # fmt: skip
    return out


def backward(
    coords: Tensor,
    table: Tensor,
    cotangent: Tensor,
    base_resolution: int,
    per_level_scale: float,
    to_coords: bool,
    to_table: bool,
) -> tuple[Tensor, Tensor]:
    """Pull a cotangent back to coords and to table, as asked.

    The gradient to table is added up in float32 by atomics: its last bits vary from run to run. That to
    coords does not.

    Args:
        coords: (N, 2) float32 in [0, 1].
        table: (L, T, F) float32.
        cotangent: (N, L * F) float32.
        base_resolution: as in `forward`.
        per_level_scale: as in `forward`.
        to_coords: whether the first result is wanted.
        to_table: whether the second result is wanted.

    Returns:
        (N, 2) and (L, T, F) float32; an empty tensor in place of what was not asked for.
    """
    coords, table, cotangent = coords.contiguous(), table.contiguous(), cotangent.contiguous()
    n_levels, table_size, n_features = table.shape
    d_coords = coords.new_zeros(coords.shape if to_coords else 0)
    d_table = table.new_zeros(table.shape if to_table else 0)
    if not cotangent.numel():
        return d_coords, d_table
    levels = _levels(n_levels, table_size, base_resolution, per_level_scale, table.device)
    points, padded = _block(n_features)
    with torch.cuda.device_of(table):
        _backward[(triton.cdiv(len(coords), points),)](
            coords, table, *levels, cotangent, d_coords, d_table, len(coords), n_levels, table_size * n_features,
            n_features, points, padded, to_coords, to_table, enable_fp_fusion=False,
        )  # fmt: skip
    return d_coords, d_table


class ConstantEncoding:
    """Encode fixed points: `LatticeEncoding` for CUDA. Every sum has a fixed order, so the bits do not vary.

    For each of the N * L * 4 entries a row of the table and a weight are kept, and both once more, sorted by
    row, for the gradient: 16 bytes in all. An entry's row is summed in chunks, and then its chunks.

    Args:
        coords: (N, 2) float64 in [0, 1], x before y.
        n_levels: L, levels of the table.
        table_size: T, rows of a level; L * T must be less than 2**31.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: growth of the resolution from one level to the next.
        device: where the tables will lie.
    """

    def __init__(
        self,
        coords: Tensor,
        n_levels: int,
        table_size: int,
        base_resolution: int,
        per_level_scale: float,
        device: torch.device | str,
    ) -> None:
        coords = coords.to(device)
        rows, weights = [], []
        for number in range(n_levels):
            grid = reference.level(number, table_size, base_resolution, per_level_scale)
            index, weight = reference.corners(coords, grid)
            rows.append((index + number * table_size).int())
            weights.append(weight.float())
        self.n_points, self.n_levels, self.table_size = len(coords), n_levels, table_size
        self._row = torch.stack(rows, dim=1).flatten()  # (N * L * 4,), as the weights
        self._weight = torch.stack(weights, dim=1).flatten()

        order = self._row.argsort(stable=True)
        self._source = (order // 4).int()  # of N * L, the point and level an entry belongs to
        self._sorted_weight = self._weight[order]
        counts = torch.bincount(self._row, minlength=n_levels * table_size)
        pieces = (counts + CHUNK - 1) // CHUNK
        self._row_start = _starts(pieces)  # (L * T + 1,), in chunks
        row = torch.arange(len(pieces), device=counts.device).repeat_interleave(pieces)
        piece = torch.arange(len(row), device=counts.device) - self._row_start[row]
        # A chunk ends where the next begins. (chunks + 1,), in entries.
        self._chunk_start = torch.cat([_starts(counts)[row] + piece * CHUNK, counts.sum()[None]])

    def forward(self, table: Tensor) -> Tensor:
        """Return (N, L * F), level by level, from a table (L, T, F) float32."""
        table, n_features = table.contiguous(), table.shape[2]
        out = table.new_empty(self.n_points, self.n_levels * n_features)
        if not out.numel():
            return out
        n_items = self.n_points * self.n_levels
        items, padded = _block(n_features)
        with torch.cuda.device_of(table):
            _interpolate[(triton.cdiv(n_items, items),)](
                table, self._row, self._weight, out, n_items, n_features, items, padded
            )
        return out

    def backward(self, cotangent: Tensor) -> Tensor:
        """Return the gradient to the table, (L, T, F), from a cotangent (N, L * F) float32."""
        n_features = cotangent.shape[1] // self.n_levels
        d_table = cotangent.new_zeros(self.n_levels, self.table_size, n_features)
        if not cotangent.numel():
            return d_table
        cotangent = cotangent.contiguous()
        partial = cotangent.new_empty(len(self._chunk_start) - 1, n_features)
        entries = (self._source, self._sorted_weight)
        with torch.cuda.device_of(cotangent):
            _sum(cotangent, self._chunk_start, *entries, partial)
            _sum(partial, self._row_start, None, None, d_table)
        return d_table


def _starts(counts: Tensor) -> Tensor:
    """Turn counts (n,) into where each begins and, last, where all end (n + 1,)."""
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _sum(values: Tensor, start: Tensor, source: Tensor | None, weight: Tensor | None, out: Tensor) -> None:
    """Fill out (segments, F) with the sums of values (., F), or of weight * values[source], from start to start."""
    segments, n_features = len(start) - 1, out.shape[-1]
    _sum_segments[(triton.cdiv(segments, SEGMENTS),)](
        values, start, source, weight, out, segments, n_features, SEGMENTS, WIDTH, triton.next_power_of_2(n_features)
    )


def _block(n_features: int) -> tuple[int, int]:
    """Choose how many points a program takes, and the padded number of features: about 1024 reads at once."""
    padded = triton.next_power_of_2(n_features)
    return max(256 // padded, 1), padded


@lru_cache(maxsize=64)
def _levels(
    n_levels: int, table_size: int, base_resolution: int, per_level_scale: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Describe the levels on the device: scales (L,) float32; resolution, entries, dense (L, 3) int32.

    Kept, so that a captured CUDA graph copies nothing from the host.
    """
    grids = [reference.level(number, table_size, base_resolution, per_level_scale) for number in range(n_levels)]
    scales = torch.tensor([grid.scale for grid in grids], dtype=torch.float32, device=device)
    return scales, torch.tensor([tuple(grid[1:]) for grid in grids], dtype=torch.int32, device=device)


@triton.jit
def _corners(coords, point, inside, scales, grids, level):
    """Return the rows of the four corners (points, 4), and the corners' weights along x and along y, alike."""
    scale = tl.load(scales + level)
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
    """Say of each corner whether it is the right one, and whether it is the one of larger y: (1, 4) each."""
    corner = tl.arange(0, 4)[None, :]
    return corner & 1, corner >> 1


@triton.jit
def _forward(
    coords, table, scales, grids, out, n_points, n_levels, level_size,
    FEATURES: tl.constexpr, POINTS: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    pieces = tl.cdiv(n_points, POINTS)  # programs of one level follow each other: they share the cache
    level = tl.program_id(0) // pieces
    point = (tl.program_id(0) % pieces).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    feature = tl.arange(0, PADDED)
    inside, real = point < n_points, feature < FEATURES
    row, wx, wy = _corners(coords, point, inside, scales, grids, level)
    table += level.to(tl.int64) * level_size
    keep = inside[:, None, None] & real[None, None, :]
    values = tl.load(table + row.to(tl.int64)[:, :, None] * FEATURES + feature[None, None, :], keep, 0.0)
    encoded = tl.sum((wx * wy)[:, :, None] * values, axis=1)
    place = (point * n_levels + level)[:, None] * FEATURES + feature[None, :]
    tl.store(out + place, encoded, inside[:, None] & real[None, :])


@triton.jit
def _backward(
    coords, table, scales, grids, cotangent, d_coords, d_table, n_points, n_levels, level_size,
    FEATURES: tl.constexpr, POINTS: tl.constexpr, PADDED: tl.constexpr, TO_COORDS: tl.constexpr, TO_TABLE: tl.constexpr,
):  # fmt: skip
    point = tl.program_id(0).to(tl.int64) * POINTS + tl.arange(0, POINTS)
    feature = tl.arange(0, PADDED)
    inside, real = point < n_points, feature < FEATURES
    keep = inside[:, None, None] & real[None, None, :]
    right, below = _sides()
    d_x = tl.zeros([POINTS], tl.float32)
    d_y = tl.zeros([POINTS], tl.float32)
    for level in range(n_levels):
        row, wx, wy = _corners(coords, point, inside, scales, grids, level)
        place = (point * n_levels + level)[:, None] * FEATURES + feature[None, :]
        g = tl.load(cotangent + place, inside[:, None] & real[None, :], 0.0)[:, None, :]
        spot = row.to(tl.int64)[:, :, None] * FEATURES + feature[None, None, :]
        if TO_COORDS:
            scale = tl.load(scales + level)
            dot = tl.sum(tl.load(table + spot, keep, 0.0) * g, axis=2)
            d_x += scale * tl.sum(tl.where(right == 1, dot, -dot) * wy, axis=1)
            d_y += scale * tl.sum(tl.where(below == 1, dot, -dot) * wx, axis=1)
            table += level_size
        if TO_TABLE:
            tl.atomic_add(d_table + spot, (wx * wy)[:, :, None] * g, keep, sem="relaxed")
            d_table += level_size
    if TO_COORDS:
        tl.store(d_coords + point * 2, d_x, inside)
        tl.store(d_coords + point * 2 + 1, d_y, inside)


@triton.jit
def _interpolate(table, rows, weights, out, n_items, FEATURES: tl.constexpr, ITEMS: tl.constexpr, PADDED: tl.constexpr):
    """Fill out (items, F) with the sums of four weighted rows each."""
    item = tl.program_id(0).to(tl.int64) * ITEMS + tl.arange(0, ITEMS)
    feature = tl.arange(0, PADDED)
    inside, real = item < n_items, feature < FEATURES
    entry = item[:, None] * 4 + tl.arange(0, 4)[None, :]
    row = tl.load(rows + entry, inside[:, None], 0).to(tl.int64)
    weight = tl.load(weights + entry, inside[:, None], 0.0)
    keep = inside[:, None, None] & real[None, None, :]
    values = tl.load(table + row[:, :, None] * FEATURES + feature[None, None, :], keep, 0.0)
    place = item[:, None] * FEATURES + feature[None, :]
    tl.store(out + place, tl.sum(weight[:, :, None] * values, axis=1), inside[:, None] & real[None, :])


@triton.jit
def _sum_segments(
    values, start, source, weight, out, n_segments,
    FEATURES: tl.constexpr, SEGMENTS: tl.constexpr, WIDTH: tl.constexpr, PADDED: tl.constexpr,
):  # fmt: skip
    """Fill out (segments, F), see `_sum`; the order depends on nothing but a term's place in its segment."""
    segment = tl.program_id(0).to(tl.int64) * SEGMENTS + tl.arange(0, SEGMENTS)
    feature = tl.arange(0, PADDED)
    inside, real = segment < n_segments, feature < FEATURES
    first = tl.load(start + segment, inside, 0)
    last = tl.load(start + segment + 1, inside, 0)
    total = tl.zeros([SEGMENTS, PADDED], tl.float32)
    for step in range(0, tl.max(last - first, axis=0).to(tl.int32), WIDTH):
        place = first[:, None] + (step + tl.arange(0, WIDTH))[None, :]
        there = place < last[:, None]
        row = place
        if source is not None:
            row = tl.load(source + place, there, 0).to(tl.int64)
        keep = there[:, :, None] & real[None, None, :]
        terms = tl.load(values + row[:, :, None] * FEATURES + feature[None, None, :], keep, 0.0)
        if weight is not None:
            terms *= tl.load(weight + place, there, 0.0)[:, :, None]
        total += tl.sum(terms, axis=1)
    tl.store(out + segment[:, None] * FEATURES + feature[None, :], total, inside[:, None] & real[None, :])
