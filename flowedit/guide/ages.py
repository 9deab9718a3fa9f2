"""Ages in digits, in words: to a text tower that was taught no numbers "a 60-year-old man" may be young."""

from __future__ import annotations

import re

from flowedit.guide.shares import count_in_words

UNTIL = (35, 55, 75)  # years: young, middle-aged, old, and very old from there on
_ENGLISH = ("young", "middle-aged", "old", "very old")
_FORMS = tuple(
    (re.compile(form.replace("N", r"(\d{1,3})"), re.I), words)
    for form, words in (
        (r"\bN[\s-]*(?:years?|yrs?)[\s-]*olds?\b", _ENGLISH),
        (r"\bN ?y/?o\b", _ENGLISH),
        (r"\b(?:at (?:the )?age (?:of )?|aged? )N\b", _ENGLISH),
        (r"\bin (?:his|her|their|my|your|the) (?:early |mid |late )?N'?s\b", _ENGLISH),
        (r"(?<=\blike )at N(?=\W*$)", _ENGLISH),
        (r"(?<=\bis )N$", _ENGLISH),
        (r"(?<=\blike i'm )N\b", _ENGLISH),
        (r"(?<=\blike im )N\b", _ENGLISH),
        (r"\bage (?:me|him|her|them)(?: by)? N years\b", ("older", "older", "much older", "much older")),
        (r"(?<=\blook )N$", _ENGLISH),
        (r"(?<=\blooks )N$", _ENGLISH),
        (r"(?<=\bh(?:er|im) )N$", _ENGLISH),
        (r"\b(?:de )?N años\b(?! m)", ("joven", "de mediana edad", "mayor", "muy mayor")),
        (r"\bN[- ]?jährig(er|es|en|e|)\b", ("jung", "mittelalt", "alt", "sehr alt")),
        (r"\bN Jahre alt\b", ("jung", "mittelalt", "alt", "sehr alt")),
        (r"\b(?:de )?N ans\b(?! de)", ("jeune", "d'âge mûr", "âgé", "très âgé")),
        (r"\bN(?= years? (?:older|younger)\b)", ("ten",) * 4),
        (r"\bN(?= Jahre (?:älter|jünger)\b)", ("zehn",) * 4),
        (r"\bN ans de moins\b", ("plus jeune",) * 4),
        (r"\bN ans de plus\b", ("plus âgé",) * 4),
        (r"(?<![轻\d])N岁的?", ("年轻的", "中年的", "年老的", "年老的")),
        (r"N साल (?:का|की|के)", ("जवान", "अधेड़", "बूढ़ा", "बूढ़ा")),
    )
)


def spell_ages(text: str) -> str:
    """Return a text in which the ages that it gives as numbers are words for them."""
    text = count_in_words(text)
    if not re.search(r"\d", text):
        return text
    for form, words in _FORMS:

        def word(found: re.Match[str], words: tuple[str, ...] = words) -> str:
            age, *ending = found.groups()
            return words[sum(int(age) >= least for least in UNTIL)] + "".join(ending)

        text = form.sub(word, text)
    text = re.sub(r"\ba (?=old\b)", "an ", text, flags=re.I)
    return re.sub(r"\b(an? (?:very )?(?:young|old|middle-aged))$", r"\1 person", text, flags=re.I)
