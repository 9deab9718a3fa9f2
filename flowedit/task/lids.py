"""Eyelids, moved before all else: by a prompt's words, or by the edit that a task starts from."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from flowedit.edit import Edit
from flowedit.face.crop import crop_key
from flowedit.field.lids import LidField
from flowedit.field.offsets import Offsets
from flowedit.field.warp import warp_by_torch
from flowedit.guide.part_looks import Look
from flowedit.transform.lids import gather_lids
from flowedit.transform.transforms import Composition, FieldTransform, Transform

LIDS = "eyelids"  # their name in the table of what words say


def said_lids(look: Look | None) -> Tensor | None:
    """Return what words say of the eyelids, (3,) as of `LidField`; None where they say nothing, or to leave them."""
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
    """Return an edit without the eyelids that it moves, and those lids by their crops."""
    lids, rest = gather_lids(edit.transforms, 1.0)
    fields = {crop_key(leaf.crop): leaf.field for leaf in lids if isinstance(leaf.field, LidField)}
    return (replace(edit, transforms=tuple(rest)) if lids else edit), fields
