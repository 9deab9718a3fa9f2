"""What a variant may lean to beside its prompt, so that several differ where a prompt leaves little to choose."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from flowedit.face.measures import SPREADS
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import text_change

WEIGHT = 0.5  # of an accent, beside a prompt's 1
LEANING = 0.25  # of what is usual, paid for likeness by an edit that leans to one
AGAINST, SAME = -0.25, 0.75  # cosines with the prompt's change, outside of which an accent undoes it or adds nothing
_NOSE = (
    "a long nose",
    "a short nose",
    "a wide mouth",
    "a narrow mouth",
    "low eyebrows",
    "a wide nose",
    "a narrow nose",
)
_JAW = (
    "a pointed chin",
    "a square chin",
    "gaunt cheeks",
    "a short chin",
    "chubby cheeks",
    "a long chin",
    "a narrow face",
)
ACCENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("nose_width", "nose_length"), _NOSE),
    **dict.fromkeys(("face_width", "jaw_width", "face_length"), _JAW),
}
"""Measure of a face -> what is near it in the face. Mouths and eyes differ enough without, and do more of it."""


def find_accents(encoder: Encoder, prompts: Mapping[str, float], change: Tensor) -> list[str]:
    """Return what variants of a prompt may lean to one after the other.

    Args:
        encoder: reads them.
        prompts: text -> weight.
        change: (m, 12) of an edit that does what they ask, as `variants.shape_change` has it.
    """
    most = int(change.abs().mean(0).argmax())
    accents = ACCENTS.get(list(SPREADS)[most], ())
    if not accents:
        return []
    wanted = text_change(encoder, prompts)
    alike = F.cosine_similarity(embed_changes(encoder, list(accents)), wanted[None]).tolist()
    return [accent for accent, cosine in zip(accents, alike, strict=True) if AGAINST < cosine < SAME]
