"""The hash encoding of points that do not change: a constant sparse operator on the table."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .reference import check_grid, corners, level


class LatticeEncoding:
    """Encode fixed points: `hash_encode(coords, table, ...)` as one product with a matrix made once.

    The matrix (rows: point and level; columns: level and table row; at most four entries a row) and its
    transpose, for the gradient, are kept in compressed rows: together 16 bytes for each of the N * n_levels *
    4 entries in float32, and 4 for each row. Each output and each gradient entry is a sum in a fixed order,
    so on the CPU the bits do not vary.

    Args:
        coords: (N, 2) in [0, 1], x before y; values outside are clamped.
        n_levels: levels of the table.
        table_size: rows of the table.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: growth of the resolution from one level to the next.
        dtype: of the weights, and so of the tables it takes.
    """

    def __init__(
        self,
        coords: Tensor,
        n_levels: int,
        table_size: int,
        base_resolution: int,
        per_level_scale: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        check_grid((n_levels, table_size, 1), base_resolution, per_level_scale)
        coords = coords.double().clamp(0, 1)
        columns, weights = [], []
        for number in range(n_levels):
            index, weight = corners(coords, level(number, table_size, base_resolution, per_level_scale))
            columns.append((index + number * table_size).int())
            weights.append(weight.to(dtype))
        column = torch.stack(columns, dim=1).flatten()
        weight = torch.stack(weights, dim=1).flatten()
        rows = len(coords) * n_levels
        self.n_points, self.n_levels, self.table_size = len(coords), n_levels, table_size
        start = torch.arange(0, 4 * rows + 1, 4, device=coords.device)
        self._matrix = _compressed(start, column, weight, (rows, n_levels * table_size))
        order = column.argsort(stable=True)
        counts = torch.bincount(column, minlength=n_levels * table_size)
        start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self._transpose = _compressed(start, order // 4, weight[order], (n_levels * table_size, rows))

    def __call__(self, table: Tensor, level_mask: Tensor | None = None) -> Tensor:
        """Return (N, n_levels * n_features), level by level; differentiable in the table and the mask.

        Args:
            table: (n_levels, table_size, n_features).
            level_mask: (n_levels,) factors on the levels' features, or None for all ones.

        Raises:
            ValueError: the table has another size than the operator was made for.
        """
        if table.ndim != 3 or table.shape[:2] != (self.n_levels, self.table_size):
            expected = f"({self.n_levels}, {self.table_size}, n_features)"
            raise ValueError(f"table must have shape {expected}; got {tuple(table.shape)}")
        if level_mask is not None:
            # The operator is linear: weighing the table, the small side, is the same and cheaper.
            table = table * level_mask.to(table.dtype)[:, None, None]
        product = _Product.apply(table.flatten(0, 1), self._matrix, self._transpose)
        return product.reshape(self.n_points, self.n_levels * table.shape[2])


class _Product(torch.autograd.Function):
    """matrix @ dense, whose gradient is transpose @ cotangent."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Tensor, transpose: Tensor) -> Tensor:
        ctx.transpose = transpose
        return matrix @ dense

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transpose @ cotangent.contiguous(), None, None


def _compressed(start: Tensor, column: Tensor, weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Build a CSR matrix with 32-bit indices; entries that meet in one place are added by the product."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(start.int(), column.int(), weight, shape, check_invariants=False)
