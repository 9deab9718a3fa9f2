"""What a task's prompts name of the face beside its five parts is found there, and given to its faces to be moved."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch

from flowedit.checks import warn
from flowedit.face.crop import extract
from flowedit.face.retouch import Retouch, inside_photo, make_retouch
from flowedit.guide.part_words import named_parts
from flowedit.task.prepare import FaceTask, Task


def with_retouch(task: Task) -> Task:
    """Return a task whose faces may be retouched where its prompts name it; the same task where they name nothing."""
    parts = named_parts(task.prompts)
    if not parts:
        return task
    faces = tuple(_retouched(task, face, parts) for face in task.faces)
    found = [face.start.retouch for face in faces if face.start.retouch is not None]
    if "hair" in parts and found and not any(bool(each.masks[each.parts.index("hair")].any()) for each in found):
        warn("no hair is found about the face: it takes no color")
    return replace(task, faces=faces)


@torch.no_grad()
def _retouched(task: Task, face: FaceTask, parts: tuple[str, ...]) -> FaceTask:
    start, photo = face.start, task.photo
    if start.crop.landmarks is None:
        return face
    before = start.retouch
    names = (*(() if before is None else before.parts), *parts)
    names = tuple(dict.fromkeys(names))
    inside = inside_photo(start.crop, photo.height, photo.width)
    made: Retouch = make_retouch(names, start.crop, partial(extract, photo), inside, task.changes_hues(face))
    if before is not None:
        made.amounts[: len(before.parts)] = before.amounts.cpu()
        made.masks[: len(before.parts)] = before.masks.cpu()
        made.lifts[: len(before.parts)] = before.lifts.cpu()
    return replace(face, start=replace(start, retouch=made.to(face.pixels.device)))
