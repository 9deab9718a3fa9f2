"""The attributes that a task's prompts name side by side."""

from __future__ import annotations

from collections.abc import Mapping

from flowedit.guide.clauses import list_attributes
from flowedit.guide.part_looks import unsaid
from flowedit.task.prepare import Task


def split_prompts(task: Task) -> list[Mapping[str, float]]:
    """Return what is to be done one beside the other, for the fields or the targets of all to be put together.

    That is each attribute of the prompts: of several in one an encoder, and a network that it guides, give each a part.
    What words say outright is left out, as a retouch does it. For a target that is no direction all prompts are one.
    """
    rest = unsaid(task.restated)
    prompts = rest if rest and rest != task.restated else task.prompts
    if task.config.target != "direction":
        return [prompts]
    return [{text: weight} for text, weight in list_attributes(task.guide, prompts).items()]
