"""How an edit ends: the strength within its bounds, and what is known of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import torch

from flowedit._version import __version__
from flowedit.checks import warn
from flowedit.edit import Edit
from flowedit.guide.encoder import Encoder
from flowedit.guide.gain import GainMeter
from flowedit.guide.side_words import asked_sides
from flowedit.guide.smile_words import smile_ended
from flowedit.guide.targets import target_name
from flowedit.provenance import Provenance
from flowedit.task.degree import add_beside, find_degree, scale_found
from flowedit.task.eyes import crosses
from flowedit.task.hairline import raise_hairline
from flowedit.task.judge import judge_edit, look_at, measure_similarity
from flowedit.task.prepare import Task
from flowedit.task.reach import measure_reach, warn_of_glasses, warn_of_little, warn_of_teeth
from flowedit.task.shading import shade
from flowedit.task.sides import sides_left, turn_to
from flowedit.task.views import crop_side
from flowedit.transform.bounds import (
    Bound,
    Strength,
    bound_displacement,
    bound_frown,
    bound_stretch,
    choose_strength,
)
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import FieldTransform, Transform

R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Fit:
    """What was found for one face: its parameters, every term by step, and why there were no more steps."""

    transform: FieldTransform
    history: Mapping[str, list[float]] = field(default_factory=dict)
    stopped: str = "steps"


def finish(
    task: Task, fits: Sequence[Fit], *, judge: Encoder | None = None, facts: Mapping[str, Any] | None = None
) -> Edit:
    """Choose the strength within the config's bounds, and record what was done and what the guide sees of it.

    Args:
        task: what was to be done.
        fits: of the task's faces, at least one.
        judge: see `optimize`.
        facts: what else is known of how the edit was found, by the names of `Provenance`.
    """
    photo, config, guide, prompts = task.photo, task.config, task.guide, task.prompts
    found = [(face, each.transform) for face, each in zip(task.faces, fits, strict=False)]  # after Ctrl-C fewer
    found = [(face, add_beside(task, face, each)) for face, each in found]
    degree, sides = find_degree(task), asked_sides(guide, prompts)
    for face, each in found:
        turn_to(sides_left(sides, face.eyes), each)
        face.holds.level(each)

    def whole(factor: float = 1.0) -> tuple[Transform, ...]:
        done = []
        for face, each in found:
            scaled = each if factor == 1 else scale_found(task, face, each, factor)
            if factor > 1:
                face.holds.level(scaled)
            lit = shade(scaled, face.pixels, task.expressions)
            done.append(face.whole(raise_hairline(lit, task.hairline)))
        return tuple(done)

    history = {name: [value for each in fits for value in each.history[name]] for name in fits[0].history}
    corpus, digest = task.settings.corpus, getattr(guide, "digest", None)
    known = Provenance(
        encoder=guide.name,
        encoder_sha256=digest,
        target=target_name(config.target),
        corpus=None if corpus is None else corpus.name,  # never its folder: facts go into the picture
        field=config.field,
        seed=config.seed,
        threads=torch.get_num_threads(),
        versions={"flowedit": __version__, "torch": torch.__version__},
        photo_sha256=photo.sha256,
        photo_size=[photo.width, photo.height],
        files=list(task.files) or None,
        upscaler=None if task.upscaler is None else task.upscaler.name,
        upscaler_sha256=None if task.upscaler is None else task.upscaler.sha256,
        **(facts or {}),
    )
    edit = Edit(photo, whole(), prompts, stopped=fits[-1].stopped, history=history, facts=known, config=config)

    def measure() -> Edit:
        asked, chosen = edit, _choose_strength(task, edit.edited, effect=degree >= 1)
        factor = degree * chosen.strength  # of what the budget leaves
        if degree < 1 or (degree > 1 and chosen.strength == 1):
            asked = replace(edit, transforms=whole(factor))
            chosen = _choose_strength(task, asked.edited)
            if degree > 1 and chosen.strength < 1:  # what words say beside it would be held back too
                asked = replace(edit, transforms=whole(max(1.0, factor * chosen.strength)))
                chosen = _choose_strength(task, asked.edited)
        if chosen.distance is None and config.identity is not None and config.align:
            warn("identity could not be kept: dlib finds no face in the crop of the one it found")
        scaled = replace(asked, strength=chosen.strength, strength_reason=chosen.reason)
        pictures = look_at(scaled, guide)
        similarity, gain = measure_similarity(scaled, guide, pictures)
        reach = measure_reach(scaled.edited, gain.share, pictures)
        plain = task.told and reach.marked
        reach = replace(reach, said=plain and bool(task.said or task.hairline))
        if scaled.strength:
            warn_of_teeth(task)
            warn_of_glasses(scaled.edited, guide, pictures[0])
        unknown = bool(task.hairline) or any(crosses(face.eyes) for face in task.faces)  # to every guide
        moved = plain and (reach.gain > 0 or unknown)  # hairline, lids or irises
        if not (reach.said or moved):
            masks = [name for name in ("region", "protect", "mask") if getattr(config, name)]
            warn_of_little(reach, scaled.strength, masks)
        measured = replace(
            known,
            identity_distance=None if chosen.distance is None else round(chosen.distance, 4),
            similarity=similarity,
            gain=round(gain.share, 4),
            reached=str(reach),
            judge=None if judge is None else judge_edit(scaled, guide, judge),
        )
        return replace(scaled, facts=measured)

    edit, interrupted = _despite_interrupt(measure)
    return replace(edit, stopped="interrupted") if interrupted else edit


def _choose_strength(task: Task, edited: EditedPhoto, *, effect: bool = True) -> Strength:
    """Choose the strength within the config's bounds, the effect's if it counts, and the mouth's where a smile ends."""
    config, bounds = task.config, effect_bounds(task, edited) if effect else []
    if config.displacement is not None:
        bounds.append(bound_displacement(edited, config.displacement))
    if config.stretch is not None:
        bounds.append(bound_stretch(edited, config.stretch))
    if edited.crops()[0].landmarks is not None and smile_ended(task.guide, task.prompts):
        bounds.append(bound_frown(edited))
        if bounds[-1].limit == 0 and effect:  # said once
            warn("there is no smile to end: the mouth's corners lie hardly higher than the lips' middle")
    return choose_strength(edited, config.identity, bounds)


