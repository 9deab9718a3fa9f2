"""English forms that captions need: articles, comparatives, gerunds, and the slips of a hurried typist."""

from __future__ import annotations

import random
import re

COMPARATIVES = {
    "sad": "sadder", "mad": "madder", "calm": "calmer", "kind": "kinder", "nice": "nicer", "old": "older",
    "young": "younger", "pale": "paler", "fat": "fatter", "thin": "thinner", "slim": "slimmer", "plump": "plumper",
    "lean": "leaner", "stern": "sterner", "shy": "shyer", "cute": "cuter", "fresh": "fresher", "sick": "sicker",
    "proud": "prouder", "smug": "smugger", "sweet": "sweeter", "bold": "bolder", "gaunt": "gaunter", "dark": "darker",
    "tan": "tanner", "blond": "blonder", "blonde": "blonder", "fit": "fitter", "weak": "weaker", "glum": "glummer",
}  # fmt: skip
SOUNDS_LIKE_A_CONSONANT = re.compile(r"(one|uni|eu|us(e|u)|u-|u |ubiq)")
FINITE = re.compile(
    r"^(no|not|without|hardly|barely|little|less|fewer|few|more|many|lots|tons|too|almost|nearly|only|both|two|one|the|her|his)\b"
)


def with_article(words: str) -> str:
    """Put "a" or "an" before words."""
    vowel = words[0] in "aeiou" and not SOUNDS_LIKE_A_CONSONANT.match(words)
    return f"{'an' if vowel else 'a'} {words}"


def comparative(adjective: str) -> str:
    """Return "happier", "sadder", "more tired"."""
    if adjective in COMPARATIVES:
        return COMPARATIVES[adjective]
    if re.fullmatch("[a-z]{2,6}[^aeiou]y", adjective):
        return f"{adjective[:-1]}ier"
    return f"more {adjective}"


def gerund(verb: str) -> str:
    """Return "smiling", "grinning", "pouting" of a verb's plain form."""
    if verb.endswith("e") and not verb.endswith("ee"):
        return f"{verb[:-1]}ing"
    doubled = re.fullmatch("[^aeiou]+[aeiou][^aeiouwxyh]", verb)
    return f"{verb}{verb[-1]}ing" if doubled else f"{verb}ing"


def is_gradable(adjective: str) -> bool:
    """Return whether "very" may stand before an adjective: not "very smiling", "very gray-haired", "very in love"."""
    return not re.search(r"[ -]|ing$", adjective)


def may_be_negated(noun: str) -> bool:
    """Return whether "no" and "without" may stand before a noun phrase: it counts or denies nothing itself."""
    return not FINITE.match(noun) and " without " not in noun and " not " not in noun


def without_article(noun: str) -> str:
    """Return "grin" of "a grin"; phrases without an article as they are."""
    return re.sub("^an? ", "", noun)


def listed(parts: list[str]) -> str:
    """Join with commas and a last "and"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def mend(text: str) -> str:
    """Bring together what frame and phrase leave apart: "want me to" look is "want to", "to don't" pout is "not to"."""
    text = text.replace("want me to", "want to").replace("like me to", "like to")
    text = re.sub(r"\bto (?:don't|do not) ", "not to ", text)
    return re.sub(r"\b((?:could|can|would) (?:you|we) (?:please )?)(?:don't|do not) ", r"\1not ", text)


def mistype(text: str, rng: random.Random) -> str:
    """Leave out, double or exchange one letter of one longer word."""
    words = [m for m in re.finditer(r"[a-zA-Z]{5,}", text)]
    if not words:
        return text
    word = rng.choice(words)
    k = rng.randrange(word.start() + 1, word.end() - 1)
    slip = rng.choice(("", text[k] * 2, text[k + 1] + text[k]))
    return text[:k] + slip + text[k + 2 if len(slip) == 2 and slip[0] != slip[1] else k + 1 :]


def write_as_people_do(text: str, rng: random.Random) -> str:
    """Vary case, the last stop, and now and then a letter."""
    roll = rng.random()
    if roll < 0.35:
        sentences = re.split(r"(?<=[.!?]) ", text)
        text = " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)
        text = re.sub(r"\bi\b", "I", text)
    elif roll < 0.37:
        text = text.upper()
    if text[-1].isalnum() and rng.random() < 0.25:
        text += rng.choice((".", ".", "!"))
    return mistype(text, rng) if rng.random() < 0.06 else text
