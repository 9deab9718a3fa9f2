"""`flowedit batch` under faults, its speed by workers, and what handing out a photo costs; Linux only.

    python -m benchmarks.batch faults FOLDER [--ray local]
    python -m benchmarks.batch speed FOLDER
    python -m benchmarks.batch overhead [--ray local]

`FOLDER` holds portraits, of which small photos are made, each another.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.common import ROOT, environment, find_portraits, write_report
from flowedit.app.batch import Job, Record, Target, Verb, run
from flowedit.app.workers import run_in_processes
from flowedit.photo.photo import load

PROMPT = "red lipstick"
SIDE_PX = 256
PHOTOS, BROKEN = 500, 40  # of all, and of these
KILLED = 0.1, 0.25  # shares of the photos, after which a worker is killed
INTERRUPTED = 0.5
COMPARED = 12  # pictures that are made again in this process
BROKEN_KINDS = "empty", "text", "cut off", "no face", "one pixel"
SPEED_PHOTOS, ROUNDS = 60, 3
NOTHINGS = 300


class Nothing(Verb):
    """A command that does nothing: what is left is the handing out."""

    def targets(self) -> list[Target]:
        return []

    def make(self, photo: Path) -> list[Any]:
        return [SimpleNamespace(stopped="")]

    def write(self, edits: list[Any], files: Any) -> list[str]:
        return ["nothing"]


def make_photos(portraits: Sequence[Path], folder: Path, good: int, broken: int) -> None:
    """Draw small photos, each a little different, and files of each broken kind, mixed by their names."""
    from PIL import Image, ImageEnhance

    folder.mkdir()
    for number in range(good):
        image = Image.open(portraits[number % len(portraits)]).convert("RGB")
        image.thumbnail((SIDE_PX, SIDE_PX))
        image = ImageEnhance.Brightness(image).enhance(1 - 0.03 * (number // len(portraits)))
        image.save(folder / f"{number * 7919 % 1000:03}_good_{number}.jpg", quality=92)
    data = next(folder.iterdir()).read_bytes()
    for number in range(broken):
        kind = BROKEN_KINDS[number % len(BROKEN_KINDS)]
        path = folder / f"{number * 7919 % 1000:03}_bad_{number}.jpg"
        if kind in ("no face", "one pixel"):
            Image.new("RGB", (SIDE_PX, SIDE_PX) if kind == "no face" else (1, 1), (90, 120, 60)).save(path)
        else:
            path.write_bytes({"empty": b"", "text": b"once upon a time", "cut off": data[: len(data) // 2]}[kind])


class Run:
    """`flowedit batch` in a process; iterating gives the seconds at which each line of its output came."""

    def __init__(self, photos: Path, out: Path, *options: str) -> None:
        command = [sys.executable, "-m", "flowedit", "batch", str(photos), str(out), PROMPT, "--fast", *options]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed when it is let go
        self.begun = time.perf_counter()
        handler = signal.signal(signal.SIGINT, signal.SIG_DFL)  # what a shell's & ignores would stay ignored
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=self.errors, text=True, start_new_session=True
        )
        signal.signal(signal.SIGINT, handler)

    def __iter__(self) -> Iterator[tuple[float, str]]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield time.perf_counter() - self.begun, line.rstrip()

    def wait(self) -> tuple[int, str]:
        """Return the exit code, and what it said on standard error."""
        code = self.process.wait()
        self.errors.seek(0)
        return code, self.errors.read()

    def workers(self) -> list[int]:
        """Return the ids of its workers' processes, those of Ray too."""
        ids, found = [self.process.pid], []
        while ids:
            pid = ids.pop()
            try:
                ids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
                name = Path(f"/proc/{pid}/cmdline").read_text()
            except OSError:
                continue
            if "spawn_main" in name or "MapWorker" in name:
                found.append(pid)
        return sorted(found)


