"""Edit: a field over a crop of a photo, with where it came from. Rendered, saved, loaded, applied, explained."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from . import image as images
from .align import Crop, choose, extract, region_mask, whole_crop
from .checks import require
from .field import Field, make_field
from .palette import part_masks
from .render import Layer, render

if TYPE_CHECKING:
    from PIL.Image import Image

    from .image import Photo, Source

FORMAT = 1  # of the edit file
MASK_PX = 256  # side of a region's mask over the crop


@dataclass(frozen=True, eq=False)
class Edit:
    """What `optimize` found.

    Attributes:
        photo: the original; None after `load`, until `apply`.
        layers: one field and crop for each face edited.
        prompts: text -> weight.
        strength: what `render` and `save` use if not told otherwise; 0 is the photo, 1 the edit as optimized.
        strength_reason: why that strength.
        stopped: why the loop stopped: `steps`, `converged` or `interrupted`.
        history: every term of the objective by step, `text` and so on; several faces follow each other.
        facts: JSON-able provenance: encoder, similarity before and after, identity distance, seed, versions.
        region: name of the only part of the face that may change, or None.
        protect: names of the parts that keep their bits.
    """

    photo: Photo | None
    layers: tuple[Layer, ...]
    prompts: Mapping[str, float]
    strength: float = 1.0
    strength_reason: str = "as optimized"
    stopped: str = "steps"
    history: Mapping[str, list[float]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    region: str | None = None
    protect: tuple[str, ...] = ()

    def render(self, strength: float | None = None, *, shape: float = 1.0, color: float = 1.0) -> Tensor:
        """Render at the photo's own size.

        Args:
            strength: 0 is the photo, bit for bit; 1 the edit as optimized; None this edit's own strength.
            shape: scales the movement alone, on top.
            color: scales the tint alone, on top.

        Returns:
            (1, 3, H, W) float32 in [0, 1].

        Raises:
            ValueError: the edit has no photo yet, or a number is not finite.
        """
        strength = self.strength if strength is None else strength
        require(math.isfinite(strength), f"strength must be finite; got {strength!r}")
        return render(self._photo(), self.layers, shape=shape * strength, color=color * strength)

    def save(
        self,
        path: str | Path,
        *,
        strength: float | None = None,
        shape: float = 1.0,
        color: float = 1.0,
        overwrite: bool = False,
    ) -> Path:
        """Render and write a picture with the photo's alpha, profile and metadata, and a provenance record.

        Args:
            path: ends in .png, .jpg, .webp or .tif.
            strength: see `render`; shape and color too.
            overwrite: allow the photo's own file to be replaced.

        Raises:
            FileExistsError: path is the photo's own file and overwrite is False.
            OSError, ValueError: it cannot be written there, or not in that format.
        """
        used = self.strength if strength is None else strength
        note = {**self.provenance(), "strength": used, "shape": shape, "color": color}
        picture = self.render(used, shape=shape, color=color)
        return images.save(path, picture, photo=self.photo, overwrite=overwrite, note=note)

    def to_pil(self, strength: float | None = None) -> Image:
        """Render to a Pillow image: RGB, or RGBA where the photo has alpha."""
        from PIL import Image

        photo = self._photo()
        pixels = images.quantize(self.render(strength), np.uint8)
        if photo.alpha is not None:
            top = np.iinfo(photo.alpha.dtype).max if photo.alpha.dtype.kind == "u" else 1
            alpha = np.round(photo.alpha.astype(np.float64) * (255 / top)).astype(np.uint8)
            pixels = np.dstack([pixels, alpha])
        return Image.fromarray(pixels)

    def provenance(self) -> dict[str, Any]:
        """Say that and how a picture was edited; JSON-able, written into every saved picture."""
        return {
            "tool": "flowedit",
            "edited": "pixels moved and tinted from a text prompt",
            "prompts": dict(self.prompts),
            **self.facts,
        }

    def save_edit(self, path: str | Path) -> Path:
        """Write the edit itself, without the photo: fields, crops, prompts, provenance (safetensors)."""
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        layers = []
        for i, layer in enumerate(self.layers):
            for name, value in layer.field.state_dict().items():
                tensors[f"{i}.{name}"] = value.detach().cpu().contiguous().clone()
            if layer.hard_mask is not None:
                packed = zlib.compress(np.round(layer.hard_mask * 255).astype(np.uint8).tobytes(), 9)
                tensors[f"{i}.hard_mask"] = torch.frombuffer(bytearray(packed), dtype=torch.uint8)
            layers.append(
                {
                    "field": layer.field.settings(),
                    "crop": layer.crop.state(),
                    "strength": layer.strength,
                    "hard_mask": None if layer.hard_mask is None else list(layer.hard_mask.shape),
                }
            )
        head = {
            "format": FORMAT,
            "layers": layers,
            "prompts": dict(self.prompts),
            "strength": self.strength,
            "strength_reason": self.strength_reason,
            "stopped": self.stopped,
            "history": {name: list(values) for name, values in self.history.items()},
            "facts": dict(self.facts),
            "region": self.region,
            "protect": list(self.protect),
            "photo_sha256": None if self.photo is None else self.photo.sha256,
        }
        text = json.dumps(head)
        metadata = {"flowedit": text, "sha256": _digest(text, tensors)}

        def write(file: BinaryIO) -> None:
            file.write(save(tensors, metadata))

        return images.write_atomically(path, write)

    def apply(self, image: Source, *, face: int | str = "largest") -> Edit:
        """Carry the edit to another photo, in face coordinates; the photo it was made on gives it back.

        The colors of lips, skin, cheeks, brows and irises go to those of the other face.

        Args:
            image: anything `optimize` takes.
            face: which face gets an edit that was made for one.

        Raises:
            ValueError: the photo has no such face.
        """
        photo = images.load(image)
        if self.facts.get("photo_sha256") == photo.sha256:
            return replace(self, photo=photo)
        if all(layer.crop.landmarks is None for layer in self.layers):
            crops = [whole_crop(photo)] * len(self.layers)
        elif len(self.layers) == 1:
            crops = choose(photo, face)
        else:
            crops = choose(photo, "all")
        layers = self.layers if len(self.layers) > 1 else self.layers * len(crops)
        require(
            len(crops) >= len(layers),
            f"the photo must have the {len(layers)} faces of the edit; got {len(crops)}",
        )
        moved = tuple(
            replace(
                layer,
                field=_fit_parts(layer.field, photo, crop),
                crop=crop,
                mask=make_mask(self.region, self.protect, crop),
                hard_mask=_carry(layer, crop, photo),
            )
            for layer, crop in zip(layers, crops, strict=False)
        )
        reason = f"{self.strength_reason} on the photo it was made for"
        facts = {**self.facts, "photo_sha256": photo.sha256}
        return replace(self, photo=photo, layers=moved, strength_reason=reason, facts=facts)

    def __mul__(self, factor: float) -> Edit:
        """Return the same edit, so many times as strong: 0.5 * edit, or -1 * edit for the contrary."""
        number = isinstance(factor, (int, float)) and math.isfinite(factor)
        require(number, f"an edit must be multiplied by a finite number; got {factor!r}", TypeError)
        reason = f"{factor:g} times: {self.strength_reason}"
        return replace(self, strength=factor * self.strength, strength_reason=reason)

    __rmul__ = __mul__

    def only(self, region: str) -> Edit:
        """Return what the edit does in one part of the face; see `Config.region`.

        Raises:
            ValueError: no such part, no face, or an edit of another part alone.
        """
        same = self.region in (None, region)
        require(same, f"only must name the one part that the edit changes, {self.region}; got {region!r}")
        return self._masked(region, self.protect)

    def without(self, *regions: str) -> Edit:
        """Return what the edit does elsewhere: parts of the face that keep their bits; see `Config.protect`.

        Raises:
            ValueError: no such part, or no face.
        """
        return self._masked(self.region, tuple(dict.fromkeys((*self.protect, *regions))))

    def _masked(self, region: str | None, protect: tuple[str, ...]) -> Edit:
        layers = tuple(replace(layer, mask=make_mask(region, protect, layer.crop)) for layer in self.layers)
        return replace(self, layers=layers, region=region, protect=protect)

    def explain(self) -> dict[str, Any]:
        """Tell in numbers what the edit does: how far, where, folds, similarity, identity; JSON-able."""
        from .explain import explain

        return explain(self)

    def plot(self, path: str | Path) -> Path:
        """Draw before, after, arrows, a heat map of the movement and the tint into one picture."""
        from .explain import plot

        return plot(self, path)

    def _photo(self) -> Photo:
        require(self.photo is not None, "an edit from a file must get a photo by apply(photo) first; got none")
        assert self.photo is not None  # for the type checker
        return self.photo


def make_mask(region: str | None, protect: Sequence[str], crop: Crop) -> Tensor | None:
    """Make a layer's mask: (1, 1, 256, 256), nothing but the region and nothing of what is protected; None for all."""
    if region is None and not protect:
        return None
    require(crop.landmarks is not None, "region and protect must go with a detected face; got a whole picture")
    assert crop.landmarks is not None  # for the type checker
    mask = torch.ones(1, 1, MASK_PX, MASK_PX) if region is None else region_mask(region, crop.landmarks, MASK_PX)
    for name in protect:
        mask = mask * (1 - region_mask(name, crop.landmarks, MASK_PX))
    return mask


