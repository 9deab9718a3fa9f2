"""The identity budget: the strength at which dlib still takes photo and edit for the same person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import image as images
from .align import descriptor, extract, landmarks
from .field import centres
from .image import Photo
from .render import Layer, render
from .warp import effective, warp, window

MEASURE_PX = 256  # side of the crop that dlib measures
BISECTIONS = 6
LESS = 2**-BISECTIONS  # of strength, at a time


class Strength(NamedTuple):
    """A chosen strength, the identity distance there (None if not measured), and the reason in words."""

    strength: float
    distance: float | None
    reason: str


def layer_weight(layer: Layer, side: int) -> Tensor:
    """Window, region and the user's mask over a layer's crop: (1, 1, side, side)."""
    weight = window(centres(side)).reshape(1, 1, side, side)
    if layer.mask is not None:
        weight = weight * F.interpolate(layer.mask, (side, side), mode="bilinear", align_corners=False)
    if layer.hard_mask is not None:
        over_photo = images.load(layer.hard_mask[:, :, None].repeat(3, axis=2))
        weight = weight * extract(over_photo, layer.crop, side)[:, :1]
    return weight


class CropEdit:
    """One layer on its own crop at a fixed size, for any strength: quick, whatever the photo's size."""

    def __init__(self, layer: Layer, photo: Photo, side: int) -> None:
        self.pixels = extract(photo, layer.crop, side)
        self._weight = layer_weight(layer, side)
        self._strength = layer.strength
        self._diffeomorphic = layer.field.diffeomorphic
        with torch.no_grad():
            self._raw = layer.field.lattice(side)

    @torch.no_grad()
    def at(self, strength: float) -> Tensor:
        """The edited crop (1, 3, side, side) in [0, 1], at so much of the layer's strength; 0 is the crop."""
        strength = strength * self._strength
        offsets = effective(self._raw, self._weight, shape=strength, color=strength, diffeomorphic=self._diffeomorphic)
        return warp(self.pixels, offsets).clamp(0, 1)


def choose_strength(layers: Sequence[Layer], photo: Photo, limit: float | None) -> Strength:
    """Find the largest strength up to 1 that keeps every face within the budget: by bisection on the crop, which is
    quick, and then on the picture as it is saved, a little less at a time.

    The distance is between dlib's 128-number descriptors of the crop before and after; each time the face
    is found and its landmarks are placed afresh.

    Args:
        layers: one for each face.
        photo: what they are over.
        limit: most that the descriptors may differ (Euclidean; dlib calls 0.6 another person); None is none.
    """
    if limit is None:
        return Strength(1.0, None, "no identity budget was set")
    if any(layer.crop.landmarks is None for layer in layers):
        return Strength(1.0, None, "identity not measured: no aligned face")
    pairs = []
    for layer in layers:
        crop = CropEdit(layer, photo, MEASURE_PX)
        before = _describe(crop.pixels)
        if before is None:
            return Strength(1.0, None, "identity not measured: dlib finds no face in the crop")
        pairs.append((crop, before))

    def distance(faces: Iterable[Tensor]) -> float:
        far = 0.0
        for face, (_, before) in zip(faces, pairs, strict=True):
            after = _describe(face)
            if after is None:  # a face that is no face any more has lost its identity
                return float("inf")
            far = max(far, float((after - before).norm()))
        return far

    def on_crops(strength: float) -> float:
        return distance(crop.at(strength) for crop, _ in pairs)

    def as_saved(strength: float) -> float:
        pixels = images.quantize(render(photo, layers, shape=strength, color=strength), np.uint8)
        return distance(extract(images.load(pixels), layer.crop, MEASURE_PX) for layer in layers)

    low = 1.0
    if on_crops(1.0) > limit:
        low, high = 0.0, 1.0
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            if on_crops(middle) <= limit:
                low = middle
            else:
                high = middle
    while (far := as_saved(low)) > limit and low > 0:  # dlib's landmarks jump by pixels, and the two differ
        low = max(0.0, low - LESS)
    if low == 1.0:
        return Strength(low, far, f"whole: identity distance {far:.2f} within {limit:g}")
    return Strength(low, far, f"held back: identity distance {far:.2f} of at most {limit:g}")


def _describe(face: Tensor) -> Tensor | None:
    points = landmarks(face)
    return None if points is None else descriptor(face, points)
