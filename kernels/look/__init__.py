"""Views of a moved and tinted image: warp, resize and contrast in one pass."""

from __future__ import annotations

from torch import Tensor

from ..dispatch import choose
from . import reference
from .operator import look as operator

__all__ = ["look"]


def look(
    image: Tensor, coord: Tensor, color: Tensor, theta: Tensor, gain: Tensor, size: int, backend: str | None = None
) -> Tensor:
    """Look at an image as a field moves and tints it, in several views.

    A view's pixel at p shows the point q = theta (p, 1) of the result: image(q + coord(q)) + color(q), whose contrast
    about middle gray is then changed. All three are read bilinearly at that one point and repeat at their borders; an
    image much finer than the views must be smoothed before.

    Args:
        image: (1, 3, H, W) floating.
        coord: (1, 2, h, w) in units of half the image's side, on a lattice over the image.
        color: (1, 3, h, w) in image units.
        theta: (k, 2, 3) from view coordinates to image coordinates, both in [-1, 1] edge to edge.
        gain: (k,) contrast; 1 leaves it.
        size: pixels along a view's side.
        backend: a name out of `available()`, or None for the best one here.

    Returns:
        (k, 3, size, size) in the dtype of image, computed in float32 at least. Differentiable in coord and color.

    Raises:
        ValueError: shapes are not as above.
        RuntimeError: the named backend is not usable here.
    """
    check(image, coord, color, theta, gain)
    if choose(backend, "look", image.device, image.dtype) == "native":
        return operator(image, coord, color, theta, gain, size)
    return reference.look(image, coord, color, theta, gain, size)


def check(image: Tensor, coord: Tensor, color: Tensor, theta: Tensor, gain: Tensor) -> None:
    """Refuse shapes that are not as `look` says."""
    shapes = {"image": (image, 3), "coord": (coord, 2), "color": (color, 3)}
    for name, (planes, channels) in shapes.items():
        if planes.ndim != 4 or planes.shape[:2] != (1, channels) or 0 in planes.shape[2:]:
            raise ValueError(f"{name} must have shape (1, {channels}, rows, columns); got {tuple(planes.shape)}")
    if color.shape[2:] != coord.shape[2:]:
        raise ValueError(f"color must be as large as coord; got {tuple(color.shape)} and {tuple(coord.shape)}")
    if theta.ndim != 3 or theta.shape[1:] != (2, 3) or gain.shape != theta.shape[:1]:
        raise ValueError(f"theta, gain must be (k, 2, 3), (k,); got {tuple(theta.shape)}, {tuple(gain.shape)}")
