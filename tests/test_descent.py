"""PlaceAdam: one step size per tensor, against Adam where they must agree."""

from __future__ import annotations

import pytest
import torch

from flowedit.fit.adam_uniform import AdamUniform


def parameter(*values):
    return torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))


def push(optimizer, p, *gradient):
    p.grad = torch.tensor(gradient, dtype=torch.float64)
    optimizer.step()


def test_a_first_step_has_the_root_mean_square_lr_and_the_gradients_proportions():
    p = parameter(0, 0, 0)
    push(AdamUniform([p], 0.1), p, 3, -4, 0)
    assert p.detach().square().mean().sqrt().item() == pytest.approx(0.1)
    assert (p[0] / p[1]).item() == pytest.approx(-3 / 4) and p[0] < 0 and p[2] == 0


def test_each_tensor_has_its_own_scale():
    large, small = parameter(0, 0), parameter(0, 0)
    optimizer = AdamUniform([large, small], 0.1)
    large.grad, small.grad = torch.ones(2).double() * 100, torch.ones(2).double() * 0.01
    optimizer.step()
    assert torch.allclose(large, small)


def test_with_one_element_it_is_adam():
    ours, theirs = parameter(1.0), parameter(1.0)
    a, b = AdamUniform([ours], 0.01), torch.optim.Adam([theirs], 0.01, betas=(0.9, 0.95), eps=1e-12)
    for k in range(20):
        push(a, ours, 1.5 - k * 0.2)
        push(b, theirs, 1.5 - k * 0.2)
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-9) and ours.item() != 1


def test_a_tensor_for_the_rate_changes_no_step():
    numbers, tensors = parameter(1.0, -2.0), parameter(1.0, -2.0)
    a, b = AdamUniform([numbers], 0.01), AdamUniform([tensors], torch.tensor(0.01, dtype=torch.float64))
    for k in range(5):
        for optimizer, p in ((a, numbers), (b, tensors)):
            push(optimizer, p, 1.5 - k, 0.3 * k)
    torch.testing.assert_close(numbers, tensors, rtol=0, atol=1e-12)


def test_it_descends():
    p = parameter(2.0, -3.0, 0.5)
    optimizer = AdamUniform([p], 0.05)
    for _ in range(300):
        push(optimizer, p, *(2 * p).tolist())
    assert p.abs().max() < 0.2


def test_no_gradient_and_a_zero_gradient_move_nothing():
    still, flat = parameter(1.0), parameter(2.0)
    optimizer = AdamUniform([still, flat], 0.1)
    push(optimizer, flat, 0.0)
    assert still.item() == 1 and flat.item() == 2
