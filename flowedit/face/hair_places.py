"""Where hair is to be expected about a face, and what is none, before a color is looked at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import Group, number
from flowedit.face.landmarks import (
    BOTH_BROWS,
    BROWS,
    EYES,
    LOWER_LIP,
    MOUTH_CORNERS,
    OUTER_CANTHI,
    eye_centers,
    mouth_center,
)
from flowedit.face.landmarks import interocular_distance as interocular
from flowedit.face.regions import face_outline, outline_distance, smoothstep
from flowedit.field.offsets import pixel_centers

HAIR_PX = 128  # side of the square in which hair is found


@dataclass(frozen=True)
class HairShapes(Group):
    """Where hair is to be expected, and what is none; set by eye. Lengths in interocular distances."""

    forehead: float = number(1.0, least=0, most=10)
    """Height of the face's outline above the eyes, in distances from mouth to eyes: about the hairline."""
    near: tuple[float, float] = (0.35, 1.5)
    """Outside the outline above the eyes, to where hair is likely, and from where on it is not."""
    beside: tuple[float, float] = (0.30, 1.0)
    """The same below the eyes."""
    length: tuple[float, float] = (2.2, 3.6)
    """Below the eyes, to where hair beside the neck is let be, and from where on it is not."""
    hairline: tuple[float, float] = (0.20, 0.55)
    """Outside the outline, to where and from where on what looks like the face's skin may be hair."""
    crown: float = number(0.7, above=0, most=10)
    """Width of the ring about the upper face in which a head shows hair, above a high forehead too."""
    least: float = number(0.12, least=0, most=1)
    """Share of that ring that the network must take for hair: less is a bald or a covered head."""
    hangs: float = number(-0.9, least=-10, most=10)
    """Height over the eyes that hair reaches somewhere: what does not is a collar."""
    surely: tuple[float, float] = (0.80, 0.95)
    """Probability from which on, and from which on wholly, a place is hair whatever its color."""
    perhaps: tuple[float, float] = (0.05, 0.20)
    """Probability up to which a place is none whatever its color, and from which on its color counts wholly."""
    brows: float = number(0.12, least=0, most=10)
    """Around a brow, within which a place is no hair of the head unless that hangs over it."""
    soft: float = number(0.07, above=0, most=1)
    """Deviation of the windows in which the border is found anew in the photo's own colors."""
    edge: float = number(0.05, above=0, most=1)
    """Deviation of a color, image units in full light, that counts as even there."""


def draw_hair_places(p: Tensor, unit: float, reach: float, s: HairShapes) -> dict[str, Tensor]:
    """Draw where things are about a face: height above the eyes, distance from its outline, and a few regions."""
    left, right = eye_centers(p)
    eyes, up = (left + right) / 2, (left + right) / 2 - mouth_center(p)
    upward = F.normalize(up, dim=0)
    grid = reach * pixel_centers(HAIR_PX, dtype=torch.float64)
    to = (grid - eyes) / unit
    height = to @ upward
    across = to[..., 0] * -upward[1] + to[..., 1] * upward[0]
    distance = outline_distance(grid, face_outline(p, s.forehead * up), True) / unit
    brows = float((((p[BOTH_BROWS] - eyes) / unit) @ upward).max())
    (outer_left, outer_right), (corner_left, corner_right) = OUTER_CANTHI, MOUTH_CORNERS
    triangle = outline_distance(grid, p[[outer_left, outer_right, corner_right, LOWER_LIP[1], corner_left]], True) < 0
    forehead = (distance < -0.1) & (height > brows + 0.05) & (height < brows + 0.35)
    above = smoothstep(-height, -0.7, -0.3)
    return {
        "height": height.float(),
        "across": across.float(),
        "distance": distance.float(),
        "skin": (triangle & (height < -0.2)).float(),
        "forehead": forehead.float(),
        "plain": ((distance < 0.05) & ((height < -0.2) | forehead)).float(),
        "above": above.float(),
        "brows": (_distance_to(grid, p, BROWS, False) / unit < s.brows).float(),
        # No brows, no beard: within the outline hair hangs from above only, or at the temples.
        "allowed": (
            torch.maximum(smoothstep(-distance, -0.06, 0.10), smoothstep(-height, -brows + 0.1, -brows + 0.4))
            * _no_eyes(grid, p, unit)
            * smoothstep(-height, *s.length)
        ).float(),
    }


def upper_ring(place: dict[str, Tensor], begin: float, width: float) -> Tensor:
    """Return a ring about the upper face, from so far outside its outline on: (n, n)."""
    return place["above"] * ((place["distance"] > begin) & (place["distance"] < begin + width))


def _no_eyes(grid: Tensor, p: Tensor, unit: float) -> Tensor:
    """Return 0 at the eyes, which a fringe may touch, and 1 around them."""
    return 1 - smoothstep(_distance_to(grid, p, EYES, True) / unit, 0.05, 0.15)


def _distance_to(grid: Tensor, p: Tensor, lines: Iterable[slice], closed: bool) -> Tensor:
    """Return how far places are from the nearest of some lines of landmarks, less than 0 within closed ones."""
    return torch.stack([outline_distance(grid, p[line], closed) for line in lines]).amin(0)


def expect_hair(place: dict[str, Tensor], inside: Tensor, s: HairShapes) -> Tensor:
    """Return how much hair, skin and the rest are to be expected at each place: (3, n, n), without the colors."""
    height, distance, across = place["height"], place["distance"], place["across"]
    near = torch.where(height > 0, smoothstep(distance, *s.near), smoothstep(distance, *s.beside))
    above, beside = smoothstep(-height, -0.3, 0.6), smoothstep(-height, *s.length)
    outside = smoothstep(-distance, -0.1, 0.05)
    hair = outside * (0.02 + 0.9 * near * (0.35 + 0.65 * above) * beside) + (1 - outside) * 0.15 * place["allowed"]
    under = smoothstep(height, -1.6, -1.2) * smoothstep(across.abs(), 0.9, 1.5)  # neck
    ears = smoothstep(height.abs(), 0.6, 1.0) * smoothstep(distance, 0.2, 0.5)
    skin = (1 - outside) * 0.9 + outside * (0.15 * near + 0.6 * torch.maximum(under, ears))
    rest = outside * (0.1 + 0.8 * (1 - near)) + 0.02
    total = torch.stack([hair, skin, rest])
    return total / total.sum(0)


def hairline_zone(landmarks: Tensor, size: int, reach: float, shapes: HairShapes | None = None) -> Tensor:
    """Return where hair meets the skin of the face: (size, size) over the square `reach` times the crop, in [0, 1]."""
    s, p = shapes or HairShapes(), landmarks.double()
    up = eye_centers(p)[0].lerp(eye_centers(p)[1], 0.5) - mouth_center(p)
    away = outline_distance(reach * pixel_centers(size, dtype=torch.float64), face_outline(p, s.forehead * up), True)
    return smoothstep(away / float(interocular(p)), *s.hairline).float()
