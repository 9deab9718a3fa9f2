"""Tints out of a place's own color and its parts': what they mean, and that the compiled pass agrees."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from flowedit.kernels import available, mix, paint
from flowedit.kernels.paint import reference
from flowedit.kernels.paint.operator import paint as operator
from tests.judging import assert_as_exact_as, bits_by_threads, generator

BACKENDS = available("cpu", "paint")
native = pytest.mark.skipif("native" not in BACKENDS, reason="no compiled kernels here")


def scene(h, w, parts):
    """A tint (1, 3, h, w), not contiguous, and a palette, both partly beyond a limit of 0.1; what else there is."""
    color = 0.1 * torch.randn(1, 3, w, h, generator=generator()).transpose(2, 3)
    palette, paints = (torch.randn(parts, *shape, generator=generator(1)) for shape in ((3,), (3, 3)))
    weight, masks = torch.rand(1, 1, h, w, generator=generator(2)), torch.rand(parts, h, w, generator=generator(3))
    return color, 0.05 * palette, (weight, paints, masks)


def run(function, color, palette, fixed, limit=0.1):
    weight, paints, masks = (x.to(color.dtype) for x in fixed)
    return function(color, weight, palette, paints, masks, limit)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_part_adds_its_mix_of_paints_where_it_is(backend):
    palette, paints = torch.tensor([[0.02, 0.0, 0.0], [0.0, 0.03, 0.01]]), torch.eye(3).repeat(2, 1, 1)
    masks = torch.zeros(2, 2, 2)
    masks[0, 0], masks[1, :, 0] = 1, 0.5
    weight = torch.tensor([[[[1.0, 0.5], [1.0, 0.0]]]])
    shown, own, used = paint(torch.full((1, 3, 2, 2), 0.01), weight, palette, paints, masks, 10.0, backend)
    torch.testing.assert_close(shown[0, 0], torch.tensor([[0.03, 0.015], [0.01, 0]]))
    torch.testing.assert_close(shown[0, 1], torch.tensor([[0.025, 0.005], [0.025, 0]]))
    torch.testing.assert_close(own, 0.01 * weight.expand(1, 3, 2, 2))
    assert used.item() == pytest.approx(math.hypot(0.02, 0.01) + math.sqrt(0.001 + 1e-4) - 0.02, rel=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_goes_beyond_the_limit_and_a_limit_of_zero_leaves_nothing(backend):
    color, palette, fixed = scene(9, 7, 3)
    function = partial(paint, backend=backend)
    shown, _, _ = run(function, color, 100 * palette, fixed, 0.1)
    assert (shown.abs() <= fixed[0] * 0.1 + 1e-7).all() and (shown.abs() == fixed[0] * 0.1).any()
    assert mix(100 * palette, fixed[1], 0.1).abs().max() <= 0.1
    leaves = [x.requires_grad_() for x in (color, palette)]
    shown, own, _ = run(function, *leaves, fixed, 0.0)
    assert not shown.any() and not own.any()
    gradients = torch.autograd.grad(shown.sum(), leaves)
    assert all(gradient.isfinite().all() for gradient in gradients) and not gradients[1].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_price_of_paint_is_its_length_part_by_part(backend):
    color, _, fixed = scene(3, 3, 5)

    def used(palette):
        return run(partial(paint, backend=backend), color, palette, fixed)[2]

    zero = torch.zeros(5, 3, requires_grad=True)
    assert used(zero).item() == pytest.approx(0, abs=1e-7)
    assert not torch.autograd.grad(used(zero), zero)[0].any()
    one, two = torch.zeros(2, 5, 3)
    one[0] = torch.tensor([3.0, 0.0, 4.0])
    two[:2] = one[0]
    assert used(one).item() == pytest.approx(5, abs=0.011)
    assert used(two).item() == pytest.approx(10, abs=0.022)


@pytest.mark.parametrize(("h", "w", "parts"), [(1, 1, 1), (3, 8, 5), (37, 41, 2), (64, 64, 5), (5, 6, 0)])
@pytest.mark.parametrize("output", ["shown", "own", "used"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_paint_is_as_exact_as_its_reference(backend, output, h, w, parts):
    color, palette, fixed = scene(h, w, parts)
    which = ("shown", "own", "used").index(output)

    def one(function, color, palette):
        return run(function, color, palette, fixed)[which] + 0 * color.sum() + 0 * palette.sum()

    assert_as_exact_as(partial(one, partial(paint, backend=backend)), partial(one, reference.paint), color, palette)


@native
def test_the_number_of_threads_changes_no_bit_and_a_half_is_computed_in_float32():
    color, palette, fixed = scene(70, 61, 5)

    def bits(dtype=torch.float32):
        leaves = [x.to(dtype).requires_grad_() for x in (color, palette)]
        found = run(partial(paint, backend="native"), *leaves, fixed)
        return [*found, *torch.autograd.grad(sum(x.sum() for x in found), leaves)]

    first, *others = bits_by_threads(bits)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    half = bits(torch.bfloat16)
    assert [x.dtype for x in half] == [torch.bfloat16] * 5
    torch.testing.assert_close(half[0].float(), first[0], rtol=0.05, atol=0.01)


@native
def test_paint_is_a_sound_torch_operator():
    color, palette, (weight, paints, masks) = scene(5, 6, 2)
    leaves = [x.requires_grad_() for x in (color, palette)]
    torch.library.opcheck(operator.definition, (leaves[0], weight, leaves[1], paints, masks, 0.1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_a_number_stays_so(backend):
    color, palette, fixed = scene(4, 4, 2)
    color[0, 1, 2, 3] = math.nan
    shown, own, _ = run(partial(paint, backend=backend), color, palette, fixed)
    assert shown[0, 1, 2, 3].isnan() and own[0, 1, 2, 3].isnan() and shown.isnan().sum() == 1


def test_paint_says_what_is_wrong():
    color, palette, (weight, paints, masks) = scene(4, 5, 2)
    with pytest.raises(ValueError, match=r"color must have shape \(1, 3, h, w\); got \(3, 4, 5\)"):
        paint(color[0], weight, palette, paints, masks, 0.1)
    with pytest.raises(ValueError, match=r"masks must have shape \(2, 4, 5\); got \(1, 4, 5\)"):
        paint(color, weight, palette, paints, masks[:1], 0.1)
    with pytest.raises(RuntimeError, match="backend must be one of"):
        paint(color, weight, palette, paints, masks, 0.1, backend="triton")
