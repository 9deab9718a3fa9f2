"""Many photos, one prompt: their faces go through the network together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from flowedit.checks import collect, describe, require
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import check_prompts
from flowedit.isolation import isolated
from flowedit.photo.photo import Photo, Source
from flowedit.predict.fields import find_fields, finish_found
from flowedit.predict.one_pass import AnyPredictor, Prompt, ready
from flowedit.predict.weights import Trained, resolve_predictor
from flowedit.task.prepare import Task, check_config, prepare, resolve_encoder
from flowedit.task.threads import steady
from flowedit.transform.transforms import FieldTransform

MOST_PHOTOS = 16  # whose faces share a batch: the first edit waits for all of them
MOST_PIXELS = 48_000_000  # of photos that are held at once, before the last of them


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A photo that waits for its batch, with what was warned of and the seconds it took."""

    task: Task
    messages: Sequence[str]
    seconds: float


_Found = tuple[list[FieldTransform], dict[str, Any]]


def predict_all(
    images: Iterable[Source],
    prompt: Prompt,
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    predictor: AnyPredictor | None = None,
    judge: Encoder | str | None = None,
) -> Iterator[Edit | Exception]:
    """Predict the same edit of many photos, as `predict` does of one; their faces go through the network in batches.

    Photos are taken up to 16 at a time, or fewer once they have 48 megapixels together, and let go as their edits are.
    A batch's size may change the last bits of a prediction; it is among the edit's facts, and `remake` takes it.

    Args:
        images: as for `optimize`, each; they are read when their batch is begun.
        prompt: as for `optimize`.
        config: as for `predict`.
        encoder: as for `predict`.
        predictor: as for `predict`.
        judge: as for `predict`.

    Returns:
        For each photo, in order, its edit, or the error that `predict` would raise for it alone.

    Raises:
        TypeError, ValueError, RuntimeError: what holds for all photos, as `predict`, at the call; no photo was read.
    """
    single = isinstance(images, (str, bytes, Photo)) or not isinstance(images, Iterable)
    require(not single, f"images must be several, such as a list; got {describe(images)}", TypeError)
    config = check_config(config)
    check_prompts(prompt)
    guide, second, trained = _resolve(config, encoder, judge, predictor)
    return _predict_each(iter(images), prompt, config, guide, second, trained)


@isolated()
def _resolve(
    config: Config, encoder: Encoder | str | None, judge: Encoder | str | None, predictor: AnyPredictor | None
) -> tuple[Encoder, Encoder | None, Trained]:
    network = ready(predictor, config)
    guide = resolve_encoder(encoder, config)
    second = None if judge is None else resolve_encoder(judge, config)
    return guide, second, resolve_predictor(network, guide)


def _predict_each(
    images: Iterator[Source], prompt: Prompt, config: Config, guide: Encoder, judge: Encoder | None, trained: Trained
) -> Iterator[Edit | Exception]:
    # The caller runs between the steps of a generator: torch's state is only set inside the calls.
    while chunk := _prepare_chunk(images, prompt, config, guide):
        good = [each for each in chunk if isinstance(each, _Prepared)]
        begun = time.perf_counter()
        found: list[_Found | Exception]
        try:
            found = [*_find(trained, [each.task for each in good], encoder=guide)] if good else []
        except Exception as error:
            found = [error] * len(good)
        shared = (time.perf_counter() - begun) / max(1, len(good))
        good.clear()
        chunk.reverse()
        found.reverse()
        while chunk:  # none is held longer than it is needed
            each = chunk.pop()
            if isinstance(each, Exception):
                yield each
                continue
            fields = found.pop()
            yield fields if isinstance(fields, Exception) else _finish(each, fields, shared, judge, encoder=guide)
            del each, fields


def _prepare_chunk(
    images: Iterator[Source], prompt: Prompt, config: Config, guide: Encoder
) -> list[_Prepared | Exception]:
    """Read the next photos and find their faces; empty where there are no more."""
    chunk: list[_Prepared | Exception] = []
    pixels = 0
    while len(chunk) < MOST_PHOTOS and pixels < MOST_PIXELS:
        try:
            image = next(images)
        except StopIteration:
            break
        try:
            prepared = _prepare(image, prompt, config, encoder=guide)
        except Exception as error:
            chunk.append(error)
        else:
            chunk.append(prepared)
            pixels += prepared.task.photo.height * prepared.task.photo.width
    return chunk


@isolated()
@steady
def _prepare(image: Source, prompt: Prompt, config: Config, *, encoder: Encoder) -> _Prepared:
    begun = time.perf_counter()
    with collect() as messages:
        task = prepare(image, prompt, config, encoder)
    return _Prepared(task, messages, time.perf_counter() - begun)


@isolated()
@steady
def _find(trained: Trained, tasks: Sequence[Task], *, encoder: Encoder) -> list[_Found]:
    return find_fields(trained, [(task, None) for task in tasks])


@isolated()
@steady
def _finish(
    prepared: _Prepared, found: _Found, shared: float, judge: Encoder | None, *, encoder: Encoder
) -> Edit | Exception:
    try:
        return finish_found(prepared.task, found, prepared.messages, prepared.seconds + shared, judge)
    except Exception as error:
        return error
