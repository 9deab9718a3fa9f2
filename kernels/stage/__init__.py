"""A field before its encoder: what is shown of it, and what it costs, in one operator."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import choose
from ..look import check as check_look
from ..paint import check as check_paint
from ..penalties import check as check_penalties
from . import reference
from .operator import stage as operator

__all__ = ["stage"]


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
    backend: str | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Tint by `paint`, look at the image as it is then moved and tinted by `look`, and price that by `penalties`.

    The three one after the other are the meaning. In one operator they cost less: an encoder's gradient empties the
    caches, and torch's own way from operator to operator then takes as long as the work.

    Args:
        image: (1, 3, H, W) floating, see `look`.
        coord: (1, 2, h, w) what is done, not to be weighed again.
        color: (1, 3, h, w) see `paint`, as for all up to masks.
        palette: (n, 3).
        weight: (1, 1, h, w) of color and parts.
        paints: (n, 3, 3).
        masks: (n, h, w).
        price: (2, h, w) see `penalties`, as for all up to even_y.
        even_x: (1, 1, h, w - 1).
        even_y: (1, 1, h - 1, w).
        theta: (k, 2, 3) see `look`, as for gain.
        gain: (k,).
        limit: of the tint, see `paint`.
        size: pixels along a view's side.
        backend: a name out of `available()`, or None for the best one here.

    Returns:
        The views, (k, 3, size, size); the tint that is shown, and of it what is not the parts' doing, (1, 3, h, w)
        each; and (6,) the five terms of `PENALTIES` and the amount of paint. Differentiable in coord, color and
        palette.

    Raises:
        ValueError: shapes are not as there.
        RuntimeError: the named backend is not usable here.
    """
    check_paint(color, weight, palette, paints, masks)
    check_look(image, coord, color, theta, gain)
    check_penalties(coord, color, price, even_x, even_y)
    given = (image, coord, color, palette, weight, paints, masks, price, even_x, even_y, theta, gain, limit, size)
    return (operator if choose(backend, "stage", image.device, image.dtype) == "native" else reference.stage)(*given)
