"""Where in the embedding space a photo is moved to: targets by name, and the user's own."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import as_float, describe, require, warn
from flowedit.guide.clauses import list_attributes
from flowedit.guide.clip import check_prompt
from flowedit.guide.color_changes import say_color_changes
from flowedit.guide.complaints import answer_complaints
from flowedit.guide.corpus import Basis, Corpus, embed_changes, find_corpus, read_corpus, span_corpus
from flowedit.guide.encoder import Encoder
from flowedit.guide.removals import say_removals
from flowedit.guide.spelling import respell, spell_denials
from flowedit.guide.wishes import keep_wishes

MIN_SHARE = 0.05  # of the requested change, that must lie in the subspace of its corpus
MIN_COEFFICIENT = 1e-3  # of the requested change: an axis that holds less is not about it
MOST_BYTES = 12_000  # of all prompts: a picture's record, which has up to three times what they take, is limited
MIN_LENGTH = 1e-3  # of a sum of embeddings; a shorter one has no direction


@dataclass(frozen=True, eq=False)
class TargetSettings:
    """What a target may depend on beside the prompts and the photo; see `make_settings`.

    Attributes:
        intensity: factor of the change of a direction.
        alpha: strength of a projected target; 0 leaves the views' own embeddings.
        corpus: prompts about one subject, or None.
        basis: of the subspace that the corpus spans, (N, D) orthonormal rows in `basis.vectors`; None without a corpus.
    """

    intensity: float = 1.0
    alpha: float = 1.0
    corpus: Corpus | None = None
    basis: Basis | None = None


class Target(Protocol):
    """Computes one target for each view of a face, once, before the loop."""

    def __call__(
        self, encoder: Encoder, prompts: Mapping[str, float], embeddings: Tensor, settings: TargetSettings, /
    ) -> Tensor:
        """Compute the targets.

        Args:
            encoder: the guide.
            prompts: text -> weight, a finite number other than 0.
            embeddings: (n, D) float32 unit vectors, the unedited views, on the loop's device.
            settings: the numbers and the corpus of the config.

        Returns:
            (n, D) finite, none zero, of any length; `make_targets` normalizes them.
        """


def check_prompts(prompt: str | Mapping[str, float]) -> dict[str, float]:
    """Return a prompt, or several with weights (negative to avoid), as a dict.

    Raises:
        TypeError, ValueError: not text, empty, too long for a picture's record, or a weight that is not a finite number
            other than 0.
    """
    prompts = {prompt: 1.0} if isinstance(prompt, str) else prompt
    require(isinstance(prompts, Mapping), f"prompt must be text or {{text: weight}}; got {prompts!r}", TypeError)
    require(len(prompts) > 0, "prompt must have at least one text; got none")
    for text, weight in prompts.items():
        check_prompt(text)
        good = math.isfinite(as_float(weight)) and as_float(weight) != 0
        require(good, f"the weight of {text!r:.80} must be a finite number other than 0; got {describe(weight)}")
    weights = {text: as_float(weight) for text, weight in prompts.items()}
    check_length(weights)
    return weights


def read_prompts(prompt: str | Mapping[str, float]) -> dict[str, float]:
    """Return prompts as `check_prompts` does, as they are meant, and of what they tell only what they ask for.

    Where a word was mistyped, a warning says so.

    Raises:
        TypeError, ValueError: as `check_prompts`.
    """
    prompts = dict[str, float]()
    for text, weight in check_prompts(prompt).items():
        meant = respell(text)
        if meant != spell_denials(text):
            warn(f"{text!r:.80} is read as {meant!r:.80}")
        plain = say_removals(meant)
        require(bool(plain), f"a prompt must ask for a change; got {text!r:.80}, which only says what stays")
        wanted = answer_complaints(keep_wishes(say_color_changes(plain)))
        prompts[wanted] = prompts.get(wanted, 0.0) + weight
    return prompts


def check_length(prompts: Mapping[str, float]) -> None:
    """Raise ValueError where prompts are too long for the record in a picture."""
    size = len(html.escape(json.dumps(dict(prompts))))
    require(size <= MOST_BYTES, f"prompts must take at most {MOST_BYTES} bytes in a picture's record; got {size}")


def text_change(encoder: Encoder, prompts: Mapping[str, float]) -> Tensor:
    """Sum the differences from "a face" of all attributes that prompts name, by their weights; see `list_attributes`.

    Attributes are embedded one by one: of several in one text an encoder gives some next to nothing.

    Returns:
        (D,): for one attribute of weight w, w times its difference.

    Raises:
        ValueError: the weighted prompts cancel.
    """
    attributes = list_attributes(encoder, prompts)
    differences = embed_changes(encoder, list(attributes))
    total = differences.new_tensor(list(attributes.values())) @ differences
    _check_sum(total, prompts)
    return total


def direction(encoder: Encoder, prompts: Mapping[str, float], embeddings: Tensor, settings: TargetSettings) -> Tensor:
    """Add the prompts' change to each view's embedding: never 0/0 at the start, and what no prompt names stays."""
    return embeddings + settings.intensity * text_change(encoder, prompts)


def absolute(encoder: Encoder, prompts: Mapping[str, float], embeddings: Tensor, settings: TargetSettings) -> Tensor:
    """Return the prompts' own embedding, summed by weight, for every view."""
    total = torch.tensor(list(prompts.values()), device=embeddings.device) @ encoder.text(list(prompts))
    _check_sum(total, prompts)
    return total.expand_as(embeddings)


