"""The steps of the optimizer: a field moves to where the encoder finds the warped face closer to the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from flowedit.config import Config
from flowedit.fit.adam_uniform import AdamUniform, Optimizer
from flowedit.fit.cuda_graph import Captured
from flowedit.fit.objective import Objective, check_finite
from flowedit.fit.terms import Term, weigh
from flowedit.task.prepare import FaceTask, Task
from flowedit.transform.transforms import FieldTransform

SQUARES_KEPT = 0.95  # share of the running mean of a gradient's square that a step keeps


@dataclass(frozen=True)
class Step:
    """One step of the optimizer.

    Attributes:
        number: from 0.
        terms: every term's value before weights, by name.
        total: their weighted sum.
        views: views of the face that were seen.
        preview: renders the face as it is now, (1, 3, n, n) in [0, 1]; takes n, or nothing for the working size. To be
            called before the next step.
    """

    number: int
    terms: Mapping[str, float]
    total: float
    views: int
    preview: Callable[..., Tensor] = field(repr=False)


def iterate(
    task: Task,
    face: FaceTask,
    terms: Mapping[str, tuple[Term, float]] | None = None,
    optimizers: list[Optimizer] | None = None,
) -> Iterator[Step]:
    """Improve a face's field and part colors in place, a step at a time.

    On CUDA a step's evaluation and its move are captured as graphs, and replayed (`cuda_graph.Captured`).

    Args:
        task: what is wanted, and of which photo.
        face: one of the task's faces.
        terms: further terms by name, each with its weight.
        optimizers: of the parameters; None makes the ones that the config asks for.

    Yields:
        Each step, before the parameters move: its values belong to the parameters as they are at the yield.

    Raises:
        FloatingPointError: a term is not finite; it and the step are named.
    """
    config, device = task.config, face.pixels.device
    objective = Objective(task, face, terms or {})
    optimizers = optimizers or make_optimizers(face.start, config, task.predicted)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    rates = [float(group["lr"]) for group in groups]

    def move() -> None:
        for optimizer in optimizers:
            optimizer.step()

    evaluate: Callable[[Tensor, int], Tensor] = objective
    if device.type == "cuda" and not terms:
        captured = Captured(evaluate, move)
        evaluate, move = captured.look, captured.move
    for number in range(task.most_steps):
        if not face.begun:
            face.start.field.set_progress(number / task.most_steps)
        chosen = torch.randperm(config.augment.pool, generator=task.generator, device="cpu")[: config.views].to(device)
        values = dict(zip(objective.weights, evaluate(chosen, number).tolist(), strict=True))
        check_finite(values, number)
        yield Step(number, values, weigh(values, objective.weights), len(chosen), objective.preview)
        # A quick start, a quiet end.
        warm, cool = (
            1.0 if task.predicted else (number + 1) / config.optimizer.warm_up,
            1 + config.optimizer.cool_down - number / task.most_steps,
        )
        for group, rate in zip(groups, rates, strict=True):
            lr = rate * min(1.0, warm, cool)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr
        move()
        if (part_tint := face.start.part_tint) is not None:
            face.holds.hold_paint(part_tint, task.colored)


def make_optimizers(transform: FieldTransform, config: Config, predicted: bool = False) -> list[Optimizer]:
    """Make AdamUniform for everything that is a place or a part, and Adam for a network's weights.

    Args:
        transform: whose parameters move.
        config: has the rates.
        predicted: whether the parameters are a prediction's.
    """
    device, sizes = next(transform.field.parameters()).device, config.optimizer
    betas = sizes.momentum_predicted if predicted else sizes.momentum, SQUARES_KEPT

    def rate(lr: float) -> float | Tensor:
        # A CUDA graph reads tensors only.
        return torch.tensor(lr, dtype=torch.float32, device=device) if device.type == "cuda" else lr

    parts = [] if transform.part_tint is None else [transform.part_tint.amounts]
    color_rate = sizes.color_rate if parts else 1.0
    rates = {"coord": sizes.lr, "color": color_rate * sizes.lr}
    groups = transform.field.param_groups()
    uniform = [{"params": groups[kind], "lr": rate(lr)} for kind, lr in rates.items() if groups.get(kind)]
    uniform += [{"params": parts, "lr": rate(sizes.part_rate * sizes.lr)}] if parts else []
    if transform.retouch is not None:
        uniform.append({"params": [transform.retouch.amounts], "lr": rate(sizes.retouch_rate * sizes.lr)})
    optimizers: list[Optimizer] = [AdamUniform(uniform, sizes.lr, betas)] if uniform else []
    if groups.get("network"):
        lr = rate(sizes.network_lr)
        optimizers.insert(0, torch.optim.Adam(groups["network"], lr, fused=True, capturable=isinstance(lr, Tensor)))
    return optimizers
