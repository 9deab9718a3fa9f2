"""What `sample` means, in plain torch."""

from __future__ import annotations

from torch import Tensor

from ..interpolation import Interpolation, gather


def sample(
    values: Tensor,
    x: Tensor,
    y: Tensor,
    interpolation: Interpolation,
    origin: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Interpolate planes at points; arguments as in `flowedit.kernels.sample`."""
    return gather(values, *nodes_and_weights(x, y, interpolation, origin))


def nodes_and_weights(
    x: Tensor, y: Tensor, interpolation: Interpolation, origin: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the column and row at or before each point, (N,) int64, and the weights along x and y, for `gather`."""
    fx, fy = x.detach().floor(), y.detach().floor()
    column, row = (0, 0) if origin is None else origin
    weights = interpolation.weights(x - fx), interpolation.weights(y - fy)
    return column + fx.long(), row + fy.long(), *weights
