"""Offsets x image -> image, and the algebra of coords: composition, inverse, integration, Jacobian, folds."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.field.offsets import Offsets
from flowedit.kernels.jacobian import determinant, difference


def warp(image: Tensor, offsets: Offsets) -> Tensor:
    """Move and tint an image by a per-pixel field.

    Convention: output(p) = image(p + coord(p)) + color(p); x before y; the image spans [-1, 1] edge to edge
    (docs/conventions.md). Outside the image the border pixel repeats. Bilinear, and bit for bit the image
    where the field is zero. Nothing is clamped: the gradient lives on.

    Args:
        image: (B, 3, H, W) floating, in [0, 1].
        offsets: coord (B, 2, h, w) and color (B, 3, h, w); a batch of one serves every image, and one image
            every field.

    Returns:
        (B, 3, h, w).

    Raises:
        ValueError: shapes do not agree.
    """
    return _warp(image, offsets, _remap)


def warp_by_torch(image: Tensor, offsets: Offsets) -> Tensor:
    """Do what `warp` does, with the same bits, without loading kornia: that takes seconds and 200 MB."""
    return _warp(image, offsets, _grid_sample)


def _warp(image: Tensor, offsets: Offsets, sampler: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    coord, color = offsets
    good = image.ndim == 4 and 0 not in image.shape[2:]
    require(good, f"image must have shape (B, C, H, W) with at least one pixel; got {describe(image)}")
    _check_coord(coord)
    batch = max(len(image), len(coord)) if len(image) and len(coord) else 0
    image, coord, color = (x.expand(batch, -1, -1, -1) if len(x) == 1 else x for x in (image, coord, color))
    shape = (batch, *image.shape[1:2], *coord.shape[2:])
    agree = len(image) == len(coord) == batch and color.shape == shape
    require(
        agree,
        f"image, coord and color must agree in batch, channels and size; got {tuple(image.shape)}, "
        f"{tuple(coord.shape)} and {tuple(color.shape)}",
    )
    return (_read(image, coord, sampler) + color).to(image.dtype)


def _read(planes: Tensor, coord: Tensor, sampler: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Read planes (B, C, H, W) bilinearly at p + coord(p), in float32 at least; where coord is zero, their own bits."""
    dtype = torch.promote_types(torch.promote_types(planes.dtype, coord.dtype), torch.float32)
    source, coord = planes.to(dtype), coord.to(dtype)
    batch, (h, w) = len(coord), coord.shape[2:]
    if not batch:
        return source.new_zeros(0, planes.shape[1], h, w)
    centers = F.affine_grid(torch.eye(2, 3, dtype=dtype, device=coord.device)[None], [1, 1, h, w], align_corners=False)
    read = sampler(source, centers + coord.permute(0, 2, 3, 1))
    if source.shape[2:] == coord.shape[2:]:
        # A center that is computed, and not counted, is off by the rounding of a coordinate, and what is read there by
        # some 1e-5. The values are the planes' own; the gradients, to coord as well, are those of what was read.
        still = (coord == 0).all(1, keepdim=True)
        read = torch.where(still, source.detach() + (read - read.detach()), read)
    return read


def _remap(planes: Tensor, points: Tensor) -> Tensor:
    from kornia.geometry.transform import remap  # takes seconds: not with the package

    # The points are not of kornia's create_meshgrid, which knows pixel centers from 0.9 on, for Python 3.11 only. All
    # settings are needed: by the defaults the result is off by up to 0.73.
    return remap(
        planes, points[..., 0], points[..., 1], mode="bilinear", padding_mode="border", align_corners=False,
        normalized_coordinates=True,
    )  # fmt: skip


def _grid_sample(planes: Tensor, points: Tensor) -> Tensor:
    return F.grid_sample(planes, points, mode="bilinear", padding_mode="border", align_corners=False)


def pull_back(planes: Tensor, coord: Tensor) -> Tensor:
    """Return planes(p + coord(p)), read as by `warp_by_torch`, of planes (B, C, h, w) and coord (B, 2, h, w)."""
    _check_coord(coord)
    return _read(planes, coord, _grid_sample).to(planes.dtype)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """Return the coord of warping by `first` and then by `second`: second(p) + first(p + second(p)).

    Both (B, 2, h, w) of one size, in crop coordinates; `first` is read bilinearly, its border repeats.
    """
    _check_coord(first)
    # What remap calls, with the same bits: a diffeomorphic field does this seven times a step, and loads no kornia.
    return (pull_back(first, second) + second).to(first.dtype)


