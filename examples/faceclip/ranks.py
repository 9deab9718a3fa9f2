"""One training by several processes, as torchrun starts them: the model of one process, up to rounding.

Each draws the whole of a batch by the same seed, and learns from its share of the rows. What goes over the batch, sums
of the objective and the statistics of batch norms, goes over all shares, and gradients are added up: they are those
that one process would have had of the whole. Alone, each function here does nothing.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@contextmanager
def joined(device: str = "cpu") -> Iterator[None]:
    """Be one of torchrun's processes inside: by gloo on CPUs, by nccl on GPUs, one for each process of a machine."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    gpu = torch.device(device).type == "cuda"
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield
        dist.barrier()  # one that leaves while another still sends ends it too
    finally:
        dist.destroy_process_group()


def count() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Return whether this is the process that prints, and writes checkpoints."""
    return not dist.is_initialized() or dist.get_rank() == 0


def wait() -> None:
    """Wait for all processes."""
    if dist.is_initialized():
        dist.barrier()


def share(rows: Tensor, parts: int = 1) -> Tensor:
    """Return this process's rows of each of the equal parts that a batch (B, ...) has: (B / processes, ...).

    Raises:
        ValueError: they cannot be shared out equally.
    """
    if count() == 1:
        return rows
    if len(rows) % (parts * count()):
        raise ValueError(f"a batch must have a multiple of {parts * count()} rows; got {len(rows)}")
    return rows.unflatten(0, (parts, count(), -1))[:, dist.get_rank()].flatten(0, 1)


def gather(rows: Tensor) -> Tensor:
    """Return the rows of all processes in the order that `share` took them from; its own alone have a gradient."""
    if count() == 1:
        return rows
    shares = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(count())]
    dist.all_gather(shares, rows.detach().contiguous())
    shares[dist.get_rank()] = rows
    return torch.cat(shares)


def total(value: Tensor) -> Tensor:
    """Return the sum over all processes, without a gradient."""
    if count() == 1:
        return value
    value = value.detach().clone()
    dist.all_reduce(value)
    return value


def agree(value: float) -> float:
    """Return what the first process has: clocks differ."""
    if count() == 1:
        return value
    shared = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(shared, 0)
    return float(shared)


def add_gradients(parameters: Iterable[Tensor]) -> None:
    """Give each parameter the sum of all processes' gradients."""
    if count() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, whole in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(whole.view_as(gradient))


class _Sum(torch.autograd.Function):
    """The sum over all processes, of whose gradients it is the sum too."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return total(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return total(gradient)


class TogetherNorm(nn.BatchNorm2d):
    """A batch norm with the statistics of all processes' rows, of which each has as many.

    torch's own, SyncBatchNorm, takes tensors on GPUs only.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        n, wide = count() * x.numel() // x.shape[1], x.to(self.running_mean.dtype)
        mean = _Sum.apply(wide.sum((0, 2, 3))) / n
        apart = wide - mean[:, None, None]
        variance = _Sum.apply(apart.square().sum((0, 2, 3))) / n
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * n / (n - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * (variance + self.eps).rsqrt()
        return (apart * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


def normalize_together(network: nn.Module) -> None:
    """Let a network's batch norms go over all processes' rows; its names and numbers stay as they are."""
    for module in network.modules():
        if count() > 1 and type(module) is nn.BatchNorm2d:
            module.__class__ = TogetherNorm
