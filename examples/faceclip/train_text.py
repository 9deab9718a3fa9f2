"""Train the text tower on captions whose meaning is known, and write the open_clip checkpoint that ships.

A caption's target is the face direction plus the image tower's own directions of what it names; prompts
about anything else go to a direction of their own, which is how faceclip says "I don't know this".
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from flowedit.tower import faceclip_tower

from . import attributes as attr
from .captions import UNKNOWN, Meaning, describe, foreign
from .train_image import MEAN, STD, Directions, Faces

WEIGHTS = "open_clip_model.safetensors"
CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 128,
        "vision_cfg": {
            "timm_model_name": "faceclip_tower",
            "timm_model_pretrained": False,
            "timm_pool": "",
            "timm_proj": "none",
            "image_size": 128,
        },
        "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 128, "heads": 4, "layers": 3},
    },
    "preprocess_cfg": {
        "mean": [MEAN] * 3,
        "std": [STD] * 3,
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}
REACH = 1.0  # a plain attribute's length next to the face direction's


class Meanings:
    """Targets in the image tower's own space."""

    def __init__(self, heads: Directions, mean: Tensor) -> None:
        self.vectors = heads.unit().detach()
        basis, _ = torch.linalg.qr(self.vectors.T)  # what is not about any attribute
        rest = F.normalize(mean - basis @ (basis.T @ mean), dim=0)
        other = torch.randn(len(mean), generator=torch.Generator().manual_seed(7))
        other = other - basis @ (basis.T @ other) - rest * (rest @ other)
        self.face, self.foreign = rest, F.normalize(other, dim=0)

    def __call__(self, meanings: list[Meaning | None]) -> Tensor:
        rows = []
        for meaning in meanings:
            if meaning is None:
                rows.append(self.foreign)
                continue
            coefficients = torch.zeros(len(attr.NAMES))
            for name, value in meaning.items():
                coefficients[attr.INDEX[name]] = value
            change = coefficients @ self.vectors
            # An attribute's length is its strongest coefficient's; a bundle of correlated ones is no longer.
            length = coefficients.abs().max() * max(1.0, len(meaning) ** 0.25)
            rows.append(self.face + REACH * length * F.normalize(change, dim=0) if meaning else self.face)
        return F.normalize(torch.stack(rows), dim=-1)


class Words:
    """Captions to token rows; UNKNOWN becomes tokens no caption uses, whose vectors stay zero."""

    def __init__(self, seed: int) -> None:
        context = CONFIG["model_cfg"]["text_cfg"]["context_length"]
        self.tokenizer = open_clip.SimpleTokenizer(context_length=context)
        self.rng = random.Random(seed)
        used = set()
        for _ in range(40000):
            used.update(self.tokenizer.encode(describe(self.rng)[0].replace(UNKNOWN, "")))
            used.update(self.tokenizer.encode(foreign(self.rng).replace(UNKNOWN, "")))
        self.known = sorted(used | {49406, 49407})
        self.unknown = sorted(set(range(49406)) - used)

    def rows(self, texts: list[str]) -> Tensor:
        out = torch.zeros(len(texts), self.tokenizer.context_length, dtype=torch.long)
        for row, text in zip(out, texts, strict=True):
            tokens: list[int] = [49406]
            for k, piece in enumerate(text.split(UNKNOWN)):
                if k:
                    tokens += self.rng.sample(self.unknown, self.rng.choice((1, 1, 2, 3)))
                tokens += self.tokenizer.encode(piece)
            tokens = [*tokens[: len(row) - 1], 49407]
            row[: len(tokens)] = torch.tensor(tokens)
        return out

    def batch(self, n: int) -> tuple[Tensor, list[Meaning | None]]:
        texts: list[str] = []
        meanings: list[Meaning | None] = []
        for _ in range(n):
            roll = self.rng.random()
            if roll < 0.25:
                texts.append(foreign(self.rng))
                meanings.append(None)
            elif roll < 0.28:
                texts.append(
                    self.rng.choice(
                        (
                            "a face",
                            "a photo of a face",
                            "a person",
                            "a portrait",
                            "face",
                            "the face of a person",
                        )
                    )
                )
                meanings.append({})
            else:
                text, meaning = describe(self.rng)
                texts.append(text)
                meanings.append(meaning)
        return self.rows(texts), meanings


