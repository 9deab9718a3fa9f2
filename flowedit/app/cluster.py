"""Jobs on Ray: on this machine or a cluster whose machines see the same files."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from flowedit.app.batch import Job, Record, Verb
from flowedit.app.paths import WrongUsage
from flowedit.app.workers import ATTEMPTS, attempt, count_cores
from flowedit.photo.interrupts import delay_interrupts

INSTALL = "--ray must have Ray, which is not installed: pip install 'flowedit[ray]'"
STORE_BYTES = 200 << 20  # of shared memory, on this machine: only paths and records pass through it
AT_ONCE = 10_000  # photos that Ray is told of at a time: each is an object of its own


class Editor:
    """A worker: a process that keeps guide, predictor and face detector from photo to photo."""

    def __init__(self, verb: Verb) -> None:
        self.verb = verb

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Edit the photo of a row: number and job -> number and record, these two pickled."""
        photo, files = pickle.loads(row["job"])
        record = attempt(Job(self.verb, photo, files))
        return {"number": row["number"], "record": pickle.dumps(record)}


def run_on_ray(
    jobs: Sequence[Job], address: str, *, workers: int | None, threads: int, gpus: float = 0.0
) -> Iterator[Record]:
    """Do jobs of one verb in a pool of Ray Data's actors; records come as they are done.

    A row is one photo's paths, and a block one row: what a killed actor had in hand is tried again, and nothing else.

    Args:
        jobs: at least one.
        address: "local" for this machine alone, "auto" for the cluster that it belongs to, or HOST:PORT of one.
        workers: actors; None is as many as the cluster's cores allow.
        threads: of each, which are the cores that Ray counts for it.
        gpus: share of a GPU that each has.

    Raises:
        WrongUsage: Ray is not installed.
        KeyboardInterrupt: after Ctrl-C or SIGTERM; what was in hand is not written.
        ConnectionError: no cluster is there.
    """
    with contextlib.ExitStack() as stack:
        ray = stack.enter_context(_connected(address, workers, threads))
        delay = stack.enter_context(delay_interrupts())
        size = workers or max(1, int(ray.cluster_resources().get("CPU", 1) // threads))
        for first in range(0, len(jobs), AT_ONCE):
            part = jobs[first : first + AT_ONCE]
            missing = set(range(len(part)))
            for row in _stream(ray, part, min(size, len(part)), threads, gpus):
                missing.discard(row["number"])
                yield pickle.loads(row["record"])
                if delay.interrupted:
                    raise KeyboardInterrupt
            for number in sorted(missing):
                error = RuntimeError(f"{ATTEMPTS} workers ended in the midst of it")
                yield Record(part[number].photo, error=error)


def _stream(ray: Any, jobs: Sequence[Job], size: int, threads: int, gpus: float) -> Iterator[dict[str, Any]]:
    rows = [{"number": n, "job": pickle.dumps((job.photo, job.files))} for n, job in enumerate(jobs)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of max_restarts, which has no other name yet
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Editor,
            fn_constructor_args=(jobs[0].verb,),
            # One in flight: what waited at an actor that is killed would count as tried.
            compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1),
            num_cpus=threads,  # Ray sets OMP_NUM_THREADS by it
            num_gpus=gpus,
            max_restarts=-1,
            max_task_retries=ATTEMPTS - 1,
        )
    yield from dataset.iter_rows()


@contextlib.contextmanager
def _connected(address: str, workers: int | None, threads: int) -> Iterator[Any]:
    """Start or join Ray, quietly, and leave it as it was."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing leaves the machine
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise WrongUsage(INSTALL) from error
    how: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == "local":
        cores = (workers or count_cores() // threads or 1) * threads
        how |= {"num_cpus": cores, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    handler = signal.getsignal(signal.SIGTERM)
    ray.init(address=address, **how)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray's ends the process without a word
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_errored_blocks = -1  # what is lost is told here
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield ray
    finally:
        ray.shutdown()
