"""The steps of the loop: a field moves to where the encoder finds the warped face closer to the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from flowedit.config import Config
from flowedit.field.base import Field
from flowedit.field.hashgrid import HashField
from flowedit.field.raster import RasterField
from flowedit.fit.adam_uniform import AdamUniform
from flowedit.fit.cuda_graph import Captured
from flowedit.fit.objective import Objective, check_finite
from flowedit.fit.views import POOL
from flowedit.guide.encoder import Encoder

PALETTE_RATE, COLOR_RATE = 2.0, 0.25  # of lr: the parts' colors go first, each pixel's own tint corrects


@dataclass(frozen=True)
class Step:
    """One step of the loop: its number, every term's value before weights, their weighted sum, and views seen."""

    number: int
    terms: Mapping[str, float]
    total: float
    views: int


def iterate(
    field: Field,
    crop: Tensor,
    weight: Tensor,
    encoder: Encoder,
    prompts: Mapping[str, float],
    config: Config,
    generator: torch.Generator,
    optimizers: list[torch.optim.Optimizer] | None = None,
    landmarks: Tensor | None = None,
    avoid: Tensor | None = None,
) -> Iterator[Step]:
    """Improve `field` in place, a step at a time.

    On CUDA a step's look at the field and its move are captured as graphs, and replayed (`capture.Captured`).

    Args:
        field: starts anywhere, usually at zero.
        crop: (1, 3, S, S) the face.
        weight: (1, 1, S, S) window and masks.
        encoder: judge.
        prompts: text -> weight.
        config: the loop's numbers.
        generator: source of the views.
        optimizers: of the field's parameters; None makes the ones that config asks for.
        landmarks: (68, 2) of the face, crop coordinates; without them movement costs the same everywhere.
        avoid: (k, n) fields to differ from, as of `flatten` at `grid_size`; None is none.

    Yields:
        Each step, before the parameters move: its values belong to the parameters as they are at the yield.

    Raises:
        FloatingPointError: a term is not finite; it and the step are named.
    """
    objective = Objective(field, crop, weight, encoder, prompts, config, generator, landmarks, avoid)
    optimizers = optimizers or make_optimizers(field, config)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = [float(group["lr"]) for group in groups]

    def move() -> None:
        for optimizer in optimizers:
            optimizer.step()

    look: Callable[[Tensor, int], Tensor] = objective
    if crop.is_cuda:
        captured = Captured(look, move)
        look, move = captured.look, captured.move
    for number in range(config.most_steps):
        if isinstance(field, HashField):
            field.set_levels(min(1.0, 0.6 + 1.2 * number / config.most_steps))
        chosen = torch.randperm(POOL, generator=generator)[: config.views].to(crop.device)
        values = dict(zip(objective.weights, look(chosen, number).tolist(), strict=True))
        check_finite(values, number)
        total = sum(weight * values[name] for name, weight in objective.weights.items())
        yield Step(number, values, total, len(chosen))
        for group, rate in zip(groups, rates, strict=True):  # a quick start, a quiet end
            lr = rate * min(1.0, (number + 1) / 5, 1.2 - number / config.most_steps)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        move()


def make_optimizers(field: Field, config: Config) -> list[torch.optim.Optimizer]:
    """Adam for a neural field's weights, PlaceAdam for everything that is a place or a part."""

    def rate(lr: float) -> float | Tensor:
        device = next(field.parameters()).device
        return torch.tensor(lr, device=device) if device.type == "cuda" else lr  # a CUDA graph reads tensors only

    parts = [] if field.palette is None else [{"params": [field.palette], "lr": rate(PALETTE_RATE * config.lr)}]
    if isinstance(field, HashField):
        network = [value for name, value in field.named_parameters() if name != "palette"]
        lr = rate(config.hash.lr)
        adam = torch.optim.Adam(network, lr, fused=True, capturable=isinstance(lr, Tensor))
        return [adam, *([AdamUniform(parts, config.lr)] if parts else [])]
    assert isinstance(field, RasterField)
    color = COLOR_RATE if parts else 1.0
    places = [
        {"params": [field.coord], "lr": rate(config.lr)},
        {"params": [field.color], "lr": rate(color * config.lr)},
    ]
    return [AdamUniform([*places, *parts], config.lr)]
