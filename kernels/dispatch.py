"""Which backend runs an operation: the only place that decides.

"torch" is the plain-torch meaning, anywhere; "native" is compiled C++ for the CPU; "triton" are kernels for CUDA, made
when first used; "tinycudann" is NVIDIA's own hash encoding, for those who have built it.
"""

from __future__ import annotations

import importlib.util

import torch

from . import native

NATIVE = (
    "hash_encode", "lattice", "look", "paint", "penalties", "planes", "sample", "stage", "upsample", "warp_color",
)  # fmt: skip
BEST_FIRST: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": dict.fromkeys(NATIVE, ("native",)),
    "cuda": {"hash_encode": ("triton", "tinycudann"), "lattice": ("triton",), "warp_color": ("triton",)},
}


_problems: dict[str, str | None] = {}  # by hand: torch.compile looks through functools.cache


def problem(backend: str) -> str | None:
    """Say why a backend cannot be used by this installation; None where it can."""
    if backend not in _problems:
        _problems[backend] = _find_problem(backend)
    return _problems[backend]


def _find_problem(backend: str) -> str | None:
    if backend == "native":
        return native.problem()
    if backend == "tinycudann":
        try:
            import tinycudann  # noqa: F401
        except (ImportError, OSError) as error:  # without a GPU its import raises OSError
            return f"cannot be imported: {error}"
    elif importlib.util.find_spec(backend) is None:
        return "not installed"
    return None if torch.cuda.is_available() else "installed, for a GPU"


problem("native")  # torch.compile can trace a look at what is known, and not the loading of a library


def available(device: torch.device | str = "cpu", operation: str | None = None) -> tuple[str, ...]:
    """Name the backends for a device's tensors, best first.

    Args:
        device: where the tensors are.
        operation: a key of `BEST_FIRST`'s tables; None asks for the backends of any.
    """
    table = BEST_FIRST.get(torch.device(device).type, {})
    wanted = table.values() if operation is None else [table.get(operation, ())]
    found = dict.fromkeys(name for names in wanted for name in names if problem(name) is None)
    return (*found, "torch")


def choose(
    name: str | None, operation: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> str:
    """Return the backend to use: the one named, or the best one here.

    Args:
        name: of a backend, or None.
        operation: a key of `BEST_FIRST`'s tables.
        device: where the tensors are.
        dtype: they are computed in; only "torch" computes in float64.

    Raises:
        RuntimeError: a backend was named that cannot run this here; it is never swapped for another in silence.
    """
    usable = ("torch",) if dtype == torch.float64 else available(device, operation)
    if name is None:
        return usable[0]
    if name not in usable:
        kind = f"{operation} of {torch.device(device).type} tensors in {str(dtype).removeprefix('torch.')}"
        raise RuntimeError(f"backend must be one of {sorted(usable)} here, for {kind}; got {name!r}")
    return name
