"""From photos and prompts to edits in one pass of a network: prepare, predict, finish."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

from flowedit.checks import as_device, collect, require, warn, whole_number
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.guide.encoder import Encoder
from flowedit.isolation import isolated
from flowedit.photo.photo import Source
from flowedit.predict.fields import find_fields, finish_found
from flowedit.predict.network import Predictor
from flowedit.predict.place import check_predictable
from flowedit.predict.weights import Trained, load_predictor, resolve_predictor
from flowedit.task.degree import part_little
from flowedit.task.prepare import Task, check_config, prepare, resolve_encoder, with_prompt
from flowedit.task.threads import on_idle_cores, steady

MOST = 16  # different edits for one prompt

Prompt = str | Mapping[str, float]
AnyPredictor = Trained | Predictor | str | os.PathLike[str]


@overload
def predict(
    image: Source,
    prompt: Prompt,
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    predictor: AnyPredictor | None = None,
    n: Literal[1] = 1,
    judge: Encoder | str | None = None,
) -> Edit: ...
@overload
def predict(
    image: Source,
    prompt: Prompt | Sequence[Prompt],
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    predictor: AnyPredictor | None = None,
    n: int = 1,
    judge: Encoder | str | None = None,
) -> Any: ...
@isolated()
@steady
def predict(
    image: Source,
    prompt: Prompt | Sequence[Prompt],
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    predictor: AnyPredictor | None = None,
    n: int = 1,
    judge: Encoder | str | None = None,
) -> Any:
    """Predict the edit of a photo that `optimize` would find for a prompt, in one pass of a trained network.

    Args:
        image: as for `optimize`.
        prompt: as for `optimize`; or a list of such prompts, for which the face is found once.
        config: as for `optimize`; the field must be a raster over an aligned face. What only the steps use, such as
            `steps`, `views` and `weights`, has no effect.
        encoder: as for `optimize`; it must be the one that the predictor was trained under.
        predictor: a trained one, its file or folder, or a network; None is the shipped one (`load_predictor`).
        n: how many different edits for each prompt, from 1 to 16; more than one are drawn by the config's seed.
        judge: as for `optimize`.

    Returns:
        The edit, at the strength that the config's bounds allow; for n > 1 a list of them, each held back, by its
        config's `effect`, to what the guide sees in the weakest; for a list of prompts a list of what each gives.

    Raises:
        TypeError, ValueError, RuntimeError: as `optimize` and `load_predictor`, a config that no network can do, n out
            of its range, or an encoder that the predictor was not trained under.
    """
    n = whole_number("n", n, 1, MOST)
    several = isinstance(prompt, (list, tuple))
    prompts: list[Any] = list(prompt) if several else [prompt]
    require(len(prompts) > 0, "prompt must be at least one; got an empty list")
    begun = time.perf_counter()
    with collect() as messages:
        network = ready(predictor, config)
        task = prepare(image, prompts[0], config, encoder)
        trained = resolve_predictor(network, task.guide)
        second = None if judge is None else resolve_encoder(judge, task.config)
        _warn_of_same(task, n)
    asked = [(task, messages)]
    for each in prompts[1:]:
        with collect() as messages:
            other = with_prompt(task, each, config or Config())
            _warn_of_same(other, n)
        asked.append((other, messages))
    draws = [None] if n == 1 else list(range(n))
    found = find_fields(trained, [(each, draw) for each, _ in asked for draw in draws])
    shared = (time.perf_counter() - begun) / len(found)

    def finished(k: int, effect: float | None = None) -> Edit:
        asked_task, before = asked[k // n]
        if effect is not None:
            asked_task = replace(asked_task, config=replace(asked_task.config, effect=effect))
        return finish_found(asked_task, found[k], before, shared, second)

    edits = on_idle_cores(finished, range(len(found)))
    gains = [edit.facts.gain or 0.0 for edit in edits]
    weakest = [min(gains[k - k % n : k - k % n + n]) for k in range(len(gains))]
    stronger = [k for k, least in enumerate(weakest) if 0 < least < gains[k]]
    for k, edit in zip(stronger, on_idle_cores(lambda k: finished(k, weakest[k]), stronger), strict=True):
        edits[k] = edit
    results = edits if n == 1 else [edits[k : k + n] for k in range(0, len(edits), n)]
    return results if several else results[0]


def _warn_of_same(task: Task, n: int) -> None:
    """Warn where the words say all of what is asked, which no noise changes."""
    if n > 1 and task.told:
        warn(f"the words of {', '.join(map(repr, task.prompts))} say the whole edit: all {n} are the same")


def predict_again(
    image: Source,
    prompt: Prompt,
    facts: Mapping[str, Any],
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    predictor: AnyPredictor | None = None,
) -> Edit:
    """Make the edit again whose facts these are, with the same bits where nothing else has changed.

    A network's sums may round to other bits in a batch of another size, so its place in the batch is the same too.

    Raises:
        TypeError, ValueError, RuntimeError: as `predict`, or the facts name no place in a batch of this photo's faces.
    """
    return _predict_again(image, prompt, facts, config=config, encoder=encoder, predictor=predictor)


@isolated()
@steady
def _predict_again(
    image: Source,
    prompt: Prompt,
    facts: Mapping[str, Any],
    *,
    config: Config | None,
    encoder: Encoder | str | None,
    predictor: AnyPredictor | None,
) -> Edit:
    with collect() as messages:
        network = ready(predictor, config)
        task = prepare(image, prompt, config, encoder)
        trained = resolve_predictor(network, task.guide)
        (found,) = find_fields(trained, [(task, facts.get("draw"))], facts.get("batch"))
    return finish_found(task, found, messages, None)


def predict_start(task: Task, network: Trained | Predictor) -> tuple[Task, dict[str, Any]]:
    """Return a task whose faces start from what is predicted for them, and the facts of that; see `optimize`."""
    task, little = part_little(task)
    wishes = [(each, None) for each in (task, little) if each is not None]
    (transforms, facts), *others = find_fields(resolve_predictor(network, task.guide), wishes)
    besides = others[0][0] if others else [None] * len(transforms)
    faces = []
    for face, transform, beside in zip(task.faces, transforms, besides, strict=True):
        device = face.pixels.device
        assert transform.part_tint is not None  # check_predictable
        moved = replace(transform, field=transform.field.to(device), part_tint=transform.part_tint.to(device))
        faces.append(replace(face, start=moved, begun=True, beside=beside))
    return replace(task, faces=tuple(faces), predicted=True), facts


def ready(predictor: AnyPredictor | None, config: Config | None) -> Trained | Predictor:
    """Check a config and load a predictor by its name or path, before any work.

    Raises:
        TypeError, OSError, ValueError, RuntimeError: as `load_predictor`, or a config that no network can do.
    """
    config = check_config(config)
    check_predictable(config)
    if isinstance(predictor, (Trained, Predictor)):
        return predictor
    return load_predictor(predictor, as_device(config.device))
