"""The fused step: what its three parts mean, and that every backend computes them as exactly as plain torch."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from flowedit.fit.terms import evenness
from flowedit.kernels import (
    REGULARIZERS,
    RegularizerConstants,
    available,
    fused_step,
    jacobian_determinant,
    mix,
    regularizers,
    render_views,
    tint_parts,
)
from tests.judging import assert_as_exact_as, generator

BACKENDS = available("cpu", "fused_step")
native = pytest.mark.skipif("native" not in BACKENDS, reason="no compiled kernels here")
SIZE, LIMIT = 11, 0.1
THETA = torch.tensor([[[1.0, 0.02, 0.01], [-0.02, 1.0, 0.0]], [[-0.9, 0.0, 0.0], [0.0, 0.95, 0.03]]])
LEAVES = ("coord", "color", "palette")


def scene(n=12, parts=3, image=(20, 22)):
    """What is differentiated: coord, folded in places; color and palette, partly beyond the limit. And all else."""
    coord, color = (0.08 * torch.randn(1, c, n, n + 1, generator=generator(c)).transpose(2, 3) for c in (2, 3))
    palette, paints = (0.1 * torch.randn(parts, *shape, generator=generator(1)) for shape in ((3,), (3, 3)))
    h, w = n + 1, n
    shapes = {
        "image": (1, 3, *image), "weight": (1, 1, h, w), "masks": (parts, h, w), "price": (2, h, w),
        "even_x": (1, 1, h, w - 1), "even_y": (1, 1, h - 1, w),
    }  # fmt: skip
    others = {name: torch.rand(shape, generator=generator(4)) for name, shape in shapes.items()}
    others |= {"paints": 20 * paints, "theta": THETA, "gain": torch.tensor([1.1, 0.9]), "limit": LIMIT, "size": SIZE}
    return (coord, color, palette), others


def run(backend, others, *leaves):
    """Compute all in the dtype, and where, the leaves are."""
    others = {name: x.to(leaves[0]) if isinstance(x, torch.Tensor) else x for name, x in others.items()}
    return fused_step(**others, **dict(zip(LEAVES, leaves, strict=True)), backend=backend)


def outputs(backend, others, *leaves):
    """Every output by its name; each depends on every leaf, if only by 0."""
    step = run(backend, others, *leaves)
    named = {"views": step.views, "tint": step.tint, "own_tint": step.own_tint, **step.by_name()}
    return {name: value + 0 * sum(x.sum() for x in leaves) for name, value in named.items()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_the_three_parts_one_after_the_other(backend):
    leaves, others = scene()
    coord, color, palette = leaves
    step = run(backend, others, *leaves)
    given = {name: others[name] for name in ("weight", "paints", "masks", "limit")}
    tint, own_tint = tint_parts(color, palette=palette, **given)
    torch.testing.assert_close((step.tint, step.own_tint), (tint, own_tint))
    views = {name: others[name] for name in ("image", "theta", "gain", "size")}
    torch.testing.assert_close(step.views, render_views(coord=coord, color=tint, **views))
    prices = {name: others[name] for name in ("price", "even_x", "even_y")}
    torch.testing.assert_close(step.by_name(), regularizers(coord, own_tint, palette, **prices))


@pytest.mark.parametrize(("n", "parts"), [(3, 0), (12, 3), (37, 5)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_output_is_as_exact_as_in_plain_torch(backend, n, parts):
    leaves, others = scene(n, parts)
    if n > 3:
        areas = jacobian_determinant(leaves[0])
        assert (areas < 0.2).any() and (areas > 0.2).any() and (leaves[1].abs() > LIMIT).any()
    assert_as_exact_as(partial(outputs, backend, others), partial(outputs, "torch", others), *leaves)


@pytest.mark.parametrize("size", [1, 6, 33])
@pytest.mark.parametrize("image", [(2, 2), (24, 17), (40, 40)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_views_of_any_size_are_as_exact_as_in_plain_torch(backend, image, size):
    leaves, others = scene(image=image)
    others["size"] = size
    assert_as_exact_as(partial(outputs, backend, others), partial(outputs, "torch", others), *leaves)


@native
def test_unused_outputs_get_no_gradient_and_cost_nothing():
    leaves, others = scene()
    leaves = [leaf.requires_grad_() for leaf in leaves]
    step = run("native", others, *leaves)
    separate = [torch.autograd.grad(x.sum(), leaves, retain_graph=True) for x in step]
    together = torch.autograd.grad(sum(x.sum() for x in step), leaves)
    for leaf, total in enumerate(together):
        torch.testing.assert_close(sum(gradients[leaf] for gradients in separate), total)


@native
def test_a_half_is_computed_in_float32_and_returned_as_it_came():
    leaves, others = scene(40, 5)
    exact = run("native", others, *leaves)
    leaves = [leaf.bfloat16().requires_grad_() for leaf in leaves]
    half = run("native", others, *leaves)
    gradients = torch.autograd.grad(sum(x.sum() for x in half), leaves)
    assert {x.dtype for x in (*half, *gradients)} == {torch.bfloat16}
    torch.testing.assert_close(half.views.float(), exact.views, rtol=0.05, atol=0.03)


@native
def test_no_views_are_a_result_too():
    leaves, others = scene()
    others |= {"theta": THETA[:0], "gain": torch.ones(0)}
    assert run("native", others, *leaves).views.shape == (0, 3, SIZE, SIZE)


@native
def test_a_second_derivative_is_refused_and_never_wrong():
    leaves, others = scene()
    leaves = [leaf.requires_grad_() for leaf in leaves]
    (gradient, *_) = torch.autograd.grad(run("native", others, *leaves).costs.sum(), leaves, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiate twice|does not require grad"):
        gradient.sum().backward()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("field", RegularizerConstants._fields)
def test_each_constant_reaches_the_regularizer_that_it_is_for(field, backend):
    leaves, others = scene()
    plain = run(backend, others, *leaves).by_name()
    constants = RegularizerConstants()._replace(**{field: 2 * getattr(RegularizerConstants(), field)})
    other = run(backend, {**others, "constants": constants}, *leaves).by_name()
    changed = {name for name in REGULARIZERS if plain[name] != other[name]}
    assert changed == {{"least_area": "fold", "part_color_rounding": "part_colors"}.get(field, field[:-9])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"palette": torch.zeros(2, 3)}, r"paints must have shape \(2, 3, 3\); got \(3, 3, 3\)"),
        ({"image": torch.zeros(3, 20, 22)}, r"image must have shape \(1, 3, H, W\) with sides of at least 2"),
        ({"image": torch.zeros(1, 3, 1, 22)}, r"image must have shape \(1, 3, H, W\) with sides of at least 2"),
        ({"coord": torch.zeros(1, 2, 2, 5)}, r"coord must have shape \(1, 2, h, w\) with sides of at least 3"),
        ({"color": torch.zeros(1, 3, 13, 11)}, r"color must have shape \(1, 3, 13, 12\); got \(1, 3, 13, 11\)"),
        ({"masks": torch.zeros(1, 13, 12)}, r"masks must have shape \(3, 13, 12\); got \(1, 13, 12\)"),
        ({"even_x": torch.zeros(1, 1, 13, 12)}, r"even_x must have shape \(1, 1, 13, 11\)"),
        ({"gain": torch.ones(1)}, r"gain must have shape \(2,\); got \(1,\)"),
    ],
)
def test_every_wrong_shape_is_named(change, message):
    leaves, others = scene()
    with pytest.raises(ValueError, match=message):
        fused_step(**{**others, **dict(zip(LEAVES, leaves, strict=True)), **change})


# --- render_views


def picture(height, width, h, w):
    image = torch.rand(1, 3, width, height, generator=generator()).transpose(2, 3)
    coord = torch.randn(1, 2, h, w, generator=generator(1)) * 0.2
    return image, coord, torch.randn(1, 3, w, h, generator=generator(2)).transpose(2, 3) * 0.1


def test_one_view_from_the_front_is_the_moved_and_tinted_image():
    image, coord, color = picture(21, 21, 21, 21)
    grid = F.affine_grid(torch.eye(2, 3)[None], [1, 1, 21, 21], align_corners=False) + coord.permute(0, 2, 3, 1)
    moved = F.grid_sample(image, grid, padding_mode="border", align_corners=False) + color
    seen = render_views(image, coord, color, torch.eye(2, 3)[None], torch.ones(1), 21)
    torch.testing.assert_close(seen, moved, atol=1e-5, rtol=0)


def test_a_view_turns_shrinks_and_changes_contrast():
    image, *_ = picture(16, 16, 1, 1)
    still = torch.zeros(1, 2, 1, 1), torch.zeros(1, 3, 1, 1)
    half = render_views(image, *still, torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]]), torch.tensor([2.0]), 8)
    expected = (F.avg_pool2d(image, 2).flip(-1) - 0.5) * 2 + 0.5
    torch.testing.assert_close(half, expected, atol=1e-5, rtol=0)


# --- tint_parts


def test_a_part_adds_its_mix_of_paints_where_it_is():
    palette, paints = torch.tensor([[0.02, 0.0, 0.0], [0.0, 0.03, 0.01]]), torch.eye(3).repeat(2, 1, 1)
    masks = torch.zeros(2, 2, 2)
    masks[0, 0], masks[1, :, 0] = 1, 0.5
    weight = torch.tensor([[[[1.0, 0.5], [1.0, 0.0]]]])
    tint, own_tint = tint_parts(torch.full((1, 3, 2, 2), 0.01), weight, palette, paints, masks, 10.0)
    torch.testing.assert_close(tint[0, 0], torch.tensor([[0.03, 0.015], [0.01, 0]]))
    torch.testing.assert_close(tint[0, 1], torch.tensor([[0.025, 0.005], [0.025, 0]]))
    torch.testing.assert_close(own_tint, 0.01 * weight.expand(1, 3, 2, 2))


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_tint_goes_beyond_the_limit(backend):
    (coord, color, palette), others = scene()
    tint = run(backend, others, coord, color, 100 * palette).tint
    bound = others["weight"] * LIMIT
    assert (tint.abs() <= bound + 1e-7).all() and (tint.abs() == bound).any()
    assert mix(100 * palette, others["paints"], LIMIT).abs().max() <= LIMIT


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_limit_of_zero_leaves_no_tint_and_no_gradient(backend):
    leaves, others = scene()
    leaves = [leaf.requires_grad_() for leaf in leaves]
    step = run(backend, {**others, "limit": 0.0}, *leaves)
    assert not step.tint.any() and not step.own_tint.any()
    _, d_color, d_palette = torch.autograd.grad(step.tint.sum(), leaves, allow_unused=True)
    assert d_color.isfinite().all() and not d_palette.any()


# --- regularizers

SIDE = 32
POINTS = torch.stack(torch.meshgrid(*[(2 * torch.arange(SIDE) + 1) / SIDE - 1] * 2, indexing="xy"))[None]
NO_TINT = torch.zeros(1, 3, SIDE, SIDE)


def cost(name, *, backend, coord=None, color=NO_TINT, palette=None, price=None, even=None):
    coord = torch.zeros_like(color[:, :2]) if coord is None else coord
    h, w = coord.shape[2:]
    even_x, even_y = even or (torch.ones(1, 1, h, w - 1), torch.ones(1, 1, h - 1, w))
    palette = torch.zeros(1, 3) if palette is None else palette
    n = len(palette)
    step = fused_step(
        torch.zeros(1, 3, 2, 2), coord, color, palette, weight=torch.ones(1, 1, h, w), paints=torch.zeros(n, 3, 3),
        masks=torch.zeros(n, h, w), price=torch.ones(2, h, w) if price is None else price, even_x=even_x,
        even_y=even_y, theta=THETA[:1], gain=torch.ones(1), limit=10.0, size=1, backend=backend,
    )  # fmt: skip
    return step.by_name()[name].item()


@pytest.mark.parametrize("backend", BACKENDS)
def test_bending_is_free_for_affine_movement_only(backend):
    bending = partial(cost, "bending", backend=backend)
    assert bending(coord=0.1 * POINTS + 0.2 * POINTS.flip(1) + 0.03) == pytest.approx(0, abs=1e-6)
    zero = torch.zeros_like(POINTS[:, :1])
    bent = torch.cat([POINTS[:, :1] ** 2, zero], 1)
    assert bending(coord=bent) == pytest.approx(2, rel=1e-3)  # (d2/dx2 x^2)^2, half the channels
    twisted = torch.cat([POINTS[:, :1] * POINTS[:, 1:], zero], 1)
    assert bending(coord=twisted) == pytest.approx(1, rel=1e-3)  # 2 * 1^2, half the channels


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_field_costs_nothing(backend):
    for name in REGULARIZERS:
        assert cost(name, backend=backend) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_shift_and_tint_are_mean_lengths_by_their_prices(backend):
    moved, tinted = torch.full((1, 2, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.1)
    fields = {"coord": moved, "color": tinted, "backend": backend}
    shift, tint = math.sqrt(0.5) - 1e-3, math.sqrt(0.03 + 1e-4) - 0.01
    assert cost("shift", **fields) == pytest.approx(shift, rel=1e-4)
    assert cost("tint", **fields) == pytest.approx(tint, rel=1e-4)
    price = torch.ones(2, 4, 4)
    price[0, :, :2], price[1, :, :2] = 5, 3
    assert cost("shift", price=price, **fields) == pytest.approx(3 * shift, rel=1e-4)
    assert cost("tint", price=price, **fields) == pytest.approx(2 * tint, rel=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_few_points_tinted_much_cost_less_than_many_tinted_a_little(backend):
    few, many = torch.zeros(1, 3, 4, 4), torch.full((1, 3, 4, 4), 0.1)
    few[..., 0, 0] = 0.1 * 4  # as much square as a sixteenth of it everywhere
    assert cost("tint", color=few, backend=backend) < cost("tint", color=many, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_uneven_tint_costs_only_where_the_photo_is_even(backend):
    photo = torch.zeros(1, 3, SIDE, SIDE)
    photo[..., SIDE // 2 :] = 1
    on_the_edge, off_it = torch.zeros(2, 1, 3, SIDE, SIDE)
    on_the_edge[..., SIDE // 2 :] = 0.1
    off_it[..., SIDE // 4 :] = 0.1
    smoothness = partial(cost, "tint_smoothness", even=evenness(photo), backend=backend)
    assert smoothness(color=on_the_edge) < 1e-3 * smoothness(color=off_it)
    assert smoothness(color=torch.full_like(off_it, 0.1)) == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("scale", "wanted"), [(1.0, 0.0), (0.5, 0.0), (0.4, 0.2 - 0.16), (0.0, 0.2)])
def test_folding_costs_below_the_least_area(scale, wanted, backend):
    assert cost("fold", coord=(scale - 1) * POINTS, backend=backend) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_part_colors_are_priced_by_their_lengths_part_by_part(backend):
    one, two = torch.zeros(2, 5, 3)
    one[0] = torch.tensor([3.0, 0.0, 4.0])
    two[:2] = one[0]
    assert cost("part_colors", palette=one, backend=backend) == pytest.approx(5, abs=0.011)
    assert cost("part_colors", palette=two, backend=backend) == pytest.approx(10, abs=0.022)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("broken", "names"), [("coord", ("bending", "shift", "fold")), ("color", ("tint", "tint_smoothness"))]
)
def test_what_is_not_a_number_stays_none(broken, names, backend):
    fields = {"coord": torch.zeros(1, 2, 8, 8), "color": torch.zeros(1, 3, 8, 8)}
    fields[broken][0, 1, 3, 3] = torch.nan
    assert all(math.isnan(cost(name, backend=backend, **fields)) for name in names)
