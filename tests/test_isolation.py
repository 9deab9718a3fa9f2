"""isolated(): inside, torch's initial state; outside, the caller's, whatever happens and in any thread."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext

import pytest
import torch

from flowedit.isolation import isolated


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def default_device(device):
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


STATES = {
    "plain": nullcontext,
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "float64": lambda: default_dtype(torch.float64),
    "default device": lambda: default_device("meta"),
    "device context": lambda: torch.device("meta"),
    "inference": torch.inference_mode,
    "no_grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def state():
    """What torch does by default: dtype, device, gradients, inference mode, autocast, promotion of integers."""
    made = torch.ones(2, requires_grad=True)
    return (
        made.dtype,
        made.device.type,
        made.mul(2).requires_grad,
        made.is_inference(),
        torch.is_autocast_enabled("cpu"),
        (torch.ones(1, dtype=torch.int64) / 2).dtype,
    )


@pytest.mark.parametrize("name", STATES)
def test_inside_is_torchs_initial_state_and_outside_the_callers(name):
    initial = state()
    with STATES[name]():
        before = state()
        assert name == "plain" or before != initial
        with isolated():
            assert state() == initial
            with isolated():
                assert state() == initial
            assert state() == initial
        assert state() == before
    assert state() == initial


@pytest.mark.parametrize("name", STATES)
def test_an_error_leaves_the_callers_state(name):
    with STATES[name]():
        before = state()
        with pytest.raises(KeyError), isolated():
            raise KeyError
        assert state() == before


def test_a_decorated_function_may_call_itself():
    @isolated()
    def count(n):
        """Docstring."""
        assert state()[0] == torch.float32
        return 0 if n == 0 else 1 + count(n - 1)

    with default_dtype(torch.float64):
        assert count(3) == 3 and count.__doc__ == "Docstring."
        assert torch.get_default_dtype() == torch.float64


def test_a_generator_is_refused():
    with pytest.raises(TypeError, match=r"isolated must decorate a function; got the generator .*steps"):

        @isolated()
        def steps():
            yield


def test_the_callers_gradient_mode_may_be_kept():
    with torch.no_grad(), isolated(grad=False):
        assert not torch.is_grad_enabled()
    with torch.inference_mode(), isolated(grad=False):
        assert torch.is_inference_mode_enabled()
    with isolated(grad=False):
        assert torch.is_grad_enabled()


def test_threads_that_overlap_restore_the_default_dtype():
    inside, leave = threading.Barrier(2, timeout=10), threading.Event()
    seen = []

    def first():
        with isolated():
            inside.wait()
            leave.wait(10)
            seen.append(torch.get_default_dtype())

    with default_dtype(torch.float64):
        thread = threading.Thread(target=first)
        thread.start()
        inside.wait()
        with isolated():
            pass
        assert torch.get_default_dtype() == torch.float32  # the other call is still inside
        leave.set()
        thread.join()
        assert seen == [torch.float32] and torch.get_default_dtype() == torch.float64


def test_a_default_that_the_host_sets_meanwhile_stays():
    with default_dtype(torch.float64):
        with isolated():
            torch.set_default_dtype(torch.bfloat16)
        assert torch.get_default_dtype() == torch.bfloat16
