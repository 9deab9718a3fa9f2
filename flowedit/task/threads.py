"""How many threads an edit computes with: fewer where other processes keep the cores busy."""

from __future__ import annotations

import functools
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from flowedit.isolation import isolated

Item = TypeVar("Item")
Result = TypeVar("Result")
Function = TypeVar("Function", bound=Callable[..., Any])

LOAD = Path("/proc/loadavg")
SMALL_PX = 128  # an encoder that looks at so few pixels is small
SAMPLES, PAUSE_S = 5, 0.002

_lock = threading.Lock()
_blocks = 0  # open ones, over all Python threads
_most = 1  # torch's number outside of them
_local = threading.local()  # has `inside` in a Python thread with an open block


@contextmanager
def spare_busy_cores(exactly: int | None = None) -> Iterator[None]:
    """Let torch compute on no more threads than there are idle cores, at least one; afterwards on as many as before.

    OpenMP's threads spin while they wait for each other: where another process keeps one of them off its core, the
    rest burn theirs, and an edit takes many times as long. The number is chosen once, at the start; it stays as it is
    where OMP_NUM_THREADS says what the user wants. Blocks may be nested and concurrent.

    OpenMP keeps the number for each Python thread, and one that begins inside another's block starts from the smaller
    number: it leaves with the larger.

    Args:
        exactly: compute on so many, whatever the load: a sum of other parts may round to other bits.
    """
    global _blocks, _most
    inside = getattr(_local, "inside", False)
    if exactly is None and (inside or "OMP_NUM_THREADS" in os.environ):
        yield
        return
    with _lock:
        number = torch.get_num_threads()
        if not inside:
            number = _most = max(number, _most if _blocks else 1)
        _blocks += 1
    _local.inside = True
    try:
        torch.set_num_threads(exactly or max(1, min(number, count_idle_cores())))
        yield
    finally:
        torch.set_num_threads(number)
        _local.inside = inside
        with _lock:
            _blocks -= 1


def steady(function: Function) -> Function:
    """Decorate a function with a keyword `encoder`: compute on one thread under a small one, else on idle cores.

    A small encoder, such as the shipped one, gains next to nothing by a second thread, and sums in another order round
    to other bits: so its edits are the same bits in any number of threads and under any load.
    """

    @functools.wraps(function)
    def wrapper(*arguments: Any, encoder: Any = None, **options: Any) -> Any:
        small = encoder is None or encoder == "faceclip" or getattr(encoder, "size", SMALL_PX + 1) <= SMALL_PX
        with spare_busy_cores(1 if small else None):
            return function(*arguments, encoder=encoder, **options)

    return cast(Function, wrapper)


def on_idle_cores(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return what a function gives for each item, in their order; as many are computed at once as cores are idle.

    Each is computed on one thread of torch's, so its bits are those of one after the other. That is how they are
    computed where torch may use several threads here already (outside of `steady`, or under a large encoder).

    Raises:
        Exception: what the function raises, for the first such item; those that were not begun are left out.
    """
    workers = min(len(items), _most) if torch.get_num_threads() == 1 else 1
    if workers > 1:
        workers = min(workers, count_idle_cores())
    if workers <= 1:
        return [function(item) for item in items]

    def compute(item: Item) -> Result:
        with spare_busy_cores(1), isolated():
            return function(item)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda item, context: context.run(compute, item), items, [copy_context() for _ in items]))


def count_idle_cores() -> int:
    """Return how many of the cores that this process may use no other process uses; 0 where all are taken."""
    cores = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return min(usable, cores - _count_busy())


def _count_busy() -> int:
    """Return how many threads of other processes run or wait for a core."""
    try:
        counts = []
        for _ in range(SAMPLES):
            time.sleep(PAUSE_S)  # in which threads of our own stop spinning
            counts.append(int(LOAD.read_text().split()[3].partition("/")[0]) - 1)  # the reader runs as well
        return int(statistics.median(counts))
    except (OSError, ValueError, IndexError):  # no Linux: the last minute's mean, of our own threads too
        return round(os.getloadavg()[0])
