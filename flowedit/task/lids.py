"""Eyelids, moved before all else: by a prompt's words, or by the edit that a task starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from flowedit.edit import Edit
from flowedit.face.crop import crop_key
from flowedit.field.lids import LidField
from flowedit.field.offsets import Offsets
from flowedit.field.warp import warp_by_torch
from flowedit.guide.part_looks import Look
from flowedit.transform.transforms import Composition, FieldTransform, Transform

LIDS = "eyelids"  # their name in the table of what words say


def said_lids(looks: Mapping[str, Look]) -> Tensor | None:
    """Return what words say of the eyelids, (3,) as of `LidField`; None where they say nothing, or to leave them."""
    look = looks.get(LIDS)
    amounts = torch.tensor((0.0, 0.0, 0.0) if look is None else look.gains).clamp(0, 1)
    return amounts if amounts.any() else None


def close(start: FieldTransform, lids: LidField | None, found: FieldTransform) -> Transform:
    """Return what is found for a face, done after its lids have moved, under the same masks; None moves no lids."""
    if lids is None:
        return found
    return Composition(((replace(start, field=lids, part_tint=None, retouch=None),), (found,)))


@torch.no_grad()
def look_at_closed(pixels: Tensor, weight: Tensor, lids: LidField | None) -> Tensor:
    """Return a crop (1, 3, S, S) in which the lids have moved, where `weight` (1, 1, S, S) lets them."""
    if lids is None:
        return pixels
    coord = lids.on_grid(pixels.shape[-1]).coord.to(pixels) * weight
    return warp_by_torch(pixels, Offsets(coord, torch.zeros_like(pixels)))


def split_lids(edit: Edit) -> tuple[Edit, dict[tuple[float, ...], LidField]]:
    """Return an edit without the lids that `close` put before its transforms, and those lids by their crops."""
    rest, lids = [], {}
    for transform in edit.transforms:
        stages = transform.stages if isinstance(transform, Composition) else ()
        first = stages[0][0] if stages else None
        if len(stages) == 2 and isinstance(first, FieldTransform) and isinstance(first.field, LidField):
            lids[crop_key(first.crop)] = first.field
            rest += [replace(each, strength=transform.strength * each.strength) for each in stages[1]]
        else:
            rest.append(transform)
    return (replace(edit, transforms=tuple(rest)) if lids else edit), lids
