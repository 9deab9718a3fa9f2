"""What a field costs beside what it gains."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.crop import pixel_centers
from flowedit.face.regions import face_distance, region_mask, smoothstep

NEAR = (0.05, 0.4)  # from a face's outline, in distances between the eyes: still on it, and off it
COVERED = 40.0  # a part's color is one for all of it; an own tint beside it would make spots
EDGE = 0.03  # color difference between neighbours, image units, that counts as an edge


def text_term(embeddings: Tensor, targets: Tensor) -> Tensor:
    """1 - cosine to the target, mean over views."""
    return 1 - torch.dot(embeddings.flatten(), targets.flatten()) / len(targets)


def text_pull(targets: Tensor) -> Tensor:
    """Gradient of `text_term` to the embeddings (n, D), which it does not depend on."""
    return targets / -len(targets)


def evenness(image: Tensor) -> tuple[Tensor, Tensor]:
    """Say between which neighbours a photo is even: 1 inside skin or lips, near 0 across their edges.

    What is even in the photo should be tinted evenly (Levin et al. 2004 color pictures from strokes so).

    Args:
        image: (1, 3, S, S).

    Returns:
        Weights (1, 1, S, S - 1) along x and (1, 1, S - 1, S) along y.
    """
    calm = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    dx, dy = calm[..., 1:] - calm[..., :-1], calm[..., 1:, :] - calm[..., :-1, :]
    return tuple(torch.exp(-(d.square().sum(1, keepdim=True) / EDGE**2)) for d in (dx, dy))  # type: ignore[return-value]


def tint_price(parts: Tensor, landmarks: Tensor | None, size: int) -> Tensor:
    """Price of a pixel's own tint: 1, and COVERED in a part of the face, which has a color for that.

    The same about eyes and mouth, where the rest, teeth and the whites of the eyes, should keep its color.

    Args:
        parts: (n, m, m) uint8 masks.
        landmarks: (68, 2) of the face, crop coordinates; without them the parts alone are covered.
        size: S.

    Returns:
        (1, S, S).
    """
    covered = F.interpolate(parts.amax(0)[None, None].float() / 255, (size, size), mode="bilinear")
    if landmarks is not None:
        for name in ("eyes", "mouth"):
            covered = torch.maximum(covered, region_mask(name, landmarks.cpu(), size).to(covered))
    return 1 + (COVERED - 1) * covered[0]


def movement_price(landmarks: Tensor, size: int, around: float) -> Tensor:
    """Price of a pixel's movement: 1 on the face, rising smoothly to `around` off it, where straight lines show.

    Args:
        landmarks: (68, 2) crop coordinates.
        size: S.
        around: see `Config.around`.

    Returns:
        (1, S, S).
    """
    away = face_distance(pixel_centers(size), landmarks.cpu())
    return (around + (1 - around) * smoothstep(away, *NEAR)).float()[None]
