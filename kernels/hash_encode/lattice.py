"""The hash encoding of a lattice of points that do not change."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..dispatch import choose
from .operator import encode
from .reference import check_grid, corners, level


class LatticeEncoding:
    """Encode the points (x[j], y[i]): `hash_encode` of fixed points.

    "torch", the quickest on the CPU at the size of the loop, keeps the encoding as a sparse matrix and its transpose:
    16 bytes for each of 4 * h * w * n_levels entries. The others keep the points, and encode them as any. On the CPU
    every sum has a fixed order: the bits do not vary. On CUDA the gradient to the table is added up by atomics.

    Args:
        x: (w,) in [0, 1], ascending; values outside are clamped.
        y: (h,) likewise.
        n_levels: levels of the table.
        table_size: rows of the table.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: growth of the resolution from one level to the next.
        dtype: of the tables it takes.
        backend: "auto", or a name out of `available(x.device, "lattice")`: it is used, or refused.

    Raises:
        ValueError: an axis or number is not as above.
        RuntimeError: the named backend is not usable here.
    """

    def __init__(
        self,
        x: Tensor,
        y: Tensor,
        n_levels: int,
        table_size: int,
        base_resolution: int,
        per_level_scale: float,
        dtype: torch.dtype = torch.float32,
        backend: str = "auto",
    ) -> None:
        check_grid((n_levels, table_size, 1), base_resolution, per_level_scale)
        for name, axis in (("x", x), ("y", y)):
            if axis.ndim != 1 or not bool((axis[1:] >= axis[:-1]).all()):
                raise ValueError(f"{name} must be one ascending axis; got shape {tuple(axis.shape)} or another order")
        self.n_levels, self.table_size = n_levels, table_size
        self.backend = choose(backend, "lattice", x.device, dtype)
        points = torch.stack(torch.meshgrid(x.double(), y.double(), indexing="xy"), dim=-1).reshape(-1, 2).clamp(0, 1)
        self._grid = base_resolution, per_level_scale
        if self.backend == "torch":
            self._matrices = _sparse(points, n_levels, table_size, *self._grid, dtype)
        else:
            self._points = points.float()

    def __call__(self, table: Tensor, level_mask: Tensor | None = None) -> Tensor:
        """Encode every point, row by row: (h * w, n_levels * n_features). Differentiable in table and mask.

        Args:
            table: (n_levels, table_size, n_features).
            level_mask: (n_levels,) factors on the levels' features, or None for all ones.

        Raises:
            ValueError: the table has another size than the encoding was made for.
        """
        if table.ndim != 3 or table.shape[:2] != (self.n_levels, self.table_size):
            expected = f"({self.n_levels}, {self.table_size}, n_features)"
            raise ValueError(f"table must have shape {expected}; got {tuple(table.shape)}")
        if level_mask is not None:  # to weight the table, the small side of a linear map, is the cheaper way
            table = table * level_mask.to(table.dtype)[:, None, None]
        if self.backend != "torch":
            return encode(self.backend, self._points, table, *self._grid)
        return _Linear.apply(table.flatten(0, 1), *self._matrices).reshape(-1, self.n_levels * table.shape[2])


class _Linear(torch.autograd.Function):
    """The product with a matrix, given together with its transpose."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, matrix: Tensor, transpose: Tensor) -> Tensor:
        ctx.transpose = transpose
        return matrix @ dense

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transpose @ cotangent.contiguous(), None, None


def _sparse(
    points: Tensor, n_levels: int, table_size: int, base_resolution: int, per_level_scale: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Build the encoding of points (N, 2) float64 as a matrix (N * levels, levels * rows), and its transpose."""
    grids = [level(number, table_size, base_resolution, per_level_scale) for number in range(n_levels)]
    found = [corners(points, grid) for grid in grids]
    column = torch.stack([index + k * table_size for k, (index, _) in enumerate(found)], dim=1).flatten()
    weight = torch.stack([weight.to(dtype) for _, weight in found], dim=1).flatten()
    rows, n_columns = len(points) * n_levels, n_levels * table_size
    order = column.argsort(stable=True)
    counts = torch.bincount(column, minlength=n_columns)
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    every_fourth = torch.arange(0, 4 * rows + 1, 4, device=points.device)
    matrix = _compressed(every_fourth, column, weight, (rows, n_columns))
    return matrix, _compressed(starts, order // 4, weight[order], (n_columns, rows))


def _compressed(start: Tensor, column: Tensor, weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Build a CSR matrix with 32-bit indices; entries that meet in one place are added by the product."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(
            start.int(), column.int(), weight, shape, device=weight.device, check_invariants=False
        )
