"""Adam with one step size per tensor, for fields whose parameters are places."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class PlaceAdam(torch.optim.Optimizer):
    """Adam (Kingma & Ba 2015) whose second moment is one number per tensor instead of one per element.

    Adam gives every element the same speed, so on a lattice the background drifts as fast as the mouth. With
    one scale for the whole lattice a place moves in proportion to how much it matters to the objective.

    Args:
        params: as for any torch optimizer.
        lr: root mean square of a first step over the tensor, in parameter units.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict], lr: float, betas: tuple[float, float] = (0.9, 0.95)
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every parameter once."""
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state.update(step=0, mean=torch.zeros_like(parameter), square=0.0)
                state["step"] += 1
                state["mean"].lerp_(parameter.grad, 1 - first)
                square = parameter.grad.square().mean()
                state["square"] = second * state["square"] + (1 - second) * square
                scale = (state["square"] / (1 - second ** state["step"])).sqrt() + 1e-12
                parameter.sub_(state["mean"] / scale, alpha=group["lr"] / (1 - first ** state["step"]))
