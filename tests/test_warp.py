"""Warp, and the algebra of coords: composition, inverse, integration, Jacobian, folds."""

from __future__ import annotations

import math

import pytest
import torch

from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.raster import RasterField
from flowedit.field.warp import compose, count_folds, effective, integrate, invert, warp, warp_by_torch, window
from flowedit.kernels import jacobian_determinant


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth_coord(size=96, amount=0.04, seed=0, coord_size=6, windowed=True):
    """Make a random smooth (1, 2, size, size) float64 coord that vanishes at the border."""
    field = RasterField(coord_size=coord_size, max_shift=amount).double()
    with torch.no_grad():
        field.coord.copy_(torch.randn(field.coord.shape, generator=generator(seed)) * amount * 4)
    coord = field.on_grid(size).coord.detach()
    return coord * window(pixel_centers(size, dtype=torch.float64), 0.3) if windowed else coord


def wave(height=40, width=56):
    """Make a smooth lopsided picture (1, 3, height, width), float64."""
    y = torch.linspace(0, 2, height, dtype=torch.float64)[:, None]
    x = torch.linspace(0, 3, width, dtype=torch.float64)
    return 0.5 + 0.5 * torch.stack([torch.sin(x + y), torch.cos(2 * x - y), torch.sin(x * y)])[None]


# --- warp


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 64), (3, 1023)])
def test_zero_field_returns_the_image(size):
    image = torch.rand(1, 3, *size, generator=generator())
    assert torch.equal(warp(image, Offsets.zeros(1, *size)), image)


def test_one_field_serves_a_batch_and_one_image_many_fields():
    images = torch.rand(4, 3, 9, 7, generator=generator())
    field = Offsets(torch.randn(1, 2, 9, 7, generator=generator(1)) / 9, torch.rand(1, 3, 9, 7))
    assert torch.equal(warp(images, field)[2:3], warp(images[2:3], field))
    fields = Offsets(torch.randn(4, 2, 9, 7, generator=generator(2)) / 9, torch.rand(4, 3, 9, 7))
    assert torch.equal(warp(images[:1], fields)[3:], warp(images[:1], Offsets(*(x[3:] for x in fields))))


def test_warp_refuses_batches_that_do_not_agree():
    with pytest.raises(ValueError, match=r"must agree in batch, channels and size; got \(3, 3, 4, 4\), \(2, 2, 4, 4\)"):
        warp(torch.rand(3, 3, 4, 4), Offsets.zeros(2, 4, 4))


def naive_warp(image, coord, color):
    """Warp one image pixel by pixel, with plain numbers."""
    channels, height, width = image.shape
    out = color.clone()
    for i in range(color.shape[1]):
        for j in range(color.shape[2]):
            x = (2 * j + 1) / color.shape[2] - 1 + float(coord[0, i, j])
            y = (2 * i + 1) / color.shape[1] - 1 + float(coord[1, i, j])
            px, py = ((x + 1) * width - 1) / 2, ((y + 1) * height - 1) / 2
            px, py = min(max(px, 0), width - 1), min(max(py, 0), height - 1)
            for c in range(channels):
                for dy in (0, 1):
                    for dx in (0, 1):
                        weight = (px % 1 if dx else 1 - px % 1) * (py % 1 if dy else 1 - py % 1)
                        row, column = min(int(py) + dy, height - 1), min(int(px) + dx, width - 1)
                        out[c, i, j] += weight * image[c, row, column]
    return out


@pytest.mark.parametrize(("size", "out"), [((1, 1), (1, 1)), ((7, 5), (7, 5)), ((4, 9), (6, 3)), ((3, 3), (1, 8))])
def test_warp_is_bilinear_with_a_repeated_border(size, out):
    image = torch.rand(2, 3, *size, generator=generator(), dtype=torch.float64)
    coord = torch.randn(2, 2, *out, generator=generator(1), dtype=torch.float64)
    color = torch.randn(2, 3, *out, generator=generator(2), dtype=torch.float64)
    expected = torch.stack([naive_warp(*x) for x in zip(image, coord, color, strict=True)])
    torch.testing.assert_close(warp(image, Offsets(coord, color)), expected, rtol=0, atol=1e-9)


