"""Whose average a description begins from: the age and sex that its words name, and what they ask for beside that."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch.nn.functional as F

from flowedit.guide.clauses import BARE
from flowedit.guide.encoder import Encoder

AGES = (13, 36, 58)  # years from which on one is young, middle-aged, old
SURE_SEX, SURE_AGE = 0.5, 0.7  # cosine with an axis from which on the guide's reading counts
BANDS = ("child", "young", "middle-aged", "old")
_DECADES = {
    "twenties": 25,
    "thirties": 35,
    "forties": 45,
    "fifties": 55,
    "sixties": 65,
    "seventies": 75,
    "eighties": 85,
}
_DECADES |= {"nineties": 95, **{f"{n}0s": 10 * n + 5 for n in range(2, 10)}}
# The first that is found counts; a noun becomes "face", an adjective goes.
_NOUNS = {  # -> age, sex
    r"grand(?:mother|mom|mum|ma)|granny": ("old", "woman"),
    r"grand(?:father|dad|pa)|grampa": ("old", "man"),
    r"boy|schoolboy": ("child", "man"),
    r"girl|schoolgirl": ("child", "woman"),
    r"child|kid|toddler|baby(?![- ]?faced?\b|[- ]blue)": ("child", None),
    r"teen(?:ager)?|adolescent": ("young", None),
    r"senior|pensioner": ("old", None),
    r"woman|lady|female|mother|wife|aunt|queen": (None, "woman"),
    r"man(?![- ](?:bun|made))|gentleman|guy|male|father|husband|uncle|king": (None, "man"),
    r"adult|person|human(?: being)?|somebody|someone": (None, None),
}
_ADJECTIVES = {
    r"middle[- ]aged": "middle-aged",
    r"old(?![- ](?:fashioned|school))(?:er)?|elderly|aged(?! \d)|ancient": "old",
    r"young(?:er)?(?! at heart)|youthful|teenaged?": "young",
}
_YEARS = r"(?:aged |of )?(\d{1,3})(?:[- ]years?)?[- ](?:old|of age)|aged (\d{1,3})"
_IN_DECADE = rf"in (?:his|her|their|the)(?: (?:early|mid|late))?[- ]({'|'.join(_DECADES)})"
_PRONOUNS = {"woman": r"she|her|hers", "man": r"he|his|him"}
_NEGATED = re.compile(r"(?:\b(?:not|no longer|no|never|without)|n't)(?: (?:a|an|so|too|very|yet|that))*\s+$")
_ARTICLES = (re.compile(r"\ban(?=\s+[^aeiou\s])", re.I), "a"), (re.compile(r"\ba(?=\s+[aeiou])", re.I), "an")


@dataclass(frozen=True)
class Person:
    """What a description says of whom it describes.

    Attributes:
        band: one of BANDS; None where it says nothing.
        sex: "woman" or "man", or None.
        rest: the description without what an average already is; the whole one where nothing else is left.
    """

    band: str | None
    sex: str | None
    rest: str

    def averages(self) -> list[str]:
        """Return the names of the averages that fit, at least one."""
        if self.band == "child":
            return ["child"]
        bands = ["young", "middle-aged"] if self.band is None else [self.band]
        sexes = ["woman", "man"] if self.sex is None else [self.sex]
        return [f"{band} {sex}" for band in bands for sex in sexes]


def read_person(text: str) -> Person:
    """Read age and sex off the words of an English description; words that are negated do not count."""
    band, sex, rest = None, None, text
    for pattern in (_YEARS, _IN_DECADE):
        found = _find(pattern, rest)
        if found is not None:
            number = next((each for each in found.groups() if each), None)
            if number is not None:
                years = _DECADES.get(number.lower()) or int(number)
                band = BANDS[sum(years >= age for age in AGES)]
            rest = rest[: found.start()] + rest[found.end() :]
    for pattern, age in _ADJECTIVES.items():
        found = _find(pattern, rest)
        if found is not None:
            band = band or age
            rest = rest[: found.start()] + rest[found.end() :]
    for pattern, (noun_age, kind) in _NOUNS.items():
        found = _find(pattern, rest)
        if found is None:
            continue
        # "a young girl" is one; "a young child" too.
        band = noun_age if noun_age == "child" else band or noun_age
        sex = sex or kind
        if noun_age != "child" or kind is None:  # the average child is of neither sex: a boy is asked for still
            again = re.search(r"\bface\b", rest, re.I) is not None
            rest = rest[: found.start()] + ("person" if again else "face") + rest[found.end() :]
        break
    for pronouns_sex, pattern in _PRONOUNS.items():
        if sex is None and _find(pattern, rest) is not None:
            sex = pronouns_sex
    rest = _tidy(rest)
    return Person(band, sex, text if BARE.fullmatch(rest) else rest)


def guess_person(guide: Encoder, text: str, person: Person) -> Person:
    """Fill what no word says with what the guide reads in a text, where it is sure: "ein alter Mann" is a man."""
    names = ["a face", text, "a woman", "a man", "an old person", "a young person"]
    plain, asked, woman, man, old, young = guide.text(names)
    change = asked - plain
    if person.sex is None and person.band != "child":
        share = float(F.cosine_similarity(change, woman - man, dim=0))
        person = replace(person, sex="woman" if share > SURE_SEX else "man" if share < -SURE_SEX else None)
    if person.band is None:
        share = float(F.cosine_similarity(change, old - young, dim=0))
        person = replace(person, band="old" if share > SURE_AGE else "young" if share < -SURE_AGE else None)
    return person


def _find(pattern: str, text: str) -> re.Match[str] | None:
    """Return the first whole-word match that is not negated."""
    for found in re.finditer(rf"\b(?:{pattern})\b", text, re.I):
        if _NEGATED.search(text[: found.start()].lower()) is None:
            return found
    return None


def _tidy(text: str) -> str:
    text = re.sub(r"\s+([,.;:])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,")
    for pattern, article in _ARTICLES:
        text = pattern.sub(article, text)
    return text
