"""The light on a face that comes to smile or to be angry: folds and cheeks, which no movement of pixels draws."""

from __future__ import annotations

import copy
import functools
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from flowedit.face.landmarks import INNER, whole_movements
from flowedit.face.light import measure_skin
from flowedit.face.regions import region_mask
from flowedit.field.base import Field
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField, control_points
from flowedit.guide.clauses import list_attributes
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder
from flowedit.transform.transfer import OUTER, bend_grid
from flowedit.transform.transforms import FieldTransform

TABLE = Path(__file__).parent.parent / "weights" / "expressions" / "expressions.safetensors"
ALIKE = 0.6  # cosine with its change from which on a prompt asks for an expression
BENT = 24  # points along a side of the crop, of the map that it is bent by
NAMED = {"smile": "a smiling face", "anger": "an angry face"}
# Of its mean light a face takes on so much, once it has moved by as much of the mean movement: a mean of lines that lie
# elsewhere on each face is fainter than any of them, most of all of those between the brows.
FULL = {"smile": 0.6, "anger": 0.4}


class Expression(NamedTuple):
    """How faces with an expression differ from those without, in the mean.

    Attributes:
        landmarks: (68, 2) of the shape that both were bent to, crop coordinates.
        movement: (51, 2) of the landmarks INNER, crop coordinates.
        light: (S, S) logarithm of the ratio of their light, in their mean skin; 0 but on skin.
    """

    landmarks: Tensor
    movement: Tensor
    light: Tensor


@functools.cache
def read_expressions() -> dict[str, Expression]:
    """Return the expressions of NAMED, from the table that examples/expressions makes."""
    table = load_file(TABLE)
    return {
        name: Expression(table["landmarks"], table[f"{name}.movement"], table[f"{name}.light"].float())
        for name in NAMED
    }


def find_expressions(guide: Encoder, prompts: Mapping[str, float]) -> frozenset[str]:
    """Return which expressions of NAMED prompts ask for, or deny, in any words that the guide knows.

    None where it does not know the expressions themselves, or takes one for the other.
    """
    named, attributes = list(NAMED.values()), list(list_attributes(guide, prompts))
    if not all(map(guide.knows, named)):
        return frozenset()
    changes = F.normalize(embed_changes(guide, [*named, *attributes]), dim=1)
    alike = (changes[: len(named)] @ changes.T).abs()
    if alike[:, : len(named)].fill_diagonal_(0).max() > ALIKE:
        return frozenset()
    asked = (alike[:, len(named) :] > ALIKE).any(1).tolist()
    return frozenset(name for name, wanted in zip(NAMED, asked, strict=True) if wanted)


@torch.no_grad()
def measure_expressions(found: FieldTransform, names: Collection[str]) -> dict[str, float]:
    """Return how far a transform moves its face as expressions do, in shares of what lights it fully, from -1 to 1.

    The landmarks' movement is a sum of both expressions', of what moves, turns or scales the whole face, and of
    anything else, by least squares.

    Args:
        found: over a crop with landmarks, else nothing is measured.
        names: of the expressions that are wanted.
    """
    if not names or found.crop.landmarks is None:
        return {}
    points = found.crop.landmarks[INNER].detach().float().cpu()
    moved = -_shift(found.field, points)  # to first order
    movements = torch.stack([each.movement.flatten() for each in read_expressions().values()], 1)
    sums = torch.cat([movements, whole_movements(points)], 1)
    shares = torch.linalg.lstsq(sums.double(), moved.flatten()[:, None].double()).solution[:, 0].tolist()
    found_shares = zip(NAMED, shares, strict=False)
    return {name: max(-1.0, min(1.0, share / FULL[name])) for name, share in found_shares if name in names}


@torch.no_grad()
def shade(found: FieldTransform, pixels: Tensor, names: Collection[str], share: float = 1.0) -> FieldTransform:
    """Return what was found for a face with the light of expressions added to its tint; a neural field stays.

    It scales the photo's own light: the ratio of two pictures (Liu, Shan and Zhang 2001) becomes an offset, the same of
    red, green and blue. Ours is the ratio of means of many faces, and of the skin alone: lips, eyes and brows have
    light of their own.

    Args:
        found: over a crop with landmarks; another one stays.
        pixels: (1, 3, S, S) the crop.
        names: of the expressions that are asked for.
        share: of their light; -1 takes away what 1 has added.
    """
    amounts = measure_expressions(found, names)
    if not any(amounts.values()) or not isinstance(found.field, RasterField):
        return found
    assert found.crop.landmarks is not None  # something is measured
    field, landmarks = copy.deepcopy(found.field), found.crop.landmarks.detach().float().cpu()
    size = field.color_size
    light = torch.stack([amount * _light_of(name, landmarks, size) for name, amount in amounts.items()]).sum(0)
    own = F.adaptive_avg_pool2d(pixels[0].float().cpu().mean(0, keepdim=True), size)
    tint = share * light.expm1() * region_mask("skin", landmarks, size)[0] * own
    # A tint is added where a place has gone to, and the light there is that of where it came from.
    places = pixel_centers(size)
    came_from = places + _shift(field, places.reshape(-1, 2)).reshape(size, size, 2)
    moved = F.grid_sample(tint[None], came_from[None], mode="bicubic", align_corners=False)[0]
    field.color.add_(control_points(moved.double()).to(field.color))
    return replace(found, field=field, skin=measure_skin(pixels, landmarks) if share > 0 else None)


def _shift(field: Field, points: Tensor) -> Tensor:
    """Return how far from points (n, 2) on the CPU a field, wherever it is, reads: (n, 2)."""
    return field.at_points(points.to(next(field.parameters())))[0].float().cpu()


def _light_of(name: str, landmarks: Tensor, size: int) -> Tensor:
    """Return an expression's light, bent to a face's landmarks: (1, size, size)."""
    mean = read_expressions()[name]
    coarse, _ = bend_grid(landmarks[OUTER].double(), mean.landmarks[OUTER].double(), BENT)
    places = F.interpolate(coarse.float().permute(2, 0, 1)[None], (size, size), mode="bicubic", align_corners=False)
    return F.grid_sample(mean.light[None, None], places.permute(0, 2, 3, 1), mode="bicubic", align_corners=False)[0]
