"""Checks at the public edge, and their one wording: what, must be, got."""

from __future__ import annotations

import math
import numbers
import operator
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import field, fields
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor


def require(ok: bool, message: str, error: type[Exception] = ValueError) -> None:
    """Raise `error` with `message` unless `ok`."""
    if not ok:
        raise error(message)


def describe(x: object) -> str:
    """Name a value in an error line: a tensor or array by its shape and dtype, anything else by a short repr."""
    if isinstance(x, np.number):
        x = x.item()
    if isinstance(x, Tensor) or type(x).__module__ == "numpy":
        return f"{type(x).__name__} of shape {tuple(x.shape)} and {x.dtype}"  # type: ignore[attr-defined]
    text = repr(x)
    return text if len(text) <= 80 else text[:77] + "..."


def check_image(x: Tensor, name: str = "image") -> None:
    """Refuse anything but a finite floating (B, 3, H, W) tensor."""
    require(isinstance(x, Tensor), f"{name} must be a tensor; got {describe(x)}", TypeError)
    require(x.ndim == 4 and x.shape[1] == 3, f"{name} must have shape (B, 3, H, W); got {tuple(x.shape)}")
    require(x.is_floating_point(), f"{name} must be floating point in [0, 1]; got {x.dtype}", TypeError)
    if not (x.is_cuda and torch.cuda.is_current_stream_capturing()):  # when nothing can be read back
        require(bool(torch.isfinite(x).all()), f"{name} must be finite; got NaN or infinity")


def number(default: Any, *, least: float | None = None, above: float | None = None, most: float = 1e6) -> Any:
    """Make a dataclass's field for a number within a range, which `check_fields` holds.

    Args:
        default: its default; None where None is allowed.
        least: the least it may be.
        above: what it must exceed.
        most: the most it may be.
    """
    return field(default=default, metadata={"least": least, "above": above, "most": most})


def name_or_function(default: str) -> Any:
    """Make a dataclass's field for a name, in whose place `check_fields` takes a function too."""
    return field(default=default, metadata={"function": True})


def is_bool(value: object) -> bool:
    """Return whether a value is a bool, Python's or numpy's."""
    return isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")


def as_number(value: object) -> int | float | None:
    """Return any real number, a numpy or torch scalar too, as Python's own; None for anything else, bools too."""
    if is_bool(value):
        return None
    if isinstance(value, Tensor) or type(value).__module__ == "numpy":
        single = getattr(value, "ndim", 1) == 0 and not getattr(value, "is_complex", lambda: False)()
        value = value.item() if single else None  # type: ignore[attr-defined]
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    return _as_float(value) if isinstance(value, numbers.Real) else None


def whole_number(name: str, value: object, least: int, most: int) -> int:
    """Return a whole number within a range, of any kind, as Python's own.

    Raises:
        ValueError: anything else; the message has the name.
    """
    whole = as_number(value)
    good = isinstance(whole, int) and least <= whole <= most
    require(good, f"{name} must be a whole number from {least} to {most}; got {describe(value)}")
    assert isinstance(whole, int)
    return whole


def as_float(value: object) -> float:
    """Return any real number as a float, an infinity where it is too large for one; NaN for anything else."""
    single = as_number(value)
    return math.nan if single is None else _as_float(single)


