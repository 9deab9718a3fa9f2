"""The loop: from a photo and a prompt to an edit, by steps until nothing is gained."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.face.crop import Crop, extract, whole_crop
from flowedit.face.detect import choose
from flowedit.face.parts import PARTS, mix_paints, part_masks
from flowedit.face.regions import mask_regions
from flowedit.field.base import Field
from flowedit.field.hashgrid import HashField
from flowedit.field.raster import RasterField
from flowedit.fit.iterate import Step, iterate
from flowedit.fit.judge import judge_edit, measure_similarity
from flowedit.fit.objective import flatten, grid_size
from flowedit.fit.views import POOL, crop_side
from flowedit.guide.corpus import find_corpus, read_corpus
from flowedit.guide.encoder import Encoder, load_encoder
from flowedit.guide.gain import GainMeter
from flowedit.guide.targets import check_prompts
from flowedit.photo import photo as images
from flowedit.photo.photo import Photo, Source
from flowedit.transform.bounds import (
    Bound,
    CropEdit,
    bound_displacement,
    bound_identity,
    choose_strength,
    transform_weight,
)
from flowedit.transform.transforms import FieldTransform, Transform, find_crops, move_crop

PATIENCE = 15  # steps without a gain before the loop has converged
LEAST_GAIN = 1e-4  # of the objective
CHECK = 20  # steps between two looks at the effect; at the identity, which takes longer, the loop looks half way
BEYOND = 1.25  # of the identity budget: what goes so far would have to be scaled back much


def optimize(
    image: Source,
    prompt: str | Mapping[str, float],
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    judge: Encoder | str | None = None,
    unlike: Sequence[Edit] = (),
    callback: Callable[[Step], object] | None = None,
    progress: bool | None = None,
) -> Edit:
    """Find the edit of a photo that a prompt asks for.

    Args:
        image: path, Pillow image, (H, W, 3) array of uint8, uint16 or float in [0, 1], tensor (3, H, W) or
            (1, 3, H, W), or `Photo`.
        prompt: text, or several with weights: {"smiling": 1.0, "big eyes": 0.5}; a negative weight avoids.
        config: everything else.
        encoder: guides the edit: name (see `load_encoder`) or object; None is the shipped faceclip.
        judge: another encoder, which only looks at the result: what it sees of the gain goes to the facts, and where it
            sees next to nothing of it, a warning says that the guide was fooled.
        unlike: edits of this photo that the new one shall differ from; `variants` makes several in a row.
        callback: called with every `Step`; an exception ends the loop.
        progress: show a bar; None shows it on a terminal only.

    Returns:
        The edit, at the strength that the config's bounds allow: identity, displacement, effect. The loop ends early
        where they are exceeded. Ctrl-C keeps the best so far and says so in `stopped`.

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
    hard_mask = _read_masks(config, photo)
    for each in unlike:
        same = isinstance(each, Edit) and each.origin == photo.sha256
        require(same, f"unlike must be edits of this photo; got {describe(each)}")
    guide = resolve_encoder(encoder, config)
    second = None if judge is None else resolve_encoder(judge, config)
    for text in prompts:
        if not guide.knows(text):
            warnings.warn(
                f"{guide.name} does not know {text!r} and may do anything; "
                "an open_clip model, as encoder='ViT-B-32:laion2b_s34b_b79k' (--encoder; it is downloaded), knows more",
                stacklevel=2,
            )
    if config.target == "projected":  # found, or read, before any work
        config = replace(config, corpus=config.corpus or find_corpus(guide, prompts))
        corpus = {"corpus": read_corpus(str(config.corpus)).name}  # never its folder: facts go into the picture
    else:
        corpus = {}
    generator = torch.Generator().manual_seed(config.seed)
    start = time.perf_counter()
    found: list[tuple[FieldTransform, dict[str, list[float]], str]] = []
    for crop in crops:
        found.append(_search(photo, crop, hard_mask, guide, prompts, config, generator, unlike, callback, progress))
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
        facts={
            "encoder": guide.name,
            "target": config.target,
            **corpus,
            "field": config.field,
            "seed": config.seed,
            "steps": len(history["text"]),
            "encoder_calls": len(history["text"]) * config.views + POOL * len(found),
            "versions": _versions(),
            "photo_sha256": photo.sha256,
            "photo_size": [photo.width, photo.height],
        },
    )
    chosen = choose_strength(layers, photo, config.identity, _bounds(photo, layers, guide, prompts, config))
    edit = replace(edit, strength=chosen.strength, strength_reason=chosen.reason)
    if chosen.distance is None and config.identity is not None and config.align:
        warnings.warn("identity could not be kept: dlib finds no face in the crop of the one it found", stacklevel=2)
    similarity, gain = measure_similarity(edit, guide)
    facts = {
        **edit.facts,
        "identity_distance": None if chosen.distance is None else round(chosen.distance, 4),
        "similarity": similarity,
        "gain": round(gain.share, 4),
        **({} if second is None else {"judge": judge_edit(edit, guide, second)}),
        "seconds": round(time.perf_counter() - start, 2),
    }
    return replace(edit, facts=facts)


