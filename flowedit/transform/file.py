"""Transforms <-> an edit file: safetensors, with a head of JSON and a digest over everything."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TypeVar

import torch
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.photo.files import open_input, write_atomically
from flowedit.transform.state import from_state, to_state
from flowedit.transform.transforms import Transform

# Of the edit file. 1 had leaves only, 1 and 2 kept the parts' colors in the field, and up to 3 the digest stood beside
# the head, in an order that was another from time to time. Up to 4 no leaf had a retouch, and up to 5 the parts' colors
# stayed where a face moved.
FORMAT = 6
PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"GIF8", b"II*\0", b"MM\0*")  # how their files begin
MOST_HEAD_BYTES = 16 << 20
T = TypeVar("T")
DTYPES = {"F32": torch.float32, "U8": torch.uint8}  # all that is stored


def write_edit(path: str | Path, head: Mapping[str, Any], transforms: Sequence[Transform]) -> Path:
    """Write transforms and what else is to be known about them, whole or not at all; the same bytes each time.

    Args:
        path: any; replaced.
        head: JSON-able.
        transforms: what is done.

    Raises:
        OSError: it cannot be written there.
        ValueError: the head or the transforms are such as `read_edit` does not take.
    """
    from safetensors.torch import save

    states, tensors = to_state(transforms)
    try:
        text = json.dumps({**head, "format": FORMAT, "moves": states}, allow_nan=False)
    except TypeError as error:
        raise ValueError(f"an edit file must hold only what JSON holds; {error}") from error
    require(len(text) <= MOST_HEAD_BYTES // 2, f"an edit file's head must have at most {MOST_HEAD_BYTES // 2} bytes")
    content = save(tensors, {"flowedit": f"{content_digest(text, tensors, tensors.__getitem__)} {text}"})

    def write(file: BinaryIO) -> None:
        file.write(content)

    return write_atomically(path, write)


def read_edit(path: str | Path, make: Callable[[dict[str, Any], tuple[Transform, ...]], T]) -> T:
    """Read what `write_edit` wrote, and return what `make` makes of the head and the transforms.

    Nothing is believed: sizes are compared before anything is built, so that memory and time are bounded by the file's
    own size and the limits of `transform.state`.

    Args:
        path: the file.
        make: validates the head; its TypeErrors and ValueErrors are told as the file's.

    Raises:
        OSError: it cannot be read.
        ValueError: not an edit file, damaged, tampered with, or out of bounds; one line that names the file.
    """
    from safetensors import safe_open

    path = Path(path)
    with open_input(path) as file:
        begin = file.read(8)
    length = int.from_bytes(begin, "little")
    with _naming(path):
        fits = length <= MOST_HEAD_BYTES
        require(fits or not begin.startswith(PICTURES), "got a picture")
        require(fits, f"its head must have at most {MOST_HEAD_BYTES} bytes; got {length}")
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            text, digest = _split(metadata)
            shapes = {name: (_dtype(part), tuple(part.get_shape())) for name, part in _slices(file)}
            intact = content_digest(text, shapes, file.get_tensor) == digest
            require(intact, "it must be as save_edit wrote it; got changed content (SHA-256 differs)")
            head = json.loads(text, parse_constant=_no_constant)
            require(isinstance(head, dict), f"its head must be a table; got {describe(head)}")
            version = head.get("format")
            require(version in range(1, FORMAT + 1) and type(version) is int,
                    f"it must have format 1 to {FORMAT}; got {version!r:.80}: another version's")  # fmt: skip
            if version == 1:
                masked = {"region": head.get("region"), "protect": head.get("protect", [])}
                head["moves"] = [
                    {**leaf, **masked} for leaf in head.pop("layers", None) or [] if isinstance(leaf, dict)
                ]
            return make(head, from_state(head.pop("moves", None), shapes, file.get_tensor))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn what a file of any content may raise into one line that names it."""
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, ValueError, TypeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} must be a file made by save_edit: {reason:.300}") from error


def _split(metadata: Mapping[str, str]) -> tuple[str, str]:
    """Return the head's text and the digest in a file's metadata."""
    text, digest = metadata.get("flowedit", ""), metadata.get("sha256")
    if digest is None:
        digest, _, text = text.partition(" ")
    require(bool(text), "it must have a head; got none")
    return text, digest


def _slices(file: Any) -> Iterator[tuple[str, Any]]:
    for name in file.keys():  # noqa: SIM118, no mapping
        yield name, file.get_slice(name)


def _dtype(part: Any) -> torch.dtype:
    name = part.get_dtype()
    require(name in DTYPES, f"its tensors must be of {', '.join(DTYPES)}; got {name}")
    return DTYPES[name]


def _are_tables(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"numbers must be finite; got {name}")


def content_digest(text: str, names: Mapping[str, Any], read: Callable[[str], Tensor]) -> str:
    """SHA-256 over the head and every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(names):
        tensor = read(name)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().data if tensor.numel() else b"")
    return digest.hexdigest()
