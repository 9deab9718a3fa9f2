"""Eyelids and irises, moved before all else: by a prompt's words, or by the edit that a task starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from flowedit.checks import warn
from flowedit.edit import Edit
from flowedit.face.crop import Crop, crop_key, extract
from flowedit.face.eyelids import make_lids
from flowedit.face.irises import look_to
from flowedit.field.eyes import EyeField
from flowedit.field.gaze import GazeField
from flowedit.field.lids import LidField
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.warp import warp_by_torch
from flowedit.guide.part_looks import GAZE, Look
from flowedit.photo.photo import Photo
from flowedit.transform.eyes import gather_eyes
from flowedit.transform.transforms import Composition, FieldTransform, Transform

LIDS = "eyelids"  # their name in the table of what words say
SEEN_PX = 256  # side of the crop that eyes are looked at in


def said_lids(look: Look | None) -> Tensor | None:
    """Return what words say of the eyelids, (3,) as of `LidField`; None where they say nothing, or to leave them."""
    amounts = torch.tensor((0.0, 0.0, 0.0) if look is None else look.gains).clamp(0, 1)
    return amounts if amounts.any() else None


def move_eyes(photo: Photo, crop: Crop, looks: Mapping[str, Look], right: bool | None) -> tuple[EyeField, ...] | None:
    """Make the fields of a face's eyes that words say.

    Args:
        photo: with the face.
        crop: of it, with landmarks.
        looks: what words say of parts.
        right: to which side of the picture a gaze to the side goes; None is the one that the eyes look to already.

    Returns:
        Those of the lids and of the gaze, as far as words say them; None where the irises are not to be found.
    """
    assert crop.landmarks is not None  # words say nothing of a whole picture's eyes
    image = extract(photo, crop, SEEN_PX) if looks else None
    fields: list[EyeField] = []
    if (look := looks.get(GAZE)) is not None:
        assert image is not None
        gaze = look_to(image, crop.landmarks, torch.tensor(look.gains), right)
        if gaze is None:
            warn("the irises are not to be told from the whites: what lies about the eyes moves for the gaze")
            return None
        fields.append(gaze)
    if (lids := said_lids(looks.get(LIDS))) is not None:
        fields.append(make_lids(crop.landmarks, lids, image))
    return tuple(fields)


def pop_eyes(looks: dict[str, Look]) -> dict[str, Look]:
    """Take what words say of the eyes' movement out of what they say of parts, in place, and return it."""
    said = {part: looks.pop(part) for part in (LIDS, GAZE) if part in looks}
    return {part: look for part, look in said.items() if part == GAZE or said_lids(look) is not None}


def join_eyes(before: Sequence[EyeField], said: Sequence[EyeField]) -> tuple[EyeField, ...]:
    """Return fields of one face's eyes, of each kind the one that words say, or else the one before."""
    return tuple({field.KIND: field for field in (*before, *said)}.values())


def crosses(eyes: Sequence[EyeField]) -> bool:
    """Return whether fields of a face's eyes turn each to the nose, of which no guide was taught anything."""
    return any(isinstance(field, GazeField) and bool(field.amounts[2]) for field in eyes)


def after_eyes(start: FieldTransform, eyes: Sequence[EyeField], found: FieldTransform) -> Transform:
    """Return what is found for a face, done after its eyes have moved, under the same masks."""
    if not eyes:
        return found
    moved = tuple(replace(start, field=field, part_tint=None, retouch=None) for field in eyes)
    return Composition((moved, (found,)))


@torch.no_grad()
def look_at_moved(pixels: Tensor, weight: Tensor, eyes: Sequence[EyeField]) -> Tensor:
    """Return a crop (1, 3, S, S) in which the eyes have moved, where `weight` (1, 1, S, S) lets them."""
    if not eyes:
        return pixels
    size = pixels.shape[-1]
    start = pixel_centers(size).reshape(-1, 2)
    places, colors = start, torch.zeros(len(start), 3)
    for field in sorted(eyes, key=lambda field: not isinstance(field, LidField)):  # what is done last is asked first
        coord, color = field.at_points(places)
        places, colors = places + coord, colors + color
    coord = (places - start).T.reshape(1, 2, size, size).to(pixels) * weight
    return warp_by_torch(pixels, Offsets(coord, colors.T.reshape(1, 3, size, size).to(pixels) * weight))


def split_eyes(edit: Edit) -> tuple[Edit, dict[tuple[float, ...], tuple[EyeField, ...]]]:
    """Return an edit without the eyelids and irises that it moves, and those fields by their crops."""
    moved, rest = gather_eyes(edit.transforms, 1.0)
    fields = dict[tuple[float, ...], tuple[EyeField, ...]]()
    for leaf in moved:
        if isinstance(leaf.field, EyeField):
            key = crop_key(leaf.crop)
            fields[key] = (*fields.get(key, ()), leaf.field)
    return (replace(edit, transforms=tuple(rest)) if moved else edit), fields
