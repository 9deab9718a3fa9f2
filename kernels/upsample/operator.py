"""`upsample` as a torch operator: compiled C++ on the CPU."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .. import native
from .reference import taps


@lru_cache(maxsize=64)
def _plain_taps(size: int, n: int, stencil: str) -> tuple[Tensor, Tensor]:
    index, weight = taps(size, n, stencil)
    return index.int().contiguous(), weight.float().contiguous()


@torch.library.custom_op("flowedit::upsample", mutates_args=(), device_types="cpu")
def upsample(values: Tensor, height: int, width: int, stencil: str) -> Tensor:
    """Arguments as in `flowedit.kernels.upsample`, float32."""
    batch, channels, h, w = values.shape
    out = values.new_zeros(batch, channels, height, width)
    columns, rows = _plain_taps(width, w, stencil), _plain_taps(height, h, stencil)
    native.call(
        "upsample_forward", values.contiguous(), *columns, *rows, out,
        batch * channels, h, w, height, width, columns[0].shape[1],
    )  # fmt: skip
    return out


@upsample.register_fake
def _(values: Tensor, height: int, width: int, stencil: str) -> Tensor:
    return values.new_empty(*values.shape[:2], height, width)


@torch.library.custom_op("flowedit::upsample_backward", mutates_args=(), device_types="cpu")
def upsample_backward(cotangent: Tensor, h: int, w: int, stencil: str) -> Tensor:
    """The transpose: (B, C, height, width) -> (B, C, h, w)."""
    batch, channels, height, width = cotangent.shape
    d_values = cotangent.new_zeros(batch, channels, h, w)
    columns, rows = _plain_taps(width, w, stencil), _plain_taps(height, h, stencil)
    native.call(
        "upsample_backward", cotangent.contiguous(), *columns, *rows, d_values,
        batch * channels, h, w, height, width, columns[0].shape[1],
    )  # fmt: skip
    return d_values


@upsample_backward.register_fake
def _(cotangent: Tensor, h: int, w: int, stencil: str) -> Tensor:
    return cotangent.new_empty(*cotangent.shape[:2], h, w)


def _save(ctx: Any, inputs: tuple[Tensor, int, int, str], output: Tensor) -> None:
    ctx.h, ctx.w, ctx.stencil = *inputs[0].shape[2:], inputs[3]


def _backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None, None]:
    return upsample_backward(cotangent, ctx.h, ctx.w, ctx.stencil), None, None, None


upsample.register_autograd(_backward, setup_context=_save)
