"""A picture's pixels as planes of floating numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import native
from ..dispatch import choose
from . import reference
from .reference import WHOLE

__all__ = ["planes"]


def planes(pixels: Tensor, backend: str | None = None) -> Tensor:
    """Turn pixels into planes.

    Args:
        pixels: (h, w, 3) uint8, uint16 or float32; rows may lie apart, as those of a part of a larger picture do.
        backend: a name out of `available()`, or None for the best one here.

    Returns:
        (1, 3, h, w) float32, new: what stands for 1 in the dtype is 1.

    Raises:
        ValueError: another shape or dtype.
        RuntimeError: the named backend is not usable here.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in WHOLE:
        raise ValueError(f"pixels must be (h, w, 3) of {list(WHOLE)}; got {tuple(pixels.shape)} of {pixels.dtype}")
    packed = pixels.stride()[1:] == (3, 1)
    if choose(backend, "planes", pixels.device) != "native" or pixels.dtype == torch.float32 or not packed:
        return reference.planes(pixels)
    height, width, _ = pixels.shape
    out = torch.empty(1, 3, height, width)
    native.call("planes_forward", pixels, out, height, width, pixels.stride(0), int(pixels.dtype == torch.uint16))
    return out
