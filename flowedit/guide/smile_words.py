"""Whether a prompt asks for a smile, or for the end of one."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.clauses import list_attributes, split_parts
from flowedit.guide.color_words import about_color
from flowedit.guide.corpus import embed_changes
from flowedit.guide.denials import denied, denies
from flowedit.guide.encoder import Encoder

SMILE = "a smiling face"
CONTRARY = -0.15  # the same, below which a prompt asks for the end of one: "serious" has -0.22, "not smiling" -0.2
_SMILING = re.compile(r"\b(?:smil|grin|laugh|beam|läche|lach|sonr|ríe|rí[ae]s|souri|ris\b|rire)|笑|मुस्क|हँस|हंस", re.I)
_STOPPED = re.compile(r"\b(?:less of|stop|quit|cease|lose|drop|wipe|hör\w* auf|deja de|arrête\w*)\b", re.I)
NOT, WHOLLY = 0.6, 0.84  # cosine with its change: a friendly face has 0.80, "grinning" 0.99


@torch.no_grad()
def smiling_share(encoder: Encoder, changes: Tensor) -> Tensor:
    """Return how far changes (n, D) are a smile, from 0 to 1: (n,); 0 for an encoder that does not know the word."""
    if not encoder.knows(SMILE):
        return changes.new_zeros(len(changes))
    smile = embed_changes(encoder, [SMILE]).to(changes)
    share = ((F.cosine_similarity(changes, smile, dim=1) - NOT) / (WHOLLY - NOT)).clamp(0, 1)
    return share * share * (3 - 2 * share)


def smile_asked(encoder: Encoder, prompts: Mapping[str, float]) -> float:
    """Return how far prompts ask for a smile and for no other movement beside it, from 0 to 1; colors are none."""
    attributes = list_attributes(encoder, prompts)
    changes = embed_changes(encoder, list(attributes))
    shares = smiling_share(encoder, changes * changes.new_tensor(list(attributes.values()))[:, None])
    moving = ~about_color(encoder, changes) if len(attributes) > 1 else slice(None)
    return float(shares[moving].amin()) if len(shares[moving]) else 0.0


@torch.no_grad()
def smile_denied(encoder: Encoder, prompts: Mapping[str, float]) -> bool:
    """Return whether an attribute that prompts ask for is the contrary of a smile, as a sad or a serious face is."""
    if not encoder.knows(SMILE):
        return False
    attributes = list_attributes(encoder, prompts)
    smile, *_ = embed_changes(encoder, [SMILE])
    changes = embed_changes(encoder, list(attributes))
    changes = changes * changes.new_tensor(list(attributes.values()))[:, None]
    return bool((F.cosine_similarity(changes, smile[None], dim=1) < CONTRARY).any())


def smile_ended(encoder: Encoder, prompts: Mapping[str, float]) -> bool:
    """Return whether prompts ask for the end of a smile and nothing else, as "do not smile" does; "sad" asks for more.

    Args:
        encoder: tells "no smile" from "no smile lines".
        prompts: text -> weight.
    """
    parts = [(part, weight) for text, weight in prompts.items() for part in split_parts(text)]

    def is_smile(text: str) -> bool:
        return bool(_SMILING.search(text)) or float(smiling_share(encoder, embed_changes(encoder, [text]))) > 0.5

    def is_end(part: str, weight: float) -> bool:
        no = denies(part) or _STOPPED.search(part) is not None
        return no == (weight > 0) and is_smile(denied(part) or part)

    return all(is_end(part, weight) for part, weight in parts) and smile_denied(encoder, prompts)
