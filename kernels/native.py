"""The compiled CPU kernels, where this installation has them: a plain C library that serves every version of torch."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import torch
from torch import Tensor

HERE = Path(__file__).parent
RUNTIMES = ("libgomp*", "libomp*", "libiomp5*")

# The arguments of every C function, but for the number of threads, which comes last: a tensor's dtype ("?": may be
# None, which becomes a null pointer), an integer or a real number.
SIGNATURES = {
    "sample_forward": "f32 f32 f32 i64? i64? f32 int int int int int",
    "hash_encode_forward": "f32 f32 i32 f64 f32 int int int int",
    "hash_encode_backward": "f32 f32 i32 f64 f32 f32? f32? int int int int",
    "render_views_forward": "f32 f32 f32 f32 f32 f32 int int int int int int",
    "render_views_backward": "f32 f32 f32 f32 f32 f32 f32 f32 int int int int int int",
    "tint_parts_forward": "f32 f32 f32 f32 f32 f32 f32 f32 int int real real",
    "tint_parts_backward": "f32 f32 f32 f32 f32 f32 f32 f32 f32 f32 int int real real",
    "warp_pixels_u8": "u8 f32 u8 int int int int int int int int int",
    "warp_pixels_u16": "u16 f32 u16 int int int int int int int int int",
    "regularizers_forward": "f32 f32 f32 f32 f32 f32 int int real real real",
    "regularizers_backward": "f32 f32 f32 f32 f32 f32 f32 f32 int int real real real",
}
DTYPES = {"f32": torch.float32, "f64": torch.float64, "i32": torch.int32, "i64": torch.int64}
DTYPES |= {"u8": torch.uint8, "u16": torch.uint16}
NUMBERS = {"int": ctypes.c_int64, "real": ctypes.c_float}
PYTHON: dict[str, type | tuple[type, ...]] = {"int": int, "real": (int, float)}


@functools.cache
def _load() -> ctypes.CDLL | str:
    """Load the kernels, or return why that is not possible."""
    built = sorted(HERE.glob("_native*.so"))
    if not built:
        return "not built: no C++ compiler was found when flowedit was installed"
    # The kernels leave OpenMP's symbols open and find torch's own runtime: two runtimes in one process would
    # each keep threads spinning on every core.
    for name in RUNTIMES:
        for runtime in sorted((Path(torch.__file__).parent / "lib").glob(name)):
            ctypes.CDLL(str(runtime), mode=ctypes.RTLD_GLOBAL)
    try:
        library = ctypes.CDLL(str(built[-1]))
        for name, signature in SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes = [NUMBERS.get(kind, ctypes.c_void_p) for kind in signature.split()] + [ctypes.c_int]
            function.restype = None
    except (OSError, AttributeError) as error:  # AttributeError: the library of another version
        return f"cannot be loaded: {error}"
    return library


def problem() -> str | None:
    """Return why the compiled kernels cannot be used here; None where they can."""
    loaded = _load()
    return loaded if isinstance(loaded, str) else None


def plain(x: Tensor) -> Tensor:
    """Return a tensor as the kernels take it: float32 and contiguous."""
    return x if x.dtype is torch.float32 and x.is_contiguous() else x.to(torch.float32).contiguous()


def call(name: str, *arguments: Tensor | int | float | None) -> None:
    """Call a kernel with as many threads as torch uses.

    Raises:
        TypeError: an argument is not what `SIGNATURES` says; a tensor must be contiguous and on the CPU.
    """
    kernels = _load()
    assert isinstance(kernels, ctypes.CDLL), kernels  # the dispatcher asked before
    values = [_as_c(name, *kind, value) for kind, value in zip(_kinds(name), arguments, strict=True)]
    getattr(kernels, name)(*values, torch.get_num_threads())


@functools.cache
def _kinds(name: str) -> tuple[tuple[str, torch.dtype | None], ...]:
    """Return each argument's kind, and its dtype if it is a tensor."""
    return tuple((kind, DTYPES.get(kind.rstrip("?"))) for kind in SIGNATURES[name].split())


def _as_c(name: str, kind: str, dtype: torch.dtype | None, value: Tensor | int | float | None) -> int | float | None:
    if isinstance(value, Tensor):
        if value.dtype is dtype and value.is_cpu and value.is_contiguous():
            return value.data_ptr()
        value = f"{value.dtype} on {value.device} with strides {value.stride()}"  # type: ignore[assignment]
    elif (value is None and kind.endswith("?")) or isinstance(value, PYTHON.get(kind, ())):
        return value
    wanted = f"a number ({kind})" if dtype is None else f"a contiguous {dtype} tensor on the CPU"
    raise TypeError(f"an argument of {name} must be {wanted}; got {value}")
