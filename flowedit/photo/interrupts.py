"""Ctrl-C and SIGTERM: both raise KeyboardInterrupt, or wait while a file is written."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, unless the process was started with it ignored or has its own handler."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def interrupts_in_finalizers_unsaid() -> Iterator[None]:
    """Let Python print nothing of a KeyboardInterrupt that it drops, since a finalizer was running."""
    before = sys.unraisablehook

    def say(dropped: sys.UnraisableHookArgs) -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            before(dropped)

    sys.unraisablehook = say
    try:
        yield
    finally:
        sys.unraisablehook = before


class Delay:
    """What a `delay_interrupts` block met: `interrupted` is True once there was a signal."""

    interrupted = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Note the first signal; at a second one, stop at once."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True


@contextmanager
def delay_interrupts() -> Iterator[Delay]:
    """Let the block end before one Ctrl-C or SIGTERM counts; the caller asks the result whether there was one."""
    delay = Delay()
    before = {}
    if threading.current_thread() is threading.main_thread():  # no other may set handlers
        handled = {each: signal.getsignal(each) for each in SIGNALS}
        before = {each: handler for each, handler in handled.items() if handler == signal.default_int_handler}
    for each in before:
        signal.signal(each, delay.receive)
    try:
        yield delay
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
