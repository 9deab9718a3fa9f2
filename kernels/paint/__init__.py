"""Tint an image: each place by its own color and by those of the parts it belongs to."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import choose
from . import reference
from .operator import paint as operator
from .reference import mix

__all__ = ["mix", "paint"]


def paint(
    color: Tensor,
    weight: Tensor,
    palette: Tensor,
    paints: Tensor,
    masks: Tensor,
    limit: float,
    backend: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Add each part's color to a tint, cut the sum at the limit, and weigh it.

    A part's color is mixed out of three paints, by the amounts in the palette, and bounded smoothly.

    Args:
        color: (1, 3, h, w) floating, each place's own tint, in image units.
        weight: (1, 1, h, w).
        palette: (n, 3) how much of each paint, for n parts.
        paints: (n, 3, 3) the paints' colors, in image units.
        masks: (n, h, w) how much of each part's color a place takes.
        limit: of each channel of the sum, at least 0.
        backend: a name out of `available()`, or None for the best one here.

    Returns:
        The weighted sum, (1, 3, h, w); what of it is not the parts' doing, (1, 3, h, w); and how much paint was used, a
        number (see `reference.amount`). In the dtype of color, computed in float32 at least; differentiable in color
        and palette.

    Raises:
        ValueError: shapes are not as above.
        RuntimeError: the named backend is not usable here.
    """
    check(color, weight, palette, paints, masks)
    if choose(backend, "paint", color.device, color.dtype) == "native":
        return operator(color, weight, palette, paints, masks, float(limit))
    return reference.paint(color, weight, palette, paints, masks, limit)


def check(color: Tensor, weight: Tensor, palette: Tensor, paints: Tensor, masks: Tensor) -> None:
    """Refuse shapes that are not as `paint` says."""
    if color.ndim != 4 or color.shape[:2] != (1, 3):
        raise ValueError(f"color must have shape (1, 3, h, w); got {tuple(color.shape)}")
    n, (h, w) = len(palette), color.shape[2:]
    wanted = {"weight": (1, 1, h, w), "palette": (n, 3), "paints": (n, 3, 3), "masks": (n, h, w)}
    for (name, shape), given in zip(wanted.items(), (weight, palette, paints, masks), strict=True):
        if given.shape != shape:
            raise ValueError(f"{name} must have shape {shape}; got {tuple(given.shape)}")
