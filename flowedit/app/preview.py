"""The picture on the page, drawn anew at each move of a slider: offsets are found once, then weighed and added."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.app.recipe import Recipe, combine, draw_region, restrict, sample_over, weigh_parts
from flowedit.face.crop import average_cells, crop_key
from flowedit.isolation import isolated
from flowedit.kernels import warp_pixels
from flowedit.photo.photo import Photo, quantize
from flowedit.photo.png import quick_png
from flowedit.transform.evaluate import Reading, bind, pixel_places
from flowedit.transform.render import EditedPhoto
from flowedit.transform.retouching import is_retouched
from flowedit.transform.transfer import resize
from flowedit.transform.transforms import Box, FieldTransform, bounding_box

if TYPE_CHECKING:
    from flowedit.edit import Edit

SHOWN_PX = 1024  # longest side of a picture on the page
MOST_MASKS = 24  # drawn, which are kept
MOST_LAYERS = 8  # of one edit, which take up to 50 MB each


@dataclass(frozen=True, eq=False)
class _Layer:
    """A field's offsets over a box of the shown photo, at full strength and without masks.

    Attributes:
        leaf: the field, placed in the shown photo.
        box: where its crop lies.
        reading: what it does at every pixel there.
    """

    leaf: FieldTransform
    box: Box
    reading: Reading


class Preview:
    """A photo as the page shows it, at most 1024 pixels along a side, and edits of it.

    A sum of edits is drawn from their offsets at every pixel, which are kept; edits in turn, or that are velocities, by
    the way that saves a picture. Both give what that gives on the shown photo, up to rounding.

    Args:
        photo: the original.
    """

    def __init__(self, photo: Photo) -> None:
        self.photo = shrink(photo, SHOWN_PX)
        self._layers: dict[int, tuple[Edit, list[_Layer] | None]] = {}  # by the edit's number
        self._masks: dict[object, Tensor] = {}
        self._lock = threading.RLock()

    def png(self, pixels: np.ndarray | None = None) -> bytes:
        """Return pixels of the shown photo's size, or its own, as a PNG with its color profile."""
        return quick_png(self.photo.pixels if pixels is None else pixels, self.photo.metadata)

    @isolated()
    def draw(self, recipe: Recipe, edits: Mapping[int, Edit]) -> np.ndarray:
        """Draw a recipe: (h, w, 3) uint8; at strength 0 the shown photo's own array."""
        entries = recipe.weighed
        if not entries or recipe.strength == 0 or recipe.shape == recipe.color == 0:
            return self.photo.pixels
        with self._lock, torch.no_grad():
            self._forget({entry.key for entry in recipe.entries})
            layers: list[tuple[float, _Layer]] = []
            for entry in entries:
                own = None if recipe.in_turn and len(entries) > 1 else self._find(entry.key, edits[entry.key])
                if own is None:
                    return self._draw_slowly(recipe, edits)
                layers += [(entry.weight * edits[entry.key].strength, layer) for layer in own]
            return self._draw(recipe, layers)

    def _draw(self, recipe: Recipe, layers: Sequence[tuple[float, _Layer]]) -> np.ndarray:
        height, width = self.photo.height, self.photo.width
        box = bounding_box([layer.leaf.crop for _, layer in layers], height, width)
        total = torch.zeros(5, box[2] - box[0], box[3] - box[1])
        places: list[tuple[_Layer, Tensor, Tensor | float]] = []
        for amount, layer in layers:
            top, left, bottom, right = layer.box
            place = total[:, top - box[0] : bottom - box[0], left - box[1] : right - box[1]]
            mask, strength = self._mask(recipe, layer), recipe.strength * amount * layer.leaf.strength
            places.append((layer, place, strength if mask is None else strength * mask))
        for layer, place, share in places:
            place[:2] += recipe.shape * share * layer.reading.shift
        for layer, place, share in places:
            place[2:] += recipe.color * share * layer.reading.tint(place[:2])
        pixels = self.photo.pixels.copy()
        if total.numel():
            patch = warp_pixels(torch.from_numpy(self.photo.pixels), total, box, 1)
            pixels[box[0] : box[2], box[1] : box[3]] = patch.numpy()
        return pixels

    def _draw_slowly(self, recipe: Recipe, edits: Mapping[int, Edit]) -> np.ndarray:
        whole = combine(recipe, edits)
        assert whole is not None  # it has entries
        size = [whole.edited.original.width, whole.edited.original.height]
        shown = EditedPhoto(self.photo, resize(whole.transforms, size, self.photo))
        return shown.at(recipe.strength * whole.strength, shape=recipe.shape, color=recipe.color).pixels()

    def _find(self, key: int, edit: Edit) -> list[_Layer] | None:
        """Return an edit's layers, found once; None where it does not consist of such."""
        known = self._layers.get(key)
        if known is None or known[0] is not edit:  # refined since
            known = self._layers[key] = (edit, self._make(edit))
        return known[1]

    def _make(self, edit: Edit) -> list[_Layer] | None:
        photo = edit.edited.original
        layers: list[_Layer] = []
        if len(edit.transforms) > MOST_LAYERS or is_retouched(edit.transforms):  # whose light is the photo's own
            return None
        for leaf in resize(edit.transforms, [photo.width, photo.height], self.photo):
            if not isinstance(leaf, FieldTransform) or leaf.field.diffeomorphic:
                return None
            box = bounding_box([leaf.crop], self.photo.height, self.photo.width)
            bare = replace(leaf, strength=1.0, mask=None, region=None, protect=())
            ((evaluator, _),) = bind([bare])
            layers.append(_Layer(leaf, box, evaluator(*pixel_places(box))))
        return layers

    def _mask(self, recipe: Recipe, layer: _Layer) -> Tensor | None:
        """Return how much of a layer each pixel of its box takes, (h, w); None where it is all."""
        leaf, crop = layer.leaf, layer.leaf.crop
        if crop.landmarks is None:
            return None
        mask = None
        placed = restrict(leaf, recipe.region, recipe.protect) if recipe.region or recipe.protect else leaf
        if placed.mask is not None:
            key = (crop_key(crop), placed.region, placed.protect)
            mask = self._kept(key, partial(sample_over, placed.mask, crop, layer.box))
        if recipe.shares:
            regions = {
                name: self._kept((crop_key(crop), name), partial(draw_region, name, crop, layer.box))
                for name in recipe.shares
            }
            weights, most = weigh_parts(recipe.shares, regions)
            mask = most * weights if mask is None else most * weights * mask
        return mask

    def _kept(self, key: object, make: Callable[[], Tensor]) -> Tensor:
        if key not in self._masks:
            if len(self._masks) >= MOST_MASKS:
                self._masks.clear()
            self._masks[key] = make()
        return self._masks[key]

    def _forget(self, keys: set[int]) -> None:
        for key in [key for key in self._layers if key not in keys]:
            del self._layers[key]


def shrink(photo: Photo, most_px: int) -> Photo:
    """Return a photo in 8 bits, over white, with its longest side at most `most_px`; one that is so already, itself."""
    photo = photo.over_white()
    scale = most_px / max(photo.height, photo.width)
    if scale >= 1:
        same = photo.pixels.dtype == np.uint8
        return photo if same else replace(photo, pixels=quantize(photo.tensor(), np.uint8))
    size = max(1, round(photo.height * scale)), max(1, round(photo.width * scale))
    step = max(1, min(photo.height // size[0], photo.width // size[1]))
    image = average_cells(photo, (0, 0, photo.height, photo.width), step)
    image = F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
    return replace(photo, pixels=quantize(image, np.uint8), path=None)
