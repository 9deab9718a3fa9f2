"""Edit portraits with the default settings and with one change at a time: one table and one figure.

Each variant's numbers are kept as JSON as soon as it is done. A second call measures only what is missing, or was done
with other portraits, settings, versions, another commit or machine; --fresh measures everything anew.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import flowedit
from benchmarks import judge
from benchmarks.common import environment, finite, usage_errors, write_report
from benchmarks.edit import faces_of, find_asked, make_config, run, shared_options
from benchmarks.table import COLUMNS, align, average
from flowedit import Config
from flowedit.checks import require
from flowedit.guide.encoder import Encoder
from flowedit.photo.files import write_atomically
from flowedit.task.prepare import resolve_encoder

DEFAULT = "default"
SEARCH = partial(flowedit.optimize, start=None, progress=False)  # all from nothing: a network learned one of them
PROMPTS = ("a smiling face", "a sad face", "big eyes", "a wide nose", "red lipstick")
# Group -> settings as for `--set` of benchmarks.edit, among them what Config has already.
GROUPS: dict[str, tuple[str, ...]] = {
    "representation": ("field=raster", "field=hash"),
    "target": ("target=direction", "target=absolute", "target=projected"),
    "views": ("views=1", "views=2", "views=4"),
    "bending": ("weights.bending=0", "weights.bending=0.03", "weights.bending=0.3"),
    "shift": ("weights.shift=0", "weights.shift=4", "weights.shift=8"),
    "background": ("weights.background=1", "weights.background=3", "weights.background=8"),
    "diffeomorphic": ("diffeomorphic=False", "diffeomorphic=True"),
    "max_shift": ("max_shift=0.02", "max_shift=0.045", "max_shift=0.09"),
    "lattice": ("raster.coord_size=8", "raster.coord_size=16", "raster.coord_size=32"),
}
CHANGES = {"effect": "{:+.2f}", "elsewhere": "{:+.2f}", "identity_median": "{:+.3f}"}  # told against the default too
SHOWN = ("n", "right", *CHANGES, "strength", "folds", "bend", "seconds", "encoder_calls")
MARKS = (("v", "tab:blue"), ("^", "tab:red"))  # of a panel's variants, in their order, the default left out


def name_of(setting: str, base: Config) -> str:
    """Return the variant that a setting makes: itself, or the default where it changes nothing of `base`."""
    return DEFAULT if make_config([setting], base) == base else setting


def variants(groups: Sequence[str], base: Config) -> dict[str, Config]:
    """Return the default, which is `base`, once and first, and each change of the groups."""
    names = [name_of(setting, base) for group in groups for setting in GROUPS[group]]
    return {DEFAULT: base} | {name: make_config([name], base) for name in names if name != DEFAULT}


def setup_of(options: argparse.Namespace, encoder: Encoder, config: Config) -> dict[str, Any]:
    """Tell everything but machine, versions and commit that a variant's numbers depend on."""
    return {
        "portraits": {path.name: path.stat().st_size for path in options.everyone},  # bytes: a changed photo shows
        "edited": [path.name for path in options.paths],
        "limit": options.limit,
        "prompts": options.prompts,
        "encoder": encoder.name,
        "config": config.to_dict(),
    }


