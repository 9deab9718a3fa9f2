"""What the app's list and sliders stand for, as a value; and the one edit that it amounts to."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import as_number, require
from flowedit.face.crop import Crop, crop_key
from flowedit.face.regions import MASK_PX, REGIONS, mask_regions, region_mask
from flowedit.field.base import Field
from flowedit.transform.transforms import Box, FieldTransform, Transform, map_leaves

if TYPE_CHECKING:
    from flowedit.edit import Edit

MOST_SHARE = 2.0  # of strength, movement, color, a weight, a part


@dataclass(frozen=True)
class Entry:
    """A line of the list: the number of an edit, and how much of it is done, 1 being as it was found."""

    key: int
    weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """What is done to a photo.

    Attributes:
        entries: edits of the photo, from top to bottom.
        strength: scales all of it; 0 is the photo.
        shape: scales the movement, on top.
        color: scales the tint, on top.
        parts: region of the face -> how much of the edit it takes, at least 0; 1 where it is not named.
        region: the only part that may change, or None.
        protect: parts that keep their bits.
        in_turn: each entry works on what those above have made; else their offsets add.
    """

    entries: tuple[Entry, ...] = ()
    strength: float = 1.0
    shape: float = 1.0
    color: float = 1.0
    parts: Mapping[str, float] = field(default_factory=dict)
    region: str | None = None
    protect: tuple[str, ...] = ()
    in_turn: bool = False

    @property
    def weighed(self) -> list[Entry]:
        """The entries that do anything."""
        return [entry for entry in self.entries if entry.weight != 0]

    @property
    def shares(self) -> dict[str, float]:
        """The parts that do not take the whole edit as it is."""
        return {name: share for name, share in self.parts.items() if share != 1}


def check_share(name: str, value: object) -> float:
    """Return a number that a slider may have; ValueError for anything else."""
    share = as_number(value)
    good = share is not None and 0 <= share <= MOST_SHARE
    require(good, f"{name} must be from 0 to {MOST_SHARE:g}; got {value!r:.20}")
    assert share is not None  # for the type checker
    return float(share)


def combine(recipe: Recipe, edits: Mapping[int, Edit]) -> Edit | None:
    """Return the edit that a recipe amounts to at full strength; None where its list is empty.

    Args:
        recipe: its strength, shape and color are left to whoever draws the edit.
        edits: of one photo, by the numbers of the entries.

    Raises:
        ValueError: an edit is of one part of the face, and the recipe of another.
    """
    weighed = [entry.weight * edits[entry.key] for entry in recipe.weighed]
    if not weighed:
        return None
    if recipe.in_turn:
        whole = functools.reduce(lambda before, after: after @ before, weighed)
    else:
        whole = functools.reduce(operator.add, weighed)
    if recipe.region is None and not recipe.protect and not recipe.shares:
        return whole
    photo = whole.edited.original
    drawn: dict[object, tuple[np.ndarray, float]] = {}  # one for each crop, which an edit file keeps once

    def mask(leaf: FieldTransform) -> FieldTransform:
        leaf = restrict(leaf, recipe.region, recipe.protect)
        if not recipe.shares or leaf.crop.landmarks is None:
            return leaf
        key = crop_key(leaf.crop), None if leaf.hard_mask is None else id(leaf.hard_mask)
        if key not in drawn:
            top, left, bottom, right = box = leaf.crop.box(photo.height, photo.width)
            regions = {name: draw_region(name, leaf.crop, box) for name in recipe.shares}
            weights, most = weigh_parts(recipe.shares, regions)
            over = np.ones((photo.height, photo.width), np.float32) if leaf.hard_mask is None else leaf.hard_mask.copy()
            over[top:bottom, left:right] *= weights.numpy()
            drawn[key] = (np.rint(over * 255) / 255).astype(np.float32), most  # as an edit file keeps it
        hard, most = drawn[key]
        return replace(leaf, hard_mask=hard, strength=most * leaf.strength)

    facts = whole.facts.unmeasured()
    return replace(whole, transforms=map_leaves(whole.transforms, mask), facts=facts)


def restrict(leaf: FieldTransform, region: str | None, protect: tuple[str, ...]) -> FieldTransform:
    """Let a transform change one part of the face only, and not others, on top of what it leaves alone already.

    Raises:
        ValueError: it is of another part already.
    """
    agree = leaf.region is None or region in (None, leaf.region)
    require(agree, f"this edit changes the {leaf.region} only, and so cannot be kept to the {region}")
    region, protect = leaf.region or region, tuple(dict.fromkeys((*leaf.protect, *protect)))
    if leaf.crop.landmarks is None:
        return leaf
    mask = mask_regions(region, protect, leaf.crop.landmarks)
    return replace(leaf, mask=mask, region=region, protect=protect)


def unrestricted(edit: Edit) -> Edit:
    """Return an edit without the parts that it was kept to, or off, while it was found: a recipe has them."""
    transforms = map_leaves(edit.transforms, lambda leaf: replace(leaf, mask=None, region=None, protect=()))
    return replace(edit, transforms=transforms)


def weigh_parts(shares: Mapping[str, float], regions: Mapping[str, Tensor]) -> tuple[Tensor, float]:
    """Weigh the places of a face by its parts, as an edit file keeps it.

    Args:
        shares: region -> how much of the edit it takes, at least 0; at least one.
        regions: their masks, (h, w) in [0, 1].

    Returns:
        (h, w) in [0, 1], in steps of 1/255, and what they are to be multiplied by.
    """
    for name, share in shares.items():
        require(name in REGIONS and share >= 0, f"a part must be of {', '.join(REGIONS)}, at least 0; got {name}")
    weights = (1 + (share - 1) * regions[name] for name, share in shares.items())
    total = functools.reduce(operator.mul, weights)
    most = max(1.0, float(total.max())) if total.numel() else 1.0
    return (total * (255 / most)).round() / 255, most


def draw_region(name: str, crop: Crop, box: Box) -> Tensor:
    """Draw a part of a crop's face over the pixels of a photo's box: (h, w) in [0, 1]."""
    assert crop.landmarks is not None  # for the type checker
    return sample_over(region_mask(name, crop.landmarks, MASK_PX), crop, box)


def sample_over(weights: Tensor, crop: Crop, box: Box) -> Tensor:
    """Read weights (1, 1, n, n) over a crop at the pixels of a photo's box: (h, w); the outermost repeat."""
    top, left, bottom, right = box
    y, x = torch.arange(top, bottom) + 0.5, torch.arange(left, right) + 0.5
    points = crop.to_crop(torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)).float()[None]
    return F.grid_sample(weights, points, padding_mode="border", align_corners=False)[0, 0]


