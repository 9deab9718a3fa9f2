"""Raw photos -> one file of aligned faces with everything that the objective needs to know of each.

Reads the folder of `examples.faceclip.prepare`, and in it, where they are,
    color_faces_128.npz     FairFace (CC BY 4.0)
    synthetic_192.npz       SFHQ-T2I (MIT)
    portraits_192.npz       official portraits (public domain)
    expressions_192.npz     OpenPeople (MIT)
The same people are held out as there: 26 of London's, and a tenth of every other set.
"""

from __future__ import annotations

import io
import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from examples.faceclip.regions import MIRROR
from examples.faceclip.sources import held_out, studio_faces
from flowedit.config import Weights
from flowedit.face.parts import part_masks
from flowedit.fit.terms import movement_price, tint_price
from flowedit.predict.inputs import CROP_PX

GRID = 88  # points along a side that the loop prices a raster field of 64 control points on
OFTEN = {"london": 12.0, "3dsk": 6.0, "composite": 6.0, "portraits_192": 2.0, "expressions_192": 4.0}  # else once
MOST_GRAY = 2500  # of the web faces, which are gray and would be half of all
SETS = {"color_faces_128.npz": None, "web_faces_128.npz": MOST_GRAY, "synthetic_192.npz": None,
        "portraits_192.npz": None, "expressions_192.npz": None}  # fmt: skip


def read_set(path: Path, most: int | None) -> Iterator[dict[str, Any]]:
    """Yield the faces of an .npz of JPEGs that are not held out, at most so many, spread over the file."""
    data = dict(np.load(path))  # an array in the file is decompressed at every access
    offset, count = data["offset"], len(data["offset"]) - 1
    for i in range(0, count, max(1, count // most) if most else 1):
        name = str(data["person"][i] if "person" in data else data["name"][i] if "name" in data else f"{path.stem} {i}")
        if held_out(name, 10):
            continue
        image = Image.open(io.BytesIO(data["jpeg"][offset[i] : offset[i + 1]].tobytes())).convert("RGB")
        landmarks = data["landmarks"][i].astype(np.float32) / image.width * 2 - 1
        if image.width != CROP_PX:
            image = image.resize((CROP_PX, CROP_PX), Image.Resampling.BOX)
        yield {"image": np.asarray(image), "landmarks": landmarks, "source": path.stem}


def describe_face(row: dict[str, Any]) -> dict[str, Any]:
    """Add the masks of a face's parts and the prices of movement and tint, as the loop computes them."""
    landmarks, weights = torch.from_numpy(row["landmarks"]), Weights()
    pixels = torch.from_numpy(row["image"]).permute(2, 0, 1)[None].float() / 255
    masks = part_masks(pixels, landmarks)
    prices = [movement_price(landmarks, GRID, weights.background), tint_price(masks, landmarks, GRID, weights.covered)]
    return {
        "image": row["image"],
        "landmarks": row["landmarks"],
        "masks": masks.numpy(),
        "prices": torch.cat(prices).half().numpy(),
        "source": row["source"],
    }


def prepare(raw: Path, out: Path) -> None:
    """Write the faces of all sets that are there."""
    studio = [row for row in studio_faces(raw) if row.split == "train"]
    rows = [{"image": row.image, "landmarks": row.landmarks, "source": row.source} for row in studio]
    for name, most in SETS.items():
        if (raw / name).is_file():
            rows += read_set(raw / name, most)
    torch.set_num_threads(1)  # the workers are as many as the cores
    with multiprocessing.get_context("fork").Pool() as pool:
        faces = pool.map(describe_face, rows, chunksize=32)
    columns = {name: np.stack([np.asarray(face[name]) for face in faces]) for name in faces[0]}
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, **columns)
    names, counts = np.unique(columns["source"], return_counts=True)
    print(f"wrote {out}: " + ", ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True)))


class Faces:
    """The prepared faces, drawn at random; studio photos come as often as a whole set.

    Args:
        path: what `prepare` wrote.
    """

    def __init__(self, path: Path) -> None:
        with np.load(path) as data:
            self._image, self._masks, self._prices, self._landmarks = (
                torch.from_numpy(data[name]) for name in ("image", "masks", "prices", "landmarks")
            )
            self._chances = torch.tensor([OFTEN.get(str(source), 1.0) for source in data["source"]])

    def __len__(self) -> int:
        return len(self._image)

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return `count` faces, a half of them mirrored: images, masks, prices, landmarks.

        (n, 3, 128, 128), (n, 5, 128, 128) uint8, (n, 2, GRID, GRID), and (n, 68, 2) crop coordinates.
        """
        chosen = torch.multinomial(self._chances, count, replacement=True, generator=generator)
        image = self._image[chosen].permute(0, 3, 1, 2).float() / 255
        mirrored = torch.rand(count, generator=generator) < 0.5
        image, masks, prices = (
            torch.where(mirrored[:, None, None, None], x.flip(-1), x)
            for x in (image, self._masks[chosen], self._prices[chosen].float())
        )
        landmarks = self._landmarks[chosen]
        other = landmarks[:, MIRROR] * torch.tensor([-1.0, 1.0])
        return image, masks, prices, torch.where(mirrored[:, None, None], other, landmarks)
