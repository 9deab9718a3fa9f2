"""What each part of the predictor is worth: python -m examples.predictor.ablate --data FOLDER [--steps 200]

Trains it for some steps in its shipped form and with one change at a time, about five minutes each on one core, and
compares the averaged weights on people that no training has seen. Run `examples.predictor` first, for its faces.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.judge import COLORS, GEOMETRY
from benchmarks.table import align
from examples.faceclip.sources import studio_faces
from flowedit.checks import require
from flowedit.guide.color_words import names_color
from flowedit.guide.encoder import Encoder, load_encoder
from flowedit.guide.targets import text_change
from flowedit.predict.network import Predictor
from flowedit.predict.weights import load_predictor

from .faces import Faces, describe_face
from .objective import CONFIG, Batch, evaluate, make_batch
from .prompts import Prompts
from .train import Source, Trainer, Training

PEOPLE = 16
PROMPTS = (*GEOMETRY, *COLORS)
WITHOUT_COMMON = "without the prompt's own field"
ROWS: dict[str, dict[str, float | str]] = {  # what is changed of Training
    "shipped form": {},
    "convolutions in place of attention": {"mixing": "convolution"},
    "attention of all places at 16 and 8 tokens a side": {"mixing": "full"},
    "without distillation": {"distillation": 0.0},
    "with triplets, weight 0.05": {"triplets": 0.05},
    WITHOUT_COMMON: {},
}


def unseen_faces(raw: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what `Faces.draw` does, of PEOPLE that are held out, with a neutral face."""
    people = (row for row in studio_faces(raw) if row.source == "london" and row.split == "test")
    neutral = itertools.islice((row for row in people if row.expression == "neutral"), PEOPLE)
    faces = [describe_face({"image": row.image, "landmarks": row.landmarks, "source": row.source}) for row in neutral]
    require(bool(faces), f"--data must hold the London set; got {raw}")
    image, masks, prices, landmarks = (
        torch.from_numpy(np.stack([face[name] for face in faces])) for name in ("image", "masks", "prices", "landmarks")
    )
    return image.permute(0, 3, 1, 2).float() / 255, masks, prices.float(), landmarks


def make_batches(faces: tuple[Tensor, Tensor, Tensor, Tensor], encoder: Encoder) -> list[Batch]:
    """Return a batch of all faces for each of PROMPTS."""
    count, batches = len(faces[0]), []
    for prompt in PROMPTS:
        with torch.no_grad():
            asked = CONFIG.intensity * text_change(encoder, {prompt: 1.0}).expand(count, -1)
        colored = torch.full((count,), names_color(encoder, {prompt: 1.0}))
        batches.append(make_batch(encoder, faces, asked, colored, torch.Generator().manual_seed(0)))
    return batches


@torch.no_grad()
def measure(network: Predictor, batches: Sequence[Batch], encoder: Encoder) -> tuple[float, float]:
    """Return the shares by which objective and text term fall from the unedited faces."""
    network.eval()
    objective, text, before = 0.0, 0.0, 0.0
    for batch in batches:
        outcome = evaluate(encoder, batch, network(batch.images, batch.changes))
        objective += float(outcome.total.sum())
        text += float(outcome.text.sum())
        before += float((1 - (batch.embeddings * batch.targets).sum(1)).sum())
    return 1 - objective / before, 1 - text / before


def train_rows(options: argparse.Namespace, encoder: Encoder) -> Iterator[tuple[str, Predictor]]:
    """Yield each form's name and its network after training, and the shipped one at last."""
    faces, prompts = Faces(options.out / "faces.npz"), Prompts(encoder)
    for number, (name, changes) in enumerate(ROWS.items()):
        training = replace(Training(steps=options.steps), **changes)  # type: ignore[arg-type]
        folder = options.out / f"ablation_{options.steps}" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(Source(faces, prompts, encoder, training), folder, training)
        trainer.network.common.requires_grad_(name != WITHOUT_COMMON)  # it is zero before training
        trainer.resume()
        trainer.run()
        yield name, trainer.averaged
    yield "shipped weights", load_predictor().network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the raw photos, see faces.py")
    parser.add_argument("--out", type=Path, default=Path("out/predictor"), help="of examples.predictor")
    parser.add_argument("--steps", type=int, default=200, help="of each form")
    options = parser.parse_args()
    encoder = load_encoder(None)
    batches = make_batches(unseen_faces(options.data), encoder)
    lines = [["", "objective falls by", "text term by"]]
    for name, network in train_rows(options, encoder):
        objective, text = measure(network, batches, encoder)
        lines.append([name, f"{objective:.1%}", f"{text:.1%}"])
        print("  ".join(lines[-1]), flush=True)
    print("\n".join(["", *align(lines, 1)]))


if __name__ == "__main__":
    main()
