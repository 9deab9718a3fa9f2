"""The loop: Adam on a field until the encoder finds the warped face closer to the prompt."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from . import image as images
from .align import Crop, choose, extract, whole_crop
from .budget import CropEdit, choose_strength, layer_weight
from .checks import require
from .config import Config
from .corpus import find_corpus, read_corpus, span_corpus
from .descent import PlaceAdam
from .edit import Edit, make_mask
from .encoder import Encoder, load_encoder
from .field import Field, HashField, Offsets, RasterField
from .image import Photo, Source
from .objective import (
    POOL,
    Views,
    check_prompts,
    even_term,
    evenness,
    fold_term,
    make_targets,
    palette_term,
    small_term,
    smooth_term,
    text_change,
    text_term,
    tint_price,
    tint_term,
    weigh,
)
from .palette import PARTS, mix_paints, part_masks
from .render import Layer
from .warp import effective, enlarge, warp

PATIENCE = 15  # steps without a gain before the loop has converged
PALETTE_RATE, COLOR_RATE = 2.0, 0.25  # of lr: the parts' colors go first, each pixel's own tint corrects
LEAST_GAIN = 1e-4  # of the objective


@dataclass(frozen=True)
class Step:
    """One step of the loop: its number, every term's value before weights, their weighted sum, and views seen."""

    number: int
    terms: Mapping[str, float]
    total: float
    views: int


def iterate(
    field: Field,
    crop: Tensor,
    weight: Tensor,
    encoder: Encoder,
    prompts: Mapping[str, float],
    config: Config,
    generator: torch.Generator,
) -> Iterator[Step]:
    """Improve `field` in place, a step at a time.

    Args:
        field: starts anywhere, usually at zero.
        crop: (1, 3, S, S) the face.
        weight: (1, 1, S, S) window and masks.
        encoder: judge.
        prompts: text -> weight.
        config: the loop's numbers.
        generator: source of the views.

    Yields:
        Each step, before the parameters move: its values belong to the parameters as they are at the yield.

    Raises:
        FloatingPointError: a term is not finite; it and the step are named.
    """
    views = Views.draw(POOL, generator, crop.device)
    everything = torch.arange(POOL, device=crop.device)
    with torch.no_grad():
        embeddings = encoder.image(views(crop, everything, encoder.size))
    basis = None
    if config.target == "projected":
        corpus = read_corpus(config.corpus or find_corpus(encoder, prompts))
        basis = span_corpus(encoder, corpus, text_change(encoder, prompts), config.components).vectors
    targets = make_targets(
        encoder, prompts, embeddings, config.target, config.intensity, basis=basis, alpha=config.alpha
    )
    optimizers = _make_optimizers(field, config)
    weights = {name: getattr(config, name) for name in ("smooth", "small", "tint", "palette", "even", "fold")}
    size = _lattice_size(field, crop.shape[-1])
    coarse = F.interpolate(crop, (size, size), mode="area")
    light = F.interpolate(weight, (size, size), mode="area")
    even = evenness(coarse)
    price = 1.0 if field.palette is None else tint_price(field.parts, size)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = [group["lr"] for group in groups]
    for number in range(config.most_steps):
        if isinstance(field, HashField):
            field.set_levels(min(1.0, 0.4 + 1.2 * number / config.most_steps))
        chosen = torch.randperm(POOL, generator=generator)[: config.views].to(crop.device)
        raw, painted = field.lattice_and_paint(size)
        offsets = effective(raw, light, diffeomorphic=field.diffeomorphic)
        # The parts' colors have a price of their own, which is no matter of area.
        own = offsets.color if painted is None else offsets.color - light * painted
        loose = Offsets(offsets.coord, own)
        terms = {
            "smooth": smooth_term(offsets),
            "small": small_term(offsets),
            "tint": tint_term(loose, price),
            "even": even_term(loose, even),
            "fold": fold_term(offsets),
        }
        if field.palette is not None:
            terms["palette"] = palette_term(field.palette)
        values = _finite_values(terms, number)  # before the encoder sees, and refuses, what a broken field draws
        seen = views(warp(crop, enlarge(offsets, crop.shape[-1])), chosen, encoder.size)
        terms["text"] = text_term(encoder.image(seen), targets[chosen])
        values |= _finite_values({"text": terms["text"]}, number)
        total = weigh(terms, weights)
        field.zero_grad()
        total.backward()
        yield Step(number, values, total.item(), len(chosen))
        for group, lr in zip(groups, rates, strict=True):  # a quick start, a quiet end
            group["lr"] = lr * min(1.0, (number + 1) / 5, 1.2 - number / config.most_steps)
        for optimizer in optimizers:
            optimizer.step()


