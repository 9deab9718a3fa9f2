"""Closed eyelids among transforms: gathered from all of them and moved before all else, by shares of a closed eye."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch

from flowedit.face.crop import crop_key
from flowedit.field.lids import LidField
from flowedit.transform.transforms import Composition, FieldTransform, Inverse, Transform, leaves, map_leaves

WHOLE_FROM = 0.5  # strength from which lids are as far as they are to be: an eye that is nearly closed is neither


def moves_lids(transforms: Sequence[Transform]) -> bool:
    """Return whether any of the transforms moves eyelids."""
    return any(isinstance(leaf.field, LidField) and leaf.strength != 0 for leaf in leaves(transforms))


def with_still_lids(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Return transforms whose eyelids stay as they are, and everything else as it is."""

    def still(leaf: FieldTransform) -> FieldTransform:
        return replace(leaf, strength=0.0) if isinstance(leaf.field, LidField) else leaf

    return map_leaves(transforms, still)


def gather_lids(transforms: Sequence[Transform], shape: float) -> tuple[list[FieldTransform], list[Transform]]:
    """Take the eyelids out of transforms.

    A lid is closed by a share: from half the strength on by all of it, by twice the edit no further, and by a negative
    strength not at all, where twice a lid's offsets would draw skin over the cheek. So shares add, of all that moves
    the same lids under the same masks. What is undone leaves lids alone, since nothing shows what they hid.

    Args:
        transforms: which add.
        shape: scales their shifts.

    Returns:
        The lids that move, at strength 1, and what is left of the transforms.
    """
    found: dict[Hashable, list[tuple[float, FieldTransform, LidField]]] = {}

    def strip(transform: Transform, strength: float) -> list[Transform]:
        strength *= transform.strength
        if isinstance(transform, FieldTransform):
            if not isinstance(transform.field, LidField):
                return [transform]
            key = crop_key(transform.crop), transform.region, transform.protect, id(transform.hard_mask)
            share = max(-1.0, min(1.0, strength / WHOLE_FROM))
            found.setdefault(key, []).append((share, transform, transform.field))
            return []
        if not moves_lids([transform]):
            return [transform]
        if isinstance(transform, Inverse):
            return [replace(transform, transforms=with_still_lids(transform.transforms))]
        stages = [[part for each in stage for part in strip(each, strength)] for stage in transform.stages]
        left = [tuple(stage) for stage in stages if stage]
        if len(left) == 1:
            return [replace(part, strength=transform.strength * part.strength) for part in left[0]]
        return [Composition(tuple(left), transform.strength)] if left else []

    rest = [part for transform in transforms for part in strip(transform, shape)]
    lids = []
    for same in found.values():
        amounts = sum((share * field.amounts.detach().cpu() for share, _, field in same), torch.zeros(3))
        if (amounts > 0).any():
            _, leaf, field = same[0]
            lids.append(replace(leaf, field=field.with_amounts(amounts), strength=1.0))
    return lids, rest
