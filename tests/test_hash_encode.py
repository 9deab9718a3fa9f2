"""The hash encoding against the paper, against its plain reference in float64, and at fixed points."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from flowedit.kernels import LatticeEncoding, available, dispatch, hash_encode
from flowedit.kernels.hash_encode import reference as hash_reference
from tests.judging import assert_as_exact_as, generator

BACKENDS = available("cpu", "hash_encode")
LATTICE_BACKENDS = available("cpu", "lattice")


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
@pytest.mark.parametrize("backend", LATTICE_BACKENDS)
def test_lattice_encoding_is_hash_encode(backend, shape, size):
    table = torch.randn(shape, generator=generator(3))
    encoding, meaning = lattice_and_reference(*axes(*size), shape, 3, 1.9, backend)
    assert_as_exact_as(encoding, meaning, table)
    assert_as_exact_as(encoding, meaning, table, torch.rand(shape[0], generator=generator(4)))


@pytest.mark.parametrize("backend", LATTICE_BACKENDS)
def test_lattice_encoding_takes_a_transposed_table_and_far_coordinates(backend):
    table = torch.randn(2, 40, 4, generator=generator(6)).transpose(1, 2).contiguous().transpose(1, 2)
    assert not table.is_contiguous()
    encoding, meaning = lattice_and_reference(*axes(8, 9, spread=5.0), table.shape, 4, 1.5, backend)
    assert_as_exact_as(encoding, meaning, table)


@pytest.mark.parametrize("backend", LATTICE_BACKENDS)
def test_a_table_of_nan_is_encoded_as_nan(backend):
    table = torch.full((1, 8, 1), torch.nan)
    assert LatticeEncoding(*axes(2, 2), 1, 8, 2, 1.5, backend=backend)(table).isnan().all()


@pytest.mark.skipif("native" not in BACKENDS, reason="plain torch refuses to read at a coordinate that is NaN")
def test_a_coordinate_of_nan_is_encoded_as_nan():
    coords = torch.tensor([[torch.nan, 0.5], [0.5, 0.5]])
    out = hash_encode(coords, torch.ones(1, 8, 1), 2, 1.5, backend="native")
    assert out.isnan().flatten().tolist() == [True, False]


@pytest.mark.skipif("native" not in BACKENDS, reason="plain torch has a second derivative")
def test_a_second_derivative_is_refused_and_never_wrong():
    coords, table = torch.rand(5, 2), torch.randn(2, 16, 2, requires_grad=True)
    out = hash_encode(coords, table, 3, 1.5, backend="native").square().sum()
    (gradient,) = torch.autograd.grad(out, table, create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiate twice|does not require grad"):
        gradient.sum().backward()


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


@pytest.fixture
def tinycudann(monkeypatch):
    """tinycudann's stand-in, importable and for the CPU."""
    monkeypatch.setitem(sys.modules, "tinycudann", SimpleNamespace(Encoding=TinyCudaEncoding))
    monkeypatch.delitem(sys.modules, "flowedit.kernels.hash_encode.tinycudann_backend", raising=False)
    monkeypatch.setattr(dispatch, "problem", lambda backend: None)
    table = {"hash_encode": ("tinycudann",), "lattice": ("tinycudann",)}
    monkeypatch.setitem(dispatch.BEST_FIRST, "cpu", table)
    yield
    sys.modules.pop("flowedit.kernels.hash_encode.tinycudann_backend", None)


def test_tinycudann_is_used_where_it_is_named(tinycudann):
    coords, table = torch.rand(20, 2, generator=generator()), torch.randn(5, 64, 2, generator=generator(1))
    fast = partial(hash_encode, base_resolution=3, per_level_scale=1.6, backend="tinycudann")
    assert_as_exact_as(fast, partial(hash_reference.hash_encode, base_resolution=3, per_level_scale=1.6), coords, table)


def test_tinycudann_encodes_a_lattice(tinycudann):
    table = torch.randn(5, 64, 2, generator=generator(1))
    encoding, meaning = lattice_and_reference(*axes(7, 5), table.shape, 3, 1.6, "tinycudann")
    assert encoding.backend == "tinycudann"
    assert_as_exact_as(encoding, meaning, table)


def test_tinycudann_takes_a_table_of_dense_levels_of_any_size(tinycudann):
    coords, table = torch.rand(20, 2, generator=generator()), torch.randn(3, 56, 2, generator=generator(1))
    fast = hash_encode(coords, table, 3, 1.5, backend="tinycudann")  # levels of 3, 5 and 7 vertices a side
    torch.testing.assert_close(fast, hash_reference.hash_encode(coords, table, 3, 1.5))


@pytest.mark.parametrize("shape", [(5, 63, 2), (5, 64, 3)])
def test_tinycudann_refuses_a_table_that_it_would_read_otherwise(tinycudann, shape):
    with pytest.raises(ValueError, match=r"a power of two of rows, .* for tinycudann; got shape"):
        hash_encode(torch.rand(2, 2), torch.rand(shape), 3, 1.6, backend="tinycudann")


def test_lattice_encoding_refuses_another_table():
    with pytest.raises(ValueError, match=r"table must have shape \(2, 8, n_features\); got \(2, 9, 2\)"):
        LatticeEncoding(*axes(5, 2), 2, 8, 3, 1.5)(torch.rand(2, 9, 2))
    with pytest.raises(ValueError, match=r"x must be one ascending axis"):
        LatticeEncoding(torch.tensor([0.5, 0.2]), torch.rand(1), 2, 8, 3, 1.5)
