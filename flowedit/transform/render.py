"""Photo x moves -> photo: offsets asked for in the photo's frame, the original sampled once, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from flowedit.checks import require
from flowedit.kernels import sample
from flowedit.transform.transforms import Box, Evaluator, Transform, bind, bounding_box, leaves

if TYPE_CHECKING:
    from flowedit.photo.photo import Photo


_BLOCK = 1 << 16  # points handled at a time: what fits the processor's cache


@torch.no_grad()
def render(
    photo: Photo,
    transforms: Sequence[Transform],
    *,
    shape: float = 1.0,
    color: float = 1.0,
    box: Box | None = None,
    tile: int = 1024,
) -> Tensor:
    """Apply moves to a photo at its own size.

    Offsets of all moves add; the original is sampled once, with an interpolating cubic whose border repeats,
    and the result is clamped to [0, 1]. A pixel with no shift is not interpolated, and one with no shift and
    no tint keeps its bits; so does everything outside the crops, where a hard mask is 0, and everything at
    strength 0.

    Convention: output(p) = photo(p + shift(p)) + tint(p); crop coordinates are x before y, edge to edge in
        [-1, 1]
    (docs/conventions.md).

    Args:
        photo: the original.
        moves: what to do; none gives the photo.
        shape: strength of the shifts of all moves, times each move's own.
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
    for layer in leaves(transforms):
        if (hard := layer.hard_mask) is not None:
            fits = hard.shape == (height, width)
            require(fits, f"hard_mask must have the photo's shape ({height}, {width}); got {hard.shape}")

    result = photo.tensor(area)
    placed = [
        (bind(move, shape, color), bounding_box(move, height, width))
        for move in transforms
        if move.strength * shape or move.strength * color
    ]
    for part in _tiles(area, tile):
        touching = [(move, box) for move, box in placed if _overlap(part, box)]
        if touching:
            rows = slice(part[0] - area[0], part[2] - area[0])
            columns = slice(part[1] - area[1], part[3] - area[1])
            _edit_tile(result[0, :, rows, columns], part, photo, touching)
    return result


def _edit_tile(out: Tensor, part: Box, photo: Photo, transforms: Sequence[tuple[Evaluator, Box]]) -> None:
    """Write the edited pixels of one tile into `out` (3, h, w), which holds the originals."""
    top, left, bottom, right = part
    offsets = torch.zeros(5, bottom - top, right - left)
    for move, box in transforms:
        for y0, x0, y1, x1 in _bands(_intersection(part, box)):
            px, py = torch.arange(x0, x1).double() + 0.5, torch.arange(y0, y1).double()[:, None] + 0.5
            offsets[:, y0 - top : y1 - top, x0 - left : x1 - left] += move(px, py)
    shift, tint = offsets[:2], offsets[2:]

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
        dx, dy = shift.flatten(1)
        read = sample(source, dx, dy, "catmull_rom", origin=origin)
        value = read.where(moved.flatten(), value)
    else:
        dx, dy = shift.flatten(1)[:, kept]
        read = sample(source, dx, dy, "catmull_rom", origin=origin)
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
