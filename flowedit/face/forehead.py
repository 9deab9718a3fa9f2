"""The bare skin of a forehead that a mask of hair covers, told by growing from where it is surely skin."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.face.colors import LEAST_WAY, typical_color
from flowedit.face.guided import blur, sum_near
from flowedit.face.planes import grow_within
from flowedit.face.regions import smoothstep

ROUNDS = 4  # of telling the hair's color and then the forehead
BARE = 0.1  # of the mask, up to which a place of the forehead is surely skin
LOWEST = 0.2  # height above the eyes from which on it is sought, interocular distances
NEAR = 0.15  # deviation of the window in which the forehead's color is taken, interocular distances
FAR = 1.0  # as far as skin goes on within the mask, interocular distances
SKIN = (0.5, 0.75)  # of the way from the hair's color to the forehead's, between which a color begins to be skin
LESS_RED = (0.005, 0.02)  # red less green, as a share of the light: by so much less than skin a bright lock has
SOFT = 1.0  # deviation of its border, places of the mask
REDDER = (0.04, 0.08)  # than hair that skin must be, red less green as a share of the light, to be told by that
AS_RED = (0.6, 0.9)  # of the way from the hair's redness to the skin's, between which a color becomes skin
NOT_DARK = (0.3, 0.5)  # of the way from the hair's color, up to which it is hair nonetheless
BEGINS, GOES_ON = 0.5, 0.3  # likeness to skin of a place from which it grows, and of one that it grows through


def bare_forehead(image: Tensor, mask: Tensor, skin: Tensor, forehead: Tensor, interocular_px: float) -> Tensor:
    """Find the skin of the forehead under a mask of hair.

    A network that has learned where heads have their hair draws the hairline of combed-back hair, and of one that has
    gone back, too low. From what it leaves free the forehead is grown through places of the forehead's color there, up
    to FAR. Skin is told by its light, and a bright lock that hangs over it is less red; where hair is much less red
    than skin, gray or black, it is told by that as well, in shades too. Where both are of one color all is 0.

    Args:
        image: (3, n, n) in full light, in [0, 1].
        mask: (n, n) where hair was found, in [0, 1].
        skin: (n, n) 1 where the face's skin is.
        forehead: (n, n) 1 within the outline of the face, from LOWEST on.
        interocular_px: places of the mask.

    Returns:
        (n, n) in [0, 1].
    """
    typical = typical_color(image[None], skin)[:, None, None]
    sure, bare, redness = forehead * (mask < BARE), mask.new_zeros(mask.shape), _redness(image)
    for _ in range(ROUNDS):
        left = mask * (1 - bare)
        hair = typical_color(image[None], left)[:, None, None]
        seen = forehead * (left < BARE)
        light, near = sum_near(image, seen, NEAR * interocular_px)
        color = (light + 1e-3 * typical) / (near + 1e-3)
        way, redder = color - hair, _redness(color) - _redness(hair)
        place = ((image - hair) * way).sum(0) / way.square().sum(0).clamp_min(0.01)
        like = _from(AS_RED, (redness - _redness(hair)) / redder.clamp_min(0.01)) * _from(REDDER, redder)
        if float((typical - hair).norm()) > LEAST_WAY:
            by_light = _from(SKIN, place) * smoothstep(_redness(color) - redness, *LESS_RED)
            like = torch.maximum(like * _from(NOT_DARK, place), by_light)
        grown = grow_within(sure * (like > BEGINS), (like > GOES_ON).float(), round(FAR * interocular_px))
        bare = torch.maximum(bare, grown * like)
    return (2 * blur(bare[None], SOFT)[0] - 1).clamp(min=0)  # a rim of hair would be seen sooner than one of skin


def _redness(colors: Tensor) -> Tensor:
    """Return red less green of colors (3, ...), as a share of their light: (...)."""
    return (colors[0] - colors[1]) / colors.sum(0).clamp_min(0.05)


def _from(bounds: tuple[float, float], values: Tensor) -> Tensor:
    """Step smoothly from 0 up to the first bound to 1 from the second on."""
    return 1 - smoothstep(values, *bounds)
