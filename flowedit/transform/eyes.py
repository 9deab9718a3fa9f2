"""Fields of the eyes among transforms: gathered from all of them and done before all else, by shares."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch

from flowedit.face.crop import crop_key
from flowedit.field.eyes import EyeField
from flowedit.transform.transforms import Composition, FieldTransform, Inverse, Transform, leaves, map_leaves


def moves_eyes(transforms: Sequence[Transform]) -> bool:
    """Return whether any of the transforms moves eyelids or irises."""
    return any(isinstance(leaf.field, EyeField) and leaf.strength != 0 for leaf in leaves(transforms))


def with_still_eyes(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Return transforms whose eyelids and irises stay as they are, and everything else as it is."""

    def still(leaf: FieldTransform) -> FieldTransform:
        return replace(leaf, strength=0.0) if isinstance(leaf.field, EyeField) else leaf

    return map_leaves(transforms, still)


def gather_eyes(transforms: Sequence[Transform], shape: float) -> tuple[list[FieldTransform], list[Transform]]:
    """Take the fields of the eyes out of transforms.

    A lid is closed by a share: from half the strength on by all of it, by twice the edit no further, and by a negative
    strength not at all, where twice a lid's offsets would draw skin over the cheek. An iris goes by a share of its way,
    where half of its offsets would be an iris drawn out. So shares add, of all that does the same with the same eyes
    under the same masks. What is undone leaves lids alone, since nothing shows what they hid.

    Args:
        transforms: which add.
        shape: scales their shifts.

    Returns:
        The fields of the eyes, at strength 1, and what is left of the transforms.
    """
    found: dict[Hashable, list[tuple[float, FieldTransform, EyeField]]] = {}

    def strip(transform: Transform, strength: float) -> list[Transform]:
        strength *= transform.strength
        if isinstance(transform, FieldTransform):
            field = transform.field
            if not isinstance(field, EyeField):
                return [transform]
            masks = transform.region, transform.protect, id(transform.hard_mask)
            key = field.KIND, crop_key(transform.crop), *masks
            found.setdefault(key, []).append((field.share(strength), transform, field))
            return []
        if not moves_eyes([transform]):
            return [transform]
        if isinstance(transform, Inverse):
            return [replace(transform, transforms=with_still_eyes(transform.transforms))]
        stages = [[part for each in stage for part in strip(each, strength)] for stage in transform.stages]
        left = [tuple(stage) for stage in stages if stage]
        if len(left) == 1:
            return [replace(part, strength=transform.strength * part.strength) for part in left[0]]
        return [Composition(tuple(left), transform.strength)] if left else []

    rest = [part for transform in transforms for part in strip(transform, shape)]
    eyes = []
    for same in found.values():
        amounts = sum((share * field.amounts.detach().cpu() for share, _, field in same), torch.zeros(3))
        _, leaf, field = same[0]
        field = field.with_amounts(amounts)
        if field.amounts.any():
            eyes.append(replace(leaf, field=field, strength=1.0))
    return eyes, rest
