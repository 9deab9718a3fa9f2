"""What the optimizer minimizes, on one face: all that stays the same from step to step is computed once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.retouch import Retouch, combine
from flowedit.field.base import Field
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.warp import integrate, pull_back
from flowedit.fit.aim import Aim
from flowedit.fit.smile import RealSmile
from flowedit.fit.terms import FitState, Term, evenness, movement_price, tint_price
from flowedit.guide.smile_words import smile_asked
from flowedit.kernels import REGULARIZERS, fused_step, render_views
from flowedit.kernels.step.reference import part_colors
from flowedit.task.degree import split_prompts
from flowedit.task.prepare import FaceTask, Task
from flowedit.task.views import Views, soften
from flowedit.transform.retouching import bind_once


class Objective:
    """The weighted terms of one face, with their gradients.

    Args:
        task: says what is wanted.
        face: its field starts anywhere, usually at zero.
        terms: further terms by name, each with its weight.

    Attributes:
        weights: of the numbers that a call returns, by name; their weighted sum is the total.
    """

    def __init__(self, task: Task, face: FaceTask, terms: Mapping[str, tuple[Term, float]]) -> None:
        config, guide, crop, landmarks = task.config, task.guide, face.seen, face.start.crop.landmarks
        self._field, self._part_tint, self._encoder = face.start.field, face.start.part_tint, guide
        self._hues = task.changes_hues(face)
        self._landmarks, self._crop, self._pixels = landmarks, crop, soften(crop, guide.size)
        self._layer = None if face.start.retouch is None else _RetouchLayer(face.start.retouch, task, face)
        # Whether a broken field is told before the encoder sees, and refuses, what it draws: it costs a CUDA graph.
        self._early = not crop.is_cuda
        self._views = Views.draw(config.augment, task.generator, crop.device)
        with torch.no_grad():
            still = crop.new_zeros(1, 2, 1, 1), crop.new_zeros(1, 3, 1, 1)
            unedited = render_views(self._pixels, *still, self._views.theta, self._views.gain, guide.size)
            embeddings = guide.image(unedited)
        self._aim = Aim(task, embeddings)
        self._size = size = grid_size(self._field, crop.shape[-1])
        self._weight = F.interpolate(face.weight, (size, size), mode="area")
        free = torch.ones_like(self._weight[0])
        background, covered = config.weights.background, config.weights.covered
        moved = free if landmarks is None else movement_price(landmarks, size, background).to(free)
        if self._part_tint is None:
            self._amounts, paints = crop.new_zeros(0, 3), crop.new_zeros(0, 3, 3)
            masks, tinted = crop.new_zeros(0, size, size), free
        else:
            self._amounts, paints, masks = (
                self._part_tint.amounts if task.paints else self._part_tint.amounts.detach(),
                self._part_tint.paints,
                self._part_tint.masks_on(size),
            )
            tinted = tint_price(self._part_tint.masks, landmarks, size, covered)
        if self._layer is not None:  # what is retouched is not to be tinted by the pixel as well
            tinted = torch.maximum(tinted, 1 + (covered - 1) * self._layer.cover(size))
        self._evenness = evenness(F.interpolate(crop, (size, size), mode="area"))
        self._prices = torch.cat([moved, tinted])
        even_x, even_y = self._evenness
        self._fused_step = partial(
            fused_step, weight=self._weight, paints=paints, price=self._prices, even_x=even_x, even_y=even_y,
            limit=self._field.max_tint if self._part_tint is None else self._part_tint.limit,
        )  # fmt: skip
        self._masks = masks
        self._painted = self._part_tint is not None and (task.paints or bool(self._amounts.any()))
        self._terms = {name: term for name, (term, _) in terms.items()}
        self.weights = {name: float(getattr(config.weights, name)) for name in REGULARIZERS}
        self.weights |= {name: float(weight) for name, (_, weight) in terms.items()}
        if self._layer is not None:
            self._terms["retouch"], self.weights["retouch"] = self._layer.price, float(config.weights.retouch)
        if landmarks is not None:
            searched = task.prompts
            if task.little:
                searched = {text: weight for each in split_prompts(task) for text, weight in each.items()}
            smiling = smile_asked(guide, searched)
            if smiling > 0:
                self._terms["smile"] = RealSmile(landmarks[None].to(crop.device))
                self.weights["smile"] = smiling * float(config.weights.smile)
        self._seeds = [
            torch.tensor([self.weights[name] for name in REGULARIZERS], dtype=crop.dtype, device=crop.device)
        ]
        self._seeds += [torch.tensor(self.weights[name], dtype=crop.dtype, device=crop.device) for name in self._terms]
        self.weights["text"] = 1.0
        self._parameters = list(self._field.parameters())
        self._parameters += [] if self._part_tint is None else [self._part_tint.amounts]
        self._parameters += [] if self._layer is None else [self._layer.retouch.amounts]

    def __call__(self, chosen: Tensor, number: int) -> Tensor:
        """Measure the field in some of the views, and set its parameters' gradients.

        Args:
            chosen: (k,) out of the pool of views.
            number: of the step.

        Returns:
            (n,) by the names of `weights`, on the crop's device.

        Raises:
            FloatingPointError: a term is not finite.
            TypeError: a user's own term is not one number.
        """
        coord, color = self._field.on_grid(self._size)
        coord = coord * self._weight
        if self._field.diffeomorphic:
            coord = integrate(coord)
        if not self._hues:
            color = lighten(color)
        views = self._views.choose(chosen)
        shown, tinted, own_color, costs = self._fused_step(
            self._pixels, coord, color, self._amounts, masks=self._masks_under(coord), theta=views.theta,
            gain=views.gain, size=self._encoder.size,
        )  # fmt: skip
        if self._layer is not None:
            shown = shown + self._layer.show(coord, views.theta, views.gain, self._encoder.size)
        if self._early:
            check_finite(dict(zip(REGULARIZERS, costs.tolist(), strict=True)), number)
        embeddings = self._encoder.image(shown)
        targets = self._aim(embeddings, chosen)
        values: list[Tensor] = []
        if self._terms:
            offsets = Offsets(coord, tinted)
            state = FitState(
                number, offsets, own_color, self._amounts, shown, embeddings, targets, self._pixels,
                self._prices, self._evenness, self._landmarks,
            )  # fmt: skip
            values = [_evaluate(name, term, state) for name, term in self._terms.items()]
        # A term that is constant, as where there is no face, has no gradient.
        slopes = [(value, seed) for value, seed in zip(values, self._seeds[1:], strict=True) if value.requires_grad]
        losses, seeds = zip((costs, self._seeds[0]), *slopes, (embeddings, targets / -len(targets)), strict=True)
        # The text term is linear in the embeddings: its gradient there is the targets, whatever they are.
        text = 1 - torch.dot(embeddings.detach().flatten(), targets.flatten()) / len(targets)
        gradients = torch.autograd.grad(losses, self._parameters, seeds, allow_unused=True)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient
        if self._layer is not None:
            self._layer.hold()
        return torch.cat([loss.detach().reshape(-1) for loss in (costs, *values, text)])

    @torch.no_grad()
    def preview(self, size: int | None = None) -> Tensor:
        """Render the face as the parameters make it now: (1, 3, n, n), in [0, 1]; n is `size` or the crop's."""
        coord, color = self._field.on_grid(self._size)
        coord = coord * self._weight
        if self._field.diffeomorphic:
            coord = integrate(coord)
        theta = torch.eye(2, 3, dtype=coord.dtype, device=coord.device)[None]
        size = size or self._crop.shape[-1]
        masks = self._masks_under(coord)
        views = self._fused_step(
            self._crop, coord, color, self._amounts, masks=masks, theta=theta, gain=theta.new_ones(1), size=size
        ).views
        if self._layer is not None:
            views = views + self._layer.show(coord, theta, theta.new_ones(1), size)
        return views.clamp(0, 1)

    def _masks_under(self, coord: Tensor) -> Tensor:
        """Return the parts' masks where a shift reads them: paint goes with the pixels it lies on.

        The shift is no variable here. How a part moves is seen in its own pixels; by its edge of paint alone it would
        be moved for the color's sake.
        """
        return pull_back(self._masks[None], coord.detach())[0] if self._painted else self._masks


