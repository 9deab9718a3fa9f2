"""A higher or lower forehead, which no guide was taught: the hairline moves as far as words say, and the brows stay."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor

from flowedit.face.landmarks import BOTH_BROWS, outer_canthal_distance
from flowedit.face.regions import smoothstep
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.guide.part_looks import Look
from flowedit.transform.transforms import FieldTransform

HAIRLINE = "hairline"  # its name in the table of what words say
RAISED = 0.12  # outer-canthal distances, by which it goes up at an amount of 1, before the field's bound
# Above the brows, outer-canthal distances: from where to where the movement sets in, and where it ends above the hair.
SKIN, HAIR = (0.08, 0.5), (0.85, 1.35)
ASIDE = (0.6, 1.1)  # from the face's middle, likewise


def pop_hairline(looks: dict[str, Look]) -> float:
    """Take what words say of the hairline out of looks: 1 for a high forehead, -1 for a low one, 0 for nothing."""
    look = looks.pop(HAIRLINE, None)
    return 0.0 if look is None else max(-1.5, min(1.5, look.gains[0]))


@torch.no_grad()
def raise_hairline(found: FieldTransform, amount: float) -> FieldTransform:
    """Return what was found for a face with its hairline raised or lowered; a neural field stays.

    Args:
        found: over a crop with landmarks; another one stays.
        amount: see `pop_hairline`.
    """
    landmarks = found.crop.landmarks
    if not amount or landmarks is None or not isinstance(found.field, RasterField):
        return found
    field, points = copy.deepcopy(found.field), landmarks.detach().float().cpu()
    unit = float(outer_canthal_distance(points[None]))
    x, y = ((pixel_centers(field.coord_size) - _above_nose(points)) / unit).unbind(-1)
    up, aside = -y, x.abs()
    moved = (1 - smoothstep(up, *SKIN)) * smoothstep(up, *HAIR) * smoothstep(aside, *ASIDE)
    field.coord[1].add_((amount * RAISED * unit * moved).to(field.coord))  # what is read from below goes up
    return replace(found, field=field)


def _above_nose(points: Tensor) -> Tensor:
    """Return the middle between the brows' upper edges, (2,)."""
    brows = points[BOTH_BROWS]
    return torch.stack([brows[:, 0].mean(), brows[:, 1].amin()])
