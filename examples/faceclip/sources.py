"""Reads each set of faces into rows that are all of one kind."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from flowedit.face.crop import extract, face_crop
from flowedit.face.detect import find_faces
from flowedit.guide.faceclip import INPUT_PX
from flowedit.photo import photo as images

LEARNED_FROM = 25  # London people, by id
COLORFUL = 8  # mean difference of the channels, in 255ths, from which a photo counts as colored
PHOTOGRAPHED = 2010  # the portraits, within five years
UNKNOWN = float("nan")
MIDDLES = {
    "0-2": 1.5,
    "3-9": 6,
    "10-19": 15,
    "20-29": 25,
    "30-39": 35,
    "40-49": 45,
    "50-59": 55,
    "60-69": 65,
    "70+": 75,
}
AGES = {
    "baby": 1,
    "toddler": 2.5,
    "child": 7,
    "teenager": 16,
    "adult": 35,
    "middle-aged": 50,
    "elderly": 75,
    "wrinkled": 75,
}
FEELINGS = {  # words of the sets for expressions, in ours
    "Happy": "happiness", "Sad": "sadness", "Angry": "anger", "Surprised": "surprise", "Shocked": "surprise",
    "Disgusted": "disgust", "Scared": "fear", "Neutral": "neutral", "happy": "happiness", "smiling": "happiness",
    "sad": "sadness", "angry": "anger", "surprised": "surprise", "disgusted": "disgust", "fearful": "fear",
    "neutral": "neutral",
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One aligned face.

    Attributes:
        image: (INPUT_PX, INPUT_PX, 3) uint8.
        landmarks: (68, 2) crop coordinates.
        source: the set.
        split: train, val (of a person held out) or test.
        expression: the set's word; "" if it has none.
        emotion: (7,) a classifier's guess, NaN where there is none.
        age: years, NaN if unknown.
        female: in [0, 1], NaN if unknown.
        tags: what else the set says is there, joined by commas.
        group: of people, by the set; "" if it does not say. For finding gaps only.
        colored: whether the photo has color.
    """

    image: np.ndarray
    landmarks: np.ndarray
    source: str
    split: str
    expression: str = ""
    emotion: np.ndarray | None = None
    age: float = UNKNOWN
    female: float = UNKNOWN
    tags: str = ""
    group: str = ""
    colored: bool = True


def held_out(person: str, one_in: int) -> bool:
    """Decide by the person's name, so that the split is the same everywhere and for ever."""
    return int(hashlib.sha256(person.encode()).hexdigest(), 16) % one_in == 0


def side(person: str, one_in: int = 10) -> str:
    return "val" if held_out(person, one_in) else "train"


def studio_faces(folder: Path) -> Iterator[Row]:
    """Align the London, 3DSK and composite photos; a person of London has two."""
    with open(folder / "london" / "people.csv", newline="") as file:
        people = {row["id"]: row for row in csv.DictReader(file)}
    learned = set(sorted(people)[:LEARNED_FROM])
    for source in ("london", "3dsk", "composite"):
        for path in sorted((folder / source).glob("*.jpg")):
            photo = images.load(path)
            faces = find_faces(photo)
            if not faces:
                print(f"no face in {path}, left out")
                continue
            crop = face_crop(max(faces, key=lambda face: face.box[2] - face.box[0]).landmarks)
            age, female, split = UNKNOWN, float(path.name[0] == "f"), "train"
            if source == "london":
                person = people[path.name[:3]]
                age = float(person["age"]) if person["age"].isdigit() else UNKNOWN
                female = float(person["gender"] == "female")
                split = "train" if path.name[:3] in learned else "test"
            elif source == "3dsk":
                split = side(path.stem, 5)
            smiling = "smiling" in path.name
            image = images.quantize(extract(photo, crop, INPUT_PX), np.uint8)
            word = "happiness" if smiling else "neutral"
            yield Row(image, np.asarray(crop.landmarks), source, split, word, age=age, female=female)


class Packed:
    """The faces of an .npz: JPEG files one after another, landmarks in pixels of a square of any side."""

    def __init__(self, path: Path, side_px: int) -> None:
        self.data = dict(np.load(path))  # an array in the file is decompressed at every access
        self.side_px = side_px

    def __len__(self) -> int:
        return len(self.data["offset"]) - 1

    def image(self, i: int) -> np.ndarray:
        start, end = self.data["offset"][i : i + 2]
        image = Image.open(io.BytesIO(self.data["jpeg"][start:end].tobytes())).convert("RGB")
        if self.side_px != INPUT_PX:
            image = image.resize((INPUT_PX, INPUT_PX), Image.Resampling.BOX, reducing_gap=None)
        return np.asarray(image)

    def landmarks(self, i: int) -> np.ndarray:
        return self.data["landmarks"][i].astype(np.float32) / self.side_px * 2 - 1

    def text(self, column: str, i: int) -> str:
        return str(self.data[column][i])


