"""Moves <-> an edit file: safetensors, with a head of JSON and a digest over everything."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import require
from flowedit.face.crop import Crop
from flowedit.face.part_tint import PartTint
from flowedit.face.regions import mask_regions
from flowedit.field.make import make_field
from flowedit.photo import photo as images
from flowedit.transform.transforms import Composition, FieldTransform, Inverse, Transform, leaves

FORMAT = 3  # of the edit file; 1 had layers only, 1 and 2 kept the parts' colors in the field


def write_edit(path: str | Path, head: Mapping[str, Any], transforms: Sequence[Transform]) -> Path:
    """Write moves and what else is to be known about them, whole or not at all.

    Args:
        path: any; replaced.
        head: JSON-able.
        moves: what is done.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    for i, layer in enumerate(leaves(transforms)):
        for name, value in layer.field.state_dict().items():
            tensors[f"{i}.{name}"] = value.detach().cpu().contiguous().clone()
        if layer.part_tint is not None:
            for name, value in layer.part_tint.state_dict().items():
                tensors[f"{i}.part_tint.{name}"] = value.detach().cpu().contiguous().clone()
        if layer.hard_mask is not None:
            packed = zlib.compress(np.round(layer.hard_mask * 255).astype(np.uint8).tobytes(), 9)
            tensors[f"{i}.hard_mask"] = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
    text = json.dumps({**head, "format": FORMAT, "moves": [_state(move) for move in transforms]})
    metadata = {"flowedit": text, "sha256": _digest(text, tensors)}

    def write(file: BinaryIO) -> None:
        file.write(save(tensors, metadata))

    return images.write_atomically(path, write)


def read_edit(path: str | Path) -> tuple[dict[str, Any], tuple[Transform, ...]]:
    """Read what `write_edit` wrote: its head, and its moves.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an edit file, damaged, or tampered with.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"cannot read {path}: {'a folder' if path.is_dir() else 'no such file'}")
    data = path.read_bytes()
    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        text = metadata["flowedit"]
        head = json.loads(text)
        intact = _digest(text, tensors) == metadata["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must be a file made by save_edit; got something else, or a damaged one") from error
    require(intact, f"{path} must be as save_edit wrote it; got changed content (SHA-256 differs)")
    made = head["format"]
    require(made in (1, 2, FORMAT), f"{path} must have format 1 to {FORMAT}; got {made}: another version's")
    if made == 1:
        masked = {"region": head["region"], "protect": head.get("protect", [])}
        head["moves"] = [{**layer, **masked} for layer in head.pop("layers")]
    parts = _by_layer(tensors)
    return head, tuple(_move(state, parts) for state in head.pop("moves"))


def _state(move: Transform) -> dict[str, Any]:
    if isinstance(move, Composition):
        return {"strength": move.strength, "chain": [[_state(each) for each in stage] for stage in move.stages]}
    if isinstance(move, Inverse):
        return {"strength": move.strength, "undo": [_state(each) for each in move.transforms]}
    return {
        "strength": move.strength,
        "field": move.field.settings(),
        "crop": move.crop.state(),
        "hard_mask": None if move.hard_mask is None else list(move.hard_mask.shape),
        "region": move.region,
        "protect": list(move.protect),
    }


def _move(state: Mapping[str, Any], parts: Iterator[dict[str, Tensor]]) -> Transform:
    strength = state["strength"]
    if "chain" in state:
        stages = tuple(tuple(_move(each, parts) for each in stage) for stage in state["chain"])
        return Composition(stages, strength)
    if "undo" in state:
        return Inverse(tuple(_move(each, parts) for each in state["undo"]), strength)
    own = next(parts)
    packed = own.pop("hard_mask", None)
    settings = dict(state["field"])
    settings.pop("n_parts", None)  # formats 1 and 2
    part_tint = _part_tint(own, settings["max_tint"])
    field = make_field(settings)
    field.load_state_dict(own)
    crop, region, protect = Crop.from_state(state["crop"]), state["region"], tuple(state["protect"])
    hard = None
    if packed is not None:
        flat = np.frombuffer(zlib.decompress(packed.numpy().tobytes()), np.uint8)
        hard = flat.reshape(state["hard_mask"]).astype(np.float32) / 255
    mask = mask_regions(region, protect, crop.landmarks)
    return FieldTransform(field, crop, mask, hard, strength, region, protect, part_tint)


OLD_NAMES = {
    "palette": "part_tint.amounts",
    "parts": "part_tint.masks",
    "paints": "part_tint.paints",
}  # formats 1 and 2


def _part_tint(tensors: dict[str, Tensor], limit: float) -> PartTint | None:
    """Take the tensors of the parts' colors out of a leaf's; None where there are none."""
    for old, new in OLD_NAMES.items():
        if old in tensors:
            tensors[new] = tensors.pop(old)
    if "part_tint.masks" not in tensors:
        return None
    masks, paints, amounts = (tensors.pop(f"part_tint.{name}") for name in ("masks", "paints", "amounts"))
    part_tint = PartTint(masks, paints, limit)
    part_tint.load_state_dict({"amounts": amounts, "masks": masks, "paints": paints})
    return part_tint


def _by_layer(tensors: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Give each layer's tensors in turn, in the order of `leaves`."""
    names = [name.split(".", 1) for name in tensors]
    for i in range(1 + max((int(number) for number, _ in names), default=-1)):
        yield {name: tensors[f"{i}.{name}"] for number, name in names if number == str(i)}


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the head and every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
