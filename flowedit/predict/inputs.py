"""What the network is shown: the face, and where the prompt's target lies as seen from it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.encoder import Encoder
from flowedit.kernels import render_views
from flowedit.task.views import soften

CROP_PX = 128  # side of the crop that the network sees
LEAST_COSINE = 0.2  # between a face and its target, by which the target is scaled: below it the change is cut


def network_crops(pixels: Tensor) -> Tensor:
    """Shrink crops (B, 3, S, S) to what the network sees, (B, 3, 128, 128), by the mean over each pixel's area."""
    return F.interpolate(pixels, (CROP_PX, CROP_PX), mode="area")


def straight_view(pixels: Tensor, guide: Encoder) -> Tensor:
    """Show a crop (1, 3, S, S) as the optimizer's first view does, neither turned nor lit: (1, 3, s, s)."""
    still = pixels.new_zeros(1, 2, 1, 1), pixels.new_zeros(1, 3, 1, 1)
    theta = torch.eye(2, 3, dtype=pixels.dtype, device=pixels.device)[None]
    return render_views(soften(pixels, guide.size), *still, theta, theta.new_ones(1), guide.size)


def target_change(embeddings: Tensor, targets: Tensor) -> Tensor:
    """Return where targets lie as seen from the faces: t / max(t · e, 0.2) - e.

    A target is a unit vector, so its length is free: the multiple of it that has the face's own length along it lies
    at a right angle to the face, and the change holds nothing of the face itself. With the target of a direction it
    is the prompt's change without its part along the face, whatever the target's kind, weights and intensity.

    Args:
        embeddings: (n, D) unit vectors, unedited faces in their straight view.
        targets: (n, D) unit vectors of `make_targets`.

    Returns:
        (n, D).
    """
    along = (targets * embeddings).sum(-1, keepdim=True).clamp_min(LEAST_COSINE)
    return targets / along - embeddings
