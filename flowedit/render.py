"""Photo x layers -> photo: the field carried into the photo's frame, the original sampled once, tile by
tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .checks import describe, require
from .field import Field, centres
from .kernels import sample
from .warp import integrate, window

if TYPE_CHECKING:
    from .align import Crop
    from .image import Photo

Box = tuple[int, int, int, int]  # top, left, bottom, right in photo pixels; bottom and right exclusive

_LATTICE = 256  # nodes along one side of the crop on which a diffeomorphic field is integrated
_BLOCK = 1 << 16  # points handled at a time: what fits the processor's cache


@dataclass(frozen=True, eq=False)
class Layer:
    """One field over one crop of a photo.

    Attributes:
        field: what is done, in the crop's frame.
        crop: where the crop lies in the photo.
        mask: (1, 1, m, m) weights in [0, 1] over the crop, or None for all ones.
        hard_mask: (H, W) float32 weights in [0, 1] over the photo, or None; pixels with 0 keep their bits.
        strength: scales shape and color; 0 is the photo.

    Raises:
        ValueError: a mask has another shape or range.
    """

    field: Field
    crop: Crop
    mask: Tensor | None = None
    hard_mask: np.ndarray | None = None
    strength: float = 1.0

    def __post_init__(self) -> None:
        require(math.isfinite(self.strength), f"strength must be finite; got {self.strength!r}")
        if (mask := self.mask) is not None:
            square = mask.ndim == 4 and mask.shape[:2] == (1, 1) and mask.shape[2] == mask.shape[3] > 0
            require(square, f"mask must have shape (1, 1, m, m); got {describe(mask)}")
            require(bool(((mask >= 0) & (mask <= 1)).all()), "mask must be in [0, 1]; got values outside or NaN")
        if (hard := self.hard_mask) is not None:
            plane = hard.ndim == 2 and hard.dtype == np.float32
            require(plane, f"hard_mask must be an (H, W) float32 array; got {describe(hard)}")
            inside = bool(hard.size) and bool(hard.min() >= 0) and bool(hard.max() <= 1)
            require(inside, "hard_mask must be in [0, 1]; got values outside or NaN")


@torch.no_grad()
def render(
    photo: Photo,
    layers: Sequence[Layer],
    *,
    shape: float = 1.0,
    color: float = 1.0,
    box: Box | None = None,
    tile: int = 1024,
) -> Tensor:
    """Apply layers to a photo at its own size.

    Offsets of all layers add; the original is sampled once, with an interpolating cubic whose border repeats,
    and the result is clamped to [0, 1]. A pixel with no shift is not interpolated, and one with no shift and
    no tint keeps its bits; so does everything outside the crops, where a hard mask is 0, and everything at
    strength 0.

    Convention: output(p) = photo(p + shift(p)) + tint(p); crop coordinates are x before y, edge to edge in
        [-1, 1]
    (docs/conventions.md).

    Args:
        photo: the original.
        layers: what to do; none gives the photo.
        shape: strength of the shifts of all layers, times each layer's own.
        color: strength of the tints, likewise.
        box: the part wanted, in photo pixels; None is the whole photo.
        tile: side in pixels of the tiles worked on, a matter of memory only: the bits do not depend on it
            (where the matrix products of torch round a row the same in any company, as on x86, for a hash
            field).

    Returns:
        (1, 3, h, w) float32 on the CPU.

    Raises:
        ValueError: a strength is not finite, the box leaves the photo, or a hard mask has another size than
            the photo.
    """
    height, width = photo.height, photo.width
    require(
        math.isfinite(shape) and math.isfinite(color),
        f"shape and color must be finite; got {shape!r}, {color!r}",
    )
    require(tile >= 1, f"tile must be at least 1 pixel; got {tile!r}")
    area = (0, 0, height, width) if box is None else box
    inside = 0 <= area[0] < area[2] <= height and 0 <= area[1] < area[3] <= width
    require(inside, f"box (top, left, bottom, right) must lie in the {height} x {width} photo; got {area}")
    for layer in layers:
        if (hard := layer.hard_mask) is not None:
            fits = hard.shape == (height, width)
            require(fits, f"hard_mask must have the photo's shape ({height}, {width}); got {hard.shape}")

    result = photo.tensor(area)
    placed = [_Placed(layer, height, width, shape, color) for layer in layers]
    placed = [layer for layer in placed if layer.shape or layer.color]
    for part in _tiles(area, tile):
        touching = [layer for layer in placed if _overlap(part, layer.box)]
        if touching:
            rows = slice(part[0] - area[0], part[2] - area[0])
            columns = slice(part[1] - area[1], part[3] - area[1])
            _edit_tile(result[0, :, rows, columns], part, photo, touching)
    return result


class _Placed:
    """A layer ready to be asked for its offsets at photo pixels."""

    def __init__(self, layer: Layer, height: int, width: int, shape: float, color: float) -> None:
        self.field, self.mask = layer.field, layer.mask
        self.hard = None if layer.hard_mask is None else torch.from_numpy(np.ascontiguousarray(layer.hard_mask))
        self.shape, self.color = shape * layer.strength, color * layer.strength
        (self.a, self.b, self.x0), (self.c, self.d, self.y0) = layer.crop.matrix.tolist()
        self.box = layer.crop.box(height, width)
        self.device = next(layer.field.parameters()).device
        self.coord: Tensor | None = None  # (2, n, n) the integrated shift, where the field is a velocity
        if self.field.diffeomorphic and self.shape:
            points = centres(_LATTICE)
            x, y = points.reshape(-1, 2).T
            weight = self._weight(x, y)
            if self.hard is not None:
                px, py = self.a * x + self.b * y + self.x0 - 0.5, self.c * x + self.d * y + self.y0 - 0.5
                weight = weight * sample(self.hard[None], px, py, "linear")[0]
            velocity = self.field.lattice(_LATTICE).coord.float().cpu() * weight.reshape(_LATTICE, _LATTICE)
            self.coord = integrate(velocity, self.shape)[0]

    def offsets(self, box: Box) -> tuple[Tensor, Tensor]:
        """Evaluate at the photo pixels (h, w) of a box.

        Returns:
            Their shift (2, h, w) in photo pixels, x before y, and their tint (3, h, w); exactly 0 where nothing may
            change.
        """
        # Written out, not as a matrix product: every pixel's bits depend on that pixel alone.
        u = torch.arange(box[1], box[3]).double() + (0.5 - self.x0)
        v = torch.arange(box[0], box[2]).double()[:, None] + (0.5 - self.y0)
        scale = 1 / (self.a * self.d - self.b * self.c)
        x, y = ((self.d * u - self.b * v) * scale).float(), ((self.a * v - self.c * u) * scale).float()
        inside = (x.abs() < 1) & (y.abs() < 1)
        hard = None if self.hard is None else self.hard[box[0] : box[2], box[1] : box[3]]
        if hard is not None:
            inside &= hard > 0
        shape = inside.shape
        kept = inside.flatten().nonzero()[:, 0]
        everything = 2 * len(kept) > inside.numel()  # cheaper than to pick them out
        if not len(kept):
            return torch.zeros(2, *shape), torch.zeros(3, *shape)
        x, y = (axis.flatten() if everything else axis.flatten()[kept] for axis in (x, y))
        weight = self._weight(x, y)
        if hard is not None:
            weight = weight * (hard.flatten() if everything else hard.flatten()[kept])
        if self.coord is None or self.color:
            coord, color = self._evaluate(x, y)
        else:
            coord, color = x.new_zeros(2, len(x)), x.new_zeros(3, len(x))
        if self.coord is None:
            dx, dy = coord * (weight * self.shape)
        else:
            px, py = ((axis + 1) * (_LATTICE / 2) - 0.5 for axis in (x, y))
            dx, dy = sample(self.coord, px, py, "catmull_rom")
        found = torch.cat(
            [torch.stack([self.a * dx + self.b * dy, self.c * dx + self.d * dy]), color * (weight * self.color)]
        )
        found = found.where(weight != 0, found.new_zeros(()))  # a smooth movement ends short of what must not change
        if everything:
            found = found.where(inside.flatten(), found.new_zeros(()))
        else:
            found = found.new_zeros(5, inside.numel()).index_copy_(1, kept, found)
        return found[:2].reshape(2, *shape), found[2:].reshape(3, *shape)

    def _weight(self, x: Tensor, y: Tensor) -> Tensor:
        weight = window(torch.stack([x, y], dim=-1))
        if self.mask is None:
            return weight
        half = self.mask.shape[-1] / 2
        mask = self.mask[0].to("cpu", torch.float32)
        return weight * sample(mask, (x + 1) * half - 0.5, (y + 1) * half - 0.5, "linear")[0]

    def _evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # Filled up to a multiple of 64: a product of a few rows may round differently from one of many.
        points = torch.stack([x, y], dim=-1)
        points = torch.cat([points, points.new_zeros(-len(x) % 64, 2)]).to(self.device)
        coord, color = self.field.at(points)
        return coord[: len(x)].T.float().cpu(), color[: len(x)].T.float().cpu()


def _edit_tile(out: Tensor, part: Box, photo: Photo, layers: list[_Placed]) -> None:
    """Write the edited pixels of one tile into `out` (3, h, w), which holds the originals."""
    top, left, bottom, right = part
    shift, tint = torch.zeros(2, bottom - top, right - left), torch.zeros(3, bottom - top, right - left)
    for layer in layers:
        for y0, x0, y1, x1 in _bands(_intersection(part, layer.box)):
            where = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
            d_shift, d_tint = layer.offsets((y0, x0, y1, x1))
            shift[(slice(None), *where)] += d_shift
            tint[(slice(None), *where)] += d_tint

    # The part of the photo read from: the tile and as far around it as anything moves, with the cubic's
    # reach.
    x_reach, y_reach = (math.ceil(float(axis.abs().max())) + 2 for axis in shift)
    row, column = max(top - y_reach, 0), max(left - x_reach, 0)
    source = photo.tensor((row, column, min(bottom + y_reach, photo.height), min(right + x_reach, photo.width)))[0]
    for y0, _, y1, _ in _bands(part):
        rows = slice(y0 - top, y1 - top)
        out[:, rows] = (
            _sample(source, out[:, rows], shift[:, rows], y0 - row, left - column).add_(tint[:, rows]).clamp_(0, 1)
        )


def _sample(source: Tensor, still: Tensor, shift: Tensor, row: int, column: int) -> Tensor:
    """Read (3, h, w) from `source`, from `row` and `column` on and shifted; what does not move is `still`'s."""
    moved = (shift != 0).any(0)
    kept = moved.flatten().nonzero()[:, 0]
    everything = 2 * len(kept) > moved.numel()
    at = torch.arange(moved.numel()) if everything else kept
    width = moved.shape[1]
    origin = at % width + column, at // width + row
    value = still.flatten(1)
    if everything:
        read = sample(source, *shift.flatten(1), "catmull_rom", origin=origin)
        value = read.where(moved.flatten(), value)
    else:
        read = sample(source, *shift.flatten(1)[:, kept], "catmull_rom", origin=origin)
        value = value.index_copy(1, kept, read)
    return value.reshape(still.shape)


def _bands(area: Box) -> Iterator[Box]:
    """Cut an area into bands of rows of about _BLOCK pixels."""
    top, left, bottom, right = area
    step = max(_BLOCK // max(right - left, 1), 1)
    for y in range(top, bottom, step):
        yield y, left, min(y + step, bottom), right


def _tiles(area: Box, side: int) -> Iterator[Box]:
    """Cut an area into tiles of at most side x side."""
    for top in range(area[0], area[2], side):
        for left in range(area[1], area[3], side):
            yield top, left, min(top + side, area[2]), min(left + side, area[3])


def _intersection(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _overlap(a: Box, b: Box) -> bool:
    top, left, bottom, right = _intersection(a, b)
    return top < bottom and left < right
