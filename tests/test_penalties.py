"""What a field costs: what each penalty means, and that the compiled pass over the field agrees."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch

from flowedit.fit.terms import evenness
from flowedit.kernels import PENALTIES, available, jacobian_determinant, penalties
from flowedit.kernels.penalties import LEAST_AREA, reference
from flowedit.kernels.penalties.operator import penalties as operator
from tests.judging import assert_as_exact_as, bits_by_threads, generator

SIDE = 32
POINTS = torch.stack(torch.meshgrid(*[(2 * torch.arange(SIDE) + 1) / SIDE - 1] * 2, indexing="xy"))[None]
NO_TINT = torch.zeros(1, 3, SIDE, SIDE)
BACKENDS = available("cpu", "penalties")
native = pytest.mark.skipif("native" not in BACKENDS, reason="no compiled kernels here")


def cost(name, *, coord=None, color=NO_TINT, price=None, even=None, backend=None):
    coord = torch.zeros_like(color[:, :2]) if coord is None else coord
    h, w = coord.shape[2:]
    price = torch.ones(2, h, w) if price is None else price
    even = even or (torch.ones(1, 1, h, w - 1), torch.ones(1, 1, h - 1, w))
    found = penalties(coord, color, price, *even, backend=backend)
    return dict(zip(PENALTIES, found.tolist(), strict=True))[name]


@pytest.mark.parametrize("backend", BACKENDS)
def test_smoothness_is_free_for_affine_movement_only(backend):
    smooth = partial(cost, "smooth", backend=backend)
    assert smooth(coord=0.1 * POINTS + 0.2 * POINTS.flip(1) + 0.03) == pytest.approx(0, abs=1e-6)
    zero = torch.zeros_like(POINTS[:, :1])
    bent = torch.cat([POINTS[:, :1] ** 2, zero], 1)
    assert smooth(coord=bent) == pytest.approx(2, rel=1e-3)  # (d2/dx2 x^2)^2, half the channels
    twisted = torch.cat([POINTS[:, :1] * POINTS[:, 1:], zero], 1)
    assert smooth(coord=twisted) == pytest.approx(1, rel=1e-3)  # 2 * 1^2, half the channels


@pytest.mark.parametrize("backend", BACKENDS)
def test_movement_and_tint_cost_their_mean_length(backend):
    moved, tinted = torch.full((1, 2, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.1)
    assert cost("small", coord=moved, color=tinted, backend=backend) == pytest.approx(math.sqrt(0.5) - 1e-3, rel=1e-4)
    one = math.sqrt(0.03 + 1e-4) - 0.01
    assert cost("tint", coord=moved, color=tinted, backend=backend) == pytest.approx(one, rel=1e-4)
    for name in PENALTIES:
        assert cost(name, backend=backend) == pytest.approx(0, abs=1e-7)
    few = torch.zeros(1, 3, 4, 4)
    few[..., 0, 0] = 0.1 * 4  # as much square as a sixteenth of it everywhere
    assert cost("tint", color=few, backend=backend) < one
    price = torch.ones(2, 4, 4)
    price[0, :, :2], price[1, :, :2] = 5, 3
    assert cost("tint", color=tinted, price=price, backend=backend) == pytest.approx(2 * one, rel=1e-4)
    dear = cost("small", coord=moved, color=tinted, price=price, backend=backend)
    assert dear == pytest.approx(3 * (math.sqrt(0.5) - 1e-3), rel=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_uneven_tint_costs_only_where_the_photo_is_even(backend):
    photo = torch.zeros(1, 3, SIDE, SIDE)
    photo[..., SIDE // 2 :] = 1
    weights = evenness(photo)
    assert weights[0].shape == (1, 1, SIDE, SIDE - 1) and weights[1].shape == (1, 1, SIDE - 1, SIDE)
    assert weights[0][..., SIDE // 2 - 1].max() < 1e-3 and weights[0][..., 0].min() == 1 and weights[1].min() == 1
    on_the_edge, off_it = torch.zeros(2, 1, 3, SIDE, SIDE)
    on_the_edge[..., SIDE // 2 :] = 0.1
    off_it[..., SIDE // 4 :] = 0.1
    even = partial(cost, "even", even=weights, backend=backend)
    assert even(color=on_the_edge) < 1e-3 * even(color=off_it)
    assert even(color=torch.full_like(off_it, 0.1)) == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("scale", "wanted"), [(1.0, 0.0), (0.5, 0.0), (0.4, LEAST_AREA - 0.16), (0.0, LEAST_AREA)])
def test_folding_costs_below_the_least_area(scale, wanted, backend):
    assert cost("fold", coord=(scale - 1) * POINTS, backend=backend) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("size", [(3, 3), (3, 8), (7, 5), (33, 64)])
@pytest.mark.parametrize("term", [*PENALTIES, "all"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_penalties_are_as_exact_as_their_reference(backend, term, size):
    h, w = size
    coord = torch.randn(1, 2, w, h, generator=generator()).transpose(2, 3)
    coord = coord * (1.5 / max(h, w))  # folded in some places and not in others
    color = torch.randn(1, 3, h, w, generator=generator(1)) * 0.1
    fixed = [torch.rand(shape, generator=generator(2)) for shape in ((2, h, w), (1, 1, h, w - 1), (1, 1, h - 1, w))]
    fixed[0] = fixed[0].transpose(1, 2).contiguous().transpose(1, 2)
    wanted = slice(None) if term == "all" else PENALTIES.index(term)

    def run(function, coord, color):
        return function(coord, color, *(x.to(coord.dtype) for x in fixed))[wanted]

    areas = jacobian_determinant(coord)
    assert (areas < LEAST_AREA).any() and (areas > LEAST_AREA).any()
    fast = partial(run, partial(penalties, backend=backend))
    assert_as_exact_as(fast, partial(run, reference.penalties), coord, color)


@native
def test_the_number_of_threads_changes_no_bit_and_a_half_is_computed_in_float32():
    coord, color = (torch.randn(1, n, 40, 37, generator=generator(n)) * 0.1 for n in (2, 3))
    fixed = [torch.rand(shape, generator=generator(2)) for shape in ((2, 40, 37), (1, 1, 40, 36), (1, 1, 39, 37))]

    def run(dtype=torch.float32):
        leaves = [x.to(dtype).requires_grad_() for x in (coord, color)]
        found = penalties(*leaves, *fixed, backend="native")
        return [found, *torch.autograd.grad(found.sum(), leaves)]

    first, *others = bits_by_threads(run)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    half = run(torch.bfloat16)
    assert [x.dtype for x in half] == [torch.bfloat16] * 3
    torch.testing.assert_close(half[0].float(), first[0], rtol=0.05, atol=0.05)


@native
def test_penalties_are_a_sound_torch_operator():
    leaves = [torch.randn(1, n, 5, 6, generator=generator(n)).requires_grad_() for n in (2, 3)]
    fixed = torch.ones(2, 5, 6), torch.ones(1, 1, 5, 5), torch.ones(1, 1, 4, 6)
    torch.library.opcheck(operator.definition, (*leaves, *fixed))


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_finite_is_told(backend):
    broken = torch.zeros(1, 2, 8, 8)
    broken[0, 0, 3, 3] = math.nan
    color = torch.zeros(1, 3, 8, 8)
    for name in ("smooth", "small", "fold"):
        assert math.isnan(cost(name, coord=broken, color=color, backend=backend))
    color[0, 1, 3, 3] = math.nan
    assert all(math.isnan(cost(name, color=color, backend=backend)) for name in ("tint", "even"))


def test_penalties_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"coord must have shape \(1, 2, h, w\) with sides of at least 3; got"):
        cost("smooth", coord=torch.zeros(1, 2, 2, 5))
    with pytest.raises(ValueError, match=r"color must have shape \(1, 3, 5, 5\); got \(1, 3, 32, 32\)"):
        cost("smooth", coord=torch.zeros(1, 2, 5, 5))
    with pytest.raises(RuntimeError, match="backend must be one of"):
        cost("smooth", backend="triton")
