"""Edit every portrait of a folder with every prompt, measure the edited pictures, and print one table."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

import flowedit
from benchmarks import judge
from benchmarks.common import Timer, environment, find_portraits, finite, usage_errors, write_report
from benchmarks.sheet import CELL_PX, save_sheets, sheet_file
from benchmarks.table import IDENTITY, format_table, mean, summarize
from flowedit import Config, Edit
from flowedit.checks import require
from flowedit.face.crop import Crop, extract, face_crop
from flowedit.face.detect import Face
from flowedit.face.measures import measure
from flowedit.guide.encoder import Encoder
from flowedit.photo.photo import load as load_photo
from flowedit.task.prepare import resolve_encoder

LEAST_PEOPLE = 5  # portraits that make a population


@dataclass(frozen=True, eq=False)
class Portrait:
    """An unedited portrait and everything about it that an edit is compared with; no pixels of the photo."""

    path: Path
    face: Face
    crop: Crop
    values: Mapping[str, float]
    identity: Tensor | None  # descriptor in the crop
    identity_alone: Tensor  # descriptor of the picture on its own
    lab: Tensor  # (3, 256, 256) the crop in CIELAB
    regions: Mapping[str, Tensor]
    smile: Tensor | None  # (51, 2) the same person's real move to a smile, crop's frame
    thumbnail: np.ndarray


class CountingEncoder:
    """An encoder that counts how often it is asked, and for how many images."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder, self.name, self.size = encoder, encoder.name, encoder.size
        self.digest = getattr(encoder, "digest", None)
        self.text, self.knows = encoder.text, encoder.knows
        self.calls = self.images = 0

    def image(self, image: Tensor) -> Tensor:
        self.calls += 1
        self.images += len(image)
        return self.encoder.image(image)


def find_population(paths: Iterable[Path]) -> dict[Path, Face]:
    """Find the face of every portrait; one without is named and left out."""
    faces = {}
    for path in paths:
        face = judge.find_face(load_photo(path))
        if face is None:
            print(f"{path.name}: no face found, left out", file=sys.stderr)
        else:
            faces[path] = face
    return faces


def values_of(landmarks: Tensor) -> dict[str, float]:
    return {name: float(value) for name, value in measure(landmarks.double()).items()}


def move_sd(before: Mapping[str, float], after: Mapping[str, float], sd: Mapping[str, float]) -> dict[str, float]:
    """Return how far each measure moved, in its deviations."""
    return {name: (after[name] - value) / sd[name] for name, value in before.items()}


def units_of(population: Mapping[Path, Face]) -> dict[str, float]:
    """Return each measure's deviation over everyone."""
    everyone = [values_of(face.landmarks) for face in population.values()]
    return {name: judge.spread([values[name] for values in everyone]) for name in everyone[0]}


def look_at(path: Path, face: Face) -> Portrait:
    """Measure an unedited portrait."""
    photo, crop = load_photo(path), face_crop(face.landmarks)
    assert crop.landmarks is not None  # face_crop sets them
    return Portrait(
        path,
        face,
        crop,
        values_of(face.landmarks),
        judge.describe(photo, crop),
        judge.describe_alone(photo, face),
        judge.lab(extract(photo, crop, judge.CROP_PX)),
        judge.regions(crop.landmarks, judge.CROP_PX),
        real_smile(path, crop.landmarks),
        thumbnail(extract(photo, crop, CELL_PX)),
    )


def real_smile(path: Path, landmarks: Tensor) -> Tensor | None:
    """Return how this person's inner landmarks move from NAME_neutral to NAME_smiling; None without the two."""
    other = path.with_name(path.name.replace("_neutral.", "_smiling."))
    if other == path or not other.is_file():
        return None
    face = judge.find_face(load_photo(other))
    return None if face is None else judge.displacement(face.landmarks[judge.INNER], landmarks[judge.INNER])


def thumbnail(image: Tensor) -> np.ndarray:
    return (image[0].permute(1, 2, 0) * 255).round().byte().numpy()


