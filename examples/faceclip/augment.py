"""Causal augmentation: change a face in a known way, then measure it again and caption what is now there.

A network trained on photos alone learns what *accompanies* a smile. One that also sees the same face with
only the mouth's corners moved, and is told the new measurements, learns the movement. Shapes, paints and detail change
independently of each other and of who is seen.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def expose(image: Tensor, generator: torch.Generator) -> Tensor:
    """Vary light and contrast, before colors are measured: skin in a bright photo is bright."""
    n = len(image)
    contrast = torch.exp(0.18 * torch.randn(n, 1, 1, 1, generator=generator))
    bright = 0.5 + 0.05 * torch.randn(n, 1, 1, 1, generator=generator)
    return ((image - 0.5) * contrast + bright).clamp_(0, 1)


def photograph(image: Tensor, generator: torch.Generator) -> Tensor:
    """Vary sharpness and noise."""
    n = len(image)
    soft = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    blur = (torch.rand(n, 1, 1, 1, generator=generator) - 0.6).clamp(min=0) / 0.4
    noise = 0.02 * torch.rand(n, 1, 1, 1, generator=generator)
    grain = torch.randn(image.shape, generator=generator)
    return image.lerp(soft, blur).addcmul_(noise, grain).clamp_(0, 1)


def hide_border(image: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Blur and fade a border of random width on a share of the faces, as the tightly cut photos come."""
    n, size = len(image), image.shape[-1]
    rough = F.interpolate(F.adaptive_avg_pool2d(image, 8), size, mode="bilinear", align_corners=False)
    fade = 0.8 * torch.rand(n, 1, 1, 1, generator=generator)
    rough = rough.lerp(image.mean((-2, -1), keepdim=True), fade)
    chosen = (torch.rand(n, generator=generator) < share)[:, None]
    depth = torch.rand(n, 4, generator=generator) * 0.22 * chosen - 0.05 * ~chosen  # left, right, top, bottom
    line = (torch.arange(size) + 0.5) / size
    soft = 40.0
    x = torch.sigmoid((line - depth[:, :1]) * soft) * torch.sigmoid((1 - line - depth[:, 1:2]) * soft)
    y = torch.sigmoid((line - depth[:, 2:3]) * soft) * torch.sigmoid((1 - line - depth[:, 3:]) * soft)
    inside = (y[:, :, None] * x[:, None, :])[:, None]
    return torch.where(chosen[..., None, None], rough.lerp(image, inside), image)
