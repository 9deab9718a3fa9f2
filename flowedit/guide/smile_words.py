"""Whether a prompt asks for a smile."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder

SMILE = "a smiling face"
NOT, WHOLLY = 0.6, 0.85  # cosine with its change: "smug" has 0.49, "grinning" 0.98


@torch.no_grad()
def smiling_share(encoder: Encoder, changes: Tensor) -> Tensor:
    """Return how far changes (n, D) are a smile, from 0 to 1: (n,); 0 for an encoder that does not know the word."""
    if not encoder.knows(SMILE):
        return changes.new_zeros(len(changes))
    smile = embed_changes(encoder, [SMILE]).to(changes)
    share = ((F.cosine_similarity(changes, smile, dim=1) - NOT) / (WHOLLY - NOT)).clamp(0, 1)
    return share * share * (3 - 2 * share)
