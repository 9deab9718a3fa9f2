"""The 68 landmarks of a face."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.checks import describe, require


def check_landmarks(landmarks: Tensor) -> None:
    """Refuse anything but a finite (68, 2) tensor."""
    good = isinstance(landmarks, Tensor) and landmarks.shape == (68, 2) and bool(torch.isfinite(landmarks).all())
    require(good, f"landmarks must be a finite tensor of shape (68, 2); got {describe(landmarks)}")
