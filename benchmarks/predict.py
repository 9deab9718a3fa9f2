"""How long a prediction takes, how many a second are made, and how far it lies from what the optimizer finds.

    python -m benchmarks.predict [--predictor PATH]
    python -m benchmarks.predict FOLDER [--match neutral] [--people after:25] [--steps 0 5 10 15 30]

The first times the network alone, and a whole prediction of a photo in a warm process with the share of its parts,
counts faces a second by the size of the batch, and compares many prompts at once with a call each. The second edits
portraits by the prediction, by some steps from it, and by the optimizer from nothing, and prints the objective and the
figures of `benchmarks.edit` for each.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from PIL import Image

import flowedit
from benchmarks import edit as edits
from benchmarks import judge
from benchmarks.common import Timer, environment, finite, time_calls, timed, usage_errors, write_report
from benchmarks.table import align, average
from flowedit import Config, Edit
from flowedit.checks import require
from flowedit.fit.objective import Objective
from flowedit.fit.terms import weigh
from flowedit.guide.encoder import Encoder
from flowedit.predict.fields import run_network
from flowedit.predict.inputs import CROP_PX
from flowedit.predict.weights import Trained
from flowedit.task.prepare import prepare, resolve_encoder
from flowedit.task.threads import spare_busy_cores

PHOTO_PX = 1024
PROMPT = "a smiling face"
BATCHES = (1, 8, 32)
STEPS = (0, 5, 10, 15, 30)
ZERO_STEPS = 60
PARTS = {  # of a prediction, by the functions that do them
    "find the face": "flowedit.task.prepare.choose",
    "crop, masks and paints": "flowedit.task.prepare.prepare_face",
    "prompt": "flowedit.task.prepare.names_color",
    "network": "flowedit.predict.fields.run_network",
    "strength": "flowedit.task.finish.choose_strength",
    "what the guide sees": "flowedit.task.finish.measure_similarity",
}


def time_network(trained: Trained, size: int) -> Callable[[], object]:
    """The network alone on a batch of so many faces, as a prediction lets it compute."""
    generator, settings = torch.Generator().manual_seed(0), trained.network.settings
    crops = torch.rand(size, 3, CROP_PX, CROP_PX, generator=generator)
    changes = torch.randn(size, settings["embed_dim"], generator=generator)

    @torch.no_grad()
    def call() -> object:
        with spare_busy_cores(1):
            return run_network(trained.network, crops, changes, None)

    return call


@contextmanager
def timed_parts() -> Iterator[dict[str, float]]:
    """Collect the seconds of each of PARTS inside the block."""
    seconds = dict.fromkeys(PARTS, 0.0)
    with ExitStack() as stack:
        for name, path in PARTS.items():
            module, _, function = path.rpartition(".")
            stack.enter_context(timed(seconds, name, importlib.import_module(module), function))
        yield seconds


def time_prediction(photo: np.ndarray, trained: Trained, encoder: Encoder, rounds: int) -> dict[str, float]:
    """Median seconds of a prediction, `whole`, and of its parts; each round reads the photo as new."""
    found: list[dict[str, float]] = []
    for _ in range(rounds + 1):
        with timed_parts() as parts, Timer() as timer:
            flowedit.predict(photo.copy(), PROMPT, predictor=trained, encoder=encoder)
        found.append({**parts, "the rest": timer.seconds - sum(parts.values()), "whole": timer.seconds})
    return {name: median(each[name] for each in found[1:]) for name in found[0]}  # the first is not warm


def time_prompts(photo: np.ndarray, trained: Trained, encoder: Encoder, count: int) -> dict[str, float]:
    """Seconds of so many prompts on one photo in a warm process: in one call, and in a call each."""
    how: dict[str, Any] = {"predictor": trained, "encoder": encoder}
    prompts = [{PROMPT: (k + 1) / count} for k in range(count)]
    flowedit.predict(photo.copy(), PROMPT, **how)
    with Timer() as together:
        flowedit.predict(photo.copy(), prompts, **how)
    with Timer() as alone:
        for prompt in prompts:
            flowedit.predict(photo.copy(), prompt, **how)
    return {"together": together.seconds, "alone": alone.seconds}


def objective_of(edit: Edit, encoder: Encoder) -> float:
    """Return the loop's objective of an edit's first face, at strength 1, over the whole pool of views."""
    task = prepare(edit.edited.original, edit.prompts, edit.config, encoder)
    face, transform = task.faces[0], edit.transforms[0]
    face.start.field.load_state_dict(transform.field.state_dict())
    face.start.part_tint.load_state_dict(transform.part_tint.state_dict())
    objective = Objective(task, face, {})
    values = objective(torch.arange(task.config.augment.pool), 0)
    return weigh(dict(zip(objective.weights, values.tolist(), strict=True)), objective.weights)


def ways(trained: Trained, steps: Sequence[int]) -> dict[str, Callable[..., Edit]]:
    """What makes an edit, by name; the last is the optimizer from nothing."""

    def fit(count: int, start: Trained | None, image: Path, prompt: str, config: Config, encoder: Encoder) -> Edit:
        config = replace(config, steps=count)
        return flowedit.optimize(image, prompt, config=config, encoder=encoder, start=start, progress=False)

    found: dict[str, Callable[..., Edit]] = {}
    for count in steps:
        predicted = partial(flowedit.predict, predictor=trained)
        found[f"predicted, {count} steps"] = partial(fit, count, trained) if count else predicted
    found[f"nothing, {ZERO_STEPS} steps"] = partial(fit, ZERO_STEPS, None)
    return found


def measure_gap(
    options: argparse.Namespace, trained: Trained, encoder: Encoder
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """A row for each way: objective, and the benchmark's figures on average over prompts; and all numbers."""
    population, paths = edits.faces_of(options)
    rows, reports = [], {}
    for name, find in ways(trained, options.steps).items():
        objectives: list[float] = []

        def found(*photo_and_prompt: Any, find: Any = find, kept: list[float] = objectives, **how: Any) -> Edit:
            edit = find(*photo_and_prompt, **how)
            kept.append(objective_of(edit, encoder))
            return edit

        print(f"{name}:", file=sys.stderr)
        reports[name] = edits.run(population, paths, options.prompts, options.config, encoder, find=found)
        reports[name]["objectives"] = objectives
        shape = [row for row in reports[name]["rows"] if row["prompt"] in judge.GEOMETRY]
        row = average(name, reports[name]["rows"]) | {"objective": fmean(objectives)}
        if shape:
            row |= {key: average(name, shape)[key] for key in ("effect", "elsewhere")}
        rows.append(row)
    return rows, reports


