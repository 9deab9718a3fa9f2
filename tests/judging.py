"""How a fast operation is judged by its meaning in plain torch."""

from __future__ import annotations

import torch


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_as_exact_as(fast, reference, *args):
    """Judge values, and every gradient under a random cotangent, by the reference's own rounding."""

    def run(function, dtype):
        leaves = [a.detach().to(dtype).requires_grad_() for a in args]
        out = function(*leaves)
        cotangent = torch.randn(out.shape, generator=generator(1)).to(dtype)
        return [x.double() for x in (out, *torch.autograd.grad(out, leaves, cotangent))]

    exact = run(reference, torch.float64)
    for got, plain, true in zip(run(fast, torch.float32), run(reference, torch.float32), exact, strict=True):
        if not true.numel():
            assert got.shape == true.shape
            continue
        rounding = (plain - true).abs().max()
        assert (got - true).abs().max() <= 2 * rounding + 1e-6 * true.abs().max()
        assert got.any() == true.any()


def bits_by_threads(make):
    """Run `make` with one thread and, twice, with two; return its tensors of each run."""
    runs, before = [], torch.get_num_threads()
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        try:
            runs.append(make())
        finally:
            torch.set_num_threads(before)
    return runs
