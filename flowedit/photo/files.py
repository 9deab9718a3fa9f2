"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    target = _check_target(path)
    part = target.parent / f".flowedit-{secrets.token_hex(8)}.part"
    try:
        with _one_line("write", path):
            with open(part, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                os.chmod(part, target.stat().st_mode & 0o7777)
            os.replace(part, target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path] = (), *, make_folders: bool = False) -> None:
    """Validate, before any work, that files can be written and that none of them is one that is read.

    Symbolic and hard links are followed. In each folder a temporary file is made and removed.

    Args:
        outputs: what will be written.
        inputs: what is read; need not exist.
        make_folders: make the outputs' folders where they are missing, once everything else is right.

    Raises:
        FileExistsError: an output is an input, or another output.
        OSError, or its kind: it cannot be written there. Each is one line that names the path.
    """
    read = {_identity(path) for path in inputs}
    written: set[object] = set()
    for path in outputs:
        identity = _identity(path)
        require(identity not in read, f"output must not replace a file that is read; got {path}", FileExistsError)
        require(identity not in written, f"outputs must be different files; got {path} twice", FileExistsError)
        written.add(identity)
    folders = {Path(os.path.realpath(path)).parent: path for path in outputs}
    for folder, path in folders.items() if make_folders else ():
        with _one_line("write", path):
            folder.mkdir(parents=True, exist_ok=True)
    for path in outputs:
        _check_target(path)
    for folder, path in folders.items():
        with _one_line("write", path):
            trial = folder / f".flowedit-{secrets.token_hex(8)}.part"
            trial.touch(exist_ok=False)
            trial.unlink()


@contextmanager
def _one_line(verb: str, path: Path) -> Iterator[None]:
    """Turn an OSError into one of its kind that says in one line what cannot be done with a path."""
    try:
        yield
    except OSError as error:
        kind = type(error) if isinstance(error, (PermissionError, FileNotFoundError)) else OSError
        reason = "no such file" if verb == "read" and kind is FileNotFoundError else error.strerror or error
        raise kind(f"cannot {verb} {path}: {reason}") from error


def _identity(path: Path) -> object:
    """Return what two paths to one file have in common."""
    try:
        status = os.stat(path)
    except OSError:  # not there yet
        return os.path.realpath(path)
    return status.st_dev, status.st_ino


def _check_target(path: Path) -> Path:
    """Return what a path leads to through symbolic links: a regular file, or none yet in a folder that exists."""
    target = Path(os.path.realpath(path))
    require(not target.is_dir(), f"cannot write {path}: it is a folder", IsADirectoryError)
    require(target.is_file() or not target.exists(), f"cannot write {path}: it is not a regular file", OSError)
    require(target.parent.is_dir(), f"cannot write {path}: folder {target.parent} does not exist", FileNotFoundError)
    return target


def _read(path: Path) -> bytes:
    """Read a whole file; an error is one line that names it."""
    require(not path.is_dir(), f"cannot read {path}: it is a folder, not an image file", IsADirectoryError)
    endless = path.is_char_device() or path.is_block_device() or path.is_socket()
    require(not endless, f"cannot read {path}: it is a device, not an image file", OSError)
    with _one_line("read", path):
        return path.read_bytes()


def _same_file(a: Path, b: Path) -> bool:
    """Say whether two paths lead to one file, through symbolic or hard links too."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False
