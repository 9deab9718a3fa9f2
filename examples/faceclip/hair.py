"""Where the hair is: a mixture of colors, each with its place, fitted to one photo (as GrabCut, without a graph)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.measures import rgb_to_lab

from .regions import INDEX, read

HAIR_PX = 64  # side of the masks over the crop
ROUNDS = 6
LEAST_STD = (4.0, 2.5, 2.5)  # of a class's L, a and b: JPEG's and the skin's own variation


def place_priors(drawn: Tensor, at: Tensor) -> Tensor:
    """How likely each place is skin, hair, left or right background, or dress before any color is seen.

    Args:
        drawn: regions on the mean face (C, S, S).
        at: places of it (N, h, w, 2).

    Returns:
        (N, 5, h, w), summing to 1.
    """
    masks = read(drawn[[INDEX["whole"], INDEX["hair"], INDEX["forehead"]]], at)
    face, ring, forehead = masks.unbind(1)
    x, y = at.unbind(-1)
    outside = 1 - face
    above = torch.sigmoid((0.55 - y) * 8)
    near = torch.exp(-((x.abs() - 0.62) / 0.16).square())  # beside the cheeks, where long hair falls
    hair = 0.02 + 0.55 * ring + 0.25 * near * outside * torch.sigmoid((y + 0.2) * 8) + 0.12 * forehead
    skin = 0.03 + 0.9 * face + 0.5 * outside * torch.exp(-(x / 0.3).square()) * torch.sigmoid((y - 0.7) * 10)
    far = torch.sigmoid((x.square() + (y + 0.1).square() - 0.55) * 10) * outside + 0.01
    back = far * above
    left, right = back * torch.sigmoid(-6 * x), back * torch.sigmoid(6 * x)
    dress = 0.01 + outside * torch.sigmoid((y - 0.6) * 10)
    prior = torch.stack([skin, hair, left, right, dress], 1)
    return prior / prior.sum(1, keepdim=True)


def find_hair(image: Tensor, drawn: Tensor, at: Tensor) -> Tensor:
    """Tell hair from skin, background and dress by color and place.

    Args:
        image: (N, 3, HAIR_PX, HAIR_PX) in [0, 1].
        drawn: regions on the mean face (C, S, S).
        at: places of it (N, HAIR_PX, HAIR_PX, 2).

    Returns:
        (N, HAIR_PX, HAIR_PX) the probability of hair.
    """
    lab, prior = rgb_to_lab(image), place_priors(drawn, at)
    least = torch.tensor(LEAST_STD)[None, None, :, None, None]
    share = prior.square()  # sure places first
    for _ in range(ROUNDS):
        weight = share[:, :, None]
        total = weight.sum((-2, -1), keepdim=True) + 1e-3
        mean = (weight * lab[:, None]).sum((-2, -1), keepdim=True) / total
        spread = ((weight * (lab[:, None] - mean).square()).sum((-2, -1), keepdim=True) / total).sqrt() + least
        far = ((lab[:, None] - mean) / spread).square().clamp(max=30).sum(2)
        density = torch.exp(-0.5 * far) / spread.prod(2)
        share = prior * density
        share = share / (share.sum(1, keepdim=True) + 1e-12)
    hair = F.avg_pool2d(share[:, 1:2], 3, 1, 1, count_include_pad=False)[:, 0]
    return hair * smooth_face(drawn, at)


def smooth_face(drawn: Tensor, at: Tensor) -> Tensor:
    """0 on brows, eyes and mouth, which are dark as hair is, and on the face below the forehead."""
    whole, forehead = read(drawn[[INDEX["whole"], INDEX["forehead"]]], at).unbind(1)
    low = torch.sigmoid((at[..., 1] + 0.25) * 40)
    return 1 - (whole * low * (1 - forehead)).clamp(0, 1)
