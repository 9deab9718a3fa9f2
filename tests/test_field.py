"""Fields: parameters -> Offsets anywhere in the crop."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from flowedit.field.base import Field
from flowedit.field.hashgrid import HashField
from flowedit.field.make import make_field
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.raster import RasterField
from flowedit.kernels import available


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def shaken(field: Field, scale=0.3) -> Field:
    """Give every parameter a random value, so that no part of the field is zero."""
    source = generator(5)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter += scale * torch.randn(parameter.shape, generator=source).to(parameter)
    return field


FIELDS = [
    RasterField(),
    RasterField(coord_size=1, color_size=7, max_shift=0.2),
    HashField(),
    HashField(n_levels=6, n_coord_levels=2, log2_hashmap_size=5, n_hidden=2, base_resolution=2),  # hashed levels
]


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("size", [1, 7, 64])
def test_a_new_field_is_zero_everywhere(field, size):
    coord, color = field.on_grid(size)
    assert coord.shape == (1, 2, size, size) and color.shape == (1, 3, size, size)
    assert not coord.any() and not color.any()


@pytest.mark.parametrize("field", FIELDS)
def test_a_new_field_has_a_gradient_to_both_parts(field):
    field = copy.deepcopy(field)
    coord, color = field.on_grid(16)
    (coord * torch.randn(coord.shape, generator=generator())).sum().backward(retain_graph=True)
    moved = [name for name, p in field.named_parameters() if p.grad is not None and p.grad.any()]
    assert moved and all(name.startswith("coord") for name in moved)
    (color * torch.randn(color.shape, generator=generator())).sum().backward()
    moved = [name for name, p in field.named_parameters() if p.grad is not None and p.grad.any()]
    assert any(name.startswith("color") for name in moved)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("size", [1, 7, 16, 101])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_points_and_grid_are_one_function(field, size, dtype):
    field = shaken(copy.deepcopy(field).to(dtype))
    coord, color = field.at_points(pixel_centers(size, dtype=dtype).reshape(-1, 2))
    lattice = field.on_grid(size)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(coord.T.reshape(1, 2, size, size), lattice.coord, rtol=0, atol=tolerance)
    torch.testing.assert_close(color.T.reshape(1, 3, size, size), lattice.color, rtol=0, atol=tolerance)
    assert lattice.coord.any() and lattice.color.any()


@pytest.mark.parametrize("field", FIELDS)
def test_gradients_of_points_and_grid_agree(field):
    field = shaken(copy.deepcopy(field).double())
    cotangent = torch.randn(15 * 15, 2, generator=generator(), dtype=torch.float64)
    tint = torch.randn(15 * 15, 3, generator=generator(1), dtype=torch.float64)
    coord, color = field.at_points(pixel_centers(15, dtype=torch.float64).reshape(-1, 2))
    parameters = list(field.parameters())
    direct = torch.autograd.grad((coord * cotangent).sum() + (color * tint).sum(), parameters)
    lattice = field.on_grid(15)
    coord, color = lattice.coord[0].flatten(1).T, lattice.color[0].flatten(1).T
    through = torch.autograd.grad((coord * cotangent).sum() + (color * tint).sum(), parameters)
    for a, b in zip(direct, through, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
        assert a.any()


@pytest.mark.parametrize("make", [RasterField, HashField])
def test_offsets_are_bounded_smoothly(make):
    field = shaken(make(max_shift=0.03, max_tint=0.2), scale=100)
    coord, color = field.on_grid(64)
    assert 0.9 * 0.06 < coord.abs().max() <= 0.06 * 1.00001
    assert 0.9 * 0.2 < color.abs().max() <= 0.2 * 1.00001


@pytest.mark.parametrize("make", [RasterField, HashField])
def test_a_bound_of_zero_leaves_the_part_out(make):
    field = shaken(make(max_shift=0.0, max_tint=0.0))
    coord, color = field.on_grid(9)
    (coord.sum() + color.sum()).backward()
    assert not coord.any() and not color.any()
    assert all(torch.isfinite(p.grad).all() for p in field.parameters() if p.grad is not None)


@pytest.mark.parametrize("field", FIELDS)
def test_points_outside_take_the_border(field):
    field = shaken(copy.deepcopy(field))
    outside = torch.tensor([[-5.0, 0.2], [0.3, 1.5], [2.0, -2.0]])
    for got, border in zip(field.at_points(outside), field.at_points(outside.clamp(-1, 1)), strict=True):
        assert torch.equal(got, border)


def test_at_takes_no_points():
    for field in FIELDS:
        coord, color = field.at_points(torch.zeros(0, 2))
        assert coord.shape == (0, 2) and color.shape == (0, 3)


@pytest.mark.parametrize("make", [RasterField, HashField])
def test_lattice_and_gradient_repeat_bit_for_bit(make):
    def run():
        field = shaken(make())
        coord, color = field.on_grid(50)
        (coord.square().sum() + color.square().sum()).backward()
        return [coord, color, *(p.grad for p in field.parameters())]

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


@pytest.mark.parametrize("field", [*FIELDS, RasterField(diffeomorphic=True, max_tint=0.3)])
def test_settings_and_state_make_the_same_field_again(field):
    field = shaken(copy.deepcopy(field))
    again = make_field(json.loads(json.dumps(field.settings())))
    again.load_state_dict(field.state_dict())
    assert again.settings() == field.settings() and again.diffeomorphic == field.diffeomorphic
    for a, b in zip(again.on_grid(20), field.on_grid(20), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"field kind must be one of \('lids', 'gaze', 'raster', 'hash'\); got None"),
        ({"kind": "vector"}, "field kind must be .*; got 'vector'"),
        ({"kind": ["raster"]}, "field kind must be"),
        ({"kind": "raster", "n_levels": 3}, "field settings must be those of a raster field"),
        ({"kind": "raster", "max_shift": "far"}, "field settings must be those of a raster field"),
        (
            {"kind": "raster", "coord_size": 10**9},
            "coord_size must be a whole number from 1 to 4096; got 1000000000",
        ),
        ({"kind": "raster", "color_size": 2.0}, "color_size must be a whole number"),
        ({"kind": "raster", "max_shift": -0.1}, r"max_shift must be a fraction .*; got -0.1"),
        ({"kind": "raster", "max_tint": float("nan")}, "max_tint must be in .*; got nan"),
        (
            {"kind": "hash", "n_levels": 2, "n_coord_levels": 3},
            "n_coord_levels must be a whole number from 1 to 2",
        ),
        ({"kind": "hash", "per_level_scale": 99.0}, "per_level_scale must be in"),
        ({"kind": "hash", "n_levels": 32, "per_level_scale": 4.0}, "the finest level must have at most"),
        ({"kind": "hash", "generator": 1}, "plain values"),
    ],
)
def test_make_field_says_what_is_wrong(settings, message):
    with pytest.raises(ValueError, match=message):
        make_field(settings)


@pytest.mark.parametrize("field", FIELDS)
def test_wrong_points_and_sizes_are_refused(field):
    with pytest.raises(ValueError, match=r"points must be floating and have shape \(N, 2\)"):
        field.at_points(torch.zeros(3, 3))
    with pytest.raises(ValueError, match="size must be a whole number"):
        field.on_grid(0)


# --- RasterField


def test_the_raster_is_a_twice_continuous_weighted_mean_of_its_control_points():
    field = RasterField(coord_size=8, max_shift=0.5).double()
    with torch.no_grad():
        field.coord[0, 3, 5] = 100.0  # saturates: the control point is 1 in crop coordinates
    # Control points sit at the pixel centers of an 8 x 8 grid: column 5 at (2 * 5 + 1) / 8 - 1.
    peak = torch.tensor([[(2 * 5 + 1) / 8 - 1, (2 * 3 + 1) / 8 - 1]], dtype=torch.float64)
    right = peak + torch.tensor([[2 / 8, 0.0]], dtype=torch.float64)
    far = peak + torch.tensor([[0.0, 2 * 2 / 8]], dtype=torch.float64)
    values = [float(field.at_points(p)[0][0, 0].detach()) for p in (peak, right, far)]
    assert values == pytest.approx([(2 / 3) ** 2, 2 / 3 / 6, 0.0], abs=1e-12)


def test_a_constant_raster_is_constant_up_to_the_border():
    field = RasterField(coord_size=5)
    with torch.no_grad():
        field.coord[1] = 0.02
    coord = field.on_grid(33).coord
    torch.testing.assert_close(coord[0, 1], torch.full((33, 33), float(0.09 * torch.tanh(torch.tensor(0.02 / 0.09)))))
    assert not coord[0, 0].any()


# --- HashField


def test_the_hash_field_draws_from_its_generator_only():
    before = torch.random.get_rng_state()
    a, b, c = (HashField(generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(a.table, b.table) and not torch.equal(a.table, c.table)
    assert torch.equal(a.coord[0].weight, b.coord[0].weight)


def test_coord_reads_the_coarse_levels_only():
    field = shaken(HashField(n_levels=5, n_coord_levels=2))
    before = field.on_grid(12)
    with torch.no_grad():
        field.table[2:] += 1
    after = field.on_grid(12)
    assert torch.equal(after.coord, before.coord) and not torch.equal(after.color, before.color)


def test_levels_open_from_coarse_to_fine():
    field = shaken(HashField(n_levels=4, n_coord_levels=2))
    whole = field.on_grid(12).color.clone()
    masks = []
    for fraction in (0.01, 0.25, 0.5, 0.625, 1.0):
        field.set_levels(fraction)
        masks.append(field.level_mask.tolist())
    assert masks == [[1, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0.5, 0], [1, 1, 1, 1]]
    assert torch.equal(field.on_grid(12).color, whole)
    field.set_levels(0.5)
    coarse = field.on_grid(12).color
    with torch.no_grad():
        field.table[2:] += 1
    assert torch.equal(field.on_grid(12).color, coarse) and not torch.equal(coarse, whole)
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\]; got 0"):
        field.set_levels(0)


def test_opposite_borders_do_not_share_features():
    # The encoding itself wraps around in the last half cell before 1; the field keeps clear of it.
    field = HashField(n_levels=1, n_coord_levels=1, base_resolution=4)
    left, right = (torch.tensor([[x, 0.1]]) for x in (-1.0, 1.0))
    shaken(field)
    (gradient_left,) = torch.autograd.grad(field.at_points(left)[1].sum(), field.table)
    (gradient_right,) = torch.autograd.grad(field.at_points(right)[1].sum(), field.table)
    assert not (gradient_left.bool() & gradient_right.bool()).any()


def test_zero_offsets_have_their_shapes():
    coord, color = Offsets.zeros(2, 3, 5)
    assert coord.shape == (2, 2, 3, 5) and color.shape == (2, 3, 3, 5)
    assert not coord.any() and not color.any()


@pytest.mark.parametrize("backend", ["torch", *(["native"] if "native" in available() else [])])
def test_a_hash_field_is_computed_by_the_backend_that_is_named(backend):
    field = shaken(HashField())
    expected = field.on_grid(20), field.at_points(torch.zeros(3, 2))
    field.backend = backend
    for got, wanted in zip((field.on_grid(20), field.at_points(torch.zeros(3, 2))), expected, strict=True):
        torch.testing.assert_close(got[0], wanted[0], rtol=1e-4, atol=1e-6)
    assert "backend" not in field.settings()


def test_a_hash_field_refuses_a_backend_that_cannot_be_used():
    field = HashField()
    field.backend = "abacus"
    with pytest.raises(RuntimeError, match="for lattice of cpu tensors in float32; got 'abacus'"):
        field.on_grid(20)
    with pytest.raises(RuntimeError, match="for hash_encode of cpu tensors in float32; got 'abacus'"):
        field.at_points(torch.zeros(3, 2))
