"""Prompts in the words that the tables of parts have, where an encoder takes theirs to mean the same."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.ages import spell_ages
from flowedit.guide.clauses import split_parts
from flowedit.guide.color_words import COLORED, SHAPED
from flowedit.guide.corpus import embed_changes
from flowedit.guide.degrees import LEAST, read_degree
from flowedit.guide.denials import denies
from flowedit.guide.encoder import Encoder
from flowedit.guide.part_looks import Look, said_looks
from flowedit.guide.shares import halve, read_share

ALIKE = 0.9  # cosine between changes from which on two wordings mean the same
UNLIKE = 0.3  # between two colors, image units, from which on they are not alike
SHOWN = re.compile(r"\b(?:show|add|give|bring out|highlight|stop (?:hiding|covering|removing))\b", re.I)
KNOWN = (  # what the tables know by these words
    *("blonde hair", "platinum blonde hair", "brown hair", "black hair", "red hair", "gray hair", "white hair"),
    *("dark hair", "light hair", "stubble", "clean-shaven", "bushy eyebrows", "thin eyebrows", "eye shadow"),
    *("no eye shadow", "eyeliner", "no eyeliner", "dark circles under the eyes", "no dark circles", "tired"),
    *("well rested", "smooth skin", "rough skin", "wrinkles", "no wrinkles", "freckles", "no freckles"),
    *("an old person", "a young person", "forehead wrinkles", "no forehead wrinkles", "crow's feet"),
    *("no crow's feet", "smile lines", "no smile lines", "blue eyes", "green eyes", "brown eyes", "hazel eyes"),
    *("amber eyes", "closed eyes", "a wink", "sleepy eyes"),
    *("looking at the camera", "looking to the side", "looking up", "looking down", "looking up and to the side"),
    *("looking down and to the side", "shiny skin", "matte skin", "no gray hair", "no red hair", "no blonde hair"),
    *("no black hair", "no brown hair", "open eyes"),
)
TOLD = {"no gray hair": "cover the gray hair"}  # where the tables know it by other words than the encoder
DENIALS = ("no ", "clean-shaven", "well rested", "smooth skin", "matte skin", "a young person")  # of a negation
OTHER = (  # what lies near them and is something else
    *("a child", "dark eyes", "light eyes", "arched eyebrows", "a mustache", "a beard", "a bald head"),
    *("a woman", "a man", "squinting eyes", "half a smile", "curly hair", "long hair"),
)


def restate(encoder: Encoder, prompts: Mapping[str, float]) -> dict[str, float]:
    """Return prompts in which attributes that the tables of parts do not know are in words that they do.

    "raven tresses and a smile" is "black hair, a smile", and "pelo rubio" is "blonde hair", where the encoder reads
    them alike. An encoder of which nobody knows what it was taught keeps its prompts: what is alike to it is not known.

    Args:
        encoder: reads them.
        prompts: text -> weight.
    """
    if getattr(encoder, "languages", None) is None:
        return dict(prompts)
    told: dict[str, float] = {}
    for given, weight in prompts.items():
        prompt = halve(spell_ages(given))
        parts = split_parts(prompt)
        same = [_same(encoder, part) for part in parts]
        text = prompt if not any(same) else ", ".join(new or part for new, part in zip(same, parts, strict=True))
        told[text] = told.get(text, 0.0) + weight
    return told


def _same(encoder: Encoder, part: str) -> str | None:
    """Return what of KNOWN means the same as a part of a prompt; None where nothing does, or its words say a look.

    A degree is put before it, where the tables read it: "eyes slightly closed" is "slightly eyes closed", and
    "gray hair by half" is "50 % gray hair".
    """
    attribute, degree = read_degree(part)
    share = read_share(part)[1]
    if share is not None:
        told = f"{100 * max(LEAST, share):g} % " if share != 1 else ""
    else:
        told = "" if degree == 1 else "slightly " if degree < 1 else "very "
    said = bool(said_looks({attribute: 1.0}))
    if not said and said_looks({part: 1.0}):
        return None
    meant = attribute if said and attribute in KNOWN else _meant(encoder, attribute)
    if said and not (meant and _contrary(attribute, meant)):
        return told + attribute if told or share else None
    if meant is None or (denies(attribute) and not meant.startswith(DENIALS)):
        return None
    return told + TOLD.get(meant, meant)


def _meant(encoder: Encoder, attribute: str) -> str | None:
    """Return what of KNOWN an encoder takes for the same as an attribute; None where nothing is."""
    if not encoder.knows(attribute):
        return None
    alike = _known(encoder) @ F.normalize(embed_changes(encoder, [attribute])[0], dim=0)
    best = int(alike.argmax())
    return KNOWN[best] if best < len(KNOWN) and float(alike[best]) >= ALIKE else None


def _contrary(attribute: str, meant: str) -> bool:
    """Return whether an attribute's words say of a part what is not meant: "cover the gray hair" names it."""
    if SHOWN.search(attribute):
        return False
    named = meant.removeprefix("no ")
    said, other, denied = (said_looks({text: 1.0}) for text in (attribute, meant, named))
    for part, look in said.items():
        if look.color is None:
            if part in other and sum(look.gains) * sum(other[part].gains) < 0:
                return True
        elif meant.startswith("no ") and _alike(look, denied.get(part)):
            return True
    return False


def _alike(look: Look, other: Look | None) -> bool:
    """Return whether two looks are of about one color."""
    return bool(other and look.color and other.color and math.dist(look.color, other.color) < UNLIKE)


def _known(encoder: Encoder) -> Tensor:
    """Changes of all that is known and of what is near: (n, D) unit vectors."""
    texts = dict.fromkeys([*KNOWN, *OTHER, *COLORED, *SHAPED])  # of two that are the same either may be the nearest
    return F.normalize(embed_changes(encoder, list(texts)), dim=1)
