"""The ledger of a batch: a line of JSON for each photo that was tried, by which a run that ended goes on."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from flowedit.app.batch import Job, Record
from flowedit.app.console import one_line
from flowedit.app.paths import check_ending

SUFFIX = ".jsonl"

State = tuple[int, int] | None  # of a file: bytes, and nanoseconds of its last change; None where it is not there


class Row(NamedTuple):
    """What the ledger's last line about an output says, as far as it decides whether to make it again."""

    photo: str
    state: State
    work: str
    outputs: dict[str, int | None]  # path -> bytes


class Ledger:
    """A file of lines that is only ever appended to; of lines about one output the last counts.

    A line is an object with
        photo, bytes, mtime_ns   the input, and its state before it was read
        work                     digest of prompts, settings and options
        outputs                  path -> bytes of each file that was written, or was to be
        status, message          "done", and what was warned of, or "failed", and why
        seconds                  that it took

    Args:
        file: open for reading and appending.
        work: digest of what is asked of every photo.
    """

    def __init__(self, file: BinaryIO, work: str) -> None:
        self._file, self._work = file, work
        self._states: dict[Path, State] = {}
        self._rows: dict[str, Row] = {}
        whole = b"\n"
        for line in file:
            whole = line
            if (row := _read_line(line)) is not None:
                self._rows[next(iter(row.outputs))] = row
        if not whole.endswith(b"\n"):  # the last run was killed in the middle of a line
            file.write(b"\n")

    def is_done(self, job: Job) -> bool:
        """Return whether a job's photo is as it was when all of its files were made so, and these are still there."""
        outputs = _outputs(job)
        row = self._rows.get(outputs[0])
        state = self._states[job.photo] = _state(job.photo)
        return (
            row is not None
            and (row.photo, row.state, row.work) == (os.path.abspath(job.photo), state, self._work)
            and list(row.outputs) == outputs
            and all(size is not None and size == _bytes(path) for path, size in row.outputs.items())
        )

    def add(self, job: Job, record: Record) -> None:
        """Append what became of a job that `is_done` was asked of."""
        size, time = self._states[job.photo] or (None, None)
        line = {
            "photo": os.path.abspath(job.photo),
            "bytes": size,
            "mtime_ns": time,
            "work": self._work,
            "outputs": {path: _bytes(path) for path in _outputs(job)},
            "status": "done" if record.error is None else "failed",
            "message": "; ".join(record.messages) if record.error is None else one_line(record.error),
            "seconds": round(record.seconds, 3),
        }
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()


@contextmanager
def open_ledger(path: Path, work: str) -> Iterator[Ledger]:
    """Open a ledger, or begin one; no other process can meanwhile.

    Raises:
        OSError: another run has it, or it cannot be written; one line.
    """
    with open(path, "a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(f"a ledger must be used by one run at a time; got {path}, which another run has") from error
        except OSError:  # some network folders have no locks
            pass
        file.seek(0)
        yield Ledger(file, work)


def check_ledger(path: Path) -> None:
    """Refuse a name that no ledger has."""
    check_ending("--ledger", path, (SUFFIX,))


def _read_line(line: bytes) -> Row | None:
    """Read what counts of a line; None where it says nothing that is done, or was cut off."""
    try:
        row: Any = json.loads(line)
        if row["status"] == "done" and row["outputs"]:
            state = (row["bytes"], row["mtime_ns"])
            return Row(row["photo"], state, row["work"], dict(row["outputs"]))
    except (ValueError, TypeError, KeyError):
        pass
    return None


def _outputs(job: Job) -> list[str]:
    return [os.path.abspath(path) for paths in job.files.values() for path in paths]


def _state(path: Path) -> State:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _bytes(path: str) -> int | None:
    state = _state(Path(path))
    return None if state is None else state[0]
