"""Words for what faceclip knows: phrases, their meaning as attribute coefficients, and sentences made of them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from .grammar import (
    comparative,
    gerund,
    is_gradable,
    listed,
    may_be_negated,
    mend,
    with_article,
    without_article,
    write_as_people_do,
)

Meaning = dict[str, float]
LETTERS = "bcdfghjklmnpqrstvwxyz0123456789"
TURNS = re.compile(
    r"(no|not|never|without|nothing|none|hardly|barely|less|more|too|un\w+|stop\w*|off|out|away|lose|\w+n't)\b"
)
SAYINGS = 0.4  # share of the captions about one thing or two, that are sayings
KEPT_SHARE = 0.5  # of a meaning's largest coefficient that must remain where some attributes are unknown


@dataclass(frozen=True)
class Concept:
    """One meaning and the ways to say it: before the noun, after "with", as a change asked for, and whole prompts.

    A change may have "{the}", "{her}" and "{she}" in it: whose, whom and who. Sayings are what people say instead:
    situations, comparisons, requests in other words.
    """

    meaning: Meaning
    adjectives: list[str]
    nouns: list[str]
    changes: list[str]
    sayings: list[str] = field(default_factory=list)


class Whom(NamedTuple):
    """Somebody in the forms that a sentence may need."""

    whom: str
    who: str
    whose: str
    verbs: tuple[str, str, str]  # looks, has, is


SHE, THEY = ("looks", "has", "is"), ("look", "have", "are")
VOCABULARY: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "vocabulary.json").read_text("utf-8"))
CONCEPTS = tuple(Concept(**entry) for entry in VOCABULARY["concepts"])
RECOGNIZED = frozenset(VOCABULARY["recognized"])  # attributes that no edit makes
MAKEABLE = tuple(each for each in CONCEPTS if not RECOGNIZED & set(each.meaning))
PEOPLE: tuple[tuple[str, Meaning], ...] = tuple((entry["word"], entry["meaning"]) for entry in VOCABULARY["people"])
THINGS, NAMES, SENTENCES = VOCABULARY["things"], VOCABULARY["names"], VOCABULARY["sentences"]  # about no face
WHOM = (
    Whom("her", "she", "her", SHE),
    Whom("him", "he", "his", SHE),
    Whom("them", "they", "their", THEY),
    Whom("me", "i", "my", ("look", "have", "am")),
    Whom("the person", "the person", "the", SHE),
    Whom("this person", "this person", "the", SHE),
    Whom("the face", "the face", "the", SHE),
    Whom("the woman", "the woman", "her", SHE),
    Whom("the man", "the man", "his", SHE),
    Whom("my friend", "my friend", "the", SHE),
)
UNNAMED = ("face", "portrait", "human face")  # what no "who" refers to
FRAMES = (
    "{}", "{}", "a photo of {}", "a portrait of {}", "a picture of {}", "an image of {}", "photo of {}", "close-up of {}",
    "a close-up photo of {}", "the face of {}", "this is {}", "a headshot of {}", "i want to see {}", "show me {}",
    "imagine {}",
)  # fmt: skip
# Before an adjective that can be graded: how much of its meaning is left.
DEGREES = (
    ("slightly {}", 0.5), ("a little {}", 0.5), ("a bit {}", 0.5), ("somewhat {}", 0.7), ("very {}", 1.4),
    ("really {}", 1.3), ("extremely {}", 1.6), ("so {}", 1.2), ("quite {}", 1.0), ("rather {}", 1.0),
    ("a tiny bit {}", 0.35), ("incredibly {}", 1.6),
)  # fmt: skip
FRONT_DEGREES = tuple(
    (form, weight) for form, weight in DEGREES if form.split()[0] not in ("a", "so")
)  # "a very sad man"
PLAIN_DENIAL = -0.7  # of a meaning, by a word without a degree
DENIED = (("not {}", PLAIN_DENIAL), ("not so {}", -0.5), ("less {}", -0.6), ("not at all {}", -0.9), ("not too {}", -0.4),
          ("a bit less {}", -0.4), ("a little less {}", -0.4), ("much less {}", -0.9), ("far less {}", -0.9))  # fmt: skip
COMPARED = (("{}", 1.0), ("a bit {}", 0.6), ("a little {}", 0.6), ("much {}", 1.4), ("a lot {}", 1.4), ("far {}", 1.5),
            ("{} than before", 1.0), ("{} than now", 1.0), ("slightly {}", 0.5), ("even {}", 1.2))  # fmt: skip
NOUN_DENIED = (("no {bare}", PLAIN_DENIAL), ("no {bare} at all", -0.9), ("less of {}", -0.5))
NOUN_DEGREES = (("a hint of {}", 0.4), ("a touch of {}", 0.4), ("something like {}", 0.7))
SAID = (  # a sentence about somebody: {who} {looks} {has} {is}, and an adjective
    ("{who} {looks} {adj}", 1.0), ("{who} {is} {adj}", 1.0), ("{who} {looks} too {adj}", -0.7),
    ("{who} {is} not {adj} enough", 0.8), ("why {is} {who} so {adj}?", -0.5), ("{who} should look {adj}", 1.0),
    ("{who} should not look so {adj}", -0.6), ("{who} could be {adj}", 1.0), ("{who} shouldn't be {adj}", -0.7),
    ("what if {who} {looks} {adj}?", 1.0), ("how would {who} look if {who} {is} {adj}?", 1.0),
)  # fmt: skip
ASKED = (
    "make {whom} {adj}", "make {whom} look {adj}", "can you make {whom} look {adj}?", "please make {whom} {adj}",
    "could you make {whom} {adj}, please?", "i want {whom} to look {adj}", "i'd like {whom} to be {adj}",
    "let {whom} look {adj}", "can we try to make {whom} {adj}?", "would it be possible to make {whom} look {adj}?",
    "turn {whom} into someone {adj}", "i would like {whom} to look {adj}",
)  # fmt: skip
ASKED_NOUNS = (
    "give {whom} {noun}", "give {whom} {noun}, please", "what would {who} look like with {noun}?", "show {whom} with {noun}",
    "{who} should have {noun}", "can {who} have {noun}?", "can we try {noun}?", "how about {noun}?", "i want {noun}",
    "could you give {whom} {noun}?", "{who} {has} {noun}", "let's try {noun}", "i'd like to see {whom} with {noun}",
)  # fmt: skip
ASKED_CHANGES = (
    "{}", "{}", "{}, please", "please {}", "could you {}?", "can you {}?", "i want you to {}", "just {}", "can we {}?",
    "could you please {}?", "would you {}?", "try to {}", "now {}", "i'd like you to {}",
)  # fmt: skip
MEASURES = (
    ("{} a little", 0.5),
    ("{} slightly", 0.5),
    ("{} a lot", 1.4),
    ("{} a bit", 0.5),
    ("{} as much as you can", 1.6),
)
JOINED = (" and ", " and ", ", ", ", but ", ", then ", " and also ")
FOREIGN_FRAMES = (
    "{}", "a {}", "a photo of a {}", "a picture of {}", "the {} is here", "a red {}", "a big {}", "a small {}", "an old {}",
    "a {} and a {}", "the {} of the {}", "make a {}", "turn it into a {}", "a wide {}", "a beautiful {}", "a {} with a {}",
    "a happy {}", "long {}", "a dark {}",
)  # fmt: skip
OTHER_FRAMES = (
    "{} {} and {}", "how to fix {}", "{} in {}", "i ate {} with {}", "the price of {} went up", "we drove to {} yesterday",
    "install {} on {}", "the history of {}", "buy a new {}", "{}, {}, {}", "a {} made of {}", "import {} as {}",
    "print the {}", "where is the {}?", "a review of {}", "{} won the game against {}", "the {} is broken",
)  # fmt: skip


def restrict(concepts: Iterable[Concept], names: Sequence[str]) -> tuple[Concept, ...]:
    """Keep of every meaning what an image tower knows by these names, and drop concepts of which too little is left."""
    kept = []
    for each in concepts:
        meaning = {name: value for name, value in each.meaning.items() if name in names}
        most = max(map(abs, each.meaning.values()))
        if max(map(abs, meaning.values()), default=0.0) >= KEPT_SHARE * most:
            kept.append(replace(each, meaning=meaning))
    return tuple(kept)


def spell(change: str) -> list[str]:
    """Return a change in the words for everybody whom it may be asked for."""
    return list(dict.fromkeys(fill(change, who) for who in WHOM)) if "{" in change else [change]


def fill(change: str, who: Whom) -> str:
    """Put somebody into a change."""
    return change.replace("{the}", who.whose).replace("{her}", who.whom).replace("{she}", who.who)


class Caption:
    """A caption in the making: its words come from the methods, what they mean adds up in `meaning`."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.meaning: Meaning = {}
        self.plain = rng.random() < 0.4

    def add(self, part: Meaning, weight: float = 1.0) -> None:
        for name, value in part.items():
            self.meaning[name] = self.meaning.get(name, 0.0) + weight * value

    def graded(self, forms: Sequence[tuple[str, float]], what: Concept) -> str:
        form, weight = self.rng.choice(forms)
        self.add(what.meaning, weight)
        return form

    def adjective(self, what: Concept, *, before: bool = False) -> str:
        """An adjective with or without a degree; `before` a noun only what can stand there."""
        word = self.rng.choice([each for each in what.adjectives if " " not in each] if before else what.adjectives)
        roll = self.rng.random()
        if self.plain or roll < 0.5 or (before and not is_gradable(word)):
            self.add(what.meaning)
            return word
        if before:
            return self.graded(FRONT_DEGREES, what).format(word)
        if not is_gradable(word):
            return self.graded((("not {}", PLAIN_DENIAL), ("{}", 1.0), ("no longer {}", PLAIN_DENIAL)), what).format(
                word
            )
        if roll < 0.66:
            return self.graded(DEGREES, what).format(word)
        if roll < 0.83:
            return self.graded(COMPARED, what).format(comparative(word))
        return self.graded(DENIED, what).format(word)

    def noun(self, what: Concept) -> str:
        """A noun phrase with or without a degree or a denial."""
        phrase = self.rng.choice(what.nouns)
        roll = self.rng.random()
        if self.plain or roll < 0.75 or not may_be_negated(phrase):
            self.add(what.meaning)
            return phrase
        forms = NOUN_DENIED if roll < 0.9 else NOUN_DEGREES
        if not phrase.startswith(("a ", "an ")):
            forms = tuple(form for form in forms if form[0] != "less of {}")
        return self.graded(forms, what).format(phrase, bare=without_article(phrase))

    def change(self, what: Concept, who: Whom) -> str:
        """A change asked for, more or less of it, or that it should stop."""
        verbs = [each for each in what.changes if " " not in each and "{" not in each]  # what somebody does can stop
        roll = self.rng.random()
        if verbs and roll < 0.4:
            self.add(what.meaning, PLAIN_DENIAL)
            verb = self.rng.choice(verbs)
            return self.rng.choice((f"stop {gerund(verb)}", f"don't {verb}", f"do not {verb}"))
        phrase = self.rng.choice(what.changes)
        if self.plain or roll < 0.8 or len(phrase.split()) > 4:
            self.add(what.meaning)
            return fill(phrase, who)
        return self.graded(MEASURES, what).format(fill(phrase, who))

    def request(self, what: Concept, who: Whom) -> str:
        """One sentence that asks for a thing, or says that it is so."""
        kinds = [kind for kind in ("changes", "nouns", "adjectives") if getattr(what, kind)]
        kind = self.rng.choice(kinds)
        looks, has, is_ = who.verbs
        if kind == "changes":
            return self.rng.choice(ASKED_CHANGES).format(self.change(what, who))
        if kind == "nouns":
            return self.rng.choice(ASKED_NOUNS).format(whom=who.whom, who=who.who, has=has, noun=self.noun(what))
        if self.rng.random() < 0.4:
            form = self.graded(SAID, what)
            adjective = self.rng.choice(what.adjectives)
            return form.format(who=who.who, looks=looks, has=has, **{"is": is_}, adj=adjective)
        return self.rng.choice(ASKED).format(whom=who.whom, adj=self.adjective(what))

    def several(self, chosen: Sequence[Concept]) -> str:
        """Requests for several things in one sentence or more."""
        who = self.rng.choice(WHOM)
        if self.rng.random() < 0.4 and all(each.adjectives for each in chosen):
            adjectives = listed([self.adjective(each) for each in chosen])
            return self.rng.choice(ASKED).format(whom=who.whom, adj=adjectives)
        if self.rng.random() < 0.5 and all(each.changes for each in chosen):
            changes = [self.change(each, who) for each in chosen]
            text = self.rng.choice(JOINED).join(changes) if len(changes) == 2 else listed(changes)
            return self.rng.choice(ASKED_CHANGES).format(text)
        return " ".join(end(self.request(each, who)) for each in chosen)

    def description(self, chosen: Sequence[Concept]) -> str:
        """A person, what they are like and what they have."""
        front, back, lacking, after = [], [], [], []
        for each in chosen:
            single = any(" " not in word for word in each.adjectives)
            if single and len(front) < 3 and (self.rng.random() < 0.5 or not each.nouns):
                front.append(self.adjective(each, before=True))
            elif each.adjectives and (self.rng.random() < 0.25 or not each.nouns):
                after.append(self.adjective(each))
            elif self.rng.random() < 0.12:
                denied = [noun for noun in each.nouns if may_be_negated(noun)]
                lacking += [self.rng.choice(denied)] if denied else []
                self.add(each.meaning, PLAIN_DENIAL if denied else 0.0)
            else:
                back.append(self.noun(each))
        if self.rng.random() < 0.3 and not after:  # the bare words
            parts = [*front, *back, *(f"without {noun}" for noun in lacking)]
            if parts:
                return listed(parts) if self.rng.random() < 0.6 else ", ".join(parts)
        who, who_means = self.rng.choice(PEOPLE[:3]) if self.rng.random() < 0.5 else self.rng.choice(PEOPLE)
        self.add(who_means)
        relative = "that" if who in UNNAMED else "who"
        words = f"{', '.join(front)} {who}" if front else who
        text = f"the {words}" if self.rng.random() < 0.2 else with_article(words)
        if who == "someone":
            text = f"someone {listed(front)}" if front else who
        if back:
            text += f" {self.rng.choice(('with', 'with', 'with', f'{relative} has', 'having'))} {listed(back)}"
        if lacking:
            text += f"{' but' if back else ''} without {listed(lacking)}"
        if after:
            text += f" {'and ' if back or lacking else ''}{relative} {self.rng.choice(('looks', 'is'))} {listed(after)}"
        return text if who in UNNAMED and self.rng.random() < 0.8 else self.rng.choice(FRAMES).format(text)

    def preference(self, one: Concept, other: Concept) -> str:
        """Rather one thing than another."""
        who = self.rng.choice(WHOM)
        self.add(one.meaning)
        self.add(other.meaning, PLAIN_DENIAL)
        words = [self.rng.choice(each.adjectives) for each in (one, other)]
        form = self.rng.choice(("{0} rather than {1}", "rather {0} than {1}", "{0} instead of {1}", "not {1} but {0}",
                                "no longer {1} but {0}", "more {0} than {1}"))  # fmt: skip
        text = form.format(*words)
        return self.rng.choice(ASKED).format(whom=who.whom, adj=text) if self.rng.random() < 0.7 else text


