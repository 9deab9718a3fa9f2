"""What the optimizer starts from where an edit is to go on."""

from __future__ import annotations

from dataclasses import replace

import torch

from flowedit.checks import require, warn
from flowedit.edit import Edit
from flowedit.face.crop import crop_key
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.raster import RasterField
from flowedit.field.warp import window
from flowedit.transform.retouching import is_retouched
from flowedit.transform.transforms import FieldTransform

LEAST_WEIGHT = 0.1  # of the window, that an edit to start from is divided by


@torch.no_grad()
def warm_start(transform: FieldTransform, start: Edit) -> FieldTransform:
    """Return a transform that starts from what an edit does over its crop.

    The parameters of a like field over the same crop are taken as they are, at strength 1. Otherwise, and where the
    edit is turned around, its offsets are fitted, at its own strength, by a raster field, and a part's color becomes
    each pixel's own tint.

    Raises:
        ValueError: the field is of another kind than the edit's, and no raster, or a velocity.
    """
    fields = [leaf for leaf in start.transforms if isinstance(leaf, FieldTransform)]
    same = [leaf for leaf in fields if crop_key(leaf.crop) == crop_key(transform.crop)]
    if len(fields) == len(start.transforms) and len(same) == 1 and start.strength * same[0].strength > 0:
        (leaf,) = same
        if leaf.field.settings() == transform.field.settings():
            transform.field.load_state_dict(leaf.field.state_dict())
            if transform.part_tint is not None and leaf.part_tint is not None:
                transform.part_tint.amounts.copy_(leaf.part_tint.amounts)
            return replace(transform, retouch=leaf.retouch)
    raster = isinstance(transform.field, RasterField) and not transform.field.diffeomorphic
    require(raster, "start must be an edit with the same kind of field and settings, or field='raster'; got another")
    assert isinstance(transform.field, RasterField)  # for the type checker
    field = transform.field
    if is_retouched(start.transforms):
        warn("what start retouches is not taken over: its field is of another kind, or it was changed since")

    def offsets(size: int) -> Offsets:
        # The window will weigh the field again.
        weight = window(pixel_centers(size)).clamp_min(LEAST_WEIGHT)
        return Offsets(*(part[0] / weight for part in start.edited.offsets(transform.crop, size)))

    coord, color = offsets(field.coord_size).coord, offsets(field.color_size).color
    return replace(transform, field=RasterField.from_offsets(coord, color, field.max_shift, field.max_tint))
