"""Interpolation weights, and the two functions that read planes by them."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from flowedit.kernels import Interpolation, available, sample, soft_clamp, upsample
from flowedit.kernels.interpolation import gather
from flowedit.kernels.sample import reference
from tests.judging import bits_by_threads, generator

BACKENDS = available("cpu", "sample")
LINEAR, CATMULL_ROM, B_SPLINE = Interpolation


@pytest.mark.parametrize("interpolation", Interpolation)
def test_weights_sum_to_one_and_reproduce_a_line(interpolation):
    t = torch.linspace(0, 1, 11, dtype=torch.float64)[:-1]
    w = interpolation.weights(t)
    assert len(w) == interpolation.taps
    nodes = torch.arange(1 - len(w) // 2, 1 + len(w) // 2, dtype=torch.float64)
    torch.testing.assert_close(w.sum(0), torch.ones(10).double())
    torch.testing.assert_close(nodes @ w, t)


def test_the_interpolating_cubic_reproduces_a_parabola_and_its_nodes():
    t = torch.linspace(0, 1, 11, dtype=torch.float64)[:-1]
    nodes = torch.arange(-1, 3, dtype=torch.float64)
    torch.testing.assert_close(nodes.square() @ CATMULL_ROM.weights(t), t.square())
    assert CATMULL_ROM.weights(torch.zeros(1)).flatten().tolist() == [0, 1, 0, 0]


def test_the_spline_is_the_box_folded_with_itself():
    box = torch.ones(1, 1, 1000, dtype=torch.float64) / 1000
    bump = box
    for _ in range(3):
        bump = F.conv1d(bump, box, padding=999)
    bump = bump[0, 0] * 1000  # support of 4 units, sampled 1000 to a unit
    t = torch.tensor([0.25], dtype=torch.float64)
    expected = [bump[3000 + 250], bump[2000 + 250], bump[1000 + 250], bump[250]]
    torch.testing.assert_close(B_SPLINE.weights(t)[:, 0], torch.stack(expected), atol=2e-3, rtol=0)


def test_gather_reads_x_along_columns_and_repeats_the_border():
    values = torch.arange(12.0).reshape(1, 3, 4)
    half = LINEAR.weights(torch.tensor([0.25, 0.0, 0.5]))
    none = LINEAR.weights(torch.zeros(3))
    x, y = torch.tensor([1, 9, -7]), torch.tensor([2, -5, 1])
    assert gather(values, x, y, half, none).tolist() == [[9.25, 3.0, 4.0]]
    assert gather(values, torch.tensor([1]), torch.tensor([0]), none[:, :1], half[:, 2:]).tolist() == [[3.0]]


# --- upsample


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 5, 9, 7), (16, 16, 64, 61), (8, 9, 3, 2)])
@pytest.mark.parametrize("interpolation", Interpolation)
def test_upsampling_is_sampling_at_the_pixel_centers(interpolation, sizes):
    h, w, height, width = sizes
    values = torch.randn(1, 3, w, h, generator=generator(), dtype=torch.float64).transpose(2, 3)
    y, x = ((torch.arange(n).double() + 0.5) * (m / n) - 0.5 for n, m in ((height, h), (width, w)))
    grid = torch.meshgrid(x, y, indexing="xy")
    expected = reference.sample(values[0], *(axis.flatten() for axis in grid), interpolation)
    torch.testing.assert_close(upsample(values, height, width, interpolation)[0].flatten(1), expected)


def test_linear_upsampling_is_torchs():
    values = torch.randn(2, 2, 5, 6, generator=generator())
    expected = F.interpolate(values, (11, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(upsample(values, 11, 12, LINEAR), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("nodes", "size"), [(16, 64), (64, 64), (64, 88), (16, 256), (64, 256), (192, 256)])
def test_upsampling_and_its_gradient_have_the_same_bits_for_any_number_of_threads(nodes, size):
    control = torch.randn(1, 3, nodes, nodes, generator=generator(), requires_grad=True)

    def make():
        out = upsample(soft_clamp(control, 0.1), size, size, B_SPLINE)
        return [out, *torch.autograd.grad(out.square().sum(), control)]

    first, *others = bits_by_threads(make)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_upsample_takes_an_empty_batch():
    assert upsample(torch.rand(0, 2, 3, 3), 4, 5, LINEAR).shape == (0, 2, 4, 5)


def test_upsample_says_what_is_wrong():
    with pytest.raises(ValueError, match=r"values must have shape \(B, C, h, w\) with at least one node; got \(2, 3\)"):
        upsample(torch.rand(2, 3), 4, 5, LINEAR)


@pytest.mark.parametrize("limit", [0.7, 0.0])
def test_a_soft_clamp_stays_within_its_limit_and_has_slope_one_at_zero(limit):
    x = torch.linspace(-9, 9, 101, dtype=torch.float64, requires_grad=True)
    y = soft_clamp(x, limit)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert (y.abs() <= limit).all() and slope[50] == (limit > 0)


# --- sample


@pytest.mark.parametrize("n_points", [0, 1, 2500])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 40)])
@pytest.mark.parametrize("interpolation", Interpolation)
@pytest.mark.parametrize("backend", BACKENDS)
def test_sample_is_as_exact_as_its_reference(backend, interpolation, size, n_points):
    values = torch.randn(3, *size[::-1], generator=generator()).transpose(1, 2)
    x, y = torch.randn(2, n_points, generator=generator(1)) * 9
    origin = tuple(torch.randint(-3, 40, (2, n_points), generator=generator(2)))
    exact = reference.sample(values.double(), x.double(), y.double(), interpolation, origin)
    plain = reference.sample(values, x, y, interpolation, origin)
    with torch.no_grad():
        got = sample(values, x, y, interpolation, origin, backend)
    assert got.shape == exact.shape == (3, n_points)
    if n_points:
        assert (got - exact).abs().max() <= 2 * (plain - exact).abs().max() + 1e-6


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_sampled_point_has_bits_of_its_own(backend):
    read = partial(sample, interpolation=CATMULL_ROM, backend=backend)
    values, points = torch.rand(2, 9, 9, generator=generator()), torch.rand(2, 999, generator=generator(1)) * 12 - 2
    with torch.no_grad():
        whole = read(values, *points)
        for part in (slice(0, 1), slice(3, 10), slice(77, 999)):
            assert torch.equal(read(values, *points[:, part]), whole[:, part])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_cubic_at_its_nodes_keeps_the_bits(backend):
    values, zero = torch.rand(3, 4, 5, generator=generator()), torch.zeros(20)
    row, column = torch.arange(20) // 5, torch.arange(20) % 5
    with torch.no_grad():
        assert torch.equal(sample(values, zero, zero, CATMULL_ROM, (column, row), backend), values.flatten(1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_half_is_sampled_in_float32(backend):
    values, points = torch.rand(2, 9, 9, generator=generator()).half(), torch.rand(2, 99, generator=generator(1)) * 8
    with torch.no_grad():
        exact = sample(values.double(), *points.double(), B_SPLINE)
        got = sample(values, *points, B_SPLINE, backend=backend)
    assert got.dtype == torch.float16
    assert (got.double() - exact).abs().max() <= 2**-11


def test_sampling_has_gradients_where_they_are_wanted():
    values = torch.rand(2, 5, 6, generator=generator(), dtype=torch.float64, requires_grad=True)
    x, y = (torch.rand(2, 7, generator=generator(1), dtype=torch.float64) * 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda v, x, y: sample(v, x, y, B_SPLINE), (values, x, y))
    (gradient,) = torch.autograd.grad(sample(values.float(), x.float(), y.float(), LINEAR).sum(), values)
    assert gradient.any()


@pytest.mark.parametrize("interpolation", ["cubic", 7])
def test_sample_refuses_an_unknown_interpolation(interpolation):
    with pytest.raises(ValueError, match=f"{interpolation!r} is not a valid Interpolation"):
        sample(torch.rand(1, 2, 2), torch.zeros(1), torch.zeros(1), interpolation)
