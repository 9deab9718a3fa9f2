"""`hash_encode` by compiled kernels, with its gradients: C++ on the CPU, Triton or tiny-cuda-nn on CUDA."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import native
from .reference import level


def encode(backend: str, coords: Tensor, table: Tensor, base_resolution: int, per_level_scale: float) -> Tensor:
    """Run "native", "triton" or "tinycudann"; in float32, whatever the dtypes outside."""
    coords, values = native.plain(coords.float().clamp(0, 1)), native.plain(table)
    grid = base_resolution, float(per_level_scale)
    if backend == "tinycudann":
        from . import tinycudann_backend

        return tinycudann_backend.hash_encode(coords, values, *grid).to(table.dtype)
    return _Encode.apply(backend == "triton", coords, values, *grid).to(table.dtype)


@functools.lru_cache(maxsize=32)
def describe_levels(
    n_levels: int, table_size: int, base_resolution: int, per_level_scale: float, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Describe the levels for the kernels; kept, so that a captured CUDA graph copies nothing from the host.

    Returns:
        Each level's resolution, rows in use and whether it is dense, (n_levels, 3) int32, and its scale, (n_levels,)
        float64.
    """
    levels = [level(k, table_size, base_resolution, per_level_scale) for k in range(n_levels)]
    rows = torch.tensor([[g.resolution, g.entries, g.dense] for g in levels], dtype=torch.int32, device=device)
    return rows, torch.tensor([g.scale for g in levels], dtype=torch.float64, device=device)


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, triton: bool, coords: Tensor, table: Tensor, base_resolution: int, per_level_scale: float
    ) -> Tensor:
        n_levels, table_size, n_features = table.shape
        levels = describe_levels(n_levels, table_size, base_resolution, per_level_scale, table.device)
        ctx.triton, ctx.levels = triton, levels
        ctx.save_for_backward(coords, table)
        out = table.new_empty(len(coords), n_levels * n_features)
        if triton:
            from . import triton_kernel

            triton_kernel.forward(coords, table, levels, out)
        else:
            native.call(
                "hash_encode_forward", coords, table, *levels, out, len(coords), n_levels, table_size, n_features
            )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
        coords, table = ctx.saved_tensors
        _, to_coords, to_table, *_ = ctx.needs_input_grad
        cotangent = native.plain(cotangent)
        d_coords = torch.empty_like(coords) if to_coords else None
        d_table = torch.zeros_like(table) if to_table else None
        if ctx.triton:
            from . import triton_kernel

            triton_kernel.backward(coords, table, ctx.levels, cotangent, d_coords, d_table)
        else:
            native.call(
                "hash_encode_backward", coords, table, *ctx.levels, cotangent, d_coords, d_table,
                len(coords), *table.shape,
            )  # fmt: skip
        return None, d_coords, d_table, None, None