def bake(edit: Edit, recipe: Recipe) -> Edit:
    """Return an edit with a recipe's strength, shape and color in its own transforms, as an edit file keeps them.

    Args:
        edit: as of `combine`.
        recipe: the same.

    Raises:
        ValueError: shape and color differ, and a transform has both in one: a neural field, or edits done in turn.
    """
    strength, shape, color = recipe.strength, recipe.shape, recipe.color
    if shape == color:
        return (strength * shape) * edit if strength * shape != 1 else edit
    transforms: list[Transform] = []
    for transform in edit.transforms:
        groups = transform.field.param_groups() if isinstance(transform, FieldTransform) else {"network": []}
        require("network" not in groups, "movement and color must be as strong as each other in this edit's file")
        assert isinstance(transform, FieldTransform)  # for the type checker
        for scale, emptied in ((shape, "color"), (color, "coord")):
            if scale != 0:
                kept = transform if emptied == "coord" else replace(transform, part_tint=None, retouch=None)
                half = replace(kept, field=_without(transform, emptied), strength=scale * transform.strength)
                transforms.append(half)
    whole = replace(edit, transforms=tuple(transforms), facts=edit.facts.unmeasured())
    return strength * whole if strength != 1 else whole


@torch.no_grad()
def _without(transform: FieldTransform, kind: str) -> Field:
    """Return a copy of a transform's field without its movement ("coord") or its tint ("color")."""
    field = copy.deepcopy(transform.field)
    for parameter in field.param_groups()[kind]:
        parameter.zero_()
    return field
