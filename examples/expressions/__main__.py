"""How light lies on faces that smile or are angry, and how their landmarks lie, beside faces that do neither.

    python -m examples.expressions web_faces_128.npz

Labeled Faces in the Wild as in the facial_expressions set (Apache-2.0), the people that training may see. Four
minutes on one core; nothing is random, so the same photos give the same file.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from benchmarks.judge import displacement
from examples.average_faces.average import symmetric
from examples.faceclip.labels import GUESSES
from examples.faceclip.sources import held_out
from flowedit.face.landmarks import INNER
from flowedit.face.retouch_masks import ON_SKIN, draw_places
from flowedit.fit.averages import bend
from flowedit.task.shading import TABLE

SIDE = 128  # of the crops
KINDS = {  # the set's word, what the classifier calls it, its least probability, and whether either will do
    "neutral": ("neutral", "neutral", 0.6, False),
    "smile": ("happiness", "happy", 0.8, False),
    "anger": ("anger", "angry", 0.75, True),
}
MOST = 2000  # faces of a kind
DARKEST, BRIGHTEST = 0.05, 4.0  # in mean skins: what is beyond is hair or a reflection


def choose(faces: dict[str, np.ndarray], kind: str) -> np.ndarray:
    """Return the numbers of the faces of a kind, one in so many where there are more than MOST."""
    word, guess, least, either = KINDS[kind]
    said = faces["expression"] == word
    seen = np.nan_to_num(faces["emotion"][:, GUESSES.index(guess)]) > least
    learned = np.array([not held_out(str(person), 10) for person in faces["person"]])
    found = np.flatnonzero((said | seen if either else said & seen) & learned)
    return found[:: -(-len(found) // MOST)]


def mean_light(pictures: Sequence[np.ndarray], landmarks: Tensor, shape: Tensor, skin: Tensor) -> Tensor:
    """Return the mean logarithm of gray pictures (S, S, 3), each in its mean skin, bent to one shape: (S, S)."""
    total = torch.zeros(SIDE, SIDE)
    for picture, points in zip(pictures, landmarks, strict=True):
        gray = torch.from_numpy(picture).float().mean(-1)[None, None] / 255
        bent = bend(gray.expand(-1, 3, -1, -1), points, shape)[0, 0]
        total += (bent / ((bent * skin).sum() / skin.sum())).clamp(DARKEST, BRIGHTEST).log()
    mean = total / len(pictures)
    return (mean + mean.flip(-1)) / 2


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=TABLE)
    options = parser.parse_args()
    faces = dict(np.load(options.faces))
    landmarks = torch.from_numpy(faces["landmarks"].astype(np.float64)) / (SIDE / 2) - 1
    chosen = {kind: choose(faces, kind) for kind in KINDS}
    shape = symmetric(landmarks[chosen["neutral"]].mean(0))
    skin = F.adaptive_avg_pool2d(torch.stack(list(draw_places(ON_SKIN, shape).values())).sum(0)[None], SIDE)[0]
    light, movement = {}, {}
    for kind, rows in chosen.items():
        encoded = [faces["jpeg"][faces["offset"][i] : faces["offset"][i + 1]].tobytes() for i in rows]
        pictures = [np.array(Image.open(io.BytesIO(each)).convert("RGB")) for each in encoded]
        light[kind] = mean_light(pictures, landmarks[rows], shape, skin)
        movement[kind] = symmetric(torch.stack([displacement(each, shape) for each in landmarks[rows]]).mean(0))
        print(f"{kind}: {len(rows)} faces", flush=True)
    table = {"landmarks": shape.float()}
    for kind in KINDS:
        if kind != "neutral":
            table[f"{kind}.light"] = (skin * (light[kind] - light["neutral"])).half()
            table[f"{kind}.movement"] = (movement[kind] - movement["neutral"])[INNER].float()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in sorted(table.items())}, options.out)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
