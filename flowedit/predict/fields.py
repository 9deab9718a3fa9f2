"""Wishes through the network: what it is shown of each, the batches they share, and the fields that come out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from flowedit.checks import collect, describe, require
from flowedit.edit import Edit
from flowedit.guide.color_words import about_color
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import make_targets
from flowedit.predict.inputs import network_crops, straight_view, target_change
from flowedit.predict.network import Prediction, Predictor
from flowedit.predict.place import place
from flowedit.predict.variety import set_apart
from flowedit.predict.weights import Trained
from flowedit.provenance import StopReason
from flowedit.task.degree import split_degrees, split_prompts
from flowedit.task.finish import Fit, finish
from flowedit.task.prepare import Task
from flowedit.task.threads import on_idle_cores
from flowedit.transform.transforms import FieldTransform

MOST_ROWS = 32  # faces of a batch
SHARE_ROWS = 8  # of a batch, those that one core computes together: more gain nothing


@torch.no_grad()
def find_fields(
    trained: Trained, wishes: Sequence[tuple[Task, int | None]], place_in_batch: Sequence[int] | None = None
) -> list[tuple[list[FieldTransform], dict[str, Any]]]:
    """Let the network find the fields of several edits, in batches.

    Args:
        trained: the network.
        wishes: tasks under one guide, each with the number of its draw, or None for the edit without noise; all have a
            number, or none. Tasks that share their faces, as `with_prompt` makes them, are looked at once.
        place_in_batch: the first row and the size of the batch that one wish is to be computed in; None puts all into
            batches of up to MOST_ROWS.

    Returns:
        For each wish the transforms of its faces, and what is to be known of how they were found.
    """
    looks: dict[int, tuple[Tensor, Tensor]] = {}
    for task, _ in wishes:
        if id(task.faces) not in looks:
            looks[id(task.faces)] = _look(task)
    seen = [looks[id(task.faces)] for task, _ in wishes]
    asked = [split_prompts(task) for task, _ in wishes]
    crops = torch.cat([crop.repeat(len(each), 1, 1, 1) for (crop, _), each in zip(seen, asked, strict=True)])
    changes = [
        _change(task, embeddings, prompts)
        for (task, _), (_, embeddings), each in zip(wishes, seen, asked, strict=True)
        for prompts in each
    ]
    told = trained.further * torch.cat(changes)
    noise = None
    if wishes[0][1] is not None:
        draws = [_draw(trained, task, draw) for task, draw in wishes]
        noise = torch.cat([draw.repeat(len(each), 1) for draw, each in zip(draws, asked, strict=True)])
    counts = [len(task.faces) * len(each) for (task, _), each in zip(wishes, asked, strict=True)]
    painted = torch.tensor([task.paints for task, _ in wishes]).repeat_interleave(torch.tensor(counts))
    if place_in_batch is None:
        batches = list(_share_out(counts))
    else:
        row, size = _check_place(place_in_batch, counts[0])
        batches = [((torch.arange(size) - row) % counts[0], [row])]  # its own faces fill the other rows
    found: list[tuple[list[FieldTransform], dict[str, Any]]] = []
    for rows, firsts in batches:
        prediction = run_network(trained.network, crops[rows], told[rows], None)
        if noise is not None:
            drawn = run_network(trained.network, crops[rows], told[rows], noise[rows])
            prediction = set_apart(prediction, drawn, painted[rows])
        for first in firsts:
            task, draw = wishes[len(found)]
            facts = {
                "predictor": trained.name,
                "predictor_sha256": trained.sha256,
                "batch": [first, len(rows)],
                "draw": draw,
                "steps": 0,
                "encoder_calls": len(task.faces),
            }
            together = _add_up(task, asked[len(found)], prediction, first)
            found.append(([place(together, i, task, face) for i, face in enumerate(task.faces)], facts))
    return found


def _add_up(task: Task, asked: Sequence[Mapping[str, float]], prediction: Prediction, first: int) -> Prediction:
    """Add up the fields of what was asked, by degree, from a row on; only what is about color gives colors."""
    shape = len(asked), len(task.faces)
    coord, color, amounts = (
        values[first : first + shape[0] * shape[1]].unflatten(0, shape)
        for values in (prediction.coord, prediction.color, prediction.amounts)
    )
    if len(asked) > 1:
        texts = [text for prompts in asked for text in prompts]
        colored = about_color(task.guide, embed_changes(task.guide, texts)) | (task.config.hues == "free")
        colored = colored.to(coord.device).reshape(-1, 1, 1, 1)
        color = torch.where(colored[..., None], color, color.mean(2, keepdim=True))
        amounts = amounts * colored
    degrees = torch.tensor(split_degrees(task), device=coord.device)
    return Prediction(*((degrees @ each.flatten(1)).reshape(each.shape[1:]) for each in (coord, color, amounts)))


def finish_found(
    task: Task,
    found: tuple[Sequence[FieldTransform], Mapping[str, Any]],
    messages: Sequence[str],
    seconds: float | None,
    judge: Encoder | None = None,
) -> Edit:
    """Make the edit of what was found for a wish; see `finish`.

    Args:
        task: of the wish.
        found: of `find_fields`.
        messages: what was warned of before.
        seconds: that it took before; None for an edit without.
        judge: see `optimize`.
    """
    transforms, facts = found
    begun = time.perf_counter()
    with collect() as further:
        fits = [Fit(transform, stopped=StopReason.PREDICTED) for transform in transforms]
        edit = finish(task, fits, judge=judge, facts=facts)
    if seconds is not None:
        edit = replace(edit, facts=replace(edit.facts, seconds=round(seconds + time.perf_counter() - begun, 2)))
    return replace(edit, messages=(*messages, *further))


def _share_out(counts: Sequence[int]) -> Iterator[tuple[Tensor, list[int]]]:
    """Share wishes of so many faces each out to batches of up to MOST_ROWS rows; one of more faces has its own.

    Yields:
        The rows of a batch among all rows, and the first row in it of each of its wishes.
    """
    start, firsts, size = 0, list[int](), 0
    for count in counts:
        if firsts and size + count > MOST_ROWS:
            yield torch.arange(start, start + size), firsts
            start, firsts, size = start + size, [], 0
        firsts.append(size)
        size += count
    yield torch.arange(start, start + size), firsts


def _look(task: Task) -> tuple[Tensor, Tensor]:
    """Return what the network is shown of a task's faces, (F, 3, 128, 128), and the guide's embeddings, (F, D)."""
    crops = torch.cat([network_crops(face.seen) for face in task.faces])
    return crops, torch.cat([task.guide.image(straight_view(face.seen, task.guide)) for face in task.faces])


def _change(task: Task, embeddings: Tensor, prompts: Mapping[str, float]) -> Tensor:
    """Return where the target of prompts lies as seen from each of a task's faces: (F, D)."""
    targets = make_targets(task.config.target, task.guide, prompts, embeddings, task.settings)
    return target_change(embeddings, targets)


