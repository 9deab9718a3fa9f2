"""The hash encoding of a lattice of points that do not change."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..dispatch import choose
from . import operator
from .reference import check_grid, corners, level


class LatticeEncoding:
    """Encode the points (x[j], y[i]): `hash_encode` of fixed points, with all that is constant computed once.

    Every output and every gradient entry is a sum in a fixed order, without atomics: the bits do not vary.
    "native" keeps a cell and a weight for each column, row and level. "torch" keeps the encoding as a sparse matrix
    (rows: point and level; columns: level and table row; at most four entries a row) and its transpose: 16 bytes for
    each of the h * w * n_levels * 4 entries. "triton" keeps as much.

    Args:
        x: (w,) in [0, 1], ascending; values outside are clamped.
        y: (h,) likewise.
        n_levels: levels of the table.
        table_size: rows of the table.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: growth of the resolution from one level to the next.
        dtype: of the tables it takes.
        backend: a name out of `available(x.device, "lattice")`, or None for the best one there.

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
        backend: str | None = None,
    ) -> None:
        check_grid((n_levels, table_size, 1), base_resolution, per_level_scale)
        for name, axis in (("x", x), ("y", y)):
            if axis.ndim != 1 or not bool((axis[1:] >= axis[:-1]).all()):
                raise ValueError(f"{name} must be one ascending axis; got shape {tuple(axis.shape)} or another order")
        self.n_levels, self.table_size = n_levels, table_size
        x, y = x.double().clamp(0, 1), y.double().clamp(0, 1)
        grid = (n_levels, table_size, base_resolution, per_level_scale)
        kinds: dict[str, type[_Axes | _Matrix | _Entries]] = {"native": _Axes, "torch": _Matrix, "triton": _Entries}
        self._encode = kinds[choose(backend, "lattice", x.device, dtype)](x, y, grid, dtype)

    def __call__(self, table: Tensor, level_mask: Tensor | None = None) -> Tensor:
        """Return (h * w, n_levels * n_features), row by row and level by level; differentiable in both arguments.

        Args:
            table: (n_levels, table_size, n_features).
            level_mask: (n_levels,) factors on the levels' features, or None for all ones.

        Raises:
            ValueError: the table has another size than the encoding was made for.
        """
        if table.ndim != 3 or table.shape[:2] != (self.n_levels, self.table_size):
            expected = f"({self.n_levels}, {self.table_size}, n_features)"
            raise ValueError(f"table must have shape {expected}; got {tuple(table.shape)}")
        if level_mask is not None:
            # The encoding is linear: weighing the table, the small side, is the same and cheaper.
            table = table * level_mask.to(table.dtype)[:, None, None]
        return self._encode(table)


Grid = tuple[int, int, int, float]


def _points(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)


class _Axes:
    """By the compiled kernel, a row of points at a time."""

    def __init__(self, x: Tensor, y: Tensor, grid: Grid, dtype: torch.dtype) -> None:
        self.height = len(y)
        self.rows, scales = operator.grids(*grid)
        position = torch.cat([x, y])[None] * scales[:, None] + 0.5
        self.cells = position.floor().int()
        self.weights = (position - self.cells).float()

    def __call__(self, table: Tensor) -> Tensor:
        return operator.hash_lattice(table, self.rows, self.cells, self.weights, self.height)


class _Entries:
    """By the kernels for CUDA, from a list of the rows that each point reads, sorted both ways."""

    def __init__(self, x: Tensor, y: Tensor, grid: Grid, dtype: torch.dtype) -> None:
        from .triton_kernel import ConstantEncoding

        self.encoding = ConstantEncoding(_points(x, y), *grid, x.device)

    def __call__(self, table: Tensor) -> Tensor:
        return _Linear.apply(table, self.encoding.forward, self.encoding.backward)


class _Matrix:
    """By a sparse matrix, and by its transpose for the gradient."""

    def __init__(self, x: Tensor, y: Tensor, grid: Grid, dtype: torch.dtype) -> None:
        n_levels, table_size, *_ = grid
        points = _points(x, y)
        columns, weights = [], []
        for number in range(n_levels):
            index, weight = corners(points, level(number, *grid[1:]))
            columns.append((index + number * table_size).int())
            weights.append(weight.to(dtype))
        column = torch.stack(columns, dim=1).flatten()
        weight = torch.stack(weights, dim=1).flatten()
        rows = len(points) * n_levels
        start = torch.arange(0, 4 * rows + 1, 4, device=points.device)
        self.matrix = _compressed(start, column, weight, (rows, n_levels * table_size))
        order = column.argsort(stable=True)
        counts = torch.bincount(column, minlength=n_levels * table_size)
        start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        self.transpose = _compressed(start, order // 4, weight[order], (n_levels * table_size, rows))
        self.n_levels = n_levels

    def __call__(self, table: Tensor) -> Tensor:
        product = _Linear.apply(table.flatten(0, 1), self.matrix.__matmul__, self.transpose.__matmul__)
        return product.reshape(-1, self.n_levels * table.shape[2])


class _Linear(torch.autograd.Function):
    """A linear map, given together with its transpose."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, forward: Any, backward: Any) -> Tensor:
        ctx.transpose = backward
        return forward(dense)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transpose(cotangent.contiguous()), None, None


def _compressed(start: Tensor, column: Tensor, weight: Tensor, shape: tuple[int, int]) -> Tensor:
    """Build a CSR matrix with 32-bit indices; entries that meet in one place are added by the product."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(start.int(), column.int(), weight, shape, check_invariants=False)
