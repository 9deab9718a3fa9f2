"""What the loop minimizes on one crop."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.config import Config
from flowedit.field.base import Field
from flowedit.field.offsets import Offsets
from flowedit.field.warp import integrate
from flowedit.fit.terms import evenness, movement_price, text_pull, text_term, tint_price
from flowedit.fit.views import POOL, Views, soften
from flowedit.guide.corpus import find_corpus, read_corpus, span_corpus
from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import make_targets, text_change
from flowedit.kernels import PENALTIES, look, stage

ALIKE, BEGUN = 0.06, 0.3  # weight of the likeness to other fields; share of their size from which on it counts


class Objective:
    """What the loop minimizes, on one crop: all that stays the same from step to step is made here.

    Arguments as of `iterate`.

    Attributes:
        weights: of the numbers that a call returns, by name; their weighted sum is the total.
    """

    def __init__(
        self,
        field: Field,
        crop: Tensor,
        weight: Tensor,
        encoder: Encoder,
        prompts: Mapping[str, float],
        config: Config,
        generator: torch.Generator,
        landmarks: Tensor | None = None,
        avoid: Tensor | None = None,
    ) -> None:
        self._field, self._encoder, self._soft = field, encoder, soften(crop, encoder.size)
        # Whether a broken field is told before the encoder sees, and refuses, what it draws: it costs a CUDA graph.
        self._early = not crop.is_cuda
        self._views = Views.draw(POOL, generator, crop.device)
        with torch.no_grad():
            still = crop.new_zeros(1, 2, 1, 1), crop.new_zeros(1, 3, 1, 1)
            unedited = look(self._soft, *still, self._views.theta, self._views.gain, encoder.size)
            embeddings = encoder.image(unedited)
        basis = None
        if config.target == "projected":
            corpus = read_corpus(config.corpus or find_corpus(encoder, prompts))
            basis = span_corpus(encoder, corpus, text_change(encoder, prompts), config.components).vectors
        self._targets = make_targets(
            encoder, prompts, embeddings, config.target, config.intensity, basis=basis, alpha=config.alpha
        )
        self._size = size = grid_size(field, crop.shape[-1])
        self._light = F.interpolate(weight, (size, size), mode="area")
        free = torch.ones_like(self._light[0])
        moved = free if landmarks is None else movement_price(landmarks, size, config.around).to(free)
        if field.palette is None:
            self._palette, masks, tinted = crop.new_zeros(0, 3), crop.new_zeros(0, size, size), free
        else:
            self._palette, masks, tinted = field.palette, field.masks(size), tint_price(field.parts, landmarks, size)
        even = evenness(F.interpolate(crop, (size, size), mode="area"))
        self._fixed = self._light, field.paints, masks, torch.cat([moved, tinted]), *even
        self._config, self._avoid = config, None if avoid is None else avoid.to(crop)
        priced = {name: float(getattr(config, name)) for name in (*PENALTIES, "palette")}
        self._pull = [torch.tensor([*priced.values()], device=crop.device)]
        if avoid is not None:
            priced["alike"] = ALIKE
            self._pull.append(torch.tensor(ALIKE, device=crop.device))
        self.weights = {**priced, "text": 1.0}
        self._parameters = list(field.parameters())

    def __call__(self, chosen: Tensor, number: int) -> Tensor:
        """Measure the field in some of the views, and set its parameters' gradients.

        Args:
            chosen: (k,) out of the POOL views.
            number: of the step, for an error.

        Returns:
            (n,) by the names of `weights`, on the crop's device.

        Raises:
            FloatingPointError: a term is not finite.
        """
        coord, color = self._field.grid_without_parts(self._size)
        coord = coord * self._light
        if self._field.diffeomorphic:
            coord = integrate(coord)
        views = self._views.choose(chosen)
        given = (self._soft, coord, color, self._palette, *self._fixed, views.theta, views.gain)
        image, shown, _, costs = stage(*given, self._field.max_tint, self._encoder.size)
        terms = [costs]
        if self._avoid is not None:
            terms.append(alike_term(flatten(Offsets(coord, shown), self._config), self._avoid))
        if self._early:
            check_finite(dict(zip(self.weights, costs.tolist(), strict=False)), number)
        seen = self._encoder.image(image)
        # The total is linear in the terms, and its text in the embeddings: these weights are all of its gradient there.
        targets = self._targets.index_select(0, chosen)
        gradients = torch.autograd.grad([*terms, seen], self._parameters, [*self._pull, text_pull(targets)])
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        return torch.cat([term.detach().reshape(-1) for term in (*terms, text_term(seen.detach(), targets))])


def flatten(offsets: Offsets, config: Config) -> Tensor:
    """Put an (1, ·, h, w) field into one vector, (5 h w), in shares of the largest movement and tint."""
    coord, color = offsets.coord / (2 * config.max_shift), offsets.color / max(config.max_tint, 1e-6)
    return torch.cat([coord.flatten(), color.flatten()])


def alike_term(field: Tensor, others: Tensor) -> Tensor:
    """Mean likeness of a field to others, (n) and (k, n) as of `flatten`: 1 is the same, 0 across or against.

    The cosine of the movements and that of the tints, each as far as the other field consists of it: so a smile is made
    different by another movement, and not by a tan.

    After AnyFace's diverse triplet loss (Sun et al. 2022), where dividing by the distance from the mean result keeps a
    predictor from giving everyone the average; a cosine is as free of the fields' size, and needs no wrong prompts.
    """
    parts = [2 * len(field) // 5, 3 * len(field) // 5]
    total = others.square().sum(1).clamp_min(1e-12)
    found = []
    for own, other in zip(field.split(parts), others.split(parts, dim=1), strict=True):
        square = other.square().sum(1)
        # A field that has hardly begun is like nothing yet: it shall first find where the prompt leads.
        length = (square * (own.square().sum() + (BEGUN * BEGUN) * square)).clamp_min(1e-18).sqrt()
        found.append(F.relu(other @ own / length) * square / total)
    return torch.stack(found).sum(0).mean()


def check_finite(values: Mapping[str, float], step: int) -> None:
    """Refuse a term that is not a finite number."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"term {name!r} must be finite; got {value} at step {step}")


def grid_size(field: Field, side: int) -> int:
    """Points along one side that the field is evaluated at: four for three of its finest cells, or every pixel."""
    return min(side, max(64, 8 * math.ceil(field.detail / 6)))
