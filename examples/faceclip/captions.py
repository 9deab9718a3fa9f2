"""Words for what faceclip knows: phrases, their meaning as attribute coefficients, and sentences made of them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Meaning = dict[str, float]
LETTERS = "bcdfghjklmnpqrstvwxyz0123456789"


@dataclass(frozen=True)
class Concept:
    """One meaning and the ways to say it: before the noun, after "with", and as a change asked for."""

    meaning: Meaning
    adjectives: list[str]
    nouns: list[str]
    changes: list[str]


VOCABULARY: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "vocabulary.json").read_text())
CONCEPTS = tuple(Concept(**entry) for entry in VOCABULARY["concepts"])
PEOPLE: tuple[tuple[str, Meaning], ...] = tuple((entry["word"], entry["meaning"]) for entry in VOCABULARY["people"])
THINGS, NAMES, SENTENCES = VOCABULARY["things"], VOCABULARY["names"], VOCABULARY["sentences"]  # about no face

FRAMES = (
    "{}", "{}", "a photo of {}", "a portrait of {}", "a picture of {}", "an image of {}", "photo of {}", "close-up of {}",
    "a close-up photo of {}", "the face of {}", "this is {}", "a headshot of {}",
)  # fmt: skip
DEGREES = (
    ("slightly", 0.5), ("a little", 0.5), ("a bit", 0.5), ("somewhat", 0.7), ("very", 1.4), ("really", 1.3),
    ("extremely", 1.6), ("strongly", 1.4), ("so", 1.2), ("quite", 1.0),
)  # fmt: skip
WHOM = ("her", "him", "them", "the person", "this person", "the face", "the woman", "the man", "me", "my friend")
ASKED_NOUNS = (
    "give {} {}", "give {} {}, please", "what would {} look like with {}", "show {} with {}", "{} should have {}",
)  # fmt: skip
ASKED_ADJECTIVES = (
    "make {} {}", "make {} look {}", "can you make {} look {}?", "please make {} a bit {}", "{} looks {}", "{} is {}",
    "i want {} to look {}", "turn {} into a {} person", "{} but {}", "could {} be more {}?",
)  # fmt: skip
ASKED_CHANGES = (
    "{}", "{}", "{}, please", "please {}", "could you {}?", "can you {}?", "{} a little", "{} slightly", "{} a lot",
    "i want to {}", "just {}",
)  # fmt: skip
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


def describe(rng: random.Random) -> tuple[str, Meaning]:
    """Make a caption about a face, and what it means."""
    meaning: Meaning = {}

    def add(part: Meaning, weight: float) -> None:
        for name, value in part.items():
            meaning[name] = meaning.get(name, 0.0) + weight * value

    def say(phrase: str, part: Meaning, *, plain: bool) -> str:
        roll = rng.random()
        if plain or roll < 0.75:
            add(part, 1.0)
            return phrase
        if roll < 0.92:
            word, weight = rng.choice(DEGREES)
            add(part, weight)
            article, _, rest = phrase.partition(" ")
            return f"{article} {word} {rest}" if article in ("a", "an") else f"{word} {phrase}"
        add(part, -0.7)
        return f"not {phrase}"

    chosen = rng.sample(CONCEPTS, rng.choices((1, 2, 3), (0.72, 0.2, 0.08))[0])
    plain = rng.random() < 0.5
    who, who_means = rng.choice(PEOPLE[:3]) if rng.random() < 0.6 else rng.choice(PEOPLE)
    front, back = [], []
    if len(chosen) == 1 and rng.random() < 0.4:
        return ask(rng, chosen[0], lambda phrase, part, sure: say(phrase, part, plain=plain or sure)), meaning
    for each in chosen:
        if each.adjectives and (rng.random() < 0.5 or not each.nouns):
            front.append(say(rng.choice(each.adjectives), each.meaning, plain=plain))
        else:
            back.append(say(rng.choice(each.nouns), each.meaning, plain=plain))
    if rng.random() < 0.4 and not (front and back):  # the bare words
        return " and ".join(front or back), meaning
    add(who_means, 1.0)
    words = f"{', '.join(front)} {who}" if front else who
    article = rng.choice(("a", "the", "one")) if rng.random() < 0.3 else ("an" if words[0] in "aeiou" else "a")
    text = f"{article} {words}" if who != "someone" else words
    if back:
        text += f" {rng.choice(('with', 'with', 'who has', 'having'))} {' and '.join(back)}"
    return rng.choice(FRAMES).format(text), meaning


def ask(rng: random.Random, what: Concept, say: Callable[[str, Meaning, bool], str]) -> str:
    """Ask for one thing, or say that it is so, as people do: "could you ...?", "give her ...", "he looks ...".

    `say` notes what a phrase means and returns it, as it is where its third argument says so.
    """
    kinds = [(ASKED_CHANGES, what.changes), (ASKED_NOUNS, what.nouns), (ASKED_ADJECTIVES, what.adjectives)]
    frames, words = rng.choice([kind for kind in kinds if kind[1]])
    phrase = say(rng.choice(words), what.meaning, frames is ASKED_CHANGES)
    frame = rng.choice(frames)
    return frame.format(phrase) if frames is ASKED_CHANGES else frame.format(rng.choice(WHOM), phrase)


def foreign(rng: random.Random) -> str:
    """Make a prompt about anything but a face: things, names, sentences, and letters that are no word."""
    if rng.random() < 0.1:
        return rng.choice(SENTENCES)

    def noun() -> str:
        roll = rng.random()
        if roll < 0.15:
            return "".join(rng.choice("aeiou" if rng.random() < 0.4 else LETTERS) for _ in range(rng.randint(2, 10)))
        return rng.choice(NAMES if roll < 0.35 else THINGS)

    frame = rng.choice(FOREIGN_FRAMES + OTHER_FRAMES)
    return frame.format(*(noun() for _ in range(frame.count("{}"))))


def phrase_bank() -> tuple[list[str], list[Meaning | None]]:
    """Every phrase there is, alone and in a plain sentence, and what it means; None for what is not about faces."""
    bank: list[tuple[str, Meaning | None]] = []
    for each in CONCEPTS:
        for word in each.adjectives:
            bank += [(form.format(word), each.meaning) for form in ("{}", "a {} face", "a {} person")]
        for phrase in each.nouns:
            bank += [(form.format(phrase), each.meaning) for form in ("{}", "a face with {}")]
        bank += [(phrase, each.meaning) for phrase in each.changes]
    bank += [(f"a {word}", meaning) for word, meaning in PEOPLE]
    bank += [(word, None) for word in (*THINGS, *NAMES, *SENTENCES)]
    return [text for text, _ in bank], [meaning for _, meaning in bank]
