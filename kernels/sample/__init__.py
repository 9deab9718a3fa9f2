"""Read planes at any points."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import native
from ..dispatch import choose
from ..stencil import STENCILS
from . import reference

__all__ = ["sample"]


def sample(
    values: Tensor,
    x: Tensor,
    y: Tensor,
    stencil: str,
    origin: tuple[Tensor, Tensor] | None = None,
    backend: str | None = None,
) -> Tensor:
    """Interpolate planes at N points; beyond the border the outermost node repeats.

    Each result's bits depend on its own point alone.

    Args:
        values: (C, H, W) floating.
        x: (N,) positions along a row, in which node i is at i.
        y: (N,) positions along a column.
        stencil: "linear", "catmull_rom" (an interpolating cubic) or "b_spline" (the cubic that the nodes control).
        origin: columns and rows (N,) int64 that x and y are counted from; None is 0. So a fraction is as exact at
            column 6000 as at column 0.
        backend: a name out of `available()`, or None for the best one here; "native" has no gradient, and where one
            is wanted the best one is "torch".

    Returns:
        (C, N), as `values`.

    Raises:
        ValueError: the stencil is unknown.
        RuntimeError: the named backend is not usable here.
    """
    if stencil not in STENCILS:
        raise ValueError(f"stencil must be one of {sorted(STENCILS)}; got {stencil!r}")
    wanted = torch.is_grad_enabled() and any(t.requires_grad for t in (values, x, y))
    if backend is None and wanted:
        backend = "torch"
    dtype = torch.promote_types(values.dtype, torch.promote_types(x.dtype, y.dtype))
    if choose(backend, "sample", values.device, dtype) != "native" or not x.numel():
        return reference.sample(values, x, y, stencil, origin)
    out = torch.empty(len(values), len(x))
    planes, *places = (t.float().contiguous() for t in (values, x, y))
    starts = [None, None] if origin is None else [t.contiguous() for t in origin]
    native.call("sample_forward", planes, *places, *starts, out, *planes.shape, len(x), list(STENCILS).index(stencil))
    return out.to(values.dtype)
