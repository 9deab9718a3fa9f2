"""The Triton kernels against their meaning: on the GPU where there is one, and everywhere through Triton's interpreter.

Triton reads TRITON_INTERPRET when it is imported, which torch may do at any time. The interpreted tests therefore run
in processes of their own, started by the first test here.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flowedit.kernels import LatticeEncoding
from flowedit.kernels.hash_encode import reference as hash_reference
from flowedit.kernels.warp_color import reference as warp_reference

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


@pytest.mark.skipif(INTERPRETED, reason="this is the process it starts")
@pytest.mark.parametrize("group", ["warp", "encod"])
def test_on_the_cpu_through_the_interpreter(group):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k", group]
    done = subprocess.run(
        command,
        env={**environment, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.fixture
def device():
    if not INTERPRETED and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU; run by the interpreter in test_on_the_cpu_through_the_interpreter")
    return "cpu" if INTERPRETED else "cuda"


@pytest.fixture
def warp(device):
    from flowedit.kernels.warp_color import triton_kernel

    return triton_kernel


@pytest.fixture
def encode(device):
    from flowedit.kernels.hash_encode import triton_kernel

    return triton_kernel


def random(*shape, seed=0, normal=True):
    return (torch.randn if normal else torch.rand)(shape, generator=torch.Generator().manual_seed(seed))


def assert_as_exact_as(got, reference, *args, cotangent):
    """Judge values and gradients, (out, *gradients to args), by the rounding of the reference in float32."""

    def run(dtype):
        leaves = [a.detach().to(dtype).requires_grad_() for a in args]
        out = reference(*leaves)
        return [x.double() for x in (out, *torch.autograd.grad(out, leaves, cotangent.to(dtype)))]

    for mine, plain, exact in zip(got, run(torch.float32), run(torch.float64), strict=True):
        assert mine.shape == exact.shape
        rounding = (plain - exact).abs().max()
        assert (mine.cpu().double() - exact).abs().max() <= 2 * rounding + 1e-7
        assert mine.any() == exact.any()


# --- warp_color


@pytest.mark.parametrize(
    ("size", "out"), [((1, 1), (1, 1)), ((7, 5), (7, 5)), ((7, 5), (5, 9)), ((1, 9), (3, 1)), ((4, 300), (2, 300))]
)
def test_warp_is_as_exact_as_its_reference(warp, device, size, out):
    image = random(2, 3, *size).to(device)
    coord, color = random(2, 2, *out, seed=1).to(device), random(2, 3, *out, seed=2).to(device)
    cotangent = random(2, 3, *out, seed=3)
    d_coord, d_image = warp.backward(image, coord, cotangent.to(device), True)
    got = (warp.forward(image, coord, color), d_image, d_coord)
    args = [x.cpu() for x in (image, coord)]
    assert_as_exact_as(got, lambda i, c: warp_reference.warp_color(i, c, color.cpu().to(i)), *args, cotangent=cotangent)
    alone, nothing = warp.backward(image, coord, cotangent.to(device), False)
    assert torch.equal(alone, d_coord) and not nothing.numel()


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (2, 257)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_warp_by_nothing_keeps_the_bits(warp, device, size, dtype):
    image = random(2, 3, *size).to(device, dtype)
    out = warp.forward(image, torch.zeros(2, 2, *size, device=device), torch.zeros(2, 3, *size, device=device))
    assert out.dtype == dtype
    assert torch.equal(out, image)


def test_warp_of_bfloat16_is_within_one_step_of_its_reference(warp, device):
    image, cotangent = random(1, 3, 7, 5).bfloat16(), random(1, 3, 5, 9, seed=1).bfloat16()
    coord, color = random(1, 2, 5, 9, seed=2) * 0.5, random(1, 3, 5, 9, seed=3)
    leaves = [image.requires_grad_(), coord.requires_grad_()]
    expected = warp_reference.warp_color(image, coord, color)
    d_image, d_coord = torch.autograd.grad(expected, leaves, cotangent)
    image, coord, color, cotangent = (x.detach().to(device) for x in (image, coord, color, cotangent))
    out = warp.forward(image, coord, color).cpu()
    mine = [x.cpu() for x in warp.backward(image, coord, cotangent, True)]
    assert out.dtype == mine[1].dtype == torch.bfloat16 and mine[0].dtype == torch.float32
    # The interpreter cuts where a GPU rounds: neighbouring numbers of one sign are neighbouring bit patterns.
    assert ((out.view(torch.int16).int() - expected.view(torch.int16).int()).abs() <= 1).all()
    torch.testing.assert_close(mine[1], d_image, rtol=2**-7, atol=1e-6)
    torch.testing.assert_close(mine[0], d_coord, rtol=1e-5, atol=1e-5)


def test_warp_takes_views_and_an_empty_batch(warp, device):
    image, coord = random(1, 3, 6, 7).to(device), random(1, 2, 6, 7, seed=1).to(device)
    color, cotangent = random(1, 3, 6, 7, seed=2).to(device), random(1, 3, 6, 7, seed=3).to(device)
    args = (image, coord, color, cotangent)
    views = [x.transpose(2, 3).contiguous().transpose(2, 3) for x in args]
    assert not views[0].is_contiguous()
    assert torch.equal(warp.forward(*views[:3]), warp.forward(*args[:3]))
    for d_view, d_plain in zip(
        warp.backward(*views[:2], views[3], True), warp.backward(image, coord, cotangent, True), strict=True
    ):
        torch.testing.assert_close(d_view, d_plain)
    assert warp.forward(image[:0], coord[:0], color[:0]).shape == (0, 3, 6, 7)
    assert [x.shape for x in warp.backward(image[:0], coord[:0], cotangent[:0], True)] == [(0, 2, 6, 7), (0, 3, 6, 7)]


def test_warp_from_far_outside_reads_the_border_and_pulls_at_nothing(warp, device):
    image = random(1, 2, 4, 5).to(device)
    coord, color = torch.full((1, 2, 4, 5), 1e6, device=device), torch.zeros(1, 2, 4, 5, device=device)
    assert torch.equal(warp.forward(image, coord, color), image[..., -1:, -1:].expand(1, 2, 4, 5))
    assert torch.equal(warp.forward(image, -coord, color), image[..., :1, :1].expand(1, 2, 4, 5))
    d_coord, d_image = warp.backward(image, coord, torch.ones_like(color), True)
    assert not d_coord.any()
    assert (d_image[..., -1, -1] == 20).all() and d_image.sum() == 40


def test_warp_passes_the_gradient_at_the_border_itself(warp, device):
    # Not compared with torch.clamp: in torch 2.15 it stops there what it let pass before.
    image = random(1, 1, 4, 4).to(device)
    d_coord, _ = warp.backward(image, torch.zeros(1, 2, 4, 4, device=device), torch.ones_like(image), False)
    slope = 4 / 2 * (image[0, 0, :, 1:] - image[0, 0, :, :-1])
    torch.testing.assert_close(d_coord[0, 0], torch.nn.functional.pad(slope, (0, 1)))


def test_warp_shows_what_is_not_a_number(warp, device):
    image, coord, color = random(1, 1, 3, 3).to(device), torch.zeros(1, 2, 3, 3), torch.zeros(1, 1, 3, 3, device=device)
    coord[0, 0, 1, 1] = torch.nan
    assert warp.forward(image, coord.to(device), color).isnan().flatten().nonzero().tolist() == [[4]]


# --- hash_encode

GRIDS = [  # shape of the table, base_resolution, per_level_scale
    ((1, 8, 1), 2, 1.0),
    ((4, 24, 2), 3, 1.9),  # dense, then hashed
    ((3, 600, 3), 4, 2.0),  # dense
    ((2, 16, 8), 900, 70.0),  # hashed; y * prime passes 2**32
]


def meaning(coords, table, base_resolution, per_level_scale):
    """`hash_reference.hash_encode` without its clamp, whose gradient at 0 and 1 is not these kernels' matter."""
    features = []
    for number, rows in enumerate(table):
        grid = hash_reference.level(number, len(rows), base_resolution, per_level_scale)
        index, weight = hash_reference.corners(coords, grid)
        features.append((weight[..., None] * rows[index]).sum(1))
    return torch.cat(features, dim=1)


