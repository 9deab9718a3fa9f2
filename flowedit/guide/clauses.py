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
    told = [each.strip(" ,.;") for each in clauses]
    return [each for each in told if not BARE.fullmatch(each)] or [text]
