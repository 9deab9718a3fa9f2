"""A second encoder's word on an edit: whether what the guide gained is there for others to see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .encoder import Encoder
from .objective import text_change

LEAST_SHARE = 0.1  # of the guide's gain, that a judge must see too


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


@torch.no_grad()
def measure_gain(encoder: Encoder, prompts: Mapping[str, float], before: Tensor, after: Tensor) -> Gain:
    """Measure on two pictures (1, 3, S, S) of one crop, whatever S; text -> weight."""
    asked = text_change(encoder, prompts)
    moved = (encoder.image(after) - encoder.image(before))[0].to(asked)
    share = float(moved @ asked / asked.square().sum())
    return Gain(share, float(F.cosine_similarity(moved, asked, dim=0)), len(asked) ** -0.5)


def is_fooled(guide: Gain, judge: Gain) -> bool:
    """Say whether the guide gained what the judge does not see: next to nothing, or no more than by chance."""
    return guide.share > 0 and (judge.share < LEAST_SHARE * guide.share or judge.cosine < judge.chance)
