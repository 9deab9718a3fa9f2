"""Which side a prompt names of what a face may do to either: "looking left", "the right eyebrow raised"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F

from flowedit.guide.clauses import split_parts
from flowedit.guide.corpus import embed_changes
from flowedit.guide.denials import denies
from flowedit.guide.encoder import Encoder
from flowedit.guide.part_looks import GAZE, said_looks

Part = Literal["eyes", "brows", "mouth"]
SIDED: dict[Part, str] = {  # what an encoder knows of, whose embedding has no side
    "eyes": "eyes looking to the side",
    "brows": "one raised eyebrow",
    "mouth": "a crooked mouth",
}
ALIKE = 0.35  # cosine between changes from which a prompt is about one of them
_LEFT = re.compile(r"\bleft(?:wards?)?\b|\blinks\b|\blinke[nrs]?\b|\bizquierd[ao]|\bgauche\b|左|बा[एय]ं|बाईं|बायीं", re.I)
_RIGHT = re.compile(
    r"(?<!all )\bright(?:wards?)?\b(?! (?:now|away|at|in|into|through|here|there|back|ahead))|"
    r"\brechts\b|\brechte[nrs]?\b|\bderech[ao]|\bdroite?\b|右|दा[एय]ं|दाईं|दायीं",
    re.I,
)
_OWN = re.compile(
    r"\b(?:his|her|their|your|my|own|su|sa|ihre[rn]?|seine[rn]?)\s+(?:left|right|izq|der|gau|dro|lin|rech)", re.I
)


def asked_sides(encoder: Encoder, prompts: Mapping[str, float]) -> dict[Part, bool]:
    """Return whether prompts name the right side of the picture for a gaze, a raised brow or a crooked mouth.

    Left and right of a gaze are the picture's, but for "her left"; of a brow or the mouth they are the person's own, as
    of a closed eye.

    Args:
        encoder: tells of which of the three a prompt is.
        prompts: text -> weight.

    Returns:
        Part -> whether it goes to the right; without those for which no side is named, or both.
    """
    sides = _sides(encoder, prompts)
    return {part: right for part, right in sides if (part, not right) not in sides}


def sided_twice(encoder: Encoder, prompts: Mapping[str, float]) -> list[Part]:
    """Return the parts for which prompts name both sides."""
    sides = _sides(encoder, prompts)
    return sorted({part for part, right in sides if (part, not right) in sides})


def _sides(encoder: Encoder, prompts: Mapping[str, float]) -> set[tuple[Part, bool]]:
    sides = set[tuple[Part, bool] | None]()
    for text in (text for text, weight in prompts.items() if weight > 0):
        parts = {_read(encoder, part) for part in split_parts(text)} - {None}
        sides |= parts or {_read(encoder, text)}  # "looking up and to the left" says it over two of them
    return {side for side in sides if side is not None}


@torch.no_grad()
def _read(encoder: Encoder, text: str) -> tuple[Part, bool] | None:
    right = _RIGHT.search(text) is not None
    if right == (_LEFT.search(text) is not None):
        return None
    said = said_looks({text: 1.0}).get(GAZE)
    if said is None and (denies(text) or not encoder.knows(text)):
        return None
    part: Part = "eyes"
    if said is None:
        change, *known = embed_changes(encoder, [text, *SIDED.values()])
        alike = F.cosine_similarity(change[None], torch.stack(known), dim=1)
        if float(alike.max()) < ALIKE:
            return None
        part = list(SIDED)[int(alike.argmax())]
    elif not said.gains[0]:  # "right at the camera"
        return None
    own = part != "eyes" or _OWN.search(text) is not None
    return part, right != own  # somebody's own left is on the right of the picture
