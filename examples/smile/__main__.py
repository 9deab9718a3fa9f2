"""How landmarks move from a neutral to a smiling face, from photos of people who do both.

    python -m examples.smile web_faces_128.npz -o flowedit/fit/smile.csv

Labeled Faces in the Wild as in the facial_expressions set (Apache-2.0), the people that training may see.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.judge import displacement
from examples.faceclip.regions import MIRROR
from examples.faceclip.sources import held_out
from flowedit.face import landmarks as marks
from flowedit.face.landmarks import INNER
from flowedit.fit.smile import TABLE

MOST = 12  # photos of a person and an expression
LIPS = ((61, 67, 50, 58), (62, 66, 51, 57), (63, 65, 52, 56))  # inner upper and lower, outer upper and lower
PARTED = 0.5  # share of the lips' parting that is kept: a warp shows no teeth


def mean_smile(path: Path) -> np.ndarray:
    """Return the mean movement over people (68, 2), crop coordinates, the same on both sides."""
    faces = dict(np.load(path))
    landmarks = torch.from_numpy(faces["landmarks"].astype(np.float64)) / 64 - 1
    movements, counts = [], []
    for person in sorted({str(name) for name in faces["person"]}):
        if held_out(person, 10):
            continue
        neutral, smiling = (
            landmarks[(faces["person"] == person) & (faces["expression"] == kind)][:MOST]
            for kind in ("neutral", "happiness")
        )
        if len(neutral) and len(smiling):
            rough = neutral.mean(0)
            rest = rough - rough.mean(0) + torch.stack([displacement(each, rough) for each in neutral]).mean(0)
            movements.append(torch.stack([displacement(each, rest) for each in smiling]).mean(0))
            counts.append(min(len(neutral), len(smiling)))
    certain = torch.tensor([count / (1 + count) for count in counts])[:, None, None]
    mean = ((torch.stack(movements) * certain).sum(0) / certain.sum()).numpy()
    print(f"{len(movements)} people")
    return (mean + mean[MIRROR] * [-1, 1]) / 2


def part_less(smile: np.ndarray) -> np.ndarray:
    """Let the lips part by PARTED of what they do; they keep their thickness."""
    smile = smile.copy()
    for upper, lower, outer_upper, outer_lower in LIPS:
        closing = (1 - PARTED) * (smile[lower] - smile[upper]) / 2
        smile[[upper, outer_upper]] += closing
        smile[[lower, outer_lower]] -= closing
    return smile


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=TABLE)
    options = parser.parse_args()
    smile = part_less(mean_smile(options.faces))
    corner = smile[marks.MOUTH_CORNERS[0]]
    np.savetxt(options.out, smile[INNER], fmt="%.4f", delimiter=",")
    print(f"wrote {options.out}: the mouth's corners move by {abs(corner[0]):.3f} out and {-corner[1]:.3f} up")


if __name__ == "__main__":
    main()
