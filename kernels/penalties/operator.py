"""`penalties` as a torch operator: compiled C++ on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import native
from ..operator import operator
from .reference import LEAST_AREA

N = 5


@operator("flowedit::penalties")
def penalties(coord: Tensor, color: Tensor, price: Tensor, even_x: Tensor, even_y: Tensor) -> Tensor:
    """Arguments as in `flowedit.kernels.penalties`; anything but float64."""
    out = torch.empty(N)
    given = [native.plain(x) for x in (coord, color, price, even_x, even_y)]
    native.call("penalties_forward", *given, out, *coord.shape[2:], float(LEAST_AREA))
    return out.to(coord.dtype)


@penalties.register_fake
def _(coord: Tensor, color: Tensor, price: Tensor, even_x: Tensor, even_y: Tensor) -> Tensor:
    return coord.new_empty(N)


@operator("flowedit::penalties_backward")
def penalties_backward(
    coord: Tensor, color: Tensor, price: Tensor, even_x: Tensor, even_y: Tensor, cotangent: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients to coord and color, float32."""
    given = [native.plain(x) for x in (coord, color, price, even_x, even_y, cotangent)]
    d_coord, d_color = torch.empty_like(given[0]), torch.empty_like(given[1])
    native.call("penalties_backward", *given, d_coord, d_color, *coord.shape[2:], float(LEAST_AREA))
    return d_coord, d_color


@penalties_backward.register_fake
def _(
    coord: Tensor, color: Tensor, price: Tensor, even_x: Tensor, even_y: Tensor, cotangent: Tensor
) -> tuple[Tensor, Tensor]:
    return coord.new_empty(coord.shape, dtype=torch.float32), color.new_empty(color.shape, dtype=torch.float32)


def _save(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
    coord, color, *rest = ctx.saved_tensors
    d_coord, d_color = penalties_backward(coord, color, *rest, cotangent)
    return d_coord.to(coord.dtype), d_color.to(color.dtype), None, None, None


penalties.register_autograd(_backward, setup_context=_save)
