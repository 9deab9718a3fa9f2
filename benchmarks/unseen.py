"""A prediction beside the search where the network was not trained: wordings, several edits of one prompt, faces.

    python -m benchmarks.unseen words FOLDER --match neutral --people after:25 [--count 100]
    python -m benchmarks.unseen variety FOLDER --match neutral --people after:25 --limit 4
    python -m benchmarks.unseen faces FOLDER-OR-SET.npz ... --sheet out/faces.png [--limit 24] [--light 1 0.5 0.15]
        [--turned 15 35] [--ages 0-2 3-9]

`words` asks for wordings that the encoder's training left out, and for two and three attributes at once, one of a few
people after the other, and compares what the guide sees. `variety` compares n = 4 predictions with four variants.
`faces` takes pictures as they come: a folder, or sets of JPEGs in an .npz (`jpeg`, cut by `offset`; `landmarks` in
pixels; `person` or `name`; `age`), of which only the people are taken that no training has seen, in less and less
light; `--turned` and `--ages` take some of a set alone.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import flowedit
from benchmarks import edit as edits
from benchmarks import judge
from benchmarks.common import ROOT, Timer, environment, finite, usage_errors, write_report
from benchmarks.control import PROMPTS, Bench, check_shapes, format_rows, several
from benchmarks.sheet import CELL_PX, save_sheets, sheet_file
from benchmarks.table import IDENTITY
from examples.faceclip.sources import held_out
from flowedit import Config, Edit
from flowedit.app.paths import find_photos
from flowedit.checks import require
from flowedit.face.crop import extract
from flowedit.face.detect import find_faces
from flowedit.face.landmarks import EARS, NOSE_ROOT
from flowedit.guide.encoder import Encoder
from flowedit.photo.photo import load as load_photo
from flowedit.predict.weights import Trained
from flowedit.task.prepare import resolve_encoder

Finder = Callable[..., Edit]
WORDINGS = ROOT / "examples" / "faceclip" / "data"
ATTRIBUTES = (  # of one kind, a face can have one
    ("a smiling face", "a sad face", "a surprised face"),
    ("big eyes", "small eyes"),
    ("a wide nose", "a narrow nose"),
    ("a slim jaw",),
    ("thick lips", "red lipstick"),
    ("pale skin", "tanned skin", "rosy cheeks"),
)
COMBINATIONS = 20  # of two attributes, and of three
ASKED = ("a smiling face", "a surprised face", "big eyes", "red lipstick", "tanned skin")
LIGHT = (1.0, 0.5, 0.15)  # shares of the light, of one picture after the other
TURNS = (10.0, 20.0)  # degrees that part heads as straight, turned a little, turned


def ways(trained: Trained) -> dict[str, Finder]:
    """What makes an edit, by name."""
    return {
        "predicted": partial(flowedit.predict, predictor=trained),
        "searched": partial(flowedit.optimize, start=None, progress=False),
    }


def look(edit: Edit, seconds: float) -> dict[str, Any]:
    """Return what is compared of an edit."""
    return {
        "gain": edit.facts["gain"],
        "identity": edit.facts["identity_distance"],
        "folds": judge.fold_share(edit),
        "strength": edit.strength,
        "seconds": seconds,
    }


def compare(records: Sequence[Mapping[str, Any]], key: str) -> list[dict[str, Any]]:
    """A row for each value of a key, in order, over records that hold `look` of every way.

    Columns with a mark are the search's; `ratio` is of the mean gains, `id` a median, the rest means.
    """
    rows = []
    for value in [*dict.fromkeys(record[key] for record in records), "all"]:
        chosen = [record for record in records if value in (record[key], "all")]
        row: dict[str, Any] = {key: str(value), "n": len(chosen)}
        gains = {name: fmean(record[name]["gain"] for record in chosen) for name in ("predicted", "searched")}
        row |= {"gain": gains["predicted"], "search's": gains["searched"]}
        row["ratio"] = gains["predicted"] / gains["searched"] if gains["searched"] > 0 else math.nan
        for name, mark in (("predicted", ""), ("searched", "'")):
            each = [record[name] for record in chosen]
            far = [math.inf if one["identity"] is None else one["identity"] for one in each]  # where dlib saw no face
            row[f"id{mark}"] = median(far)
            row[f"kept{mark}"] = f"{fmean(distance <= IDENTITY for distance in far):.0%}"
            row[f"folds{mark}"] = f"{fmean(one['folds'] for one in each):.3%}"
            row[f"strength{mark}"] = fmean(one["strength"] for one in each)
            row[f"s{mark}"] = fmean(one["seconds"] for one in each)
        rows.append(row)
    return rows


def find_words(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return kinds and prompts: `count` wordings of either list, evenly taken, and combinations of attributes."""
    asked = []
    for kind in ("unheard", "far"):
        with (WORDINGS / f"{kind}.csv").open(newline="") as file:
            prompts = [row["prompt"] for row in csv.DictReader(file)]
        asked += [(kind, prompts[k * len(prompts) // count]) for k in range(min(count, len(prompts)))]
    rng = random.Random(seed)
    for number, kind in ((2, "two"), (3, "three")):
        for _ in range(min(count, COMBINATIONS)):
            *first, last = [rng.choice(kinds) for kinds in rng.sample(ATTRIBUTES, number)]
            asked.append((kind, f"{', '.join(first)} and {last}"))
    return asked


def measure_words(options: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Ask for each wording on one of the people, in turn."""
    records = []
    for k, (kind, prompt) in enumerate(find_words(options.count)):
        path = options.paths[k % len(options.paths)]
        record: dict[str, Any] = {"wording": kind, "prompt": prompt, "photo": path.name}
        for name, find in ways(options.trained).items():
            with Timer() as timer:
                edit = find(path, prompt, config=options.config, encoder=encoder)
            record[name] = look(edit, timer.seconds)
        records.append(record)
        told = ", ".join(f"{name} {record[name]['gain']:.2f}" for name in ways(options.trained))
        print(f"{kind}: {prompt}: {told}", file=sys.stderr, flush=True)
    return {"rows": compare(records, "wording"), "edits": records}


def measure_variety(options: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Ask for four edits of each prompt, of the network and of `variants`; see `control.several`."""
    bench = Bench(options, encoder)
    four = partial(flowedit.predict, predictor=options.trained, n=4, config=options.config, encoder=encoder)
    found = {"predicted": several(bench, four), "variants": several(bench)}
    return {"rows": [{"edits": name} | row for name, rows in found.items() for row in rows]}


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as it came, by name, in a share of its light: (H, W, 3) uint8."""

    name: str
    pixels: np.ndarray
    light: float


def find_pictures(
    places: Sequence[Path],
    limit: int,
    light: Sequence[float],
    turned: Sequence[float] | None = None,
    ages: Sequence[str] | None = None,
) -> list[Picture]:
    """Read up to `limit` pictures of each place, evenly taken, each with the next share of light; see `read_set`.

    Raises:
        OSError, ValueError: a place is no folder of pictures and no set.
    """
    pictures = []
    for place in places:
        read = dict(read_set(place, turned, ages) if place.suffix == ".npz" else read_folder(place))
        require(bool(read), f"FOLDER must hold pictures of people that were not learned from; got none in {place}")
        names = list(read)
        for name in [names[k * len(names) // limit] for k in range(limit)] if len(names) > limit else names:
            share = light[len(pictures) % len(light)]
            pictures.append(Picture(name, np.round(read[name]() * share).astype(np.uint8), share))
    return pictures


def read_set(
    path: Path, turned: Sequence[float] | None = None, ages: Sequence[str] | None = None
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Yield the held-out people of a set, each once: a name, and what decodes the picture.

    Args:
        path: of the set.
        turned: the least and the most degrees that heads are turned by to be taken, by the set's landmarks.
        ages: the words for them, as the set has them, of those that are taken.
    """
    data = dict(np.load(path))  # an array in the file is decompressed at every access
    require(ages is None or "age" in data, f"--ages must be of a set that tells ages; got {path}")
    require(turned is None or "landmarks" in data, f"--turned must be of a set that has landmarks; got {path}")
    offset, seen = data["offset"], set()
    people = next((data[key] for key in ("person", "name") if key in data), None)
    for i in range(len(offset) - 1):
        person = f"{path.stem} {i}" if people is None else str(people[i])
        chosen = ages is None or str(data["age"][i]) in ages
        if chosen and turned is not None:
            chosen = turned[0] <= turn_of(torch.from_numpy(data["landmarks"][i].astype(np.float32))) <= turned[1]
        if chosen and held_out(person, 10) and person not in seen:
            seen.add(person)
            jpeg = data["jpeg"][offset[i] : offset[i + 1]].tobytes()
            yield f"{path.stem} {i}", partial(decode, io.BytesIO(jpeg))


def read_folder(path: Path) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Yield every picture of a folder, whoever it shows."""
    for photo in find_photos([str(path)]).paths:
        yield photo.stem, partial(decode, photo)


def decode(source: Path | io.BytesIO) -> np.ndarray:
    """Read a picture: (H, W, 3) uint8."""
    return np.asarray(Image.open(source).convert("RGB"))


def turn_of(landmarks: Tensor) -> float:
    """Return about how far a head is turned to a side, in degrees: as if it were a ball with the nose's root in front.

    Args:
        landmarks: (68, 2) in any frame in which the face is upright.
    """
    left, right = (float(landmarks[ear, 0]) for ear in EARS)
    off = (2 * float(landmarks[NOSE_ROOT, 0]) - left - right) / max(right - left, 1e-9)
    return math.degrees(math.asin(min(1.0, abs(off))))


def measure_faces(options: argparse.Namespace, encoder: Encoder) -> dict[str, Any]:
    """Edit each picture with each prompt both ways; draw them all."""
    records, lost, names, rows = [], [], [], []
    prompts = options.prompts
    for picture in options.pictures:
        photo = load_photo(picture.pixels)
        if not find_faces(photo):
            lost.append(picture.name)
            continue
        cells = []
        for prompt in prompts:
            record: dict[str, Any] = {"prompt": prompt, "photo": picture.name, "light": f"{picture.light:.0%}"}
            for name, find in ways(options.trained).items():
                with Timer() as timer:
                    edit = find(photo, prompt, config=options.config, encoder=encoder)
                record[name] = look(edit, timer.seconds)
                crop = edit.edited.crops()[0]
                cells.append(edits.thumbnail(edit.edited.saved_crop(crop, CELL_PX)))
            assert crop.landmarks is not None  # an aligned face
            turn = turn_of(crop.landmarks)
            low, high = TURNS
            record["turn"] = f"{'up to' if turn < high else 'over'} {low if turn < low else high:.0f} degrees"
            records.append(record | {"degrees": turn})
        rows.append([edits.thumbnail(extract(photo, crop, CELL_PX)), *cells])
        names.append(f"{picture.name}, {picture.light:.0%}")
        print(f"{names[-1]}, turned by {turn:.0f} degrees", file=sys.stderr, flush=True)
    require(bool(records), f"FOLDER must hold a picture with a face; got {len(lost)} without")
    if options.sheet is not None:
        headings = ["photo", *(f"{prompt}: {name}" for prompt in prompts for name in ways(options.trained))]
        save_sheets(options.sheet, headings, names, list(zip(*rows, strict=True)))
    tables = [compare(records, key)[: None if key == "prompt" else -1] for key in ("prompt", "light", "turn")]
    print(f"{len(names)} pictures, and {len(lost)} without a face that is found")
    return {"rows": tables[0], "light": tables[1], "turn": tables[2], "edits": records, "lost": lost}


MEASURES = {"words": measure_words, "variety": measure_variety, "faces": measure_faces}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.unseen", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="what", required=True)
    words, variety, faces = (
        commands.add_parser(name, help=measure.__doc__, description=measure.__doc__)
        for name, measure in MEASURES.items()
    )
    for each in (words, variety):
        each.add_argument("folder", type=Path, help="portraits, as of benchmarks.edit")
        each.add_argument("--match", default="", help="text that a file's name must contain, such as neutral")
        each.add_argument("--people", default="all", help="all, first:N or after:N, by the three leading digits")
    faces.add_argument("places", type=Path, nargs="+", metavar="FOLDER", help="pictures as they come, or a set's .npz")
    faces.add_argument("--light", nargs="+", type=float, default=list(LIGHT), help="shares, of one after the other")
    faces.add_argument("--turned", nargs=2, type=float, metavar="DEGREES", help="least and most that heads are turned")
    faces.add_argument("--ages", nargs="+", metavar="AGE", help="of the people, as a set has them, such as 3-9")
    faces.add_argument("--sheet", type=sheet_file, help="PNG for contact sheets, 8 faces on each")
    words.add_argument("--count", type=int, default=200, help="wordings of each list, and combinations up to 20")
    for each, prompts in ((variety, PROMPTS), (faces, ASKED)):
        each.add_argument("--prompts", nargs="+", default=list(prompts))
    for each, limit, of in ((words, 4, "people"), (variety, 4, "people"), (faces, 24, "pictures of each place")):
        each.add_argument("--limit", type=int, default=limit, help=of)
        each.add_argument("--encoder", help="as for flowedit edit; default: the shipped one")
        each.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings in place of the defaults")
        each.add_argument("--predictor", help="file or folder of a trained network; default: the shipped one")
        each.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    options = parser.parse_args(arguments)
    with usage_errors(parser):
        check(options)
    return options


def check(options: argparse.Namespace) -> None:
    """Read what the options name; OSError, ValueError or RuntimeError where it cannot be."""
    require(options.limit >= 1, f"--limit must be at least 1; got {options.limit}")
    options.trained = flowedit.load_predictor(options.predictor)
    if options.what == "faces":
        require(all(0 < share <= 1 for share in options.light), f"--light must be over 0 to 1; got {options.light}")
        options.config = Config.from_toml(options.config) if options.config else Config()
        options.pictures = find_pictures(options.places, options.limit, options.light, options.turned, options.ages)
        return
    edits.find_asked(options)
    if options.what == "words":
        require(options.count >= 1, f"--count must be at least 1; got {options.count}")
        options.paths = options.paths[: options.limit]
    else:
        check_shapes(options.prompts)


def main(arguments: Sequence[str] | None = None, encoder: Encoder | None = None) -> None:
    options, about = parse(arguments), environment()
    encoder = encoder or resolve_encoder(options.encoder, options.config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of words unknown, gray photos and fewer variants
        report = MEASURES[options.what](options, encoder)
    for name in ("rows", "light", "turn"):
        if name in report:
            print(format_rows(report[name]), end="\n\n")
    if options.json is not None:
        setup = {"encoder": encoder.name, "predictor": options.trained.name, "config": options.config.to_dict()}
        write_report(options.json, finite({**about, **setup, **report}))


if __name__ == "__main__":
    main()
