"""What `planes` means, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

WHOLE = {torch.uint8: 255.0, torch.uint16: 65535.0, torch.float32: 1.0}  # what stands for 1


def planes(pixels: Tensor) -> Tensor:
    """Turn a picture's pixels into planes; arguments as in `flowedit.kernels.planes`."""
    out = torch.empty(3, *pixels.shape[:2])
    return out.copy_(pixels.permute(2, 0, 1)).div_(WHOLE[pixels.dtype])[None]
