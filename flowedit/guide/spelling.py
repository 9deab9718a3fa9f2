"""Words about faces as they are meant: mistyped ones, and denials without their apostrophe."""

from __future__ import annotations

import functools
import re

from flowedit.guide.tokenizer import Tokenizer

WORDS = frozenset([  # that a mistyped one may have been
    "smile", "smiles", "smiling", "smiled", "laugh", "laughing", "laughter", "grinning", "frown", "frowning",
    "frowns", "happy", "happier", "happily", "angry", "angrier", "surprised", "surprise", "surprising",
    "scared", "afraid", "fearful", "worried", "disgusted", "friendly", "serious", "relaxed", "tired", "awake",
    "sleepy", "winking", "wrinkle", "wrinkles", "wrinkled", "freckles", "freckled", "dimples", "eyebrow",
    "eyebrows", "eyelashes", "eyelids", "lashes", "lipstick", "eyeliner", "eyeshadow", "mascara", "makeup",
    "blush", "stubble", "moustache", "mustache", "beard", "bearded", "blonde", "blond", "brunette", "redhead",
    "ginger", "younger", "youthful", "older", "elderly", "beautiful", "handsome", "pretty", "attractive",
    "cheeks", "cheekbones", "forehead", "mouth", "chubby", "narrow", "narrower", "wider", "bigger", "larger",
    "smaller", "fuller", "thinner", "thicker", "closed", "squinting", "looking", "glancing", "gazing", "raised",
    "crying", "expression", "smirk", "smirking", "cheerful", "excited", "confused", "shocked", "jealous",
])  # fmt: skip
LEAST = 5  # letters of a word that is mended
KEPT = frozenset(["scarred"])  # a word of its own
_BARE = re.compile(r"\b(is|are|was|were|do|does|did|wo|would|should|could|ca|has|have|had|must|need)nt\b", re.I)

_APOSTROPHES = {
    "hes": "he's", "shes": "she's", "theyre": "they're", "youre": "you're", "im": "I'm", "ive": "I've",
    "thats": "that's", "whats": "what's", "theres": "there's", "oclock": "o'clock",
}  # fmt: skip
_BARE_WORDS = re.compile(rf"\b(?:{'|'.join(_APOSTROPHES)})\b", re.I)


def respell(text: str) -> str:
    """Return a text in which mistyped words about faces, and denials without an apostrophe, are as they are meant.

    Mistyped is what CLIP's vocabulary has only in pieces, and a word of WORDS with two neighbors that changed places, a
    letter typed twice, or one missing inside. Another letter may as well be another word, of another language too.
    """
    text = spell_denials(text)
    return re.sub(rf"(?<![\w'’-])[A-Za-z]{{{LEAST},}}(?![\w'’-])", lambda found: _mend(found[0]), text)


def spell_denials(text: str) -> str:
    """Return a text with its apostrophes: an encoder reads "dont" and "hes" as something else than with them."""
    return _BARE_WORDS.sub(lambda found: _APOSTROPHES[found[0].lower()], _BARE.sub(r"\1n't", text))


def _mend(word: str) -> str:
    meant = _read_typos().get(word.lower())
    return word if meant is None else meant.capitalize() if word[0].isupper() else meant


@functools.lru_cache(maxsize=1)
def _read_typos() -> dict[str, str]:
    """Return every mistyped word that may be one alone."""
    meant: dict[str, set[str]] = {}
    for word in WORDS:
        inside = range(1, len(word) - 1)
        swapped = {word[:k] + word[k + 1] + word[k] + word[k + 2 :] for k in inside}
        twice = {word[:k] + word[k] + word[k:] for k in range(1, len(word))}
        for typo in swapped | twice | {word[:k] + word[k + 1 :] for k in inside}:
            meant.setdefault(typo, set()).add(word)
    tokenizer = Tokenizer(2)
    return {
        typo: words.pop()
        for typo, words in meant.items()
        if len(words) == 1 and len(typo) >= LEAST and typo not in WORDS | KEPT and len(tokenizer.encode(typo)) > 1
    }
