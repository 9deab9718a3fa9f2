"""How everything that has a largest size is kept below it."""

from __future__ import annotations

import torch
from torch import Tensor


def bounded(x: Tensor, limit: float) -> Tensor:
    """Squeeze x smoothly into (-limit, limit), with slope 1 at zero."""
    return limit * torch.tanh(x / limit) if limit > 0 else x * 0
