"""Ask for little, for the usual and for much of an attribute, and measure how far faces move."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

import flowedit
from benchmarks.common import environment, find_portraits, usage_errors, write_report
from flowedit import Edit
from flowedit.checks import FlowEditWarning
from flowedit.transform.transforms import leaves

WORDS = {  # little, usual, much
    "surprised": ("slightly surprised", "surprised", "very surprised"),
    "sad": ("a little sad", "sad", "very sad"),
    "angry": ("a bit angry", "angry", "extremely angry"),
    "smiling": ("smiling a little", "smiling", "smiling a lot"),
    "bigger eyes": ("slightly bigger eyes", "bigger eyes", "much bigger eyes"),
    "a slimmer jaw": ("a slightly slimmer jaw", "a slimmer jaw", "a much slimmer jaw"),
    "raised eyebrows": ("slightly raised eyebrows", "raised eyebrows", "strongly raised eyebrows"),
    "thicker lips": ("somewhat thicker lips", "thicker lips", "far thicker lips"),
    "a narrower nose": ("a slightly narrower nose", "a narrower nose", "a far narrower nose"),
    "chubby cheeks": ("slightly chubby cheeks", "chubby cheeks", "very chubby cheeks"),
}
GRID = 96  # places along one side of the crop


def movement(edit: Edit) -> Tensor:
    """Return the shifts of an edit over its face's crop at its strength, (1, 2, GRID, GRID)."""
    return edit.edited.offsets(next(leaves(edit.transforms)).crop, GRID).coord


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.degrees", description=__doc__)
    parser.add_argument("folder", type=Path, help="portraits")
    parser.add_argument("--match", default="", help="text that a file's name must contain, such as neutral")
    parser.add_argument("--people", default="all", help="all, first:N or after:N, by the three leading digits")
    parser.add_argument("--method", choices=("optimize", "predict"), default="optimize")
    parser.add_argument("--json", type=Path, help="all numbers")
    options = parser.parse_args()
    with usage_errors(parser):
        paths = find_portraits(options.folder, match=options.match, people=options.people)
    find = getattr(flowedit, options.method)
    rows: list[dict[str, Any]] = []
    warnings.simplefilter("ignore", FlowEditWarning)
    print(f"share of the usual movement, {len(paths)} people: median (least to most)")
    for attribute, words in WORDS.items():
        shares = []
        for path in paths:
            little, usual, much = (movement(find(path, each)) for each in words)
            shares.append([float((each * usual).sum() / usual.square().sum()) for each in (little, much)])
        columns = list(zip(*shares, strict=True))
        rows.append({"attribute": attribute, "little": columns[0], "much": columns[1]})
        told = "   ".join(f"{median(each):.2f} ({min(each):.2f} to {max(each):.2f})" for each in columns)
        print(f"  {attribute:16s} {told}", flush=True)
    if options.json is not None:
        write_report(options.json, {"rows": rows, "method": options.method, "environment": environment()})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
