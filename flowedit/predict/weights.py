"""Trained predictors <-> files: safetensors, with settings and a digest in the head."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from flowedit.checks import as_device, as_number, describe, require
from flowedit.guide.encoder import Encoder
from flowedit.isolation import isolated
from flowedit.photo.files import open_input, write_atomically
from flowedit.predict.network import MOST_WIDTH, Predictor
from flowedit.transform.file import content_digest

WEIGHTS = Path(__file__).parent.parent / "weights"
SHIPPED = "predictor"
FILE = "predictor.safetensors"
TRAINING = "python -m examples.predictor --data FOLDER"
MOST_BYTES = 64 << 20
MOST_HEAD_BYTES = 1 << 20
MOST_SETTINGS = 64  # numbers and names in them
FURTHER = 0.5, 3.0
MOST_NAME = 1000  # letters of an encoder's name
DTYPES = ("F16", "F32", "I64")
_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class Trained:
    """A network, and what is known of its training.

    Attributes:
        network: in evaluation mode, on some device.
        name: for the record of an edit.
        sha256: digest of its settings and weights; None of a network that is in no file.
        guide: name of the encoder that it was trained under.
        guide_sha256: digest of that encoder's weights; None where that encoder has none.
        further: times the change that is asked for, which it is told: a network falls short of it.
    """

    network: Predictor
    name: str = "network"
    sha256: str | None = None
    guide: str | None = None
    guide_sha256: str | None = None
    further: float = 1.0

    def __post_init__(self) -> None:
        _check_further(self.further)


def load_predictor(name: str | os.PathLike[str] | None = None, device: torch.device | str = "cpu") -> Trained:
    """Load a trained predictor; the same one again is returned from memory. Threads may call it at once.

    Args:
        name: a file of `save_predictor`, or a folder with one; None, or "predictor", is the shipped one.
        device: where it will work.

    Raises:
        TypeError: not a name or a path.
        OSError: the file cannot be read.
        ValueError: no such file, or it is damaged or not a predictor's; one line that names it.
        RuntimeError: none is shipped.
    """
    require(name is None or isinstance(name, (str, os.PathLike)), f"predictor must be a name or a path; got "
            f"{describe(name)}", TypeError)  # fmt: skip
    given = SHIPPED if name is None else os.fspath(name)
    shipped = given == SHIPPED  # whatever the current folder holds
    path = WEIGHTS / SHIPPED if shipped else Path(given).expanduser()
    path = path / FILE if path.is_dir() or shipped else path
    require(
        path.is_file() or not shipped,
        f"no predictor is shipped with this version: train one by {TRAINING}, and give predictor=PATH",
        RuntimeError,
    )
    require(path.is_file(), f"predictor must be {SHIPPED!r}, or a file or folder of save_predictor; got {given!r}")
    state = path.stat()
    with isolated(), _LOCK:
        return _load(path.absolute(), (state.st_size, state.st_mtime_ns), shipped, as_device(device))


def save_predictor(
    network: Predictor,
    folder: str | os.PathLike[str],
    *,
    guide: str,
    guide_sha256: str | None,
    further: float = 1.0,
) -> Path:
    """Write a network's weights in half precision, with its settings, to predictor.safetensors in a folder.

    Args:
        network: its `settings` are what its class is called with.
        folder: made where it is missing.
        guide: name of the encoder that it was trained under.
        guide_sha256: `digest` of that encoder; None where it has none.
        further: see `Trained`; from 0.5 to 3.

    Returns:
        The file.

    Raises:
        ValueError: a weight is not finite in half precision, or the settings or `further` are such as `load_predictor`
            refuses.
    """
    from safetensors.torch import save

    tensors = {}
    for name, value in network.state_dict().items():
        value = value.detach().cpu().contiguous()
        tensors[name] = value.half() if value.is_floating_point() else value.clone()
    _check_tensors(tensors)
    _check_settings(network.settings)
    further = _check_further(further)
    head = {"settings": network.settings, "guide": guide, "guide_sha256": guide_sha256, "further": further}
    text = json.dumps(head, allow_nan=False)
    content = save(tensors, {"predictor": f"{content_digest(text, tensors, tensors.__getitem__)} {text}"})

    def write(file: BinaryIO) -> None:
        file.write(content)

    Path(folder).mkdir(parents=True, exist_ok=True)
    return write_atomically(Path(folder) / FILE, write)


def resolve_predictor(predictor: Trained | Predictor, guide: Encoder) -> Trained:
    """Return a predictor, once it is sure that it goes with the guide.

    Raises:
        ValueError: it was trained under another guide.
    """
    if isinstance(predictor, Predictor):
        predictor = Trained(predictor)
    require(
        goes_with(predictor, guide),
        f"predictor must go with the encoder that it was trained under, {predictor.guide}"
        f"{_short(predictor.guide_sha256)}; got {guide.name}{_short(getattr(guide, 'digest', None))}: train one for it "
        f"by {TRAINING}",
    )
    return predictor


def goes_with(predictor: Trained, guide: Encoder) -> bool:
    """Return whether a predictor was trained under a guide, or says of none that it was."""
    digest = getattr(guide, "digest", None)
    same = predictor.guide_sha256 == digest and (digest is not None or predictor.guide == guide.name)
    return predictor.guide is None or same


def shipped_for(guide: Encoder, device: torch.device) -> Trained | None:
    """Return the shipped predictor if it goes with a guide; None if not, or if none is shipped."""
    if not (WEIGHTS / SHIPPED / FILE).is_file():
        return None
    predictor = load_predictor(SHIPPED, device)
    return predictor if goes_with(predictor, guide) else None


@functools.lru_cache(maxsize=2)
def _load(path: Path, stamp: tuple[int, int], shipped: bool, device: torch.device) -> Trained:
    """Read a file of any content: what is built is bounded by the file's own size."""
    from safetensors import SafetensorError, safe_open

    with open_input(path) as file:
        length = int.from_bytes(file.read(8), "little")
    try:
        size = path.stat().st_size
        require(size <= MOST_BYTES, f"it must have at most {MOST_BYTES} bytes; got {size}")
        require(length <= MOST_HEAD_BYTES, f"its head must have at most {MOST_HEAD_BYTES} bytes; got {length}")
        with safe_open(path, "pt") as file:
            digest, _, text = (file.metadata() or {}).get("predictor", "").partition(" ")
            require(bool(text), "it must have a head; got none")
            names = list(file.keys())
            for name in names:
                kind = file.get_slice(name).get_dtype()
                require(kind in DTYPES, f"its tensors must be of {', '.join(DTYPES)}; got {kind}")
            tensors = {name: file.get_tensor(name) for name in names}
        intact = content_digest(text, tensors, tensors.__getitem__) == digest
        require(intact, "it must be as save_predictor wrote it; got changed content (SHA-256 differs)")
        head = json.loads(text)
        require(isinstance(head, dict), f"its head must be a table; got {describe(head)}")
        guide, guide_sha256 = head.get("guide"), head.get("guide_sha256")
        names = [guide] if guide_sha256 is None else [guide, guide_sha256]
        plain = all(isinstance(each, str) and each.isprintable() and len(each) <= MOST_NAME for each in names)
        require(plain, f"its guide must be a name with a digest; got {describe(guide)}")
        further = _check_further(head.get("further", 1.0))
        network = _build(head.get("settings"), tensors)
    except (SafetensorError, ValueError, TypeError, RuntimeError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path} must be a predictor made by save_predictor: {reason:.300}") from error
    name = SHIPPED if shipped else f"{path.parent.name if path.name == FILE else path.name}@{digest[:12]}"
    network = network.to(device).requires_grad_(False).eval()
    return Trained(network, name, digest, guide, guide_sha256, further)


