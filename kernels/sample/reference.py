"""What `sample` means, in plain torch."""

from __future__ import annotations

from torch import Tensor

from ..stencil import STENCILS, gather


def sample(values: Tensor, x: Tensor, y: Tensor, stencil: str, origin: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Interpolate planes at points; arguments as in `flowedit.kernels.sample`."""
    fx, fy = x.detach().floor(), y.detach().floor()
    weights = STENCILS[stencil]
    column, row = (0, 0) if origin is None else origin
    return gather(values, column + fx.long(), row + fy.long(), weights(x - fx), weights(y - fy))
