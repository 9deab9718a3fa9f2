"""`stage` as a torch operator: the compiled C++ of its three parts, one after the other."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..look.operator import look, look_backward
from ..operator import operator
from ..paint.operator import paint, paint_backward
from ..penalties.operator import penalties, penalties_backward


@operator("flowedit::stage")
def stage(
    image: Tensor,
    coord: Tensor,
    color: Tensor,
    palette: Tensor,
    weight: Tensor,
    paints: Tensor,
    masks: Tensor,
    price: Tensor,
    even_x: Tensor,
    even_y: Tensor,
    theta: Tensor,
    gain: Tensor,
    limit: float,
    size: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Arguments as in `flowedit.kernels.stage`; anything but float64."""
    shown, own, used = paint.kernel(color, weight, palette, paints, masks, limit)
    terms = torch.cat([penalties.kernel(coord, own, price, even_x, even_y), used[None]])
    return look.kernel(image, coord, shown, theta, gain, size), shown, own, terms


@stage.register_fake
def _(*given: Any) -> tuple[Tensor, ...]:
    (image, coord, color), theta, size = given[:3], given[10], given[13]
    views = image.new_empty(len(theta), 3, size, size)
    return views, color.new_empty(color.shape), color.new_empty(color.shape), coord.new_empty(6)


@operator("flowedit::stage_backward")
def stage_backward(
    image: Tensor,
    coord: Tensor,
    color: Tensor,
    palette: Tensor,
    weight: Tensor,
    paints: Tensor,
    masks: Tensor,
    price: Tensor,
    even_x: Tensor,
    even_y: Tensor,
    theta: Tensor,
    gain: Tensor,
    shown: Tensor,
    own: Tensor,
    d_views: Tensor,
    d_shown: Tensor | None,
    d_own: Tensor | None,
    d_terms: Tensor,
    limit: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients to coord, color and palette, float32."""
    d_coord, tint = look_backward.kernel(image, coord, shown, theta, gain, d_views)
    priced, d_priced = penalties_backward.kernel(coord, own, price, even_x, even_y, d_terms[:5])
    d_shown = tint if d_shown is None else tint + d_shown
    d_own = d_priced if d_own is None else d_priced + d_own
    d_color, d_palette = paint_backward.kernel(color, weight, palette, paints, masks, d_shown, d_own, d_terms[5], limit)
    return d_coord.add_(priced), d_color, d_palette


@stage_backward.register_fake
def _(image: Tensor, *given: Any) -> tuple[Tensor, ...]:
    return tuple(moved.new_empty(moved.shape, dtype=torch.float32) for moved in given[:3])


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.limit, ctx.size = inputs
    ctx.save_for_backward(*tensors, *output[1:3])
    ctx.set_materialize_grads(False)  # what nobody used costs nothing


def _backward(
    ctx: Any, d_views: Tensor | None, d_shown: Tensor | None, d_own: Tensor | None, d_terms: Tensor | None
) -> tuple[Tensor | None, ...]:
    given = ctx.saved_tensors
    image, *moved = given[:4]
    if d_views is None:
        d_views = image.new_zeros(len(given[11]), 3, ctx.size, ctx.size)
    if d_terms is None:
        d_terms = image.new_zeros(6)
    found = stage_backward(*given, d_views, d_shown, d_own, d_terms, ctx.limit)
    return None, *(d.to(x.dtype) for d, x in zip(found, moved, strict=True)), *(None,) * 10


stage.register_autograd(_backward, setup_context=_save)