class _RetouchLayer:
    """What a face's retouch adds to the crop before it is moved, as a function of its amounts.

    Args:
        retouch: its amounts are the parameter.
        task: of the photo.
        face: where.
    """

    def __init__(self, retouch: Retouch, task: Task, face: FaceTask) -> None:
        free = [row for row, part in enumerate(retouch.parts) if part not in task.said]
        self._free = torch.tensor(free, dtype=torch.long, device=face.pixels.device)
        self.retouch, side, device = retouch, face.pixels.shape[-1], face.pixels.device
        bound = bind_once(retouch, face.start.crop, task.photo)
        x, y = pixel_centers(side).reshape(-1, 2).T
        pixels = face.pixels[0].flatten(1).cpu()
        weight = face.weight[0].flatten(1).cpu()
        carriers = bound.carriers(pixels, x, y)
        self._carriers = [((weight * up).to(device), (weight * down).to(device)) for up, down in carriers]
        self._hue = (weight * bound.even_hue(pixels, carriers)).to(device)
        self._side = side

    def price(self, _: FitState) -> Tensor:
        """Return the summed length of the amounts that no words say, rounded off near 0."""
        return part_colors(self.retouch.amounts[self._free])

    def hold(self) -> None:
        """Let no step move the amounts that words say."""
        amounts = self.retouch.amounts
        if amounts.grad is not None:
            free = torch.zeros_like(amounts).index_fill(0, self._free, 1.0)
            amounts.grad = amounts.grad * free

    def cover(self, size: int) -> Tensor:
        """Return where a pigment scales the light: (1, size, size) in [0, 1]."""
        down = torch.stack([part[1] for part in self._carriers]).abs().amax((0, 1, 2)).reshape(1, 1, self._side, -1)
        cover = (F.interpolate(down, (size, size), mode="area")[0] / 0.1).clamp(max=1)
        return cover

    def show(self, coord: Tensor, theta: Tensor, gain: Tensor, size: int) -> Tensor:
        """Return what views show of the layer, moved with the photo: (k, 3, size, size)."""
        layer = (combine(self.retouch.gains(), self._carriers) + self._hue).reshape(1, 3, self._side, self._side)
        still = coord.new_zeros(1, 3, *coord.shape[-2:])
        return render_views(layer + 0.5, coord, still, theta, gain, size) - 0.5


def lighten(color: Tensor) -> Tensor:
    """Return a tint (1, 3, h, w) as it is, with a gradient that is the same in its three channels.

    A field that starts without a tint, or with equal channels, keeps them equal, and one that goes on from another edit
    keeps that one's hues.
    """
    fixed = color.detach()
    return fixed + (color - fixed).mean(1, keepdim=True)


def _evaluate(name: str, term: Term, state: FitState) -> Tensor:
    value = term(state)
    single = isinstance(value, Tensor) and value.numel() == 1 and value.is_floating_point()
    if not single:
        raise TypeError(f"term {name!r} must return a tensor of one floating number; got {value!r:.80}")
    return value.reshape(())


def check_finite(values: Mapping[str, float], step: int) -> None:
    """Raise FloatingPointError where a term is not a finite number."""
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"term {name!r} must be finite; got {value} at step {step}")


def grid_size(field: Field, side: int) -> int:
    """Return the points along a side that a field is evaluated at: 4 for 3 of its finest cells, or every pixel."""
    return min(side, max(64, 8 * math.ceil(field.detail / 6)))