def lasting(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report without the machine's load, which is never the same twice."""
    return {**report, "machine": {**report["machine"], "load_at_start": None}}


def read_done(path: Path, setup: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read a variant's report; None, and a line that tells why, where it is missing or was made under another setup."""
    if not path.is_file():
        return None
    report = json.loads(path.read_text())
    before, now = lasting(report), lasting(setup)
    others = [key for key in now if before.get(key) != now[key]]
    if others:
        print(f"{path.stem}: measured anew, since what is there has another {', '.join(others)}", file=sys.stderr)
        return None
    print(f"{path.stem}: done", file=sys.stderr)
    return report


def measure_all(options: argparse.Namespace, encoder: Encoder | None) -> dict[str, dict[str, Any]]:
    """Return each variant's report, measured now or before; of one that failed, `error` in one line."""
    about = environment()
    encoder = encoder or resolve_encoder(options.encoder, options.config)
    settings = variants(options.groups, options.config)
    chosen = {name: (config, options.out / f"{name}.json") for name, config in settings.items()}
    if options.fresh:
        for _, path in chosen.values():  # all at once: what an interrupted call leaves is then as fresh
            path.unlink(missing_ok=True)
    faces, results = None, {}
    for name, (config, path) in chosen.items():
        setup = finite({**about, **setup_of(options, encoder, config)})
        report = read_done(path, setup)
        if report is None:
            print(f"{name}:", file=sys.stderr)
            faces = faces or faces_of(options)  # not needed when all is done, and slow
            try:
                report = finite({**setup, **run(*faces, options.prompts, config, encoder, find=SEARCH)})
            except Exception as error:  # whatever it is, the other variants are worth having
                report = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
                print(f"{name}: failed: {report['error']}", file=sys.stderr)
            else:
                write_report(path, report)
        results[name] = report
    return results


def summarize(name: str, report: Mapping[str, Any]) -> dict[str, Any]:
    """Average a variant's prompts; effect and elsewhere only of those about shape, whose unit is the same."""
    # JSON has no infinity, which is how far a face that was lost is from itself.
    lost = {"identity_median": math.inf, "identity_99": math.inf}
    rows = [{**row, **{key: far for key, far in lost.items() if row[key] is None}} for row in report["rows"]]
    shape = average(name, [row for row in rows if row["prompt"] in judge.GEOMETRY])
    return average(name, rows) | {key: shape[key] for key in ("effect", "elsewhere")}


def summaries(results: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: summarize(name, report) for name, report in results.items() if "error" not in report}


def format_groups(results: Mapping[str, Mapping[str, Any]], groups: Sequence[str], base: Config) -> str:
    """Write a row for each variant under its group's name, the default marked, the failed told."""
    known = summaries(results)
    columns = {key: (heading, form) for key, heading, form in COLUMNS}
    cells = [["", *(text for key in SHOWN for text in (columns[key][0], *(["change"] if key in CHANGES else [])))]]
    lines: list[str | int] = [0]  # text, or which row of the cells
    for group in groups:
        lines.append(group)
        for setting in GROUPS[group]:
            name = name_of(setting, base)
            label = f"  {setting}{' *' if name == DEFAULT else ''}"
            if name not in known:
                lines.append(f"{label}  failed: {results[name]['error']}")
                continue
            default = None if name == DEFAULT else known.get(DEFAULT)
            row = [label]
            for key in SHOWN:
                row.append(written(columns[key][1], known[name][key]))
                if key in CHANGES:
                    row.append(written(CHANGES[key], difference(known[name][key], default and default[key])))
            lines.append(len(cells))
            cells.append(row)
    rows = align(cells, 1)
    return "\n".join([rows[line] if isinstance(line, int) else line for line in lines] + ["* the default"])


def difference(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else value - base


def written(form: str, value: float | None) -> str:
    return "-" if value is None else form.format(value)


def draw(path: Path, results: Mapping[str, Mapping[str, Any]], groups: Sequence[str], base: Config) -> Path:
    """Draw a panel for each group: each variant a point, effect to the right, elsewhere up, one scale for all."""
    from matplotlib.figure import Figure

    known = summaries(results)
    columns = min(4, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(2.6 * columns + 0.5, 2.6 * rows + 0.4), layout="constrained", facecolor="white")
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(groups) :]:
        axes.axis("off")
    for group, axes in zip(groups, grid.flat, strict=False):
        marks = iter(MARKS)
        for setting in GROUPS[group]:
            name, value = name_of(setting, base), setting.partition("=")[2]
            row = known.get(name, {})
            x, y = (math.nan if row.get(key) is None else row[key] for key in ("effect", "elsewhere"))
            label = f"{value} (failed)" if math.isnan(x + y) else value
            if name == DEFAULT:  # a ring, in which a variant that changes nothing still shows
                axes.plot(x, y, "o", markersize=13, markerfacecolor="none", color="black", label=label)
                axes.axvline(x, color="0.85", linewidth=0.8, zorder=0)
                axes.axhline(y, color="0.85", linewidth=0.8, zorder=0)
            else:
                marker, color = next(marks)
                axes.plot(x, y, marker, markersize=6, color=color, linestyle="none", label=label)
        axes.legend(
            title=setting.partition("=")[0], loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False,
            fontsize=8, title_fontsize=9, markerscale=0.7, handletextpad=0.2, columnspacing=0.8,
        )  # fmt: skip
        axes.margins(0.15)
        axes.tick_params(labelsize=8, labelbottom=True)
    figure.supxlabel("effect, SD: more is better (ring: the default)", fontsize=9)
    figure.supylabel("elsewhere: less is better", fontsize=9)
    return write_atomically(path, lambda file: figure.savefig(file, format="png", dpi=150))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = shared_options("ablate", __doc__, PROMPTS, 8)
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--fresh", action="store_true", help="forget what was done")
    parser.add_argument("-o", "--out", type=Path, default=Path("out/ablate"), help="folder for table, figure, numbers")
    options = parser.parse_args(arguments)
    options.groups = [group for group in GROUPS if options.only is None or group in options.only]
    shape = any(prompt in judge.GEOMETRY for prompt in options.prompts)
    with usage_errors(parser):
        require(shape, f"--prompts must name one or more of {', '.join(judge.GEOMETRY)}; got {options.prompts}")
        find_asked(options)
    return options


def main(arguments: Sequence[str] | None = None, encoder: Encoder | None = None) -> int:
    """Measure, print and draw; return 1 if a variant failed, else 0."""
    options = parse(arguments)
    results = measure_all(options, encoder)
    text = format_groups(results, options.groups, options.config)
    print(text)
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / "table.txt", lambda file: file.writelines([f"{text}\n".encode()]))
    draw(options.out / "ablate.png", results, options.groups, options.config)
    return int(any("error" in report for report in results.values()))


if __name__ == "__main__":
    sys.exit(main())
