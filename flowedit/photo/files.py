"""Files: outputs checked before any work and written whole or not at all, inputs opened only where that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from flowedit.checks import require

MAX_FILE_BYTES = 4 << 30  # of an input; the largest photo that is read, as uncompressed 16-bit RGBA, takes 1.2 GB
_PART = re.compile(r"\.flowedit-[0-9a-f]{16}\.part")


def check_outputs(
    outputs: Mapping[str, Sequence[Path]], inputs: Sequence[Path] = (), *, make_folders: bool = False
) -> None:
    """Validate, before any work, that files can be written and that none of them is one that is read.

    Files are compared through symbolic and hard links, and without case where the folder ignores it. In each folder a
    temporary file is made and removed.

    Args:
        outputs: option, as the user writes it -> what it writes.
        inputs: what is read; need not exist.
        make_folders: make the outputs' folders where they are missing, once the names are right.

    Raises:
        FileExistsError: an output is an input, or another output.
        OSError, or its kind: an output is a folder or no regular file, or its folder is missing or not writable.
        Each is one line with option and path.
    """
    sources = {key: source for source in inputs for key in _keys(source)}
    pairs = [(option, path) for option, paths in outputs.items() for path in paths]
    _check_distinct(pairs, sources, frozenset())
    folds: dict[Path, bool] = {}
    for option, path in pairs:
        with _one_line("write", path, f"{option}: "):
            folder = Path(os.path.realpath(path)).parent
            if make_folders:
                folder.mkdir(parents=True, exist_ok=True)
            _target(path)
            if folder not in folds:
                folds[folder] = _ignores_case(folder)
    _check_distinct(pairs, sources, frozenset(folder for folder, fold in folds.items() if fold))


def _check_distinct(
    pairs: Sequence[tuple[str, Path]], sources: Mapping[object, Path], folding: frozenset[Path]
) -> None:
    """Raise FileExistsError where an output is a source, or another output; `folding` are folders that ignore case."""
    writers: dict[object, tuple[str, Path]] = {}
    for option, path in pairs:
        keys = _keys(path, folding)
        source = next((sources[key] for key in keys if key in sources), None)
        alias = "" if source in (None, path) else f", which is {source}"
        require(source is None, f"{option} must not replace a file that is read; got {path}{alias}", FileExistsError)
        other, first = next((writers[key] for key in keys if key in writers), ("", path))
        alias = "" if first == path else f" as {first}"
        named = f"{path}, which {other} names too{alias}"
        require(not other, f"outputs must be different files; {option} got {named}", FileExistsError)
        writers |= dict.fromkeys(keys, (option, path))


def write_atomically(path: str | Path, write: Callable[[BinaryIO], object]) -> Path:
    """Write a file whole or not at all: into a temporary file beside it, which then takes its place.

    On any failure (a full disk, an error in `write`, Ctrl-C) the temporary file is removed and what was at `path`
    stays. A process that is killed leaves its temporary file, `.flowedit-*.part`, which the next write to that folder
    removes: the writer holds a lock on it, the system releases it with the process, and only a file whose lock is free
    is removed. A symbolic link is followed, and an existing file's permissions are kept.

    Raises:
        OSError, or its kind: one line that names the path. Other errors raised by `write` pass unchanged.
    """
    path = Path(path)
    with _one_line("write", path):
        target = _target(path)
        _remove_stale_parts(target.parent)
        with _open_part(target.parent) as (part, file):
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if target.exists():
                os.chmod(part, target.stat().st_mode & 0o7777)
            os.replace(part, target)  # still locked
    return path


def open_input(path: str | Path, most: float | None = None) -> BinaryIO:
    """Open a regular file of bounded size for reading; a link is followed.

    Args:
        path: the file.
        most: bytes; None is MAX_FILE_BYTES, and infinity for what is read piece by piece.

    Raises:
        OSError, or its kind: one line that names the path; a folder, device, pipe or socket, and a larger file, too.
    """
    path = Path(path)
    with _one_line("read", path):
        # A pipe without a writer would block here.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            state = os.fstat(handle)
            require(not stat.S_ISDIR(state.st_mode), "it is a folder, not a file", IsADirectoryError)
            require(stat.S_ISREG(state.st_mode), "it must be a regular file; got a device, pipe or socket", OSError)
            limit = MAX_FILE_BYTES if most is None else most
            few = state.st_size <= limit
            require(few, f"it must have at most {limit:,} bytes; got {state.st_size:,}", OSError)
            return open(path, "rb", opener=lambda *_: handle)
        except BaseException:
            os.close(handle)
            raise


def same_file(a: Path, b: Path) -> bool:
    """Return whether two paths lead to one file, through symbolic or hard links too; it need not exist."""
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):
        return os.path.realpath(a) == os.path.realpath(b)


@contextlib.contextmanager
def _one_line(verb: str, path: Path, option: str = "") -> Iterator[None]:
    """Turn an OSError into one of its kind that says in one line what cannot be done with a path."""
    try:
        yield
    except OSError as error:
        kinds = (FileNotFoundError, IsADirectoryError, PermissionError)
        kind = next((kind for kind in kinds if isinstance(error, kind)), OSError)
        reason = "no such file" if verb == "read" and kind is FileNotFoundError else error.strerror or error
        raise kind(f"{option}cannot {verb} {path}: {reason}") from error
    except ValueError as error:
        if "embedded null" not in str(error):
            raise
        raise OSError(f"{option}cannot {verb} {str(path)!r}: its name holds a null character") from error


def _target(path: Path) -> Path:
    """Follow links to the file that a write to `path` makes or replaces, and validate it."""
    target = Path(os.path.realpath(path))
    try:
        mode = os.stat(target).st_mode
    except (FileNotFoundError, NotADirectoryError):
        require(target.parent.is_dir(), f"folder {target.parent} does not exist", FileNotFoundError)
        return target
    require(not stat.S_ISDIR(mode), "it is a folder", IsADirectoryError)
    require(stat.S_ISREG(mode), "it is not a regular file", OSError)
    return target


def _keys(path: Path, folding: frozenset[Path] = frozenset()) -> set[object]:
    """Return what identifies a file: its real path, folded in folders that ignore case, and its inode if it exists."""
    with _one_line("use", path):
        real = Path(os.path.realpath(path))
    keys: set[object] = {unicodedata.normalize("NFC", str(real)).casefold() if real.parent in folding else str(real)}
    with contextlib.suppress(OSError):
        state = os.stat(real)
        keys.add((state.st_dev, state.st_ino))
    return keys


def _ignores_case(folder: Path) -> bool:
    """Return whether a folder takes a and A for one name, by writing an empty file into it and removing it."""
    _remove_stale_parts(folder)
    with _open_part(folder) as (part, _):
        return part.with_name(part.name.upper()).exists()


@contextlib.contextmanager
def _open_part(folder: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Create a temporary file in a folder, locked; it is closed and removed at the end, unless it was renamed.

    Its name is known before it is there, and `os.unlink` comes before the interpreter looks for signals again: a Ctrl-C
    at any moment leaves nothing.
    """
    while True:
        part = folder / f".flowedit-{secrets.token_hex(8)}.part"
        name = str(part)
        try:
            with open(part, "xb") as file:
                with contextlib.suppress(OSError):  # some network folders have no locks: nothing is removed there
                    fcntl.flock(file, fcntl.LOCK_EX)
                if _is_same(part, file):
                    yield part, file
                    return
        finally:
            try:  # noqa: SIM105
                os.unlink(name)
            except FileNotFoundError:  # renamed, or another process removed it before it was locked
                pass


def _is_same(part: Path, file: BinaryIO) -> bool:
    """Return whether an open file is still there by its name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(part))
    except FileNotFoundError:
        return False


def _remove_stale_parts(folder: Path) -> None:
    """Remove the temporary files of processes that are gone; what cannot be listed, locked or removed stays."""
    with contextlib.suppress(OSError):
        for name in filter(_PART.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError):
                handle = os.open(folder / name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
                with os.fdopen(handle, "r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if stat.S_ISREG(os.fstat(handle).st_mode):
                        os.unlink(folder / name)