def to_cpu(transform: FieldTransform) -> FieldTransform:
    """Return a transform as it is kept: its modules are moved to the CPU, and a field may run on any backend."""
    part_tint = None if transform.part_tint is None else transform.part_tint.cpu()
    retouch = None if transform.retouch is None else transform.retouch.cpu()
    field = transform.field.cpu()
    field.backend = "auto"  # one that was named may not run here
    return replace(transform, field=field, part_tint=part_tint, retouch=retouch)


def bound_effect(guide: Encoder, prompts: Mapping[str, float], edited: EditedPhoto, limit: float) -> Bound:
    """Bound how much of the prompts' change the guide sees in the first face."""
    crop, side = edited.crops()[0], crop_side(guide)
    meter = GainMeter(guide, prompts, edited.unedited(crop, side))

    def measure(strength: float) -> float:
        return meter(edited.at(strength).crop_image(crop, side)).share

    return Bound("effect", limit, measure, " of the prompt's change")


def effect_bounds(task: Task, edited: EditedPhoto) -> list[Bound]:
    """Make the bound of what the guide sees in the first face, if the config sets it."""
    limit = task.config.effect
    return [] if limit is None else [bound_effect(task.guide, task.prompts, edited, limit)]


def _despite_interrupt(function: Callable[[], R]) -> tuple[R, bool]:
    """Run a short function to its end, anew after one Ctrl-C; a second one stops. Return also whether there was one."""
    try:
        return function(), False
    except KeyboardInterrupt:
        return function(), True
