"""From a photo and a prompt to an edit: prepare, fit, finish."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from flowedit.checks import as_device, as_number, collect, describe, is_bool, require
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.face.crop import crop_key
from flowedit.fit.iterate import Step, iterate
from flowedit.fit.objective import grid_size
from flowedit.fit.terms import TERMS, Likeness, Term, flatten
from flowedit.guide.encoder import Encoder
from flowedit.isolation import isolated
from flowedit.photo.photo import Source
from flowedit.predict.network import Predictor
from flowedit.predict.one_pass import predict_start, ready
from flowedit.predict.place import is_learned
from flowedit.predict.weights import Trained, shipped_for
from flowedit.provenance import StopReason
from flowedit.task.finish import Fit, effect_bounds, finish, to_cpu
from flowedit.task.prepare import FaceTask, Task, describe_start, prepare, resolve_encoder
from flowedit.task.shading import find_expressions, shade
from flowedit.task.threads import steady
from flowedit.transform.bounds import bound_identity
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import FieldTransform, map_leaves


@isolated()
@steady
def optimize(
    image: Source,
    prompt: str | Mapping[str, float],
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    judge: Encoder | str | None = None,
    start: Edit | Literal["auto", "predict"] | Trained | Predictor | None = "auto",
    terms: Mapping[str, tuple[Term, float]] | None = None,
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
        start: None starts from nothing; an edit, of this photo or carried to it, from that; "predict", or a predictor
            (`load_predictor`), from what is predicted, and takes 10 steps by default. "auto" starts from what the
            shipped predictor predicts where guide, field and objective are those that it learned from, and else, or
            with terms or edits of `unlike`, from nothing.
        terms: further terms of the objective by name, each a function of `FitState` and its weight: they are logged,
            weighed and kept in the history like the built-in ones.
        unlike: edits of this photo that the new one shall differ from; `variants` makes several in a row.
        callback: called with every `Step`; False ends the loop and keeps the best so far, an exception ends it.
        progress: show a bar; None shows it on a terminal only.

    Returns:
        The edit, at the strength that the config's bounds allow: identity, displacement, stretch, effect. The loop
        ends early where they are exceeded. Ctrl-C keeps the best so far and says so in `stopped`; what was warned of is
        in `messages` too.

    Raises:
        TypeError, ValueError: bad input, no face (then `align=False` edits the whole picture), or an unknown
            encoder.
        RuntimeError: weights that cannot be fetched, or a missing package.
        FloatingPointError: a term of the objective is not finite.
    """
    terms = check_terms(terms)
    require(callback is None or callable(callback), f"callback must be a function; got {describe(callback)}", TypeError)
    begun = time.perf_counter()
    with collect() as messages:
        automatic = isinstance(start, str) and start == "auto"
        network, known = None, dict[str, Any]()
        if isinstance(start, (str, Trained, Predictor)):
            require(not isinstance(start, str) or start in ("auto", "predict"), describe_start(start), TypeError)
            if not automatic:
                network = ready(None if isinstance(start, str) else start, config)
            start = None
        task = prepare(image, prompt, config, encoder, start)
        if automatic and not terms and not unlike and is_learned(task.config):
            network = shipped_for(task.guide, as_device(task.config.device))
        if network is not None:
            task, known = predict_start(task, network)
        second = None if judge is None else resolve_encoder(judge, task.config)
        for each in unlike:
            same = isinstance(each, Edit) and each.origin == task.photo.sha256
            require(same, f"unlike must be edits of this photo; got {describe(each)}")
        fits: list[Fit] = []
        for face in task.faces:
            try:
                fits.append(fit(task, face, terms=terms, unlike=unlike, callback=callback, progress=progress))
            except KeyboardInterrupt:  # before the first step
                if not fits:
                    raise
                fits[-1] = replace(fits[-1], stopped="interrupted")
            if fits[-1].stopped in ("interrupted", "callback"):  # the faces not reached stay as they are
                break
        steps = sum(len(each.history.get("text", ())) for each in fits)
        calls = known.get("encoder_calls", 0) + steps * task.config.views + task.config.augment.pool * len(fits)
        edit = finish(task, fits, judge=second, facts={**known, "steps": steps, "encoder_calls": calls})
    seconds = round(time.perf_counter() - begun, 2)
    return replace(edit, messages=tuple(messages), facts=replace(edit.facts, seconds=seconds))


