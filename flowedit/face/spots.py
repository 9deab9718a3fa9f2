"""Spots on skin that a photo does not have: freckles and pimples, the same in every photo."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from flowedit.kernels import Interpolation, sample

TILE_PX, CELL = 512, 0.005  # side of the pattern, which repeats, and of its pixels in interocular distances
LEAST_PX = 0.5  # radius of the largest in the photo's pixels, up to which spots are averaged, and drawn from twice that
LONGER = 0.5  # of the radius, at most, by which a spot is longer than wide


class Spots(NamedTuple):
    """A pattern of soft round spots; set by eye.

    Attributes:
        number: in a tile.
        least, most: radius, interocular distances; most are small.
        faintest: strength of the faintest beside the strongest.
        seed: of where they are.
    """

    number: int
    least: float
    most: float
    faintest: float
    seed: int


SPOTTED = {"freckles": Spots(3000, 0.006, 0.015, 0.15, 1), "pimples": Spots(80, 0.012, 0.034, 0.4, 2)}


def spot_weight(part: str, x: Tensor, y: Tensor, interocular: float, side_px: float) -> Tensor:
    """Return how much of a spot lies at places of a crop, in [0, 1]: (N,).

    Args:
        part: of SPOTTED.
        x, y: (N,) crop coordinates.
        interocular: the face's interocular distance, crop coordinates.
        side_px: side of the crop in the photo's pixels.
    """
    tile, cell = _draw(part), CELL * interocular
    column, row = (torch.remainder(axis / cell, TILE_PX - 1) for axis in (x, y))
    seen = sample(tile, column, row, Interpolation.LINEAR)[0]
    share = min(1.0, max(0.0, SPOTTED[part].most * interocular * side_px / 2 / LEAST_PX - 1))
    return share * seen + (1 - share) * float(tile.mean())


@functools.cache
def _draw(part: str) -> Tensor:
    """Return a pattern, (1, TILE_PX, TILE_PX); its ends meet."""
    spots, generator = SPOTTED[part], torch.Generator().manual_seed(SPOTTED[part].seed)
    draw = torch.rand(spots.number, 6, generator=generator)
    period = TILE_PX - 1
    radii = (spots.least + (spots.most - spots.least) * draw[:, 2] ** 2) / CELL
    reach = int(2.5 * float(radii.max())) + 1
    offsets = torch.arange(-reach, reach + 1)
    dy, dx = torch.meshgrid(offsets, offsets, indexing="ij")
    tile = torch.zeros(TILE_PX, TILE_PX)
    for (u, v, _, strength, turn, squeeze), radius in zip(draw.tolist(), radii.tolist(), strict=True):
        column, row = round(u * period), round(v * period)
        along = dx * math.cos(math.pi * turn) + dy * math.sin(math.pi * turn)
        longer = 1 + LONGER * squeeze
        far = (dx**2 + dy**2 - along**2 + (along / longer) ** 2) / radius**2
        spot = (spots.faintest + (1 - spots.faintest) * strength**1.7) * torch.exp(-(far**1.5))  # flat-topped
        rows, columns = (row + dy) % period, (column + dx) % period
        tile[rows, columns] = torch.maximum(tile[rows, columns], spot)
    tile[-1], tile[:, -1] = tile[0], tile[:, 0]
    return tile[None]
