"""`upsample` as a torch operator: compiled C++ on the CPU."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .. import native
from ..operator import operator
from .reference import taps

NONE = -1.0  # a limit that is none, for the kernel


@lru_cache(maxsize=64)
def _plain_taps(size: int, n: int, stencil: str) -> tuple[Tensor, Tensor]:
    index, weight = taps(size, n, stencil)
    return index.int().contiguous(), weight.float().contiguous()


@operator("flowedit::upsample")
def upsample(values: Tensor, height: int, width: int, stencil: str, limit: float | None) -> Tensor:
    """Arguments as in `flowedit.kernels.upsample`, float32."""
    batch, channels, h, w = values.shape
    out = values.new_zeros(batch, channels, height, width)
    columns, rows = _plain_taps(width, w, stencil), _plain_taps(height, h, stencil)
    native.call(
        "upsample_forward", values.contiguous(), *columns, *rows, out,
        batch * channels, h, w, height, width, columns[0].shape[1], NONE if limit is None else limit,
    )  # fmt: skip
    return out


@upsample.register_fake
def _(values: Tensor, height: int, width: int, stencil: str, limit: float | None) -> Tensor:
    return values.new_empty(*values.shape[:2], height, width)


@operator("flowedit::upsample_backward")
def upsample_backward(cotangent: Tensor, values: Tensor, stencil: str, limit: float | None) -> Tensor:
    """The transpose: (B, C, height, width) -> (B, C, h, w)."""
    batch, channels, height, width = cotangent.shape
    h, w = values.shape[2:]
    d_values = torch.zeros(batch, channels, h, w)
    columns, rows = _plain_taps(width, w, stencil), _plain_taps(height, h, stencil)
    native.call(
        "upsample_backward", cotangent.contiguous(), values.contiguous(), *columns, *rows, d_values,
        batch * channels, h, w, height, width, columns[0].shape[1], NONE if limit is None else limit,
    )  # fmt: skip
    return d_values


@upsample_backward.register_fake
def _(cotangent: Tensor, values: Tensor, stencil: str, limit: float | None) -> Tensor:
    return values.new_empty(values.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    values, _, _, ctx.stencil, ctx.limit = inputs
    ctx.save_for_backward(values)


def _backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    return upsample_backward(cotangent, *ctx.saved_tensors, ctx.stencil, ctx.limit), None, None, None, None


upsample.register_autograd(_backward, setup_context=_save)
