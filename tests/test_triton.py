"""The Triton kernels against plain torch: on the GPU where there is one, and everywhere through Triton's interpreter.

Triton reads TRITON_INTERPRET when it is imported, which torch may do at any time. The interpreted tests therefore run
in a process of their own, started by the first test here. A third test compiles every kernel for a GPU, without one.
"""

from __future__ import annotations

import importlib.util
import inspect
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from flowedit.kernels import Interpolation, LatticeEncoding, dispatch, hash_encode, sample
from flowedit.kernels.hash_encode import reference as hash_reference
from flowedit.kernels.sample import reference as sample_reference
from tests.judging import assert_as_exact_as, generator
from tests.test_step import LEAVES, outputs, run, scene

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


@pytest.mark.skipif(INTERPRETED, reason="this is the process it starts")
def test_on_the_cpu_through_the_interpreter():
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__]
    done = subprocess.run(
        command,
        env={**environment, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@pytest.fixture
def device(monkeypatch):
    """Where the kernels run; by the interpreter on the CPU, where the dispatcher then finds them."""
    if not INTERPRETED and not torch.cuda.is_available():
        pytest.skip("needs a CUDA GPU; run by the interpreter in test_on_the_cpu_through_the_interpreter")
    if INTERPRETED:
        monkeypatch.setattr(dispatch, "problem", lambda backend: None)
        monkeypatch.setitem(dispatch.BEST_FIRST, "cpu", dispatch.BEST_FIRST["cuda"])
    return "cpu" if INTERPRETED else "cuda"


def random(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed))


# --- fused_step


@pytest.mark.parametrize(("n", "parts"), [(3, 0), (3, 1), (17, 3)])
def test_a_step_is_as_exact_as_in_plain_torch(device, n, parts):
    leaves, others = scene(n, parts)
    fast, plain = (partial(outputs, backend, others) for backend in ("triton", "torch"))
    assert_as_exact_as(fast, plain, *leaves, device=device)


@pytest.mark.parametrize(("image", "size"), [((2, 2), 1), ((24, 17), 33)])
def test_a_steps_views_of_any_size_are_as_exact_as_in_plain_torch(device, image, size):
    leaves, others = scene(7, 2, image)
    others["size"] = size

    def views(backend, *leaves):
        return outputs(backend, others, *leaves)["views"]

    assert_as_exact_as(partial(views, "triton"), partial(views, "torch"), *leaves, device=device)


def test_a_steps_gradients_add_up_over_its_outputs(device):
    leaves, others = scene(7, 2)
    leaves = [leaf.to(device).requires_grad_() for leaf in leaves]
    step = run("triton", others, *leaves)
    separate = [torch.autograd.grad(x.sum(), leaves, retain_graph=True) for x in step]
    together = torch.autograd.grad(sum(x.sum() for x in step), leaves)
    for leaf, total in enumerate(together):
        torch.testing.assert_close(sum(gradients[leaf] for gradients in separate), total)


def test_a_step_takes_no_views(device):
    leaves, others = scene(7, 2)
    others |= {"theta": torch.zeros(0, 2, 3), "gain": torch.zeros(0)}
    assert run("triton", others, *(leaf.to(device) for leaf in leaves)).views.shape == (0, 3, 11, 11)


@pytest.mark.parametrize(
    ("broken", "names"), [("coord", ("views", "bending", "shift", "fold")), ("color", ("tint", "tint_smoothness"))]
)
def test_a_step_shows_what_is_not_a_number(device, broken, names):
    leaves, others = scene(7, 2)
    leaves = [leaf.to(device) for leaf in leaves]
    leaves[LEAVES.index(broken)][0, 1, 3, 3] = torch.nan
    made = outputs("triton", others, *leaves)
    assert all(made[name].isnan().any() for name in names)


# --- sample


@pytest.mark.parametrize("n_points", [1, 700])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 40)])
@pytest.mark.parametrize("interpolation", Interpolation)
def test_sampling_is_as_exact_as_in_plain_torch(device, interpolation, size, n_points):
    values, (x, y) = random(3, *size), 9 * random(2, n_points, seed=1)
    origin = tuple(torch.randint(-3, 40, (2, n_points), generator=generator(2)))
    exact = sample_reference.sample(values.double(), x.double(), y.double(), interpolation, origin)
    plain = sample_reference.sample(values, x, y, interpolation, origin)
    there = [tensor.to(device) for tensor in (values, x, y)]
    got = sample(*there, interpolation, tuple(axis.to(device) for axis in origin), "triton").cpu()
    assert (got - exact).abs().max() <= 2 * (plain - exact).abs().max() + 1e-6


def test_sampling_at_the_nodes_keeps_the_bits(device):
    values, zero = random(3, 4, 5).to(device), torch.zeros(20, device=device)
    row, column = torch.arange(20, device=device) // 5, torch.arange(20, device=device) % 5
    got = sample(values, zero, zero, Interpolation.CATMULL_ROM, (column, row), "triton")
    assert torch.equal(got, values.flatten(1))


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
    return torch.rand(n, 2, generator=generator()) * 0.98 + 0.01  # the gradient at 0 and 1 is the clamp's


