"""The field that moves a face's eyelids, from its landmarks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.face.colors import typical_color
from flowedit.face.guided import sum_near
from flowedit.face.landmarks import BROWS, EYES, check_landmarks
from flowedit.face.regions import outline_distance, smoothstep
from flowedit.face.retouch_masks import RETOUCH_PX, draw_places
from flowedit.field.eyes import eye_axes, half_width
from flowedit.field.lids import PATCH, LidField, patch_places
from flowedit.field.offsets import pixel_centers

LIT, MOST_LIT = 0.84, 2.0  # of the cheeks' brightness, that a closed lid has at least, and of its own at most; by eye
SOFT, OFF_EYES = 0.2, (0.1, 0.3)  # halves of an eye's width: of a blur, and what is left out of it about open eyes
BESIDE, ABOVE, FALL = 0.15, 0.75, 3.0  # where the skin is that a patch is fitted to, and how it counts by distance
BULGING = 0.92  # of the brightness of the skin under the eye, that a closed lid's middle has at least; by eye
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
    field, points = LidField(meeting=True), landmarks.detach().float().cpu()
    for k, (eye, brow) in enumerate(zip(EYES, BROWS, strict=True)):
        field.eyes[k] = outline = points[eye]
        _, down = eye_axes(outline)
        field.brows[k] = ((outline[1:3].mean(0) - points[brow].mean(0)) @ down).clamp(min=0)
    field.amounts.copy_(amounts.detach().clamp(0, 1))
    if image is None:
        return field
    image = image.float().cpu()
    return field.with_colors(_light_lids(field, points, image), _tint_patches(field, image))


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


def _tint_patches(field: LidField, image: Tensor) -> Tensor:
    """Return what fits skin from under the eyes into closed lids, (2, 3, *PATCH) image units.

    The low frequencies of a patch become what Poisson cloning would make of them (Perez et al. 2003), about: a mean of
    those around it, by distance, at the lashes of the skin above them and of that under the eye. They keep the hue of
    the latter, since made-up lids are of no skin's, and are lit where a lid bulges, as by `_light_lids`.
    """
    centers, tints = pixel_centers(image.shape[-1]), []
    nearest = torch.stack([outline_distance(centers, eye, True) / half_width(eye) for eye in field.eyes]).amin(0)
    skin = 1 - smoothstep(nearest, *OFF_EYES).float()
    up, across = (torch.linspace(first, 1, count) for first, count in zip((0, -1), PATCH, strict=True))
    bulge = ((1 - up.square())[:, None] * (1 - across.square())).reshape(-1, 1)
    for outline, brow in zip(field.eyes, field.brows, strict=True):
        (place, source), width = patch_places(outline, brow), float(half_width(outline))
        total, seen = sum_near(image[0], skin, SOFT * width * image.shape[-1] / 2)
        soft = total / seen.clamp(min=1e-3)

        def color(at: Tensor, soft: Tensor = soft) -> Tensor:
            return F.grid_sample(soft[None], at.reshape(1, 1, -1, 2), align_corners=False)[0, :, 0].T

        edge, top, away = place[0], place[-1], BESIDE * width * eye_axes(outline)[0]
        sides = torch.cat([place[:, 0] - away, place[:, -1] + away])
        border = torch.cat([edge, top, sides])
        around = torch.cat([(color(edge.lerp(top, ABOVE)) + color(source[-1])) / 2, color(top), color(sides)])
        near = (torch.cdist(place.reshape(-1, 2), border) / width + 0.05).pow(-FALL)
        light = (near @ around / near.sum(1, keepdim=True)).mean(1, keepdim=True)
        own = color(source)
        typical = own.median(0).values
        light = torch.maximum(light, light.lerp(BULGING * typical.mean().expand_as(light), bulge))
        tints.append((typical / typical.mean().clamp(min=1e-3) * light - own).T.reshape(3, *PATCH))
    return torch.stack(tints)
