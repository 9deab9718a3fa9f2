"""`warp_color` as a torch operator: compiled C++ on the CPU, Triton on CUDA."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import native
from ..operator import operator


@operator("flowedit::warp_color")
def warp_color(image: Tensor, coord: Tensor, color: Tensor) -> Tensor:
    """Arguments as in `flowedit.kernels.warp_color`; anything but float64."""
    source, at, tint = native.plain(image), native.plain(coord), native.plain(color)
    out = torch.empty_like(tint)
    native.call("warp_color_forward", source, at, tint, out, *source.shape, *tint.shape[2:])
    return out.to(image.dtype)


@warp_color.register_kernel("cuda")
def _(image: Tensor, coord: Tensor, color: Tensor) -> Tensor:
    from . import triton_kernel

    return triton_kernel.forward(image, coord, color)


@warp_color.register_fake
def _(image: Tensor, coord: Tensor, color: Tensor) -> Tensor:
    return color.new_empty(color.shape, dtype=image.dtype)


@operator("flowedit::warp_color_backward")
def warp_color_backward(
    image: Tensor, coord: Tensor, cotangent: Tensor, to_image: bool, to_coord: bool
) -> tuple[Tensor, Tensor]:
    """Gradients to image and coord in float32; empty where not asked for."""
    source, at, given = native.plain(image), native.plain(coord), native.plain(cotangent)
    d_image = torch.zeros_like(source) if to_image else source.new_empty(0)
    d_coord = torch.zeros_like(at) if to_coord else at.new_empty(0)
    native.call(
        "warp_color_backward", source, at, given, d_coord if to_coord else None, d_image if to_image else None,
        *source.shape, *at.shape[2:],
    )  # fmt: skip
    return d_image, d_coord


@warp_color_backward.register_kernel("cuda")
def _(image: Tensor, coord: Tensor, cotangent: Tensor, to_image: bool, to_coord: bool) -> tuple[Tensor, Tensor]:
    from . import triton_kernel

    d_coord, d_image = triton_kernel.backward(image, coord, cotangent, to_image)
    return d_image, d_coord if to_coord else d_coord.new_empty(0)


@warp_color_backward.register_fake
def _(image: Tensor, coord: Tensor, cotangent: Tensor, to_image: bool, to_coord: bool) -> tuple[Tensor, Tensor]:
    d_image = image.new_empty(image.shape if to_image else 0, dtype=torch.float32)
    return d_image, coord.new_empty(coord.shape if to_coord else 0, dtype=torch.float32)


def _save(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    image, coord, color = inputs
    ctx.save_for_backward(image, coord)
    ctx.color_dtype = color.dtype


def _backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor]:
    image, coord = ctx.saved_tensors
    to_image, to_coord, _ = ctx.needs_input_grad
    d_image = d_coord = None
    if to_image or to_coord:
        got_image, got_coord = warp_color_backward(image, coord, cotangent, to_image, to_coord)
        d_image = got_image.to(image.dtype) if to_image else None
        d_coord = got_coord.to(coord.dtype) if to_coord else None
    return d_image, d_coord, cotangent.to(ctx.color_dtype)


warp_color.register_autograd(_backward, setup_context=_save)
