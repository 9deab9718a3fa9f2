"""Read planes at any points."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import native
from ..dispatch import choose
from ..interpolation import Interpolation
from . import reference

__all__ = ["sample"]


def sample(
    values: Tensor,
    x: Tensor,
    y: Tensor,
    interpolation: Interpolation,
    origin: tuple[Tensor, Tensor] | None = None,
    backend: str = "auto",
) -> Tensor:
    """Interpolate planes at N points; beyond the border the outermost node repeats.

    Each result's bits depend on its own point alone.

    Args:
        values: (C, H, W) floating.
        x: (N,) positions along a row, in which node i is at i.
        y: (N,) positions along a column.
        interpolation: between the nodes.
        origin: columns and rows (N,) int64 that x and y are counted from; None is 0. So a fraction is as exact at
            column 6000 as at column 0.
        backend: "auto", or a name out of `available()`. Only "torch" has a gradient: "auto" is "torch" where one is
            wanted.

    Returns:
        (C, N), as `values`.

    Raises:
        ValueError: the interpolation is unknown.
        RuntimeError: the named backend is not usable here.
    """
    interpolation = Interpolation(interpolation)
    if backend == "auto" and torch.is_grad_enabled() and any(t.requires_grad for t in (values, x, y)):
        backend = "torch"
    dtype = torch.promote_types(values.dtype, torch.promote_types(x.dtype, y.dtype))
    backend = choose(backend, "sample", values.device, dtype)
    if backend == "torch" or not x.numel():
        return reference.sample(values, x, y, interpolation, origin).to(values.dtype)
    planes, x, y = (native.plain(t.detach()) for t in (values, x, y))
    if backend == "triton":
        from . import triton_kernel

        points = reference.nodes_and_weights(x, y, interpolation, origin)
        return triton_kernel.gather(planes, *points).to(values.dtype)
    origins = [None, None] if origin is None else [t.contiguous() for t in origin]
    out = planes.new_empty(len(planes), len(x))
    native.call("sample_forward", planes, x, y, *origins, out, *planes.shape, len(x), int(interpolation))
    return out.to(values.dtype)
