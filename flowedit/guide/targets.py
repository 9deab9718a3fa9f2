"""Where in the embedding space a photo is moved to."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import require
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder, check_prompt

LEAST_SHARE = 0.05  # of a prompt's change, that must lie in its corpus' subspace
AXIS = 1e-3  # of a prompt's change: an axis that holds less is not about it


TARGETS = ("direction", "absolute", "projected")


def check_prompts(prompt: str | Mapping[str, float]) -> dict[str, float]:
    """Read a prompt, or several with weights (negative to avoid), as a dict.

    Raises:
        TypeError, ValueError: not text, empty, or a weight that is not a finite number other than 0.
    """
    prompts = {prompt: 1.0} if isinstance(prompt, str) else prompt
    require(isinstance(prompts, Mapping), f"prompt must be text or {{text: weight}}; got {prompts!r}", TypeError)
    require(len(prompts) > 0, "prompt must have at least one text; got none")
    for text, weight in prompts.items():
        check_prompt(text)
        number = isinstance(weight, (int, float)) and weight != 0 and abs(weight) < float("inf")
        require(number, f"the weight of {text!r} must be a finite number other than 0; got {weight!r}")
    return {text: float(weight) for text, weight in prompts.items()}


def text_change(encoder: Encoder, prompts: Mapping[str, float]) -> Tensor:
    """Sum the prompts' differences from "a face" by their weights, at the length of a single difference.

    Returns:
        (D,): for one prompt of weight w, w times its difference.

    Raises:
        ValueError: the weighted prompts cancel.
    """
    differences = embed_changes(encoder, list(prompts))
    weights = torch.tensor(list(prompts.values()), device=differences.device)
    total = weights @ differences
    require(float(total.norm()) > 1e-3, f"prompts must not cancel each other; got {dict(prompts)}")
    length = (weights.abs() @ differences.norm(dim=1)) / weights.abs().sum()
    return total if len(prompts) == 1 else total / total.norm() * length * float(weights.abs().max())


def make_targets(
    encoder: Encoder,
    prompts: Mapping[str, float],
    embeddings: Tensor,
    kind: str,
    intensity: float = 1.0,
    *,
    basis: Tensor | None = None,
    alpha: float = 1.0,
) -> Tensor:
    """Make one target for each view, before the loop.

    `direction`: the view's own embedding plus the text difference, so it is never 0/0 at the start and keeps
    what the prompt does not name. `absolute`: the prompts' embedding itself. `projected`: see `redistribute`; the
    prompts' summed difference is what is asked for, and their largest weight scales alpha.

    Args:
        encoder: embeds the prompts.
        prompts: text -> weight.
        embeddings: (n, D) the unedited views.
        kind: "direction", "absolute" or "projected".
        intensity: scales the difference of a direction; the others have none.
        basis: (N, D) orthonormal rows, for a projected target.
        alpha: strength of a projected target; 0 leaves the views' own embeddings.

    Returns:
        (n, D) unit vectors.
    """
    if kind == "direction":
        return F.normalize(embeddings + intensity * text_change(encoder, prompts), dim=-1)
    if kind == "projected":
        assert basis is not None
        strength = alpha * max(abs(weight) for weight in prompts.values())
        return F.normalize(redistribute(embeddings, text_change(encoder, prompts), basis, strength), dim=-1)
    weights = torch.tensor(list(prompts.values()), device=embeddings.device)
    total = weights @ encoder.text(list(prompts))
    require(float(total.norm()) > 1e-3, f"prompts must not cancel each other; got {dict(prompts)}")
    return F.normalize(total, dim=-1).expand_as(embeddings)


def redistribute(embeddings: Tensor, change: Tensor, basis: Tensor, alpha: float) -> Tensor:
    """Move what embeddings have in a subspace towards what is asked for, and leave the rest.

    CLIP-PAE (Zhou et al. 2023, Sec. 4): with w and d the parts of an embedding and of the text in the subspace, c_k and
    d_k their coefficients and r the rest of the embedding,

        sum_k (c_k - alpha |c_k|) b_k + (alpha sum_k |c_k| / sum_k d_k) d + r:

    each axis gives up alpha of its size and the text gets it, so the sum of the coefficients is kept. We differ: the
    text is its difference from "a face", since embeddings of text share a large part that says nothing; only its part
    in the subspace is added (their code adds all of it, which changes the rest); and each axis is turned so that
    d_k >= 0, and c_k >= 0 where d_k is nothing, so that neither the order nor the signs of the axes matter.

    Args:
        embeddings: (n, D) unit vectors.
        change: (D,) what is asked for, any length but 0.
        basis: (N, D) orthonormal rows.
        alpha: 0 is no change; 1 gives the text all that the subspace holds.

    Returns:
        (n, D), not of unit length.

    Raises:
        ValueError: next to nothing of the change lies in the subspace.
    """
    c, d = embeddings @ basis.T, F.normalize(change, dim=0) @ basis.T  # (n, N), (N,)
    require(
        float(d.abs().sum()) > LEAST_SHARE,
        "the prompt must be about what its corpus is about; the corpus has next to nothing of it: "
        "choose another by corpus= (--corpus), more components, or a file of your own with prompts like it",
    )
    about = d.abs() > AXIS
    sign = torch.where(about, d.sign(), torch.where(c < 0, -1.0, 1.0))
    c, d = c * sign, torch.where(about, d.abs(), 0.0)  # (n, N) and (N,), of axes b_k sign_k
    added = alpha * c.abs().sum(1, keepdim=True) / d.sum() * d - alpha * c.abs()
    return embeddings + (added * sign) @ basis