GAP_COLUMNS = (
    ("prompt", "from", "{}"),
    ("objective", "objective", "{:.4f}"),
    ("right", "right", "{:.0%}"),
    ("effect", "effect SD", "{:+.2f}"),
    ("elsewhere", "elsewhere", "{:.2f}"),
    ("identity_kept", "identity", "{:.0%}"),
    ("folds", "folds", "{:.3%}"),
    ("strength", "strength", "{:.2f}"),
    ("encoder_images", "images", "{:.0f}"),
)


def print_gap(rows: Sequence[dict[str, Any]]) -> None:
    lines = [[heading for _, heading, _ in GAP_COLUMNS]]
    for row in rows:
        lines.append([form.format(row[key]) if row.get(key) is not None else "-" for key, _, form in GAP_COLUMNS])
    print("\n".join(align(lines, 1)))


def print_times(options: argparse.Namespace, trained: Trained, encoder: Encoder) -> dict[str, Any]:
    from skimage.data import astronaut

    picture = Image.open(options.photo).convert("RGB") if options.photo else Image.fromarray(astronaut())
    photo = np.asarray(picture.resize((PHOTO_PX, round(PHOTO_PX * picture.height / picture.width))))
    batches = {}
    for size in BATCHES:
        spread = time_calls(time_network(trained, size))
        row = batches[size] = spread.row() | {"faces_per_s": size / spread.median}
        gain = row["faces_per_s"] / batches[BATCHES[0]]["faces_per_s"]
        print(f"network, {size:2d} faces: {row['ms']:7.1f} ms, {row['faces_per_s']:6.1f} faces a second ({gain:.1f} x)")
    parts = time_prediction(photo, trained, encoder, options.rounds)
    for name, seconds in parts.items():
        print(f"{name:24s} {1e3 * seconds:7.1f} ms {seconds / parts['whole']:6.1%}")
    count = BATCHES[-1]
    prompts = time_prompts(photo, trained, encoder, count)
    ratio = prompts["alone"] / prompts["together"]
    print(f"{count} prompts on one photo: {prompts['together']:.1f} s, in single calls {prompts['alone']:.1f} s "
          f"({ratio:.1f} x)")  # fmt: skip
    return {"batches": batches, "parts": parts, "prompts": prompts}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = edits.shared_options("predict", __doc__, [*judge.GEOMETRY, *judge.COLORS], None, folder="?")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--predictor", help="file or folder of a trained network; default: the shipped one")
    parser.add_argument("--steps", nargs="+", type=int, default=list(STEPS), help="from the prediction")
    parser.add_argument("--photo", type=Path, help="to time a prediction of; default: scikit-image's astronaut")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    options = parser.parse_args(arguments)
    with usage_errors(parser):
        require(min(options.steps) >= 0 and options.rounds >= 1, "--steps must be 0 or more, and --rounds 1 or more")
        if options.folder is not None:
            edits.find_asked(options)
        options.trained = flowedit.load_predictor(options.predictor)
    return options


def main(arguments: Sequence[str] | None = None, encoder: Encoder | None = None) -> None:
    options, about = parse(arguments), environment()
    encoder = encoder or resolve_encoder(options.encoder, Config())
    if options.folder is not None:
        rows, reports = measure_gap(options, options.trained, encoder)
        print_gap(rows)
        figures: dict[str, Any] = {"rows": rows, "reports": reports, "config": options.config.to_dict()}
    else:
        figures = print_times(options, options.trained, encoder)
    if options.json is not None:
        setup = {**about, "encoder": encoder.name, "predictor": options.trained.name}
        write_report(options.json, finite({**setup, **figures}))


if __name__ == "__main__":
    main()
