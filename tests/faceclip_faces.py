"""Random pictures with plausible landmarks, as the recipe of the encoder prepares faces."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from test_align import drawn_landmarks

from examples.faceclip.faces import Faces
from examples.faceclip.regions import face_maps, mean_face


def write_faces(path: Path, n: int = 24) -> None:
    """Write n faces, a third of them held out."""
    generator = np.random.default_rng(0)
    marks = (drawn_landmarks().numpy()[None] + 0.01 * generator.standard_normal((n, 68, 2))).astype(np.float32)
    words = np.array(["happiness", "sadness", "neutral"])
    mean = mean_face(marks)
    np.savez(
        path,
        image=generator.integers(0, 255, (n, 128, 128, 3), dtype=np.uint8),
        landmarks=marks,
        gaze=0.05 * generator.standard_normal((n, 2)),
        mean_face=mean,
        maps=face_maps(torch.from_numpy(marks), torch.tensor(mean).float()).numpy(),
        hair=generator.integers(0, 255, (n, 64, 64), dtype=np.uint8),
        skin=generator.uniform(20, 80, n),
        expression=words[np.arange(n) % 3],
        emotion=generator.dirichlet(np.ones(7), n).astype(np.float32),
        age=generator.uniform(5, 70, n),
        female=generator.uniform(0, 1, n),
        tags=np.full(n, ""),
        group=np.full(n, ""),
        split=np.where(np.arange(n) < 2 * n // 3, "train", "val"),
        source=np.array(["web", "portraits"])[np.arange(n) % 2],
        colored=np.arange(n) % 2 == 0,
    )


@functools.cache
def drawn_faces() -> Faces:
    """Return the faces of `write_faces`, read once for all tests: their patterns take a second to draw."""
    with tempfile.TemporaryDirectory() as folder:
        write_faces(Path(folder, "faces.npz"))
        faces = Faces(Path(folder, "faces.npz"))
    faces.measure_population()
    return faces
