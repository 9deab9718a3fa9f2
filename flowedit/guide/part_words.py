"""Which parts a prompt names, beside those that any color may change: by its words, from a table."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from pathlib import Path

SKIN = ("forehead", "eye corners", "mouth lines", "under-eye skin", "cheek skin", "other skin")
TABLE = Path(__file__).with_name("part_words.txt")


@functools.cache
def read_table(path: Path = TABLE) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return phrases and the parts that each names, the longest phrase first."""
    named: dict[str, tuple[str, ...]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        left, _, right = line.partition(":")
        parts = [SKIN if part.strip() == "skin" else (part.strip(),) for part in left.split(",")]
        for phrase in right.split(","):
            known = named.get(phrase.strip(), ())
            named[phrase.strip()] = (*known, *(each for part in parts for each in part))
    return tuple(sorted(named.items(), key=lambda pair: (-len(pair[0]), pair[0])))


def named_parts(prompts: Iterable[str]) -> tuple[str, ...]:
    """Return which parts any prompt names, each once, in alphabetical order."""
    found: set[str] = set()
    for prompt in prompts:
        rest = prompt.lower().replace("’", "'")
        for phrase, parts in read_table():
            rest, count = re.subn(rf"(?<!\w){re.escape(phrase)}(?!\w)", " ", rest)
            if count:
                found.update(parts)
    return tuple(sorted(found))
