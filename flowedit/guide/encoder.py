"""What the loop needs of an encoder, and encoders by name; with `clip`, the only file that knows open_clip."""

from __future__ import annotations

import difflib
import functools
import logging
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from flowedit.checks import as_device, describe, require, warn
from flowedit.guide.checkpoint import OPENAI_KEYS, file_digest, guess_architectures, safe_checkpoint
from flowedit.guide.clip import ClipEncoder
from flowedit.guide.shipped import DIRECTIONS, load_shipped, read_directions
from flowedit.isolation import isolated

WEIGHTS = Path(__file__).parent.parent / "weights"
SHIPPED = "faceclip"
# CLIP fine-tuned against adversarial pictures (Schlarmann et al. 2024): its gradients move shapes.
ROBUST = (
    "hf-hub:chs20/FARE4-ViT-B-32-laion2B-s34B-b79K",
    "hf-hub:chs20/FARE4-ViT-B-16-laion2B-s34B-b88K",
    "hf-hub:chs20/fare2-clip",
)
FORMS = "hf-hub:ORG/REPO, MODEL:PRETRAINED, MODEL:FILE or local-dir:FOLDER"
WAYS_OUT = f"use encoder={SHIPPED!r}, which is shipped, or MODEL:FILE or local-dir:FOLDER with weights on disk"
PREPROCESS = ("mean", "std", "interpolation")  # of a picture before it is embedded
CHECKPOINTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "*.safetensors",
               "open_clip_pytorch_model.bin", "*.bin", "*.pth", "*.pt")  # fmt: skip
_LOCK = threading.Lock()


class Encoder(Protocol):
    """What the loop needs of an encoder; anything with these members will do."""

    name: str
    size: int  # pixels along one side of its input

    def image(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) RGB, S any and values a little outside [0, 1], to (B, D) unit vectors, differentiable."""

    def text(self, prompts: Sequence[str]) -> Tensor:
        """n prompts, "a face" among them, to (n, D) unit vectors."""

    def knows(self, prompt: str) -> bool:
        """Whether the prompt is inside the encoder's world, as far as it can tell."""


@dataclass(frozen=True)
class _Source:
    """Where an encoder comes from.

    Attributes:
        kind: of the name.
        model: as open_clip names it, with its schema.
        path: the file or folder on disk.
        tag: open_clip's name of published weights.
        stamp: sizes and times of the files on disk, so that changed ones are loaded anew.
    """

    kind: Literal["shipped", "hub", "folder", "tag", "file"]
    model: str
    path: Path = Path()
    tag: str = ""
    stamp: tuple[tuple[str, int, int], ...] = ()


def load_encoder(name: str | os.PathLike[str] | None = None, device: torch.device | str = "cpu") -> ClipEncoder:
    """Load an encoder by name; the same one again is returned from memory. Threads may call it at once.

    The caller's logging, warnings, random state and torch defaults stay as they are.

    Args:
        name: `faceclip` (shipped; the default), a hub's `hf-hub:ORG/REPO`, open_clip's `MODEL:PRETRAINED`
            (`ViT-B-32-quickgelu:openai`), `MODEL:FILE` with a checkpoint on disk, or `local-dir:FOLDER`, or the folder
            alone, in open_clip's layout (open_clip_config.json and weights). A path may begin with `~`.
        device: where it will work.

    Raises:
        TypeError: not a name or a path.
        ValueError: no such model, weights, or file, or the file is damaged or of another model.
        RuntimeError: the weights cannot be fetched, or a package is missing.
    """
    require(name is None or isinstance(name, (str, os.PathLike)), f"encoder must be a name; got {describe(name)}",
            TypeError)  # fmt: skip
    with isolated(), _LOCK:
        source = _resolve(os.fspath(name) if name is not None else SHIPPED)
        encoder = _load(source, as_device(device))
    if source.kind == "file" and not {"mean", "std"} <= set(_published_preprocess(source.model)):
        mean, std = (vector.flatten().tolist() for vector in (encoder.mean, encoder.std))
        warn(
            f"{encoder.name} is fed with mean {_short(mean)} and deviation {_short(std)}, those of CLIP: published "
            f"weights of {source.model} differ or are none; local-dir:FOLDER sets others in its open_clip_config.json"
        )
    return encoder


