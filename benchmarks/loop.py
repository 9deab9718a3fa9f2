"""What the loop costs beside the encoder, and how many calls of the encoder it needs.

Without --calls, steps of the loop are timed against the encoder alone, forward and gradient, on one portrait. With it,
portraits are edited with several optimizers, and the encoder's calls are counted until 95 % is reached of what the loop
gains in similarity to the target, and in its whole objective: similarity less the price of movement and tint.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import skimage.data
import torch
import torch.nn.functional as F

from benchmarks.common import (
    PeakMemory,
    Timer,
    environment,
    find_portraits,
    tell_peak,
    time_calls,
    write_report,
)
from flowedit.config import Config, RasterConfig
from flowedit.fit.iterate import iterate
from flowedit.guide.clip import ClipEncoder
from flowedit.guide.encoder import Encoder, load_encoder
from flowedit.guide.targets import TargetSettings, make_targets
from flowedit.photo.photo import Photo, load
from flowedit.task.prepare import prepare
from flowedit.transform.transforms import FieldTransform

PROMPTS = ("a smiling face", "a sad face", "a surprised face", "big eyes", "a narrow nose", "red lipstick")
SHARE = 0.95  # of the final gain in similarity, that is to be reached
LIMITS = {"faceclip": {"raster": 1.22, "hash": 1.35}, "ViT-B-32": {"raster": 1.03, "hash": 1.08}}
Optimizers = Callable[[FieldTransform], list[torch.optim.Optimizer]]


def random_vit() -> ClipEncoder:
    """A ViT-B/32 with random weights: as slow as any, and there without a download."""
    import open_clip

    model = open_clip.create_model("ViT-B-32")
    return ClipEncoder(model, open_clip.get_tokenizer("ViT-B-32"), "ViT-B-32")


def time_steps(encoder: Encoder, photo: Photo, config: Config) -> list[float]:
    """Seconds of each step of an edit: what happens between two of them, the caller apart."""
    task = prepare(photo, PROMPTS[0], config, encoder)
    steps = iterate(task, task.faces[0])
    seconds = []
    for _ in range(task.most_steps):
        with Timer() as timer:
            next(steps)
        seconds.append(timer.seconds)
    return seconds[5:]  # the first make what is kept


def time_encoder(encoder: Encoder, views: int, device: str) -> Callable[[], object]:
    """The encoder alone on a step's views: forward, and the gradient of its image."""
    image = torch.rand(views, 3, encoder.size, encoder.size, device=device).requires_grad_()
    target = F.normalize(encoder.image(image).detach() + 0.1, dim=-1)
    return lambda: torch.autograd.grad((encoder.image(image) * target).sum(), image)


def overhead(photo: Photo, views: int, device: str, rounds: int) -> Iterator[dict[str, Any]]:
    """A row for each encoder and field. The two are timed by turns, since a machine's speed drifts."""
    for encoder in (load_encoder(None, device), random_vit()):
        alone = time_encoder(encoder, views, device)
        for field in ("raster", "hash"):
            config = replace(Config(), field=field, views=views, steps=40, device=device)
            ratios, times = [], []
            for _ in range(rounds):
                before = time_calls(alone).median
                with PeakMemory() as peak:
                    step = statistics.median(time_steps(encoder, photo, config))
                after = time_calls(alone).median
                times.append((step, (before + after) / 2))
                ratios.append(times[-1][0] / times[-1][1])
            step, own = (statistics.median(column) for column in zip(*times, strict=True))
            yield {
                "encoder": encoder.name, "field": field, "views": views, "step_ms": 1e3 * step, "encoder_ms": 1e3 * own,
                "ratio": statistics.median(ratios), "low": min(ratios), "high": max(ratios),
                "limit": LIMITS[encoder.name][field], "peak_mib": peak.mib,
            }  # fmt: skip


def ways() -> dict[str, tuple[dict[str, Any], Optimizers | None]]:
    """Settings and optimizers by name; None are the loop's own."""

    def adam(lr: float) -> Optimizers:
        def make(transform: FieldTransform) -> list[torch.optim.Optimizer]:
            parts = [] if transform.part_tint is None else [transform.part_tint.amounts]
            return [torch.optim.Adam([*transform.field.parameters(), *parts], lr)]

        return make

    pixels = {"raster": RasterConfig(coord_size=192, color_size=192)}
    return {
        "the loop": ({}, None),
        **{f"Adam, raster, lr {lr:g}": ({}, adam(lr)) for lr in (0.0025, 0.005, 0.01)},
        **{f"Adam, raw pixels, lr {lr:g}": (pixels, adam(lr)) for lr in (0.0025, 0.01)},
    }