def compare(portrait: Portrait, edit: Edit, sd: Mapping[str, float]) -> tuple[dict[str, Any], np.ndarray]:
    """Measure an edit on its rendered picture, in 8 bits as a user gets it: JSON-able numbers, and a thumbnail.

    Numbers of a face that is not found again are None.
    """
    photo = load_photo(edit.to_pil())
    face = judge.find_face(photo, portrait.face.landmarks)
    effects, truth, alone = None, None, None
    if face is not None:
        after = values_of(face.landmarks)
        effects = move_sd(portrait.values, after, sd)
        alone = judge.describe_alone(photo, face)
        if portrait.smile is not None:
            before = portrait.crop.landmarks
            assert before is not None  # face_crop sets them
            now = portrait.crop.to_crop(face.landmarks)
            moved = judge.displacement(now[judge.INNER], before[judge.INNER])
            truth = judge.correlation(moved, portrait.smile)
    carried = None
    if (points := judge.carried_landmarks(edit)) is not None:
        carried = move_sd(*map(values_of, points), sd)
    lab = judge.lab(extract(photo, portrait.crop, judge.CROP_PX))
    colors = judge.color_changes(portrait.lab, lab, portrait.regions)
    numbers = {
        "effects_sd": effects,
        "carried_sd": carried,
        "smile_correlation": truth,
        "identity": judge.distance(judge.describe(photo, portrait.crop), portrait.identity),
        "identity_alone": judge.distance(alone, portrait.identity_alone),
        "folds": judge.fold_share(edit),
        "bend": judge.bend(edit),
        "colors": {name: asdict(change) for name, change in colors.items()},
        "strength": edit.strength,
        "strength_reason": edit.strength_reason,
        "stopped": edit.stopped,
    }
    return numbers, thumbnail(extract(photo, portrait.crop, CELL_PX))


def make_config(settings: Sequence[str], base: Config | None = None) -> Config:
    """Change a Config by NAME=VALUE texts; GROUP.NAME=VALUE sets a number of a group, as weights.shift=8.

    Raises:
        ValueError: not NAME=VALUE, no such name, or a value that Config refuses.
    """
    config = base or Config()
    for setting in settings:
        name, sign, text = setting.partition("=")
        require(bool(sign), f"--set must be NAME=VALUE with a name of Config; got {setting!r}")
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
        *groups, last = name.split(".")
        nested: dict[str, Any] = {last: value}
        for group in reversed(groups):
            nested = {group: nested}
        try:
            config = Config.from_dict(nested, config)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--set {setting}: {error}") from error
    return config


def run(
    population: Mapping[Path, Face],
    paths: Sequence[Path],
    prompts: Sequence[str],
    config: Config,
    encoder: Encoder,
    sheet: Path | None = None,
    find: Callable[..., Edit] | None = None,
) -> dict[str, Any]:
    """Edit and measure; return rows of the table, and every edit's numbers.

    Args:
        population: all the unedited portraits, whose deviations are the units.
        paths: those to edit, in `population`.
        prompts: any; those without a measure get identity, folds and time only.
        config: the same for every edit.
        encoder: loaded once.
        sheet: where to draw contact sheets.
        find: makes an edit of a photo and a prompt, by config= and encoder=; None is `optimize`.
    """
    find = find or partial(flowedit.optimize, progress=False)
    require(
        len(population) >= LEAST_PEOPLE,
        f"FOLDER must hold {LEAST_PEOPLE} portraits or more, whose spread is the unit; got {len(population)}",
    )
    sd = units_of(population)
    portraits = [look_at(path, population[path]) for path in paths]
    counter = CountingEncoder(encoder)
    rows, records, columns = [], [], [[portrait.thumbnail for portrait in portraits]]
    for prompt in prompts:
        own, pictures = [], []
        for portrait in portraits:
            counter.calls = counter.images = 0
            with Timer() as timer:
                edit = find(portrait.path, prompt, config=config, encoder=counter)
            numbers, picture = compare(portrait, edit, sd)
            cost = {"encoder_calls": counter.calls, "encoder_images": counter.images, "seconds": timer.seconds}
            own.append({"photo": portrait.path.name, "prompt": prompt, **numbers, **cost})
            pictures.append(picture)
        rows.append(summarize(prompt, own))
        records += own
        columns.append(pictures)
        right = rows[-1]["right"]
        told = "" if right is None else f"{right:.0%} right, "
        print(f"{prompt}: {told}{rows[-1]['seconds']:.1f} s per edit", file=sys.stderr, flush=True)
    if sheet is not None:
        save_sheets(sheet, ["photo", *prompts], [path.stem for path in paths], columns)
    return {"rows": rows, "population_sd": sd, "population": len(population), "edits": records}


