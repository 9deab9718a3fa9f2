"""How much more or less than usual a prompt asks for, and a transform that is as much larger or smaller."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace

import torch

from flowedit.field.raster import RasterField
from flowedit.guide.clauses import list_attributes, read_degrees
from flowedit.guide.part_looks import unsaid
from flowedit.task.prepare import FaceTask, Task
from flowedit.transform.transforms import FieldTransform


def split_prompts(task: Task) -> list[Mapping[str, float]]:
    """Return what is to be done one beside the other, for the fields or the targets of all to be put together.

    That is each attribute of the prompts, without its degree: of several in one an encoder, and a network that it
    guides, give each a part. What words say outright is left out, as a retouch does it, and so is the task's `little`.
    For a target that is no direction all prompts are one.
    """
    prompts = _searched(task)
    if task.config.target != "direction":
        return [prompts]
    degrees = read_degrees(task.guide, prompts)
    attributes = {text: weight / degrees[text] for text, weight in list_attributes(task.guide, prompts).items()}
    return [{text: weight} for text, weight in attributes.items() if text not in task.little]


def split_degrees(task: Task) -> list[float]:
    """Return how much of each of `split_prompts` is wanted beside the others: its degree by that of all."""
    if task.config.target != "direction":
        return [1.0]
    degrees, degree = read_degrees(task.guide, _searched(task)), find_degree(task)
    return [degrees[text] / degree for each in split_prompts(task) for text in each]


def part_little(task: Task) -> tuple[Task, Task | None]:
    """Return a task of those attributes of which more is asked than of others, and one of the others.

    Half of a change is further than a face comes, too, so a search does not stop there: what little is asked of is to
    be predicted, and added to what is found. None where all is asked for alike, or the target is no direction.
    """
    attributes = [text for each in split_prompts(task) for text in each]
    little = tuple(text for text, degree in zip(attributes, split_degrees(task), strict=False) if degree < 1)
    if not little or task.config.target != "direction":
        return task, None
    others = tuple(text for text in attributes if text not in little)
    return replace(task, little=little), replace(task, little=others)


def find_degree(task: Task) -> float:
    """Return the degree of all that is searched for, 1 where some of it is more and some less, or an edit goes on.

    A search, or a network, comes to about the same movement for "sad" and "very sad": a target that is further away
    is no nearer to a face. And where the identity budget holds the one back it holds back the half of it less. So the
    usual edit is found, and then scaled.
    """
    if task.told or (any(face.begun for face in task.faces) and not task.predicted):
        return 1.0
    degrees = read_degrees(task.guide, _searched(task)).values()
    return max(degrees) if max(degrees) < 1 else max(1.0, min(degrees))


@torch.no_grad()
def scale_found(task: Task, face: FaceTask, found: FieldTransform, factor: float) -> FieldTransform:
    """Return a transform of a face that does by a factor more or less, within what bounds it.

    What words said of a retouch has its own degree. A neural field has no parameters to scale: its strength is.
    """
    if not isinstance(found.field, RasterField):
        return replace(found, strength=factor * found.strength)
    field, part_tint, retouch = copy.deepcopy((found.field, found.part_tint, found.retouch))
    field.coord.mul_(factor)
    field.color.mul_(factor)
    if part_tint is not None:
        part_tint.amounts.mul_(factor)
        face.holds.hold_paint(part_tint, task.colored)
    if retouch is not None:
        retouch.amounts[[part not in task.said for part in retouch.parts]] *= factor
    return replace(found, field=field, part_tint=part_tint, retouch=retouch)


@torch.no_grad()
def add_beside(task: Task, face: FaceTask, found: FieldTransform) -> FieldTransform:
    """Return what was found for a face with what is predicted beside it."""
    beside = face.beside
    if beside is None:
        return found
    field, part_tint = copy.deepcopy((found.field, found.part_tint))
    assert isinstance(field, RasterField) and isinstance(beside.field, RasterField)  # which alone are predicted
    field.coord.add_(beside.field.coord)
    field.color.add_(beside.field.color)
    if part_tint is not None and beside.part_tint is not None:
        part_tint.amounts.add_(beside.part_tint.amounts)
        face.holds.hold_paint(part_tint, task.colored)
    return replace(found, field=field, part_tint=part_tint)


def _searched(task: Task) -> Mapping[str, float]:
    """Return the prompts without what their words say outright, where something is left."""
    rest = unsaid(task.restated)
    return rest if rest and rest != task.restated else task.prompts
