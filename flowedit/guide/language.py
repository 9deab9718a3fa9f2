"""Which language a prompt is written in, by its script and its everyday words, and what a word is in English."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("languages.json")
MIN_SHARE = 0.3  # of a prompt's letters that must be of another script: a borrowed name is no language


def in_english(table: Mapping[str, str], word: str) -> str:
    """Return the English name of a word, by a table: name -> expression for its words in any language.

    Raises:
        StopIteration: no expression matches all of the word, whatever its case.
    """
    return next(name for name, forms in table.items() if re.fullmatch(forms, word, re.I))


def unknown_language(text: str, known: Collection[str]) -> str | None:
    """Return the English name of a language that a prompt is written in and that is not among the known ones, or None.

    Another script names its language. In Latin letters the language is the one most of whose everyday words and own
    letters a prompt has; where nothing tells, or it may as well be a known one, there is nothing to return.
    """
    names = _likely(unicodedata.normalize("NFC", text))
    return None if not names or any(name in known for name in names) else names[0]


def _likely(text: str) -> list[str]:
    """Return the languages that a prompt is most likely written in, as likely as each other."""
    listed = _read()
    letters = [c for c in text if c.isalpha()]
    scripts = Counter(listed["scripts"].get(unicodedata.name(c, "").split(" ")[0].split("-")[0]) for c in letters)
    foreign = {name: n for name, n in scripts.items() if name is not None}
    if foreign and sum(foreign.values()) >= MIN_SHARE * len(letters):
        return ["Japanese"] if "Japanese" in foreign else [max(foreign, key=lambda name: foreign[name])]
    words = re.findall(r"[^\W\d_]{2,}(?:'[^\W\d_]+)?", text.lower().replace("’", "'"))  # "e-girl" is no Italian
    scores = {name: sum(word in own for word in words) for name, own in listed["words"].items()}
    for name, own in listed["letters"].items():
        scores[name] += sum(c in own for c in text.lower())
    best = max(scores.values())
    return [name for name, score in scores.items() if score == best > 0]


@functools.lru_cache(maxsize=1)
def _read() -> Mapping[str, Any]:
    """Return what is listed: `scripts`, `letters`, and `words` as sets, by language."""
    listed: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return {**listed, "words": {name: frozenset(own.split()) for name, own in listed["words"].items()}}