def shared_options(
    name: str, about: str | None, prompts: Sequence[str], limit: int | None, folder: str | None = None
) -> argparse.ArgumentParser:
    """Make a parser of what every benchmark of edits is asked: portraits, prompts and encoder.

    Args:
        name: of the benchmark.
        about: its help.
        prompts: default.
        limit: default.
        folder: "?" where it does something without one.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument(
        "folder", type=Path, nargs=folder, help="portraits; NAME_smiling beside NAME_neutral gives the truth"
    )
    parser.add_argument("--prompts", nargs="+", default=list(prompts))
    parser.add_argument("--match", default="", help="text that a file's name must contain, such as neutral")
    parser.add_argument("--people", default="all", help="all, first:N or after:N, by the three leading digits")
    parser.add_argument("--limit", type=int, default=limit, help="edit this many portraits; the population stays whole")
    parser.add_argument("--encoder", help="as for flowedit edit; default: the shipped one")
    parser.add_argument("--config", type=Path, metavar="FILE", help="TOML file of settings in place of the defaults")
    return parser


def method_options(parser: argparse.ArgumentParser) -> None:
    """Ask how edits are made; see `find_by`."""
    parser.add_argument("--method", choices=("optimize", "predict"), default="optimize")
    parser.add_argument("--start", choices=("auto", "predict", "nothing"), default="auto", help="as of flowedit edit")
    parser.add_argument("--predictor", help="file or folder of a trained network; default: the shipped one")


def check_shapes(prompts: Sequence[str]) -> None:
    """Raise ValueError where a prompt has no measure of shape."""
    unknown = [prompt for prompt in prompts if prompt not in judge.GEOMETRY]
    require(not unknown, f"--prompts must be of {', '.join(judge.GEOMETRY)}; got {unknown}")


def find_asked(options: argparse.Namespace) -> None:
    """Read what the options ask for: portraits, `everyone` whose spread is the unit and `paths` to edit; the `config`.

    Raises:
        OSError, ValueError: as `find_portraits` and `Config.from_toml`, or a limit below 1.
    """
    options.config = Config.from_toml(options.config) if options.config else Config()
    require(options.limit is None or options.limit >= 1, f"--limit must be at least 1; got {options.limit}")
    options.everyone = find_portraits(options.folder, match=options.match)
    options.paths = find_portraits(options.folder, match=options.match, people=options.people)


def faces_of(options: argparse.Namespace) -> tuple[dict[Path, Face], list[Path]]:
    """Find the faces of those portraits: the population, and which of it to edit."""
    population = find_population(options.everyone)
    return population, [path for path in options.paths if path in population][: options.limit]


def find_by(options: argparse.Namespace) -> Callable[..., Edit]:
    """Return what makes the edits: `optimize`, from nothing or from a prediction, or `predict`.

    Raises:
        OSError, ValueError, RuntimeError: as `load_predictor`, or options that do not go together.
    """
    together = options.method == "optimize" or options.start == "auto"
    require(together, "--start must go with --method optimize; got --method predict")
    if options.method == "optimize" and options.start != "predict":
        require(options.predictor is None, "--predictor must go with --method predict or --start predict; got neither")
        return partial(flowedit.optimize, start=None if options.start == "nothing" else "auto", progress=False)
    predictor = flowedit.load_predictor(options.predictor)
    if options.method == "predict":
        return partial(flowedit.predict, predictor=predictor)
    return partial(flowedit.optimize, start=predictor, progress=False)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = shared_options("edit", __doc__, [*judge.GEOMETRY, *judge.COLORS], None)
    parser.add_argument("--field", choices=("raster", "hash"))
    parser.add_argument("--diffeomorphic", action="store_true")
    method_options(parser)
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="other fields of Config")
    parser.add_argument("--sheet", type=sheet_file, help="PNG for contact sheets, 8 faces on each")
    parser.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    options = parser.parse_args(arguments)
    settings = [*options.set, *([f"field={options.field}"] if options.field else [])]
    with usage_errors(parser):
        find_asked(options)
        options.config = make_config(
            [*settings, *(["diffeomorphic=True"] if options.diffeomorphic else [])], options.config
        )
        options.find = find_by(options)
    return options


def main(arguments: Sequence[str] | None = None, encoder: Encoder | None = None) -> None:
    options = parse(arguments)
    about = environment()
    encoder = encoder or resolve_encoder(options.encoder, options.config)
    population, paths = faces_of(options)
    report = run(population, paths, options.prompts, options.config, encoder, options.sheet, options.find)
    setup = {
        "encoder": encoder.name,
        "method": options.method,
        "start": options.start,
        "people": options.people,
        "match": options.match,
    }
    print(f"{len(paths)} portraits ({options.people}), units from {len(population)}; field {options.config.field}")
    print(format_table(report["rows"]))
    alone = mean(row["identity_alone_kept"] for row in report["rows"])
    print(f"identity within {IDENTITY} when each picture is aligned on its own: {alone:.0%}")
    if options.json is not None:
        write_report(options.json, finite({**about, **setup, "config": options.config.to_dict(), **report}))


if __name__ == "__main__":
    main()
