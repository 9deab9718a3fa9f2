"""Whether a prompt is about color."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F

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
)


def names_color(encoder: Encoder, prompts: Mapping[str, float]) -> bool:
    """Return whether any prompt is as like one of COLORED as any of SHAPED, or more, by the cosine of the changes.

    True for an encoder that does not know any of one list.
    """
    known = [[text for text in texts if encoder.knows(text)] for texts in (COLORED, SHAPED)]
    if not all(known):
        return True
    changes = F.normalize(embed_changes(encoder, [*prompts, *known[0], *known[1]]), dim=1)
    asked, colored, shaped = changes.split([len(prompts), *map(len, known)])
    return bool(((asked @ colored.T).amax(1) >= (asked @ shaped.T).amax(1)).any())
