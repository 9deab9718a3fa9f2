"""The average faces, from the folder of photos to the package's files: python -m examples.average_faces --data FOLDER

FOLDER holds london/, portraits_192.npz and synthetic_192.npz (see sources.py). pip install scipy first. Two minutes on
one core; nothing is random, so the same photos give the same files.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from flowedit.face.regions import region_mask
from flowedit.fit.averages import CARD, FOLDER, SHAPES, bend

from .average import align, average, components, even_light, group
from .sources import HAIR, PEOPLE, SIDE, SOURCES, read_faces, read_hair

GROUPS, LEAST = 3, 5  # averages of each age and sex, and people in each at least: nobody is to be recognized
QUALITY = 88  # of the WebP files
EVEN = {"child": 0.8}  # share of the differences in light that is taken out: generated scenes differ most
EVEN_ELSE = 0.4
COMPONENTS = 6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the photos")
    parser.add_argument("--out", type=Path, default=FOLDER, help="default: the package's own")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    shapes: dict[str, Tensor] = {}
    card: dict[str, dict] = {}
    for name in PEOPLE:
        pictures, landmarks, along, groups = make(options.data, name)
        shapes |= {f"{name}.landmarks": landmarks.float(), f"{name}.components": along.float()}
        for k, picture in enumerate(pictures):
            save_picture(picture, options.out / f"{name.replace(' ', '_')}_{k}.webp")
        sizes = [len(each) for each in groups]
        card[name] = {"people": sum(map(len, PEOPLE[name].values())), "in_each": sizes, "of": sorted(PEOPLE[name])}
        if name in HAIR:
            card[name]["hair"] = "synthetic"
        print(name, sizes, flush=True)
    save_card(options.out, shapes, card)


def make(data: Path, name: str) -> tuple[list[Tensor], Tensor, Tensor, list[list[int]]]:
    """Make the averages of one age and sex: pictures (3, S, S), landmarks, components, and who is in which."""
    pictures, shapes = align(read_faces(data, PEOPLE[name]))
    landmarks = shapes.mean(0)
    skin = region_mask("skin", landmarks, SIDE)[0, 0]
    pictures = even_light(pictures, skin, EVEN.get(name, EVEN_ELSE))
    groups = group(pictures, GROUPS, LEAST)
    people = read_hair(data, name)
    hair = (
        [None] * GROUPS if people is None else [bend(each.picture[None], each.landmarks, landmarks) for each in people]
    )
    averages = [average(pictures[each], landmarks, one) for each, one in zip(groups, hair, strict=True)]
    return averages, landmarks, components(shapes, COMPONENTS), groups


def save_picture(picture: Tensor, path: Path) -> None:
    from PIL import Image

    pixels = (255 * picture).round().byte().permute(1, 2, 0).numpy()
    Image.fromarray(np.ascontiguousarray(pixels)).save(path, quality=QUALITY, method=6)


def save_card(folder: Path, shapes: dict[str, Tensor], averages: dict[str, dict]) -> None:
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in sorted(shapes.items())}, folder / SHAPES)
    card = {
        "what": "averages of aligned faces, a few people in each, and of how their shapes differ; nobody's portrait",
        "made_by": "python -m examples.average_faces",
        "sources": SOURCES,
        "averages": averages,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
