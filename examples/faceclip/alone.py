"""Words that a text tower reads only beside others, or that no caption has, each with words that it does read.

Captions have most adjectives beside a noun, so that some by themselves, such as "feliz", are taken for words about
anything else; and a word that they lack, such as "lonely", may be taken for another. The card lists them, and the
encoder reads the known words instead.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from .attributes import NAMES
from .captions import CONCEPTS, Meaning, restrict
from .grammar import with_article
from .languages import LANGUAGES, Tongue

PHRASES = {
    "en": "{m} face", "es": "una cara {f}", "de": "sie sieht {m} aus", "fr": "un visage {m}", "zh": "{m}的脸",
    "hi": "{m} चेहरा",
}  # fmt: skip
SYNONYMS = Path(__file__).parent / "data" / "synonyms.csv"  # by hand, of everyday words that captions lack
AGREED = 0.8  # cosine of a phrase with what its adjective means, from which on it is read


def adjectives() -> Iterator[tuple[str, str, str, Meaning]]:
    """Yield the code of a language and an adjective of its captions, in lower case, with a phrase and what it means."""
    for concept in restrict(CONCEPTS, NAMES):
        for word in concept.adjectives:
            yield "en", word.lower(), with_article(PHRASES["en"].format(m=word)), concept.meaning
    for code in LANGUAGES:
        for concept in Tongue(code, NAMES).concepts:
            for pair in concept.get("adjectives", []):
                man, woman = (form.removesuffix("的") for form in (pair[0], pair[1] or pair[0]))
                for form in (man, woman):
                    yield code, form.lower(), PHRASES[code].format(m=man, f=woman), concept["meaning"]


@torch.no_grad()
def find_alone(
    read: Callable[[Sequence[str]], Tensor],
    mean: Callable[[list[Meaning | None]], Tensor],
    foreign: Tensor,
    least: float,
) -> dict[str, str]:
    """Return words that a tower takes for being about anything but a face, and for each a phrase that it reads right.

    Args:
        read: texts -> (n, D) of any length.
        mean: meanings -> (n, D) unit vectors, where the tower was taught to put them.
        foreign: (D) where it was taught to put texts about anything else.
        least: cosine with that, from which on a text is.
    """
    listed = {word: (phrase, meaning) for _, word, phrase, meaning in adjectives() if " " not in word}
    words, phrases = list(listed), [phrase for phrase, _ in listed.values()]
    said = mean([meaning for _, meaning in listed.values()])
    alone, beside = (F.normalize(read(texts), dim=-1) for texts in (words, phrases))
    unknown = (alone @ foreign >= least) & (beside @ foreign < least)
    right = (beside * said).sum(-1) >= AGREED
    return {word: phrase for word, phrase, each in zip(words, phrases, unknown & right, strict=True) if each}


def read_synonyms(where: str) -> dict[str, str]:
    """Return words that captions lack, in lower case, and those that they have for the same.

    Args:
        where: "anywhere" in a text, or "alone" for those that mean something else beside others.
    """
    with open(SYNONYMS, newline="", encoding="utf-8") as file:
        return {row["word"]: row["known"] for row in csv.DictReader(file) if row["where"] == where}
