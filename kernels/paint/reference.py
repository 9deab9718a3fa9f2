"""What `paint` means, in plain torch."""

from __future__ import annotations

from torch import Tensor

from ..bound import bounded

NEARLY = 1e-2  # amount of paint below which the price is rounded off


def paint(
    color: Tensor, weight: Tensor, palette: Tensor, paints: Tensor, masks: Tensor, limit: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Add each part's color to a tint; arguments as in `flowedit.kernels.paint`."""
    parts = mix(palette, paints, limit)
    painted = (parts.T @ masks.flatten(1)).reshape(color.shape)
    shown = weight * (color + painted).clamp(-limit, limit)
    return shown, shown - weight * painted, amount(palette)


def mix(palette: Tensor, paints: Tensor, limit: float) -> Tensor:
    """Mix each part's three paints (n, 3, 3), as much of each as the palette (n, 3) says: (n, 3), within the limit."""
    return bounded((palette[:, None] @ paints)[:, 0], limit)


def amount(palette: Tensor) -> Tensor:
    """Length of the parts' mixes of paint (n, 3), summed, and rounded off as the length of a pixel's own tint is.

    A part costs the same whatever its size: a pale skin is one decision, not a hundred thousand pixels.
    """
    return ((palette.square().sum(1) + NEARLY**2).sqrt() - NEARLY).sum()