def projected(encoder: Encoder, prompts: Mapping[str, float], embeddings: Tensor, settings: TargetSettings) -> Tensor:
    """Move each view within the subspace of a corpus only (see `redistribute`); the largest weight scales alpha."""
    basis = settings.basis
    require(basis is not None, "a projected target must have a basis in its settings; got None")
    assert basis is not None
    alpha = settings.alpha * max(abs(weight) for weight in prompts.values())
    return redistribute(embeddings, text_change(encoder, prompts), basis.vectors, alpha)


TARGETS: dict[str, Target] = {"direction": direction, "absolute": absolute, "projected": projected}
"""Targets by name; one entered here may be named in `Config.target`."""


def resolve_target(target: str | Target) -> Target:
    """Return the target of a name in TARGETS, or a callable as it is.

    Raises:
        ValueError: no such name.
        TypeError: neither a name nor callable.
    """
    if isinstance(target, str):
        require(target in TARGETS, f"target must be one of {', '.join(TARGETS)}, or a function; got {target!r}")
        return TARGETS[target]
    require(callable(target), f"target must be a name or a function; got {describe(target)}", TypeError)
    return target


def target_name(target: str | Target) -> str:
    """Return the name of a target for facts and logs: of a callable its own name, or its type's."""
    return target if isinstance(target, str) else getattr(target, "__name__", type(target).__name__)


def make_settings(
    encoder: Encoder,
    prompts: Mapping[str, float],
    target: str | Target = "direction",
    *,
    intensity: float = 1.0,
    alpha: float = 1.0,
    corpus: str | None = None,
    components: int | None = None,
) -> TargetSettings:
    """Find or read the corpus and span its subspace, once for all faces, where the target has use for one.

    Args:
        encoder: embeds the corpus.
        prompts: text -> weight.
        target: `projected` always has a corpus, the user's own function if `corpus` is set.
        intensity: see `TargetSettings`.
        alpha: see `TargetSettings`.
        corpus: names or a file as of `read_corpus`; None finds the prompts' own.
        components: see `span_corpus`.

    Raises:
        TypeError, ValueError: no such target, bad corpus or components, or prompts that cancel.
    """
    compute = resolve_target(target)
    if compute is not projected and (corpus is None or compute in TARGETS.values()):
        return TargetSettings(intensity, alpha)
    prompts_of = read_corpus(corpus) if corpus is not None else find_corpus(encoder, prompts)
    basis = span_corpus(encoder, prompts_of, text_change(encoder, prompts), components)
    return TargetSettings(intensity, alpha, prompts_of, basis)


