"""The operations of flowedit.kernels against their meaning in float64."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from flowedit.kernels import LatticeEncoding, available, choose, hash_encode, warp_color
from flowedit.kernels.hash_encode import reference as hash_reference
from flowedit.kernels.warp_color import reference as warp_reference
from tests.judging import assert_as_exact_as, bits_by_threads, generator

BACKENDS = available("cpu")


# --- dispatch


def test_the_best_backend_is_chosen_and_a_named_one_is_used():
    assert choose(None, "warp_color") == available()[0]
    assert [choose(name, "warp_color") for name in BACKENDS] == list(BACKENDS)
    assert choose(None, "warp_color", dtype=torch.float64) == "torch"


def test_what_torch_compile_cannot_trace_is_done_when_the_package_is_imported():
    spec = importlib.util.find_spec("flowedit.kernels.dispatch")
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    assert set(fresh._problems) == {"native"}


def test_an_unusable_backend_is_refused_not_swapped():
    with pytest.raises(RuntimeError, match=r"backend must be one of .* of cpu tensors in float32; got .abacus."):
        choose("abacus", "sample")
    with pytest.raises(RuntimeError, match="for hash_encode of cpu tensors in float64; got 'native'"):
        choose("native", "hash_encode", dtype=torch.float64)
    with pytest.raises(RuntimeError, match="abacus"):
        hash_encode(torch.rand(2, 2), torch.rand(1, 8, 2), 2, 1.5, backend="abacus")
    with pytest.raises(RuntimeError, match="abacus"):
        picture = torch.rand(1, 3, 2, 2)
        warp_color(picture, torch.zeros(1, 2, 2, 2), picture, backend="abacus")


# --- hash_encode


def naive_encode(x, y, table, base_resolution, per_level_scale):
    """Encode one point with plain numbers, as the paper and tiny-cuda-nn describe it."""
    features = []
    for number, rows in enumerate(table.tolist()):
        scale = base_resolution * per_level_scale**number - 1
        resolution = int(-(-scale // 1)) + 1
        entries = min((resolution**2 + 7) // 8 * 8, len(rows))
        px, py = x * scale + 0.5, y * scale + 0.5
        feature = [0.0] * len(rows[0])
        for i in (0, 1):
            for j in (0, 1):
                cx, cy = int(px) + i, int(py) + j
                weight = (px % 1 if i else 1 - px % 1) * (py % 1 if j else 1 - py % 1)
                fits = resolution**2 <= len(rows)
                row = cx + cy * resolution if fits else cx ^ (cy * 2654435761) % 2**32
                feature = [f + weight * v for f, v in zip(feature, rows[row % entries], strict=True)]
        features += feature
    return features


@pytest.mark.parametrize("size", [8, 64, 4096])  # all hashed but the first; some; all dense
def test_hash_encode_is_what_the_paper_says(size):
    table = torch.randn(4, size, 3, generator=generator(), dtype=torch.float64)
    coords = torch.rand(50, 2, generator=generator(1), dtype=torch.float64)
    expected = [naive_encode(x, y, table, 3, 1.7) for x, y in coords.tolist()]
    torch.testing.assert_close(hash_encode(coords, table, 3, 1.7), torch.tensor(expected).double(), rtol=0, atol=1e-6)


def test_levels_grow_from_base_resolution_and_are_hashed_once_they_do_not_fit():
    levels = [hash_reference.level(n, 64, 4, 2.0) for n in range(3)]
    assert [(g.resolution, g.entries, g.dense) for g in levels] == [
        (4, 16, True),
        (8, 64, True),
        (16, 64, False),
    ]


def test_dense_rows_run_along_x_first():
    index, weight = hash_reference.corners(torch.tensor([[0.3, 0.7]]), hash_reference.level(0, 64, 4, 2.0))
    # 0.3 * 3 + 0.5 = 1.4 and 0.7 * 3 + 0.5 = 2.6
    assert index.tolist() == [[1 + 2 * 4, 2 + 2 * 4, 1 + 3 * 4, 2 + 3 * 4]]
    torch.testing.assert_close(weight, torch.tensor([[0.6 * 0.4, 0.4 * 0.4, 0.6 * 0.6, 0.4 * 0.6]]))


def test_hash_encode_clamps_what_lies_outside():
    table = torch.randn(3, 32, 2, generator=generator())
    outside = torch.tensor([[-2.0, 0.3], [0.4, 7.0]])
    assert torch.equal(hash_encode(outside, table, 3, 2.0), hash_encode(outside.clamp(0, 1), table, 3, 2.0))


def test_hash_encode_gradients():
    coords = torch.rand(20, 2, generator=generator(), dtype=torch.float64) * 0.9 + 0.01
    table = torch.randn(3, 16, 2, generator=generator(1), dtype=torch.float64)
    mask = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    leaves = [x.requires_grad_() for x in (coords, table, mask)]
    assert torch.autograd.gradcheck(lambda c, t, m: hash_encode(c, t, 3, 1.6, m), leaves)


@pytest.mark.parametrize("n_points", [0, 1, 35, 1023])
@pytest.mark.parametrize("shape", [(1, 8, 1), (5, 24, 2), (3, 600, 3), (2, 64, 8)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_hash_encode_is_as_exact_as_its_reference(backend, n_points, shape):
    coords = torch.rand(2, n_points, generator=generator(2)).T
    table = torch.randn(shape, generator=generator(3)).transpose(0, 1).contiguous().transpose(0, 1)

    def fast(*args):
        return hash_encode(*args[:2], 3, 1.9, *args[2:], backend=backend)

    def meaning(coords, table, *mask):
        return hash_reference.hash_encode(coords, table, 3, 1.9, *mask)

    assert_as_exact_as(fast, meaning, coords, table)
    assert_as_exact_as(fast, meaning, coords, table, torch.rand(shape[0], generator=generator(4)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_hash_encode_gives_only_the_gradients_asked_for(backend):
    coords, table = torch.rand(9, 2, generator=generator()), torch.randn(2, 32, 2, generator=generator(1))
    both = [x.clone().requires_grad_() for x in (coords, table)]
    whole = torch.autograd.grad(hash_encode(*both, 3, 2.0, backend=backend).sum(), both)
    for k in (0, 1):
        some = [x.clone().requires_grad_(j == k) for j, x in enumerate((coords, table))]
        (alone,) = torch.autograd.grad(hash_encode(*some, 3, 2.0, backend=backend).sum(), [some[k]])
        assert torch.equal(alone, whole[k])


def axes(width, height, seed=2, spread=1.0):
    """An ascending axis along x and one along y, in [0, 1] where spread is 1."""
    given = [(torch.rand(n, generator=generator(seed + n)) - 0.5) * spread + 0.5 for n in (width, height)]
    return [axis.double().sort().values for axis in given]


def lattice_and_reference(x, y, shape, base, scale, backend):
    encoding = LatticeEncoding(x, y, *shape[:2], base, scale, backend=backend)
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)

    def meaning(table, *mask):
        return hash_reference.hash_encode(points.to(table.dtype), table, base, scale, *mask)

    return encoding, meaning


@pytest.mark.parametrize("size", [(0, 3), (1, 1), (7, 5), (33, 31)])
@pytest.mark.parametrize("shape", [(1, 8, 1), (5, 24, 2), (3, 600, 3), (2, 64, 8), (9, 128, 4)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_lattice_encoding_is_hash_encode(backend, shape, size):
    table = torch.randn(shape, generator=generator(3))
    encoding, meaning = lattice_and_reference(*axes(*size), shape, 3, 1.9, backend)
    assert_as_exact_as(encoding, meaning, table)
    assert_as_exact_as(encoding, meaning, table, torch.rand(shape[0], generator=generator(4)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_lattice_encoding_takes_a_transposed_table_and_far_coordinates(backend):
    table = torch.randn(2, 40, 4, generator=generator(6)).transpose(1, 2).contiguous().transpose(1, 2)
    assert not table.is_contiguous()
    encoding, meaning = lattice_and_reference(*axes(8, 9, spread=5.0), table.shape, 4, 1.5, backend)
    assert_as_exact_as(encoding, meaning, table)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_have_the_same_bits_every_time(backend):
    table = torch.randn(6, 64, 2, generator=generator(8), requires_grad=True)
    coords = torch.rand(3000, 2, generator=generator(7), requires_grad=True)
    image = torch.rand(2, 3, 40, 30, generator=generator(9), requires_grad=True)
    coord = (torch.randn(2, 2, 40, 30, generator=generator(10)) * 0.3).requires_grad_()
    cotangent = torch.randn(3000, 12, generator=generator(9))
    x, y = axes(60, 50)

    def make():
        lattice = LatticeEncoding(x, y, 6, 64, 4, 1.5, backend=backend)(table)
        points = hash_encode(coords, table, 4, 1.5, backend=backend)
        moved = warp_color(image, coord, image, backend=backend)
        found = [lattice, points, moved, *torch.autograd.grad(lattice, table, cotangent)]
        if backend != "torch":  # which scatters in an order of its own
            found += torch.autograd.grad(points, (coords, table), cotangent)
            found += torch.autograd.grad(moved.square().sum(), (image, coord))
        return found

    first, *others = bits_by_threads(make)
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.skipif("native" not in BACKENDS, reason="flowedit was installed without a C++ compiler")
def test_native_operators_are_proper_torch_operators():
    image, coord = torch.rand(1, 3, 5, 4), torch.randn(1, 2, 5, 4) * 0.1
    leaves = [x.requires_grad_() for x in (image, coord, torch.rand(1, 3, 5, 4))]
    torch.library.opcheck(torch.ops.flowedit.warp_color.default, leaves)
    coords, table = torch.rand(7, 2, requires_grad=True), torch.randn(2, 16, 2, requires_grad=True)
    torch.library.opcheck(torch.ops.flowedit.hash_encode.default, (coords, table, 3, 1.6))
    encoding = LatticeEncoding(*axes(5, 4), 2, 16, 3, 1.6, backend="native")._encode
    lattice = (table, encoding.rows, encoding.cells, encoding.weights, encoding.height)
    torch.library.opcheck(torch.ops.flowedit.hash_lattice.default, lattice)


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_that_are_none_stay_so(backend):
    nan = float("nan")
    coord = torch.zeros(1, 2, 2, 2)
    coord[0, 0, 1, 1] = nan
    if backend == "native":  # plain torch refuses to read there
        out = warp_color(torch.ones(1, 1, 2, 2), coord, torch.zeros(1, 1, 2, 2), backend=backend)
        assert out.isnan().flatten().tolist() == [False, False, False, True]
        out = hash_encode(torch.tensor([[nan, 0.5], [0.5, 0.5]]), torch.ones(1, 8, 1), 2, 1.5, backend=backend)
        assert out.isnan().flatten().tolist() == [True, False]
    table = torch.full((1, 8, 1), nan)
    assert LatticeEncoding(*axes(2, 2), 1, 8, 2, 1.5, backend=backend)(table).isnan().all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coords": torch.rand(5, 3)}, r"coords must have shape \(N, 2\); got \(5, 3\)"),
        ({"table": torch.rand(8, 2)}, "table must have shape"),
        ({"table": torch.rand(2, 0, 2)}, "table must have shape"),
        ({"base_resolution": 1}, "base_resolution must be at least 2 vertices; got 1"),
        ({"per_level_scale": 0.5}, "per_level_scale must be at least 1; got 0.5"),
        ({"per_level_scale": float("nan")}, "per_level_scale"),
        ({"level_mask": torch.ones(3)}, r"level_mask must have shape \(2,\); got \(3,\)"),
    ],
)
def test_hash_encode_says_what_is_wrong(change, message):
    good = {
        "coords": torch.rand(5, 2),
        "table": torch.rand(2, 8, 2),
        "base_resolution": 2,
        "per_level_scale": 1.5,
    }
    hash_encode(**good)
    with pytest.raises(ValueError, match=message):
        hash_encode(**{**good, **change})


class TinyCudaEncoding(torch.nn.Module):
    """A stand-in for tinycudann.Encoding: one vector of the rows in use, level by level."""

    def __init__(self, n_input_dims, encoding_config, seed, dtype):
        super().__init__()
        c = encoding_config
        self.grid = 2 ** c["log2_hashmap_size"], c["base_resolution"], c["per_level_scale"]
        self.levels = [hash_reference.level(k, *self.grid) for k in range(c["n_levels"])]
        self.n_features = c["n_features_per_level"]
        size = sum(g.entries for g in self.levels) * self.n_features
        self.params = torch.nn.Parameter(torch.zeros(size, dtype=dtype))

    def forward(self, coords):
        parts = self.params.split([g.entries * self.n_features for g in self.levels])
        rows = [part.reshape(-1, self.n_features) for part in parts]
        table = torch.stack([F.pad(own, (0, 0, 0, self.grid[0] - len(own))) for own in rows])
        return hash_reference.hash_encode(coords, table, *self.grid[1:])


def test_tinycudann_is_given_the_rows_it_uses(monkeypatch):
    monkeypatch.setitem(sys.modules, "tinycudann", SimpleNamespace(Encoding=TinyCudaEncoding))
    monkeypatch.delitem(sys.modules, "flowedit.kernels.hash_encode.tinycudann_backend", raising=False)
    from flowedit.kernels.hash_encode import tinycudann_backend

    coords = torch.rand(20, 2, generator=generator())
    table = torch.randn(5, 64, 2, generator=generator(1))
    fast = partial(tinycudann_backend.hash_encode, base_resolution=3, per_level_scale=1.6)
    assert_as_exact_as(fast, partial(hash_reference.hash_encode, base_resolution=3, per_level_scale=1.6), coords, table)
    with pytest.raises(ValueError, match=r"a power of two of rows, .* for tinycudann; got shape \(5, 63, 2\)"):
        fast(coords, table[:, :63])


def test_lattice_encoding_refuses_another_table():
    with pytest.raises(ValueError, match=r"table must have shape \(2, 8, n_features\); got \(2, 9, 2\)"):
        LatticeEncoding(*axes(5, 2), 2, 8, 3, 1.5)(torch.rand(2, 9, 2))
    with pytest.raises(ValueError, match=r"x must be one ascending axis"):
        LatticeEncoding(torch.tensor([0.5, 0.2]), torch.rand(1), 2, 8, 3, 1.5)


# --- warp_color


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
def test_warp_color_is_bilinear_with_a_repeated_border(size, out):
    image = torch.rand(2, 3, *size, generator=generator(), dtype=torch.float64)
    coord = torch.randn(2, 2, *out, generator=generator(1), dtype=torch.float64)
    color = torch.randn(2, 3, *out, generator=generator(2), dtype=torch.float64)
    expected = torch.stack([naive_warp(*x) for x in zip(image, coord, color, strict=True)])
    torch.testing.assert_close(warp_color(image, coord, color), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (64, 64), (1, 1023)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("backend", BACKENDS)
def test_warp_color_by_nothing_keeps_the_bits(backend, size, dtype):
    image = torch.rand(2, 3, *size, generator=generator()).to(dtype)
    out = warp_color(image, torch.zeros(2, 2, *size), torch.zeros(2, 3, *size), backend=backend)
    assert out.dtype == dtype
    assert torch.equal(out, image)


def test_warp_color_gradients():
    image = torch.rand(1, 2, 5, 4, generator=generator(), dtype=torch.float64)
    coord = torch.rand(1, 2, 5, 4, generator=generator(1), dtype=torch.float64) * 0.3 - 0.2
    color = torch.rand(1, 2, 5, 4, generator=generator(2), dtype=torch.float64)
    assert torch.autograd.gradcheck(warp_color, [x.requires_grad_() for x in (image, coord, color)])


def test_warp_color_has_a_gradient_at_the_start():
    image = torch.rand(1, 3, 8, 8, generator=generator())
    coord = torch.zeros(1, 2, 8, 8, requires_grad=True)
    (gradient,) = torch.autograd.grad(warp_color(image, coord, torch.zeros(1, 3, 8, 8)).square().sum(), coord)
    assert (gradient[:, 0, :, 1:-1] != 0).all() and (gradient[:, 1, 1:-1] != 0).all()


def test_warp_color_computes_in_float32_for_half_images():
    image = torch.rand(1, 3, 512, 512, generator=generator()).half()
    coord = torch.full((1, 2, 512, 512), 0.3 * 2 / 512)
    zero = torch.zeros(1, 3, 512, 512)
    exact = warp_color(image.double(), coord.double(), zero.double())
    assert (warp_color(image, coord, zero).double() - exact).abs().max() <= 2**-11


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 1023)])
@pytest.mark.parametrize("scale", [1, 3])
@pytest.mark.parametrize("backend", BACKENDS)
def test_warp_color_is_as_exact_as_its_reference(backend, scale, size):
    image = torch.rand(2, 3, scale * size[1], size[0], generator=generator()).transpose(2, 3)
    # Halves of pixels, so that no position is clamped or a pixel's own: there, float32 and float64 may see
    # different sides of a kink.
    steps = torch.randint(-4, 5, (2, 2, *size), generator=generator(1)) + 0.5
    coord = steps * 2 / torch.tensor([scale * size[1], size[0]]).reshape(2, 1, 1)
    color = torch.randn(2, 3, *size, generator=generator(2))
    assert_as_exact_as(partial(warp_color, backend=backend), warp_reference.warp_color, image, coord, color)


@pytest.mark.parametrize("backend", BACKENDS)
def test_warp_color_gives_only_the_gradients_asked_for(backend):
    given = [torch.rand(1, n, 6, 5, generator=generator(n)) * 0.1 for n in (3, 2, 3)]
    whole = [x.clone().requires_grad_() for x in given]
    expected = torch.autograd.grad(warp_color(*whole, backend=backend).square().sum(), whole)
    for k in range(3):
        some = [x.clone().requires_grad_(j == k) for j, x in enumerate(given)]
        (alone,) = torch.autograd.grad(warp_color(*some, backend=backend).square().sum(), [some[k]])
        assert torch.equal(alone, expected[k])


def test_warp_color_takes_an_empty_batch():
    assert warp_color(torch.rand(0, 3, 4, 4), torch.rand(0, 2, 4, 4), torch.rand(0, 3, 4, 4)).shape == (
        0,
        3,
        4,
        4,
    )


@pytest.mark.parametrize(
    ("image", "coord", "color", "message"),
    [
        ((3, 4, 4), (1, 2, 4, 4), (1, 3, 4, 4), "image must have shape"),
        ((1, 3, 0, 4), (1, 2, 4, 4), (1, 3, 4, 4), "image must have shape"),
        (
            (1, 3, 4, 4),
            (1, 3, 4, 4),
            (1, 3, 4, 4),
            r"coord must have shape \(1, 2, h, w\); got \(1, 3, 4, 4\)",
        ),
        ((2, 3, 4, 4), (1, 2, 4, 4), (2, 3, 4, 4), r"coord must have shape \(2, 2, h, w\)"),
        (
            (1, 3, 4, 4),
            (1, 2, 4, 4),
            (1, 3, 4, 5),
            r"color must have shape \(1, 3, 4, 4\); got \(1, 3, 4, 5\)",
        ),
    ],
)
def test_warp_color_says_what_is_wrong(image, coord, color, message):
    with pytest.raises(ValueError, match=message):
        warp_color(torch.rand(image), torch.rand(coord), torch.rand(color))
