"""What becomes of a case, and what counts as a fault."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

FAULTS = ("traceback", "unclear", "wrong", "hang", "memory", "lost")
REFUSALS = (ValueError, TypeError, OSError)
SMALL = {"raster": {"coord_size": 4, "color_size": 4}, "identity": None}
PROMPT = "a smiling face"


class Fault(Exception):
    """What must not happen: its kind, one of FAULTS, and what it was."""


@dataclass
class Outcome:
    """What became of a case: refused, worked, or a kind of fault; `place` is the line of flowedit that raised."""

    case: str
    result: str
    text: str = ""
    place: str = ""
    input: str = ""
    seconds: float = 0.0
    mib: float = 0.0


def check_refusal(error: BaseException, *names: str) -> str:
    """Return "refused" for an error of a right kind in one line with one of the names; else raise."""
    if not isinstance(error, REFUSALS) or type(error).__name__ == "UnsupportedOperation":
        raise error
    check_line(str(error), *names)
    return "refused"


def check_line(text: str, *names: str) -> None:
    """Raise a fault unless a complaint is one line with one of the names."""
    if "\n" in text.strip() or not text.strip() or len(text) > 2000:
        raise Fault("unclear", f"not one line: {text[:300]!r}")
    if names and not any(name in text for name in names):
        raise Fault("unclear", f"names none of {', '.join(names)[:200]}: {text[:300]}")


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}
