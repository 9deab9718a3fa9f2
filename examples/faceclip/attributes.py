"""What faceclip knows: attributes, each a direction with two ends, and how each is measured."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from flowedit.face.measures import measure

EXPRESSION = ("happy", "sad", "angry", "surprised", "fearful", "disgusted", "neutral")
GEOMETRY = (
    "mouth_curvature", "mouth_open", "mouth_width", "lip_thickness", "eye_area", "eye_open",
    "brow_height", "nose_width", "nose_length", "face_width", "jaw_width", "face_length",
)  # fmt: skip
PERSON = ("old", "female")
COLOR = ("lips_red", "skin_light", "skin_warm", "cheeks_red", "brows_dark", "hair_dark", "eyes_brown")
NAMES = EXPRESSION + GEOMETRY + PERSON + COLOR
INDEX = {name: k for k, name in enumerate(NAMES)}
STEEPNESS = 1.7  # a z-score of 1 becomes a label of 0.85: near ties teach little, extremes much


def geometry(landmarks: Tensor) -> Tensor:
    """(B, 68, 2) to (B, 12) in the order of GEOMETRY."""
    values = measure(landmarks)
    return torch.stack([values[name] for name in GEOMETRY], -1)


def person_labels(
    expression: np.ndarray, emotion: np.ndarray, age: np.ndarray, female: np.ndarray
) -> tuple[Tensor, Tensor]:
    """Soft labels and weights (N, 9) for EXPRESSION + PERSON from a set's words and a classifier's guesses.

    The word of the set wins where it names the expression; the classifier (7 probabilities in the order
    neutral, happy, sad, angry, fearful, disgusted, surprised) fills the rest, at half weight.
    """
    words = {
        "happy": "happiness", "sad": "sadness", "angry": "anger", "surprised": "surprise",
        "fearful": "fear", "disgusted": "disgust", "neutral": "neutral",
    }  # fmt: skip
    order = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
    labels, weights = [], []
    for name in EXPRESSION:
        said = expression == words[name]
        guess = emotion[:, order.index(name)]
        if name in ("happy", "neutral"):  # the set's own words are reliable for its two large classes
            label, weight = said.astype(np.float32), np.where(np.abs(said - guess) < 0.7, 1.0, 0.3)
        else:
            label = np.maximum(said, guess)
            weight = np.where(said, 3.0, np.where(guess > 0.5, 2.0, 0.7))
        labels.append(label)
        weights.append(weight)
    labels.append(1 / (1 + np.exp(-(age - 38) / 6)))
    weights.append(np.clip(np.abs(age - 38) / 10, 0.2, 1))
    labels.append(female)
    weights.append(np.abs(2 * female - 1) ** 2)
    return (
        torch.tensor(np.stack(labels, 1), dtype=torch.float32),
        torch.tensor(np.stack(weights, 1), dtype=torch.float32),
    )


def soft_label(value: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Turn a measurement into a label in (0, 1) by its place in the population."""
    return torch.sigmoid(STEEPNESS * (value - mean) / std)


def ends(value: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Take the upper 30 percent of the members' measurements (N,) against the lower 30: which are up, which count."""
    low, high = value[members].quantile(0.3), value[members].quantile(0.7)
    return value > high, members & ((value < low) | (value > high))


def sure(label: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Take the members whose soft label (N,) is sure: which show it, which count."""
    return label > 0.5, members & ((label > 0.7) | (label < 0.2))
