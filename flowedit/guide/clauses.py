"""The attributes that a text names one after another."""

from __future__ import annotations

import re

BARE = re.compile(r"(?:an?|the|very|of|picture|photo|portrait|face|person|[\s,.!;:])*", re.I)  # asks for nothing
_ARTICLE = re.compile(r"\b(?:an?|the)\b", re.I)
_BETWEEN = re.compile(r"([,;.]\s+(?:(?:and|but|with)\s+)?|\s+(?:and|but|with|who has|having)\s+)", re.I)


def split_clauses(text: str) -> list[str]:
    """Cut a description where one attribute ends and another begins: "a smiling face", "gray hair", "green eyes".

    A guide that reads all in one gives some of them next to nothing. A part of one word stays with its neighbor: "thick
    lips and brows", "a sad and tired face".
    """
    clauses: list[str] = []
    parts = _BETWEEN.split(text)  # clause, separator, clause, ...
    for k in range(0, len(parts), 2):
        lone = min(len(_ARTICLE.sub("", each).split()) for each in (*clauses[-1:], parts[k])) < 2
        if clauses and BARE.fullmatch(clauses[-1]):  # "a face with ..."
            clauses[-1] = parts[k]
        elif clauses and lone:
            clauses[-1] += parts[k - 1] + parts[k]
        else:
            clauses.append(parts[k])
    return _without_bare(clauses) or [text]


def split_parts(text: str) -> list[str]:
    """Cut a description as `split_clauses` does, parts of one word too: "auburn hair", "a smile"."""
    return _without_bare(_BETWEEN.split(text)[::2]) or [text]


def _without_bare(parts: list[str]) -> list[str]:
    told = [each.strip(" ,.;") for each in parts]
    return [each for each in told if not BARE.fullmatch(each)]
