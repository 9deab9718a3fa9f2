"""Real clips: whether the edit is the right one in every tenth frame, and keeps who it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np

import flowedit
from benchmarks import judge
from benchmarks.table import IDENTITY, RIGHT_SD
from flowedit.checks import require
from flowedit.face.crop import Crop, extract, face_crop
from flowedit.face.detect import descriptor, find_faces, refit, refit_often
from flowedit.face.measures import SPREADS, measure
from flowedit.photo.photo import Photo
from flowedit.photo.photo import load as load_photo
from flowedit.video.clearest import CLIP_SHARE, ClearFrame, clearest
from flowedit.video.editor import VideoEditor
from flowedit.video.frames import aligned_gray
from flowedit.video.track import ALIGNED_PX

EVERY = 10
FRONTAL = 0.3  # `TrackedFace.turn` up to which a face is measured
SHOWN = 0.9  # of an edit, from which on it is measured
CELL_PX = 200


def find_clips(folder: Path) -> list[Path]:
    """List the clips of a folder, by name.

    Raises:
        ValueError: no folder, or none in it.
    """
    require(folder.is_dir(), f"CLIPS must be a folder of clips; got {str(folder)!r}")
    clips = sorted(path for path in folder.iterdir() if path.suffix in (".mkv", ".mp4", ".gif", ".webm"))
    require(bool(clips), f"CLIPS must hold .mkv, .mp4, .webm or .gif files; got none in {folder}")
    return clips


def read(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Yield a clip's frames and their times."""
    import imageio.v3 as iio

    metadata = iio.immeta(path)
    fps = metadata.get("fps") or 1000 / metadata.get("duration", 40)
    for k, frame in enumerate(iio.imiter(path)):
        yield np.ascontiguousarray(frame[..., :3]), k / fps


def measure_right(clips: Sequence[Path], prompts: Sequence[str], sheet: Path | None) -> list[dict[str, Any]]:
    """Edit each clip by an edit that is predicted on its clearest frame, and measure faces that can be measured."""
    rows, cells = [], []
    for path in clips:
        found = clearest(read(path))
        if not found:
            print(f"{path.name}: no face found, left out", file=sys.stderr)
            continue
        for prompt in prompts:
            records = []
            for person in found:
                record, pictures = edit_one(path, person, prompt)
                records += record
                cells += pictures
            rows.append(summarize(path.name, prompt, records))
            print(rows[-1], file=sys.stderr)
    if sheet is not None and cells:
        save_sheet(cells, sheet)
    good = [row for row in rows if row["faces"]]
    if good:
        faces = sum(row["faces"] for row in good)
        total = {"clip": "all", "prompt": "", "faces": faces}
        shares = ("right", "effect", "kept")
        total |= {key: sum(row[key] * row["faces"] for row in good) / faces for key in shares}
        total["identity"] = max(row["identity"] for row in good)
        rows.append(total)
    return rows


def edit_one(path: Path, person: ClearFrame, prompt: str) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Edit one person of a clip.

    Returns:
        For every tenth frame its numbers, and before and after side by side.
    """
    photo = load_photo(person.frame)
    number = nearest(photo, person.crop)
    if number is None:
        return [], []
    config = flowedit.Config(face=number, identity=CLIP_SHARE * flowedit.Config().identity)
    edit = flowedit.predict(photo, prompt, config=config)
    editor = VideoEditor({person.person: edit})
    name, sign = judge.GEOMETRY[prompt]
    records, pictures = [], []
    for k, (frame, time) in enumerate(read(path)):
        edited = editor.process(frame, time)
        seen = [face for face in editor.faces if editor.follows(face.id) and face.fade > SHOWN and face.turn <= FRONTAL]
        if k % EVERY or not seen:
            continue
        before, after = Photo(frame), Photo(edited)
        crop = seen[0].crop
        records.append({"effect": effect(frame, edited, crop, name, sign), "identity": distance(before, after, crop)})
        pair = [extract(each, crop, CELL_PX)[0].permute(1, 2, 0).numpy() for each in (before, after)]
        pictures.append((255 * np.concatenate(pair, 1)).round().astype(np.uint8))
    return records, pictures


def distance(before: Photo, after: Photo, crop: Crop) -> float:
    """Return how far dlib's descriptors lie apart; where it finds no face in one, both by landmarks placed anew."""
    found = [judge.describe(each, crop) for each in (before, after)]
    if found[0] is None or found[1] is None:
        assert crop.landmarks is not None  # a tracked face has them
        images = [extract(each, crop, judge.CROP_PX) for each in (before, after)]
        found = [descriptor(image, refit(image, crop.landmarks)) for image in images]
    return judge.distance(found[1], found[0])


def nearest(photo: Photo, crop: Crop) -> int | None:
    """Return which of a photo's faces, from left to right, a crop lies over; None where none is found there."""
    off = [
        float((face_crop(face.landmarks).matrix[:, 2] - crop.matrix[:, 2]).norm())
        for face in find_faces(photo, turned=True)
    ]
    return off.index(min(off)) if off and min(off) < crop.side_px / 4 else None


def effect(before: np.ndarray, after: np.ndarray, crop: Crop, name: str, sign: float) -> float:
    """Return how far a measure went the wanted way, population deviations, by the mean of eight fits of landmarks."""
    assert crop.landmarks is not None  # a tracked face has them
    first, second = (
        float(measure(refit_often(aligned_gray(each, crop, ALIGNED_PX), crop.landmarks, 8).mean(0))[name])
        for each in (before, after)
    )
    return sign * (second - first) / SPREADS[name]


def summarize(clip: str, prompt: str, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {"clip": clip, "prompt": prompt, "faces": len(records)}
    row |= {"right": None, "effect": None, "kept": None, "identity": None}
    if records:
        row |= {
            "right": fmean(each["effect"] > RIGHT_SD for each in records),
            "effect": median(each["effect"] for each in records),
            "kept": fmean(each["identity"] <= IDENTITY for each in records),
            "identity": max(each["identity"] for each in records),
        }
    return row


def save_sheet(cells: Sequence[np.ndarray], path: Path, columns: int = 5) -> None:
    from PIL import Image

    rows = [list(cells[k : k + columns]) for k in range(0, len(cells), columns)]
    rows[-1] += [np.zeros_like(cells[0])] * (columns - len(rows[-1]))
    Image.fromarray(np.concatenate([np.concatenate(row, 1) for row in rows])).save(path)
