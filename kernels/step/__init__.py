"""One step of the loop before its encoder: what is shown of a field, and what it costs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..dispatch import choose
from . import operator
from .reference import CONSTANTS, REGULARIZERS, RegularizerConstants, regularizers, render_views, tint_parts

__all__ = ["REGULARIZERS", "FusedStep", "RegularizerConstants", "fused_step"]


class FusedStep(NamedTuple):
    """The results of `fused_step`."""

    views: Tensor
    """(k, 3, size, size) the image as the field moves and tints it, see `render_views`."""
    tint: Tensor
    """(1, 3, h, w) the weighted tint with the parts' colors, see `tint_parts`."""
    own_tint: Tensor
    """(1, 3, h, w) the same without what the parts add."""
    costs: Tensor
    """(6,) every regularizer, in the order of `REGULARIZERS`: one vector, which a loop can weight at once."""

    def by_name(self) -> dict[str, Tensor]:
        """Return the costs by the names of `REGULARIZERS`."""
        return dict(zip(REGULARIZERS, self.costs.unbind(), strict=True))


def fused_step(
    image: Tensor,
    coord: Tensor,
    color: Tensor,
    palette: Tensor,
    *,
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
    constants: RegularizerConstants = CONSTANTS,
    backend: str = "auto",
) -> FusedStep:
    """Tint by `tint_parts`, show the result by `render_views`, and compute the field's `regularizers`.

    The three plain functions one after the other are the meaning. One operator costs less: an encoder's gradient
    empties the caches, and torch's own way from operator to operator then takes as long as the work.

    Args:
        image: (1, 3, H, W) floating; H and W at least 2.
        coord: (1, 2, h, w) the shift, which is not weighted again; h and w at least 3.
        color: (1, 3, h, w) each point's own tint.
        palette: (n, 3) amounts of each part's paints.
        weight: (1, 1, h, w) of color and parts.
        paints: (n, 3, 3).
        masks: (n, h, w).
        price: (2, h, w).
        even_x: (1, 1, h, w - 1).
        even_y: (1, 1, h - 1, w).
        theta: (k, 2, 3).
        gain: (k,).
        limit: of the tint, at least 0.
        size: pixels along a view's side.
        constants: of the regularizers.
        backend: "auto", or a name out of `available()`: it is used, or refused.

    Returns:
        All four in the dtype of image, color or coord, computed in float32 at least. Differentiable in coord, color
        and palette.

    Raises:
        ValueError: shapes are not as above.
        RuntimeError: the named backend is not usable here.
    """
    tensors = {
        "image": image, "coord": coord, "color": color, "palette": palette, "weight": weight, "paints": paints,
        "masks": masks, "price": price, "even_x": even_x, "even_y": even_y, "theta": theta, "gain": gain,
    }  # fmt: skip
    _check(**tensors)
    chosen = choose(backend, "fused_step", image.device, image.dtype)
    if chosen != "torch":
        return FusedStep(*operator.fused_step(chosen, tuple(tensors.values()), limit, size, constants))
    tint, own_tint = tint_parts(color, weight, palette, paints, masks, limit)
    values = regularizers(coord, own_tint, palette, price, even_x, even_y, constants)
    costs = torch.stack([values[name] for name in REGULARIZERS])
    return FusedStep(render_views(image, coord, tint, theta, gain, size), tint, own_tint, costs)


def _check(image: Tensor, coord: Tensor, palette: Tensor, theta: Tensor, **others: Tensor) -> None:
    """Refuse shapes that are not as `fused_step` says."""
    if image.ndim != 4 or image.shape[:2] != (1, 3) or min(image.shape[2:]) < 2:
        raise ValueError(f"image must have shape (1, 3, H, W) with sides of at least 2; got {tuple(image.shape)}")
    if coord.ndim != 4 or coord.shape[:2] != (1, 2) or min(coord.shape[2:]) < 3:
        raise ValueError(f"coord must have shape (1, 2, h, w) with sides of at least 3; got {tuple(coord.shape)}")
    (h, w), n, k = coord.shape[2:], len(palette), len(theta)
    shapes = {
        "palette": (n, 3), "theta": (k, 2, 3), "color": (1, 3, h, w), "weight": (1, 1, h, w), "paints": (n, 3, 3),
        "masks": (n, h, w), "price": (2, h, w), "even_x": (1, 1, h, w - 1), "even_y": (1, 1, h - 1, w), "gain": (k,),
    }  # fmt: skip
    for name, tensor in {"palette": palette, "theta": theta, **others}.items():
        if tensor.shape != shapes[name]:
            raise ValueError(f"{name} must have shape {shapes[name]}; got {tuple(tensor.shape)}")
