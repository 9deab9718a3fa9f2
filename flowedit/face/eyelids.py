"""The field that moves a face's eyelids, from its landmarks."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.face.landmarks import BROWS, EYES, check_landmarks
from flowedit.field.eyes import eye_axes
from flowedit.field.lids import LidField


@torch.no_grad()
def make_lids(landmarks: Tensor, amounts: Tensor) -> LidField:
    """Make the field of a face's eyelids.

    Args:
        landmarks: (68, 2) crop coordinates.
        amounts: (3,), see `LidField`; cut to [0, 1].

    Raises:
        ValueError: a shape is not as above, or a landmark is not finite.
    """
    check_landmarks(landmarks)
    require(amounts.shape == (3,), f"amounts must have shape (3,); got {describe(amounts)}")
    field, points = LidField(), landmarks.detach().float().cpu()
    for k, (eye, brow) in enumerate(zip(EYES, BROWS, strict=True)):
        field.eyes[k] = outline = points[eye]
        _, down = eye_axes(outline)
        field.brows[k] = ((outline[1:3].mean(0) - points[brow].mean(0)) @ down).clamp(min=0)
    field.amounts.copy_(amounts.detach().clamp(0, 1))
    return field
