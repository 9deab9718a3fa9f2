"""The files of one session: in a folder of its own, few, under names that nobody can guess."""

from __future__ import annotations

import secrets
import shutil
import threading
from pathlib import Path

from flowedit.checks import require

KEPT = 4  # of each kind: a slow browser may still ask for the last


class SessionFiles:
    """A folder for a session's pictures and outputs; any thread.

    Args:
        folder: made here, and removed by `close`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.closed = False
        self._written: dict[str, list[Path]] = {}
        self._outputs: list[Path] = []
        self._lock = threading.Lock()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write(self, kind: str, content: bytes) -> Path:
        """Write a picture for the page, whose name ends in its kind; of each kind the last four stay."""
        self._check_open()
        path = self.folder / f"{secrets.token_hex(8)}-{kind}"
        path.write_bytes(content)
        with self._lock:
            written = self._written.setdefault(kind, [])
            written.append(path)
            while len(written) > KEPT:
                written.pop(0).unlink(missing_ok=True)
        return path

    def new(self, name: str) -> Path:
        """Return a path for an output, by this name in a new folder; the last four stay."""
        self._check_open()
        folder = self.folder / f"out-{secrets.token_hex(8)}"
        folder.mkdir()
        with self._lock:
            self._outputs.append(folder)
            while len(self._outputs) > KEPT:
                shutil.rmtree(self._outputs.pop(0), ignore_errors=True)
        return folder / name

    def clear(self) -> None:
        """Remove the page's pictures."""
        with self._lock:
            for path in (path for written in self._written.values() for path in written):
                path.unlink(missing_ok=True)
            self._written.clear()

    def close(self) -> None:
        """Remove the folder; nothing is written after that."""
        self.closed = True
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_open(self) -> None:
        require(not self.closed, "this session has ended: load the page again")
