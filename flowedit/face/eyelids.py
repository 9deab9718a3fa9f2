"""The field that moves a face's eyelids, from its landmarks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.face.hair import typical_color
from flowedit.face.landmarks import BROWS, EYES, check_landmarks
from flowedit.face.retouch_masks import RETOUCH_PX, draw_places
from flowedit.field.eyes import eye_axes
from flowedit.field.lids import LidField

LIT, MOST_LIT = 0.84, 2.0  # of the cheeks' brightness, that a closed lid has at least, and of its own at most; by eye
INNER, SAMPLES = (0.25, 0.75), 9  # of an open eye's box, where what is drawn over it is looked at, and how densely


@torch.no_grad()
def make_lids(landmarks: Tensor, amounts: Tensor, image: Tensor | None = None) -> LidField:
    """Make the field of a face's eyelids.

    Args:
        landmarks: (68, 2) crop coordinates.
        amounts: (3,), see `LidField`; cut to [0, 1].
        image: (1, 3, S, S) the crop, in [0, 1], in which closed lids are lit; None tints none.

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
    if image is None:
        return field
    tint = _light_lids(field, points, image.float().cpu())
    return field.with_tint(tint) if tint.any() else field


def _light_lids(field: LidField, landmarks: Tensor, image: Tensor) -> Tensor:
    """Return a tint for either lid, (2, 3) image units, where what is drawn over a closed eye lies in shade.

    That is skin from under the brow, in a deep socket the darkest of a face; a closed lid bulges into the light. It is
    lit in its own hue, to a share of the cheeks' brightness.
    """
    closed = field.with_amounts(torch.tensor([1.0, 1.0, 0.0]))
    small = F.interpolate(image, (RETOUCH_PX, RETOUCH_PX), mode="area")
    bright = float(typical_color(small, draw_places(("cheek skin",), landmarks)["cheek skin"]).mean())
    tints = []
    for eye in EYES:
        outline = landmarks[eye]
        low, high = outline.amin(0), outline.amax(0)
        x, y = (low + (high - low) * torch.linspace(*INNER, SAMPLES)[:, None]).T
        places = torch.cartesian_prod(x, y)
        read = places + closed.at_points(places)[0]
        skin = F.grid_sample(image, read[None, None], align_corners=False)[0, :, 0].median(1).values
        wanted = min(MOST_LIT, LIT * bright / float(skin.mean().clamp(min=1e-3)))
        tints.append((max(1.0, wanted) - 1) * skin)
    return torch.stack(tints)