def descend(
    encoder: Encoder, photo: Photo, prompt: str, config: Config, make: Optimizers | None
) -> tuple[list[float], list[float]]:
    """The similarity of the edited face to its target before each step, and how well the objective is met.

    The similarity is a cosine, of the face seen whole and from the front; the loop's own value is a mean over the views
    that a step happens to see. The second is the objective with that similarity, negative, so that it rises too.
    """
    task = prepare(photo, prompt, config, encoder)
    face = task.faces[0]
    whole = encoder.image(face.pixels)
    target = make_targets(config.target, encoder, {prompt: 1.0}, whole, TargetSettings(config.intensity))
    optimizers = None if make is None else make(face.start)
    similar, met = [], []
    for step in iterate(task, face, optimizers=optimizers):
        similar.append(float(encoder.image(step.preview())[0] @ target[0]))
        met.append(similar[-1] - (step.total - step.terms["text"]))
    return similar, met


def count_calls(curve: Sequence[float], wanted: float) -> int | None:
    """Calls of the encoder until a value is reached and not lost again for the next two steps; None if never."""
    for number in range(len(curve)):
        if min(curve[number : number + 3]) >= wanted:
            return number
    return None


def compare(photos: Sequence[Path], encoder: Encoder, most_steps: int) -> list[dict[str, Any]]:
    """A row for each way to descend: calls until SHARE of what the loop gains, over all photos and prompts."""
    counts: dict[str, list[tuple[int | None, ...]]] = {}
    for path in photos:
        photo = load(path)
        for prompt in PROMPTS:
            own = descend(encoder, photo, prompt, Config(), None)
            wanted = [curve[0] + SHARE * (curve[-1] - curve[0]) for curve in own]
            for name, (settings, make) in ways().items():
                config = replace(Config(), **settings, steps=None if make is None else most_steps)
                curves = own if make is None else descend(encoder, photo, prompt, config, make)
                counts.setdefault(name, []).append(tuple(map(count_calls, curves, wanted)))
        so_far = {name: tuple(map(middle, zip(*found, strict=True))) for name, found in counts.items()}
        print(path.name, so_far, flush=True)
    rows = []
    for name, found in counts.items():
        row: dict[str, Any] = {"way": name}
        for kind, calls in zip(("similarity", "objective"), zip(*found, strict=True), strict=True):
            row[kind] = {
                "calls": middle(calls),
                "reached": statistics.fmean(c is not None for c in calls),
                "all": calls,
            }
        rows.append(row)
    return rows


def middle(counts: Sequence[int | None]) -> float | None:
    """The median, where what was never reached took forever; None for that."""
    found = statistics.median(math.inf if count is None else count for count in counts)
    return found if math.isfinite(found) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=Path, metavar="FOLDER", help="portraits to count calls on")
    parser.add_argument("--match", default="", help="text that a file's name must contain, such as neutral")
    parser.add_argument("--people", default="all", help="all, first:N or after:N, by the three leading digits")
    parser.add_argument("--limit", type=int, default=20, help="portraits")
    parser.add_argument("--most-steps", type=int, default=180, help="steps that another optimizer than ours may take")
    parser.add_argument("--photo", type=Path, help="a portrait to time steps on; default: scikit-image's astronaut")
    parser.add_argument("--views", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    options = parser.parse_args()
    if options.calls is not None:
        photos = find_portraits(options.calls, match=options.match, people=options.people)[: options.limit]
        rows = compare(photos, load_encoder(None, options.device), options.most_steps)
        print(f"{'calls until 95 % of the gain in':28s} {'similarity':>18s} {'objective':>18s}")
        for row in rows:
            cells = []
            for kind in ("similarity", "objective"):
                calls = "more" if row[kind]["calls"] is None else f"{row[kind]['calls']:g}"
                cells.append(f"{calls:>5s} ({row[kind]['reached']:4.0%} reach)")
            print(f"{row['way']:28s}    {cells[0]:>18s} {cells[1]:>18s}")
    else:
        photo = load(options.photo or skimage.data.astronaut())
        rows = []
        print(
            f"{'encoder':10s} {'field':7s} {'step ms':>9s} {'encoder ms':>11s} {'ratio':>6s} {'of rounds':>13s}  wanted"
        )
        for row in overhead(photo, options.views, options.device, options.rounds):
            rows.append(row)
            spread, limit = f"{row['low']:.2f} to {row['high']:.2f}", f"{row['limit']:.2f}{tell_peak(row)}"
            times = f"{row['step_ms']:9.2f} {row['encoder_ms']:11.2f} {row['ratio']:6.2f}"
            print(f"{row['encoder']:10s} {row['field']:7s} {times} {spread:>13s}  {limit}", flush=True)
    if options.json:
        write_report(options.json, {**environment(), "rows": rows})


if __name__ == "__main__":
    main()