def points(n):
    coords = random(n, 2, normal=False)
    coords[:3] = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])[:n]  # the last half cell wraps around
    return coords


@pytest.mark.parametrize("n_points", [1, 150])
@pytest.mark.parametrize(("shape", "base", "growth"), GRIDS)
def test_encoding_is_as_exact_as_its_reference(encode, device, n_points, shape, base, growth):
    coords, table = points(n_points), random(*shape, seed=1)
    cotangent = random(n_points, shape[0] * shape[2], seed=2)
    args = coords.to(device), table.to(device), cotangent.to(device)
    out = encode.forward(*args[:2], base, growth)
    d_coords, d_table = encode.backward(*args, base, growth, True, True)
    if base < 100:  # above, a cell is no wider than the rounding of a position in float32
        assert_as_exact_as(
            (out, d_coords, d_table), lambda c, t: meaning(c, t, base, growth), coords, table, cotangent=cotangent
        )
    torch.testing.assert_close(out.cpu(), hash_reference.hash_encode(coords, table, base, growth))
    first, nothing = encode.backward(*args, base, growth, True, False)
    assert torch.equal(first, d_coords) and not nothing.numel()
    nothing, second = encode.backward(*args, base, growth, False, True)
    torch.testing.assert_close(second, d_table)
    assert not nothing.numel()