def _as_float(value: Any) -> float:
    """Return a real number as a float: an infinity where it has more digits than a float has room for."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_fields(settings: Any) -> None:
    """Validate a frozen dataclass's fields against their annotations and ranges, and take numbers as Python's own.

    Raises:
        TypeError: a field has another type than its annotation.
        ValueError: it is out of its range, or none of its choices. The message names the field.
    """
    kind: Any = type(settings)
    hints = _hints(kind)
    for each in fields(settings):
        value = getattr(settings, each.name)
        if each.metadata.get("function") and callable(value):
            continue
        value = _checked(each.name, value, hints[each.name])
        if each.metadata and isinstance(value, (int, float)):
            _check_range(each.name, value, **each.metadata)
        object.__setattr__(settings, each.name, value)


class Group:
    """A group of settings: checked when it is made, as a whole."""

    def __post_init__(self) -> None:
        check_fields(self)


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _checked(name: str, value: Any, hint: Any) -> Any:
    """Return a value as its annotation wants it: the first kind of a union that takes it."""
    choices: list[Any] = []
    words: list[str] = []
    for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
        if kind is NoneType:
            if value is None:
                return None
            words.append("None")
        elif get_origin(kind) is Literal:
            choices += get_args(kind)
            if isinstance(value, str) and value in get_args(kind):
                return value
        elif kind is bool:
            if is_bool(value):
                return bool(value)
            words.append("True or False")
        elif kind in (int, float):
            whole = as_number(value)
            if whole is not None and (kind is float or isinstance(whole, int)):
                return whole if kind is int else _as_float(whole)
            words.append("a whole number" if kind is int else "a number")
        elif kind is Path:
            if isinstance(value, (str, Path)):
                return Path(value)
            words.append("a path")
        elif get_origin(kind) is tuple:
            items = value if isinstance(value, (tuple, list)) else None
            if get_args(kind)[-1] is Ellipsis:
                if items is not None and all(isinstance(item, (str, Path)) for item in items):
                    return tuple(str(item) for item in items)
                words.append("a tuple of texts")
            else:
                numbers = [as_number(item) for item in items or ()]
                if len(numbers) == len(get_args(kind)) and all(n is not None and math.isfinite(n) for n in numbers):
                    return tuple(float(n) for n in numbers if n is not None)
                words.append(f"{len(get_args(kind))} finite numbers")
        elif isinstance(value, kind):
            return value
        else:
            words.append("a text" if kind is str else f"a {kind.__name__}")
    if choices:
        words.insert(0, f"one of {tuple(choices)}")
    error = ValueError if choices and isinstance(value, str) else TypeError
    raise error(f"{name} must be {' or '.join(words)}; got {describe(value)}")


def _check_range(name: str, value: float, least: float | None, above: float | None, most: float) -> None:
    require(isinstance(value, int) or math.isfinite(value), f"{name} must be finite; got {value}")
    require(
        least is None or value >= least, f"{name} must be at least {least:g}; got {value}" if least is not None else ""
    )
    require(
        above is None or value > above, f"{name} must be more than {above:g}; got {value}" if above is not None else ""
    )
    require(value <= most, f"{name} must be at most {most:g}; got {value}")


def as_device(name: object) -> torch.device:
    """Return a device that torch has here, by its name; "auto" is cuda if there is one, else cpu.

    Raises:
        ValueError: anything else.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)  # type: ignore[call-overload]
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(f"device must be auto or one that torch has here; got {describe(name)}") from error
    return device


class FlowEditWarning(UserWarning):
    """What this package warns of, wherever it was called from."""


INNER = frozenset({"flowedit", "torch", "contextlib"})  # modules between a user's line and a warning
_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)
_quiet: ContextVar[bool] = ContextVar("quiet", default=False)


def warn(message: str) -> None:
    """Warn of the line outside this package that called it, and keep the message for `collect`."""
    messages = _collected.get()
    if messages is not None:
        messages.append(message)
    if _quiet.get():
        return
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INNER:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, FlowEditWarning, stacklevel=level)


@contextmanager
def no_warnings() -> Iterator[None]:
    """Let `warn` only collect in this thread: what is done may be done again, or be left out."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


@contextmanager
def collect() -> Iterator[list[str]]:
    """Collect the messages of `warn` in this thread; an outer collection has those of an inner one too."""
    outer = _collected.get()
    messages: list[str] = []
    token = _collected.set(messages)
    try:
        yield messages
    finally:
        _collected.reset(token)
        if outer is not None:
            outer += messages
