"""Whether a prompt may be in vain, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from flowedit.guide.clauses import find_contraries, split_clauses, split_known, split_parts
from flowedit.guide.clip import ClipEncoder
from flowedit.guide.degrees import is_counted, read_degree
from flowedit.guide.denials import denied
from flowedit.guide.encoder import ROBUST, Encoder
from flowedit.guide.impossible import describe_impossible, shorten
from flowedit.guide.language import unknown_language
from flowedit.guide.part_looks import colored_twice, said_looks
from flowedit.guide.shares import read_share
from flowedit.guide.side_words import sided_twice

_EMPTY = re.compile(  # a word that names nothing of a face, though an encoder may think something of it; mashed keys
    r"h(?:i|ello|elo|allo|ola)|good|bye|goodbye|morning|evening|night|guten|morgen|tag|buenos|d[ií]as|bonjour|salut|你好|"
    r"您好|नमस्ते|yes|yep|nope|no|ok|okay|ja|nein|s[ií]|oui|non|हाँ|नहीं|please|thanks?|you|danke|bitte|gracias|merci|谢谢|"
    r"धन्यवाद|random|anything|something|nothing|it|this|the|my|me|us|and|a|bit|test|foo|bar|edit|change|improve|do|make|"
    r"photo|picture|image|more|less|better|worse|left|right|down|now|again|([a-y])\1{3,}|[bcdfghjklmnpqrstvwxz]{4,}|"
    r"(?=[a-z]{4,})(?:q?w?e?r?t?y?u?i?o?p?|a?s?d?f?g?h?j?k?l?|z?x?c?v?b?n?m?)"
)
LARGER = f"a larger encoder, as encoder={ROBUST[0]!r} (--encoder; it is downloaded), knows more"


def find_doubts(encoder: Encoder, prompts: Mapping[str, float]) -> list[str]:
    """Return a line for each prompt that may be in vain, and for attributes, colors and sides that undo each other."""
    doubts = [doubt(encoder, text) for text in prompts]
    contraries = [
        f"{earlier!r} and {later!r} ask for the contrary of each other: neither may be reached"
        for later, earlier in find_contraries(encoder, prompts)
    ]
    colors = [f"several colors are asked for the {part}, which can take one" for part in colored_twice(prompts)]
    twice = sided_twice(encoder, prompts)
    sides = [f"both sides are asked of the {part}, of which neither may be reached" for part in twice]
    return [each for each in doubts if each is not None] + contraries + (colors + sides) * (not contraries)


def doubt(encoder: Encoder, prompt: str) -> str | None:
    """Return one line about why a prompt may be in vain, the surest reason; None if there is none.

    It names nothing, it asks for what cannot be made, it is in a language that the encoder was not taught (as far as
    its `languages` tell), or the encoder does not know it.
    """
    if all(map(_EMPTY.fullmatch, re.findall(r"\w[^\W_]*", prompt.lower()))):
        return f"{shorten(prompt)!r} names nothing that a face may have; {'a smile'!r} does"
    impossible = describe_impossible(prompt)
    if impossible is not None:
        return impossible
    taught: Sequence[str] | None = getattr(encoder, "languages", None)
    looked_up = isinstance(encoder, ClipEncoder) and all(map(encoder.look_up, split_clauses(prompt)))
    language = None if taught is None or looked_up else unknown_language(read_share(prompt)[0], taught)
    if taught is not None and language is not None:
        told = f"the language of {shorten(prompt)!r}, {language}"
        return f"{encoder.name} does not know {told}; it knows {', '.join(taught)}"
    known, unknown = split_known(encoder, prompt)
    if known:
        left = [each for each in unknown if not said_looks({each: 1.0})]
        return f"{encoder.name} does not know {shorten(left[0])!r} and leaves it out; {LARGER}" if left else None
    word = denied(prompt)
    if encoder.knows(prompt) or (word is not None and encoder.knows(word)):
        return None
    if is_counted(prompt) and encoder.knows(read_degree(prompt)[0]):
        return None
    parts = split_parts(prompt)
    if len(parts) > 1 and all(encoder.knows(each) for each in parts):  # "happy but sad" is neither to an encoder
        return None
    if said_looks({prompt: 1.0}):  # what words say is done whatever the encoder knows
        return None
    return f"{encoder.name} does not know {shorten(prompt)!r} and may do anything; {LARGER}"
