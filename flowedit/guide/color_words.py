"""Whether a prompt is about color."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.clauses import split_clauses
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder

COLORED = (
    *("red lipstick", "pink lips", "pale lips", "dark lipstick", "rosy cheeks", "red cheeks", "blushing", "pale skin"),
    *("tanned skin", "dark skin", "fair skin", "red skin", "blue eyes", "green eyes", "brown eyes", "dark eyebrows"),
    *("fair eyebrows", "heavy makeup", "no makeup", "blonde hair", "black hair", "gray hair", "red hair"),
)
SHAPED = (
    *("a smiling face", "a sad face", "an angry face", "a surprised face", "a fearful face", "a disgusted face"),
    *("an open mouth", "a closed mouth", "a wide mouth", "a small mouth", "thick lips", "thin lips", "big eyes"),
    *("small eyes", "closed eyes", "wide open eyes", "raised eyebrows", "low eyebrows", "a wide nose", "a narrow nose"),
    *("a long nose", "a short nose", "a slim jaw", "a wide jaw", "a round face", "a long face", "a narrow face"),
    *("looking at the camera", "looking to the side", "looking up", "looking down"),
)


def names_color(encoder: Encoder, prompts: Mapping[str, float]) -> bool:
    """Return whether any prompt, or any attribute that one names beside others, is about color; see `about_color`."""
    if not prompts:
        return False
    texts = [*prompts, *(each for prompt in prompts for each in split_clauses(prompt))]
    return bool(about_color(encoder, embed_changes(encoder, list(dict.fromkeys(texts)))).any())


def about_color(encoder: Encoder, changes: Tensor) -> Tensor:
    """Return which changes (n, D) are as like one of COLORED as any of SHAPED, or more, by their cosine: (n,) bool.

    All for an encoder that does not know any of one list.
    """
    known = [[text for text in texts if encoder.knows(text)] for texts in (COLORED, SHAPED)]
    if not all(known):
        return torch.ones(len(changes), dtype=torch.bool)
    words = F.normalize(embed_changes(encoder, [*known[0], *known[1]]), dim=1)
    colored, shaped = (F.normalize(changes, dim=1) @ words.T).split([len(known[0]), len(known[1])], dim=1)
    return (colored.amax(1) >= shaped.amax(1)).cpu()