def _search(
    photo: Photo,
    crop: Crop,
    hard_mask: np.ndarray | None,
    guide: Encoder,
    prompts: Mapping[str, float],
    config: Config,
    generator: torch.Generator,
    unlike: Sequence[Edit],
    callback: Callable[[Step], object] | None,
    progress: bool | None,
) -> tuple[FieldTransform, dict[str, list[float]], str]:
    """Run the loop on one crop; return its layer with the best parameters, the terms by step, and why it stopped."""
    from tqdm import tqdm

    layer, pixels, weight = prepare_crop(photo, crop, hard_mask, crop_side(guide), config, generator)
    field = layer.field
    size = grid_size(field, pixels.shape[-1])
    avoid = (
        torch.stack([flatten(move_crop(each.transforms, crop, size, each.strength), config) for each in unlike])
        if unlike
        else None
    )
    # Of the bounds, movement's is the field's own; these two are looked at now and then, with their periods.
    bounds = [(bound, CHECK) for bound in _bound_effect(photo, (layer,), guide, prompts, config)]
    identity, _ = bound_identity((layer,), photo, config.identity and BEYOND * config.identity)
    if identity is not None:
        bounds.append((identity.bound, max(1, -(-config.most_steps // 2))))
    history: dict[str, list[float]] = {}
    best, since, kept, stopped = float("inf"), 0, _copy(field), "steps"
    smoothed: float | None = None
    shown = sys.stderr.isatty() if progress is None else progress
    bar = tqdm(total=config.most_steps, desc="editing", unit="step", disable=not shown, leave=False)
    try:
        for step in iterate(
            field, pixels, weight, guide, prompts, config, generator, landmarks=crop.landmarks, avoid=avoid
        ):
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
            done = step.number + 1
            if since >= PATIENCE and 2 * step.number >= config.most_steps:  # a neural field starts slowly
                stopped = "converged"
                break
            watched = [bound for bound, every in bounds if done % every == 0 and done < config.most_steps]
            if any(bound.measure(1.0) > bound.limit for bound in watched):
                stopped, kept = "budget", _copy(field)
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    finally:
        bar.close()
    field.load_state_dict(kept)
    return replace(layer, field=field.cpu()), history, stopped


def resolve_encoder(encoder: Encoder | str | None, config: Config) -> Encoder:
    """Return an encoder object as it is; load a name, or the shipped one for None, to the config's device."""
    return load_encoder(encoder, _device(config.device)) if encoder is None or isinstance(encoder, str) else encoder


def prepare_crop(
    photo: Photo, crop: Crop, hard_mask: np.ndarray | None, side: int, config: Config, generator: torch.Generator
) -> tuple[FieldTransform, Tensor, Tensor]:
    """Make what the steps start from, on the config's device.

    Args:
        photo: to be edited.
        crop: where.
        hard_mask: see `FieldTransform`.
        side: S, pixels along the crop.
        config: says which field.
        generator: source of a neural field's start.

    Returns:
        A layer with a new field, its pixels (1, 3, S, S), and its weight (1, 1, S, S): window and masks.
    """
    device = _device(config.device)
    pixels = extract(photo, crop, side)
    field = _make_field(config, crop, generator)
    if crop.landmarks is not None:
        masks = part_masks(pixels, crop.landmarks)
        field.draw_parts(masks, mix_paints(pixels, masks))
    region, protect = config.region, config.protected_regions
    layer = FieldTransform(
        field, crop, mask_regions(region, protect, crop.landmarks), hard_mask, region=region, protect=protect
    )
    weight = transform_weight(layer, side).to(device)
    return replace(layer, field=field.to(device)), pixels.to(device), weight


def _make_field(config: Config, crop: Crop, generator: torch.Generator) -> Field:
    max_shift = config.max_shift
    if config.displacement is not None and crop.eye_distance is not None:  # crop coordinates, of which a side has two
        max_shift = min(max_shift, config.displacement / 100 * crop.eye_distance / 2)
    limits: dict[str, Any] = {
        "max_shift": max_shift,
        "max_tint": config.max_tint,
        "diffeomorphic": config.diffeomorphic,
        "n_parts": 0 if crop.landmarks is None else len(PARTS),
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


def _bounds(
    photo: Photo, transforms: Sequence[Transform], guide: Encoder, prompts: Mapping[str, float], config: Config
) -> list[Bound]:
    """Make the bounds that the config sets beside the identity budget."""
    bounds = _bound_effect(photo, transforms, guide, prompts, config)
    if config.displacement is not None:
        bounds.append(bound_displacement(transforms, photo, config.displacement))
    return bounds


def _bound_effect(
    photo: Photo, transforms: Sequence[Transform], guide: Encoder, prompts: Mapping[str, float], config: Config
) -> list[Bound]:
    """Make the bound of what the guide sees in the first face, if the config sets it."""
    if config.effect is None:
        return []
    return [
        bound_effect(
            guide, prompts, CropEdit(photo, transforms, find_crops(transforms)[0], crop_side(guide)), config.effect
        )
    ]


def bound_effect(guide: Encoder, prompts: Mapping[str, float], crop: CropEdit, limit: float) -> Bound:
    """Bound how much of the prompts' change the guide sees in a crop."""
    meter = GainMeter(guide, prompts, crop.pixels)
    return Bound("effect", limit, lambda strength: meter(crop.at(strength)).share, " of the prompt's change")


def _read_masks(config: Config, photo: Photo) -> np.ndarray | None:
    """Where the user's pictures let the photo change: (H, W) float32 in [0, 1]; None without any."""
    given = [("mask", config.mask)] if config.mask is not None else []
    given += [("protect", path) for path in config.protected_files]
    if not given:
        return None
    weight = np.ones((photo.height, photo.width), np.float32)
    for name, path in given:
        picture = images.load(path)
        require(
            (picture.height, picture.width) == (photo.height, photo.width),
            f"{name} must have the photo's size {photo.width} x {photo.height}; got {picture.width} x {picture.height}",
        )
        gray = picture.tensor()[0].mean(0).numpy()
        weight *= gray if name == "mask" else 1 - gray
    return np.round(weight * 255).astype(np.float32) / 255  # as an edit file keeps it


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
    from flowedit._version import __version__

    return {"flowedit": __version__, "torch": torch.__version__}
