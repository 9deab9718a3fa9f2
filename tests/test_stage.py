"""Showing and pricing a field in one operator: what its three parts say one after the other."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from flowedit.kernels import available, look, paint, penalties, stage, upsample, warp_color
from flowedit.kernels.stage import reference
from flowedit.kernels.stage.operator import stage as operator
from tests.judging import assert_as_exact_as, bits_by_threads, generator

BACKENDS = available("cpu", "stage")
native = pytest.mark.skipif("native" not in BACKENDS, reason="no compiled kernels here")
SIZE, LIMIT = 11, 0.1
THETA = torch.tensor([[[1.0, 0.02, 0.01], [-0.02, 1.0, 0.0]], [[-0.9, 0.0, 0.0], [0.0, 0.95, 0.03]]])
OUTPUTS = ("views", "shown", "own", "terms")


def scene(n=12, parts=3):
    """What is differentiated: coord, color and palette; and the fixed: image, and all the others in their order."""
    coord, color = (0.08 * torch.randn(1, c, n, n + 1, generator=generator(c)).transpose(2, 3) for c in (2, 3))
    palette, paints = (0.1 * torch.randn(parts, *shape, generator=generator(1)) for shape in ((3,), (3, 3)))
    shapes = (1, 1, n + 1, n), (2, n + 1, n), (1, 1, n + 1, n - 1), (1, 1, n, n), (parts, n + 1, n), (1, 3, 20, 22)
    weight, price, even_x, even_y, masks, image = (torch.rand(shape, generator=generator(4)) for shape in shapes)
    others = (weight, paints, masks, price, even_x, even_y, THETA, torch.tensor([1.1, 0.9]))
    return (coord, color, palette), image, others


def run(function, leaves, image, others):
    image, *others = (x.to(leaves[0].dtype) for x in (image, *others))
    return function(image, *leaves, *others, LIMIT, SIZE)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_tint_look_and_price_one_after_the_other(backend):
    leaves, image, others = scene()
    weight, paints, masks, *costs, theta, gain = others
    coord, color, palette = leaves
    views, shown, own, terms = run(partial(stage, backend=backend), leaves, image, others)
    tint, left, used = paint(color, weight, palette, paints, masks, LIMIT)
    torch.testing.assert_close((shown, own), (tint, left))
    torch.testing.assert_close(views, look(image, coord, tint, theta, gain, SIZE))
    torch.testing.assert_close(terms, torch.cat([penalties(coord, left, *costs), used[None]]))


@pytest.mark.parametrize("output", [*OUTPUTS, "all"])
@pytest.mark.parametrize("parts", [0, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_as_exact_as_its_reference(backend, parts, output):
    leaves, image, others = scene(parts=parts)

    def one(function, *leaves):
        found = run(function, leaves, image, others)
        chosen = found if output == "all" else [found[OUTPUTS.index(output)]]
        return torch.cat([x.flatten() for x in chosen]) + 0 * sum(x.sum() for x in leaves)

    assert_as_exact_as(partial(one, partial(stage, backend=backend)), partial(one, reference.stage), *leaves)


@native
def test_the_number_of_threads_changes_no_bit_and_a_half_is_computed_in_float32():
    leaves, image, others = scene(40, 5)

    def bits(dtype=torch.float32):
        given = [x.to(dtype).requires_grad_() for x in leaves]
        found = run(partial(stage, backend="native"), given, image, others)
        return [*found, *torch.autograd.grad(sum(x.sum() for x in found), given)]

    first, *more = bits_by_threads(bits)
    for other in more:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    half = bits(torch.bfloat16)
    assert {x.dtype for x in half} == {torch.bfloat16}
    torch.testing.assert_close(half[0].float(), first[0], rtol=0.05, atol=0.03)


@native
def test_it_is_a_sound_torch_operator():
    leaves, image, others = scene(6, 2)
    torch.library.opcheck(operator.definition, (image, *(x.requires_grad_() for x in leaves), *others, LIMIT, SIZE))


def test_every_part_says_what_is_wrong():
    leaves, image, others = scene()
    coord, color, palette = leaves
    with pytest.raises(ValueError, match=r"palette must have shape|paints must have shape \(2, 3, 3\)"):
        run(stage, (coord, color, palette[:2]), image, others)
    with pytest.raises(ValueError, match=r"image must have shape \(1, 3, rows, columns\)"):
        run(stage, leaves, image[0], others)
    with pytest.raises(ValueError, match="color must be as large as coord"):
        run(stage, (coord[..., 1:], color, palette), image, others)
    with pytest.raises(RuntimeError, match="backend must be one of"):
        run(partial(stage, backend="triton"), leaves, image, others)


# --- what every operator is promised: compiled whole, differentiated once


def _upsampled(x):
    return upsample(x, 8, 8, "b_spline", 0.1).sin()


def _warped(x):
    return warp_color(torch.ones_like(x).cumsum(-1), 0.01 * x[:, :2], x)


def _staged(x):
    _, image, others = scene(6, 2)
    leaves = torch.zeros(1, 2, 7, 6) + x[:, :2, :1, :1], torch.zeros(1, 3, 7, 6) + x[:, :, :1, :1], x[0, 0, :2, :3]
    views, _, _, terms = run(stage, leaves, image, others)
    return views.sum() + terms.sum()


@pytest.mark.parametrize("function", [_upsampled, _warped])
def test_torch_can_compile_what_calls_an_operator(function):
    x = 0.1 * torch.randn(1, 3, 5, 5, generator=generator())
    x.requires_grad_()
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), function(x))
    (plain,), (traced,) = (torch.autograd.grad(f(x).square().sum(), x) for f in (function, compiled))
    torch.testing.assert_close(traced, plain)


@native
@pytest.mark.parametrize("function", [_upsampled, _warped, _staged])
def test_a_second_derivative_is_refused_and_never_wrong(function):
    x = 0.1 * torch.randn(1, 3, 5, 5, generator=generator())
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(function(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiate twice|does not require grad"):
        gradient.sum().backward()
