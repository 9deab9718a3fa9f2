"""What retouches add to a photo's own pixels, before anything moves: photo x transforms -> a layer over the photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from flowedit.face.crop import Crop, crop_key, extract, widened
from flowedit.face.retouch import BoundRetouch, Retouch
from flowedit.field.warp import window
from flowedit.photo.kept import KeptWithPhoto
from flowedit.photo.photo import Photo
from flowedit.transform.evaluate import bind, bind_masks, find_shift, place_in_crop
from flowedit.transform.transforms import Composition, FieldTransform, Transform, leaves

UNDO_ROUNDS = 6  # of Newton's method, towards the light that was before
STEP = 1e-3  # image units, over which the slope of what is undone is taken
LEAST_SLOPE = 0.05
BAND_POINTS = 1 << 16  # handled at a time
KEPT = 2  # retouches of a photo whose filters are kept, some 5 MB each

_BOUND = KeptWithPhoto[BoundRetouch](KEPT)

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]  # pixels (3, N), x (N,), y (N,) in photo pixels -> (3, N)


def is_retouched(transforms: Sequence[Transform]) -> bool:
    """Return whether anything that transforms do depends on the photo's own light."""
    return any(_active(leaf) for leaf in leaves(transforms))


def reached(leaf: FieldTransform) -> Crop:
    """Return the square outside of which a leaf does nothing: its crop, or where it colors hair a wider one."""
    retouch = leaf.retouch
    return leaf.crop if retouch is None or not _active(leaf) else widened(leaf.crop, retouch.reach)


def bind_retouch(transforms: Sequence[Transform], photo: Photo) -> Layer | None:
    """Make what transforms add to a photo before they move it, at strength 1; None where that is nothing.

    The layers of all leaves are made of the photo as it is and add, those of a composition's stages too, each at the
    place it has in the photo. What undoes a retouch solves for the light that was before.
    """
    layers = [layer for transform in transforms if (layer := _bind(transform, photo)) is not None]
    if not layers:
        return None

    def total(pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return torch.stack([layer(pixels, x, y) for layer in layers]).sum(0)

    return total


def bind_once(retouch: Retouch, crop: Crop, photo: Photo) -> BoundRetouch:
    """Return `Retouch.bind` over a photo, whose filters are the same whatever the amounts; the last few are kept."""
    key = (id(retouch), *crop_key(crop))  # what is kept holds its retouch, so no other has the same
    return _BOUND.get(photo, key, lambda: retouch.bind(crop, partial(extract, photo)))


def _active(leaf: FieldTransform) -> bool:
    return leaf.retouch is not None and bool(leaf.retouch.amounts.detach().any())


def _bind(transform: Transform, photo: Photo) -> Layer | None:
    if transform.strength == 0 or not is_retouched([transform]):
        return None
    if isinstance(transform, FieldTransform):
        return _leaf_layer(transform, photo)
    if isinstance(transform, Composition):
        inner = bind_retouch([one for stage in transform.stages for one in stage], photo)
        strength = transform.strength
        return None if inner is None else lambda pixels, x, y: strength * inner(pixels, x, y)
    return _undone(transform.transforms, transform.strength, photo)


def _leaf_layer(leaf: FieldTransform, photo: Photo) -> Layer:
    assert leaf.retouch is not None  # it is active
    reach, strength = leaf.retouch.reach, leaf.strength
    bound = bind_once(leaf.retouch, leaf.crop, photo)
    masked = bind_masks(leaf)

    def layer(pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
        at_x, at_y = place_in_crop(leaf.crop, x, y)
        weight = masked(strength * window(torch.stack([at_x, at_y], -1) / reach), at_x, at_y, x, y)
        total = torch.zeros_like(pixels)
        places = (weight != 0).nonzero()[:, 0]
        if len(places):
            added = bound.offsets(pixels[:, places], at_x[places], at_y[places])
            total[:, places] = weight[places] * added
        return total

    return layer


def _undone(transforms: Sequence[Transform], strength: float, photo: Photo) -> Layer | None:
    """Make what gives the light back that transforms have changed: the photo is the one they made."""
    done, moved = bind_retouch(transforms, photo), bind(transforms)
    if done is None:
        return None

    def layer(pixels: Tensor, x: Tensor, y: Tensor) -> Tensor:
        shift = find_shift(moved, x, y).double()  # what is at p has come from p + shift, where it was retouched
        at_x, at_y, before = x + shift[0], y + shift[1], pixels
        for _ in range(UNDO_ROUNDS):
            value = before + done(before, at_x, at_y)
            slope = 1 + (done(before + STEP, at_x, at_y) - done(before, at_x, at_y)) / STEP
            before = (before - (value - pixels) / slope.clamp_min(LEAST_SLOPE)).clamp(0, 1)
        return strength * (before - pixels)

    return layer


def add_layer(layer: Layer, pixels: Tensor, top: int, left: int, color: float) -> Tensor:
    """Return a part of a photo, (3, h, w) from a row and a column on, with `color` times a layer."""
    height, width = pixels.shape[1:]
    y, x = torch.arange(height).double() + (top + 0.5), torch.arange(width).double() + (left + 0.5)
    rows = max(1, BAND_POINTS // width)
    out = pixels.clone()
    for start in range(0, height, rows):
        band = pixels[:, start : start + rows]
        n = band.shape[1]
        at_y, at_x = torch.meshgrid(y[start : start + n], x, indexing="ij")
        out[:, start : start + n] += color * layer(band.flatten(1), at_x.flatten(), at_y.flatten()).reshape(band.shape)
    return out
