"""Kills and interrupts of `flowedit edit` at random moments."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from PIL import Image

import flowedit
from benchmarks.attack.outcome import PROMPT, Fault, digests
from benchmarks.attack.worker import PRELOADED
from benchmarks.common import ROOT

PART = re.compile(r"\.flowedit-[0-9a-f]+\.part")
FLAGS = "--steps 2 -o out.png --save-edit out.flowedit --sheet sheet.png"
COMMAND = ["edit", "photo.png", PROMPT, *FLAGS.split()]
OUTPUTS = ("out.png", "out.flowedit", "sheet.png")
MOST_SECONDS = 100  # until a signal has ended the process


def run_command(folder: Path) -> None:
    """Be the command, in a process that has everything imported; what it says goes to a file."""
    os.chdir(folder)
    for number in (1, 2):
        os.dup2(os.open(f"said{number}", os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    sys.argv = ["flowedit", *COMMAND, "--no-align"]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from flowedit.__main__ import main

    code = 1
    try:
        Path("started").touch()
        code = main()
    except KeyboardInterrupt as error:  # in the moment before or after the command
        if any("/flowedit/" in frame.filename for frame in traceback.extract_tb(error.__traceback__)):
            traceback.print_exc()
        else:
            sys.stderr.write("flowedit: interrupted\n")
    sys.stderr.flush()
    os._exit(code)


class Shot:
    """One run of the command, from its beginning to its end."""

    def __init__(self, folder: Path, whole: bool) -> None:
        self.folder, self.old = folder, set(parts(folder))
        if whole:  # the real thing, which imports everything first
            with open(folder / "said1", "w") as out, open(folder / "said2", "w") as err:
                self.process: Any = subprocess.Popen(
                    [sys.executable, "-m", "flowedit", *COMMAND],
                    cwd=folder,
                    stdout=out,
                    stderr=err,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                )
            while self.running and "torch" not in Path(f"/proc/{self.process.pid}/maps").read_text():
                time.sleep(0.01)  # Python itself is not what is attacked
        else:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(PRELOADED)
            self.process = context.Process(target=run_command, args=(folder,))
            self.process.start()
            while self.running and not (folder / "started").exists():
                time.sleep(0.001)

    @property
    def running(self) -> bool:
        return self.code is None

    @property
    def code(self) -> int | None:
        return self.process.poll() if isinstance(self.process, subprocess.Popen) else self.process.exitcode

    def wait(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            time.sleep(0.002)
        return not self.running

    def wait_for_part(self, seconds: float) -> None:
        """Wait until a file is being written."""
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end and set(parts(self.folder)) <= self.old:
            time.sleep(0.0003)


def parts(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if PART.fullmatch(name)]


def attempt_signal(
    kind: str, rng: random.Random, folder: Path, genuine: Path, times: dict[bool, float], told: list[str]
) -> str:
    """Run the command, end it at a random moment, and look at what it leaves."""
    whole, writing = rng.random() < 0.1, rng.random() < 0.5
    shutil.copy(genuine / "photo.png", folder)
    (folder / "neighbor.png").write_bytes(b"somebody else's")
    old = rng.random() < 0.5
    for name in OUTPUTS if old else ():
        shutil.copy(genuine / ("face.png" if name.endswith("png") else "smile.flowedit"), folder / name)
    if rng.random() < 0.3:
        (folder / ".flowedit-0123456789abcdef.part").write_bytes(b"left by another")
    before = digests(folder)
    shot = Shot(folder, whole)
    if whole not in times:  # once, to know how long it takes
        start = time.monotonic()
        shot.wait(600)
        times[whole] = time.monotonic() - start
    share = rng.random()
    if writing:
        shot.wait_for_part(2 * times[whole] + 5)
        delay = rng.choice((0.001, 0.01, 0.2)) * share
    else:
        delay = times[whole] * share
    shot.wait(delay := max(delay, 0.01))  # until its handlers are set
    number = signal.SIGKILL if kind == "kills" else rng.choice((signal.SIGINT, signal.SIGTERM))
    twice = kind == "interrupts" and rng.random() < 0.25
    told.append(f"{number.name} {'twice ' if twice else ''}{'in the real process ' if whole else ''}"
                f"{delay:.3f} s after {'a part was seen' if writing else 'its start'}")  # fmt: skip
    for _ in range(1 + twice):
        if shot.running:
            os.kill(shot.process.pid, number)
            time.sleep(rng.random() * 0.05 if twice else 0)
    if not shot.wait(MOST_SECONDS):
        shot.process.kill()
        raise Fault("hang", f"it lived on for {MOST_SECONDS} s after the signal")
    return check_folder(kind, folder, genuine, before, shot.code, twice)


def check_folder(kind: str, folder: Path, genuine: Path, before: dict[str, str], code: int | None, twice: bool) -> str:
    """Return "worked" where the outputs are there and "refused" where they are not; raise what is wrong.

    After a second signal, which may end the interpreter itself, any exit code but 0 is right.
    """
    after = digests(folder)
    said = (folder / "said2").read_text()
    for name in ("photo.png", "neighbor.png"):
        if after.get(name) != before[name]:
            raise Fault("lost", f"{name} was changed")
    done = []
    for name in OUTPUTS:
        if name in before and name not in after:
            raise Fault("lost", f"the earlier {name} is gone")
        if name in after and after[name] != before.get(name):
            check_whole(folder / name)
            done.append(name)
    strange = set(after) - set(before) - {*OUTPUTS, "said1", "said2", "started"} - set(parts(folder))
    if strange:
        raise Fault("wrong", f"it left {sorted(strange)}")
    if kind == "interrupts":
        lines = [line for line in said.splitlines() if "warning: " not in line]
        if "Traceback" in said or "Exception ignored" in said:
            raise Fault("traceback", said[-800:])
        if code == 0 and (len(done) < len(OUTPUTS) or lines):
            raise Fault("wrong", f"exit code 0 with only {done}; {lines}")
        wrong = code not in (0, 1) and not twice
        if code != 0 and (wrong or len(lines) != 1 or "interrupted" not in lines[0]):
            raise Fault("unclear", f"exit code {code}, {lines}; {done} written")
        if parts(folder) and set(parts(folder)) - set(before):
            raise Fault("wrong", f"it left {parts(folder)}")
    applied = flowedit.load(genuine / "smile.flowedit").apply(genuine / "face.png")
    applied.save(folder / "next.png")
    if parts(folder):
        raise Fault("wrong", f"the next write left {parts(folder)}")
    return "worked" if len(done) == len(OUTPUTS) else "refused"


def check_whole(path: Path) -> None:
    """Raise a fault unless a file can be read to its end."""
    try:
        if path.suffix == ".flowedit":
            flowedit.load(path)
        else:
            with Image.open(path) as image:
                image.load()
    except Exception as error:
        raise Fault("lost", f"{path.name} is half written: {error}") from error