def make_targets(
    target: str | Target,
    encoder: Encoder,
    prompts: Mapping[str, float],
    embeddings: Tensor,
    settings: TargetSettings | None = None,
) -> Tensor:
    """Compute one target for each view and normalize it.

    Args:
        target: a name in TARGETS or a callable.
        encoder: embeds the prompts.
        prompts: text -> weight.
        embeddings: (n, D) unit vectors, the unedited views.
        settings: None is `TargetSettings()`.

    Returns:
        (n, D) unit vectors of the embeddings' dtype and device.

    Raises:
        TypeError, ValueError: no such target, or a result of another shape, not finite, or zero.
    """
    compute = resolve_target(target)
    result = compute(encoder, prompts, embeddings, settings or TargetSettings())
    name, shape = target_name(target), tuple(embeddings.shape)
    tensor = isinstance(result, Tensor)
    require(tensor, f"target {name} must return a tensor {shape}; got {describe(result)}", TypeError)
    require(tuple(result.shape) == shape, f"target {name} must return {shape}; got {tuple(result.shape)}")
    lengths = result.norm(dim=-1)
    usable = bool((torch.isfinite(lengths) & (lengths > 0)).all())
    require(usable, f"target {name} must return finite vectors other than 0; got lengths {lengths.tolist()}")
    return F.normalize(result.detach().to(embeddings), dim=-1)


def redistribute(embeddings: Tensor, change: Tensor, basis: Tensor, alpha: float) -> Tensor:
    """Move what embeddings have in a subspace towards the requested change, and keep the rest.

    CLIP-PAE (Zhou et al. 2023, Sec. 4): with w and d the parts of an embedding and of the text in the subspace, c_k and
    d_k their coefficients and r the rest of the embedding,

        sum_k (c_k - alpha |c_k|) b_k + (alpha sum_k |c_k| / sum_k d_k) d + r:

    each axis loses alpha of its size and the text gains it, so the sum of the coefficients stays. Differs: the text
    is its difference from "a face", since embeddings of text share a large part; only its part in the subspace is
    added (their code adds all of it, which changes the rest); and each axis is turned so that d_k >= 0, and c_k >= 0
    where d_k is next to 0, so that neither the order nor the signs of the axes matter.

    Args:
        embeddings: (n, D) unit vectors.
        change: (D,) the requested change, of any length but 0.
        basis: (N, D) orthonormal rows.
        alpha: 0 is no change; at 1 the text gains all that the subspace holds.

    Returns:
        (n, D), not of unit length.

    Raises:
        ValueError: less than MIN_SHARE of the change lies in the subspace.
    """
    c, d = embeddings @ basis.T, F.normalize(change, dim=0) @ basis.T  # (n, N), (N,)
    require(
        float(d.abs().sum()) > MIN_SHARE,
        "the prompt must be about what its corpus is about; the corpus has next to nothing of it: "
        "choose another by corpus= (--corpus), more components, or a file of your own with prompts like it",
    )
    about = d.abs() > MIN_COEFFICIENT
    sign = torch.where(about, d.sign(), torch.where(c < 0, -1.0, 1.0))
    c, d = c * sign, torch.where(about, d.abs(), 0.0)  # (n, N) and (N,), of axes b_k sign_k
    added = alpha * c.abs().sum(1, keepdim=True) / d.sum() * d - alpha * c.abs()
    return embeddings + (added * sign) @ basis


def _check_sum(total: Tensor, prompts: Mapping[str, float]) -> None:
    if len(prompts) == 1:
        problem = f"a prompt must ask for more than a face; got {next(iter(prompts))!r}"
    else:
        problem = f"prompts must not cancel each other; got {dict(prompts)}"
    require(float(total.norm()) > MIN_LENGTH, problem)
