"""How much light a face is in, and whether its picture has color."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.regions import region_mask

BRIGHT = 0.6  # image units: bright places of a crop in full light, and medium skin, are at least this bright
BRIGHT_SHARE = 0.95  # of a crop is no brighter than its bright places
DARKEST = 0.02  # share of the light that a crop without any is taken to be in
ALIKE = 0.12  # of the logarithm of red or blue beside green: the deviation within one skin
SKIN_PX = 64  # along the crop, of the mask of its skin
GRAY = 1.5 / 255  # how far channels of a gray picture may be from each other: the rounding of 8 bits


def measure_light(pixels: Tensor) -> float:
    """Measure how much light a crop (1, 3, S, S) is in, up to 1: its bright places against BRIGHT."""
    return share_of_light(float(pixels.mean(1).flatten().quantile(BRIGHT_SHARE)))


def measure_skin(pixels: Tensor, landmarks: Tensor) -> float:
    """Measure how bright the skin of a face is in its crop (1, 3, S, S), image units; at least DARKEST."""
    skin = region_mask("skin", landmarks.detach().cpu(), SKIN_PX)[0]
    bright = F.adaptive_avg_pool2d(pixels[0].detach().float().cpu().mean(0, keepdim=True), SKIN_PX)
    return max(DARKEST, float((bright * skin).sum() / skin.sum().clamp_min(1e-6)))


def share_of_light(bright: float) -> float:
    """Return how much light a crop is in whose bright places, the BRIGHT_SHARE quantile, are so bright, image units."""
    return min(1.0, max(DARKEST, bright / BRIGHT))


def alike_in_hue(pixels: Tensor, color: Tensor) -> Tensor:
    """Return how much pixels (3, N) have a color's hue, whatever their brightness, in [0, 1]: (N,)."""
    ratio = (pixels.clamp_min(DARKEST) / color.clamp_min(DARKEST)[:, None]).log()
    return torch.exp(-(ratio[[0, 2]] - ratio[1]).square().sum(0) / (2 * ALIKE**2))


def is_gray(pixels: Tensor) -> bool:
    """Return whether a crop (1, 3, S, S) has no color beyond the rounding of 8 bits."""
    return bool((pixels.amax(1) - pixels.amin(1)).max() <= GRAY)


def without_color(paints: Tensor) -> Tensor:
    """Return paints (..., 3) as grays that change the light as much."""
    return paints.mean(-1, keepdim=True).expand_as(paints)
