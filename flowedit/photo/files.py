"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from flowedit.checks import require


def write_atomically(path: str | Path, write: Callable[[BinaryIO], None]) -> Path:
    """Write a file whole or not at all: into a temporary file beside it, which then takes its place.

    On any failure (a full disk, an error in `write`, Ctrl-C) the temporary file is removed and what was at
    `path` stays. A symbolic link is followed, and an existing file's permissions are kept.

    Raises:
        OSError, or its kind: one line that names the path. Other errors raised by `write` pass unchanged.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    require(not target.is_dir(), f"cannot write {path}: it is a folder", IsADirectoryError)
    require(target.is_file() or not target.exists(), f"cannot write {path}: it is not a regular file", OSError)
    require(
        target.parent.is_dir(),
        f"cannot write {path}: folder {target.parent} does not exist",
        FileNotFoundError,
    )
    part = target.parent / f".flowedit-{secrets.token_hex(8)}.part"
    try:
        with open(part, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(part, target.stat().st_mode & 0o7777)
        os.replace(part, target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError):
            kind = PermissionError if isinstance(error, PermissionError) else OSError
            raise kind(f"cannot write {path}: {error.strerror or error}") from error
        raise
    return path


def _read(path: Path) -> bytes:
    """Read a whole file; an error is one line that names it."""
    require(not path.is_dir(), f"cannot read {path}: it is a folder, not an image file", IsADirectoryError)
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"cannot read {path}: no such file") from error
    except OSError as error:
        kind = PermissionError if isinstance(error, PermissionError) else OSError
        raise kind(f"cannot read {path}: {error.strerror or error}") from error


def _same_file(a: Path, b: Path) -> bool:
    """Say whether two paths lead to one file, through symbolic or hard links too."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False