def fit(
    task: Task,
    face: FaceTask,
    *,
    terms: Mapping[str, tuple[Term, float]] | None = None,
    unlike: Sequence[Edit] = (),
    callback: Callable[[Step], object] | None = None,
    progress: bool | None = None,
) -> Fit:
    """Run the optimizer on one face; arguments as of `optimize`.

    Raises:
        KeyboardInterrupt: Ctrl-C before the first step, when there is no best so far.
        FloatingPointError: a term is not finite.
    """
    from tqdm import tqdm

    if task.told and not terms and not unlike:
        return Fit(to_cpu(face.start), stopped=StopReason.SAID)
    config, settings = task.config, task.config.optimizer
    terms = {**(terms or {}), **_likeness(task, face, unlike)}
    transform = face.start
    # Of the bounds, movement's is the field's own; these two are measured now and then, with their periods.
    edited = EditedPhoto(task.photo, (face.whole(transform),))
    bounds = [(bound, settings.check_every) for bound in effect_bounds(task, edited)]
    identity, _ = bound_identity(edited, config.identity and settings.beyond * config.identity)
    if identity is not None:
        bounds.append((identity.bound, max(1, -(-task.most_steps // 2))))
    history: dict[str, list[float]] = {}
    best, since, kept, stopped = float("inf"), 0, _copy(transform), "steps"
    smoothed: float | None = None
    shown = _is_terminal() if progress is None else progress
    bar = tqdm(total=task.most_steps, desc="editing", unit="step", disable=not shown, leave=False)
    try:
        for step in iterate(task, face, terms):
            for name, value in {**step.terms, "total": step.total}.items():
                history.setdefault(name, []).append(value)
            # Views differ from step to step: a running mean says whether anything is still gained.
            keep = settings.smoothing
            smoothed = step.total if smoothed is None else keep * smoothed + (1 - keep) * step.total
            if smoothed < best - settings.least_gain:
                best, since, kept = smoothed, 0, _copy(transform)
            else:
                since += 1
            bar.update()
            bar.set_postfix(text=f"{step.terms['text']:.3f}")
            answer = None if callback is None else callback(step)
            if is_bool(answer) and not answer:
                stopped = "callback"
                break
            done = step.number + 1
            if since >= settings.patience and 2 * step.number >= task.most_steps:  # a neural field starts slowly
                stopped = "converged"
                break
            watched = [bound for bound, every in bounds if done % every == 0 and done < task.most_steps]
            if any(bound.measure(1.0) > bound.limit for bound in watched):
                stopped, kept = "budget", _copy(transform)
                break
    except KeyboardInterrupt:
        if not history:
            raise
        stopped = "interrupted"
    finally:
        bar.close()
    _modules(transform).load_state_dict(kept)
    return Fit(to_cpu(transform), history, stopped)


def check_terms(terms: Mapping[str, tuple[Term, float]] | None) -> dict[str, tuple[Term, float]]:
    """Validate a user's own terms.

    Raises:
        TypeError, ValueError: not name -> (function, finite weight), or a built-in term's name.
    """
    require(terms is None or isinstance(terms, Mapping), f"terms must be name -> (function, weight); got {terms!r}",
            TypeError)  # fmt: skip
    for name, pair in (terms or {}).items():
        good = isinstance(name, str) and isinstance(pair, tuple) and len(pair) == 2 and callable(pair[0])
        require(good, f"terms must be name -> (function, weight); got {name!r}: {pair!r:.80}", TypeError)
        weight = as_number(pair[1])
        require(
            weight is not None and abs(weight) <= 1e6, f"the weight of term {name!r} must be a number; got {pair[1]!r}"
        )
        taken = {*TERMS, "retouch", "smile", "total", "likeness", "stray"}
        require(name not in taken, f"a term must not be named as a built-in one is; got {name!r}")
    return dict(terms or {})


def _likeness(task: Task, face: FaceTask, unlike: Sequence[Edit]) -> dict[str, tuple[Term, float]]:
    """Make the terms that keep a field from being like those of other edits, where they work; none without any."""
    if not unlike:
        return {}
    config, crop = task.config, face.start.crop
    size = grid_size(face.start.field, face.pixels.shape[-1])
    fields = [_without_light(task, face, edit).offsets(crop, size) for edit in unlike]
    others = torch.stack([flatten(field, config.max_shift, config.max_tint) for field in fields]).to(face.pixels)
    likeness = Likeness(others, config.max_shift, config.max_tint)
    return {"likeness": (likeness, config.weights.likeness), "stray": (likeness.stray, config.weights.stray)}


def _without_light(task: Task, face: FaceTask, edit: Edit) -> EditedPhoto:
    """Return an edit without the light of expressions, which is added when all else is found."""
    names, own = find_expressions(task.guide, edit.prompts), crop_key(face.start.crop)

    def darken(leaf: FieldTransform) -> FieldTransform:
        return shade(leaf, face.pixels, names, -1.0) if crop_key(leaf.crop) == own else leaf

    return replace(edit.edited, transforms=map_leaves(edit.transforms, darken))


def _modules(transform: FieldTransform) -> nn.ModuleList:
    modules = (transform.field, transform.part_tint, transform.retouch)
    return nn.ModuleList([module for module in modules if module is not None])


def _copy(transform: FieldTransform) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in _modules(transform).state_dict().items()}


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # None, or closed
        return False
