"""How a fast operation is judged by its meaning in plain torch."""

from __future__ import annotations

import torch


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_as_exact_as(fast, reference, *args, device="cpu"):
    """Judge values, and every gradient under a random cotangent, by the reference's own rounding on the CPU.

    Both return a tensor or, by their names, several; `fast` gets its arguments on `device`.
    """

    def run(function, dtype, where="cpu"):
        leaves = [a.detach().to(where, dtype).requires_grad_() for a in args]
        out = function(*leaves)
        found = {}
        for name, value in (out if isinstance(out, dict) else {"value": out}).items():
            cotangent = torch.randn(value.shape, generator=generator(1)).to(where, dtype)
            gradients = torch.autograd.grad(value, leaves, cotangent, retain_graph=True)
            found[name] = [x.detach().cpu().double() for x in (value, *gradients)]
        return found

    exact, rounded = (run(reference, dtype) for dtype in (torch.float64, torch.float32))
    made = run(fast, torch.float32, device)
    assert made.keys() == exact.keys()
    for name, wanted in exact.items():
        for got, plain, true in zip(made[name], rounded[name], wanted, strict=True):
            assert got.shape == true.shape, name
            if true.numel():
                rounding = (plain - true).abs().max()
                assert (got - true).abs().max() <= 2 * rounding + 1e-6 * true.abs().max(), name
                assert got.any() == true.any(), name


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
