"""Checks at the public edge, and their one wording: what, must be, got."""

from __future__ import annotations

import torch
from torch import Tensor


def require(ok: bool, message: str, error: type[Exception] = ValueError) -> None:
    """Raise `error` with `message` unless `ok`."""
    if not ok:
        raise error(message)


def describe(x: object) -> str:
    """Name a value in an error line: a tensor or array by its shape and dtype, anything else by a short repr."""
    if isinstance(x, Tensor) or type(x).__module__ == "numpy":
        return f"{type(x).__name__} of shape {tuple(x.shape)} and {x.dtype}"  # type: ignore[attr-defined]
    text = repr(x)
    return text if len(text) <= 80 else text[:77] + "..."


def check_image(x: Tensor, name: str = "image") -> None:
    """Refuse anything but a finite floating (B, 3, H, W) tensor."""
    require(isinstance(x, Tensor), f"{name} must be a tensor; got {describe(x)}", TypeError)
    require(x.ndim == 4 and x.shape[1] == 3, f"{name} must have shape (B, 3, H, W); got {tuple(x.shape)}")
    require(x.is_floating_point(), f"{name} must be floating point in [0, 1]; got {x.dtype}", TypeError)
    if not (x.is_cuda and torch.cuda.is_current_stream_capturing()):  # when nothing can be read back
        require(bool(torch.isfinite(x).all()), f"{name} must be finite; got NaN or infinity")
