"""Raw photos -> one file of aligned faces, landmarks, masks, labels and a split by person.

Reads a folder with
    london/NNN_{neutral,smiling}.jpg and people.csv   Face Research Lab London Set (CC BY 4.0)
    3dsk/{female,male}_NAME.jpg                       3DSK set (CC BY)
    composite/{f,m}_NAME.jpg                          average faces (CC BY)
    web_faces_128.npz                                 aligned faces of Labeled Faces in the Wild
The first 25 London people may be learned from; the other 26 are never touched. A fifth of the 3DSK people and
a tenth of the web people are held out for checking. No person is on both sides.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flowedit.face.crop import extract, face_crop
from flowedit.face.detect import find_faces
from flowedit.guide.faceclip import INPUT_PX
from flowedit.photo import photo as images

from .color import masks_for

LEARNED_FROM = 25  # London people, by id
NEUTRAL_AGE = 30.0  # where a set does not tell; labelled with little weight
COLORFUL = 8  # mean difference of the channels, in 255ths, from which a web photo counts as colored


def held_out(person: str, one_in: int) -> bool:
    """Decide by the person's name, so that the split is the same everywhere and for ever."""
    return int(hashlib.sha256(person.encode()).hexdigest(), 16) % one_in == 0


def studio_faces(folder: Path) -> list[dict[str, Any]]:
    """Align the London, 3DSK and composite photos."""
    with open(folder / "london" / "people.csv", newline="") as file:
        people = {row["id"]: row for row in csv.DictReader(file)}
    learned = set(sorted(people)[:LEARNED_FROM])
    rows = []
    for source in ("london", "3dsk", "composite"):
        for path in sorted((folder / source).glob("*.jpg")):
            photo = images.load(path)
            faces = find_faces(photo)
            if not faces:
                print(f"no face in {path}, left out")
                continue
            crop = face_crop(max(faces, key=lambda face: face.box[2] - face.box[0]).landmarks)
            age, female, split = NEUTRAL_AGE, float(path.name[0] == "f"), "train"
            if source == "london":
                person = people[path.name[:3]]
                age = float(person["age"]) if person["age"].isdigit() else NEUTRAL_AGE
                female = float(person["gender"] == "female")
                split = "train" if path.name[:3] in learned else "test"
            elif source == "3dsk":
                split = "val" if held_out(path.stem, 5) else "train"
            smiling = "smiling" in path.name
            rows.append(
                {
                    "image": images.quantize(extract(photo, crop, INPUT_PX), np.uint8),
                    "landmarks": np.asarray(crop.landmarks),
                    "expression": "happiness" if smiling else "neutral",
                    "emotion": np.eye(7)[1 if smiling else 0],
                    "age": age,
                    "female": female,
                    "split": split,
                    "source": source,
                    "colored": True,
                }
            )
    return rows


def web_faces(path: Path) -> list[dict[str, Any]]:
    """Decode the web faces, which come aligned."""
    data = dict(np.load(path))  # an array in the file is decompressed at every access
    offset = data["offset"]
    rows = []
    for i in range(len(offset) - 1):
        jpeg = data["jpeg"][offset[i] : offset[i + 1]].tobytes()
        image = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
        rows.append(
            {
                "image": image,
                "landmarks": data["landmarks"][i].astype(np.float32) / INPUT_PX * 2 - 1,
                "expression": str(data["expression"][i]),
                "emotion": data["emotion"][i].astype(float),
                "age": float(data["age"][i]),
                "female": float(data["female_probability"][i]),
                "split": "val" if held_out(str(data["person"][i]), 10) else "train",
                "source": "web",
                "colored": bool((image.max(-1).astype(int) - image.min(-1)).mean() > COLORFUL),
            }
        )
    return rows


def prepare(raw: Path, out: Path) -> None:
    rows = studio_faces(raw) + web_faces(raw / "web_faces_128.npz")
    columns = {name: np.stack([np.asarray(row[name]) for row in rows]) for name in rows[0]}
    masks = masks_for(columns["landmarks"]).numpy()
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(out, masks=masks, **columns)
    names, counts = np.unique(columns["split"], return_counts=True)
    print(f"wrote {out}: " + ", ".join(f"{n} {c}" for n, c in zip(names, counts, strict=True)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path, help="folder with london/, 3dsk/, composite/ and web_faces_128.npz")
    parser.add_argument("--out", type=Path, default=Path("out/faceclip/faces.npz"))
    options = parser.parse_args()
    prepare(options.raw, options.out)


if __name__ == "__main__":
    main()