def _resolve(name: str) -> _Source:
    """Read a name, without network."""
    if name == SHIPPED:
        return _on_disk("shipped", WEIGHTS / SHIPPED)
    schema, _, rest = name.partition(":")
    if schema == "hf-hub":
        hub = re.fullmatch(r"[\w.-]+/[\w.-]+", rest)
        require(bool(hub), f"encoder must be hf-hub:ORG/REPO; got {name!r}")
        return _Source("hub", name)
    if schema == "local-dir" or os.path.isdir(os.path.expanduser(name)):
        folder = os.path.expanduser(rest if schema == "local-dir" else name)
        require(os.path.isdir(folder), f"encoder must be local-dir:FOLDER that exists; got {name!r}")
        return _on_disk("folder", Path(folder))
    model, path = schema.replace("/", "-"), os.path.expanduser(rest)
    require(bool(rest), f"encoder must be {SHIPPED!r}, {FORMS} (as {ROBUST[0]}); got {name!r}")
    open_clip = _open_clip()
    models = open_clip.list_models()
    if model not in models:
        near = difflib.get_close_matches(model, models, n=3) or ["ViT-B-32"]
        raise ValueError(f"encoder must be one of open_clip's models, {' or '.join(near)}?; got {model!r}")
    if os.path.isfile(path):
        return _on_disk("file", Path(path), model)
    tags = open_clip.list_pretrained_tags_by_model(model)
    require(rest in tags, f"pretrained must be a file or one of {model}'s tags ({_few(tags)}); got {rest!r}")
    quick = bool(open_clip.get_pretrained_cfg(model, rest).get("quick_gelu", False))
    require(not quick or _is_quick(model), f"{rest} weights must go with {model}-quickgelu:{rest}; got {name!r}")
    return _Source("tag", model, tag=rest)


def _on_disk(kind: Literal["shipped", "folder", "file"], path: Path, model: str = "") -> _Source:
    files = [path] if kind == "file" else [file for file in sorted(path.iterdir()) if file.is_file()]
    stamp = tuple((file.name, stat.st_size, stat.st_mtime_ns) for file in files for stat in [file.stat()])
    return _Source(kind, model or f"local-dir:{path}", path.absolute(), stamp=stamp)


@functools.lru_cache(maxsize=2)  # a folder of photos loads its encoder once
def _load(source: _Source, device: torch.device) -> ClipEncoder:
    if source.kind == "shipped":
        return load_shipped(source.path, device, SHIPPED)
    if source.kind == "folder":
        _register_tower()
    open_clip = _open_clip()
    with _undisturbed():
        weights = _locate(source)
        digest = file_digest(weights)
        names = {
            "tag": f"{source.model}:{source.tag}",
            "file": f"{source.model}:{weights.name}@{digest[:12]}",
            "folder": f"local-dir:{source.path.name}@{digest[:12]}",
        }
        name = names.get(source.kind, source.model)
        try:
            model = open_clip.create_model(
                source.model, load_weights=False, pretrained_text=False, force_preprocess_cfg=_preprocess(source)
            )
            tokenizer = open_clip.get_tokenizer(source.model)
        except ImportError as error:
            raise RuntimeError(f"{name} must have a package that is missing here; got {_first_line(error)}") from error
        except Exception as error:  # of json, of the hub, of the model
            if source.kind in ("tag", "hub"):
                raise _unreachable(name, error) from error
            raise ValueError(f"{source.path} must hold an open_clip model; got {_first_line(error)}") from error
        _fill(model, weights, source)
    taught = source.path / DIRECTIONS if source.kind == "folder" else None  # the recipe's folders hold them
    directions = read_directions(taught) if taught is not None and taught.is_file() else None
    return ClipEncoder(model.to(device), tokenizer, name, digest=digest, directions=directions)


