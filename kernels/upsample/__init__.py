"""Read planes on a finer grid over the same area."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import choose
from ..stencil import STENCILS
from . import reference
from .operator import upsample as operator

__all__ = ["upsample"]


def upsample(
    values: Tensor, height: int, width: int, stencil: str, limit: float | None = None, backend: str | None = None
) -> Tensor:
    """Interpolate the nodes of planes at the pixel centres of another grid.

    Convention: both grids span the same area edge to edge (align_corners=False); the outermost nodes repeat.

    Args:
        values: (B, C, h, w) floating, with at least one node.
        height: rows wanted.
        width: columns wanted.
        stencil: "linear"; "catmull_rom", a cubic through the nodes; or "b_spline", the cubic that they control.
        limit: squeeze the nodes' values smoothly into (-limit, limit) first; None leaves them.
        backend: "native" or "torch", or None for the best one here.

    Returns:
        (B, C, height, width) in the dtype of values; differentiable.

    Raises:
        ValueError: values or stencil are not as above.
        RuntimeError: the named backend is not usable here.
    """
    if values.ndim != 4 or 0 in values.shape[2:]:
        raise ValueError(f"values must have shape (B, C, h, w) with at least one node; got {tuple(values.shape)}")
    if stencil not in STENCILS:
        raise ValueError(f"stencil must be one of {sorted(STENCILS)}; got {stencil!r}")
    if choose(backend, "upsample", values.device, values.dtype) == "native":
        return operator(values.float(), height, width, stencil, limit).to(values.dtype)
    return reference.upsample(values, height, width, stencil, limit)  # matrix products are what a GPU does best
