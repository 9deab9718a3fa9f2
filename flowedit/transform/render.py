"""Photo x transforms -> photo: offsets asked for in the photo's frame, the original sampled once, tile by tile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import as_float, describe, require
from flowedit.face.crop import Crop, crop_key, extract, extract_once, reach
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.warp import warp_by_torch
from flowedit.kernels import Interpolation, sample
from flowedit.photo.photo import Photo, quantize, rescale
from flowedit.photo.raster import Rows
from flowedit.transform.cuts import read_fractions, spread_lids
from flowedit.transform.evaluate import Evaluator, Reading, bind, pixel_places, read_crop
from flowedit.transform.retouching import Layer, add_layer, bind_retouch, is_retouched, reached
from flowedit.transform.transforms import Box, Transform, bounding_box, find_crops, leaves

_BLOCK = 1 << 16  # points handled at a time: what fits the processor's cache
_STRIP = 256  # rows converted at a time
TILE_PX = 1024  # side of the tiles worked on
_BAND_BYTES = 1 << 25  # of a row of tiles, that is written at once


@dataclass(frozen=True, eq=False)
class EditedPhoto:
    """Transforms over a photo at a strength: what pictures, bounds and reports are made from.

    Attributes:
        photo: the original; None where only offsets are asked for.
        transforms: what is done to it; their offsets add.
        strength: scales all of it; 0 is the photo, bit for bit.
        shape: scales the shifts alone, on top.
        color: scales the tints alone, on top.
    """

    photo: Photo | None
    transforms: Sequence[Transform]
    strength: float = 1.0
    shape: float = 1.0
    color: float = 1.0
    _unedited: dict[tuple[object, ...], Tensor] = field(init=False, repr=False, default_factory=dict)

    @property
    def original(self) -> Photo:
        """The photo; ValueError where there is none."""
        require(self.photo is not None, "an edit without a photo must get one by apply(photo) first; got none")
        assert self.photo is not None  # for the type checker
        return self.photo

    def at(self, strength: float | None = None, *, shape: float = 1.0, color: float = 1.0) -> EditedPhoto:
        """Return the same at another strength, None for this one; crops of the photo are read once for all strengths.

        Raises:
            ValueError: a number is not finite.
        """
        numbers = {"strength": self.strength if strength is None else strength, "shape": shape, "color": color}
        for name, value in numbers.items():
            require(math.isfinite(as_float(value)), f"{name} must be finite; got {describe(value)}")
        other = EditedPhoto(self.photo, self.transforms, *map(as_float, numbers.values()))
        object.__setattr__(other, "_unedited", self._unedited)
        return other

    def over_white(self) -> EditedPhoto:
        """Return the same of the photo as it looks on a white page; where the photo has no alpha, itself."""
        white = self.original.over_white()
        return (
            self if white is self.photo else EditedPhoto(white, self.transforms, self.strength, self.shape, self.color)
        )

    def crops(self) -> list[Crop]:
        """List the crops that the transforms lie over, each once, in the order in which they first come."""
        return find_crops(self.transforms)

    @torch.no_grad()
    def offsets(self, crop: Crop, size: int) -> Offsets:
        """Evaluate what is done over a crop, in its coordinates: (1, ·, size, size), at the pixel centers of a grid."""
        return read_crop(self._bound(), crop, size)

    def _bound(self) -> list[tuple[Evaluator, list[Crop]]]:
        """Make what is done, by all strengths, ready to be asked for."""
        return bind(self.transforms, self.shape * self.strength, self.color * self.strength)

    def unedited(self, crop: Crop, size: int) -> Tensor:
        """Return what a crop shows of the photo, (1, 3, size, size) in [0, 1]; not to be written to."""
        key = (*crop_key(crop), size)
        if key not in self._unedited:
            self._unedited[key] = extract_once(self.original, crop, size)
        return self._unedited[key]

    @torch.no_grad()
    def crop_image(self, crop: Crop, size: int) -> Tensor:
        """Return what a crop shows of the result, (1, 3, size, size) in [0, 1]: quick, whatever the photo's size.

        The crop's own pixels are warped, so it differs from `saved_crop` by one more interpolation.
        """
        pixels = self.retouched(crop, size)
        drawn = [warp_by_torch(pixels, read_crop(each, crop, size)) for each in spread_lids(self._bound())]
        return torch.stack(drawn).mean(0).clamp(0, 1)

    def retouched(self, crop: Crop, size: int) -> Tensor:
        """Return `unedited` with what retouches add, before anything moves: (1, 3, size, size), not clamped."""
        plain, color = self.unedited(crop, size), self.color * self.strength
        if not color or not is_retouched(self.transforms):
            return plain
        amounts = [tuple(leaf.retouch.amounts.flatten().tolist()) for leaf in leaves(self.transforms) if leaf.retouch]
        key = ("retouched", *amounts, *crop_key(crop), size)  # amounts move while an edit is being found
        if key not in self._unedited:
            layer = bind_retouch(self.transforms, self.original)
            assert layer is not None  # something is retouched
            x, y = crop.to_photo(pixel_centers(size, dtype=torch.float64)).reshape(-1, 2).T
            self._unedited[key] = layer(plain[0].flatten(1), x, y).reshape(plain.shape)
        return plain + color * self._unedited[key]

    def saved_crop(self, crop: Crop, size: int, dtype: type | np.dtype = np.uint8) -> Tensor:
        """Return `extract` of the result as it is saved, without rendering all of it: (1, 3, size, size).

        Args:
            crop: where to look.
            size: pixels along a side.
            dtype: of the saved numbers, see `pixels`.
        """
        box = reach(self.original, crop, size)
        shift = torch.tensor([[0, 0, box[1]], [0, 0, box[0]]])
        return extract(Photo(self.pixels(box, dtype)), Crop(crop.matrix - shift), size)

    def tensor(self, box: Box | None = None) -> Tensor:
        """Return the result, or a part of it, at the photo's own size: (1, 3, h, w) float32; see `render`."""
        shape, color = self.shape * self.strength, self.color * self.strength
        return render(self.original, self.transforms, shape=shape, color=color, box=box)

    def pixels(self, box: Box | None = None, dtype: type | np.dtype = np.uint8) -> np.ndarray:
        """Return the color of `rgba` in a part of the photo, None for all of it: (h, w, 3)."""
        return self.rgba(dtype, box)[..., :3]

    def rgba(self, dtype: type | np.dtype = np.uint8, box: Box | None = None) -> np.ndarray:
        """Return `quantize` of `tensor`, and alpha where the photo has it, which moves with the colors; see `rows`."""
        return self.rows(dtype, box).whole()

    def rows(self, dtype: type | np.dtype = np.uint8, box: Box | None = None) -> Rows:
        """Return `rgba` as rows that are made one band after the other.

        No float copy of more than a tile is made: what does not change is copied.

        Args:
            dtype: uint8, uint16 or float32.
            box: (top, left, bottom, right) in photo pixels; None is the whole photo.

        Raises:
            ValueError: as `render`, at once.
        """
        photo, dtype = self.original, np.dtype(dtype)
        area = top, left, bottom, right = _area(photo, box)
        shape, color = self.shape * self.strength, self.color * self.strength
        size = (bottom - top, right - left, 3 if photo.alpha is None else 4)
        tile = max(_STRIP, min(TILE_PX, _BAND_BYTES // (size[1] * size[2] * dtype.itemsize)))
        tiles = _touched_tiles(photo, self.transforms, shape, color, area, tile)
        layer = bind_retouch(self.transforms, photo) if color and tiles else None
        return Rows(size, dtype, _draw_bands(photo, area, dtype, tiles, layer, color))


@torch.no_grad()
def render(
    photo: Photo,
    transforms: Sequence[Transform],
    *,
    shape: float = 1.0,
    color: float = 1.0,
    box: Box | None = None,
    tile: int = TILE_PX,
) -> Tensor:
    """Apply transforms to a photo at its own size.

    Offsets of all transforms add; the original is sampled once, with an interpolating cubic whose border repeats, and
    the result is clamped to [0, 1]. A pixel with no shift is not interpolated, and one with no shift and no tint keeps
    its bits; so does everything outside the crops, where a hard mask is 0, and everything at strength 0.

    Convention: output(p) = photo(p + shift(p)) + tint(p); crop coordinates are x before y, edge to edge in [-1, 1]
    (docs/conventions.md).

    Args:
        photo: the original.
        transforms: what to do; none gives the photo.
        shape: strength of the shifts of all transforms, times each transform's own.
        color: strength of the tints, likewise.
        box: (top, left, bottom, right) of the part wanted, in photo pixels; None is the whole photo.
        tile: side in pixels of the tiles worked on, a matter of memory only: the bits do not depend on it (where the
            matrix products of torch round a row the same in any company, as on x86, for a hash field).

    Returns:
        (1, 3, h, w) float32 on the CPU.

    Raises:
        ValueError: a strength is not finite, the box leaves the photo, or a hard mask has another size than the photo.
    """
    area = _area(photo, box)
    tiles = _touched_tiles(photo, transforms, shape, color, area, tile)
    layer = bind_retouch(transforms, photo) if color and tiles else None
    result = photo.tensor(area)
    for part, touching in tiles:
        rows = slice(part[0] - area[0], part[2] - area[0])
        columns = slice(part[1] - area[1], part[3] - area[1])
        _edit_tile(result[0, :, rows, columns], part, photo, touching, layer, color)
    return result


def _area(photo: Photo, box: Box | None) -> Box:
    """Return the box, or that of the whole photo; ValueError where it leaves the photo."""
    height, width = photo.height, photo.width
    area = (0, 0, height, width) if box is None else box
    inside = 0 <= area[0] < area[2] <= height and 0 <= area[1] < area[3] <= width
    require(inside, f"box (top, left, bottom, right) must lie in the {height} x {width} photo; got {area}")
    return area


def _touched_tiles(
    photo: Photo, transforms: Sequence[Transform], shape: float, color: float, area: Box, tile: int = TILE_PX
) -> list[tuple[Box, list[tuple[Evaluator, Box]]]]:
    """List the tiles of an area that anything may change, each with what may change it and where."""
    height, width = photo.height, photo.width
    require(
        math.isfinite(shape) and math.isfinite(color),
        f"shape and color must be finite; got {shape!r}, {color!r}",
    )
    require(tile >= 1, f"tile must be at least 1 pixel; got {tile!r}")
    for leaf in leaves(transforms):
        if (hard := leaf.hard_mask) is not None:
            fits = hard.shape == (height, width)
            require(fits, f"hard_mask must have the photo's shape ({height}, {width}); got {hard.shape}")
    placed = [(evaluator, bounding_box(crops, height, width)) for evaluator, crops in bind(transforms, shape, color)]
    if color:
        squares = [reached(leaf) for leaf in leaves(transforms) if leaf.retouch is not None]
        placed += [(_no_offsets, bounding_box([square], height, width)) for square in squares]
    boxes = [_intersection(area, box) for _, box in placed if _overlap(area, box)]
    if not boxes:
        return []
    tops, lefts, bottoms, rights = zip(*boxes, strict=True)
    parts = _tiles((min(tops), min(lefts), max(bottoms), max(rights)), tile)
    touched = ((part, [(evaluator, box) for evaluator, box in placed if _overlap(part, box)]) for part in parts)
    return [(part, touching) for part, touching in touched if touching]


def _no_offsets(px: Tensor, py: Tensor) -> Reading:
    """Read what only retouches: nothing is moved or tinted."""
    shape = torch.broadcast_shapes(px.shape, py.shape)
    return Reading(torch.zeros(2, *shape), lambda moved: torch.zeros(3, *shape))


@torch.no_grad()
def _draw_bands(
    photo: Photo,
    area: Box,
    dtype: np.dtype,
    tiles: Sequence[tuple[Box, list[tuple[Evaluator, Box]]]],
    layer: Layer | None,
    color: float,
) -> Iterator[np.ndarray]:
    """Yield an area's rows from top to bottom: a row of tiles at a time, and what lies between in strips."""
    top, left, bottom, right = area
    spans = sorted({(part[0], part[2]) for part, _ in tiles})  # of the rows of tiles
    ends = [top, *(edge for span in spans for edge in span), bottom]
    gaps = zip(ends[::2], ends[1::2], strict=True)
    strips = [(row, min(row + _STRIP, end)) for start, end in gaps for row in range(start, end, _STRIP)]
    for first, last in sorted([*spans, *strips]):
        out = np.empty((last - first, right - left, 3 if photo.alpha is None else 4), dtype)
        if photo.alpha is not None:
            out[..., 3] = rescale(photo.alpha[first:last, left:right], dtype)
        if dtype == photo.pixels.dtype:
            out[..., :3] = photo.pixels[first:last, left:right]
        else:
            out[..., :3] = quantize(photo.tensor((first, left, last, right)), dtype)
        for part, transforms in tiles:
            if part[0] == first:
                opacity = photo.opacity(part)
                tile = photo.tensor(part)[0] if opacity is None else torch.cat([photo.tensor(part)[0], opacity])
                _edit_tile(tile, part, photo, transforms, layer, color)
                out[:, part[1] - left : part[3] - left, : len(tile)] = quantize(tile, dtype)
        yield out


def _edit_tile(
    out: Tensor, part: Box, photo: Photo, transforms: Sequence[tuple[Evaluator, Box]], layer: Layer | None, color: float
) -> None:
    """Write the edited pixels of one tile into `out` (3, h, w), or (4, h, w) with alpha, which holds the originals.

    Where the photo is retouched, `color` times the layer is added to its own pixels before any of them is read.
    """
    top, left, bottom, right = part
    offsets = torch.zeros(5, bottom - top, right - left)
    cut = torch.zeros(bottom - top, right - left, dtype=torch.bool)
    for band in _bands(part):
        readings: list[tuple[Tensor, Reading]] = []
        for evaluator, box in transforms:
            if _overlap(band, box):
                y0, x0, y1, x1 = area = _intersection(band, box)
                place, reading = offsets[:, y0 - top : y1 - top, x0 - left : x1 - left], evaluator(*pixel_places(area))
                place[:2] += reading.shift
                readings.append((place, reading))
                if reading.cut is not None:
                    cut[y0 - top : y1 - top, x0 - left : x1 - left] |= reading.cut()
        for place, reading in readings:  # once all that moves is known
            place[2:] += reading.tint(place[:2])
    require(bool(torch.isfinite(offsets).all()), "an edit must move and tint by finite amounts; got NaN or infinity")
    shift, tint = offsets[:2], offsets[2:]
    fractions = read_fractions(cut, part, [evaluator for evaluator, _ in transforms])

    # The part of the photo read from: the tile and as far around it as anything moves, with the cubic's reach.
    moved = torch.cat([shift.flatten(1), *(each[:2] for each in fractions)], dim=1)
    x_reach, y_reach = (math.ceil(float(axis.abs().max())) + 2 for axis in moved)
    row, column = max(top - y_reach, 0), max(left - x_reach, 0)
    around = (row, column, min(bottom + y_reach, photo.height), min(right + x_reach, photo.width))
    source, opacity = photo.tensor(around)[0], photo.opacity(around)
    if layer is not None:
        source = add_layer(layer, source, row, column, color)
        out[:3] = source[:, top - row : bottom - row, left - column : right - column]
    if opacity is not None:  # colors count by how much is seen of them, so that nothing hidden is moved into view
        source = torch.cat([source.mul_(opacity), opacity])
    for y0, _, y1, _ in _bands(part):
        rows = slice(y0 - top, y1 - top)
        value = _sample(source, out[:, rows], shift[:, rows], y0 - row, left - column)
        value[:3] += tint[:, rows]
        out[:, rows] = value.clamp_(0, 1)
    if fractions:
        at = cut.nonzero() + torch.tensor([top - row, left - column])
        out[:, cut] = _average(source, out[:, cut], fractions, (at[:, 1], at[:, 0])).clamp_(0, 1)


def _average(source: Tensor, read: Tensor, fractions: Sequence[Tensor], origin: tuple[Tensor, Tensor]) -> Tensor:
    """Return pixels (3 or 4, N) by what their fractions show, each (5, N) from the columns and rows of `origin`."""
    seen = [sample(source, each[0], each[1], Interpolation.CATMULL_ROM, origin=origin) for each in fractions]
    value = torch.stack(seen).mean(0)
    value = value if len(value) == 3 else _divide_by_alpha(value, read[:3])
    value[:3] += torch.stack([each[2:] for each in fractions]).mean(0)
    return value[: len(read)]


def _sample(source: Tensor, still: Tensor, shift: Tensor, row: int, column: int) -> Tensor:
    """Read what `still` holds, (3 or 4, h, w), from `source`, from `row` and `column` on and shifted.

    `source` has three planes, or four: colors times alpha, and alpha. What does not move is `still`'s, bit for bit, and
    so is alpha where all around is opaque.
    """
    moved = (shift != 0).any(0)
    kept = moved.flatten().nonzero()[:, 0]
    everything = 2 * len(kept) > moved.numel()
    at = torch.arange(moved.numel()) if everything else kept
    width = moved.shape[1]
    origin = at % width + column, at // width + row
    value = still.flatten(1).clone()
    places = slice(None) if everything else kept
    dx, dy = shift.flatten(1)[:, places]
    read = sample(source, dx, dy, Interpolation.CATMULL_ROM, origin=origin)
    if len(read) == 4:
        read = _divide_by_alpha(read, value[:3, places])
    planes = min(len(read), len(value))
    if everything:
        value[:planes] = read[:planes].where(moved.flatten(), value[:planes])
    else:
        value[:planes, kept] = read[:planes]
    return value.reshape(still.shape)


def _divide_by_alpha(read: Tensor, hidden: Tensor) -> Tensor:
    """Divide colors (4, N) by their alpha; where that is 0 they are those of `hidden` (3, N)."""
    alpha = read[3:]
    whole = torch.where((alpha - 1).abs() < 1e-5, 1, alpha)  # rounding must not change what is opaque
    color = torch.where(alpha > 1 / 512, read[:3] / whole, hidden)
    return torch.cat([color, alpha])


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
