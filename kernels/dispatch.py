"""Which backend runs an operation: the only place that decides.

"torch" is the plain-torch reference, on any device; "native" is compiled C++ for the CPU; "triton" are kernels for
CUDA, compiled at the first use; "tinycudann" is NVIDIA's own hash encoding, for those who have built it.
"""

from __future__ import annotations

import functools
import importlib.util

import torch

from . import native

# By device and operation, best first; "torch" comes last where it is not named.
BEST_FIRST: dict[str, dict[str, tuple[str, ...]]] = {
    "cpu": {name: ("native",) for name in ("sample", "hash_encode", "fused_step", "warp_pixels")}
    | {"lattice": ("torch", "native")},
    "cuda": {name: ("triton", "tinycudann") for name in ("hash_encode", "lattice")}
    | {name: ("triton",) for name in ("sample", "fused_step")},
}
BACKENDS = ("native", "triton", "tinycudann", "torch")


@functools.cache
def problem(backend: str) -> str | None:
    """Return why a backend cannot be used by this installation; None where it can."""
    if backend == "native":
        return native.problem()
    if backend == "tinycudann":
        try:
            import tinycudann  # noqa: F401
        except (
            Exception
        ) as error:  # built for another torch or GPU, it raises any of ImportError, OSError, RuntimeError
            return f"cannot be imported: {error}"
    elif importlib.util.find_spec(backend) is None:
        return "not installed"
    return None if torch.cuda.is_available() else "installed, for a GPU"


def available(device: torch.device | str = "cpu", operation: str | None = None) -> tuple[str, ...]:
    """Return the names of the backends for a device's tensors, best first.

    Args:
        device: where the tensors are.
        operation: a key of `BEST_FIRST`'s tables; None asks for the backends of any.
    """
    table = BEST_FIRST.get(torch.device(device).type, {})
    wanted = table.values() if operation is None else [table.get(operation, ())]
    names = [name for names in wanted for name in names] + ["torch"]
    if operation is None:
        names.sort(key=BACKENDS.index)
    return tuple(dict.fromkeys(name for name in names if name == "torch" or problem(name) is None))


def choose(name: str, operation: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> str:
    """Return the backend to use: the one named, or the best one here.

    Args:
        name: of a backend, or "auto" for the best one.
        operation: a key of `BEST_FIRST`'s tables.
        device: where the tensors are.
        dtype: they are computed in; only "torch" computes in float64.

    Raises:
        RuntimeError: a backend was named that cannot run this here; it is never replaced by another in silence.
    """
    usable = ("torch",) if dtype == torch.float64 else available(device, operation)
    if name == "auto":
        return usable[0]
    if name not in usable:
        kind = f"{operation} of {torch.device(device).type} tensors in {str(dtype).removeprefix('torch.')}"
        reason = problem(name) if name in BACKENDS[:-1] else None
        raise RuntimeError(
            f"backend must be 'auto' or one of {sorted(usable)} here, for {kind}; got {name!r}"
            + (f", which is: {reason}" if reason else "")
        )
    return name