@pytest.mark.parametrize("n_points", [1, 150])
@pytest.mark.parametrize(("shape", "base", "growth"), GRIDS)
def test_encoding_is_as_exact_as_in_plain_torch(device, n_points, shape, base, growth):
    coords, table = points(n_points), random(*shape, seed=1)
    fast = partial(hash_encode, base_resolution=base, per_level_scale=growth, backend="triton")
    if base < 100:  # above, a cell is no wider than the rounding of a position in float32
        plain = partial(meaning, base_resolution=base, per_level_scale=growth)
        assert_as_exact_as(fast, plain, coords, table, device=device)
    got = fast(coords.to(device), table.to(device)).cpu()
    torch.testing.assert_close(got, hash_reference.hash_encode(coords, table, base, growth))


def test_encoding_wraps_around_in_the_last_half_cell(device):
    corners = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    table = random(3, 24, 2, seed=1)
    got = hash_encode(corners.to(device), table.to(device), 3, 1.9, backend="triton").cpu()
    torch.testing.assert_close(got, hash_reference.hash_encode(corners, table, 3, 1.9))


def test_encoding_gives_only_the_gradients_asked_for(device):
    given = points(20).to(device), random(2, 24, 2, seed=1).to(device)
    whole = [x.clone().requires_grad_() for x in given]
    expected = torch.autograd.grad(hash_encode(*whole, 3, 1.9, backend="triton").sum(), whole)
    for k in (0, 1):
        some = [x.clone().requires_grad_(j == k) for j, x in enumerate(given)]
        (alone,) = torch.autograd.grad(hash_encode(*some, 3, 1.9, backend="triton").sum(), [some[k]])
        torch.testing.assert_close(alone, expected[k])


def test_encoding_takes_views_and_no_points(device):
    coords, table = points(20).to(device), random(2, 24, 4, seed=1).to(device)
    views = coords.T.contiguous().T, table.transpose(1, 2).contiguous().transpose(1, 2)
    assert not any(view.is_contiguous() for view in views)
    encode = partial(hash_encode, base_resolution=3, per_level_scale=1.9, backend="triton")
    assert torch.equal(encode(*views), encode(coords, table))
    table.requires_grad_()
    nothing = encode(coords[:0], table)
    assert nothing.shape == (0, 8)
    (gradient,) = torch.autograd.grad(nothing.sum(), table)
    assert gradient.shape == table.shape and not gradient.any()


def test_encoding_a_lattice_is_as_exact_as_in_plain_torch(device):
    x, y, table = torch.linspace(0.01, 0.99, 7), torch.linspace(0.01, 0.99, 5), random(3, 24, 2)
    fast = LatticeEncoding(x.to(device), y.to(device), 3, 24, 3, 1.9, backend="triton")
    at = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)
    assert_as_exact_as(fast, lambda t: meaning(at.to(t), t, 3, 1.9), table, device=device)


# --- every kernel, compiled

OTHER_TYPES = {"scales": "*fp64", "grids": "*i32", "limit": "fp32", "mean": "fp32", "least_area": "fp32"}
INTEGERS = {"n", "parts", "blocks", "height", "width", "h", "w", "size", "area", "pixels", "image_area", "channels"}
INTEGERS |= {"n_points", "n_levels", "level_size"}
HASH = {"FEATURES": 2, "POINTS": 128, "PADDED": 2}
VARIANTS = [  # module, kernel, arguments that are None, constants, other types
    ("step", "_tint", ("d_color", "d_added"), {"BLOCK": 256}, {}),
    ("step", "_tint", (), {"BLOCK": 256}, {}),
    ("step", "_regularizers", ("d_costs", "d_coord", "d_color"), {"BLOCK": 256}, {}),
    ("step", "_regularizers", ("partial",), {"BLOCK": 256}, {}),
    ("step", "_views", ("d_coord", "d_color"), {"BLOCK": 256}, {}),
    ("step", "_views", (), {"BLOCK": 256}, {}),
    ("sample", "_gather", (), {"TAPS": 4, "BLOCK": 256}, {"x": "*i64", "y": "*i64"}),
    ("hash_encode", "_forward", (), HASH, {}),
    ("hash_encode", "_backward", (), HASH, {}),
    ("hash_encode", "_backward", ("d_coords",), HASH, {}),
    ("hash_encode", "_backward", ("d_table",), HASH, {}),
]


@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.parametrize(("module", "name", "none", "constants", "types"), VARIANTS)
def test_every_kernel_compiles_for_a_gpu(module, name, none, constants, types):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    kernel = getattr(importlib.import_module(f"flowedit.kernels.{module}.triton_kernel"), name)
    constants = {**dict.fromkeys(none), **constants}
    names = list(inspect.signature(kernel.fn).parameters)

    def type_of(name):
        if name in constants:
            return "constexpr"
        if name in INTEGERS:
            return "i32"
        real = name.startswith(("scale_", "smooth_")) or name.endswith("_rounding")
        return {**OTHER_TYPES, **types}.get(name, "fp32" if real else "*fp32")

    signature = {name: type_of(name) for name in names}
    source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()})
    done = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"enable_fp_fusion": False})
    assert done.asm["cubin"]
