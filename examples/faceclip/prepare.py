"""Raw photos -> one file of aligned faces, landmarks, maps, hair, gazes, labels and a split by person.

Reads a folder with
    london/NNN_{neutral,smiling}.jpg and people.csv   Face Research Lab London Set (CC BY 4.0)
    3dsk/{female,male}_NAME.jpg                       3DSK set (CC BY)
    composite/{f,m}_NAME.jpg                          average faces (CC BY)
    web_faces_128.npz                                 aligned faces of Labeled Faces in the Wild
    color_faces_128.npz                               aligned faces of FairFace (CC BY 4.0)
    synthetic_192.npz                                 SFHQ-T2I (MIT), with tags
    portraits_192.npz                                 official portraits (public domain), with birth years
    expressions_192.npz                               OpenPeople (MIT), 16 expressions each
The first 25 London people may be learned from; the other 26 are never touched. A fifth of the 3DSK people and a tenth
of all others are held out for checking. No person is on both sides.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .gaze import learn_gaze, read_eyes
from .hair import HAIR_PX, find_hair
from .regions import INDEX, face_maps, mean_face, places, read, region_masks
from .sources import Row, all_faces
from .tones import luma, mean_in

EDGE = {"color": 1 / 6}  # share of the crop at each border that is made up, by source


def columns_of(rows: Iterable[Row]) -> dict[str, np.ndarray]:
    """Stack the rows' fields into arrays; (N, ...) each."""
    listed = list(rows)
    nothing = np.full(7, np.nan, np.float32)
    return {
        "image": np.stack([row.image for row in listed]),
        "landmarks": np.stack([row.landmarks for row in listed]).astype(np.float32),
        "emotion": np.stack([nothing if row.emotion is None else row.emotion for row in listed]).astype(np.float32),
        **{name: np.array([getattr(row, name) for row in listed]) for name in
           ("source", "split", "expression", "age", "female", "tags", "group", "colored")},
    }  # fmt: skip


def true_area(source: str, size: int) -> np.ndarray:
    """1 where photos of the source are photos, 0 at a made-up border; (size, size)."""
    edge = round(EDGE.get(source, 0) * size)
    area = np.zeros((size, size), np.float32)
    area[edge : size - edge, edge : size - edge] = 1
    return area


def prepare(raw: Path, out: Path) -> None:
    columns = columns_of(all_faces(raw))
    learned = columns["split"] == "train"
    grown_up = learned & np.isin(columns["source"], ("london", "3dsk", "portraits", "composite"))
    mean = mean_face(columns["landmarks"][grown_up])
    drawn = torch.from_numpy(region_masks(mean))
    maps, hair, skin, eyes = [], [], [], []
    for start in range(0, len(learned), 128):
        some = slice(start, start + 128)
        marks = torch.from_numpy(columns["landmarks"][some])
        maps.append(face_maps(marks, torch.tensor(mean, dtype=torch.float32)))
        image = torch.from_numpy(columns["image"][some]).permute(0, 3, 1, 2).float() / 255
        eyes.append(read_eyes(image, marks))
        small = F.interpolate(image, (HAIR_PX, HAIR_PX), mode="area")
        area = torch.from_numpy(np.stack([true_area(source, HAIR_PX) for source in columns["source"][some]]))
        cheeks = read(drawn[[INDEX["cheek_skin"]]], places(maps[-1], HAIR_PX))[:, 0]
        skin.append(mean_in(luma(small)[:, 0], cheeks))
        hair.append((255 * find_hair(small, drawn, places(maps[-1], HAIR_PX)) * area).round().to(torch.uint8))
    patches, measured = (torch.cat(part) for part in zip(*eyes, strict=True))
    gaze = learn_gaze(patches, measured, torch.from_numpy(np.flatnonzero(learned)))
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_suffix(".partial.npz")
    np.savez(partial, mean_face=mean, maps=torch.cat(maps).numpy(), hair=torch.cat(hair).numpy(),
             skin=torch.cat(skin).numpy(), gaze=gaze.numpy(), **columns)  # fmt: skip
    partial.replace(out)
    for name in ("split", "source"):
        names, counts = np.unique(columns[name], return_counts=True)
        print(f"{name}: " + ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, help="folder with the sets named above")
    parser.add_argument("--out", type=Path, default=Path("out/faceclip/faces.npz"))
    options = parser.parse_args()
    prepare(options.raw, options.out)


if __name__ == "__main__":
    main()
