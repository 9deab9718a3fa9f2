"""Views of a moved image: what they show, and that the compiled pass agrees."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F

from flowedit.kernels import available, look, warp_color
from flowedit.kernels.look import reference
from flowedit.kernels.look.operator import look as operator
from tests.judging import assert_as_exact_as, bits_by_threads, generator

BACKENDS = available("cpu", "look")
native = pytest.mark.skipif("native" not in BACKENDS, reason="no compiled kernels here")
THETA = torch.tensor([[[1.0, 0, 0], [0, 1, 0]], [[-0.95, 0.1, 0.04], [0.1, 1.05, -0.03]]])


def scene(height, width, h, w, seed=0):
    image = torch.rand(1, 3, width, height, generator=generator(seed)).transpose(2, 3)
    coord = torch.randn(1, 2, h, w, generator=generator(seed + 1)) * 0.2
    color = torch.randn(1, 3, w, h, generator=generator(seed + 2)).transpose(2, 3) * 0.1
    return image, coord, color


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_view_from_the_front_is_the_warped_image(backend):
    image, coord, color = scene(21, 21, 21, 21)
    seen = look(image, coord, color, THETA[:1], torch.ones(1), 21, backend)
    torch.testing.assert_close(seen, warp_color(image, coord, color), atol=1e-5, rtol=0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_view_turns_shrinks_and_changes_contrast(backend):
    image, *_ = scene(16, 16, 1, 1)
    still = torch.zeros(1, 2, 1, 1), torch.zeros(1, 3, 1, 1)
    half = look(image, *still, torch.tensor([[[-1.0, 0, 0], [0, 1, 0]]]), torch.tensor([2.0]), 8, backend)
    expected = (F.avg_pool2d(image, 2).flip(-1) - 0.5) * 2 + 0.5
    torch.testing.assert_close(half, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [1, 6, 33])
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (24, 17, 9, 30), (40, 40, 20, 20)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_look_is_as_exact_as_its_reference(backend, shape, size):
    image, coord, color = scene(*shape)
    gain = torch.tensor([1.0, 0.9])

    def run(function, coord, color):
        return function(*(x.to(coord.dtype) for x in (image, coord, color, THETA, gain)), size)

    assert_as_exact_as(partial(run, partial(look, backend=backend)), partial(run, reference.look), coord, color)


@native
def test_the_number_of_threads_changes_no_bit_and_no_view_is_fine():
    image, *field = scene(64, 64, 32, 32)

    def run(dtype=torch.float32):
        leaves = [x.to(dtype).requires_grad_() for x in field]
        seen = look(image.to(dtype), *leaves, THETA, torch.ones(2), 48, "native")
        return [seen, *torch.autograd.grad(seen.square().sum(), leaves)]

    first, *others = bits_by_threads(run)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    half = run(torch.bfloat16)
    assert [x.dtype for x in half] == [torch.bfloat16] * 3
    torch.testing.assert_close(half[0].float(), first[0], rtol=0.02, atol=0.05)
    assert look(image, *field, THETA[:0], torch.ones(0), 48, "native").shape == (0, 3, 48, 48)


@native
def test_look_is_a_sound_torch_operator():
    image, coord, color = scene(9, 8, 5, 6)
    torch.library.opcheck(
        operator.definition, (image, coord.requires_grad_(), color.detach().requires_grad_(), THETA, torch.ones(2), 7)
    )


def test_look_says_what_is_wrong():
    image, coord, color = scene(9, 8, 5, 6)
    with pytest.raises(ValueError, match=r"coord must have shape \(1, 2, rows, columns\); got \(1, 3, 5, 6\)"):
        look(image, color, color, THETA, torch.ones(2), 7)
    with pytest.raises(ValueError, match="color must be as large as coord"):
        look(image, coord, color[..., 1:], THETA, torch.ones(2), 7)
    with pytest.raises(ValueError, match=r"theta, gain must be .*; got \(2, 2, 3\), \(1,\)"):
        look(image, coord, color, THETA, torch.ones(1), 7)
