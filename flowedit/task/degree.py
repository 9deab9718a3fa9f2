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

    That is each attribute of the prompts: of several in one an encoder, and a network that it guides, give each a part.
    What words say outright is left out, as a retouch does it; so is the degree that all share. For a target that is no
    direction all prompts are one.
    """
    prompts, degree = _searched(task), find_degree(task)
    if task.config.target != "direction":
        return [prompts]
    return [{text: weight / degree} for text, weight in list_attributes(task.guide, prompts).items()]


def find_degree(task: Task) -> float:
    """Return the degree of all that is searched for, 1 where some of it is more and some less, or an edit goes on.

    A search, or a network, comes to about the same movement for "sad" and "very sad": a target that is further away
    is no nearer to a face. And where the identity budget holds the one back it holds back the half of it less. So the
    usual edit is found, and then scaled.
    """
    if task.told or (any(face.begun for face in task.faces) and not task.predicted):
        return 1.0
    degrees = read_degrees(task.guide, _searched(task))
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


def _searched(task: Task) -> Mapping[str, float]:
    """Return the prompts without what their words say outright, where something is left."""
    rest = unsaid(task.restated)
    return rest if rest and rest != task.restated else task.prompts
