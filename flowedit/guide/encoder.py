"""A frozen text-image encoder, differentiable in the image; the only file that knows open_clip."""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import check_image, describe, require

WEIGHTS = Path(__file__).parent.parent / "weights"
SHIPPED = "faceclip"
WAYS_OUT = f"use encoder={SHIPPED!r}, which is shipped, or MODEL:PATH with weights on disk (ViT-B-32:/data/vit.pt)"


class Encoder(Protocol):
    """What the loop needs of an encoder; anything with these members will do."""

    name: str
    size: int  # pixels along one side of what it looks at

    def image(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) RGB in [0, 1] to (B, D) unit vectors, differentiable."""

    def text(self, prompts: Sequence[str]) -> Tensor:
        """n prompts to (n, D) unit vectors."""

    def knows(self, prompt: str) -> bool:
        """Whether the prompt is inside the encoder's world, as far as it can tell."""


class ClipEncoder:
    """Any open_clip model, frozen, in evaluation mode and float32.

    Args:
        model: an open_clip model.
        tokenizer: its tokenizer.
        name: how the user named it.
        foreign: direction (D,) of prompts outside its world and the cosine above which one is, or None.
    """

    def __init__(self, model: Any, tokenizer: Any, name: str, foreign: tuple[Tensor, float] | None = None) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.foreign = foreign
        parameter = next(model.parameters())
        self.device = parameter.device
        process = model.visual.preprocess_cfg
        size = process["size"]
        self.size: int = size if isinstance(size, int) else size[0]
        self._mode = process.get("interpolation", "bicubic")
        self._mean = torch.tensor(process["mean"], device=self.device)[:, None, None]
        self._std = torch.tensor(process["std"], device=self.device)[:, None, None]

    def image(self, image: Tensor) -> Tensor:
        """Embed square images.

        Resized to the model's size with antialiasing and normalized with its own mean and deviation.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].

        Returns:
            (B, D) float32 unit vectors, differentiable in the image.

        Raises:
            TypeError, ValueError: not a finite floating tensor of that shape.
        """
        check_image(image)
        if image.shape[-2:] != (self.size, self.size):
            image = F.interpolate(image, (self.size, self.size), mode=self._mode, antialias=True, align_corners=False)
        with torch.autocast(self.device.type, enabled=self.device.type == "cuda"):
            features = self.model.encode_image((image.to(self.device) - self._mean) / self._std)
        return F.normalize(features.float(), dim=-1)

    @torch.no_grad()
    def text(self, prompts: Sequence[str]) -> Tensor:
        """Embed prompts of any length.

        What is longer than the model's context is split into sentences, and those into runs of words, and
        the mean of the parts' embeddings is taken: nothing is cut.

        Args:
            prompts: at least one, none empty.

        Returns:
            (n, D) float32 unit vectors.

        Raises:
            ValueError: a prompt is empty or not text.
        """
        rows = []
        for prompt in prompts:
            check_prompt(prompt)
            tokens = self.tokenizer(self._parts(prompt)).to(self.device)
            parts = F.normalize(self.model.encode_text(tokens).float(), dim=-1)
            rows.append(F.normalize(parts.mean(0), dim=-1))
        return torch.stack(rows)

    def knows(self, prompt: str) -> bool:
        """Tell a prompt about faces from one about anything else, where the encoder can; else True."""
        if self.foreign is None:
            return True
        direction, threshold = self.foreign
        return float(self.text([prompt])[0].cpu() @ direction) < threshold

    def _parts(self, prompt: str) -> list[str]:
        room = self.tokenizer.context_length - 2  # the start and end marks
        parts: list[str] = []
        for sentence in re.split(r"(?<=[.!?;\n])\s+", prompt.strip()):
            run: list[str] = []
            for word in (piece for whole in sentence.split() for piece in self._pieces(whole, room)):
                if run and self._count(" ".join([*run, word])) > room:
                    parts.append(" ".join(run))
                    run = []
                run.append(word)
            if run:
                parts.append(" ".join(run))
        whole = " ".join(prompt.split())
        return [whole] if self._count(whole) <= room else parts

    def _pieces(self, word: str, room: int) -> list[str]:
        """Halve a word until it fits, as a sentence of a language without spaces may not."""
        if self._count(word) <= room or len(word) == 1:
            return [word]
        half = len(word) // 2
        return [*self._pieces(word[:half], room), *self._pieces(word[half:], room)]

    def _count(self, text: str) -> int:
        if hasattr(self.tokenizer, "encode"):
            return len(self.tokenizer.encode(text))
        return len(self.tokenizer.tokenizer.encode(text, add_special_tokens=False))


