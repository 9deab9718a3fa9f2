"""Soft labels and their weights from what the sets say: their words, their tags, and a classifier's guesses."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .attributes import EXPRESSION, LABELLED, THING

WORDS = {
    "happy": "happiness", "sad": "sadness", "angry": "anger", "surprised": "surprise",
    "fearful": "fear", "disgusted": "disgust", "neutral": "neutral",
}  # fmt: skip
GUESSES = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
GLASSES = ("glasses", "round glasses", "reading glasses", "square glasses", "cat-eye glasses", "rimless glasses")
SUNGLASSES = ("sunglasses", "aviator sunglasses", "sport sunglasses")
HATS = ("hat", "beanie", "top hat", "fedora", "cowboy hat", "sun hat", "baseball cap")
HAIR_COLORS = (
    "red hair",
    "blonde hair",
    "black hair",
    "blue hair",
    "gray hair",
    "pink hair",
    "brown hair",
    "green hair",
)
STYLES = ("long hair", "short hair", "straight hair", "bob cut", "curly hair", "high top hairstyle", "afro")
YOUNG = ("baby", "toddler", "child")
SHOWN = {  # the tags that say a thing is there
    "glasses": GLASSES,
    "sunglasses": SUNGLASSES,
    "hat": HATS,
    "bald": ("bald",),
    "full_beard": ("full beard", "long white beard", "fashionable beard"),
    "mustache": ("mustache",),
    "hair_long": ("long hair",),
    "hair_curly": ("curly hair", "afro"),
    "heavy_makeup": ("heavy makeup", "traditional makeup"),
    "tongue": ("tongue out",),
}
RULED_OUT = {  # the tags that say it is not
    "glasses": (*SUNGLASSES, *YOUNG),
    "sunglasses": (*GLASSES, *YOUNG, "green eyes", "blue eyes", "brown eyes", "hazel eyes", "strong eyeliner"),
    "hat": (*STYLES, "bald"),
    "bald": (*STYLES, *HAIR_COLORS),
    "full_beard": (*YOUNG, "female", "shaved", "teenager", "heavy makeup", "red lipstick"),
    "mustache": (*YOUNG, "female", "shaved", "teenager", "heavy makeup", "red lipstick"),
    "hair_long": ("short hair", "bob cut", "bald", "shaved", "high top hairstyle", "beanie", "baby"),
    "hair_curly": ("straight hair", "bald", "bob cut"),
    "heavy_makeup": ("no makeup", *YOUNG, "male"),
    "tongue": ("neutral", "grim", "shaved", "lipstick", "angry"),
}
STUDIO_HAS_NONE = ("glasses", "sunglasses", "hat", "tongue", "heavy_makeup")
ABSENT = 0.1  # weight of a thing's absence where a set does not speak of it
COMMON = {"glasses": 0.02}  # the same of what a tenth of the faces wear, said or not
GROWN_UP = 16  # years from which on a face is surely no child's


def labels(columns: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Soft labels and weights (N, K) in the order of LABELLED, from the columns that `prepare` wrote."""
    expression = expression_labels(columns["expression"], columns["emotion"], columns["source"])
    person = person_labels(columns["age"], columns["female"], columns["source"])
    thing = [thing_labels(name, columns) for name in THING]
    label, weight = zip(*expression, *person, *thing, strict=True)
    assert len(label) == len(LABELLED)
    return torch.tensor(np.stack(label, 1)).float(), torch.tensor(np.stack(weight, 1)).float()


def expression_labels(said: np.ndarray, emotion: np.ndarray, source: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Label the expressions.

    The word of the set wins where it names the expression; the classifier (7 probabilities in the order of GUESSES)
    fills the rest at half weight. Without a guess, a set's word also says that the face shows no other expression.
    """
    spoken, guessed = said != "", np.isfinite(emotion).all(1)
    firm = np.where(source == "synthetic", 0.7, 1.5)  # a text search found those
    found = []
    for name in EXPRESSION:
        is_said = said == WORDS[name]
        guess = np.nan_to_num(emotion[:, GUESSES.index(name)])
        if name in ("happy", "neutral"):  # the set's own words are reliable for its two large classes
            label, weight = is_said.astype(np.float32), np.where(np.abs(is_said - guess) < 0.7, 1.0, 0.3)
        else:
            label = np.maximum(is_said, guess)
            weight = np.where(is_said, 3.0, np.where(guess > 0.5, 2.0, 0.7))
        alone = spoken & ~guessed
        label = np.where(alone, is_said, label)
        weight = np.where(alone, np.where(is_said, 2 * firm, firm), weight)
        found.append((label, np.where(spoken | guessed, weight, 0.0)))
    return found


def person_labels(age: np.ndarray, female: np.ndarray, source: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Label age and gender; a small child's gender is not to be read."""
    known = np.isfinite(age)
    years = np.where(known, age, 38)
    old = 1 / (1 + np.exp(-(years - 38) / 6)), np.where(known, np.clip(np.abs(years - 38) / 10, 0.2, 1.5), 0)
    told = np.nan_to_num(female, nan=0.5)
    sure = np.abs(2 * told - 1) ** 2 * np.where(known & (years < 10), 0.2, 1.0)
    return [old, (told, sure)]


def thing_labels(name: str, columns: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Label a thing by tags; where a set has none, its absence is likely and counts little."""
    source, age, female = columns["source"], columns["age"], columns["female"]
    n = len(source)
    label, weight = np.zeros(n), np.zeros(n)
    if name == "teeth":  # measured in the picture
        return label, weight
    if name == "child":
        known = np.isfinite(age) & (source != "web")
        return (age < 10).astype(float), np.where(known & ((age < 10) | (age >= GROWN_UP)), 1.0, 0.0) + 0.2 * (
            source == "web"
        )
    tags = [set(text.split(",")) for text in columns["tags"]]
    shown = np.array([bool(tag & set(SHOWN[name])) for tag in tags])
    ruled_out = np.array([bool(tag & set(RULED_OUT[name])) for tag in tags]) & ~shown
    unsaid = source != "synthetic"
    studio = np.isin(source, ("london", "3dsk", "composite"))
    weight[unsaid] = COMMON.get(name, ABSENT)
    womanly, young = np.nan_to_num(female, nan=0.5), np.nan_to_num(age, nan=30) < GROWN_UP
    if name in ("full_beard", "mustache", "bald"):
        beardless = unsaid & ((womanly > 0.9) | young)
        weight[beardless] = 1.0 if name != "bald" else 0.5
        weight[unsaid & (age < 3) & (name == "bald")] = 0.0
    if name == "heavy_makeup":
        weight[unsaid & ((womanly < 0.1) | young)] = 0.5
    if name == "hair_long":
        weight[unsaid] = np.where(womanly[unsaid] < 0.1, 0.3, 0.0)
    if name in STUDIO_HAS_NONE:
        weight[studio] = 1.0
    weight[ruled_out] = 1.0
    looked = np.array(["looked at" in tag for tag in tags])
    if name in ("glasses", "sunglasses", "hat"):
        weight[looked] = 1.0
        weight[np.array([f"{name} unsure" in tag for tag in tags])] = 0.0
    label[shown], weight[shown] = 1.0, 4.0  # few
    return label, weight
