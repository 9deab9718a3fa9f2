"""The skin about the brows: what their hairs would give way to."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.face.guided import blur
from flowedit.face.landmarks import interocular_distance
from flowedit.face.regions import smoothstep
from flowedit.face.retouch_masks import ON_SKIN, draw_places

AROUND = 0.14  # interocular distances: deviation of the weights that the skin's color is averaged by
BARE = 0.9  # of the mean brightness there, above which skin has no hair on it
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
        *total, full = blur(torch.cat([image * weight, weight[None]]), sigma)
        return torch.stack(total) / full.clamp_min(1e-4), full

    mean, around = average(skin)
    color, bare = average(skin * (image.mean(0) > BARE * mean.mean(0)))
    seen = smoothstep(1 - bare / around.clamp_min(1e-4), *COVERED)
    return torch.cat([(near * seen)[None], color])