def check_prompt(prompt: object) -> None:
    """Refuse anything but text with at least one letter or digit."""
    require(isinstance(prompt, str), f"prompt must be text; got {describe(prompt)}", TypeError)
    require(any(c.isalnum() for c in str(prompt)), f"prompt must have at least one word; got {describe(prompt)}")


def load_encoder(name: str | None = None, device: torch.device | str = "cpu") -> ClipEncoder:
    """Load an encoder by name.

    Args:
        name: `faceclip` (shipped; the default), open_clip's `model:pretrained` (`ViT-B-32-quickgelu:openai`),
            `model:path` with a checkpoint on disk, or a folder in open_clip's layout (open_clip_config.json
            and weights).
        device: where it will work.

    Raises:
        ValueError: no such model, weights, or file, or the file is damaged.
        RuntimeError: the weights cannot be fetched.
    """
    name = name or SHIPPED
    if name == SHIPPED:
        return _load_shipped(device)
    if Path(name).is_dir():
        return _load_folder(Path(name), name, device)
    model, colon, pretrained = name.partition(":")
    require(
        bool(colon) and bool(pretrained),
        f"encoder must be {SHIPPED!r}, MODEL:PRETRAINED, MODEL:PATH or a folder in open_clip's layout; got {name!r}",
    )
    return _load_named(model, pretrained, name, device)


def _load_shipped(device: torch.device | str) -> ClipEncoder:
    folder = WEIGHTS / SHIPPED
    weights = folder / "open_clip_model.safetensors"
    require(weights.is_file(), f"{weights} must exist; got no such file: reinstall flowedit", RuntimeError)
    try:
        card = json.loads((folder / "card.json").read_text())
        expected, foreign = card["sha256"], card["foreign"]
        known = torch.tensor(foreign["direction"]), float(foreign["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{folder / 'card.json'} must be as shipped; got a damaged file: reinstall flowedit"
        ) from error
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    require(
        digest == expected,
        f"{weights} must have SHA-256 {expected[:12]}...; got {digest[:12]}...: damaged, reinstall flowedit",
    )
    encoder = _load_folder(folder, SHIPPED, device)
    encoder.foreign = known
    return encoder


def _load_folder(folder: Path, name: str, device: torch.device | str) -> ClipEncoder:
    """Load a folder in open_clip's layout: open_clip_config.json and weights."""
    import timm

    from flowedit.guide.faceclip import faceclip_tower

    config = folder / "open_clip_config.json"
    require(config.is_file(), f"encoder folder must hold {config.name}; got {folder} without it")
    if not timm.is_model("faceclip_tower"):
        timm.models.register_model(faceclip_tower)
    try:
        return _create(f"local-dir:{folder}", None, name, device)
    except Exception as error:  # safetensors, pickle and json have error types of their own
        raise ValueError(f"{folder} must hold an open_clip model; got {_first_line(error)}") from error


def _load_named(model: str, pretrained: str, name: str, device: torch.device | str) -> ClipEncoder:
    open_clip = _open_clip()
    models = open_clip.list_models()
    if model not in models:
        near = difflib.get_close_matches(model, models, n=3) or ["ViT-B-32"]
        raise ValueError(f"encoder must be one of open_clip's models, {' or '.join(near)}?; got {model!r}")
    local = Path(pretrained).is_file()
    tags = open_clip.list_pretrained_tags_by_model(model)
    require(
        local or pretrained in tags,
        f"pretrained must be a file or one of {model}'s tags ({_few(tags)}); got {pretrained!r}",
    )
    if not local:
        weights = open_clip.get_pretrained_cfg(model, pretrained)
        quick = bool(open_clip.get_model_config(model).get("quick_gelu", False))
        require(
            quick or not weights.get("quick_gelu", False),
            f"{pretrained} weights must go with {model}-quickgelu:{pretrained}; got {name!r}",
        )
    try:
        return _create(model, pretrained, name, device)
    except Exception as error:
        if local:
            raise ValueError(f"{pretrained} must be a checkpoint of {model}; got {_first_line(error)}") from error
        raise RuntimeError(f"cannot fetch the weights of {name} ({_first_line(error)}): {WAYS_OUT}") from error


@functools.lru_cache(maxsize=2)  # a folder of photos loads its encoder once
def _create(model: str, pretrained: str | None, name: str, device: torch.device | str) -> ClipEncoder:
    open_clip = _open_clip()
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # open_clip says on the root logger, in many lines, what we say in one
    try:
        made = open_clip.create_model(
            model, pretrained=pretrained, precision="fp32", device=device, require_pretrained=True
        )
    finally:
        logging.disable(before)
    return ClipEncoder(made, open_clip.get_tokenizer(model), name)


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise RuntimeError("encoders must have open_clip: pip install open_clip_torch") from error
    return open_clip


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:160]}" if text else type(error).__name__


def _few(names: Sequence[str], most: int = 4) -> str:
    """List the first few names and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more