def load(path: str | Path) -> Edit:
    """Read an edit made by `save_edit`; it has no photo until `apply`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an edit file, damaged, or tampered with.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load as read

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"cannot read {path}: {'a folder' if path.is_dir() else 'no such file'}")
    data = path.read_bytes()
    try:
        tensors = read(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        text = metadata["flowedit"]
        head = json.loads(text)
        intact = _digest(text, tensors) == metadata["sha256"]
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} must be a file made by save_edit; got something else, or a damaged one") from error
    require(intact, f"{path} must be as save_edit wrote it; got changed content (SHA-256 differs)")
    require(head["format"] == FORMAT, f"{path} must have format {FORMAT}; got {head['format']}: another version's")
    layers, protect = [], tuple(head.get("protect", ()))
    for i, saved in enumerate(head["layers"]):
        made = make_field(saved["field"])
        own = {k.split(".", 1)[1]: v for k, v in tensors.items() if k.startswith(f"{i}.")}
        packed = own.pop("hard_mask", None)
        made.load_state_dict(own)
        crop = Crop.from_state(saved["crop"])
        hard = None
        if packed is not None:
            flat = np.frombuffer(zlib.decompress(packed.numpy().tobytes()), np.uint8)
            hard = flat.reshape(saved["hard_mask"]).astype(np.float32) / 255
        layers.append(Layer(made, crop, make_mask(head["region"], protect, crop), hard, saved["strength"]))
    facts = {**head["facts"], "photo_sha256": head["photo_sha256"]}
    names = ("prompts", "strength", "strength_reason", "stopped", "history", "region")
    return Edit(None, tuple(layers), facts=facts, protect=protect, **{name: head[name] for name in names})


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the head and every tensor's name, dtype, shape and bytes."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _fit_parts(field: Field, photo: Photo, crop: Crop) -> Field:
    """Carry the parts' colors to another face's own lips, skin, cheeks, brows and irises."""
    if field.palette is None or crop.landmarks is None:
        return field
    field = copy.deepcopy(field)
    field.draw_parts(part_masks(extract(photo, crop, MASK_PX), crop.landmarks), field.paints)
    return field


def _carry(layer: Layer, crop: Crop, photo: Photo) -> np.ndarray | None:
    """Carry a mask over one photo through both crops to another photo."""
    if layer.hard_mask is None:
        return None
    mask = images.load(np.repeat(layer.hard_mask[:, :, None], 3, axis=2))
    over_crop = extract(mask, layer.crop, MASK_PX)[:, :1]
    rows, columns = torch.meshgrid(torch.arange(photo.height) + 0.5, torch.arange(photo.width) + 0.5, indexing="ij")
    points = crop.to_crop(torch.stack([columns, rows], -1)).float()[None]
    carried = torch.nn.functional.grid_sample(over_crop, points, align_corners=False)[0, 0]
    return carried.clamp(0, 1).numpy()
