"""Lines on the terminal: results, errors, warnings and log records. Printing never stops the work."""

from __future__ import annotations

import contextlib
import logging
import sys
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, TextIO

from flowedit.checks import FlowEditWarning

OURS = logging.getLogger("flowedit")
# Controls, halves of surrogate pairs (bytes of a file name that are no text), and marks that turn the writing
# direction: what could move the cursor, or make a line show something else than it holds.
UNSAFE = {"Cc", "Cs"}
TURNS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def say(text: str) -> None:
    """Print a result to standard output.

    Raises:
        BrokenPipeError: its reader has gone, as in `flowedit info | head -1`.
    """
    _print(text, sys.stdout)


def complain(text: str) -> None:
    """Print an error or a remark to standard error; nothing is raised whatever becomes of it."""
    with contextlib.suppress(BrokenPipeError):
        _print(f"flowedit: {text}", sys.stderr)


def complain_of(error: BaseException, prefix: str = "") -> None:
    """Print an error in one line, after its traceback where `--debug` asked for that."""
    OURS.debug("traceback", exc_info=error)
    complain(prefix + one_line(error))


def escape(text: str) -> str:
    r"""Write control characters as \uXXXX, so that text from a file cannot steer the terminal; "\n" too."""
    unsafe = {c for c in set(text) if unicodedata.category(c) in UNSAFE or c in TURNS}
    return "".join(f"\\u{ord(c):04x}" if c in unsafe else c for c in text)


def one_line(error: BaseException) -> str:
    """Return an error in one line: the user's as it is, a bug's with its type and the way to see more."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    text = " ".join(str(error).split())
    if isinstance(error, (ValueError, TypeError, RuntimeError, OSError, ImportError)) and text:
        return text
    return f"{type(error).__name__} {text}".strip() + " (--debug shows where)"


def format_facts(facts: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Format a nested dict as indented `key: value` lines, and a list of sentences as a line each."""
    for key, value in facts.items():
        name = f"{indent}{escape(str(key))}:"
        if isinstance(value, dict):
            yield name
            yield from format_facts(value, indent + "  ")
        elif isinstance(value, list) and value and all(isinstance(line, str) for line in value):
            yield name
            yield from (f"{indent}  {escape(line)}" for line in value)
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else "none" if value is None else str(value)
            yield f"{name} {escape(shown)}"


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream is open and a terminal; a progress bar needs one."""
    try:
        return stream is not None and stream.isatty()
    except (ValueError, OSError):  # closed
        return False


@contextlib.contextmanager
def warnings_in_one_line(debug: bool) -> Iterator[None]:
    """Show the package's own warnings as one line each; other packages' only when debugging."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if debug or issubclass(category, FlowEditWarning):
            complain("warning: " + " ".join(str(message).split()))

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = show
        yield


class Complaints(logging.Handler):
    """Prints log records as `complain` does."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one, with the traceback that it carries."""
        complain(self.format(record))


@contextlib.contextmanager
def log_in_one_line(quiet: bool, debug: bool) -> Iterator[None]:
    """Show what the package logs, such as the corpus it chose; when quiet, warnings only."""
    handler = Complaints(logging.DEBUG if debug else logging.WARNING if quiet else logging.INFO)
    before = OURS.level, OURS.propagate
    OURS.setLevel(handler.level)
    OURS.propagate = False  # open_clip gives the root logger a handler of its own
    OURS.addHandler(handler)
    try:
        yield
    finally:
        OURS.removeHandler(handler)
        OURS.setLevel(before[0])
        OURS.propagate = before[1]


def _print(text: str, stream: TextIO | None) -> None:
    """Print to a stream that may be missing or closed, and may not know every character."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    lines = "\n".join(map(escape, text.split("\n")))
    try:
        if stream is not None:
            print(lines.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:
        raise
    except (ValueError, OSError):  # closed, or a full disk behind it: the work is worth more than the line
        pass
