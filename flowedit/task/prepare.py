"""From a photo and a prompt to what the optimizer starts from, and the predictor fills in."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import as_device, describe, require, warn
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.face.crop import Crop, crop_key, extract, whole_crop
from flowedit.face.detect import choose
from flowedit.face.light import is_gray, measure_light, without_color
from flowedit.face.part_tint import PartTint
from flowedit.face.parts import bound_paint, mix_paints, part_masks
from flowedit.face.regions import mask_regions
from flowedit.field.eyes import EyeField
from flowedit.field.make import make_field
from flowedit.field.raster import RasterField
from flowedit.guide.color_words import names_color
from flowedit.guide.doubt import find_doubts
from flowedit.guide.encoder import Encoder, load_encoder
from flowedit.guide.part_looks import denies_color, said_looks, says_all, unsaid
from flowedit.guide.part_words import named_parts
from flowedit.guide.restate import restate
from flowedit.guide.side_words import asked_sides
from flowedit.guide.targets import TargetSettings, make_settings, read_prompts
from flowedit.photo import photo as images
from flowedit.photo.photo import Photo, Source
from flowedit.task.eyes import after_eyes, join_eyes, look_at_moved, move_eyes, pop_eyes, split_eyes
from flowedit.task.hairline import pop_hairline
from flowedit.task.holds import UNHELD, EvenEyes, Holds, MouthTilt
from flowedit.task.masks import read_masks
from flowedit.task.retouch import clear_lips, clear_tint, find_retouch, warn_of_missing_hair
from flowedit.task.shading import find_expressions, shade
from flowedit.task.start import warm_start
from flowedit.task.upscale import Upscaler, enlarge, is_small, load_upscaler
from flowedit.task.views import crop_side
from flowedit.transform.bounds import transform_weight
from flowedit.transform.transforms import FieldTransform, Transform

PREDICTED_STEPS = 10  # of the loop, from a prediction


@dataclass(frozen=True, eq=False)
class FaceTask:
    """One face to be edited, on the config's device.

    Attributes:
        start: where the optimizer starts; its field and part colors are changed in place.
        pixels: (1, 3, S, S) the crop.
        weight: (1, 1, S, S) window and masks.
        begun: whether it goes on from an edit: a neural field's levels then stay as open as they are there.
        holds: what the transform is held to.
        eyes: move the eyelids and irises before all else.
        beside: what is predicted of the task's `little`, and added to what is found; None without.
    """

    start: FieldTransform
    pixels: Tensor
    weight: Tensor
    begun: bool = False
    holds: Holds = UNHELD
    eyes: tuple[EyeField, ...] = ()
    beside: FieldTransform | None = None

    @functools.cached_property
    def seen(self) -> Tensor:
        """The crop as it is before anything is searched for, (1, 3, S, S): with its eyes moved."""
        return look_at_moved(self.pixels, self.weight, self.eyes)

    def whole(self, found: FieldTransform) -> Transform:
        """Return what is done to the face where a transform is found for it."""
        return after_eyes(self.start, self.eyes, found)


@dataclass(frozen=True, eq=False)
class Task:
    """What is to be done: a photo's faces, a prompt, an encoder that guides, and the numbers.

    Attributes:
        photo: to be edited.
        faces: at least one, from left to right.
        prompts: text -> weight.
        guide: the encoder.
        config: the corpus of a projected target is named in it.
        settings: of the target, with its corpus.
        generator: source of everything random.
        hues: whether a tint may change hues; if not, or if the photo is gray, its channels change alike.
        paints: whether the face's parts take a color each: a prompt is about color, or hues are free.
        files: see `Provenance`.
        predicted: whether the steps start from a prediction.
        upscaler: that enlarged a face at least; None where no face was enlarged.
        said: parts of the faces' retouches whose amounts the prompts' words say: no step moves them.
        colored: those of which they say the color: they take no paint beside it.
        told: whether that is all the prompts ask for: nothing else is moved.
        hairline: how far they say that the hairline is to go up, see `pop_hairline`.
        little: attributes, beside others of which more is asked, that are predicted and not searched for.
        expressions: whose light is added to what is found: the prompts, or those of the start, are about them.
    """

    photo: Photo
    faces: tuple[FaceTask, ...]
    prompts: Mapping[str, float]
    guide: Encoder
    config: Config
    settings: TargetSettings
    generator: torch.Generator
    hues: bool = True
    paints: bool = True
    files: Sequence[list[str]] = ()
    predicted: bool = False
    upscaler: Upscaler | None = None
    said: tuple[str, ...] = ()
    colored: tuple[str, ...] = ()
    told: bool = False
    hairline: float = 0.0
    little: tuple[str, ...] = ()
    expressions: frozenset[str] = frozenset()

    @functools.cached_property
    def restated(self) -> Mapping[str, float]:
        """The prompts in the words of the tables of parts, where the guide reads theirs alike."""
        return restate(self.guide, self.prompts)

    @property
    def most_steps(self) -> int:
        """`Config.steps`, or its default for the field and for what the steps start from."""
        default = PREDICTED_STEPS if self.predicted else 60 if self.config.field == "raster" else 100
        return self.config.steps or default

    def changes_hues(self, face: FaceTask) -> bool:
        """Return whether a tint of a face may change its hues: `hues` allow it, and it is not gray."""
        return self.hues and not is_gray(face.pixels)


def prepare(
    image: Source,
    prompt: str | Mapping[str, float],
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    start: Edit | None = None,
    crops: Sequence[Crop] | None = None,
) -> Task:
    """Check everything, find the faces, and make what the optimizer starts from; see `optimize`.

    Args:
        image: see `optimize`; prompt, config, encoder and start too.
        crops: of the faces, where they are known.
    """
    config = check_config(config)
    require(start is None or isinstance(start, Edit), describe_start(start), TypeError)
    prompts = read_prompts(prompt)
    photo = images.load(image)
    hard_mask, files = read_masks(config, photo)
    upscaler = None if config.upscaler is None else load_upscaler(config.upscaler, config.device)
    guide = resolve_encoder(encoder, config)
    config, settings = _aim(guide, prompts, config)
    if crops is None:
        crops = choose(photo, config.face) if config.align else [whole_crop(photo)]
    generator = torch.Generator().manual_seed(config.seed)
    eyes: Mapping[tuple[float, ...], tuple[EyeField, ...]] = {}
    if start is not None:
        if start.origin != photo.sha256:
            start = start.apply(photo, face=config.face if config.align else "largest")
        start, eyes = split_eyes(start)
    side = crop_side(guide)
    upscaler = upscaler if any(is_small(crop, side) for crop in crops) else None
    faces = tuple(prepare_face(photo, crop, hard_mask, side, config, generator, start, upscaler) for crop in crops)
    faces = tuple(replace(face, eyes=eyes.get(crop_key(face.start.crop), ())) for face in faces)
    expressions = find_expressions(guide, prompts)
    if start is not None:
        lit = find_expressions(guide, start.prompts)
        faces = tuple(replace(face, start=shade(face.start, face.pixels, lit, -1.0)) for face in faces)
        expressions |= lit
    if settings.corpus is not None and settings.corpus.custom:
        files.append([settings.corpus.name, settings.corpus.sha256])
    if upscaler is not None:
        files.append([upscaler.name, upscaler.sha256])
    task = Task(photo, faces, prompts, guide, config, settings, generator, files=files, upscaler=upscaler)
    task = _retouch(_color(replace(task, expressions=expressions)))
    if start is not None and task.hairline:  # as far as the start has not moved it
        had = pop_hairline(said_looks(restate(guide, start.prompts))) * start.strength
        task = replace(task, hairline=task.hairline - had)
    return task


def check_config(config: Config | None) -> Config:
    """Return a config, the default for None.

    Raises:
        TypeError: anything else.
    """
    config = Config() if config is None else config
    require(isinstance(config, Config), f"config must be a flowedit.Config; got {describe(config)}", TypeError)
    return config


def describe_start(start: object) -> str:
    """Return the error of a value that no edit can start from."""
    return f'start must be "auto", an edit, "predict", a predictor or None; got {describe(start)}'


def with_prompt(task: Task, prompt: str | Mapping[str, float], config: Config) -> Task:
    """Return a task of the same faces for another prompt; the faces are not searched or read again.

    Args:
        task: of any prompt.
        prompt: as for `prepare`.
        config: that the task was prepared with: a corpus that was found for its prompt is not the other prompt's.
    """
    prompts = read_prompts(prompt)
    config, settings = _aim(task.guide, prompts, config)
    expressions = find_expressions(task.guide, prompts)
    task = _color(replace(task, prompts=prompts, config=config, settings=settings, expressions=expressions))
    # Without what the other prompt named.
    faces = tuple(replace(face, start=replace(face.start, retouch=None), eyes=()) for face in task.faces)
    return _retouch(replace(task, faces=faces))


def _retouch(task: Task) -> Task:
    """Return a task whose faces may be retouched where its prompts name it, with their eyes where words say."""
    looks = said_looks(task.restated)
    said_eyes, hairline = pop_eyes(looks), pop_hairline(looks)
    crops = [face.start.crop for face in task.faces]
    if any(crop.landmarks is None for crop in crops):
        return replace(task, said=(), colored=(), told=False, hairline=0.0)
    right = asked_sides(task.guide, task.prompts).get("eyes")
    eyes = [move_eyes(task.photo, crop, said_eyes, right) for crop in crops]
    if hairline and task.config.field != "raster":
        warn("a neural field leaves the hairline where it is")
    told = bool(looks or said_eyes or hairline) and None not in eyes and says_all(task.restated)
    colors = tuple(part for part, look in looks.items() if look.color is not None)
    cleared = "lips" not in colors and clear_lips([face.start for face in task.faces], task.guide, task.restated)
    task = replace(task, said=(*looks, *["lips"] * cleared), colored=colors, told=told, hairline=hairline)
    moved = zip(task.faces, eyes, strict=True)
    task = replace(task, faces=tuple(replace(face, eyes=join_eyes(face.eyes, each or ())) for face, each in moved))
    parts = tuple(sorted({*named_parts(task.restated), *looks}))
    if not parts:
        return task
    faces, found = [], []
    said = bool(looks) and task.config.hues == "auto" and not denies_color(task.restated)  # looks say hues
    for face in task.faces:
        colored = (task.hues or said) and not is_gray(face.pixels)
        retouch = find_retouch(task.photo, face.start, parts, looks, colored).to(face.pixels.device)
        if face.begun:
            clear_tint(face.start, retouch, task.colored)
        found.append((face.start.crop, retouch))
        faces.append(replace(face, start=replace(face.start, retouch=retouch)))
    warn_of_missing_hair(found)
    return replace(task, faces=tuple(faces))


def _aim(guide: Encoder, prompts: Mapping[str, float], config: Config) -> tuple[Config, TargetSettings]:
    """Make the target's settings, warn of prompts in vain, and name the corpus that was found in the config."""
    for message in find_doubts(guide, prompts):
        warn(message)
    numbers = {name: getattr(config, name) for name in ("intensity", "alpha", "corpus", "components")}
    settings = make_settings(guide, prompts, config.target, **numbers)  # a corpus is found and read before any work
    if config.corpus is None and settings.corpus is not None:
        config = replace(config, corpus=settings.corpus.name)
    return config, settings


