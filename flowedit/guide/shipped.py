"""The shipped encoder, built without open_clip, whose import takes longer than an edit, and 200 MB."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import torch
from torch import Tensor

from flowedit.checks import require
from flowedit.guide.checkpoint import file_digest
from flowedit.guide.clip import ClipEncoder
from flowedit.guide.faceclip import FaceClip
from flowedit.guide.tokenizer import Tokenizer
from flowedit.guide.traces import Directions

CARD, CONFIG, FILE = "card.json", "open_clip_config.json", "open_clip_model.safetensors"
DIRECTIONS, PHRASES = "directions.npz", "phrases.json"


def load_shipped(folder: Path, device: torch.device, name: str) -> ClipEncoder:
    """Load faceclip: the model that open_clip builds from the same folder, bit for bit.

    Args:
        folder: config, weights, card and directions.
        device: where it will work.
        name: of the encoder.

    Raises:
        ValueError: a file is damaged.
        RuntimeError: the weights or open_clip's vocabulary are missing.
    """
    from safetensors.torch import load_file

    weights = folder / FILE
    require(weights.is_file(), f"{weights} must exist; got no such file: reinstall flowedit", RuntimeError)
    card = _read_card(folder / CARD)
    digest = file_digest(weights)
    require(
        digest == card.sha256,
        f"{weights} must have SHA-256 {card.sha256[:12]}...; got {digest[:12]}...: damaged, reinstall flowedit",
    )
    with torch.random.fork_rng(devices=[]):  # what the weights then replace is drawn from torch's generator
        model = _build(folder / CONFIG)
    model.load_state_dict(load_file(weights))
    tokenizer = Tokenizer(len(model.positional_embedding))
    return ClipEncoder(
        model.to(device), tokenizer, name, card.foreign, digest, card.languages,
        read_phrases(folder / PHRASES) | card.alone, card.synonyms, read_directions(folder / DIRECTIONS),
    )  # fmt: skip


class _Card(NamedTuple):
    """What the card says of the weights; see `ClipEncoder`."""

    sha256: str
    foreign: tuple[Tensor, float]
    languages: tuple[str, ...]
    alone: dict[str, str]
    synonyms: dict[str, str]


def _read_card(path: Path) -> _Card:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        foreign = torch.tensor(card["foreign"]["direction"]), float(card["foreign"]["threshold"])
        rereads = dict(card["alone"]), dict(card.get("synonyms", {}))  # an earlier recipe writes none
        return _Card(str(card["sha256"]), foreign, tuple(card["languages"]), *rereads)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path) from error


def read_phrases(path: Path) -> dict[str, str]:
    """Read texts that a tower misreads, each with the phrase that is read in its place; an earlier recipe writes none.

    Raises:
        ValueError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        phrases: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
        return {text: known for known, texts in phrases.items() for text in texts}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise _damaged(path) from error


def read_directions(path: Path) -> Directions:
    """Read a file of directions; ValueError where it is damaged."""
    try:
        return Directions.from_file(path)
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise _damaged(path) from error


def _build(path: Path) -> FaceClip:
    """Build the model that a config in open_clip's layout describes, without weights."""
    try:
        config = json.loads(path.read_text())
        model = config["model_cfg"]
        return FaceClip(model["embed_dim"], **model["text_cfg"], preprocess_cfg=config["preprocess_cfg"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> ValueError:
    return ValueError(f"{path} must be as shipped; got a damaged file: reinstall flowedit")