def _build(settings: Any, tensors: Mapping[str, Tensor]) -> Predictor:
    """Make the network of these settings and weights; one that has more parameters than weights is not made."""
    _check_settings(settings)
    _check_tensors(tensors)
    with torch.random.fork_rng(devices=[]), _at_most(sum(value.numel() for value in tensors.values())):
        network = Predictor(**settings)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    stored = {name: tuple(value.shape) for name, value in tensors.items()}
    wrong = [name for name in shapes.keys() | stored if shapes.get(name) != stored.get(name)]
    require(not wrong, f"its weights must have the shapes of its settings; got others in {len(wrong)} tensors")
    network.load_state_dict(dict(tensors))
    return network


@contextmanager
def _at_most(values: int) -> Iterator[None]:
    """Refuse, while it makes modules in this thread, more parameters than so many numbers.

    Not by torch's meta device: drawing on it imports torch's compiler, which takes seconds.
    """
    from torch.nn.modules.module import register_module_parameter_registration_hook

    thread, left = threading.get_ident(), values

    def count(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter | None) -> None:
        nonlocal left
        if threading.get_ident() == thread and parameter is not None:
            left -= parameter.numel()
            require(left >= 0, f"its weights must have the shapes of its settings; got {values} numbers, too few")

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _check_settings(settings: Any) -> None:
    require(isinstance(settings, dict), f"its settings must be a table; got {describe(settings)}")
    values = [x for value in settings.values() for x in (value if isinstance(value, (list, tuple)) else [value])]
    plain = all(x is None or isinstance(x, (bool, int, float, str)) for x in values)
    good = plain and all(isinstance(x, (str, type(None))) or abs(x) <= MOST_WIDTH for x in values)
    require(
        good and len(values) <= MOST_SETTINGS,
        f"its settings must be at most {MOST_SETTINGS} names and numbers up to {MOST_WIDTH}; got {describe(settings)}",
    )


def _check_further(further: Any) -> float:
    number = as_number(further)
    least, most = FURTHER
    if number is None or not least <= number <= most:
        raise ValueError(f"further must be a number from {least:g} to {most:g}; got {describe(further)}")
    return float(number)


def _check_tensors(tensors: Mapping[str, Tensor]) -> None:
    for name, value in tensors.items():
        require(bool(torch.isfinite(value).all()), f"{name:.80} must be finite in half precision; got NaN or infinity")


def _short(digest: str | None) -> str:
    return "" if digest is None else f" ({digest[:12]}...)"
