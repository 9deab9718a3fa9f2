"""Captions in Spanish, German, French, Chinese and Hindi: everyday words for the common attributes.

Of Hindi in Latin letters, whose syllables any language may have, there are texts that the encoder looks up and no tower
learns: one that did took a hundredth more of what is about anything else for a face.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .captions import Concept, Meaning, restrict

LANGUAGES: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "languages.json").read_text("utf-8"))
LEARNED = tuple(code for code, frames in LANGUAGES.items() if frames.get("learned", True))
AND = {"es": " y ", "de": " und ", "fr": " et ", "zh": "，", "hi": " और ", "hi_Latn": " aur "}
KINDS = ("adjectives", "nouns", "alone", "changes")
DENIALS = re.compile("不|没|無|无|别|勿|未|नहीं|बिना|मत|न ")  # of the languages with forms that deny, which deny once
DENIED = 0.15  # share of the phrases that are
OBJECTS = 0.5  # share of what is about anything but a face, that is about an object


class Tongue:
    """One language's frames and concepts, of which an image tower knows what `names` has.

    A concept has adjectives by gender, noun phrases as they stand after "with", phrases that stand alone, and changes
    asked for. A frame's "{m}" and "{f}" are an adjective's genders, "{s}" and "{p}" a German one's stem and whole,
    "{d}" one with a degree, and "{n}" a noun phrase. "denied" is said of what somebody has, "stopped" of what somebody
    does, and "of_objects" of what is no face.
    """

    def __init__(self, code: str, names: Sequence[str]) -> None:
        self.code, self.frames = code, LANGUAGES[code]
        self.concepts = []
        for entry in self.frames["concepts"]:
            known = restrict([Concept(entry["meaning"], [], [], [])], names)
            self.concepts += [{**entry, "meaning": each.meaning} for each in known]

    def say(self, rng: random.Random) -> tuple[str, Meaning]:
        """Make a caption and what it means: one thing, or two."""
        one = rng.choice(self.concepts)
        kind = rng.choice([kind for kind in KINDS if one.get(kind) and (self.frames.get(kind) or kind == "adjectives")])
        if kind == "adjectives":
            text, meaning = self._adjective(one, rng)
        else:
            phrase, frames, meaning = rng.choice(one[kind]), self.frames[kind], one["meaning"]
            denied = self.frames.get("stopped" if kind == "changes" else "denied")
            if denied and not DENIALS.search(phrase) and rng.random() < DENIED:
                frames, meaning = denied, {name: -0.7 * value for name, value in meaning.items()}
            text = rng.choice(frames).format(phrase)
        if rng.random() < 0.1:
            other = rng.choice(self.concepts)
            if other.get("changes"):
                joint = AND[self.code] if rng.random() < 0.5 else ", "
                return text + joint + rng.choice(other["changes"]), _sum(meaning, other["meaning"])
        return (text[0].upper() + text[1:] if rng.random() < 0.25 else text), meaning

    def _adjective(self, one: dict[str, Any], rng: random.Random) -> tuple[str, Meaning]:
        man, woman = rng.choice(one["adjectives"])
        stem = man[:-1] if man.endswith("e") else man
        with_nouns = [each for each in self.concepts if each.get("nouns") or (self.code == "hi" and each.get("alone"))]
        roll = rng.random()
        frames = self.frames["both"] if roll < 0.2 else self.frames["graded"] if roll < 0.4 else self.frames["about"]
        if not woman:
            frames = [form for form in frames if "{f}" not in form]
        if frames is self.frames["both"] or (frames and "{n}" in frames[0]):
            other = rng.choice(with_nouns)
            noun = rng.choice(other.get("nouns") or other["alone"])
            text = rng.choice(frames).format(m=man, f=woman, s=stem, p=man, n=noun)
            return text, _sum(one["meaning"], other["meaning"])
        if frames and "{d}" in frames[0]:
            form, weight = rng.choice(self.frames["degrees"])
            if DENIALS.search(form) and DENIALS.search(man):
                form, weight = "{}", 1.0
            frame = rng.choice(frames)
            feminine = any(word in frame for word in ("ella", "cara")) and bool(woman)
            text = frame.format(d=form.format(woman if feminine else man))
            return text, {name: weight * value for name, value in one["meaning"].items()}
        return rng.choice(frames).format(m=man, f=woman, s=stem, p=man), one["meaning"]

    def elsewhere(self, rng: random.Random) -> str:
        """Make a prompt about anything but a face."""
        if "objects" in self.frames and rng.random() < OBJECTS:
            return rng.choice(self.frames["of_objects"]).format(rng.choice(self.frames["objects"]))
        things = self.frames["things"]
        return rng.choice(things) if rng.random() < 0.7 else AND[self.code].join(rng.sample(things, 2))

    def phrases(self) -> list[str]:
        """Every phrase of the language as it stands in the list."""
        return [
            phrase
            for each in self.concepts
            for kind in KINDS
            for item in each.get(kind, [])
            for phrase in ([item] if isinstance(item, str) else item)
            if phrase
        ]


def _sum(one: Meaning, other: Meaning) -> Meaning:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}
