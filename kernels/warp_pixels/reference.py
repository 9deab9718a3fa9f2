"""What `warp_pixels` means, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from ..interpolation import Interpolation
from ..sample.reference import sample


def warp_pixels(pixels: Tensor, offsets: Tensor, top: int, left: int, height: int, width: int, step: int) -> Tensor:
    """Move and tint a part of a picture; arguments as in `flowedit.kernels.warp_pixels`."""
    y, x = (torch.arange(n, dtype=offsets.dtype) for n in (height, width))
    y, x = (axis.flatten() for axis in torch.meshgrid(y, x, indexing="ij"))
    dx, dy, *tint = sample(offsets, x / step, y / step, Interpolation.LINEAR)
    planes = pixels.to(torch.int32).permute(2, 0, 1).to(offsets.dtype)
    most = 255 if pixels.dtype is torch.uint8 else 65535
    origin = left + x.long(), top + y.long()
    read = sample(planes, dx, dy, Interpolation.CATMULL_ROM, origin) + most * torch.stack(tint)
    return read.round().clamp(0, most).T.reshape(height, width, 3).to(pixels.dtype)
