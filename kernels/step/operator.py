"""`fused_step` by compiled kernels, with its gradients: C++ on the CPU, Triton on CUDA."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .. import native
from .reference import REGULARIZERS, RegularizerConstants

PARTS = REGULARIZERS.index("part_colors")  # the last one: computed with the tint, the others by a kernel of their own


def fused_step(
    backend: str, tensors: tuple[Tensor, ...], limit: float, size: int, constants: RegularizerConstants
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Run "native" or "triton" on the tensors of `flowedit.kernels.fused_step`, in its order."""
    return _FusedStep.apply(backend == "triton", float(limit), size, constants, *tensors)


class _FusedStep(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, triton: bool, limit: float, size: int, constants: RegularizerConstants, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        plain = [native.plain(x) for x in tensors]
        image, coord, color, *_, gain = plain
        tint, own_tint = torch.empty_like(color), torch.empty_like(color)
        costs, views = coord.new_empty(len(REGULARIZERS)), image.new_empty(len(gain), 3, size, size)
        if triton:
            from . import triton_kernel

            triton_kernel.forward(plain, limit, constants, tint, own_tint, costs, views)
        else:
            _forward(plain, limit, constants, tint, own_tint, costs, views)
        ctx.save_for_backward(*plain, tint, own_tint)
        ctx.settings = triton, limit, size, constants
        ctx.dtypes = [x.dtype for x in tensors[1:4]]
        ctx.set_materialize_grads(False)  # unused results cost nothing
        image, coord, color = tensors[:3]
        return views.to(image.dtype), tint.to(color.dtype), own_tint.to(color.dtype), costs.to(coord.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        *plain, tint, own_tint = ctx.saved_tensors
        triton, limit, size, constants = ctx.settings
        image, coord, color, palette, *_, gain = plain
        d_views, d_tint, d_own, d_costs = (None if d is None else native.plain(d) for d in cotangents)
        if d_views is None:
            d_views = image.new_zeros(len(gain), 3, size, size)
        if d_costs is None:
            d_costs = coord.new_zeros(len(REGULARIZERS))
        gradients = torch.empty_like(coord), torch.empty_like(color), torch.empty_like(palette)
        inputs = plain, limit, constants, tint, own_tint, d_views, d_tint, d_own, d_costs, *gradients
        if triton:
            from . import triton_kernel

            triton_kernel.backward(*inputs)
        else:
            _backward(*inputs)
        to_tensors = (d.to(dtype) for d, dtype in zip(gradients, ctx.dtypes, strict=True))
        return *(None,) * 5, *to_tensors, *(None,) * 8


def _forward(
    tensors: list[Tensor], limit: float, constants: RegularizerConstants, tint: Tensor, own_tint: Tensor, costs: Tensor,
    views: Tensor,
) -> None:  # fmt: skip
    """Fill the last four arguments."""
    image, coord, color, palette, weight, paints, masks, price, even_x, even_y, theta, gain = tensors
    (h, w), parts = coord.shape[2:], (len(palette), weight.numel(), limit, constants.part_color_rounding)
    native.call("tint_parts_forward", color, weight, palette, paints, masks, tint, own_tint, costs[PARTS:], *parts)
    native.call("regularizers_forward", coord, own_tint, price, even_x, even_y, costs, h, w, *constants[:3])
    sizes = len(gain), *image.shape[2:], h, w, views.shape[-1]
    native.call("render_views_forward", image, coord, tint, theta, gain, views, *sizes)


def _backward(
    tensors: list[Tensor], limit: float, constants: RegularizerConstants, tint: Tensor, own_tint: Tensor,
    d_views: Tensor, d_tint: Tensor | None, d_own: Tensor | None, d_costs: Tensor, d_coord: Tensor, d_color: Tensor,
    d_palette: Tensor,
) -> None:  # fmt: skip
    """Fill the last three arguments from the cotangents; None is a cotangent of zero."""
    image, coord, color, palette, weight, paints, masks, price, even_x, even_y, theta, gain = tensors
    (h, w), parts = coord.shape[2:], (len(palette), weight.numel(), limit, constants.part_color_rounding)
    regularized, shown, own = torch.empty_like(coord), torch.empty_like(color), torch.empty_like(color)
    sizes = len(gain), *image.shape[2:], h, w, d_views.shape[-1]
    native.call("render_views_backward", image, coord, tint, theta, gain, d_views, d_coord, shown, *sizes)
    priced = (coord, own_tint, price, even_x, even_y, d_costs)
    native.call("regularizers_backward", *priced, regularized, own, h, w, *constants[:3])
    d_coord += regularized
    if d_tint is not None:
        shown += d_tint
    if d_own is not None:
        own += d_own
    tinted = (color, weight, palette, paints, masks, shown, own, d_costs[PARTS:])
    native.call("tint_parts_backward", *tinted, d_color, d_palette, *parts)
