"""The colors of a face's parts, and how much a color is like skin and unlike hair."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.face.regions import smoothstep

SURE = 0.7  # of a mask, from which on a place counts for its color
LEAST_WAY = 0.2  # image units in full light, between hair and skin that a color can be told by
SKINLIKE = (0.28, 0.66)  # of the way from the hair's color to the skin's, between which a color begins to be skin


def opponent_colors(image: Tensor) -> Tensor:
    """Turn (3, ...) sRGB into lightness, red against green and yellow against blue, about as CIELAB has them."""
    red, green, blue = image
    return torch.stack([100 * image.mean(0), 150 * (red - green), 75 * (red + green - 2 * blue)])


def typical_color(image: Tensor, mask: Tensor) -> Tensor:
    """Return the median color of a part, (3,) image units: of `image` (1, 3, n, n) where `mask` (n, n) is sure of it.

    Gray where it is sure of nothing.
    """
    sure = mask > SURE
    return image[0][:, sure].median(1).values if bool(sure.any()) else torch.full((3,), 0.5)


class Skinlike:
    """How much a color is like skin and unlike hair, by its place on the way from the one's color to the other's.

    Args:
        hair: (3,) its typical color, image units.
        skin: (3,) likewise.
        light: of the face. Where the two are hardly different in it, no color is like skin alone.
    """

    def __init__(self, hair: Tensor, skin: Tensor, light: float) -> None:
        self.hair, self.way = hair, skin - hair
        self.square = float(self.way.square().sum())
        self.clear = self.square**0.5 > LEAST_WAY * light

    def __call__(self, pixels: Tensor) -> Tensor:
        """Return it for pixels (3, N): (N,) in [0, 1]."""
        if not self.clear:
            return torch.zeros_like(pixels[0])
        return 1 - smoothstep(self.way_to(pixels), *SKINLIKE)

    def way_to(self, pixels: Tensor) -> Tensor:
        """Return how far pixels (3, N) are on the way, 0 at the hair's color and 1 at the skin's: (N,)."""
        return (self.way @ (pixels - self.hair[:, None])) / self.square
