"""The command line's voice: what is said, complained of, warned of and logged, a line each."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


@contextlib.contextmanager
def warnings_in_one_line(debug: bool) -> Iterator[None]:
    """Show the package's own warnings as one line each; other packages' only when debugging."""
    ours = str(Path(__file__).parent.parent)

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if debug or filename.startswith(ours):
            complain("warning: " + " ".join(str(message).split()))

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        yield


class Complaints(logging.Handler):
    """Shows log records as lines of our own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one."""
        complain(record.getMessage())


@contextlib.contextmanager
def log_in_one_line(quiet: bool) -> Iterator[None]:
    """Show what the package logs, such as the corpus it chose; when quiet, warnings only."""
    log, handler = logging.getLogger("flowedit"), Complaints(logging.WARNING if quiet else logging.INFO)
    before = log.level, log.propagate
    log.setLevel(logging.INFO)
    log.propagate = False  # open_clip gives the root logger a handler of its own
    log.addHandler(handler)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]


def say(text: str) -> None:
    """Print a result."""
    print(text, flush=True)


def complain(text: str) -> None:
    """Print what went wrong, or what is to be known, to standard error."""
    print(f"flowedit: {text}", file=sys.stderr, flush=True)


def one_line(error: Exception) -> str:
    """Say an error in one line: the user's as it is, a bug's with its type and the way to see more."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, TypeError, RuntimeError, OSError, ImportError)) and text:
        return text
    return f"{type(error).__name__} {text}".strip() + " (--debug shows where)"