def _locate(source: _Source) -> Path:
    """Return the file of the weights; fetch it if need be."""
    if source.kind == "file":
        return source.path
    if source.kind == "folder":
        config = source.path / "open_clip_config.json"
        require(config.is_file(), f"encoder folder must hold {config.name}; got {source.path} without it")
        files = (file for pattern in CHECKPOINTS for file in sorted(source.path.glob(pattern)))
        weights = next(files, None)
        require(weights is not None, f"encoder folder must hold weights ({', '.join(CHECKPOINTS)}); got {source.path}")
        assert weights is not None
        return weights
    from open_clip import pretrained

    try:
        if source.kind == "hub":
            return Path(pretrained.download_pretrained_from_hf(source.model.partition(":")[2]))
        return Path(pretrained.download_pretrained(pretrained.get_pretrained_cfg(source.model, source.tag)))
    except Exception as error:
        raise _unreachable(f"{source.model}{':' * bool(source.tag)}{source.tag}", error) from error


def _fill(model: Any, weights: Path, source: _Source) -> None:
    """Load weights into a model, without running what is in the file."""
    open_clip = _open_clip()
    shapes: dict[str, tuple[int, ...]] = {}
    wrong_activation = False
    try:
        with safe_checkpoint(weights) as (file, shapes):
            wrong_activation = source.kind == "file" and shapes.keys() >= OPENAI_KEYS and not _is_quick(source.model)
            if not wrong_activation:
                open_clip.load_checkpoint(model, str(file), strict=True, weights_only=True)
    except Exception as error:  # safetensors, pickle and json have error types of their own
        guesses = guess_architectures(
            shapes, {name: open_clip.get_model_config(name) for name in open_clip.list_models()}
        )
        foreign = guesses and source.model not in guesses
        what = f"the shapes of {' or '.join(guesses[:3])}" if foreign else _first_line(error)
        model_name = source.model if source.kind in ("tag", "file") else "the model in its open_clip_config.json"
        raise ValueError(f"{weights} must be a checkpoint of {model_name}; got {what}") from error
    require(
        not wrong_activation,
        f"OpenAI's weights must go with {source.model}-quickgelu:{weights}; got {source.model}",
    )


def _preprocess(source: _Source) -> dict[str, Any] | None:
    """Return how a picture is prepared, where the model's own config does not say it."""
    if source.kind == "tag":
        weights = _open_clip().get_pretrained_cfg(source.model, source.tag)
        return {key: weights[key] for key in PREPROCESS}
    return _published_preprocess(source.model) if source.kind == "file" else None


def _published_preprocess(model: str) -> dict[str, Any]:
    """Return what all published weights of a model agree on."""
    open_clip = _open_clip()
    published = [open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)]
    values = {key: {weights[key] for weights in published} for key in PREPROCESS}
    return {key: next(iter(choices)) for key, choices in values.items() if len(choices) == 1}


def _is_quick(model: str) -> bool:
    return bool(_open_clip().get_model_config(model).get("quick_gelu", False))


def _register_tower() -> None:
    """Enter faceclip's tower into timm's registry, through which open_clip builds it."""
    import timm

    from flowedit.guide.faceclip import faceclip_tower

    if not timm.is_model("faceclip_tower"):
        timm.models.register_model(faceclip_tower)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep what open_clip does while it builds a model to itself.

    It logs through functions of `logging`, which give the root logger a handler, so its modules get a silent logger
    instead; and it draws the weights that are then overwritten from torch's global generator, which is restored.
    """
    silent = logging.Logger("open_clip", logging.CRITICAL + 1)
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "open_clip"]
    speaking = [module for module in modules if getattr(module, "logging", None) is logging]
    for module in speaking:
        module.logging = silent  # type: ignore[attr-defined]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for module in speaking:
            module.logging = logging  # type: ignore[attr-defined]


def _open_clip() -> Any:
    """Import open_clip; the variable that it sets for other libraries is the caller's again afterwards."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    try:
        import open_clip
    except ImportError as error:
        raise RuntimeError("encoders must have open_clip: pip install open_clip_torch") from error
    if before is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = before
    return open_clip


def _unreachable(name: str, error: Exception) -> RuntimeError:
    return RuntimeError(f"cannot fetch the weights of {name} ({_first_line(error)}): {WAYS_OUT}")


def _first_line(error: Exception) -> str:
    """Return an error's type and the first line that says something; a state dict's is the second."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Error(s) in loading"):
        lines = lines[1:]
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


def _few(names: Sequence[str], most: int = 4) -> str:
    """List the first few names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def _short(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)
