"""One torch state for all of flowedit, whatever state the caller's thread is in."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from contextlib import ContextDecorator, ExitStack
from typing import TypeVar

import torch

from flowedit.checks import require

Function = TypeVar("Function", bound=Callable[..., object])

_LOCK = threading.Lock()
_depth = 0  # calls inside, over all threads
_host_dtype: torch.dtype | None = None  # the default dtype to restore; None while it is float32 anyway


class isolated(ContextDecorator):
    """Context manager and decorator: run with torch's initial defaults, and leave the caller's as they were.

    Inside: default dtype float32, default device cpu, gradients enabled, no inference mode, no autocast, no torch
    function modes. Deterministic mode, thread counts and generators stay the caller's. Calls may be nested and
    concurrent. User callbacks that are called inside see the inner state.

    `torch.set_default_device` and `with torch.device(...)` are torch function modes; all modes are switched off rather
    than another put on top, since nn.MultiheadAttention takes another path, with other rounding, under any mode. For
    the same reason the default dtype, which belongs to the process, is set and not imitated by a mode: while a call
    is inside, other threads see float32 too; the last call to leave restores it.

    Args:
        grad: enable gradients and leave inference mode; False keeps the caller's gradient and inference modes.

    Raises:
        TypeError: decorates a generator function, whose caller would run inside between its steps.
    """

    def __init__(self, grad: bool = True) -> None:
        self._grad = grad
        self._stack = ExitStack()

    def _recreate_cm(self) -> isolated:
        """Return a new instance for each call of a decorated function; ContextDecorator calls this."""
        return isolated(self._grad)

    def __call__(self, func: Function) -> Function:
        require(
            not inspect.isgeneratorfunction(func),
            f"isolated must decorate a function; got the generator {func!r}",
            TypeError,
        )
        return super().__call__(func)

    def __enter__(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(torch._C.DisableTorchFunction())
            _enter_float32()
            stack.callback(_leave_float32)
            for device in ("cpu", "cuda", "mps"):
                if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
                    stack.enter_context(torch.autocast(device, enabled=False))
            if self._grad:
                stack.enter_context(torch.inference_mode(False))
                stack.enter_context(torch.enable_grad())
            self._stack = stack.pop_all()

    def __exit__(self, *error: object) -> None:
        self._stack.close()


def _enter_float32() -> None:
    global _depth, _host_dtype
    with _LOCK:
        _depth += 1
        if (dtype := torch.get_default_dtype()) != torch.float32:
            _host_dtype = dtype
            torch.set_default_dtype(torch.float32)


def _leave_float32() -> None:
    global _depth, _host_dtype
    with _LOCK:
        _depth -= 1
        if _depth == 0 and _host_dtype is not None:
            if torch.get_default_dtype() == torch.float32:  # else the host has set another in the meantime
                torch.set_default_dtype(_host_dtype)
            _host_dtype = None
