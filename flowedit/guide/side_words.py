"""Which side a prompt names of what a face may do to either: "looking left", "the right eyebrow raised"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F

from flowedit.guide.clauses import split_parts
from flowedit.guide.corpus import embed_changes
from flowedit.guide.denials import denies
from flowedit.guide.encoder import Encoder

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


class Side(NamedTuple):
    """What a prompt asks a face to do to one side.

    Attributes:
        part: what does it.
        right: whether to the right, or on the right, as the picture is seen.
    """

    part: Part
    right: bool


def asked_side(encoder: Encoder, prompts: Mapping[str, float]) -> Side | None:
    """Return the side that prompts name of a gaze, a raised brow or a crooked mouth; None for two of them.

    Left and right of a gaze are the picture's, but for "her left"; of a brow or the mouth they are the person's own, as
    of a closed eye.

    Args:
        encoder: tells of which of the three a prompt is.
        prompts: text -> weight.
    """
    sides = set[Side | None]()
    for text in (text for text, weight in prompts.items() if weight > 0):
        parts = {_read(encoder, part) for part in split_parts(text)} - {None}
        sides |= parts or {_read(encoder, text)}  # "looking up and to the left" says it over two of them
    sides.discard(None)
    return sides.pop() if len(sides) == 1 else None


@torch.no_grad()
def _read(encoder: Encoder, text: str) -> Side | None:
    right = _RIGHT.search(text) is not None
    if right == (_LEFT.search(text) is not None):
        return None
    if denies(text) or not encoder.knows(text):
        return None
    change, *known = embed_changes(encoder, [text, *SIDED.values()])
    alike = F.cosine_similarity(change[None], torch.stack(known), dim=1)
    if float(alike.max()) < ALIKE:
        return None
    part = list(SIDED)[int(alike.argmax())]
    own = part != "eyes" or _OWN.search(text) is not None
    return Side(part, right != own)  # somebody's own left is on the right of the picture
