"""Words that a text tower reads only beside others, wrongly, or not at all, each with words that it does read.

Captions have most adjectives beside a noun, so that some by themselves, such as "feliz", are taken for words about
anything else; a word that they lack, such as "lonely", may be taken for another; and a small tower keeps not all that
it is taught: of Chinese and Hindi it misreads a quarter. They are listed, and the encoder reads known words instead.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.clauses import split_parts
from flowedit.guide.clip import without_courtesy

from .attributes import NAMES
from .captions import CONCEPTS, Meaning, restrict
from .grammar import with_article
from .languages import KINDS, LANGUAGES, Tongue

PHRASES = {
    "en": "{m} face", "es": "una cara {f}", "de": "sie sieht {m} aus", "fr": "un visage {m}", "zh": "{m}的脸",
    "hi": "{m} चेहरा",
}  # fmt: skip
SYNONYMS = Path(__file__).parent / "data" / "synonyms.csv"  # by hand, of everyday words that captions lack
AGREED = 0.8  # cosine of a phrase with what its adjective means, from which on it is read
MISREAD, MEANT = 0.6, 0.95  # cosines of what a text changes with what it means: below it is misread, above it is read
SAME = 0.8  # cosine of two meanings from which on a text may have both
_dumps = partial(json.dumps, ensure_ascii=False)
LONGEST = 40  # letters of a text that is listed: nobody types a longer one alike


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


def wordings() -> Iterator[tuple[str, str, Meaning]]:
    """Yield the code of a language, a text of its captions that stands alone, and what it means.

    Of English there are phrases that say plainly what they mean, for languages in which none is read.
    """
    for concept in restrict(CONCEPTS, NAMES):
        for text in concept.nouns:
            yield "en", text, concept.meaning
    for code in LANGUAGES:
        for concept in Tongue(code, NAMES).concepts:
            for kind in KINDS:
                for item in concept.get(kind, []):
                    for text in [item] if isinstance(item, str) else filter(None, item):
                        yield code, text.removesuffix("的"), concept["meaning"]


@torch.no_grad()
def find_misread(
    read: Callable[[Sequence[str]], Tensor], mean: Callable[[list[Meaning | None]], Tensor], face: Tensor
) -> dict[str, str]:
    """Return texts of captions that a tower misreads, in lower case, and for each one that it reads as this is meant.

    That is the one nearest to the meaning, of the same language where one is read right. Left out is a text with
    several meanings, one that is cut into clauses before it is read, and English, which a tower reads best: what it
    reads otherwise is slang as a rule, of which its reading is as good.

    Args:
        read, mean: as for `find_alone`.
        face: (D,) where texts about a face and nothing else belong, a unit vector.
    """
    synonyms = read_synonyms("anywhere")
    listed = [
        (code, text, meaning)
        for code, text, meaning in ((code, without_courtesy(text), meaning) for code, text, meaning in wordings())
        if len(text) <= LONGEST and any(map(str.isalnum, text)) and split_parts(text) == [text] and text not in synonyms
    ]

    def change(texts: Tensor) -> Tensor:
        return F.normalize(texts - (texts @ face)[:, None] * face, dim=1)

    texts = [text for _, text, _ in listed]
    meant = change(mean([meaning for _, _, meaning in listed]))
    agreed = (change(F.normalize(read(texts), dim=1)) * meant).sum(1).tolist()
    first: dict[str, int] = {}
    several = {text for k, text in enumerate(texts) if float(meant[first.setdefault(text, k)] @ meant[k]) < SAME}
    best: dict[tuple[str, str], int] = {}
    for k, (code, _, meaning) in enumerate(listed):
        if agreed[k] >= MEANT:
            for where in (code, ""):
                key = where, str(meaning)
                best[key] = max(best.get(key, k), k, key=agreed.__getitem__)
    found = {}
    for k, (code, text, meaning) in enumerate(listed):
        known = best.get((code, str(meaning)), best.get(("", str(meaning))))
        if code != "en" and agreed[k] < MISREAD and text not in several and known is not None:
            found[text] = texts[known]
    return found


def write_phrases(misread: Mapping[str, str], path: Path) -> None:
    """Write what `find_misread` found as `flowedit.guide.shipped` reads it: what is known -> texts that are read so."""
    texts: dict[str, list[str]] = {}
    for text, known in misread.items():
        texts.setdefault(known, []).append(text)
    lines = [f"{_dumps(known)}: {_dumps(each)}" for known, each in sorted(texts.items())]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_synonyms(where: str) -> dict[str, str]:
    """Return words that captions lack, in lower case, and those that they have for the same.

    Args:
        where: "anywhere" in a text, or "alone" for those that mean something else beside others.
    """
    with open(SYNONYMS, newline="", encoding="utf-8") as file:
        return {row["word"]: row["known"] for row in csv.DictReader(file) if row["where"] == where}
