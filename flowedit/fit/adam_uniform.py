"""Adam with one step size per tensor, for fields whose parameters are places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor


class Optimizer(Protocol):
    """What moves parameters: `AdamUniform`, or one of torch's."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any:
        """Move every parameter once, by its gradient."""


class AdamUniform:
    """Adam (Kingma & Ba 2015) whose second moment is one number per tensor instead of one per element.

    Adam gives every element the same speed, so on a lattice the background drifts as fast as the mouth. With
    one scale for the whole lattice a place moves in proportion to how much it matters to the objective.

    It is no `torch.optim.Optimizer`: the first of those in a process loads torch's compiler, 150 MiB.

    Args:
        params: tensors, or groups of them with an "lr" of their own, as for torch's optimizers.
        lr: root mean square of a first step over the tensor, in parameter units; a tensor for a CUDA graph.
        betas: decay of the means of the gradient and of its square.
    """

    def __init__(
        self,
        params: Sequence[Tensor] | Sequence[dict[str, Any]],
        lr: float | Tensor,
        betas: tuple[float, float] = (0.9, 0.95),
    ) -> None:
        groups = params if isinstance(params[0], dict) else [{"params": params}]
        self.param_groups: list[dict[str, Any]] = [{"lr": lr, **group} for group in groups]  # type: ignore[dict-item]
        self._betas = betas
        self._state: dict[Tensor, dict[str, Any]] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter once; with a tensor for lr nothing is read back from the device."""
        first, second = self._betas
        for group in self.param_groups:
            graphed = isinstance(group["lr"], Tensor)  # then numbers are tensors too; otherwise those cost the most
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self._state.setdefault(parameter, {})
                if not state:
                    step, square = parameter.new_zeros(2).unbind() if graphed else (0, 0.0)
                    state.update(step=step, mean=torch.zeros_like(parameter), square=square)
                power = torch.linalg.vector_norm(parameter.grad) ** 2 / parameter.numel()
                state["step"] += 1
                state["mean"].lerp_(parameter.grad, 1 - first)
                state["square"] *= second
                state["square"] += (1 - second) * (power if graphed else power.item())
                scale = (state["square"] / (1 - second ** state["step"])) ** 0.5 + 1e-12
                speed = group["lr"] / (1 - first ** state["step"]) / scale
                if graphed:
                    parameter.sub_(state["mean"] * speed)
                else:
                    parameter.sub_(state["mean"], alpha=speed)
