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
        share: of the prompts' whole change; 1 is all of it, 0 none, negative the contrary.
        cosine: between the change of the face's embedding and the prompts' change.
        chance: standard deviation of that cosine for a change in a random direction.
    """

    share: float
    cosine: float
    chance: float


class GainMeter:
    """Measures gains of one face over its unedited crop.

    Args:
        encoder: any.
        prompts: text -> weight.
        before: (1, 3, S, S) the unedited crop, RGB in [0, 1]; S may be any.
    """

    @torch.no_grad()
    def __init__(self, encoder: Encoder, prompts: Mapping[str, float], before: Tensor) -> None:
        self._encoder, self._change = encoder, text_change(encoder, prompts)
        self._before = encoder.image(before)

    @torch.no_grad()
    def __call__(self, after: Tensor) -> Gain:
        """Compute the gain of the edited crop, (1, 3, S, S)."""
        return measure_gain(self._change, self._before[0], self._encoder.image(after)[0])


def measure_gain(change: Tensor, before: Tensor, after: Tensor) -> Gain:
    """Compute a gain from embeddings, (D) each: the prompts' change, and a face before and after."""
    moved = (after - before).to(change)
    share = float(moved @ change / change.square().sum())
    return Gain(share, float(F.cosine_similarity(moved, change, dim=0)), len(change) ** -0.5)
