"""Adam with one step size per tensor, for fields whose parameters are places."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class AdamUniform(torch.optim.Optimizer):
    """Adam (Kingma & Ba 2015) whose second moment is one number per tensor instead of one per element.

    Adam gives every element the same speed, so on a lattice the background drifts as fast as the mouth. With
    one scale for the whole lattice a place moves in proportion to how much it matters to the objective.

    Args:
        params: as for any torch optimizer.
        lr: root mean square of a first step over the tensor, in parameter units; a tensor for a CUDA graph.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict], lr: float | Tensor, betas: tuple[float, float] = (0.9, 0.95)
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter once; with a tensor for lr nothing is read back from the device."""
        for group in self.param_groups:
            first, second = group["betas"]
            graphed = isinstance(group["lr"], Tensor)  # then numbers are tensors too; otherwise those cost the most
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
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
