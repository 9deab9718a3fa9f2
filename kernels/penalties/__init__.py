"""What a field costs: five penalties in one pass over it."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import choose
from . import reference
from .operator import penalties as operator
from .reference import LEAST_AREA

__all__ = ["LEAST_AREA", "PENALTIES", "penalties"]

PENALTIES = ("smooth", "small", "tint", "even", "fold")


def penalties(
    coord: Tensor, color: Tensor, price: Tensor, even_x: Tensor, even_y: Tensor, backend: str | None = None
) -> Tensor:
    """Price a field, by `PENALTIES`; each one's meaning is the function of its name in `reference`.

    Args:
        coord: (1, 2, h, w) floating, with h and w at least 3.
        color: (1, 3, h, w).
        price: (2, h, w) of each pixel's movement, and of its tint.
        even_x: (1, 1, h, w - 1) how much neighbours along x should be tinted alike.
        even_y: (1, 1, h - 1, w) along y.
        backend: a name out of `available()`, or None for the best one here.

    Returns:
        (5,) in the dtype of coord, computed in float32 at least. Differentiable in coord and color.

    Raises:
        ValueError: shapes are not as above.
        RuntimeError: the named backend is not usable here.
    """
    check(coord, color, price, even_x, even_y)
    if choose(backend, "penalties", coord.device, coord.dtype) == "native":
        return operator(coord, color, price, even_x, even_y)
    return reference.penalties(coord, color, price, even_x, even_y)


def check(coord: Tensor, color: Tensor, price: Tensor, even_x: Tensor, even_y: Tensor) -> None:
    """Refuse shapes that are not as `penalties` says."""
    if coord.ndim != 4 or coord.shape[:2] != (1, 2) or min(coord.shape[2:]) < 3:
        raise ValueError(f"coord must have shape (1, 2, h, w) with sides of at least 3; got {tuple(coord.shape)}")
    h, w = coord.shape[2:]
    wanted = {"color": (1, 3, h, w), "price": (2, h, w), "even_x": (1, 1, h, w - 1), "even_y": (1, 1, h - 1, w)}
    for (name, shape), given in zip(wanted.items(), (color, price, even_x, even_y), strict=True):
        if given.shape != shape:
            raise ValueError(f"{name} must have shape {shape}; got {tuple(given.shape)}")