def _lattice_size(field: Field, side: int) -> int:
    """Points along one side that the field is evaluated at: half of the pixels where that leaves out nothing."""
    return side // 2 if 3 * field.detail <= side else side


def _finite_values(terms: Mapping[str, Tensor], step: int) -> dict[str, float]:
    values = {name: term.item() for name, term in terms.items()}
    for name, value in values.items():
        if not np.isfinite(value):
            raise FloatingPointError(f"term {name!r} must be finite; got {value} at step {step}")
    return values


def _make_optimizers(field: Field, config: Config) -> list[torch.optim.Optimizer]:
    """Adam for a neural field's weights, PlaceAdam for everything that is a place or a part."""
    if field.palette is None:
        palette, rate = [], 1.0
    else:
        palette, rate = [PlaceAdam([field.palette], PALETTE_RATE * config.lr)], COLOR_RATE
    if isinstance(field, HashField):
        network = [value for name, value in field.named_parameters() if name != "palette"]
        return [torch.optim.Adam(network, config.hash.lr), *palette]
    assert isinstance(field, RasterField)
    return [PlaceAdam([field.coord], config.lr), PlaceAdam([field.color], rate * config.lr), *palette]


def optimize(
    image: Source,
    prompt: str | Mapping[str, float],
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    callback: Callable[[Step], object] | None = None,
    progress: bool | None = None,
) -> Edit:
    """Find the edit of a photo that a prompt asks for.

    Args:
        image: path, Pillow image, (H, W, 3) array of uint8, uint16 or float in [0, 1], tensor (3, H, W) or
            (1, 3, H, W), or `Photo`.
        prompt: text, or several with weights: {"smiling": 1.0, "big eyes": 0.5}; a negative weight avoids.
        config: everything else.
        encoder: name (see `load_encoder`) or object; None is the shipped faceclip.
        callback: called with every `Step`; an exception ends the loop.
        progress: show a bar; None shows it on a terminal only.

    Returns:
        The edit, at the strength that the identity budget allows. Ctrl-C keeps the best so far and says so
        in `stopped`.

    Raises:
        TypeError, ValueError: bad input, no face (then `align=False` edits the whole picture), or an unknown
            encoder.
        RuntimeError: weights that cannot be fetched, or a missing package.
        FloatingPointError: a term of the objective is not finite.
    """
    config = config or Config()
    prompts = check_prompts(prompt)
    photo = images.load(image)
    crops = choose(photo, config.face) if config.align else [whole_crop(photo)]
    hard_mask = None if config.mask is None else _read_mask(config, photo)
    device = _device(config.device)
    judge = encoder if encoder is not None and not isinstance(encoder, str) else load_encoder(encoder, device)
    for text in prompts:
        if not judge.knows(text):
            warnings.warn(
                f"{judge.name} does not know {text!r} and may do anything; "
                "an open_clip model, as encoder='ViT-B-32:laion2b_s34b_b79k' (--encoder; it is downloaded), knows more",
                stacklevel=2,
            )
    if config.target == "projected":  # found, or read, before any work
        config = replace(config, corpus=config.corpus or find_corpus(judge, prompts))
        corpus = {"corpus": read_corpus(str(config.corpus)).name}  # never its folder: facts go into the picture
    else:
        corpus = {}
    generator = torch.Generator().manual_seed(config.seed)
    start = time.perf_counter()
    found: list[tuple[Layer, dict[str, list[float]], str]] = []
    for crop in crops:
        found.append(_search(photo, crop, hard_mask, judge, prompts, config, generator, callback, progress))
        if found[-1][2] == "interrupted":  # the faces not reached stay as they are
            break
    layers = tuple(layer for layer, _, _ in found)
    names = found[0][1].keys()
    if not names:  # Ctrl-C before the first step: there is no best so far
        raise KeyboardInterrupt
    history = {name: [value for _, terms, _ in found for value in terms.get(name, [])] for name in names}
    stopped = found[-1][2]
    edit = Edit(
        photo,
        layers,
        prompts,
        stopped=stopped,
        history=history,
        region=config.region,
        facts={
            "encoder": judge.name,
            "target": config.target,
            **corpus,
            "field": config.field,
            "seed": config.seed,
            "steps": len(history["text"]),
            "encoder_calls": len(history["text"]) * config.views + POOL * len(found),
            "versions": _versions(),
            "photo_sha256": photo.sha256,
        },
    )
    chosen = choose_strength(layers, photo, config.identity)
    edit = replace(edit, strength=chosen.strength, strength_reason=chosen.reason)
    facts = {
        **edit.facts,
        "identity_distance": None if chosen.distance is None else round(chosen.distance, 4),
        "similarity": _similarity(edit, judge, prompts),
        "seconds": round(time.perf_counter() - start, 2),
    }
    return replace(edit, facts=facts)


