"""Everything from the raw photos to the shipped weights: python -m examples.predictor --data FOLDER

torchrun --standalone --nproc-per-node=2 -m examples.predictor --data FOLDER trains the same on two processes.
pip install -e .[train] first. About an hour and a quarter, on one of two cores. Stop it whenever you like: the training
goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from examples.faceclip import ranks
from flowedit.predict.weights import load_predictor, save_predictor

from . import faces
from .train import Training, train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the raw photos, see faces.py")
    parser.add_argument("--out", type=Path, default=Path("out/predictor"), help="for faces, checkpoint and log")
    parser.add_argument("--weights", type=Path, default=Path("flowedit/weights/predictor"))
    parser.add_argument("--encoder", help="the guide; default: the shipped one")
    parser.add_argument("--begin", help="weights to train further, by fewer --steps; by 0 of their draws alone")
    for each in fields(Training):
        kind = type(each.default)
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=kind, default=each.default, help="see Training")
    options = parser.parse_args()
    with ranks.joined():
        run(options)


def run(options: argparse.Namespace) -> None:
    prepared = options.out / "faces.npz"
    if ranks.is_first() and not prepared.exists():
        faces.prepare(options.data, prepared)
    ranks.wait()
    training = Training(**{each.name: getattr(options, each.name) for each in fields(Training)})
    begin = None if options.begin is None else load_predictor(options.begin)
    predictor, guide, further = train(prepared, options.out, training, options.encoder, begin)
    if not ranks.is_first():
        return
    digest = getattr(guide, "digest", None)
    save_predictor(predictor, options.weights, guide=guide.name, guide_sha256=digest, further=further)


if __name__ == "__main__":
    main()