def test_where_nothing_moves_the_bits_stay_and_elsewhere_they_do_not_matter():
    image = torch.rand(1, 3, 200, 301, generator=generator())
    offsets = Offsets.zeros(1, 200, 301)
    offsets.coord[..., 50:] = 0.013
    moved = warp(image, offsets)
    assert torch.equal(moved[..., :50], image[..., :50]) and not torch.equal(moved[..., 50:], image[..., 50:])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_half_image_is_warped_in_float32(dtype):
    image = torch.rand(1, 3, 512, 512, generator=generator()).to(dtype)
    zero = torch.zeros(1, 3, 512, 512)
    assert torch.equal(warp(image, Offsets.zeros(1, 512, 512)), image)
    coord = torch.full((1, 2, 512, 512), 0.3 * 2 / 512)
    exact = warp(image.double(), Offsets(coord.double(), zero.double()))
    got = warp(image, Offsets(coord, zero))
    assert got.dtype == dtype
    assert (got.double() - exact).abs().max() <= torch.finfo(dtype).eps


def test_a_field_of_zero_has_the_gradient_of_the_interpolation():
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(7.0), indexing="ij")
    image = (0.1 * x + 0.02 * y).expand(1, 3, 9, 7)
    offsets = Offsets(torch.zeros(1, 2, 9, 7, requires_grad=True), torch.zeros(1, 3, 9, 7, requires_grad=True))
    to_coord, to_color = torch.autograd.grad(warp(image, offsets).sum(), offsets)
    inner = to_coord[..., 1:-1, 1:-1]
    torch.testing.assert_close(inner[:, 0], torch.full_like(inner[:, 0], 3 * 0.1 * 7 / 2))
    torch.testing.assert_close(inner[:, 1], torch.full_like(inner[:, 1], 3 * 0.02 * 9 / 2))
    assert (to_color == 1).all()


def test_the_image_gets_its_gradient_once_where_nothing_moves():
    image = torch.rand(1, 3, 9, 7, generator=generator(), requires_grad=True)
    cotangent = torch.randn(1, 3, 9, 7, generator=generator(1))
    (gradient,) = torch.autograd.grad(warp(image, Offsets.zeros(1, 9, 7)), image, cotangent)
    torch.testing.assert_close(gradient, cotangent, rtol=0, atol=1e-4)


def test_warp_gradients():
    image = torch.rand(1, 3, 5, 4, generator=generator(), dtype=torch.float64)
    coord = torch.rand(1, 2, 5, 4, generator=generator(1), dtype=torch.float64) * 0.3 - 0.2
    color = torch.rand(1, 3, 5, 4, generator=generator(2), dtype=torch.float64)
    leaves = [x.requires_grad_() for x in (image, coord, color)]
    assert torch.autograd.gradcheck(lambda image, *field: warp(image, Offsets(*field)), leaves)


def test_warp_takes_an_empty_batch():
    assert warp(torch.rand(0, 3, 4, 4), Offsets.zeros(0, 4, 4)).shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("image", "coord", "color", "message"),
    [
        ((3, 4, 4), (1, 2, 4, 4), (1, 3, 4, 4), r"image must have shape \(B, C, H, W\) with at least one pixel"),
        ((1, 3, 0, 4), (1, 2, 4, 4), (1, 3, 4, 4), "image must have shape"),
        ((1, 3, 4, 4), (1, 3, 4, 4), (1, 3, 4, 4), r"coord must have shape \(B, 2, h, w\)"),
        ((1, 3, 4, 4), (1, 2, 4, 4), (1, 3, 4, 5), "image, coord and color must agree in batch, channels and size"),
        ((1, 3, 4, 4), (1, 2, 4, 4), (1, 1, 4, 4), "image, coord and color must agree"),
    ],
)
def test_warp_says_what_is_wrong(image, coord, color, message):
    with pytest.raises(ValueError, match=message):
        warp(torch.rand(image), Offsets(torch.rand(coord), torch.rand(color)))


def test_composing_reads_as_warping_does():
    first, second = (torch.randn(1, 2, 9, 7, generator=generator(k), dtype=torch.float64) / 9 for k in (0, 1))
    by_kornia = warp(first, Offsets(second, second))
    assert torch.equal(compose(first, second), by_kornia)


def test_without_kornia_the_bits_are_the_same():
    color = torch.randn(1, 3, 96, 96, generator=generator(1)) / 9
    results = []
    for way in (warp, warp_by_torch):
        image, coord = wave(96, 96).float().requires_grad_(), smooth_coord().float().requires_grad_()
        out = way(image, Offsets(coord, color))
        out.square().sum().backward()
        results.append((out, image.grad, coord.grad))
    assert all(torch.equal(ours, wanted) for ours, wanted in zip(*results, strict=True))


# --- compose, invert


def test_composing_is_warping_twice():
    image = wave(96, 96)
    first, second = smooth_coord(seed=1), smooth_coord(seed=2)
    tint = torch.zeros(1, 3, 96, 96, dtype=torch.float64)
    twice = warp(warp(image, Offsets(first, tint)), Offsets(second, tint))
    once = warp(image, Offsets(compose(first, second), tint))
    other_way = warp(image, Offsets(compose(second, first), tint))
    assert (once - twice).abs().max() < 2e-3 < 1e-2 < (other_way - twice).abs().max()


