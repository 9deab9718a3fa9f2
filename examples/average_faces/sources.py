"""The people behind each average: which files, and whose pictures they are."""

from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from examples.faceclip.regions import MIRROR
from flowedit.face.crop import extract
from flowedit.face.detect import choose
from flowedit.photo.photo import load

SIDE = 512  # pixels along the crop

SOURCES = {
    "london": "Face Research Lab London Set, DeBruine and Jones 2017, doi:10.6084/m9.figshare.5047666, CC BY 4.0",
    "portraits": "official portraits, US Government Publishing Office, public domain",
    "synthetic": "SFHQ-T2I, generated faces, David Beniaguev 2024, MIT",
}

# Chosen by eye among the frontal ones with closed lips and no glasses: london by id, portraits and synthetic by row.
# Of London only the half that a guide may learn from: the other half checks it.
PEOPLE: dict[str, dict[str, tuple[int, ...]]] = {
    "child": {"synthetic": (9, 12, 14, 16, 17, 56, 288, 290, 291, 296)},
    "young woman": {"london": (1, 7, 9, 11, 13, 20, 25, 27, 30, 34, 39, 66)},
    "young man": {"london": (5, 18, 22, 37, 42, 44, 61, 63, 68, 70)},
    "middle-aged woman": {"london": (11, 20, 25, 32), "portraits": (73, 202, 420, 462, 222, 409, 37, 360)},
    "middle-aged man": {"portraits": (197, 42, 395, 552, 607, 70, 322, 184, 350, 581, 115, 613, 413, 157, 548)},
    "old woman": {"portraits": (37, 360, 565, 521), "synthetic": (39, 42, 43, 44, 45)},
    # The least smiling.
    "old man": {"portraits": (148, 48, 325, 156, 383, 192, 387, 141, 569, 215, 186, 149, 121, 330, 334)},
}
# Where hair differs too much to have a mean, that of generated people, from the darkest average to the lightest;
# mirrored where the row is negative.
HAIR: dict[str, tuple[int, ...]] = {"child": (14, 17, 290), "old woman": (43, -43, 39)}


class Face(NamedTuple):
    """A face in its crop: picture (3, SIDE, SIDE) in [0, 1], and landmarks (68, 2) in crop coordinates."""

    picture: Tensor
    landmarks: Tensor


def read_faces(data: Path, people: dict[str, tuple[int, ...]]) -> list[Face]:
    """Read the people behind one average, in the order of the list."""
    faces = []
    for source, numbers in people.items():
        if source == "london":
            faces += [_read_photo(data / "london" / f"{number:03d}_neutral.jpg") for number in numbers]
        else:
            faces += _read_packed(data / f"{source}_192.npz", numbers)
    return faces


def read_hair(data: Path, name: str) -> list[Face] | None:
    """Read the people of HAIR; None where the faces' own is averaged."""
    if name not in HAIR:
        return None
    faces = read_faces(data, {"synthetic": tuple(map(abs, HAIR[name]))})
    return [mirror(face) if row < 0 else face for row, face in zip(HAIR[name], faces, strict=True)]


def mirror(face: Face) -> Face:
    """Return a face as it is seen in a mirror."""
    turned = face.landmarks[MIRROR] * face.landmarks.new_tensor([-1.0, 1.0])
    return Face(face.picture.flip(-1), turned)


def _read_photo(path: Path) -> Face:
    photo = load(path)
    (crop,) = choose(photo, "largest")
    assert crop.landmarks is not None
    return Face(extract(photo, crop, SIDE)[0].clamp(0, 1), crop.landmarks.double())


def _read_packed(path: Path, rows: tuple[int, ...]) -> list[Face]:
    from PIL import Image

    arrays = dict(np.load(path))
    offset, faces = arrays["offset"], []
    for row in rows:
        jpeg = arrays["jpeg"][offset[row] : offset[row + 1]].tobytes()
        small = Image.open(io.BytesIO(jpeg)).convert("RGB")
        large = np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32) / 255
        landmarks = torch.from_numpy(arrays["landmarks"][row].astype(np.float64)) / small.width * 2 - 1
        faces.append(Face(torch.from_numpy(large).permute(2, 0, 1), landmarks))
    return faces