def shorten(saying: str, rng: random.Random) -> str:
    """Leave out a word of a longer saying now and then, so that no single one comes to be all that it is known by."""
    words = saying.split()
    for _ in range(rng.choice((0, 0, 1, 1, 2)) if len(words) > 4 else 0):
        k = rng.randrange(len(words))
        if not TURNS.match(words[k].lower()) and words[k - 1].lower() not in ("a", "an"):
            words.pop(k)
    return " ".join(words)


def end(sentence: str) -> str:
    """Close a sentence."""
    return sentence if sentence[-1] in ".!?" else f"{sentence}."


def describe(rng: random.Random, concepts: Sequence[Concept] = CONCEPTS) -> tuple[str, Meaning]:
    """Make a caption about a face, one sentence or several, and what it means."""
    caption = Caption(rng)
    chosen = rng.sample(concepts, rng.choices((1, 2, 3, 4, 5), (0.6, 0.2, 0.12, 0.05, 0.03))[0])
    roll = rng.random()
    with_adjectives = [each for each in chosen if each.adjectives]
    if chosen[0].sayings and len(chosen) < 3 and rng.random() < SAYINGS:
        caption.add(chosen[0].meaning)
        others = [caption.request(each, rng.choice(WHOM)) for each in chosen[1:]]
        said = shorten(rng.choice(chosen[0].sayings), rng)
        text = " ".join(map(end, [said, *others])) if others else said
    elif len(chosen) == 1 and roll < 0.45:
        text = caption.request(chosen[0], rng.choice(WHOM))
    elif len(with_adjectives) >= 2 and roll < 0.1:
        text = caption.preference(*with_adjectives[:2])
    elif len(chosen) > 1 and roll < 0.4:
        text = caption.several(chosen)
    elif len(chosen) > 2 and roll < 0.6:
        text = f"{end(caption.description(chosen[:2]))} {caption.several(chosen[2:])}"
    else:
        text = caption.description(chosen)
    return write_as_people_do(mend(text), rng), caption.meaning


