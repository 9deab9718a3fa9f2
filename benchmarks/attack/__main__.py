"""Attack flowedit with hostile files, settings and pictures, kills and interrupts; Linux only.

    python -m benchmarks.attack --minutes 20 [--seed N] [--only files,settings,arrays,laws,kills,interrupts]
    python -m benchmarks.attack --case files:17 [--seed N]    one case in this process, with its traceback

What is wrong must be refused in one line that names it; what is right must work; nothing may take 10 s of processor
time, 1.5 GB, or anybody's file. 20 minutes are 500 files, 500 settings, 200 pictures, 100 sets of laws, 100 kills,
100 interrupts; less time, fewer cases. Faults go to out/attack/ with what made them; exit code 1 if there is any.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from benchmarks.attack.forge import choose, forge
from benchmarks.attack.outcome import FAULTS, Fault, Outcome
from benchmarks.attack.signals import attempt_signal
from benchmarks.attack.worker import ATTEMPTS, Worker, make_genuine, rng_of
from benchmarks.common import ROOT

CASES = {"files": 500, "settings": 500, "arrays": 200, "laws": 100, "kills": 100, "interrupts": 100}  # of 20 minutes


def run_signal(case: str, seed: int, genuine: Path, times: dict[bool, float]) -> Outcome:
    """Do a case of kills or interrupts."""
    told: list[str] = []
    rng, kind = rng_of(seed, case), case.partition(":")[0]
    with tempfile.TemporaryDirectory() as folder:
        try:
            outcome = Outcome(case, attempt_signal(kind, rng, Path(folder), genuine, times, told))
        except Fault as fault:
            outcome = Outcome(case, *fault.args)
    outcome.input = " ".join(told)
    return outcome


def attack(kinds: list[str], minutes: float, seed: int, genuine: Path, report: Path) -> list[Outcome]:
    """Do the cases, the kinds by turns, until the time is over; write each fault as it comes."""
    counts = {kind: max(1, round(CASES[kind] * minutes / 20)) for kind in kinds}
    order = sorted((i / counts[kind], kind, i) for kind in kinds for i in range(counts[kind]))
    worker, end = Worker(genuine, seed), time.monotonic() + 180 * minutes  # a busy machine takes longer
    times: dict[bool, float] = {}
    outcomes: list[Outcome] = []
    for number, (_, kind, i) in enumerate(order):
        if time.monotonic() > end:
            print(f"time is over: {number} of {len(order)} cases done")
            break
        case = f"{kind}:{i}"
        outcome = worker.do(case) if kind in ATTEMPTS else run_signal(case, seed, genuine, times)
        outcomes.append(outcome)
        if outcome.result in FAULTS:
            line = f"{case:14} {outcome.result:9} {outcome.place} {outcome.text[:200]!r} <- {outcome.input[:120]!r}"
            print(line, flush=True)
            with open(report / "faults.jsonl", "a") as file:
                file.write(json.dumps({"seed": seed, **asdict(outcome)}) + "\n")
            if kind == "files":
                keep_file(case, seed, genuine, report)
    worker.stop()
    return outcomes


def keep_file(case: str, seed: int, genuine: Path, report: Path) -> None:
    """Make a forged file once more and keep it with the report."""
    rng = rng_of(seed, case)
    source, name = choose(rng, genuine)
    (report / f"{case.replace(':', '-')}-{seed}.flowedit").write_bytes(forge(rng, source.read_bytes(), (name,)))


def table(outcomes: list[Outcome], kinds: list[str]) -> str:
    """Lay the outcomes out: a line for each kind."""
    columns = ("refused", "worked", *FAULTS)
    lines = [f"{'kind':12}{'cases':>7}" + "".join(f"{name:>11}" for name in columns) + f"{'most s':>9}{'most MiB':>10}"]
    for kind in kinds:
        rows = [outcome for outcome in outcomes if outcome.case.startswith(kind + ":")]
        count = Counter(row.result for row in rows)
        seconds, mib = (max((getattr(row, name) for row in rows), default=0) for name in ("seconds", "mib"))
        counts = "".join(f"{count[name]:11}" for name in columns)
        lines.append(f"{kind:12}{len(rows):7}{counts}{seconds:9.1f}{mib:10.0f}")
    return "\n".join(lines)


def repeat(case: str, seed: int, genuine: Path) -> int:
    """Do one case in this process, where an error ends with its traceback."""
    kind = case.partition(":")[0]
    if kind not in ATTEMPTS:
        print(run_signal(case, seed, genuine, {}))
        return 0
    told: list[str] = []
    try:
        with tempfile.TemporaryDirectory() as scratch:
            print(ATTEMPTS[kind](rng_of(seed, case), Path(scratch), genuine, told))
    finally:
        print(*told)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--case", help="KIND:NUMBER")
    parser.add_argument("--report", type=Path, default=ROOT / "out" / "attack")
    options = parser.parse_args()
    kinds = options.only.split(",")
    if not set(kinds) <= set(CASES):
        parser.error(f"--only must be of {', '.join(CASES)}; got {options.only}")
    options.report.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        make_genuine(folder := Path(name))
        if options.case:
            return repeat(options.case, options.seed, folder)
        start = time.monotonic()
        outcomes = attack(kinds, options.minutes, options.seed, folder, options.report)
    print(table(outcomes, kinds))
    faults = sum(outcome.result in FAULTS for outcome in outcomes)
    where = f", see {options.report}" if faults else ""
    print(f"seed {options.seed}, {time.monotonic() - start:.0f} s; {faults} faults{where}")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
