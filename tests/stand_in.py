"""A small stand-in for an encoder, so that tests of the loop need neither weights nor time."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

WORDS = {"a face": (0.0, 0.0, 0.0), "red": (1.0, 0.0, 0.0), "blue": (0.0, 0.0, 1.0), "left": (0.0, 1.0, 0.0)}


class TinyEncoder:
    """Sees how red, how blue, and how bright on the left a picture is; differentiable in tint and in movement.

    From `fails_at` calls of `image` on, its answer is multiplied by `factor`: NaN breaks it, -1 makes every
    later step worse than those before.
    """

    name = "tiny"
    size = 32

    def __init__(self, fails_at=None, factor=math.nan, known=True):
        self.calls, self.fails_at, self.factor, self.known = 0, fails_at, factor, known

    def image(self, image):
        self.calls += 1
        red, green, blue = image.mean((-2, -1)).unbind(-1)
        slope = (image * torch.linspace(1, -1, image.shape[-1])).mean((-3, -2, -1))
        seen = F.normalize(torch.stack([red - green, slope, blue - green, torch.full_like(red, 0.2)], -1), dim=-1)
        return seen if self.fails_at is None or self.calls <= self.fails_at else seen * self.factor

    def text(self, prompts):
        rows = torch.tensor([[*WORDS.get(prompt, (0.5, 0.5, 0.5)), 0.2] for prompt in prompts])
        return F.normalize(rows, dim=-1)

    def knows(self, prompt):
        return self.known


def picture(height=40, width=48, seed=0, channels=3):
    """A noisy uint8 picture without any face, brighter to the left."""
    noise = np.random.default_rng(seed).integers(0, 120, (height, width, channels))
    return (noise + np.linspace(120, 0, width)[None, :, None]).astype(np.uint8)
