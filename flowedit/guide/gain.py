"""How far an encoder sees a face go the way that prompts ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import text_change


class Gain(NamedTuple):
    """How far an encoder sees a face go the way that the prompts ask for.

    Attributes:
        share: of the prompts' whole change; 1 is all of it, 0 none, below 0 the contrary.
        cosine: between what changed in the face's embedding and what the prompts ask for.
        chance: the deviation of that cosine for a change in any direction.
    """

    share: float
    cosine: float
    chance: float


class GainMeter:
    """Measures gains on pictures (1, 3, S, S) of one crop, whatever S, against the same one before; text -> weight."""

    @torch.no_grad()
    def __init__(self, encoder: Encoder, prompts: Mapping[str, float], before: Tensor) -> None:
        self._encoder, self._asked = encoder, text_change(encoder, prompts)
        self._before = encoder.image(before)

    @torch.no_grad()
    def __call__(self, after: Tensor) -> Gain:
        """Measure one."""
        return measure_gain(self._asked, self._before[0], self._encoder.image(after)[0])


def measure_gain(asked: Tensor, before: Tensor, after: Tensor) -> Gain:
    """Measure one on embeddings: what the prompts ask for, and a face before and after, (D) each."""
    moved = (after - before).to(asked)
    share = float(moved @ asked / asked.square().sum())
    return Gain(share, float(F.cosine_similarity(moved, asked, dim=0)), len(asked) ** -0.5)