def foreign(rng: random.Random) -> str:
    """Make a prompt about anything but a face: things, names, sentences, and letters that are no word."""
    if rng.random() < 0.4:
        return rng.choice(SENTENCES)

    def noun() -> str:
        roll = rng.random()
        if roll < 0.15:
            return "".join(rng.choice("aeiou" if rng.random() < 0.4 else LETTERS) for _ in range(rng.randint(2, 10)))
        return rng.choice(NAMES if roll < 0.35 else THINGS)

    frame = rng.choice(FOREIGN_FRAMES + OTHER_FRAMES)
    return frame.format(*(noun() for _ in range(frame.count("{}"))))


def phrase_bank(concepts: Sequence[Concept] = CONCEPTS) -> tuple[list[str], list[Meaning | None]]:
    """Every phrase there is, alone and in a plain sentence, and what it means; None for what is not about faces."""
    bank: list[tuple[str, Meaning | None]] = []
    for each in concepts:
        for word in each.adjectives:
            forms = ("{}", "a {} face", "a {} person") if " " not in word else ("{}", "a person who is {}")
            bank += [(form.format(word), each.meaning) for form in forms]
        for phrase in each.nouns:
            bank += [(form.format(phrase), each.meaning) for form in ("{}", "a face with {}")]
        bank += [(phrase, each.meaning) for change in each.changes for phrase in spell(change)[:2]]
        bank += [(fill(saying, WHOM[0]), each.meaning) for saying in each.sayings]
    bank += [(f"a {word}", meaning) for word, meaning in PEOPLE]
    bank += [(word, None) for word in (*THINGS, *NAMES, *SENTENCES)]
    return [text for text, _ in bank], [meaning for _, meaning in bank]
