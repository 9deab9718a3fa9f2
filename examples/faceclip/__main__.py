"""Everything from the raw photos to the shipped weights: python -m examples.faceclip RAW_FOLDER

pip install -e .[train] first. Under three hours on two quiet cores. Stop it whenever you like: the long part
resumes from its last checkpoint. On several cores or GPUs, its trainings go one at a time:
    torchrun --standalone --nproc-per-node=2 -m examples.faceclip.train_image
    python -m examples.faceclip.train_eyes
    torchrun --standalone --nproc-per-node=2 -m examples.faceclip.train_text
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import evaluate, prepare, train_eyes, train_image, train_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, help="see prepare.py")
    parser.add_argument("--out", type=Path, default=Path("out/faceclip"))
    parser.add_argument("--weights", type=Path, default=Path("flowedit/weights/faceclip"))
    parser.add_argument("--steps", type=int, default=train_image.train.__kwdefaults__["steps"])
    options = parser.parse_args()
    faces = options.out / "faces.npz"
    options.out.mkdir(parents=True, exist_ok=True)
    if not faces.exists():
        prepare.prepare(options.raw, faces)
    train_image.train(faces, options.out, steps=options.steps)
    whole, seeing = options.out / "image_tower.pt", options.out / "image_tower_eyes.pt"
    if not seeing.exists() or seeing.stat().st_mtime < whole.stat().st_mtime:
        train_eyes.train(faces, whole, seeing)
    train_text.train(seeing, faces, options.weights)
    evaluate.evaluate(faces, options.weights)


if __name__ == "__main__":
    main()
