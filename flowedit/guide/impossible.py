"""What a prompt may ask for that no movement and no tint of a face gives, why, and what comes nearest."""

from __future__ import annotations

import functools
import json
import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowedit.guide.shares import count_in_words

FILE = Path(__file__).with_name("impossible.json")
LONGEST = 100  # letters of a prompt that a line names
LAST_LATIN = 0x24F  # beyond it a script may have no spaces, or marks that are no letters to `re`
INDIC = "\u0900-\u097f"  # Devanagari, whose words are separate


@dataclass(frozen=True)
class Impossible:
    """Something that cannot be made.

    Attributes:
        name: a noun phrase, "glasses".
        reason: why it cannot be made, a sentence without a stop.
        nearest: a prompt that comes nearest, or None.
        wordings: lower-case words that ask for it, to have or to be rid of; matched as whole words, in Devanagari from
            a word's beginning, in other scripts anywhere. A prompt's hyphens are spaces.
        unless: what is taken out of a prompt before: the same words about something else.
        names: matched with the prompt's own capitals.
    """

    name: str
    reason: str
    nearest: str | None
    wordings: re.Pattern[str] | None
    unless: re.Pattern[str] | None
    names: re.Pattern[str] | None

    def is_asked(self, text: str, own: str) -> bool:
        """Return whether a prompt asks for it: `text` in lower case, `own` as it is."""
        if self.unless is not None:
            text = self.unless.sub(" . ", text)
        pairs = (self.wordings, text), (self.names, own)
        return any(pattern is not None and pattern.search(words) is not None for pattern, words in pairs)


_KEPT = re.compile(  # what is to stay as the photo has it
    r"\b(?:(?:keep|keeping|leave|leaving) (?:the|my|his|her|their|your)|same) [\w-]+|"
    r"\bwith (?:the|my|his|her|their|your) [\w-]+ (?:still )?on\b",
    re.I,
)


def find_impossible(prompt: str) -> tuple[Impossible, ...]:
    """Return what a prompt asks for that cannot be made, in any encoder's eyes, in the order of the list."""
    own = unicodedata.normalize("NFC", prompt).replace("’", "'")
    text = _KEPT.sub(" . ", re.sub(r"[\s\-‐‑–—_]+", " ", own.lower()))
    return tuple(each for each in _read() if each.is_asked(text, own))


def shorten(prompt: str) -> str:
    """Return a prompt as a line names it, cut where it is long."""
    return textwrap.shorten(prompt, LONGEST, placeholder=" ...") if len(prompt) > LONGEST else prompt


def describe_impossible(prompt: str) -> str | None:
    """Return one line about what a prompt asks for that cannot be made; None if there is no such thing."""
    parts = []
    for each in find_impossible(count_in_words(prompt)):
        nearest = f"; {each.nearest!r} comes nearest" if each.nearest else ""
        parts.append(f"{each.name} ({each.reason}{nearest})")
    return f"{shorten(prompt)!r} asks for what cannot be made: {', '.join(parts)}" if parts else None


@functools.lru_cache(maxsize=1)
def _read() -> tuple[Impossible, ...]:
    entries: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(
        Impossible(
            entry["name"],
            entry["reason"],
            entry.get("nearest"),
            _compile(entry.get("wordings", ())),
            _compile(entry.get("unless", ())),
            re.compile("|".join(entry["names"])) if "names" in entry else None,
        )
        for entry in entries
    )


def _compile(expressions: Sequence[str]) -> re.Pattern[str] | None:
    """Join expressions to one; None if there are none."""
    expressions = [unicodedata.normalize("NFC", each) for each in expressions]
    latin = [each for each in expressions if all(ord(c) <= LAST_LATIN for c in each)]
    others = [each for each in expressions if each not in latin]
    whole = [rf"(?<!\w)(?:{'|'.join(latin)})(?!\w)"] if latin else []
    begun = [f"(?<![{INDIC}]){each}" if re.search(f"[{INDIC}]", each) else each for each in others]
    return re.compile("|".join(whole + begun)) if expressions else None
