"""From the numbers of single edits to one row for each prompt, and the rows to aligned text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np

from benchmarks import judge

RIGHT_SD = 0.1  # a face moved the right way when its measure did by more than this, population deviations
RIGHT_DELTA_E = 1.0  # and its color by more than this
IDENTITY = 0.36  # distance of dlib's descriptors up to which an edit keeps the identity


def summarize(prompt: str, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Boil the records of one prompt down to a row of the table; None where a column has no meaning."""
    row: dict[str, Any] = {"prompt": prompt, "n": len(records), "measure": None, "right": None, "effect": None}
    row |= {"carried": None, "elsewhere": None, "elsewhere_pixels": None, "worst": None, "truth": None}
    if prompt in judge.GEOMETRY:
        name, sign = judge.GEOMETRY[prompt]
        transforms = [None if r["effects_sd"] is None else sign * r["effects_sd"][name] for r in records]
        row |= {"measure": f"{name} {'+' if sign > 0 else '-'} SD", "right": judge.share_above(transforms, RIGHT_SD)}
        row["effect"] = middle(transforms)
        carried = [None if r["carried_sd"] is None else sign * r["carried_sd"][name] for r in records]
        row["carried"] = judge.share_above(carried, RIGHT_SD)
        row |= summarize_unnamed(prompt, [r["effects_sd"] for r in records if r["effects_sd"] is not None])
    elif prompt in judge.COLORS:
        row |= summarize_tint(judge.COLORS[prompt], records)
    if prompt == "a smiling face":
        row["truth"] = mean(r["smile_correlation"] for r in records)
    distances = [r["identity"] for r in records]
    return row | {
        "identity_median": median(distances),
        "identity_99": float(np.quantile(distances, 0.99, method="higher")),  # of few faces: the worst
        "identity_kept": fmean(d <= IDENTITY for d in distances),
        "identity_alone_median": median(r["identity_alone"] for r in records),
        "identity_alone_kept": fmean(r["identity_alone"] <= IDENTITY for r in records),
        "folds": fmean(r["folds"] for r in records),
        "bend": middle(r["bend"] for r in records),
        "strength": fmean(r["strength"] for r in records),
        "seconds": median(r["seconds"] for r in records),
        "seconds_worst": max(r["seconds"] for r in records),
        "encoder_calls": fmean(r["encoder_calls"] for r in records),
        "encoder_images": fmean(r["encoder_images"] for r in records),
    }


def summarize_unnamed(prompt: str, effects: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Median moves of the measures that a prompt does not name, over the named one's, each in its own deviations."""
    named = judge.GEOMETRY[prompt][0]
    sizes = {name: median(abs(e[name]) for e in effects) for name in effects[0]} if effects else {}
    own = sizes.pop(named, 0.0)
    rest = {name: size / own for name, size in sizes.items() if own and name not in judge.NAMED_TOO.get(prompt, ())}
    return {
        "elsewhere": mean(rest.values()),
        "elsewhere_measures": rest,
        "worst": max(rest, key=lambda name: rest[name]) if rest else None,
    }


def summarize_tint(tint: judge.Tint, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Boil down the color changes of one prompt; `elsewhere` is other regions' Delta E over the named one's."""
    changes = [{name: judge.Change(**c) for name, c in r["colors"].items()} for r in records]
    transforms = [judge.tint_effect(each, tint) for each in changes]

    def ratio(others: Sequence[str], kind: str) -> float | None:
        named = mean(getattr(each[tint.region], kind) for each in changes if tint.region in each)
        rest = mean(mean(getattr(each[o], kind) for o in others if o in each) for each in changes)
        return None if named is None or rest is None else rest / named if named else math.inf

    regions = {name: ratio([name], "delta_e") for name in tint.others}
    seen = {name: value for name, value in regions.items() if value is not None}
    return {
        "measure": f"{tint.region} {' '.join(a + '-+'[s > 0] for a, s in tint.wanted.items())} dE",
        "right": judge.share_above(transforms, RIGHT_DELTA_E),
        "effect": middle(transforms),
        "elsewhere": ratio(tint.others, "delta_e"),
        "elsewhere_pixels": ratio(tint.others, "pixels"),
        "elsewhere_regions": regions,
        "worst": max(seen, key=lambda name: seen[name]) if seen else None,
    }


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


COLUMNS = (  # key of a row, heading, how it is written
    ("prompt", "prompt", "{}"),
    ("measure", "wanted", "{}"),
    ("n", "n", "{}"),
    ("right", "right", "{:.0%}"),
    ("effect", "effect", "{:+.2f}"),
    ("carried", "carried", "{:.0%}"),
    ("elsewhere", "elsewhere", "{:.2f}"),
    ("worst", "most", "{}"),
    ("truth", "truth", "{:.2f}"),
    ("identity_median", "id 50 %", "{:.3f}"),
    ("identity_99", "id 99 %", "{:.3f}"),
    ("identity_kept", f"id<={IDENTITY}", "{:.0%}"),
    ("folds", "folds", "{:.3%}"),
    ("bend", "bend %", "{:.2f}"),
    ("strength", "strength", "{:.2f}"),
    ("seconds", "s", "{:.1f}"),
    ("encoder_calls", "calls", "{:.0f}"),
    ("encoder_images", "images", "{:.0f}"),
)


def average(name: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Average rows, prompt by prompt; what is no number stays empty, and effects of unlike units do too."""
    keys = {"right", "effect", "carried", "elsewhere", "identity_median", "identity_kept", "folds", "bend", "strength"}
    result: dict[str, Any] = {key: mean(row[key] for row in rows) for key in keys | {"seconds", "encoder_calls"}}
    result |= {"prompt": name, "encoder_images": mean(row["encoder_images"] for row in rows)}
    result |= {"n": sum(row["n"] for row in rows), "identity_99": max(row["identity_99"] for row in rows)}
    return result


def format_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows, and the averages of the geometric and the color prompts, in aligned columns."""
    shown = list(rows)
    for name, kind in (("geometry, average", judge.GEOMETRY), ("color, average", judge.COLORS)):
        members = [row for row in rows if row["prompt"] in kind]
        if len(members) > 1:
            shown.append(average(name, members))
    lines = [[heading for _, heading, _ in COLUMNS]]
    for row in shown:
        lines.append([form.format(row[k]) if row.get(k) is not None else "-" for k, _, form in COLUMNS])
    return "\n".join(align(lines, 2))


def align(lines: Sequence[Sequence[str]], left: int) -> list[str]:
    """Pad cells to columns, the first `left` of them to the left; a line for each."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(t.ljust(w) if i < left else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    ]