def is_colored(image: np.ndarray) -> bool:
    return bool((image.max(-1).astype(int) - image.min(-1)).mean() > COLORFUL)


def web_faces(path: Path) -> Iterator[Row]:
    """Labeled Faces in the Wild, with the set's words for expressions and a classifier's guesses."""
    faces = Packed(path, INPUT_PX)
    for i in range(len(faces)):
        image = faces.image(i)
        age, female = (float(faces.data[column][i]) for column in ("age", "female_probability"))
        emotion = faces.data["emotion"][i].astype(np.float32)
        split = side(faces.text("person", i))
        word = faces.text("expression", i)
        yield Row(image, faces.landmarks(i), "web", split, word, emotion, age, female, colored=is_colored(image))


def read_worn() -> dict[str, str]:
    """Read what some held-out people of FairFace wear, as was seen on them: file name -> tags."""
    with open(Path(__file__).parent / "data" / "worn.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    tags = {}
    for row in rows:
        things = [(name, row[name]) for name in ("glasses", "sunglasses", "hat")]
        said = [name if answer == "1" else f"{name} unsure" for name, answer in things if answer != "0"]
        tags[row["name"]] = ",".join(["looked at", *said])
    return tags


def color_faces(path: Path) -> Iterator[Row]:
    """FairFace: each another person, of every skin tone and age."""
    faces, worn = Packed(path, INPUT_PX), read_worn()
    for i in range(len(faces)):
        image = faces.image(i)
        age, female = float(MIDDLES[faces.text("age", i)]), float(faces.text("gender", i).lower() == "female")
        name, group, colored = faces.text("name", i), faces.text("group", i), is_colored(image)
        tags = worn.get(name, "")
        yield Row(image, faces.landmarks(i), "color", side(name), "", None, age, female, tags, group, colored)


def synthetic_faces(path: Path) -> Iterator[Row]:
    """SFHQ-T2I: found by a text search, whose words are the tags. Pictures that are nearly the same stay together."""
    faces = Packed(path, 192)
    pictures = [faces.image(i) for i in range(len(faces))]
    same = look_alikes(np.stack(pictures))
    for i, image in enumerate(pictures):
        tags = [tag.strip() for tag in faces.text("labels", i).split(",")]
        word = next((FEELINGS[tag] for tag in tags if tag in FEELINGS), "")
        age = next((float(AGES[tag]) for tag in tags if tag in AGES), UNKNOWN)
        female = next((float(tag == "female") for tag in tags if tag in ("female", "male")), UNKNOWN)
        split = side(f"synthetic_192 {same[i]}")
        kept, colored = ",".join(tags), is_colored(image)
        yield Row(image, faces.landmarks(i), "synthetic", split, word, None, age, female, kept, "", colored)


def portraits(path: Path) -> Iterator[Row]:
    """Official portraits of the US Government Printing Office, with birth years."""
    faces = Packed(path, 192)
    for i in range(len(faces)):
        age = float(PHOTOGRAPHED - faces.data["birth"][i])
        name = faces.text("name", i)
        image = faces.image(i)
        yield Row(image, faces.landmarks(i), "portraits", side(name), age=age, colored=is_colored(image))


def expression_pairs(path: Path) -> Iterator[Row]:
    """OpenPeople: five synthetic people in sixteen expressions each, the first of them held out."""
    faces = Packed(path, 192)
    people = sorted(set(faces.data["person"].tolist()))
    for i in range(len(faces)):
        said = faces.text("expression", i)
        split = "val" if faces.text("person", i) == people[0] else "train"
        word = FEELINGS.get(said, "")
        yield Row(faces.image(i), faces.landmarks(i), "expressions", split, word, tags=said.lower())


def look_alikes(pictures: np.ndarray, alike: float = 0.93) -> np.ndarray:
    """Number groups of faces (N, S, S, 3) whose inner parts correlate; (N,) the first member of each one's group."""
    small = torch.from_numpy(pictures[:, 32:120, 28:100].mean(-1)).float()
    small = torch.nn.functional.interpolate(small[:, None], (22, 18), mode="area").flatten(1)
    small = small - small.mean(1, keepdim=True)
    small = small / small.norm(dim=1, keepdim=True).clamp(min=1e-6)
    near = (small @ small.T > alike).numpy()
    group = np.arange(len(pictures))
    for i in range(len(pictures)):
        members = np.flatnonzero(near[i])
        roots = np.unique(group[members])
        group[np.isin(group, roots)] = roots.min()
    return group


def all_faces(folder: Path) -> Iterator[Row]:
    """Every face there is."""
    yield from studio_faces(folder)
    yield from web_faces(folder / "web_faces_128.npz")
    yield from color_faces(folder / "color_faces_128.npz")
    yield from synthetic_faces(folder / "synthetic_192.npz")
    yield from portraits(folder / "portraits_192.npz")
    yield from expression_pairs(folder / "expressions_192.npz")
