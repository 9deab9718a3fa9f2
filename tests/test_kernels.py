"""The operations of flowedit.kernels against their meaning in float64."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from flowedit.kernels import LatticeEncoding, available, choose, hash_encode, warp_color
from flowedit.kernels.hash_encode import reference as hash_reference
from flowedit.kernels.stencil import b_spline, catmull_rom, gather, linear
from flowedit.kernels.warp_color import reference as warp_reference


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_as_exact_as(fast, reference, *args):
    """Judge values, and every gradient under a random cotangent, by the reference's own rounding."""

    def run(function, dtype):
        leaves = [a.detach().to(dtype).requires_grad_() for a in args]
        out = function(*leaves)
        cotangent = torch.randn(out.shape, generator=generator(1)).to(dtype)
        return [x.double() for x in (out, *torch.autograd.grad(out, leaves, cotangent))]

    exact = run(reference, torch.float64)
    for got, plain, true in zip(run(fast, torch.float32), run(reference, torch.float32), exact, strict=True):
        if not true.numel():
            assert got.shape == true.shape
            continue
        rounding = (plain - true).abs().max()
        assert (got - true).abs().max() <= 2 * rounding + 1e-6 * true.abs().max()
        assert got.any() == true.any()


# --- dispatch


def test_the_best_backend_is_chosen_and_a_named_one_is_used():
    assert choose() == available()[0]
    assert [choose(name) for name in available()] == list(available())


def test_an_unusable_backend_is_refused_not_swapped():
    with pytest.raises(RuntimeError, match=r"backend must be one of .* here; got 'abacus'"):
        choose("abacus")
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


def lattice_and_reference(coords, shape, base, scale):
    encoding = LatticeEncoding(coords, *shape[:2], base, scale)
    return encoding, lambda table, *mask: hash_encode(coords.to(table.dtype), table, base, scale, *mask)


@pytest.mark.parametrize("n_points", [0, 1, 35, 1023])
@pytest.mark.parametrize("shape", [(1, 8, 1), (5, 24, 2), (3, 600, 4)])
def test_lattice_encoding_is_hash_encode(n_points, shape):
    coords = torch.rand(n_points, 2, generator=generator(2))
    table = torch.randn(shape, generator=generator(3))
    encoding, meaning = lattice_and_reference(coords, shape, 3, 1.9)
    assert_as_exact_as(encoding, meaning, table)
    assert_as_exact_as(encoding, meaning, table, torch.rand(shape[0], generator=generator(4)))


def test_lattice_encoding_takes_a_transposed_table_and_far_coordinates():
    coords = torch.randn(64, 2, generator=generator(5)) * 3
    table = torch.randn(2, 40, 4, generator=generator(6)).transpose(1, 2).contiguous().transpose(1, 2)
    assert not table.is_contiguous()
    encoding, meaning = lattice_and_reference(coords, table.shape, 4, 1.5)
    assert_as_exact_as(encoding, meaning, table)


def test_lattice_encoding_gives_the_same_bits_every_time():
    coords = torch.rand(5000, 2, generator=generator(7))
    table = torch.randn(6, 64, 2, generator=generator(8), requires_grad=True)
    cotangent = torch.randn(5000, 12, generator=generator(9))
    runs = []
    for threads in (1, 2, 2):
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            out = LatticeEncoding(coords, 6, 64, 4, 1.5)(table)
            runs.append((out, *torch.autograd.grad(out, table, cotangent)))
        finally:
            torch.set_num_threads(before)
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


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


def test_lattice_encoding_refuses_another_table():
    with pytest.raises(ValueError, match=r"table must have shape \(2, 8, n_features\); got \(2, 9, 2\)"):
        LatticeEncoding(torch.rand(5, 2), 2, 8, 3, 1.5)(torch.rand(2, 9, 2))


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
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_warp_color_by_nothing_keeps_the_bits(size, dtype):
    image = torch.rand(2, 3, *size, generator=generator()).to(dtype)
    out = warp_color(image, torch.zeros(2, 2, *size), torch.zeros(2, 3, *size))
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
def test_warp_color_is_as_exact_as_its_reference(size):
    image = torch.rand(1, 3, *size[::-1], generator=generator()).transpose(2, 3)
    coord = torch.randn(1, 2, *size, generator=generator(1)) * 0.7
    # Where a position is clamped or falls on a pixel, float32 and float64 may see different sides of a kink.
    assert_as_exact_as(
        partial(warp_color, image),
        lambda c, t: warp_reference.warp_color(image.to(c.dtype), c, t),
        coord,
        torch.randn(1, 3, *size, generator=generator(2)),
    )


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


# --- stencils


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