def _draw(trained: Trained, task: Task, draw: int | None) -> Tensor:
    """Return the noise of one of the seed's draws, counted from 0: (F, noise_dim), whatever their number."""
    assert draw is not None
    generator = torch.Generator().manual_seed(task.config.seed)
    shape = len(task.faces), trained.network.settings["noise_dim"]
    for _ in range(draw + 1):
        noise = torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")
    return noise


def run_network(network: Predictor, crops: Tensor, changes: Tensor, noise: Tensor | None) -> Prediction:
    """Let the network predict a batch, on idle cores where it is on the CPU; arguments as of `Predictor.forward`."""
    dim = network.settings["embed_dim"]
    require(changes.shape[1] == dim, f"the encoder's embeddings must have {dim} numbers, as the predictor's guide has; "
            f"got {changes.shape[1]}")  # fmt: skip
    device, training = next(network.parameters()).device, network.training
    given = (crops, changes) if noise is None else (crops, changes, noise)
    size = SHARE_ROWS if device.type == "cpu" else len(crops)
    shares = list(zip(*(each.to(device).split(size) for each in given), strict=True))

    @torch.no_grad()
    def predict(share: tuple[Tensor, ...]) -> Prediction:
        return network(*share)

    network.eval()
    try:
        predictions = on_idle_cores(predict, shares)
    finally:
        network.train(training)
    every = zip(*((each.coord, each.color, each.amounts) for each in predictions), strict=True)
    return Prediction(*(torch.cat(each) for each in every))


def _check_place(place_in_batch: Sequence[int], count: int) -> tuple[int, int]:
    good = len(place_in_batch) == 2 and all(type(number) is int for number in place_in_batch)
    row, size = place_in_batch if good else (-1, -1)
    good = row >= 0 and row + count <= size <= max(MOST_ROWS, count)
    require(good, f"batch must be the row of {count} faces and a size they are in; got {describe(place_in_batch)}")
    return row, size
