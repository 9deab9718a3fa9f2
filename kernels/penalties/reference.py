"""What `penalties` means, in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..jacobian import jacobian_determinant

LEAST_AREA = 0.2  # of its own size; a fold is 0


def penalties(coord: Tensor, color: Tensor, price: Tensor, even_x: Tensor, even_y: Tensor) -> Tensor:
    """Price a field; arguments as in `flowedit.kernels.penalties`."""
    return torch.stack(
        [smooth(coord), small(coord, price[:1]), tint(color, price[1:]), even(color, even_x, even_y), fold(coord)]
    )


def smooth(coord: Tensor) -> Tensor:
    """Bending energy, in crop coordinates."""
    step = 2 / coord.shape[-1]
    xx = coord[..., 2:] - 2 * coord[..., 1:-1] + coord[..., :-2]
    yy = coord[..., 2:, :] - 2 * coord[..., 1:-1, :] + coord[..., :-2, :]
    dx = coord[..., 1:] - coord[..., :-1]
    xy = dx[..., 1:, :] - dx[..., :-1, :]
    return (xx.square().mean() + yy.square().mean() + 2 * xy.square().mean()) / step**4


def small(coord: Tensor, price: Tensor) -> Tensor:
    """Mean length times price, rounded off below a thousandth: what is not asked for stays exactly where it is."""
    return (price * ((coord.square().sum(1) + 1e-6).sqrt() - 1e-3)).mean()


def tint(color: Tensor, price: Tensor) -> Tensor:
    """Mean length times price, rounded off below a hundredth: few pixels tinted much cost less than many a little."""
    return (price * ((color.square().sum(1) + 1e-4).sqrt() - 1e-2)).mean()


def even(color: Tensor, even_x: Tensor, even_y: Tensor) -> Tensor:
    """Gradient energy where the photo is even, in crop coordinates."""
    step = 2 / color.shape[-1]
    slope = ((color[..., 1:] - color[..., :-1]).square() * even_x).mean()
    slope = slope + ((color[..., 1:, :] - color[..., :-1, :]).square() * even_y).mean()
    return slope / step**2


def fold(coord: Tensor) -> Tensor:
    """Hinge on the Jacobian's determinant: what is squeezed below LEAST_AREA of its size."""
    return F.relu(LEAST_AREA - jacobian_determinant(coord)).mean()
