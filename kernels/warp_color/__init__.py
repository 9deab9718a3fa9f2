"""Move and tint an image by a per-pixel field."""

from __future__ import annotations

import torch
from torch import Tensor

from ..dispatch import choose
from . import reference
from .operator import warp_color as operator

__all__ = ["warp_color"]


def warp_color(image: Tensor, coord: Tensor, color: Tensor, backend: str | None = None) -> Tensor:
    """Move and tint an image; see `reference.warp_color` for the meaning.

    Convention: output(p) = image(p + coord(p)) + color(p); x before y; the image spans [-1, 1] edge to edge
    (align_corners=False). Bilinear; outside the image the border pixel repeats. Where coord and color are
    zero and the sizes agree, the image's bits are returned.

    Args:
        image: (B, C, H, W) floating.
        coord: (B, 2, h, w) floating.
        color: (B, C, h, w) floating.
        backend: a name out of `available()`, or None for the best one here.

    Returns:
        (B, C, h, w) in the image's dtype, computed in float32 at least. Differentiable in all three.

    Raises:
        ValueError: shapes do not agree, or the image has no pixel.
        RuntimeError: the named backend is not usable here.
    """
    if image.ndim != 4 or 0 in image.shape[-2:]:
        raise ValueError(f"image must have shape (B, C, H, W) with at least one pixel; got {tuple(image.shape)}")
    batch, channels = image.shape[:2]
    if coord.ndim != 4 or coord.shape[:2] != (batch, 2):
        raise ValueError(f"coord must have shape ({batch}, 2, h, w); got {tuple(coord.shape)}")
    if color.shape != (batch, channels, *coord.shape[-2:]):
        expected = (batch, channels, *coord.shape[-2:])
        raise ValueError(f"color must have shape {expected}; got {tuple(color.shape)}")
    dtype = torch.promote_types(torch.promote_types(image.dtype, coord.dtype), color.dtype)
    meant = choose(backend, "warp_color", image.device, dtype) == "torch"
    return (reference.warp_color if meant else operator)(image, coord, color)
