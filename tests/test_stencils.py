"""Interpolation stencils, and the two operations that read planes through them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from flowedit.kernels import available, sample, upsample
from flowedit.kernels.sample import reference as sample_reference
from flowedit.kernels.stencil import STENCILS, b_spline, catmull_rom, gather, linear
from flowedit.kernels.upsample import reference as upsample_reference
from tests.judging import assert_as_exact_as, generator

BACKENDS = available("cpu")


@pytest.mark.parametrize("weights", [linear, catmull_rom, b_spline])
def test_stencil_weights_sum_to_one_and_reproduce_a_line(weights):
    t = torch.linspace(0, 1, 11, dtype=torch.float64)[:-1]
    w = weights(t)
    nodes = torch.arange(1 - len(w) // 2, 1 + len(w) // 2, dtype=torch.float64)
    torch.testing.assert_close(w.sum(0), torch.ones(10).double())
    torch.testing.assert_close(nodes @ w, t)


def test_the_interpolating_cubic_reproduces_a_parabola_and_its_nodes():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)[:-1]
    nodes = torch.arange(-1, 3, dtype=torch.float64)
    torch.testing.assert_close(nodes.square() @ catmull_rom(t), t.square())
    assert catmull_rom(torch.zeros(1)).flatten().tolist() == [0, 1, 0, 0]


def test_the_spline_is_the_box_folded_with_itself():
    box = torch.ones(1, 1, 1000, dtype=torch.float64) / 1000
    bump = box
    for _ in range(3):
        bump = torch.nn.functional.conv1d(bump, box, padding=999)
    bump = bump[0, 0] * 1000  # support of 4 units, sampled 1000 to a unit
    t = torch.tensor([0.25], dtype=torch.float64)
    expected = [bump[3000 + 250], bump[2000 + 250], bump[1000 + 250], bump[250]]
    torch.testing.assert_close(b_spline(t)[:, 0], torch.stack(expected), atol=2e-3, rtol=0)


def test_gather_reads_x_along_columns_and_repeats_the_border():
    values = torch.arange(12.0).reshape(1, 3, 4)
    half = linear(torch.tensor([0.25, 0.0, 0.5]))
    none = linear(torch.zeros(3))
    x, y = torch.tensor([1, 9, -7]), torch.tensor([2, -5, 1])
    assert gather(values, x, y, half, none).tolist() == [[9.25, 3.0, 4.0]]
    assert gather(values, torch.tensor([1]), torch.tensor([0]), none[:, :1], half[:, 2:]).tolist() == [[3.0]]


def test_each_gathered_point_has_bits_of_its_own():
    values = torch.rand(3, 20, 30, generator=generator())
    t = torch.rand(2, 1001, generator=generator(1))
    x, y = (
        torch.randint(30, (1001,), generator=generator(2)),
        torch.randint(20, (1001,), generator=generator(3)),
    )
    whole = gather(values, x, y, catmull_rom(t[0]), catmull_rom(t[1]))
    for part in (slice(0, 1), slice(3, 10), slice(77, 1001)):
        alone = gather(values, x[part], y[part], catmull_rom(t[0, part]), catmull_rom(t[1, part]))
        assert torch.equal(alone, whole[:, part])


# --- upsample


@pytest.mark.parametrize("limit", [None, 0.7, 0.0])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 5, 9, 7), (16, 16, 64, 61), (8, 9, 3, 2)])
@pytest.mark.parametrize("stencil", STENCILS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_upsample_is_as_exact_as_its_reference(backend, stencil, sizes, limit):
    h, w, height, width = sizes
    values = torch.randn(2, 3, w, h, generator=generator()).transpose(2, 3)
    given = {"height": height, "width": width, "stencil": stencil, "limit": limit}
    meaning = partial(upsample_reference.upsample, **given)
    assert_as_exact_as(partial(upsample, **given, backend=backend), meaning, values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_limit_squeezes_the_nodes_before_they_are_read(backend):
    values = 3 * torch.randn(1, 2, 5, 6, generator=generator())
    squeezed = upsample(0.5 * torch.tanh(values / 0.5), 9, 9, "b_spline", backend=backend)
    torch.testing.assert_close(upsample(values, 9, 9, "b_spline", 0.5, backend), squeezed, rtol=0, atol=1e-6)
    assert not upsample(values, 9, 9, "b_spline", 0.0, backend).any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_linear_upsampling_is_torchs(backend):
    values = torch.randn(1, 2, 5, 6, generator=generator())
    expected = F.interpolate(values, (11, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(values, 11, 12, "linear", backend=backend), expected, rtol=0, atol=1e-6)


def test_upsample_takes_an_empty_batch_and_says_what_is_wrong():
    assert upsample(torch.rand(0, 2, 3, 3), 4, 5, "linear").shape == (0, 2, 4, 5)
    with pytest.raises(ValueError, match=r"values must have shape \(B, C, h, w\) with at least one node; got \(2, 3\)"):
        upsample(torch.rand(2, 3), 4, 5, "linear")
    with pytest.raises(ValueError, match=r"stencil must be one of .*; got 'cubic'"):
        upsample(torch.rand(1, 1, 3, 3), 4, 5, "cubic")


# --- sample


@pytest.mark.parametrize("n_points", [0, 1, 2500])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 40)])
@pytest.mark.parametrize("stencil", STENCILS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_sample_is_as_exact_as_its_reference(backend, stencil, size, n_points):
    values = torch.randn(3, *size[::-1], generator=generator()).transpose(1, 2)
    x, y = torch.randn(2, n_points, generator=generator(1)) * 9
    origin = tuple(torch.randint(-3, 40, (2, n_points), generator=generator(2)))
    exact = sample_reference.sample(values.double(), x.double(), y.double(), stencil, origin)
    plain = sample_reference.sample(values, x, y, stencil, origin)
    with torch.no_grad():
        got = sample(values, x, y, stencil, origin, backend)
    assert got.shape == exact.shape == (3, n_points)
    if n_points:
        assert (got - exact).abs().max() <= 2 * (plain - exact).abs().max() + 1e-6


def test_each_sampled_point_has_bits_of_its_own():
    values, points = torch.rand(2, 9, 9, generator=generator()), torch.rand(2, 999, generator=generator(1)) * 12 - 2
    with torch.no_grad():
        whole = sample(values, *points, "catmull_rom")
        for part in (slice(0, 1), slice(3, 10), slice(77, 999)):
            assert torch.equal(sample(values, *points[:, part], "catmull_rom"), whole[:, part])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cubic_at_its_nodes_keeps_the_bits(backend):
    values, zero = torch.rand(3, 4, 5, generator=generator()), torch.zeros(20)
    row, column = torch.arange(20) // 5, torch.arange(20) % 5
    with torch.no_grad():
        assert torch.equal(sample(values, zero, zero, "catmull_rom", (column, row), backend), values.flatten(1))


def test_sampling_has_gradients_where_they_are_wanted():
    values = torch.rand(2, 5, 6, generator=generator(), dtype=torch.float64, requires_grad=True)
    x, y = (torch.rand(2, 7, generator=generator(1), dtype=torch.float64) * 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, x, y: sample(v, x, y, "b_spline"), (values, x, y))
    (gradient,) = torch.autograd.grad(sample(values.float(), x.float(), y.float(), "linear").sum(), values)
    assert gradient.any()


def test_sample_refuses_an_unknown_stencil():
    with pytest.raises(ValueError, match=r"stencil must be one of .*; got 'cubic'"):
        sample(torch.rand(1, 2, 2), torch.zeros(1), torch.zeros(1), "cubic")
