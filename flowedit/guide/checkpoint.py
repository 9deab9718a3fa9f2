"""Weights of others: read without running what is in the file, and matched to an architecture."""

from __future__ import annotations

import hashlib
import io
import pickle
import re
import tarfile
import tempfile
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flowedit.checks import require

Shapes = dict[str, tuple[int, ...]]

# Entries of OpenAI's archives that are no weights; nobody else's files have them.
OPENAI_KEYS = frozenset({"input_resolution", "context_length", "vocab_size"})
NO_WEIGHTS = OPENAI_KEYS | {"attn_mask"}
STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


def file_digest(path: Path) -> str:
    """Return a file's SHA-256, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def safe_checkpoint(path: Path) -> Iterator[tuple[Path, Shapes]]:
    """Validate that a checkpoint holds tensors only, and provide a file that may be loaded, and its tensors' shapes.

    A pickle is read by torch's restricted unpickler, of every torch. TorchScript archives, which may run code when
    torch loads them, are rewritten as safetensors for the time of the context.

    Yields:
        The file, the same if it is no TorchScript archive, and name -> shape; no shapes for .npz, which holds arrays.

    Raises:
        ValueError: not a regular file.
        Exception: of the reader, if the file is damaged or holds anything but tensors.
    """
    require(path.is_file(), f"weights must be a regular file; got {path}")
    if path.suffix in (".npz", ".npy"):
        yield path, {}
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118, no mapping
        yield path, shapes
    elif _is_torchscript(path):
        from safetensors.torch import save_file

        weights = read_torchscript(path)
        shapes = _shapes(weights)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.safetensors"
            save_file({name: w for name, w in weights.items() if name.rpartition(".")[2] not in NO_WEIGHTS}, file)
            yield file, shapes
    else:
        # Before torch 2.6 the restricted unpickler could be escaped by way of this old format.
        require(not tarfile.is_tarfile(path), f"weights must not be a tar archive; got {path}")
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        require(
            isinstance(content, Mapping), f"weights must be names with tensors; got {type(content).__name__}: {path}"
        )
        weights = content.get("state_dict", content)
        shapes = _shapes(weights)
        del content, weights
        yield path, shapes


def guess_architectures(shapes: Shapes, configs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Find the vision transformers and ResNets of open_clip that have a checkpoint's widths and depths.

    Args:
        shapes: of the checkpoint's tensors.
        configs: open_clip's model configs by name.

    Returns:
        Names, those of the same input size if there are any; without `-quickgelu` twins, which have the same shapes.
    """

    def shape(end: str) -> tuple[int, ...]:
        return next((size for name, size in shapes.items() if name == end or name.endswith(f".{end}")), ())

    def depth(stack: str) -> int:
        matches = (re.match(rf"{stack}\.(\d+)\.", name) for name in shapes)
        return max((int(match[1]) + 1 for match in matches if match), default=0)

    patch, words, places = shape("visual.conv1.weight"), shape("token_embedding.weight"), None
    if len(patch) != 4 or len(words) != 2:
        return []
    text = (*words, depth(r"(?:text\.)?transformer\.resblocks"), depth(r"text_decoder\.resblocks") > 0)
    stages = [depth(rf"visual\.layer{k}") for k in (1, 2, 3, 4)]
    if any(stages):
        vision: tuple[Any, ...] = (2 * patch[0], None, stages)
    else:
        vision = (patch[0], patch[2], depth(r"visual\.transformer\.resblocks"))
        places = shape("visual.positional_embedding")[0]
    matches: dict[str, bool] = {}
    for name, config in configs.items():
        see, read = config["vision_cfg"], config["text_cfg"]
        size, step = see.get("image_size"), see.get("patch_size")
        reads = (read.get("vocab_size"), read.get("width"), read.get("layers"), "multimodal_cfg" in config)
        if (see.get("width", 768), step, see.get("layers")) == vision and reads == text and "-quickgelu" not in name:
            matches[name] = isinstance(size, int) and isinstance(step, int) and places == (size // step) ** 2 + 1
    return [name for name, same_size in matches.items() if same_size or not any(matches.values())]


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a TorchScript archive by their names in the module tree, without its code.

    Raises:
        pickle.UnpicklingError: it holds something other than modules, numbers and tensors.
    """
    with zipfile.ZipFile(path) as archive:
        (index,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name))
        module = _ModuleUnpickler(archive, index.rpartition("/")[0]).load()
    return dict(_tensors(module, ""))


class _Module:
    """Stands for any class of the archive; its attributes are those of the module."""


class _ModuleUnpickler(pickle.Unpickler):
    """Reads modules as `_Module`, and refuses every other class and function but those that tensors are made of."""

    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{folder}/data.pkl")))
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return type(name, (_Module,), {})
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle" and name in ("build_intlist", "build_doublelist", "build_boollist"):
            return list
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: storage.as_strided(size, stride, offset).clone()
        raise pickle.UnpicklingError(f"{module}.{name} must not be in a file of weights")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, count = pid
        if count == 0:
            return torch.empty(0, dtype=dtype)
        return torch.frombuffer(bytearray(self._archive.read(f"{self._folder}/data/{key}")), dtype=dtype)


def _tensors(module: object, prefix: str) -> Iterator[tuple[str, Tensor]]:
    for name, value in vars(module).items():
        if isinstance(value, Tensor):
            yield prefix + name, value
        elif isinstance(value, _Module):
            yield from _tensors(value, f"{prefix}{name}.")


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _shapes(weights: Mapping[str, Any]) -> Shapes:
    return {name.removeprefix("module."): tuple(value.shape) for name, value in weights.items()
            if isinstance(value, Tensor)}  # fmt: skip
