"""The compiled CPU kernels, where this installation has them: a plain C library, so that any torch will do."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).parent
RUNTIMES = ("libgomp*", "libomp*", "libiomp5*")


@functools.cache
def _load() -> ctypes.CDLL | str:
    """Load the kernels, or say why not."""
    built = sorted(HERE.glob("_native*.so"))
    if not built:
        return "not built: no C++ compiler was found when flowedit was installed"
    # The kernels leave OpenMP's symbols open and find torch's own runtime: two runtimes in one process would
    # each keep threads spinning on every core.
    for name in RUNTIMES:
        for runtime in sorted((Path(torch.__file__).parent / "lib").glob(name)):
            ctypes.CDLL(str(runtime), mode=ctypes.RTLD_GLOBAL)
    try:
        return ctypes.CDLL(str(built[-1]))
    except OSError as error:
        return f"cannot be loaded: {error}"


def problem() -> str | None:
    """Say why the compiled kernels cannot be used here; None where they can."""
    loaded = _load()
    return loaded if isinstance(loaded, str) else None


def plain(x: Tensor) -> Tensor:
    """As the kernels take it: float32 and contiguous."""
    return x if x.dtype is torch.float32 and x.is_contiguous() else x.to(torch.float32).contiguous()


def call(name: str, *arguments: Tensor | int | float | None) -> None:
    """Call a kernel: tensors become pointers to their first value, None a null pointer, numbers int64 or float.

    The number of torch's threads is added. Tensors must be contiguous and on the CPU, and are not checked.
    """
    kernels = _load()
    assert isinstance(kernels, ctypes.CDLL), kernels  # the dispatcher asked before
    getattr(kernels, name)(*map(_as_c, arguments), ctypes.c_int(torch.get_num_threads()))


def _as_c(argument: Tensor | int | float | None) -> ctypes.c_int64 | ctypes.c_float | ctypes.c_void_p:
    if isinstance(argument, int):
        return ctypes.c_int64(argument)
    if isinstance(argument, float):
        return ctypes.c_float(argument)
    return ctypes.c_void_p(None if argument is None else argument.data_ptr())
