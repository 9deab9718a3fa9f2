"""Where the brows' hairs are, and the skin about them, which they would give way to."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.guided import sum_near
from flowedit.face.landmarks import BROWS, eye_centers, interocular_distance, mouth_center
from flowedit.face.regions import smoothstep
from flowedit.face.retouch_masks import ON_SKIN, draw_places

AROUND = 0.14  # interocular distances: deviation of the weights that the skin's color is averaged by
BELOW = 0.30  # the same, of the cheeks below the eyes
BARE = 0.9  # of the mean brightness there, above which skin has no hair on it
LOOKED_AT = (-0.20, 0.12), 33  # interocular distances above a landmark between which hairs are looked for; places there
HAIR = 0.12  # darkness, in shares of the skin's brightness, of the least of hairs that a landmark moves to
COVERED = 0.35, 0.65  # share of that skin with hair on it, between which a fringe comes to cover the brow


def skin_at_brows(image: Tensor, landmarks: Tensor) -> Tensor:
    """Return where the brows' hairs are looked for, in [0, 1], and the color of the skin about each place: (4, n, n).

    Hair that hangs over a brow is left out of both, as far as it is darker than the skin.

    Args:
        image: (3, n, n) the crop, n = RETOUCH_PX.
        landmarks: (68, 2) crop coordinates.
    """
    sigma = AROUND * float(interocular_distance(landmarks.double())) * image.shape[-1] / 2
    drawn = draw_places(["brow hairs", *ON_SKIN], landmarks)
    near = drawn.pop("brow hairs")
    skin = torch.stack(list(drawn.values())).sum(0) * (1 - near).square()

    def average(weight: Tensor) -> tuple[Tensor, Tensor]:
        total, full = sum_near(image, weight, sigma)
        return total / full.clamp_min(1e-4), full

    mean, around = average(skin)
    color, bare = average(skin * (image.mean(0) > BARE * mean.mean(0)))
    seen = smoothstep(1 - bare / around.clamp_min(1e-4), *COVERED)
    return torch.cat([(near * seen)[None], color])


def skin_below_eyes(image: Tensor, landmarks: Tensor) -> Tensor:
    """Return the color of the cheeks near each place, which rings under the eyes would have without them: (3, n, n).

    Args:
        image: (3, n, n) the crop, n = RETOUCH_PX.
        landmarks: (68, 2) crop coordinates.
    """
    sigma = BELOW * float(interocular_distance(landmarks.double())) * image.shape[-1] / 2
    cheeks = draw_places(["cheek skin"], landmarks)["cheek skin"]
    total, full = sum_near(image, cheeks, sigma)
    return total / full.clamp_min(1e-4)


def settle_brows(image: Tensor, landmarks: Tensor) -> Tensor:
    """Move the landmarks of brows to the middle of their hairs, above or below: (68, 2).

    They lie on the upper edge of thick brows, and beside thin ones.

    Args:
        image: (3, n, n) the crop, n = RETOUCH_PX.
        landmarks: (68, 2) crop coordinates.
    """
    near, *skin = skin_at_brows(image, landmarks)
    darkness = (1 - image.mean(0) / torch.stack(skin).mean(0).clamp_min(1e-3)).clamp_min(0) * near
    unit, eyes = float(interocular_distance(landmarks.double())), torch.stack(eye_centers(landmarks)).mean(0)
    up = F.normalize(eyes - mouth_center(landmarks), dim=0)
    (least, most), count = LOOKED_AT
    heights = torch.linspace(least, most, count).to(landmarks)
    settled = landmarks.clone()
    for brow in BROWS:
        places = landmarks[brow][:, None] + unit * heights[:, None] * up
        dark = F.grid_sample(darkness[None, None], places[None].to(darkness), align_corners=False)[0, 0]
        weight = dark.square().to(heights)
        middle = (weight * heights).sum(1) / weight.sum(1).clamp_min(1e-6)
        middle = torch.where(dark.amax(1) > HAIR, middle, 0)
        middle = F.avg_pool1d(F.pad(middle[None], (1, 1), mode="replicate"), 3, 1)[0]
        settled[brow] += unit * middle[:, None] * up
    return settled