def measure_faults(portraits: Sequence[Path], folder: Path, photos: int, broken: int, how: Sequence[str]) -> list[str]:
    """Kill two workers, interrupt the run, and let another go on; return what went wrong, with figures printed."""
    made, out = folder / "in", folder / "out"
    make_photos(portraits, made, photos - broken, broken)
    first = Run(made, out, *how)
    kills = [round(share * photos) for share in KILLED]
    lines = 0
    for _, line in first:
        lines += " -> " in line
        if kills and lines >= kills[0]:
            kills.pop(0)
            os.kill(first.workers()[-1], signal.SIGKILL)
        if lines == round(INTERRUPTED * photos):
            os.killpg(first.process.pid, signal.SIGINT)  # as a terminal does
            lines += 1
    code, said = first.wait()
    print(f"interrupted: exit code {code}, {said.splitlines()[-1]}", flush=True)
    wrong = ["the interrupted run must exit with 1"] * (code != 1) + ["two workers must be killed"] * bool(kills)

    begun = time.perf_counter()
    second = Run(made, out, *how)
    told = [line for _, line in second]
    code, said = second.wait()
    print(f"went on: exit code {code}; {told[0]}; {told[-1]}, in {time.perf_counter() - begun:.0f} s", flush=True)
    begun = time.perf_counter()
    third = Run(made, out, *how)
    again = [line for _, line in third]
    code, _ = third.wait()
    print(f"once more: {again[0]}; {again[-1]}, in {time.perf_counter() - begun:.0f} s", flush=True)

    rows = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    done = Counter(Path(row["photo"]).name for row in rows if row["status"] == "done")
    failed = {Path(row["photo"]).name for row in rows if row["status"] == "failed"}
    good = {path.name for path in made.iterdir() if "good" in path.name}
    bad = {path.name for path in made.iterdir() if "bad" in path.name}
    named = {name for name in bad if name in said}
    wrong += [f"{name}: {done[name]} times done" for name in good if done[name] != 1]
    wrong += [f"{name}: done" for name in bad if name in done]
    wrong += [f"{name}: not named" for name in bad - (failed & named)]
    wrong += [f"{name}: failed" for name in failed - bad]
    pictures = {path.name for path in out.iterdir()} - {"ledger.jsonl"}
    wrong += [f"{name}: left over, or missing" for name in pictures ^ {f"{Path(n).stem}_edited.png" for n in good}]
    wrong += compare(sorted(good)[:: max(1, len(good) // COMPARED)], made, out)
    print(f"{len(good)} good photos, {sum(done.values())} lines of done; {len(bad)} broken, {len(named)} named")
    return wrong


def compare(names: Sequence[str], made: Path, out: Path) -> Iterator[str]:
    """Make pictures again in this process, one at a time, and name those that have other pixels."""
    import flowedit

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "again.png"
        for name in names:
            (edit,) = flowedit.predict_all([made / name], PROMPT)
            assert not isinstance(edit, Exception)
            edit.save(path)
            if load(path).sha256 != load(out / f"{Path(name).stem}_edited.png").sha256:
                yield f"{name}: another picture"


def measure_speed(portraits: Sequence[Path], folder: Path, photos: int, rounds: int) -> list[dict[str, float]]:
    """Run the same photos by one worker and by two, in turns: photos a second once all are warm, CPU for each."""
    make_photos(portraits, folder / "in", photos, 0)
    rows = []
    for round_ in range(rounds):
        for workers in (1, 2):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            running = Run(folder / "in", folder / f"out {round_} {workers}", "--workers", str(workers))
            times = [at for at, line in running if " -> " in line]
            code, said = running.wait()
            assert code == 0, said
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            warm = times[3 * workers :]
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            rate = (len(warm) - 1) / (warm[-1] - warm[0])
            ledger = (folder / f"out {round_} {workers}" / "ledger.jsonl").read_text().splitlines()
            seconds = [json.loads(line)["seconds"] for line in ledger[3 * workers :]]
            row = {"workers": workers, "photos/s": rate, "cpu s": cpu, "start s": times[0], "busy s": sum(seconds)}
            row["occupied"] = sum(seconds) / (workers * (warm[-1] - warm[0]))
            rows.append(row)
            print("  ".join(f"{key} {value:.2f}" for key, value in row.items()), flush=True)
    ratios = [two["photos/s"] / one["photos/s"] for one, two in pairwise(rows) if one["workers"] == 1]
    print(f"two workers over one: median {statistics.median(ratios):.2f} of {', '.join(f'{r:.2f}' for r in ratios)}")
    return rows


def measure_overhead(ray: str | None, count: int) -> dict[str, float]:
    """Milliseconds that each job takes that does nothing: in this process, by two workers, and on Ray."""
    jobs = [Job(Nothing(), Path(f"/photos/{n}.jpg"), {"--out": (Path(f"/out/{n}.png"),)}) for n in range(count)]
    ways: dict[str, Callable[[], Iterator[Record]]] = {
        "here": lambda: (run(job) for job in jobs),
        "two processes": lambda: run_in_processes(jobs, 2, 1),
    }
    if ray is not None:
        from flowedit.app.cluster import run_on_ray

        ways["Ray, two actors"] = lambda: run_on_ray(jobs, ray, workers=2, threads=1)
    result = {}
    for name, start in ways.items():
        begun = time.perf_counter()
        with closing(start()) as records:
            times = [time.perf_counter() for _ in records]
        result[name] = 1e3 * (times[-1] - times[0]) / (len(times) - 1)
        print(f"{name:16} first after {times[0] - begun:.1f} s, then {result[name]:.3f} ms a photo", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.batch", description=re.split("\n\n", __doc__)[0])
    parser.add_argument("what", choices=["faults", "speed", "overhead"])
    parser.add_argument("folder", nargs="?", metavar="FOLDER")
    parser.add_argument("--ray", metavar="ADDRESS")
    parser.add_argument("--photos", type=int)
    parser.add_argument("--broken", type=int, default=BROKEN)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        if options.what == "overhead":
            report["ms"] = measure_overhead(options.ray, options.photos or NOTHINGS)
        else:
            portraits = find_portraits(options.folder or "")
        if options.what == "speed":
            report["rows"] = measure_speed(portraits, Path(name), options.photos or SPEED_PHOTOS, options.rounds)
        elif options.what == "faults":
            how = ["--workers", "2", *([] if options.ray is None else ["--ray", options.ray])]
            wrong = measure_faults(portraits, Path(name), options.photos or PHOTOS, options.broken, how)
            report["wrong"] = wrong
            print("\n".join(wrong) or "nothing went wrong")
    if options.json is not None:
        write_report(options.json, report | {"environment": environment()})
    sys.exit(bool(report.get("wrong")))


if __name__ == "__main__":
    main()