def test_composing_with_nothing_changes_nothing():
    coord = smooth_coord()
    nothing = torch.zeros_like(coord)
    assert torch.equal(compose(coord, nothing), coord)
    assert torch.equal(compose(nothing, coord), coord)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("amount", [0.01, 0.04, 0.06])
def test_the_inverse_undoes_from_both_sides(seed, amount):
    coord = smooth_coord(amount=amount, seed=seed)
    inverse = invert(coord)
    assert coord.abs().max() > 0.5 * amount
    assert compose(coord, inverse).abs().max() < 1e-6  # what the iteration solves
    assert compose(inverse, coord).abs().max() < 0.05 * 2 / 96  # a twentieth of a pixel: the lattice's resolution


def test_the_inverse_of_a_shift_is_the_shift_back():
    coord = torch.full((1, 2, 12, 12), 0.1, dtype=torch.float64)
    torch.testing.assert_close(invert(coord), -coord)


# --- Jacobian, folds


def affine(matrix, height=9, width=14):
    """Make the coord (1, 2, height, width) of p -> matrix @ p."""
    x = ((2 * torch.arange(width, dtype=torch.float64) + 1) / width - 1).expand(height, width)
    y = ((2 * torch.arange(height, dtype=torch.float64) + 1) / height - 1)[:, None].expand(height, width)
    points = torch.stack([x, y])
    return (torch.einsum("ij,jhw->ihw", torch.tensor(matrix, dtype=torch.float64), points) - points)[None]


@pytest.mark.parametrize(
    ("matrix", "determinant"),
    [
        ([[1, 0], [0, 1]], 1),
        ([[2, 0], [0, 3]], 6),
        ([[1, 0.7], [0, 1]], 1),
        ([[1, 0.5], [0.25, 1]], 0.875),
        ([[-1, 0], [0, 1]], -1),
        ([[0, 1], [1, 0]], -1),
        ([[0, -1], [1, 0]], 1),
    ],
)
def test_the_determinant_of_an_affine_map_is_its_own(matrix, determinant):
    coord = affine(matrix)
    got = jacobian_determinant(coord)
    assert got.shape == (1, 1, 9, 14)
    torch.testing.assert_close(got, torch.full_like(got, determinant))
    assert count_folds(coord) == (9 * 14 if determinant <= 0 else 0)


def test_the_determinant_is_where_the_stretch_is():
    width = 50
    x = (2 * torch.arange(width, dtype=torch.float64) + 1) / width - 1
    coord = torch.zeros(1, 2, 4, width, dtype=torch.float64)
    coord[:, 0] = 0.1 * torch.sin(3 * x)
    expected = (1 + 0.3 * torch.cos(3 * x)).expand(4, width)
    torch.testing.assert_close(jacobian_determinant(coord)[0, 0, :, 1:-1], expected[:, 1:-1], atol=1e-3, rtol=0)


def test_one_crossing_pixel_counts_as_a_fold():
    coord = torch.zeros(1, 2, 9, 9, dtype=torch.float64)
    coord[0, 0, 4, 4] = 1.5 * 2 / 9  # past its right neighbour
    assert count_folds(coord) > 0
    assert (jacobian_determinant(coord) > 0).all() or count_folds(coord) >= int(
        (jacobian_determinant(coord) <= 0).sum()
    )
    coord[0, 0, 4, 4] = 0.5 * 2 / 9
    assert count_folds(coord) == 0


def test_folds_that_alternate_from_pixel_to_pixel_are_seen():
    coord = torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    coord[0, 0, :, ::2] = 1.2 * 2 / 8
    assert count_folds(coord) > 0


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1)])
def test_thin_coords_have_a_determinant_and_no_folds(size):
    coord = torch.zeros(1, 2, *size)
    assert torch.equal(jacobian_determinant(coord), torch.ones(1, 1, *size))
    assert count_folds(coord) == 0


# --- integrate


def test_integrating_a_linear_velocity_is_the_matrix_exponential():
    # dp/dt = A p; away from the border, where the lattice ends, the flow for time 1 is exp(A) p.
    matrix = torch.tensor([[0.1, -0.25], [0.25, -0.05]], dtype=torch.float64)
    velocity = affine((matrix + torch.eye(2, dtype=torch.float64)).tolist(), 64, 64)
    expected = affine(torch.matrix_exp(matrix).tolist(), 64, 64)
    inner = (slice(None), slice(None), slice(16, 48), slice(16, 48))
    error = (integrate(velocity)[inner] - expected[inner]).abs().max()
    assert error < 1e-3 < 1e-2 < (velocity - expected)[inner].abs().max()


