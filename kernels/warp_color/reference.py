"""What `warp_color` means, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


def warp_color(image: Tensor, coord: Tensor, color: Tensor) -> Tensor:
    """Move and tint an image; arguments as in `flowedit.kernels.warp_color`.

    Positions are counted in pixels from the pixel itself, not from the image's corner: no coordinate is
    rounded where nothing moves, so a zero field returns the image's bits.
    """
    dtype = torch.promote_types(image.dtype, torch.float32)
    source, coord = image.to(dtype), coord.to(dtype)
    x0, x1, x = _neighbours(coord[:, 0], image.shape[3], dim=2)
    y0, y1, y = _neighbours(coord[:, 1], image.shape[2], dim=1)
    x, y = x[:, None], y[:, None]
    upper = _pick(source, y0, x0) * (1 - x) + _pick(source, y0, x1) * x
    lower = _pick(source, y1, x0) * (1 - x) + _pick(source, y1, x1) * x
    return (upper * (1 - y) + lower * y + color.to(dtype)).to(image.dtype)


def _neighbours(offset: Tensor, size: int, dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """Turn offsets along one axis into the two pixels read and the weight of the second.

    Args:
        offset: (B, h, w) in units of half the image's side.
        size: pixels of the image along the axis.
        dim: of `offset`, the one that runs along the axis.
    """
    n = offset.shape[dim]
    index = torch.arange(n, dtype=offset.dtype, device=offset.device)
    centre = index if n == size else (index + 0.5) * (size / n) - 0.5
    position = centre.reshape([-1 if d == dim else 1 for d in range(3)]) + offset * (size / 2)
    # As clamp, whose gradient at a bound itself is 0 or 1 by the version of torch; here it is 1.
    position = torch.where(position < 0, 0, torch.where(position > size - 1, size - 1, position))
    first = position.detach().floor()
    low = first.long()
    return low, (low + 1).clamp(max=size - 1), position - first


def _pick(image: Tensor, y: Tensor, x: Tensor) -> Tensor:
    """Read (B, C, H, W) at pixels given by (B, h, w) each: (B, C, h, w)."""
    channels, width = image.shape[1], image.shape[3]
    index = (y * width + x).flatten(1)[:, None].expand(-1, channels, -1)
    return image.flatten(2).gather(2, index).reshape(*image.shape[:2], *y.shape[1:])
