"""Training by several processes against training by one: how far the models are from each other.

    python -m benchmarks.ranks [--steps 50] [--processes 2] [--recipes predictor image text]

On small made-up faces, by each recipe of examples/: the largest difference of the weights, and how far they moved.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import ROOT, environment, write_report

BATCH, FACES = 4, 24
SEED = 0


def make_faces(folder: Path) -> None:
    """Write faces for the predictor and for the image tower: noise over one portrait, with its landmarks."""
    from skimage.data import astronaut

    from examples.faceclip.regions import face_maps, mean_face
    from examples.predictor.faces import describe_face
    from flowedit.face.crop import extract, face_crop
    from flowedit.face.detect import find_faces
    from flowedit.photo.photo import Photo

    photo = Photo(astronaut())
    crop = face_crop(find_faces(photo)[0].landmarks)
    plain = 255 * extract(photo, crop, 128)[0].permute(1, 2, 0).numpy()
    generator = np.random.default_rng(SEED)
    noise = 12 * generator.standard_normal((FACES, 128, 128, 3))
    images = (plain + noise).clip(0, 255).astype(np.uint8)
    landmarks = crop.landmarks.numpy()
    rows = [describe_face({"image": image, "landmarks": landmarks, "source": "london"}) for image in images]
    np.savez(folder / "predictor.npz", **{name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]})
    marks = (landmarks + 0.01 * generator.standard_normal((FACES, 68, 2))).astype(np.float32)
    mean = mean_face(marks)
    np.savez(
        folder / "image.npz",
        image=images,
        landmarks=marks,
        mean_face=mean,
        maps=face_maps(torch.from_numpy(marks), torch.tensor(mean).float()).numpy(),
        hair=generator.integers(0, 255, (FACES, 64, 64), dtype=np.uint8),
        skin=generator.uniform(20, 80, FACES),
        expression=np.array(["happiness", "sadness", "neutral"])[np.arange(FACES) % 3],
        emotion=generator.dirichlet(np.ones(7), FACES).astype(np.float32),
        age=generator.uniform(5, 70, FACES),
        female=generator.uniform(0, 1, FACES),
        tags=np.full(FACES, ""),
        group=np.full(FACES, ""),
        split=np.where(np.arange(FACES) < 2 * FACES // 3, "train", "val"),
        source=np.array(["web", "portraits"])[np.arange(FACES) % 2],
        colored=np.arange(FACES) % 2 == 0,
    )


def train(recipe: str, folder: Path, out: Path, steps: int) -> None:
    """Train as one of the processes; the first writes the weights."""
    from examples.faceclip import ranks, train_image

    with ranks.joined():
        if recipe == "image":
            with patch.object(train_image, "evaluate", lambda *_: {}):
                train_image.train(folder / "image.npz", out, steps=steps, width=8, batch=BATCH, seed=SEED)
            made = out / "image_tower.pt"
            weights = torch.load(made, weights_only=False)["all"][0] if ranks.is_first() else {}
        else:
            weights = train_text(steps) if recipe == "text" else train_predictor(folder, out, steps)
        if ranks.is_first():
            torch.save(weights, out / "weights.pt")


def train_predictor(folder: Path, out: Path, steps: int) -> dict[str, Tensor]:
    from examples.predictor import prompts
    from examples.predictor.train import Training, train

    few = patch.multiple(prompts, PHRASES=1, COMBINATIONS=3)
    after = patch.multiple("examples.predictor.train", calibrate=lambda *_: 1.0, match_amounts=lambda *_: None)
    with few, after:
        settings = Training(minutes=1e6, steps=steps, draws=0, batch=BATCH, triplets=0.02, seed=SEED)
        train(folder / "predictor.npz", out, settings)
    return torch.load(out / "predictor.ckpt", weights_only=True)["network"] if (out / "predictor.ckpt").exists() else {}


def train_text(steps: int) -> dict[str, Tensor]:
    from torch.nn.functional import normalize

    from examples.faceclip import train_text
    from examples.faceclip.attributes import NAMES
    from examples.faceclip.train_image import Directions

    torch.manual_seed(SEED)
    heads = Directions(len(NAMES), 128)
    meanings = train_text.Meanings.of_tower(heads, normalize(torch.randn(128), dim=0))
    context = train_text.CONFIG["model_cfg"]["text_cfg"]["context_length"]
    free = torch.randint(1, 1000, (64, context)), normalize(torch.randn(64, 128), dim=1)
    with tempfile.TemporaryDirectory() as name, patch.object(train_text, "read_words", lambda *_, **__: free):
        model = train_text.new_model(Path(name))
        model.visual.requires_grad_(False)
        train_text.fit(model, meanings, steps=steps, batch=BATCH, seed=SEED, free=64)
    return {name: value for name, value in model.state_dict().items() if not name.startswith("visual")}


def run(recipe: str, folder: Path, out: Path, steps: int, processes: int) -> dict[str, Tensor]:
    """Train in processes of their own; return the weights."""
    out.mkdir()
    start = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *start, "-m", "benchmarks.ranks", "--train", recipe, str(folder), str(out)]
    search = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "--steps", str(steps)], env=os.environ | search, cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{recipe} failed by {processes} processes: {done.stderr[-2000:]}")
    return torch.load(out / "weights.pt", weights_only=True)


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Return the largest difference of two models' numbers, counters apart."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one if one[name].is_floating_point())


def compare(recipe: str, folder: Path, steps: int, processes: int) -> dict[str, float]:
    """Train by one process and by several; return the largest difference of the weights, and how far they moved."""
    begun = time.perf_counter()
    first = run(recipe, folder, folder / f"{recipe} first", 1, 1)
    one, several = (run(recipe, folder, folder / f"{recipe} {n}", steps, n) for n in (1, processes))
    seconds = time.perf_counter() - begun
    return {"apart": farthest(one, several), "moved since step 1": farthest(first, one), "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranks", description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--recipes", nargs="+", default=["predictor", "image", "text"])
    parser.add_argument("--train", nargs=3, metavar=("RECIPE", "FOLDER", "OUT"), help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.train is not None:
        recipe, folder, out = options.train
        train(recipe, Path(folder), Path(out), options.steps)
        return
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        make_faces(Path(name))
        for recipe in options.recipes:
            rows[recipe] = compare(recipe, Path(name), options.steps, options.processes)
            print(recipe, json.dumps({key: float(f"{value:.2g}") for key, value in rows[recipe].items()}), flush=True)
    if options.json is not None:
        write_report(options.json, {"steps": options.steps, "rows": rows, "environment": environment()})


if __name__ == "__main__":
    main()
