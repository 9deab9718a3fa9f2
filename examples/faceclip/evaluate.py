"""Zero-shot accuracy of a trained faceclip, by prompts in plain English, on people it never saw."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowedit.encoder import ClipEncoder, load_encoder

from . import attributes as attr
from .captions import FOREIGN, UNKNOWN, describe
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
    result["smiling against neutral, London"] = auc(embed(london) @ encoder.text(["a smiling face"])[0], smile)
    web = (faces["split"] == "val") & (faces["source"] == "web")
    embedded = embed(web)
    values = attr.geometry(torch.from_numpy(faces["landmarks"][web]).float())
    for name, (more, less) in PAIRS.items():
        score = embedded @ (encoder.text([more]) - encoder.text([less]))[0]
        value = values[:, attr.GEOMETRY.index(name)]
        low, high = value.quantile(0.3), value.quantile(0.7)
        outer = (value < low) | (value > high)
        result[name] = auc(score[outer], value[outer] > high)
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
