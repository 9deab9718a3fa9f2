"""Move and tint a part of a picture, integers in and integers out."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import native
from ..dispatch import choose
from . import reference

__all__ = ["warp_pixels"]

DEPTHS = {torch.uint8: "u8", torch.uint16: "u16"}


def warp_pixels(
    pixels: Tensor, offsets: Tensor, box: tuple[int, int, int, int], step: int, backend: str = "auto"
) -> Tensor:
    """Move and tint a box of a picture by offsets on a coarse lattice.

    Convention: output(p) = picture(p + shift(p)) + tint(p), with shift and tint linear between the nodes, and the
    picture read by an interpolating cubic whose border repeats; then rounded, half to even, and cut to the range. A
    pixel with zero shift and tint keeps its value, exactly.

    Args:
        pixels: (H, W, 3) uint8 or uint16.
        offsets: (5, n, m) the shift in pixels, x before y, and the tint, 1 being the largest value. Node (i, j) is at
            the center of the box's pixel (i * step, j * step); the outermost repeat.
        box: (top, left, bottom, right) in the picture, bottom and right exclusive.
        step: pixels from node to node.
        backend: "auto", or a name out of `available()`.

    Returns:
        (bottom - top, right - left, 3), of the pixels' dtype.

    Raises:
        ValueError: shapes or dtypes are others, or the box leaves the picture.
        RuntimeError: the named backend is not usable here.
    """
    top, left, bottom, right = box
    if pixels.dtype not in DEPTHS or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"pixels must be (H, W, 3) uint8 or uint16; got {tuple(pixels.shape)} and {pixels.dtype}")
    if offsets.ndim != 3 or len(offsets) != 5 or 0 in offsets.shape:
        raise ValueError(f"offsets must have shape (5, n, m) with at least one node; got {tuple(offsets.shape)}")
    if not (0 <= top < bottom <= pixels.shape[0] and 0 <= left < right <= pixels.shape[1]) or step < 1:
        raise ValueError(f"box must lie in the picture of {tuple(pixels.shape)}, step be 1 or more; got {box}, {step}")
    size = bottom - top, right - left
    backend = choose(backend, "warp_pixels", pixels.device, offsets.dtype)
    if backend == "torch":
        return reference.warp_pixels(pixels, offsets, top, left, *size, step)
    out = torch.empty(*size, 3, dtype=pixels.dtype)
    shape = (*pixels.shape[:2], *offsets.shape[1:])
    name = f"warp_pixels_{DEPTHS[pixels.dtype]}"
    native.call(name, pixels.contiguous(), native.plain(offsets), out, *shape, top, left, *size, step)
    return out
