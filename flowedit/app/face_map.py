"""The face that is clicked on: its parts, told by place, and those that are kept or worked on, in color."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from flowedit.face.crop import Crop, extract
from flowedit.face.regions import region_mask
from flowedit.photo.photo import Photo, quantize

SIDE_PX = 448
ORDER = ("eyes", "brows", "mouth", "nose", "jaw", "skin")  # where parts overlap, the first is meant
KEPT, WORKED = (0.85, 0.25, 0.2), (0.15, 0.65, 0.35)
SHARE = 0.4  # of a color over a part


def find_part(crop: Crop, x: float, y: float) -> str | None:
    """Return the part of a face at a place of its crop, from 0 to 1 from left to right and down; None beside it."""
    if crop.landmarks is None or not (0 <= x < 1 and 0 <= y < 1):
        return None
    side = 128
    row, column = int(y * side), int(x * side)
    for name in ORDER:
        if float(region_mask(name, crop.landmarks, side)[0, 0, row, column]) > 0.5:
            return name
    return None


def draw_map(photo: Photo, crop: Crop, region: str | None, protect: Sequence[str]) -> np.ndarray:
    """Draw a face's crop: parts that keep their bits in red, the only one that may change in green.

    Args:
        photo: the original.
        crop: of the face.
        region: the only part that may change, or None.
        protect: the parts that are kept.

    Returns:
        (448, 448, 3) uint8.
    """
    image = extract(photo.over_white(), crop, SIDE_PX)
    if crop.landmarks is not None:
        for name, color in ((region, WORKED), *((name, KEPT) for name in protect)):
            if name is not None:
                image = _over(image, region_mask(name, crop.landmarks, SIDE_PX), color)
    return quantize(image, np.uint8)


def _over(image: Tensor, mask: Tensor, color: tuple[float, float, float]) -> Tensor:
    """Lay a color over the part of an image (1, 3, n, n) that a mask (1, 1, n, n) names."""
    paint = torch.tensor(color).reshape(1, 3, 1, 1)
    return image + SHARE * mask * (paint - image)
