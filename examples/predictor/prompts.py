"""What is asked for in training: every meaning that can be made as often as the others, and combinations."""

from __future__ import annotations

import copy
import random
from itertools import islice

import torch
from torch import Tensor

from examples.faceclip.captions import MAKEABLE, describe, spell
from flowedit.config import Config
from flowedit.guide.color_words import about_color
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder
from flowedit.guide.part_looks import says_all

PHRASES = 60  # of a meaning, drawn from all
COMBINATIONS = 1500  # captions with degrees, denials, and up to five attributes
CHUNK = 64
COMBINED = 0.35  # share of what is asked that is one of these
ANOTHER_DEGREE, DEGREES = 0.35, (0.4, 1.5)  # share of what is asked more or less strongly, and how strongly
AVOIDED = 0.07  # share of what is to be avoided
INTENSITY = Config().intensity  # the middle of what is asked for


class Prompts:
    """Changes of the guide's embedding that prompts ask for, drawn at random; none whose words alone say the edit.

    Args:
        encoder: the guide.
        seed: of the combinations.
    """

    def __init__(self, encoder: Encoder, seed: int = 0) -> None:
        rng = random.Random(seed)
        texts: list[str] = []
        self._bounds: list[tuple[int, int]] = []  # of each meaning's phrases
        for concept in MAKEABLE:
            phrases = [form.format(word) for word in concept.adjectives for form in ("a {} face", "a {} person")]
            phrases += [form.format(word) for word in concept.nouns for form in ("{}", "a face with {}")]
            phrases += [text for change in concept.changes for text in spell(change)]
            rng.shuffle(phrases)
            makeable = (text for text in phrases if not says_all({text: 1.0}))  # else its words decide, not the network
            begin = len(texts)
            texts += islice(makeable, PHRASES)
            if len(texts) > begin:
                self._bounds.append((begin, len(texts)))
        self._alone = len(texts)
        texts += [describe(rng, MAKEABLE)[0] for _ in range(COMBINATIONS)]
        with torch.no_grad():
            changes = [embed_changes(encoder, texts[i : i + CHUNK]) for i in range(0, len(texts), CHUNK)]
        self._changes = torch.cat(changes)
        self._colored = about_color(encoder, self._changes)

    def about_color(self) -> Prompts:
        """Return the same without what is not about color."""
        other = copy.copy(self)
        other._bounds = [(begin, end) for begin, end in self._bounds if bool(self._colored[begin:end].all())]
        combined = torch.arange(self._alone, len(self._changes))
        kept = torch.cat([torch.arange(self._alone), combined[self._colored[combined]]])
        other._changes, other._colored = self._changes[kept], self._colored[kept]
        return other

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return changes (count, D), as strong as a direction takes them, and (count,) which are about color."""
        chosen = []
        for combined in (torch.rand(count, generator=generator) < COMBINED).tolist():
            begin, end = self._alone, len(self._changes)
            if not combined or begin == end:
                begin, end = self._bounds[int(torch.randint(len(self._bounds), (), generator=generator))]
            chosen.append(int(torch.randint(begin, end, (), generator=generator)))
        least, most = DEGREES
        degree = least + (most - least) * torch.rand(count, generator=generator)
        degree = torch.where(torch.rand(count, generator=generator) < ANOTHER_DEGREE, degree, 1.0)
        degree = torch.where(torch.rand(count, generator=generator) < AVOIDED, -degree, degree)
        return INTENSITY * degree[:, None] * self._changes[chosen], self._colored[chosen]
