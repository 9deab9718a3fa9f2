"""A photo as it is, turned by quarters, and by eighths: faces are known upright."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.crop import Crop, average_cells, extract
from flowedit.photo.photo import Photo, quantize

DETECT_PX = 800  # faces are searched on a copy with this longest side: quick, and large faces stay detectable


class TurnedPhoto(NamedTuple):
    """A photo turned by so many degrees, as (H, W, 3) uint8, and what carries its pixels back to the photo's."""

    degrees: float
    picture: np.ndarray
    back: Callable[[Tensor], Tensor]


def turned_photos(photo: Photo) -> tuple[Iterator[TurnedPhoto], ...]:
    """Return a photo as it is, turned by quarters, and by what lies between, each made when it is asked for."""
    height, width = photo.height, photo.width
    scale = min(1.0, DETECT_PX / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    scale_xy = torch.tensor([width / size[1], height / size[0]], dtype=torch.float32, device="cpu")
    picture = _bytes(_shrunk(photo, size))

    def quarter(turn: int) -> TurnedPhoto:
        back = partial(_turn_back, quarters=turn, size=size)
        return TurnedPhoto(90.0 * turn, np.rot90(picture, turn).copy(), lambda points: back(points) * scale_xy)

    def between(turn: float) -> TurnedPhoto:
        half, angle = math.hypot(height, width) / 2, math.pi / 2 * turn
        c, s = half * math.cos(angle), half * math.sin(angle)
        matrix = torch.tensor([[c, -s, width / 2], [s, c, height / 2]], dtype=torch.float64, device="cpu")
        crop, side = Crop(matrix), min(DETECT_PX, round(2 * half * scale))
        turned = _bytes(extract(photo, crop, side))
        return TurnedPhoto(90.0 * turn, turned, lambda points: crop.to_photo(points.double() * 2 / side - 1).float())

    return map(quarter, (0,)), map(quarter, (1, 2, 3)), map(between, (0.5, 3.5, 1.5, 2.5))


def _turn_back(points: Tensor, quarters: int, size: tuple[int, int]) -> Tensor:
    """Carry (n, 2) points of a picture that numpy.rot90 has turned to the one before, of (height, width) `size`."""
    height, width = size
    x, y = points.unbind(-1)
    turns = {0: (x, y), 1: (width - y, x), 2: (width - x, height - y), 3: (y, height - x)}
    return torch.stack(turns[quarters], -1)


def _bytes(image: Tensor) -> np.ndarray:
    """Turn a (1, 3, H, W) image into what dlib reads: contiguous (H, W, 3) uint8."""
    return np.ascontiguousarray(quantize(image, np.uint8))


def _shrunk(photo: Photo, size: tuple[int, int]) -> Tensor:
    """Shrink a photo to (height, width): (1, 3, height, width)."""
    step = max(1, min(photo.height // size[0], photo.width // size[1]))
    image = average_cells(photo, (0, 0, photo.height, photo.width), step)
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)
