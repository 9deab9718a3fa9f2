"""`paint` as a torch operator: compiled C++ on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import native
from ..operator import operator
from .reference import NEARLY


@operator("flowedit::paint")
def paint(
    color: Tensor, weight: Tensor, palette: Tensor, paints: Tensor, masks: Tensor, limit: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Arguments as in `flowedit.kernels.paint`; anything but float64."""
    given = [native.plain(x) for x in (color, weight, palette, paints, masks)]
    shown, own, used = torch.empty_like(given[0]), torch.empty_like(given[0]), torch.empty(())
    native.call("paint_forward", *given, shown, own, used, len(palette), weight.numel(), limit, NEARLY)
    return shown.to(color.dtype), own.to(color.dtype), used.to(color.dtype)


@paint.register_fake
def _(color: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return color.new_empty(color.shape), color.new_empty(color.shape), color.new_empty(())


@operator("flowedit::paint_backward")
def paint_backward(
    color: Tensor,
    weight: Tensor,
    palette: Tensor,
    paints: Tensor,
    masks: Tensor,
    d_shown: Tensor,
    d_own: Tensor,
    d_used: Tensor,
    limit: float,
) -> tuple[Tensor, Tensor]:
    """Gradients to color and palette, float32."""
    given = [native.plain(x) for x in (color, weight, palette, paints, masks, d_shown, d_own, d_used)]
    d_color, d_palette = torch.empty_like(given[0]), torch.empty_like(given[2])
    native.call("paint_backward", *given, d_color, d_palette, len(palette), weight.numel(), limit, NEARLY)
    return d_color, d_palette


@paint_backward.register_fake
def _(color: Tensor, weight: Tensor, palette: Tensor, *_: Any) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape, dtype=torch.float32) for x in (color, palette))


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:5])
    ctx.limit = inputs[5]


def _backward(ctx: Any, *cotangents: Tensor) -> tuple[Tensor | None, ...]:
    color, _, palette, *_ = ctx.saved_tensors
    d_color, d_palette = paint_backward(*ctx.saved_tensors, *cotangents, ctx.limit)
    return d_color.to(color.dtype), None, d_palette.to(palette.dtype), None, None, None


paint.register_autograd(_backward, setup_context=_save)
