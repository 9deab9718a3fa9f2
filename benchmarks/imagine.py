"""Imagine ten descriptions; measure whether each attribute goes the right way, and how faces differ."""

from __future__ import annotations

import argparse
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import flowedit
from benchmarks import judge
from benchmarks.common import Timer, environment, write_report
from flowedit import Config, Edit
from flowedit.face.crop import extract, face_crop
from flowedit.face.measures import SPREADS, measure
from flowedit.photo.photo import load as load_photo
from flowedit.report.strips import save_sheet

CELL_PX = 256
LEAST_SD, LEAST_DELTA_E = 0.7, 2.0  # from which on a change is called visible


@dataclass(frozen=True)
class Shape:
    """A measure of the landmarks that should grow (1) or fall (-1), in deviations from face to face."""

    name: str
    sign: int


SMILE, SAD = Shape("mouth_curvature", 1), Shape("mouth_curvature", -1)
BIG_EYES, SMALL_EYES = Shape("eye_area", 1), Shape("eye_area", -1)
THICK_LIPS, RAISED_BROWS = Shape("lip_thickness", 1), Shape("brow_height", 1)
WIDE_NOSE, NARROW_NOSE = Shape("nose_width", 1), Shape("nose_width", -1)
SLIM_JAW, WIDE_JAW = Shape("jaw_width", -1), Shape("jaw_width", 1)
GREEN_EYES = judge.Tint("eyes", "skin", {"a": -1}, ())
BLUE_EYES = judge.Tint("eyes", "skin", {"b": -1}, ())

DESCRIPTIONS: dict[str, tuple[Shape | judge.Tint, ...]] = {
    "a smiling old man with green eyes": (SMILE, GREEN_EYES),
    "a sad young woman with thick lips": (SAD, THICK_LIPS),
    "a happy child with big eyes": (SMILE, BIG_EYES),
    "a middle-aged man with a wide nose and pale skin": (WIDE_NOSE, judge.COLORS["pale skin"]),
    "a surprised young man with big eyes": (RAISED_BROWS, BIG_EYES),
    "a young woman with red lipstick, rosy cheeks and a slim jaw": (
        judge.COLORS["red lipstick"],
        judge.COLORS["rosy cheeks"],
        SLIM_JAW,
    ),
    "an old woman with a smile and raised eyebrows": (SMILE, RAISED_BROWS),
    "a young man with tanned skin, small eyes and a narrow nose": (
        judge.COLORS["tanned skin"],
        SMALL_EYES,
        NARROW_NOSE,
    ),
    "a smiling middle-aged woman with red lips and blue eyes": (SMILE, judge.COLORS["red lipstick"], BLUE_EYES),
    "a sad old man with a wide jaw, thick lips and small eyes": (SAD, WIDE_JAW, THICK_LIPS, SMALL_EYES),
}


def look(edit: Edit, wanted: tuple[Shape | judge.Tint, ...]) -> list[float | None]:
    """Measure each attribute's change from the average on 8-bit pictures; None where no face is found any more."""
    before, after = load_photo(edit.to_pil(0.0)), load_photo(edit.to_pil())
    face = judge.find_face(before)
    again = None if face is None else judge.find_face(after, face.landmarks)
    if face is None or again is None:
        return [None] * len(wanted)
    shapes = measure(face.landmarks.double()), measure(again.landmarks.double())
    crop = face_crop(face.landmarks)
    assert crop.landmarks is not None  # face_crop sets them
    colors = judge.color_changes(
        *(judge.lab(extract(photo, crop, judge.CROP_PX)) for photo in (before, after)),
        judge.regions(crop.landmarks, judge.CROP_PX),
    )
    return [
        judge.tint_effect(colors, each)
        if isinstance(each, judge.Tint)
        else each.sign * float(shapes[1][each.name] - shapes[0][each.name]) / SPREADS[each.name]
        for each in wanted
    ]


def differ(edits: list[Edit]) -> tuple[float, float]:
    """Return the least of two faces' mean Delta E over the crop, and of their landmarks' mean distance, percent of the
    distance between the eyes."""
    crops = [edit.edited.crops()[0] for edit in edits]
    pictures = [judge.lab(edit.edited.crop_image(crop, 128)) for edit, crop in zip(edits, crops, strict=True)]
    faces = [face for edit in edits if (face := judge.find_face(load_photo(edit.to_pil()))) is not None]
    marks = [face_crop(face.landmarks).landmarks for face in faces]
    pairs = itertools.combinations(marks, 2)
    eyes = 0.5  # the eyes' distance in a crop, crop coordinates
    apart = [100 * float((a - b).norm(dim=-1).mean()) / eyes for a, b in pairs if a is not None and b is not None]
    colors = [float((a - b).norm(dim=0).mean()) for a, b in itertools.combinations(pictures, 2)]
    return min(colors), min(apart)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--intensity", type=float, default=Config().intensity)
    parser.add_argument("--sheet", type=Path, help="a picture of all of them")
    parser.add_argument("--json", type=Path, help="all numbers")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    pictures = []
    for text, wanted in DESCRIPTIONS.items():
        with Timer() as timer:
            edits = flowedit.imagine(
                text, options.n, seed=options.seed, config=Config(intensity=options.intensity), progress=False
            )
        effects = [look(edit, wanted) for edit in edits]
        colors, shapes = differ(edits) if options.n > 1 else (float("nan"), float("nan"))
        rows.append({"description": text, "effects": effects, "apart_delta_e": colors, "apart_percent": shapes,
                     "seconds": timer.seconds})  # fmt: skip
        told = "; ".join(" ".join("-" if e is None else f"{e:+.1f}" for e in each) for each in effects)
        print(f"{text}: {told}; apart by {colors:.1f} Delta E, {shapes:.1f} %; {timer.seconds:.1f} s", flush=True)
        pictures.append([to_cell(edit, strength) for edit in edits for strength in (0.0, None)])
    attributes = [
        (effect, LEAST_DELTA_E if isinstance(each, judge.Tint) else LEAST_SD)
        for row, wanted in zip(rows, DESCRIPTIONS.values(), strict=True)
        for face in row["effects"]
        for effect, each in zip(face, wanted, strict=True)
    ]
    right = sum(effect is not None and effect > 0 for effect, _ in attributes) / len(attributes)
    seen = sum(effect is not None and effect >= least for effect, least in attributes) / len(attributes)
    print(f"right way {right:.0%}, visible {seen:.0%} of {len(attributes)}")
    if options.sheet is not None:
        save_sheet(options.sheet, pictures, labels=list(DESCRIPTIONS))
    if options.json is not None:
        write_report(options.json, {"rows": rows, "right": right, "visible": seen, "environment": environment()})


def to_cell(edit: Edit, strength: float | None) -> Any:
    import numpy as np

    return np.asarray(edit.to_pil(strength).convert("RGB").resize((CELL_PX, CELL_PX)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
