"""From photos and prompts to edits in one pass of a network: prepare, predict, finish."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, overload

import torch
from torch import Tensor

from flowedit.checks import as_device, collect, describe, require, whole_number
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import make_targets
from flowedit.isolation import isolated
from flowedit.photo.photo import Source
from flowedit.predict.inputs import network_crops, straight_view, target_change
from flowedit.predict.network import Prediction, Predictor
from flowedit.predict.place import check_predictable, place
from flowedit.predict.weights import Trained, load_predictor, resolve_predictor
from flowedit.provenance import StopReason
from flowedit.task.finish import Fit, finish
from flowedit.task.prepare import Task, check_config, prepare, resolve_encoder, with_prompt
from flowedit.task.threads import steady
from flowedit.transform.transforms import FieldTransform

MOST = 16  # different edits for one prompt
MOST_ROWS = 32  # faces that go through the network at once
FURTHER = 1.4  # times the change that is asked for: a network falls short of it; chosen on people that it learned from

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
        The edit, at the strength that the config's bounds allow; for n > 1 a list of them; for a list of prompts a list
        of what each gives.

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
    asked = [(task, messages)]
    for each in prompts[1:]:
        with collect() as messages:
            asked.append((with_prompt(task, each, config or Config()), messages))
    draws = [None] if n == 1 else list(range(n))
    found = find_fields(trained, [(each, draw) for each, _ in asked for draw in draws])
    shared, edits = (time.perf_counter() - begun) / len(found), []
    for k, (transforms, facts) in enumerate(found):
        begun = time.perf_counter()
        each, before = asked[k // n]
        with collect() as messages:
            edit = finish(each, [_as_fit(one) for one in transforms], judge=second, facts=facts)
        seconds = round(shared + time.perf_counter() - begun, 2)
        edits.append(replace(edit, messages=(*before, *messages), facts=replace(edit.facts, seconds=seconds)))
    results = edits if n == 1 else [edits[k : k + n] for k in range(0, len(edits), n)]
    return results if several else results[0]


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
        ((transforms, known),) = find_fields(trained, [(task, facts.get("draw"))], facts.get("batch"))
        edit = finish(task, [_as_fit(one) for one in transforms], facts=known)
    return replace(edit, messages=tuple(messages))


def predict_start(task: Task, network: Trained | Predictor) -> tuple[Task, dict[str, Any]]:
    """Return a task whose faces start from what is predicted for them, and the facts of that; see `optimize`."""
    ((transforms, facts),) = find_fields(resolve_predictor(network, task.guide), [(task, None)])
    faces = []
    for face, transform in zip(task.faces, transforms, strict=True):
        device = face.pixels.device
        assert transform.part_tint is not None  # check_predictable
        moved = replace(transform, field=transform.field.to(device), part_tint=transform.part_tint.to(device))
        faces.append(replace(face, start=moved, begun=True))
    return replace(task, faces=tuple(faces)), facts


@torch.no_grad()
def find_fields(
    trained: Trained, wishes: Sequence[tuple[Task, int | None]], place_in_batch: Sequence[int] | None = None
) -> list[tuple[list[FieldTransform], dict[str, Any]]]:
    """Let the network find the fields of several edits of the same faces, in batches.

    Args:
        trained: the network.
        wishes: tasks of the same faces, each with the number of its draw, or None for the edit without noise; all have
            a number, or none.
        place_in_batch: the first row and the size of the batch that one wish is to be computed in; None puts all into
            batches of up to MOST_ROWS.

    Returns:
        For each wish the transforms of its faces, and what is to be known of how they were found.
    """
    faces = wishes[0][0].faces
    guide, count = wishes[0][0].guide, len(faces)
    crops = torch.cat([network_crops(face.pixels) for face in faces])
    embeddings = torch.cat([guide.image(straight_view(face.pixels, guide)) for face in faces])
    changes = torch.cat([_change(task, embeddings) for task, _ in wishes])
    noise = None if wishes[0][1] is None else torch.cat([_draw(trained, task, draw) for task, draw in wishes])
    if place_in_batch is None:
        per = count * max(1, MOST_ROWS // count)
        batches = [torch.arange(k, min(k + per, len(changes))) for k in range(0, len(changes), per)]
    else:
        row, size = _check_place(place_in_batch, count)
        batches = [(torch.arange(size) - row) % count]
    found: list[tuple[list[FieldTransform], dict[str, Any]]] = []
    for rows in batches:
        prediction = _run(trained.network, crops[rows % count], changes[rows], None if noise is None else noise[rows])
        first = 0 if place_in_batch is None else place_in_batch[0]
        last = len(rows) if place_in_batch is None else first + count
        for row in range(first, last, count):
            task, draw = wishes[len(found)]
            facts = {
                "predictor": trained.name,
                "predictor_sha256": trained.sha256,
                "batch": [row, len(rows)],
                "draw": draw,
                "steps": 0,
                "encoder_calls": count,
            }
            found.append(([place(prediction, row + i, task, face) for i, face in enumerate(faces)], facts))
    return found


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


def _change(task: Task, embeddings: Tensor) -> Tensor:
    """Return what the network is told of where the task's target lies from each of its faces: (F, D)."""
    targets = make_targets(task.config.target, task.guide, task.prompts, embeddings, task.settings)
    return FURTHER * target_change(embeddings, targets)


def _draw(trained: Trained, task: Task, draw: int | None) -> Tensor:
    """Return the noise of one of the seed's draws, counted from 0: (F, noise_dim), whatever their number."""
    assert draw is not None
    generator = torch.Generator().manual_seed(task.config.seed)
    shape = len(task.faces), trained.network.settings["noise_dim"]
    for _ in range(draw + 1):
        noise = torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")
    return noise


def _run(network: Predictor, crops: Tensor, changes: Tensor, noise: Tensor | None) -> Prediction:
    dim = network.settings["embed_dim"]
    require(changes.shape[1] == dim, f"the encoder's embeddings must have {dim} numbers, as the predictor's guide has; "
            f"got {changes.shape[1]}")  # fmt: skip
    device, training = next(network.parameters()).device, network.training
    network.eval()
    try:
        return network(crops.to(device), changes.to(device), None if noise is None else noise.to(device))
    finally:
        network.train(training)


def _check_place(place_in_batch: Sequence[int], count: int) -> tuple[int, int]:
    good = len(place_in_batch) == 2 and all(type(number) is int for number in place_in_batch)
    row, size = place_in_batch if good else (-1, -1)
    good = row >= 0 and row + count <= size <= max(MOST_ROWS, count)
    require(good, f"batch must be the row of {count} faces and a size they are in; got {describe(place_in_batch)}")
    return row, size


def _as_fit(transform: FieldTransform) -> Fit:
    return Fit(transform, stopped=StopReason.PREDICTED)
