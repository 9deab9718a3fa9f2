"""`look` as a torch operator: compiled C++ on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import native
from ..operator import operator


@operator("flowedit::look")
def look(image: Tensor, coord: Tensor, color: Tensor, theta: Tensor, gain: Tensor, size: int) -> Tensor:
    """Arguments as in `flowedit.kernels.look`; anything but float64."""
    given = [native.plain(x) for x in (image, coord, color, theta, gain)]
    out = torch.empty(len(theta), 3, size, size)
    native.call("look_forward", *given, out, len(theta), *image.shape[2:], *coord.shape[2:], size)
    return out.to(image.dtype)


@look.register_fake
def _(image: Tensor, coord: Tensor, color: Tensor, theta: Tensor, gain: Tensor, size: int) -> Tensor:
    return image.new_empty(len(theta), 3, size, size)


@operator("flowedit::look_backward")
def look_backward(
    image: Tensor, coord: Tensor, color: Tensor, theta: Tensor, gain: Tensor, cotangent: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients to coord and color, float32."""
    given = [native.plain(x) for x in (image, coord, color, theta, gain, cotangent)]
    d_coord, d_color = torch.empty_like(given[1]), torch.empty_like(given[2])
    shape = (len(theta), *image.shape[2:], *coord.shape[2:], cotangent.shape[-1])
    native.call("look_backward", *given, d_coord, d_color, *shape)
    return d_coord, d_color


@look_backward.register_fake
def _(
    image: Tensor, coord: Tensor, color: Tensor, theta: Tensor, gain: Tensor, cotangent: Tensor
) -> tuple[Tensor, Tensor]:
    return coord.new_empty(coord.shape, dtype=torch.float32), color.new_empty(color.shape, dtype=torch.float32)


def _save(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:5])


def _backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:
    image, coord, color, *rest = ctx.saved_tensors
    d_coord, d_color = look_backward(image, coord, color, *rest, cotangent)
    return None, d_coord.to(coord.dtype), d_color.to(color.dtype), None, None, None


look.register_autograd(_backward, setup_context=_save)
