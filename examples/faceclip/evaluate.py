"""Zero-shot accuracy of a trained faceclip, by prompts in plain English, on people it never saw."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.encoder import ClipEncoder, load_encoder

from . import attributes as attr
from .captions import FOREIGN, UNKNOWN, describe
from .color import rgb_to_lab
from .train_image import auc

PAIRS = {
    "mouth_curvature": ("a mouth with raised mouth corners", "downturned mouth corners"),
    "mouth_open": ("an open mouth", "a closed mouth"),
    "mouth_width": ("a wide mouth", "a narrow mouth"),
    "lip_thickness": ("thick lips", "thin lips"),
    "eye_area": ("big eyes", "small eyes"),
    "brow_height": ("raised eyebrows", "low eyebrows"),
    "nose_width": ("a wide nose", "a narrow nose"),
    "nose_length": ("a long nose", "a short nose"),
    "face_width": ("a wide face", "a narrow face"),
    "jaw_width": ("a wide jaw", "a slim jaw"),
    "face_length": ("a long face", "a short face"),
}
PROMPTS = {
    "happy": "a smiling face", "sad": "a sad face", "angry": "an angry face", "surprised": "a surprised face",
    "fearful": "a fearful face", "disgusted": "a disgusted face", "old": "an old face", "female": "a woman",
}  # fmt: skip
UNHEARD = (
    "Marie Curie, Barack Obama, Mount Everest, quantum chromodynamics, a bowl of cherries, the Sydney opera house, "
    "asdf qwer zxcv, lorem ipsum dolor, a yellow submarine, pancakes with syrup, a rusty bicycle chain, an oil rig, "
    "a wireless router, Beethoven's ninth, the stock exchange, a field of lavender, a cactus, a steam locomotive"
)


@torch.no_grad()
def evaluate(data: Path, weights: Path) -> dict[str, float]:
    """Print and return every figure."""
    encoder = load_encoder(str(weights))
    faces = np.load(data)
    image = torch.from_numpy(faces["image"]).permute(0, 3, 1, 2)

    def embed(chosen: np.ndarray) -> Tensor:
        parts = torch.from_numpy(np.flatnonzero(chosen)).split(128)
        return torch.cat([encoder.image(image[part].float() / 255) for part in parts])

    result: dict[str, float] = {}
    london = (faces["split"] == "test") & (faces["source"] == "london")
    smile = torch.from_numpy(faces["expression"][london] == "happiness")
    both = encoder.text(["a smiling face", "a neutral face"])
    result["smiling against neutral, London"] = auc(embed(london) @ (both[0] - both[1]), smile)
    web = (faces["split"] == "val") & (faces["source"] == "web")
    embedded = embed(web)
    values = attr.geometry(torch.from_numpy(faces["landmarks"][web]).float())
    scores = {name: embedded @ (encoder.text([more]) - encoder.text([less]))[0] for name, (more, less) in PAIRS.items()}
    everyone = torch.ones(len(embedded), dtype=torch.bool)
    result |= outer_auc(scores, values, everyone)
    for group, members in groups(faces, web).items():
        own = list(outer_auc(scores, values, members).values())
        result[f"shape, {group}: mean"], result[f"shape, {group}: least"] = sum(own) / len(own), min(own)
    labels, _ = attr.person_labels(*(faces[n][web] for n in ("expression", "emotion", "age", "female")))
    for k, name in enumerate(attr.EXPRESSION + attr.PERSON):
        if name in PROMPTS:
            sure = (labels[:, k] > 0.7) | (labels[:, k] < 0.2)
            score = embedded @ (encoder.text([PROMPTS[name]]) - encoder.text(["a face"]))[0]
            result[name] = auc(score[sure], labels[sure, k] > 0.5)
    result["face against other prompts"] = foreign_auc(encoder, weights)
    for name, value in result.items():
        print(f"{name:34s} AUC {value:.3f}")
    return result


def outer_auc(scores: dict[str, Tensor], values: Tensor, members: Tensor) -> dict[str, float]:
    """AUC of each shape's score (N,) between the outer 30 percents of the members by their own measurement."""
    result = {}
    for name, score in scores.items():
        value = values[members, attr.GEOMETRY.index(name)]
        low, high = value.quantile(0.3), value.quantile(0.7)
        outer = (value < low) | (value > high)
        result[name] = auc(score[members][outer], value[outer] > high)
    return result


def groups(faces: Any, chosen: np.ndarray) -> dict[str, Tensor]:
    """Members (N,) of each group of the chosen faces: gender and age as a classifier guessed, skin as photographed."""
    female, age = (torch.from_numpy(faces[name][chosen]) for name in ("female", "age"))
    pixels = torch.from_numpy(faces["image"][chosen]).permute(0, 3, 1, 2).float() / 255
    light = rgb_to_lab(F.avg_pool2d(pixels, 2))[:, 0]
    skin = torch.from_numpy(faces["masks"][chosen][:, 1]).float()
    light = (light * skin).sum((1, 2)) / skin.sum((1, 2)).clamp(min=1)
    low, high = light.quantile(1 / 3), light.quantile(2 / 3)
    return {
        "women": female > 0.5,
        "men": female <= 0.5,
        "under 30": age < 30,
        "30 to 50": (age >= 30) & (age <= 50),
        "over 50": age > 50,
        "darkest third": light < low,
        "middle third": (light >= low) & (light <= high),
        "lightest third": light > high,
    }


def foreign_auc(encoder: ClipEncoder, weights: Path) -> float:
    """AUC of "I don't know this" between new captions and prompts about anything else, half of them unheard."""
    import json

    direction = torch.tensor(json.loads((weights / "card.json").read_text())["foreign"]["direction"])
    rng = random.Random(99)
    known = [describe(rng)[0].replace(UNKNOWN, "").strip() for _ in range(60)]
    other = UNHEARD.split(", ") + [f"a photo of a {noun}" for noun in FOREIGN.split(", ")[::4]]
    score = encoder.text([*known, *other]) @ direction
    return auc(score, torch.arange(len(score)) >= len(known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("out/faceclip/faces.npz"))
    parser.add_argument("--weights", type=Path, default=Path("flowedit/weights/faceclip"))
    options = parser.parse_args()
    evaluate(options.data, options.weights)


if __name__ == "__main__":
    main()