def _search(
    photo: Photo,
    crop: Crop,
    hard_mask: np.ndarray | None,
    judge: Encoder,
    prompts: Mapping[str, float],
    config: Config,
    generator: torch.Generator,
    callback: Callable[[Step], object] | None,
    progress: bool | None,
) -> tuple[Layer, dict[str, list[float]], str]:
    """Run the loop on one crop; return its layer with the best parameters, the terms by step, and why it stopped."""
    from tqdm import tqdm

    device = _device(config.device)
    side = _side(judge)
    pixels = extract(photo, crop, side)
    field = _make_field(config, generator, n_parts=0 if crop.landmarks is None else len(PARTS))
    if crop.landmarks is not None:
        masks = part_masks(pixels, crop.landmarks)
        field.draw_parts(masks, mix_paints(pixels, masks))
    layer = Layer(field, crop, make_mask(config.region, crop), hard_mask)
    weight, pixels = layer_weight(layer, side).to(device), pixels.to(device)
    field.to(device)
    history: dict[str, list[float]] = {}
    best, since, kept, stopped = float("inf"), 0, _copy(field), "steps"
    smoothed: float | None = None
    shown = sys.stderr.isatty() if progress is None else progress
    bar = tqdm(total=config.most_steps, desc="editing", unit="step", disable=not shown, leave=False)
    try:
        for step in iterate(field, pixels, weight, judge, prompts, config, generator):
            for name, value in {**step.terms, "total": step.total}.items():
                history.setdefault(name, []).append(value)
            # Views differ from step to step: a running mean says whether anything is still gained.
            smoothed = step.total if smoothed is None else 0.7 * smoothed + 0.3 * step.total
            if smoothed < best - LEAST_GAIN:
                best, since, kept = smoothed, 0, _copy(field)
            else:
                since += 1
            bar.update()
            bar.set_postfix(text=f"{step.terms['text']:.3f}")
            if callback is not None:
                callback(step)
            if since >= PATIENCE and 2 * step.number >= config.most_steps:  # a neural field starts slowly
                stopped = "converged"
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    finally:
        bar.close()
    field.load_state_dict(kept)
    return replace(layer, field=field.cpu()), history, stopped


def _make_field(config: Config, generator: torch.Generator, n_parts: int) -> Field:
    limits: dict[str, Any] = {
        "max_shift": config.max_shift,
        "max_tint": config.max_tint,
        "diffeomorphic": config.diffeomorphic,
        "n_parts": n_parts,
    }
    if config.field == "raster":
        return RasterField(config.coord_size, config.color_size, **limits)
    h = config.hash
    return HashField(
        n_levels=h.n_levels,
        n_coord_levels=h.n_coord_levels,
        n_features_per_level=h.n_features_per_level,
        log2_hashmap_size=h.log2_hashmap_size,
        base_resolution=h.base_resolution,
        per_level_scale=h.per_level_scale,
        hidden=h.hidden,
        generator=generator,
        **limits,
    )


def _similarity(edit: Edit, judge: Encoder, prompts: Mapping[str, float]) -> dict[str, list[float]]:
    """Cosine of the first face to each prompt before and after, at the edit's strength."""
    assert edit.photo is not None
    texts = judge.text(list(prompts))
    crop = CropEdit(edit.layers[0], edit.photo, _side(judge))
    with torch.no_grad():
        seen = torch.cat([crop.at(0.0), crop.at(edit.strength)]).to(texts.device)
        cosines = judge.image(seen) @ texts.T
    return {text: [round(float(c), 4) for c in cosines[:, k]] for k, text in enumerate(prompts)}


def _side(judge: Encoder) -> int:
    """Pixels along the crop in the loop: a small encoder's crop is warped at twice its size, for fine parts."""
    return judge.size * (2 if judge.size <= 128 else 1)


def _read_mask(config: Config, photo: Photo) -> np.ndarray:
    """The user's mask picture as (H, W) float32 in [0, 1]."""
    assert config.mask is not None
    mask = images.load(config.mask)
    same = (mask.height, mask.width) == (photo.height, photo.width)
    require(
        same,
        f"mask must have the photo's size {photo.width} x {photo.height}; got {mask.width} x {mask.height}",
    )
    gray = mask.tensor()[0].mean(0).numpy()
    return np.round(gray * 255).astype(np.float32) / 255  # as an edit file keeps it


def _copy(field: Field) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in field.state_dict().items()}


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device must be auto or one that torch has here; got {name!r}") from error
    return device


def _versions() -> dict[str, Any]:
    from flowedit import __version__

    return {"flowedit": __version__, "torch": torch.__version__}
