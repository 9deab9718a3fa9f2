"""Edit portraits with prompts that name two or three attributes, and measure each of them on the edited picture."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flowedit
from benchmarks import judge
from benchmarks.common import environment, finite, usage_errors, write_report
from benchmarks.edit import find_asked, find_by, method_options, shared_options
from benchmarks.imagine import (
    BIG_EYES,
    LEAST_DELTA_E,
    LEAST_SD,
    NARROW_NOSE,
    RAISED_BROWS,
    SAD,
    SLIM_JAW,
    SMALL_EYES,
    SMILE,
    THICK_LIPS,
    WIDE_NOSE,
    Shape,
    look,
)
from benchmarks.table import middle
from flowedit.guide.encoder import Encoder
from flowedit.task.prepare import resolve_encoder

LIPSTICK, PALE, TAN, ROUGE = (
    judge.COLORS[name] for name in ("red lipstick", "pale skin", "tanned skin", "rosy cheeks")
)
ASKED: dict[str, tuple[Shape | judge.Tint, ...]] = {
    "a smiling face with red lipstick": (SMILE, LIPSTICK),
    "a sad face with pale skin": (SAD, PALE),
    "big eyes and a narrow nose": (BIG_EYES, NARROW_NOSE),
    "a slim jaw and raised eyebrows": (SLIM_JAW, RAISED_BROWS),
    "a wide nose and tanned skin": (WIDE_NOSE, TAN),
    "a smiling face with small eyes": (SMILE, SMALL_EYES),
    "a smiling face with big eyes and rosy cheeks": (SMILE, BIG_EYES, ROUGE),
    "a slim jaw, a narrow nose and red lipstick": (SLIM_JAW, NARROW_NOSE, LIPSTICK),
    "raised eyebrows, big eyes and pale skin": (RAISED_BROWS, BIG_EYES, PALE),
    "a sad face with a wide nose and thick lips": (SAD, WIDE_NOSE, THICK_LIPS),
}


def run(options: argparse.Namespace, encoder: Encoder) -> list[dict[str, Any]]:
    """Edit every portrait with every prompt; return each one's effects: SD or Delta E, the right way above 0."""
    rows = []
    for prompt in options.prompts:
        effects = []
        for path in options.paths[: options.limit]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                edit: flowedit.Edit = options.find(path, prompt, config=options.config, encoder=encoder)
            effects.append(look(edit, ASKED[prompt]))
        least = [LEAST_DELTA_E if isinstance(each, judge.Tint) else LEAST_SD for each in ASKED[prompt]]
        found = [[0.0 if effect is None else effect for effect in each] for each in zip(*effects, strict=True)]
        row = {
            "prompt": prompt,
            "right": [sum(effect > 0 for effect in each) / len(each) for each in found],
            "seen": [sum(e >= one for e in each) / len(each) for each, one in zip(found, least, strict=True)],
            "effect": [middle(each) for each in found],
            "effects": effects,
        }
        told = "; ".join(
            f"{right:.0%} {effect:+.2f}" for right, effect in zip(row["right"], row["effect"], strict=True)
        )
        print(f"{prompt}: {told}", flush=True)
        rows.append(row)
    return rows


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = shared_options("combined", __doc__, list(ASKED), None)
    method_options(parser)
    parser.add_argument("--json", type=Path, help="file for every number, the machine, versions and commit")
    options = parser.parse_args(arguments)
    with usage_errors(parser):
        unknown = [prompt for prompt in options.prompts if prompt not in ASKED]
        if unknown:
            raise ValueError(f"--prompts must be of {'; '.join(ASKED)}; got {'; '.join(unknown)}")
        find_asked(options)
        options.find = find_by(options)
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    about = environment()
    rows = run(options, resolve_encoder(options.encoder, options.config))
    shares = {name: [share for row in rows for share in row[name]] for name in ("right", "seen")}
    right, seen = (sum(each) / len(each) for each in shares.values())
    print(f"each attribute: right way {right:.0%} (at the least {min(shares['right']):.0%}), visible {seen:.0%}")
    if options.json is not None:
        write_report(options.json, finite({**about, "method": options.method, "rows": rows}))


if __name__ == "__main__":
    main()
