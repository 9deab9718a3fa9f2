"""What training asks of a batch beside the loop's objective."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.2  # of the cosines between changes
LEAST_LENGTH = 0.05  # of a prompt's change: a prompt that asks for less asks for this much
MARGIN = 0.2  # of the triplets
LEAST_DISTANCE = 0.05  # from the mean field: a field as near counts as this far, or the quotient would explode


def distillation(moved: Tensor, asked: Tensor) -> Tensor:
    """Compare which prompts each face's change is like with which prompts its own prompt is like.

    The cross-modal distillation of AnyFace (Sun et al. 2022): a symmetric Kullback-Leibler divergence. Differs: the
    distributions are over the batch's prompts, not over features, whose order means nothing; and a face's change counts
    in shares of its prompt's. Its direction alone would ask most of what has hardly moved: divided by its own length,
    the gradient was forty times that of the text term, and nothing was learned.

    Args:
        moved: (B, D) change of each face's embedding.
        asked: (B, D) change that its prompt asks for.

    Returns:
        A number.
    """
    words = F.normalize(asked, dim=1)
    lengths = asked.norm(dim=1, keepdim=True).clamp_min(LEAST_LENGTH)
    logits = moved / lengths @ words.T / TEMPERATURE, words @ words.T / TEMPERATURE
    seen, said = (F.log_softmax(each, dim=1) for each in logits)
    return 0.5 * ((seen - said) * (seen.exp() - said.exp())).sum(1).mean()


def diverse_triplets(fields: Tensor, right: Tensor, wrong: Tensor, mean: Tensor) -> Tensor:
    """Ask that fields are nearer to the right ones than those of wrong prompts are, for their distance from the mean.

    The diverse triplet loss of AnyFace (Sun et al. 2022), with D = 1 - cosine:

        max(D(right, field) / D(field, mean) - D(right, wrong) / D(wrong, mean) + margin, 0).

    Dividing by the distance from the mean field keeps a predictor from giving the average to everyone.

    Args:
        fields: (B, N).
        right: (B, N).
        wrong: (B, N) fields of other prompts.
        mean: (N,) of many fields.

    Returns:
        A number.
    """

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return 1 - F.cosine_similarity(a, b, dim=1, eps=1e-4)

    mean = mean.expand_as(fields)
    near = distance(right, fields) / distance(fields, mean).clamp_min(LEAST_DISTANCE)
    far = distance(right, wrong) / distance(wrong, mean).clamp_min(LEAST_DISTANCE)
    return F.relu(near - far + MARGIN).mean()


def imitation(fields: Tensor, found: Tensor) -> Tensor:
    """Return how far fields are from those that the optimizer found: 1 - cosine, and the squared distance's share.

    To be taken of movement, tint and paint apart: the tint's many numbers are hardly to be foreseen.
    """
    apart = (fields - found).square().sum(1) / found.square().sum(1).clamp_min(1e-4)
    return (apart.clamp_max(4.0) + 1 - F.cosine_similarity(fields, found, dim=1, eps=1e-4)).mean()


def running_mean(mean: Tensor | None, fields: Tensor, keep: float = 0.98) -> Tensor:
    """Return the mean of many batches' fields (N,)."""
    now = fields.detach().mean(0)
    return now if mean is None else torch.lerp(now, mean, keep)
