"""The guided filter: a picture as a local linear function of another one's colors, which keeps that one's edges."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def blur(planes: Tensor, sigma: float) -> Tensor:
    """Blur planes (C, H, W) with a Gaussian of `sigma` pixels, cut at 3 of them; the border repeats."""
    reach = max(1, math.ceil(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    kernel = torch.exp(-0.5 * (at / max(sigma, 1e-3)).square())
    kernel = kernel / kernel.sum()
    tall, wide = kernel[None, None, :, None], kernel[None, None, None, :]
    padded = F.pad(planes[:, None], (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, tall), wide)[:, 0]


def sum_near(image: Tensor, weight: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Blur a picture (C, H, W) by weights (H, W), and the weights: their ratio is the mean near each place."""
    sums = blur(torch.cat([image * weight, weight[None]]), sigma)
    return sums[:-1], sums[-1]


def fit_guided(guide: Tensor, target: Tensor, sigma: float, eps: float) -> Tensor:
    """Fit a plane as a locally linear function of a picture's three colors (He, Sun and Tang 2013, Sec. 3.5).

    The windows are Gaussian instead of square. To evaluate the coefficients on a finer picture of the same is the
    fast guided filter (He and Sun 2015): it finds edges there that the target never had.

    Args:
        guide: (3, H, W) image units.
        target: (H, W).
        sigma: of the windows, pixels.
        eps: standard deviation of a color, image units, below which it counts as even.

    Returns:
        (4, H, W): slopes along red, green and blue, and the value at black.
    """
    mean, mean_target = blur(guide, sigma), blur(target[None], sigma)[0]
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    products = blur(torch.stack([guide[i] * guide[j] for i, j in pairs]), sigma)
    rr, rg, rb, gg, gb, bb = products - torch.stack([mean[i] * mean[j] for i, j in pairs])
    rr, gg, bb = rr + eps**2, gg + eps**2, bb + eps**2
    cross = blur(guide * target, sigma) - mean * mean_target
    slope = solve_symmetric(torch.stack([rr, rg, rb, gg, gb, bb]), cross, eps)
    return blur(torch.cat([slope, (mean_target - (slope * mean).sum(0))[None]]), sigma)


def solve_symmetric(matrices: Tensor, right: Tensor, least: float) -> Tensor:
    """Solve symmetric, positive systems of three equations: by cofactors, in a hundredth of the time of a batch.

    Args:
        matrices: (6, ...) the elements 11, 12, 13, 22, 23, 33.
        right: (3, ...).
        least: square root of what each eigenvalue has at least, but for rounding.

    Returns:
        (3, ...).
    """
    rr, rg, rb, gg, gb, bb = matrices
    c = [
        gg * bb - gb * gb,
        rb * gb - rg * bb,
        rg * gb - rb * gg,
        rr * bb - rb * rb,
        rb * rg - rr * gb,
        rr * gg - rg * rg,
    ]
    x, y, z = right
    solution = torch.stack(
        [c[0] * x + c[1] * y + c[2] * z, c[1] * x + c[3] * y + c[4] * z, c[2] * x + c[4] * y + c[5] * z]
    )
    return solution / (rr * c[0] + rg * c[1] + rb * c[2]).clamp_min(0.5 * least**6)


def fit_smooth(image: Tensor, sigma: float, eps: float) -> Tensor:
    """Fit an edge-preserving smoothing of each channel, as `fit_guided` with the channel for guide and target.

    Args:
        image: (C, H, W) image units.
        sigma: of the windows, pixels.
        eps: standard deviation, image units: what varies less is smoothed away, and what varies more stays.

    Returns:
        (2, C, H, W): a slope and an offset; slope * channel + offset is smooth.
    """
    mean = blur(image, sigma)
    variance = (blur(image.square(), sigma) - mean.square()).clamp(min=0)
    slope = variance / (variance + eps**2)
    return torch.stack([blur(slope, sigma), blur((1 - slope) * mean, sigma)])
