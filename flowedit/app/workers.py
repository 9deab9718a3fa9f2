"""Jobs in processes of their own: one that is killed takes no photo with it.

Each worker has one photo at a time and keeps guide, predictor and face detector from photo to photo. The photo of a
worker that ends is tried again by another, after all that wait; one that has ended `ATTEMPTS` workers has failed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from flowedit.app.batch import Files, Job, Record, Verb, run
from flowedit.app.console import one_line
from flowedit.checks import collect, require
from flowedit.photo.interrupts import delay_interrupts

ATTEMPTS = 3  # workers that a photo may end, and workers in a row that may end before they are ready
LOOK_S = 0.5  # between two looks whether there was a Ctrl-C
LEAVE_S = 5.0  # that a worker has to end by itself

Photo = tuple[Path, Files]  # a job without its verb, which every worker has


@dataclass(eq=False)
class Worker:
    """A process, the pipe to it, and the job that it has, by its number."""

    process: BaseProcess
    pipe: Connection
    ready: bool = False
    job: int | None = None


def count_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def attempt(job: Job) -> Record:
    """Do one job in a worker: its record can be sent to another process, and has what was warned of."""
    with warnings.catch_warnings(), collect() as messages:
        warnings.simplefilter("ignore")  # they are told by the process that prints
        record = run(job)
    return replace(record, error=_portable(record.error), messages=tuple(dict.fromkeys(messages)))


def run_in_processes(jobs: Sequence[Job], workers: int, threads: int) -> Iterator[Record]:
    """Do jobs of one verb in so many processes at once, each on so many threads; records come as they are done.

    After Ctrl-C or SIGTERM those that are begun are finished, and no other is.

    Raises:
        KeyboardInterrupt: after that, or at once at a second one.
        RuntimeError: workers end before they can do anything.
    """
    waiting = deque(range(len(jobs)))
    attempts = [0] * len(jobs)
    team: list[Worker] = []
    failed_starts = 0
    with delay_interrupts() as delay:
        try:
            while waiting or any(worker.job is not None for worker in team):
                if delay.interrupted and all(worker.job is None for worker in team):
                    break
                if not delay.interrupted:
                    wanted = min(workers, len(waiting) + sum(worker.job is not None for worker in team))
                    team += [_start(jobs[0].verb, threads) for _ in range(wanted - len(team))]
                    for worker in team:
                        if worker.ready and worker.job is None and waiting:
                            _hand_out(worker, waiting.popleft(), jobs)
                by_pipe = {worker.pipe: worker for worker in team}
                for pipe in wait(list(by_pipe), LOOK_S):
                    worker = by_pipe[pipe]  # type: ignore[index]
                    try:
                        record = worker.pipe.recv()
                    except (EOFError, OSError):  # it has ended
                        team.remove(worker)
                        reason = _leave(worker)
                        failed_starts = 0 if worker.ready else failed_starts + 1
                        require(failed_starts < ATTEMPTS, f"a worker must start; it ended {reason}", RuntimeError)
                        if (number := worker.job) is not None:
                            attempts[number] += 1
                            if attempts[number] < ATTEMPTS:
                                waiting.append(number)
                            else:
                                error = RuntimeError(f"{ATTEMPTS} workers ended in the midst of it, the last {reason}")
                                yield Record(jobs[number].photo, error=error)
                        continue
                    if worker.ready:
                        worker.job = None
                        yield record
                    worker.ready = True
        except BaseException:
            for worker in team:
                worker.process.kill()
            raise
        finally:
            for worker in team:
                worker.pipe.close()  # which is how they learn that there is no more to do
            for worker in team:
                _leave(worker)
        if delay.interrupted:
            raise KeyboardInterrupt


def _start(verb: Verb, threads: int) -> Worker:
    context = multiprocessing.get_context("spawn")  # a forked OpenMP hangs
    ours, theirs = context.Pipe()
    # What a terminal sends at Ctrl-C goes to all of its processes, and is for this one to answer. A worker begins with
    # the mask that is set here.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process = context.Process(target=serve, args=(theirs, verb, threads), daemon=True)
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        theirs.close()
    return Worker(process, ours)


def _hand_out(worker: Worker, number: int, jobs: Sequence[Job]) -> None:
    worker.job = number
    with contextlib.suppress(OSError):  # it has ended, which its pipe tells when it is read
        worker.pipe.send((jobs[number].photo, jobs[number].files))


def _leave(worker: Worker) -> str:
    """Wait for the end of a worker; return in words how it ended."""
    worker.process.join(LEAVE_S)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()
    code = worker.process.exitcode or 0
    worker.pipe.close()
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def serve(pipe: Connection, verb: Verb, threads: int) -> None:
    """Do jobs as they come through a pipe, until its other end is closed."""
    import torch

    os.environ["OMP_NUM_THREADS"] = str(threads)  # which edits keep to
    torch.set_num_threads(threads)
    sys.stdout = sys.stderr  # results are the other process's to print
    try:
        pipe.send(None)  # ready
        while True:
            photo, files = pipe.recv()
            pipe.send(attempt(Job(verb, photo, files)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _portable(error: Exception | None) -> Exception | None:
    """Return an error as it is, or its line, where it does not come through a pipe."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(one_line(error)) if error is not None else None
    return error
