"""Which backend runs an operation, and what every backend keeps to: bits, dtypes, gradients asked for."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch

from flowedit.kernels import (
    Interpolation,
    LatticeEncoding,
    available,
    choose,
    dispatch,
    fused_step,
    hash_encode,
    sample,
)
from flowedit.kernels import native as compiled
from flowedit.kernels.hash_encode.operator import describe_levels
from tests.judging import bits_by_threads, generator
from tests.test_step import scene

OPERATIONS = ("sample", "hash_encode", "lattice", "fused_step")
native = pytest.mark.skipif("native" not in available(), reason="no compiled kernels here")


def sample_case(backend):
    values, points = torch.rand(2, 9, 8, generator=generator()), torch.rand(2, 1500, generator=generator(1)) * 12

    @torch.no_grad()
    def run():
        return [sample(values, *points, interpolation, backend=backend) for interpolation in Interpolation]

    return run


def hash_encode_case(backend):
    coords = torch.rand(1500, 2, generator=generator(), requires_grad=True)
    table = torch.randn(6, 64, 2, generator=generator(1), requires_grad=True)

    def run():
        out = hash_encode(coords, table, 4, 1.5, backend=backend)
        gradients = torch.autograd.grad(out.square().sum(), (coords, table))
        return [out, *(gradients[:1] if backend == "torch" else gradients)]  # torch scatters in an order of its own

    return run


def lattice_case(backend):
    table = torch.randn(6, 64, 2, generator=generator(1), requires_grad=True)
    axes = [torch.rand(n, generator=generator(n)).sort().values for n in (30, 40)]

    def run():
        out = LatticeEncoding(*axes, 6, 64, 4, 1.5, backend=backend)(table)
        return [out, *torch.autograd.grad(out.square().sum(), table)]

    return run


def fused_step_case(backend):
    leaves, others = scene(40, 5)
    for leaf in leaves:
        leaf.requires_grad_()
    others |= dict(zip(("coord", "color", "palette"), leaves, strict=True))

    def run():
        step = fused_step(**others, backend=backend)
        return [*step, *torch.autograd.grad(sum(x.square().sum() for x in step), leaves)]

    return run


CASES = {"sample": sample_case, "hash_encode": hash_encode_case, "lattice": lattice_case, "fused_step": fused_step_case}
EVERY = [(operation, backend) for operation in OPERATIONS for backend in available("cpu", operation)]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_best_backend_is_chosen_and_a_named_one_is_used(operation):
    usable = available("cpu", operation)
    assert choose("auto", operation) == usable[0]
    assert [choose(name, operation) for name in usable] == list(usable)
    assert choose("auto", operation, dtype=torch.float64) == "torch"


@native
def test_compiled_kernels_come_first_where_they_are_the_quickest():
    best = {operation: choose("auto", operation) for operation in OPERATIONS}
    assert best == {"sample": "native", "hash_encode": "native", "lattice": "torch", "fused_step": "native"}


def test_an_unusable_backend_is_refused_not_replaced():
    with pytest.raises(
        RuntimeError, match=r"backend must be 'auto' or one of .* of cpu tensors in float32; got .abacus."
    ):
        choose("abacus", "sample")
    with pytest.raises(RuntimeError, match="for hash_encode of cpu tensors in float64; got 'native'"):
        choose("native", "hash_encode", dtype=torch.float64)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_refuses_a_backend_that_it_cannot_use(operation):
    with pytest.raises(RuntimeError, match=f"for {operation} of cpu tensors in float32; got 'abacus'"):
        CASES[operation]("abacus")()


@pytest.mark.parametrize(
    "error", [ImportError("no module"), OSError("no GPU"), RuntimeError("another torch"), ValueError()]
)
def test_a_tinycudann_that_cannot_be_imported_is_a_reason_and_no_crash(error, monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "tinycudann":
                raise error

    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    assert dispatch.problem.__wrapped__("tinycudann") == f"cannot be imported: {error}"


def test_a_refusal_gives_the_reason():
    dispatch.problem.cache_clear()
    with pytest.raises(RuntimeError, match=r"got 'tinycudann', which is: (cannot be imported|installed, for a GPU)"):
        choose("tinycudann", "hash_encode")


@pytest.mark.parametrize(("operation", "backend"), EVERY)
def test_the_bits_are_the_same_every_time_and_for_any_number_of_threads(operation, backend):
    first, *others = bits_by_threads(CASES[operation](backend))
    for other in others:
        assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@contextmanager
def default(kind):
    dtype = torch.get_default_dtype()
    torch.set_default_device("meta" if kind == "meta" else None)
    torch.set_default_dtype(dtype if kind == "meta" else kind)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_default_device(None)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float64, "meta"], ids=str)
@pytest.mark.parametrize(("operation", "backend"), EVERY)
def test_another_default_dtype_or_device_changes_no_bit(operation, backend, kind):
    run = CASES[operation](backend)
    describe_levels.cache_clear()
    with default(kind):
        got = run()
    describe_levels.cache_clear()
    plain = run()
    assert all(x.dtype == torch.float32 and x.is_cpu for x in got)
    assert all(torch.equal(a, b) for a, b in zip(got, plain, strict=True))


# --- the compiled library


@native
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {0: torch.zeros(1, 4, 4, dtype=torch.float64)},
            "a contiguous torch.float32 tensor on the CPU; got torch.float64",
        ),
        ({0: torch.zeros(1, 4, 4, dtype=torch.bfloat16)}, "got torch.bfloat16 on cpu"),
        ({0: torch.zeros(1, 4, 4, device="meta")}, "got torch.float32 on meta"),
        ({0: torch.zeros(1, 4, 4).mT}, "with strides"),
        ({3: torch.zeros(2, dtype=torch.int32)}, "a contiguous torch.int64 tensor"),
        ({5: None}, "tensor on the CPU; got None"),
        ({6: 1.5}, r"a number \(int\); got 1.5"),
        ({10: "linear"}, r"a number \(int\); got linear"),
    ],
)
def test_a_kernel_is_given_nothing_else_than_its_signature_says(wrong, message):
    zero, out = torch.zeros(2), torch.zeros(1, 2)
    arguments = [torch.zeros(1, 4, 4), zero, zero, None, None, out, 1, 4, 4, 2, 0]
    compiled.call("sample_forward", *arguments)
    for place, value in wrong.items():
        arguments[place] = value
    with pytest.raises(TypeError, match=f"an argument of sample_forward must be .*{message}"):
        compiled.call("sample_forward", *arguments)


@native
def test_every_argument_of_every_kernel_has_a_type():
    library = compiled._load()
    for name, signature in compiled.SIGNATURES.items():
        assert len(getattr(library, name).argtypes) == len(signature.split()) + 1


def test_a_library_of_another_version_is_a_reason_and_no_crash(monkeypatch):
    monkeypatch.setattr(compiled.ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    monkeypatch.setattr(compiled, "HERE", SimpleNamespace(glob=lambda pattern: ["_native.so"]))
    assert compiled._load.__wrapped__().startswith("cannot be loaded: ")