def _color(task: Task) -> Task:
    """Return a task with its `hues` and `paints`; warn where no face can take a color that is asked for."""
    colored = names_color(task.guide, task.prompts)
    if colored and all(is_gray(face.pixels) for face in task.faces):
        warn("the photo is gray and stays gray: a color can only make it lighter or darker")
    rest = unsaid(task.restated)
    if rest != task.restated:  # the color of what is retouched is not for the rest of the photo
        colored = names_color(task.guide, rest)
    free = colored and not denies_color(task.restated)  # of hair that is to be less red, the contrary is green
    hues = free if task.config.hues == "auto" else task.config.hues == "free"
    return replace(task, hues=hues, paints=colored or hues)


def prepare_face(
    photo: Photo,
    crop: Crop,
    hard_mask: np.ndarray | None,
    side: int,
    config: Config,
    generator: torch.Generator,
    start: Edit | None = None,
    upscaler: Upscaler | None = None,
) -> FaceTask:
    """Make what the steps start from, on the config's device.

    Args:
        photo: to be edited.
        crop: where.
        hard_mask: see `FieldTransform`.
        side: S, pixels along the crop.
        config: which field.
        generator: source of a neural field's start.
        start: an edit of this photo whose field and colors the new ones start from; None is zero.
        upscaler: enlarges a small face; None leaves it as it is.
    """
    device = as_device(config.device)
    if upscaler is not None and is_small(crop, side):
        pixels = enlarge(photo, crop, side, upscaler)
    else:
        pixels = extract(photo, crop, side)
    max_shift = config.max_shift
    eyes = crop.outer_canthal_distance
    if config.displacement is not None and eyes is not None:
        max_shift = min(max_shift, config.displacement / 100 * eyes / 2)  # a side is two crop units long
    sizes = asdict(getattr(config, config.field)) if config.field in ("raster", "hash") else {}
    backend = sizes.pop("backend", None)
    # A tint takes a share of the light there: in the dark a whole one would be a glow.
    gray, light = is_gray(pixels), measure_light(pixels)
    max_tint = config.max_tint * light
    bounds = {"max_shift": max_shift, "max_tint": max_tint, "diffeomorphic": config.diffeomorphic}
    field = make_field({"kind": config.field, **sizes, **bounds}, generator)
    if backend is not None:
        field.backend = backend
    part_tint = paint = mouth = even = None
    if crop.landmarks is not None:
        masks = part_masks(pixels, crop.landmarks, config.parts)
        paints = mix_paints(pixels, masks, config.paints)
        if gray or config.hues == "kept":
            paints = without_color(paints)
        else:
            paint = bound_paint(pixels, masks, paints)
        part_tint = PartTint(masks, paints, max_tint)
        if config.tilt is not None and isinstance(field, RasterField) and not field.diffeomorphic:
            mouth = MouthTilt(crop.landmarks, field.coord_size, config.tilt)
            even = EvenEyes(crop.landmarks, field.coord_size)
    region, protect = config.region, config.protected_regions
    mask = mask_regions(region, protect, crop.landmarks)
    transform = FieldTransform(field, crop, mask, hard_mask, 1.0, region, protect, part_tint, light)
    if start is not None:
        transform = warm_start(transform, start)
    weight = transform_weight(transform, side).to(device)
    part_tint = None if transform.part_tint is None else transform.part_tint.to(device)
    retouch = None if transform.retouch is None else copy.deepcopy(transform.retouch).to(device)
    return FaceTask(
        replace(transform, field=transform.field.to(device), part_tint=part_tint, retouch=retouch),
        pixels.to(device),
        weight,
        begun=start is not None,
        holds=Holds(paint, mouth, even),
    )


def resolve_encoder(encoder: Encoder | str | os.PathLike[str] | None, config: Config) -> Encoder:
    """Return an encoder object as it is; load a name, a folder, or the shipped one for None, to the config's device."""
    if encoder is None or isinstance(encoder, (str, os.PathLike)):
        return load_encoder(encoder, as_device(config.device))
    return encoder