def test_integrating_no_velocity_or_for_no_time_is_exactly_nothing():
    velocity = smooth_coord()
    assert not integrate(torch.zeros_like(velocity)).any()
    assert not integrate(velocity, 0.0).any()


@pytest.mark.parametrize("seed", range(3))
def test_strengths_add_up_and_a_negative_one_goes_back(seed):
    velocity = smooth_coord(seed=seed, amount=0.1)
    pixel = 2 / 96
    half, whole = integrate(velocity, 0.5), integrate(velocity)
    assert (compose(half, half) - whole).abs().max() < 0.05 * pixel
    assert compose(whole, integrate(velocity, -1.0)).abs().max() < 0.2 * pixel
    assert whole.abs().max() > 4 * pixel


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("max_shift", "coord_size"), [(0.045, 16), (0.1, 4)])
def test_large_velocities_do_not_fold(seed, max_shift, coord_size):
    field = RasterField(coord_size=coord_size, max_shift=max_shift)
    with torch.no_grad():  # every control point near its bound, in a random direction
        field.coord.copy_(torch.randn(field.coord.shape, generator=generator(seed)) * 20 * max_shift)
    velocity = field.on_grid(256).coord.detach() * window(pixel_centers(256))
    coord = integrate(velocity)
    assert count_folds(velocity) > 0
    assert count_folds(coord) == 0 and jacobian_determinant(coord).min() > 0
    assert coord.abs().max() <= 2 * max_shift * 1.0001


def test_integrate_gradient():
    velocity = smooth_coord(6, amount=0.05, windowed=False).requires_grad_()
    assert torch.autograd.gradcheck(lambda v: integrate(v, 0.7, 3), velocity)


# --- window, effective


def test_the_window_is_one_inside_and_exactly_zero_at_the_border_and_beyond():
    assert window(torch.tensor([[0.0, 0.0], [0.83, -0.83]])).tolist() == [1, 1]
    border = torch.tensor([[1.0, 0.3], [0.2, -1.0], [1.7, 0.0], [-3.0, -3.0], [1.0, 1.0]])
    assert window(border).tolist() == [0] * 5
    assert 0 < window(torch.tensor([0.9, 0.0])) < 1


def test_the_window_leaves_two_lattice_nodes_for_the_cubic():
    weight = window(pixel_centers(256))
    assert not weight[:2].any() and not weight[:, -2:].any()
    assert (weight[128, 3:-3] > 0).all()


def test_the_window_has_no_kink():
    x = torch.linspace(0.7, 1.1, 4001, dtype=torch.float64)
    weight = window(torch.stack([x, torch.zeros_like(x)], -1))
    slope = weight.diff() / x.diff()
    assert (slope <= 0).all()
    assert slope.diff().abs().max() < 0.1  # a jump of slope would be of order 1 / margin


@pytest.mark.parametrize("margin", [0.0, -1.0, 0.6, math.nan])
def test_a_wrong_margin_is_refused(margin):
    with pytest.raises(ValueError, match="margin must be a fraction of the crop's side"):
        window(torch.zeros(1, 2), margin)


def test_effective_scales_shape_and_color_apart():
    raw = Offsets(smooth_coord(), torch.rand(1, 3, 96, 96, generator=generator(), dtype=torch.float64))
    weight = torch.rand(1, 1, 96, 96, generator=generator(1), dtype=torch.float64)
    got = effective(raw, weight, shape=0.5, color=0.25, diffeomorphic=False)
    torch.testing.assert_close(got.coord, raw.coord * weight * 0.5)
    torch.testing.assert_close(got.color, raw.color * weight * 0.25)
    moved = effective(raw, weight, shape=0.5, color=0.25, diffeomorphic=True)
    torch.testing.assert_close(moved.coord, integrate(raw.coord * weight, 0.5))
    torch.testing.assert_close(moved.color, got.color)
    for diffeomorphic in (False, True):
        nothing = effective(raw, weight, shape=0.0, color=0.0, diffeomorphic=diffeomorphic)
        assert not nothing.coord.any() and not nothing.color.any()


@pytest.mark.parametrize("function", [compose, integrate, jacobian_determinant, count_folds, invert])
def test_a_wrong_coord_is_refused(function):
    coord = torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match=r"coord must have shape \(B, 2, h, w\); got .*\(1, 3, 4, 4\)"):
        function(coord, coord) if function is compose else function(coord)
