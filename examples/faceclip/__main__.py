"""Everything from the raw photos to the shipped weights: python -m examples.faceclip RAW_FOLDER

pip install -e .[train] first. Under three hours on two quiet cores. Stop it whenever you like: the long part
resumes from its last checkpoint. On several cores or GPUs, its trainings go one at a time:
    torchrun --standalone --nproc-per-node=2 -m examples.faceclip.train_image
    python -m examples.faceclip.train_eyes
    python -m examples.faceclip.train_head
    torchrun --standalone --nproc-per-node=2 -m examples.faceclip.train_text
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import evaluate, prepare, train_eyes, train_head, train_image, train_text


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
    whole, seeing, fitted = (options.out / f"image_tower{part}.pt" for part in ("", "_eyes", "_head"))
    for part, before, after in ((train_eyes, whole, seeing), (train_head, seeing, fitted)):
        if not after.exists() or after.stat().st_mtime < before.stat().st_mtime:
            part.train(faces, before, after)
    train_text.train(fitted, faces, options.weights)
    evaluate.evaluate(faces, options.weights)


if __name__ == "__main__":
    main()
