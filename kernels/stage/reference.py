"""What `stage` means: three operations' meanings, one after the other."""

from __future__ import annotations

import torch
from torch import Tensor

from ..look.reference import look
from ..paint.reference import paint
from ..penalties.reference import penalties


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
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Show and price a field; arguments as in `flowedit.kernels.stage`."""
    shown, own, used = paint(color, weight, palette, paints, masks, limit)
    terms = torch.cat([penalties(coord, own, price, even_x, even_y), used[None]])
    return look(image, coord, shown, theta, gain, size), shown, own, terms