def new_model(state: dict[str, Any], folder: Path) -> Any:
    """An open_clip model with the trained image tower in it, named by the config that will ship."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    if not timm.is_model("faceclip_tower"):
        timm.models.register_model(faceclip_tower)
    model = open_clip.create_model(f"local-dir:{folder}", precision="fp32", load_weights=False)
    model.visual.trunk.load_state_dict(state["all"][2])
    return model


def train(image: Path, data: Path, out: Path, *, steps: int, batch: int, seed: int) -> None:
    torch.manual_seed(seed)  # a script, not the library: the tower's initial weights
    state = torch.load(image, weights_only=False)
    model = new_model(state, out)
    model.visual.eval().requires_grad_(False)
    heads = Directions(len(attr.NAMES), CONFIG["model_cfg"]["embed_dim"])
    heads.load_state_dict(state["all"][3])
    faces = Faces(data)
    sample = torch.from_numpy(np.flatnonzero(faces.split == "train")[::12])
    with torch.no_grad():
        pixels = (faces.image[sample].permute(0, 3, 1, 2).float() / 255 - MEAN) / STD
        mean = torch.cat([F.normalize(model.visual(part), dim=-1) for part in pixels.split(128)]).mean(0)
    meanings = Meanings(heads, mean)
    words = Words(seed)
    table = model.token_embedding.weight
    known = torch.zeros(len(table), 1)
    known[words.known] = 1
    with torch.no_grad():
        table.mul_(known)
    text = [p for n, p in model.named_parameters() if not n.startswith("visual") and p.requires_grad]
    optimizer = torch.optim.AdamW(text, 1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps, pct_start=0.1)
    start = time.time()
    for step in range(steps):
        tokens, said = words.batch(batch)
        embedded = F.normalize(model.encode_text(tokens), dim=-1)
        targets = meanings(said)
        alike = targets @ targets.T > 0.97  # other wordings of the same thing are no negatives
        logits = 20 * embedded @ targets.T
        logits = logits.masked_fill(alike & ~torch.eye(len(alike), dtype=torch.bool), -1e4)
        loss = 20 * (1 - (embedded * targets).sum(-1)).mean() + F.cross_entropy(logits, torch.arange(len(logits)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(text, 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            table.mul_(known)
        if (step + 1) % 100 == 0:
            close = (embedded * targets).sum(-1).mean().item()
            print(
                f"{step + 1}/{steps} loss {loss.item():.3f} cosine {close:.3f} {time.time() - start:.0f} s",
                flush=True,
            )
    write(model, meanings, state, words, out)


def write(model: Any, meanings: Meanings, state: dict[str, Any], words: Words, out: Path) -> None:
    """Write weights in half precision (normalization apart), and the card's facts with the SHA-256."""
    tensors = {name: value.half() if value.ndim > 1 else value.clone() for name, value in model.state_dict().items()}
    path = out / WEIGHTS
    save_file(tensors, path)
    threshold = 0.5
    card = {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "foreign": {"direction": [round(v, 6) for v in meanings.foreign.tolist()], "threshold": threshold},
        "image_auc": {name: round(value, 3) for name, value in state["auc"].items()},
        "known_tokens": len(words.known),
    }
    (out / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    print(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, default=Path("out/faceclip/image_tower.pt"))
    parser.add_argument("--data", type=Path, default=Path("out/faceclip/faces.npz"))
    parser.add_argument("--out", type=Path, default=Path("flowedit/weights/faceclip"))
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch", type=int, default=192)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train(**vars(options))


if __name__ == "__main__":
    main()
