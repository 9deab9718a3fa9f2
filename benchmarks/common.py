"""What every benchmark shares: the machine it ran on, the only timer, and the portraits of a folder."""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from flowedit.app.environment import describe_environment
from flowedit.app.paths import find_photos
from flowedit.checks import require
from flowedit.photo.files import write_atomically

ROOT = Path(__file__).resolve().parent.parent


class Timer:
    """Wall-clock seconds of a `with` block; waits for CUDA's queue at both ends, so that work is not missed."""

    seconds: float = 0.0

    def __enter__(self) -> Timer:
        _finish_queue()
        self._start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        _finish_queue()
        self.seconds = time.perf_counter() - self._start


@contextmanager
def timed(seconds: dict[str, float], name: str, home: Any, attribute: str) -> Iterator[None]:
    """Add up in `seconds[name]` what a module's or class's function takes inside the block."""
    function = getattr(home, attribute)

    def call(*arguments: Any, **options: Any) -> Any:
        with Timer() as timer:
            result = function(*arguments, **options)
        seconds[name] += timer.seconds
        return result

    with patch.object(home, attribute, call):
        yield


class PeakMemory:
    """MiB that torch held on the GPU at most during a `with` block; None without a GPU."""

    mib: float | None = None

    def __enter__(self) -> PeakMemory:
        if torch.cuda.is_available():
            _finish_queue()
            torch.cuda.reset_peak_memory_stats()
        return self

    def __exit__(self, *_: object) -> None:
        if torch.cuda.is_available():
            _finish_queue()
            self.mib = round(torch.cuda.max_memory_allocated() / 2**20, 1)


def tell_peak(row: Mapping[str, Any]) -> str:
    """End a printed line with its `peak_mib`, where there is one."""
    return "" if row["peak_mib"] is None else f"  {row['peak_mib']:.1f} MiB"


@dataclass(frozen=True)
class Spread:
    """Seconds of repeated calls: the median, and between which values the middle half lies."""

    median: float
    low: float
    high: float

    def row(self) -> dict[str, float]:
        """The same in milliseconds, for a table."""
        return {"ms": 1e3 * self.median, "low": 1e3 * self.low, "high": 1e3 * self.high}


def time_calls(call: Callable[[], object], *, least: int = 7, seconds: float = 1.0) -> Spread:
    """Time a call again and again after two that are not counted: at least so often, and for so long."""
    call(), call()
    taken: list[float] = []
    while len(taken) < least or sum(taken) < seconds:
        with Timer() as timer:
            call()
        taken.append(timer.seconds)
    low, median, high = statistics.quantiles(taken, n=4, method="inclusive")
    return Spread(median, low, high)


@contextmanager
def usage_errors(parser: argparse.ArgumentParser) -> Iterator[None]:
    """Turn what cannot be used of a command line into the parser's error: one line, and an end."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        parser.error(str(error))


def environment() -> dict[str, Any]:
    """Return the machine, the versions and the commit a figure belongs to; JSON-able."""
    return {**describe_environment(), "commit": _commit()}


def finite(value: Any) -> Any:
    """Return JSON-able data with None for what JSON cannot say: infinities and not-a-numbers."""
    if isinstance(value, Mapping):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON, whole or not at all."""
    text = json.dumps(report, indent=1, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: file.writelines([text.encode()]))


def find_portraits(folder: str | Path, *, match: str = "", people: str = "all") -> list[Path]:
    """List the pictures of a folder, sorted by name.

    Args:
        folder: holds the pictures; its own folders are not looked into.
        match: text that a file's name must contain.
        people: `all`, `first:N` or `after:N`: the first N people, or all after them, in the order of the three
            digits that begin a file's name. People are counted over the whole folder, before `match`, so that
            a split stays the same whatever is measured.

    Raises:
        ValueError: no folder, no such picture, `people` misspelt, or a name without a person's digits.
    """
    require(Path(folder).is_dir(), f"FOLDER must be a folder of portraits; got {str(folder)!r}")
    everything = find_photos([str(folder)]).paths
    wanted = [path for path in everything if match in path.name]
    if people != "all":
        split = re.fullmatch(r"(first|after):(\d+)", people)
        if split is None:
            raise ValueError(f"people must be all, first:N or after:N; got {people!r}")
        ids = sorted({person(path) for path in everything})
        count = int(split[2])
        kept = set(ids[:count] if split[1] == "first" else ids[count:])
        wanted = [path for path in wanted if person(path) in kept]
    require(bool(wanted), f"FOLDER must hold a picture for match={match!r}, people={people!r}; got none in {folder}")
    return wanted


def person(path: Path) -> str:
    """Return the three digits that begin a portrait's file name."""
    digits = re.match(r"\d{3}(?!\d)", path.name)
    if digits is None:
        raise ValueError(f"a portrait's name must begin with a person's three digits; got {path.name!r}")
    return digits[0]


def _finish_queue() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _commit() -> str | None:
    """Return the commit, with `+changes` where the files differ from it; None without git."""
    answers = []
    for command in (("rev-parse", "HEAD"), ("status", "--porcelain")):
        try:
            done = subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        answers.append(done.stdout.strip())
    return answers[0] + ("+changes" if answers[1] else "")
