"""Processes that have everything imported, and do one case after another."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PIL import Image

import flowedit
from benchmarks.attack import forge
from benchmarks.attack.laws import attempt_laws
from benchmarks.attack.outcome import PROMPT, SMALL, Fault, Outcome
from benchmarks.attack.pictures import attempt_arrays
from benchmarks.attack.settings import attempt_settings

MOST_SECONDS, MOST_MIB = 10, 1536  # of a case
PRELOADED = ["benchmarks.attack.worker", "flowedit.app.cli", "flowedit.fit.loop", "open_clip", "dlib", "matplotlib"]
ATTEMPTS: dict[str, Callable[[random.Random, Path, Path, list[str]], str]] = {
    "files": forge.attempt_files,
    "settings": attempt_settings,
    "arrays": attempt_arrays,
    "laws": attempt_laws,
}


def make_genuine(folder: Path) -> None:
    """Draw the photos and make the edits that are forged, each of another kind."""
    from skimage.data import astronaut

    Image.fromarray(astronaut()).save(folder / "photo.png")
    Image.fromarray(astronaut()[:256, 96:352]).save(photo := folder / "face.png")
    Image.fromarray(astronaut()[:280, 80:360]).save(folder / "other.png")
    Image.new("L", (256, 256), 200).save(folder / "mask.png")

    def make(**settings: Any) -> flowedit.Edit:
        return flowedit.optimize(photo, PROMPT, config=flowedit.Config.from_dict({**SMALL, "steps": 2, **settings}))

    smile, masked = make(), make(mask=folder / "mask.png", protect=("mouth",), diffeomorphic=True)
    chain = masked @ (0.5 * smile)
    network = make(field="hash", hash={"n_levels": 3, "n_coord_levels": 2, "log2_hashmap_size": 6}, align=False)
    edits = {"smile": smile, "masked": masked, "chain": chain, "undo": ~chain, "network": network}
    for name, edit in edits.items():
        edit.save_edit(folder / f"{name}.flowedit")
        again = forge.unpack((folder / f"{name}.flowedit").read_bytes())
        (folder / "again").write_bytes(forge.pack(json.dumps(again[0]), again[1]))
        flowedit.load(folder / "again")  # else the digest is not what this script takes it for, and nothing is attacked


def rng_of(seed: int, case: str) -> random.Random:
    return random.Random(f"{seed}:{case}")


def work(pipe: Connection, folder: Path, seed: int) -> None:
    """Do the cases that come through a pipe, and send what became of each."""
    warnings.simplefilter("ignore")
    scratch, size = Path(tempfile.mkdtemp(dir=folder)), int(Path("/proc/self/statm").read_text().split()[0])
    config = flowedit.Config.from_dict({**SMALL, "steps": 1})
    flowedit.optimize(folder / "face.png", PROMPT, config=config)  # so that no case pays for what is loaded late
    resource.setrlimit(resource.RLIMIT_AS, (size * resource.getpagesize() + (5 << 30), resource.RLIM_INFINITY))
    pipe.send("ready")
    while True:
        case = pipe.recv()
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        pipe.send(attempt(case, rng_of(seed, case), scratch, folder))


def attempt(case: str, rng: random.Random, scratch: Path, genuine: Path) -> Outcome:
    """Do one case; a fault becomes its outcome."""
    told: list[str] = []
    start = time.process_time()
    outcome = Outcome(case, "traceback")
    try:
        outcome.result = ATTEMPTS[case.partition(":")[0]](rng, scratch, genuine, told)
    except Fault as fault:
        outcome.result, outcome.text = fault.args
    except BaseException as error:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "/flowedit/" in f.filename]
        outcome.place = f"{frames[-1].filename.rpartition('/flowedit/')[2]}:{frames[-1].lineno}" if frames else ""
        outcome.text = f"{type(error).__name__}: {str(error)[:300]}"
    outcome.seconds, outcome.input = time.process_time() - start, " ".join(told)[:2000]
    status = Path("/proc/self/status").read_text()
    outcome.mib = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
    if outcome.mib > MOST_MIB:
        outcome.result, outcome.text = "memory", f"{outcome.mib:.0f} MiB; {outcome.text}"
    if outcome.result in ("refused", "worked") and outcome.seconds > MOST_SECONDS:
        outcome.result, outcome.text = "hang", f"ended after {outcome.seconds:.0f} s of processor time"
    return outcome


class Worker:
    """A process that does cases, and another one once it hangs or dies."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload(PRELOADED)
        self.process: Any = None

    def do(self, case: str) -> Outcome:
        if self.process is None:
            self.pipe, other = self.context.Pipe()
            self.process = self.context.Process(target=work, args=(other, self.folder, self.seed), daemon=True)
            self.process.start()
            other.close()
            self.pipe.recv()
        before, start = cpu_seconds(self.process.pid), time.monotonic()
        self.pipe.send(case)
        outcome = Outcome(case, "hang", "stopped after 10 s of processor time, or 100 s in all")
        while cpu_seconds(self.process.pid) - before <= MOST_SECONDS and time.monotonic() - start < 10 * MOST_SECONDS:
            if self.pipe.poll(0.5):
                try:
                    return self.pipe.recv()
                except (EOFError, OSError):
                    self.process.join()
                    outcome = Outcome(case, "traceback", f"the process died with {self.process.exitcode}")
                    break
        self.stop()
        again: list[str] = []
        with contextlib.suppress(BaseException):  # what it was, without doing it
            describe_case(case, self.seed, self.folder, again)
        outcome.input = " ".join(again)[:2000]
        return outcome

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def describe_case(case: str, seed: int, genuine: Path, told: list[str]) -> None:
    """Let an attempt tell what it is, and stop it there."""

    class Told(list):
        def append(self, text: str) -> None:
            told.append(text)
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as scratch:
        ATTEMPTS[case.partition(":")[0]](rng_of(seed, case), Path(scratch), genuine, Told())


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
