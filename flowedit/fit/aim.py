"""Where the views of a face are to go in the embedding space."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.targets import make_targets, text_change
from flowedit.task.degree import find_degree, split_degrees, split_prompts
from flowedit.task.prepare import Task

EVEN = 0.35  # difference in progress, in shares of the way, by which one attribute counts e times another


class Aim:
    """The views' targets; of prompts that name several attributes, drawn to those that are reached least.

    A field finds some attributes more easily than others, and one may undo another: a smile narrows the eyes. At one
    constant target the easy ones pay for the lost ones.

    Args:
        task: says what is wanted.
        embeddings: (n, D) unit vectors, the unedited views.
    """

    def __init__(self, task: Task, embeddings: Tensor) -> None:
        config, guide, settings = task.config, task.guide, task.settings
        attributes, degrees, degree = split_prompts(task), split_degrees(task), find_degree(task)
        prompts = dict(task.prompts)  # of a target that is no direction the weights say something else
        if config.target == "direction":
            prompts = {text: weight / degree for text, weight in prompts.items()}
        if task.little:
            prompts = {text: weight for each in attributes for text, weight in each.items()}
        self._whole = make_targets(config.target, guide, prompts, embeddings, settings)
        self._several = len(attributes) > 1
        if self._several:
            self._unedited = embeddings
            changes = torch.stack([text_change(guide, each) for each in attributes]).to(embeddings)
            self._changes = settings.intensity * changes.new_tensor(degrees)[:, None] * changes  # (attributes, D)
            self._alone = F.normalize(embeddings + self._changes[:, None], dim=-1)  # (attributes, n, D)
            self._begun = (self._alone * embeddings).sum(-1)

    def __call__(self, embeddings: Tensor, chosen: Tensor) -> Tensor:
        """Return the targets of the chosen views as they are now: (k, D) unit vectors, constant.

        Args:
            embeddings: (k, D) unit vectors of those views.
            chosen: (k,) of the pool.
        """
        if not self._several:
            return self._whole.index_select(0, chosen)
        alone, begun = self._alone.index_select(1, chosen), self._begun.index_select(1, chosen)
        progress = ((alone * embeddings.detach()).sum(-1) - begun).mean(1) / (1 - begun).mean(1)
        shares = len(progress) * torch.softmax(-progress / EVEN, dim=0)
        return F.normalize(self._unedited.index_select(0, chosen) + shares @ self._changes, dim=-1)
