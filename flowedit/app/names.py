"""Names of users' files, and errors that name files: as a page may show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flowedit.app.console import escape, one_line


def safe_name(name: str) -> str:
    """Return the last part of a user's name for a file, without what could steer a path, a page or a terminal."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(c if c.isalnum() or c in "-_. ()" else "_" for c in escape(last)).strip(" .")
    stem, dot, ending = kept.rpartition(".")
    return f"{(stem or ending)[:80]}{dot}{ending[:10]}" if stem else (ending[:80] or "photo")


def plain(error: BaseException, names: Mapping[str | Path, str]) -> str:
    """Say an error in one line for the page: files by the user's own names, never by the server's paths."""
    text = one_line(error).replace(" (--debug shows where)", "")
    for path, name in names.items():
        text = text.replace(str(path), name).replace(str(Path(path).parent), "")
    return text
