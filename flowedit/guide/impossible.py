"""What a prompt may ask for that no movement and no tint of a face gives, why, and what comes nearest."""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("impossible.json")
LAST_LATIN = 0x24F  # beyond it a script may have no spaces, or marks that are no letters to `re`
INDIC = "\u0900-\u097f"  # Devanagari, whose words are separate


@dataclass(frozen=True)
class Wish:
    """Something that cannot be made.

    Attributes:
        name: a noun phrase, "glasses".
        reason: why it cannot be made, a sentence without a stop.
        nearest: a prompt that comes nearest, or None.
        wordings: regular expressions of lower-case words that ask for it, to have or to be rid of; matched as whole
            words, in Devanagari from a word's beginning, in other scripts anywhere. A prompt's hyphens are spaces.
        unless: expressions that are taken out of a prompt before: the same words about something else.
        names: expressions matched with the prompt's own capitals.
    """

    name: str
    reason: str
    nearest: str | None = None
    wordings: tuple[str, ...] = ()
    unless: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def find_impossible(prompt: str) -> tuple[Wish, ...]:
    """Return what a prompt asks for that cannot be made, in any encoder's eyes, in the order of the list."""
    own = unicodedata.normalize("NFC", prompt).replace("’", "'")
    text = re.sub(r"[\s\-‐‑–—_]+", " ", own.lower())
    return tuple(wish for wish, find in _finders() if find(text, own))


def describe_impossible(prompt: str) -> str | None:
    """Return one line about what a prompt asks for that cannot be made; None if there is no such thing."""
    parts = []
    for wish in find_impossible(prompt):
        nearest = f"; {wish.nearest!r} comes nearest" if wish.nearest else ""
        parts.append(f"{wish.name} ({wish.reason}{nearest})")
    return f"{prompt!r} asks for what cannot be made: {', '.join(parts)}" if parts else None


@functools.lru_cache(maxsize=1)
def _finders() -> tuple[tuple[Wish, _Finder], ...]:
    entries: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    lists = ("wordings", "unless", "names")
    wishes = [
        Wish(entry["name"], entry["reason"], entry.get("nearest"), *(tuple(entry.get(key, ())) for key in lists))
        for entry in entries
    ]
    return tuple((wish, _Finder(wish)) for wish in wishes)


class _Finder:
    """Says whether a prompt asks for a wish."""

    def __init__(self, wish: Wish) -> None:
        self._wordings, self._unless = _compile(wish.wordings), _compile(wish.unless)
        self._names = re.compile("|".join(wish.names)) if wish.names else None

    def __call__(self, text: str, own: str) -> bool:
        if self._unless is not None:
            text = self._unless.sub(" . ", text)
        wordings = self._wordings is not None and self._wordings.search(text) is not None
        return wordings or (self._names is not None and self._names.search(own) is not None)


def _compile(expressions: tuple[str, ...]) -> re.Pattern[str] | None:
    """Join expressions to one; None if there are none."""
    expressions = tuple(unicodedata.normalize("NFC", each) for each in expressions)
    latin = [each for each in expressions if all(ord(c) <= LAST_LATIN for c in each)]
    others = [each for each in expressions if each not in latin]
    whole = [rf"(?<!\w)(?:{'|'.join(latin)})(?!\w)"] if latin else []
    begun = [f"(?<![{INDIC}]){each}" if re.search(f"[{INDIC}]", each) else each for each in others]
    return re.compile("|".join(whole + begun)) if expressions else None