def test_encoding_takes_views_and_no_points(encode, device):
    coords, table = points(20).to(device), random(2, 24, 4, seed=1).to(device)
    cotangent = random(20, 8, seed=2).to(device)
    views = coords.T.contiguous().T, table.transpose(1, 2).contiguous().transpose(1, 2), cotangent.T.contiguous().T
    assert not any(view.is_contiguous() for view in views)
    assert torch.equal(encode.forward(*views[:2], 3, 1.9), encode.forward(coords, table, 3, 1.9))
    expected = encode.backward(coords, table, cotangent, 3, 1.9, True, True)
    torch.testing.assert_close(encode.backward(*views, 3, 1.9, True, True), expected)
    assert encode.forward(coords[:0], table, 3, 1.9).shape == (0, 8)
    d_coords, d_table = encode.backward(coords[:0], table, cotangent[:0], 3, 1.9, True, True)
    assert d_coords.shape == (0, 2) and d_table.shape == table.shape and not d_table.any()


@pytest.mark.parametrize("n_points", [0, 1, 700])  # of 700, rows of the first level take more than one chunk
@pytest.mark.parametrize(("shape", "base", "growth"), GRIDS[:3])
def test_constant_encoding_is_as_exact_as_its_reference(encode, device, n_points, shape, base, growth):
    coords, table = points(n_points), random(*shape, seed=1)
    cotangent = random(n_points, shape[0] * shape[2], seed=2)
    encoding = encode.ConstantEncoding(coords.double(), *shape[:2], base, growth, device)
    got = encoding.forward(table.to(device)), encoding.backward(cotangent.to(device))
    again = encoding.forward(table.to(device)), encoding.backward(cotangent.to(device))
    assert all(torch.equal(a, b) for a, b in zip(got, again, strict=True))
    if not n_points:
        assert got[0].shape == (0, shape[0] * shape[2]) and got[1].shape == shape and not got[1].any()
        return
    assert_as_exact_as(got, lambda t: meaning(coords.to(t), t, base, growth), table, cotangent=cotangent)


def test_constant_encoding_takes_views_and_leaves_unread_rows_at_zero(encode, device):
    coords, table = points(5), random(2, 600, 3, seed=1).to(device)
    cotangent = random(5, 6, seed=2).to(device)
    encoding = encode.ConstantEncoding(coords.double(), 2, 600, 4, 2.0, device)
    view = table.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(encoding.forward(view), encoding.forward(table))
    d_table = encoding.backward(cotangent)
    assert torch.equal(encoding.backward(cotangent.T.contiguous().T), d_table)
    read = torch.zeros(2, 600, dtype=torch.bool)
    for number in (0, 1):
        index, _ = hash_reference.corners(coords, hash_reference.level(number, 600, 4, 2.0))
        read[number, index.flatten()] = True
    assert not d_table.cpu()[~read].any()


def test_constant_encoding_is_the_lattice_encoding(encode, device):
    x, y, table = torch.linspace(0, 1, 7), torch.linspace(0, 1, 5), random(3, 24, 2)
    coords = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
    encoding = encode.ConstantEncoding(coords.double(), 3, 24, 3, 1.9, device)
    lattice = LatticeEncoding(x, y, 3, 24, 3, 1.9, backend="torch")
    torch.testing.assert_close(encoding.forward(table.to(device)).cpu(), lattice(table))