def invert(coord: Tensor, iterations: int = 20) -> Tensor:
    """Return the coord that undoes `coord`: compose(coord, invert(coord)) is near zero away from the border.

    Solves inverse(p) = -coord(p + inverse(p)) by fixed-point iteration, which closes in by the largest
    stretch of coord at each step: it needs slopes below 1, and a few more iterations the nearer to 1 they
    are.

    Args:
        coord: (B, 2, h, w).
        iterations: at least 1.
    """
    _check_coord(coord)
    require(iterations >= 1, f"iterations must be at least 1; got {iterations}")
    inverse = -coord
    for _ in range(iterations):
        inverse = -_read(coord, inverse, _grid_sample).to(coord.dtype)
    return inverse


def integrate(velocity: Tensor, strength: float = 1.0, steps: int = 7) -> Tensor:
    """Return the coord of following a stationary velocity for the time `strength`, by scaling and squaring.

    The velocity is cut to 2 ** -steps of itself, where moving along it is one small step, and that step is
    composed with itself `steps` times (Arsigny et al. 2006). A negative strength gives the exact inverse
    direction.

    Args:
        velocity: (B, 2, h, w), crop coordinates per unit of time.
        strength: time, in units in which 1 is the whole edit.
        steps: squarings, at least 0.
    """
    _check_coord(velocity)
    require(steps >= 0, f"steps must be at least 0; got {steps}")
    coord = velocity * (strength / 2**steps)
    for _ in range(steps):
        coord = compose(coord, coord)
    return coord


def count_folds(coord: Tensor) -> int:
    """Count the pixels where p -> p + coord(p) turns the picture over.

    Stricter than the sign of `jacobian_determinant`, which central differences blind to what alternates from
    pixel to pixel: a pixel counts when the triangle it forms with its right and lower neighbors, or with its
    left and upper ones, has a determinant of zero or less.
    """
    _check_coord(coord)
    forward = determinant(*(difference(coord, dim, before=0, after=1) for dim in (3, 2)))
    backward = determinant(*(difference(coord, dim, before=1, after=0) for dim in (3, 2)))
    return int(((forward <= 0) | (backward <= 0)).sum())


def window(points: Tensor, margin: float = 0.08) -> Tensor:
    """Return the weight that takes a field to nothing at the crop's border: 1 inside, exactly 0 at and
    outside it.

    Continuous with its slope. It reaches 0 a 128th of the crop's side before the border, so that a field
    integrated on a lattice of 256 and read with a cubic is exactly zero at the border too.

    Args:
        points: (..., 2) crop coordinates.
        margin: width of the fall, as a fraction of the crop's side, in (1/128, 1/2].

    Returns:
        (...) in [0, 1].
    """
    rest = 1 / 128
    require(rest < margin <= 0.5, f"margin must be a fraction of the crop's side in (1/128, 1/2]; got {margin!r}")
    inside = (1 - points.abs()) / 2  # distance to the nearest border on each axis, in sides
    t = ((inside - rest) / (margin - rest)).clamp(0, 1)
    return (t * t * (3 - 2 * t)).prod(-1)


def effective(raw: Offsets, weight: Tensor, *, shape: float = 1.0, color: float = 1.0, diffeomorphic: bool) -> Offsets:
    """Turn what a field says into what is done to the image.

    Args:
        raw: a field's `on_grid`.
        weight: (1, 1, h, w): window, mask and so on. Where the field is diffeomorphic it weighs the velocity,
            which is then integrated, so the weight makes no folds either.
        shape: strength of coord; for a diffeomorphic field the time for which the velocity is followed.
        color: strength of color.
        diffeomorphic: raw.coord is a velocity.
    """
    coord = raw.coord * weight
    coord = integrate(coord, shape) if diffeomorphic else coord * shape
    return Offsets(coord, raw.color * (weight * color))


def _check_coord(coord: Tensor) -> None:
    ok = coord.ndim == 4 and coord.shape[1] == 2
    require(ok, f"coord must have shape (B, 2, h, w); got {describe(coord)}")
