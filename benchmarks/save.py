"""Memory and time of editing and saving large photos, each in a process of its own; Linux only.

    python -m benchmarks.save [--tree FOLDER ...] [--cases NAME ...] [--json PATH]

Photos are made of scikit-image's astronaut. With several trees of flowedit, each case runs in each by turns.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import ROOT, environment, write_report
from flowedit.photo.photo import Photo, load, save

ROUNDS = 3
PROMPT = "a smiling face"
FAST = ["--steps", "3", "--quiet"]

# An edit that lies over the face alone, rendered and written, without what it took to make it.
SAVE = """
import re, sys, time
from pathlib import Path
import flowedit
edit = flowedit.load(sys.argv[1]).apply(sys.argv[2])
edit.save(sys.argv[3] + "-warm.png", strength=0.0)
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
status = lambda name: int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
before, start = status("VmRSS"), time.perf_counter()
edit.save(sys.argv[3])
print(time.perf_counter() - start, status("VmHWM") - before)
"""
# Linux counts a process's peak from before it becomes another program, so the parent must be a small one.
WAIT = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, *sys.argv[1:]])
_, status, usage = os.wait4(child.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""
CASES = {
    "save png": ["-c", SAVE, "smile.flowedit", "large.jpg", "out.png"],
    "save jpg": ["-c", SAVE, "smile.flowedit", "large.jpg", "out.jpg"],
    "edit, sheet, edit file": ["-m", "flowedit", "edit", "large.jpg", PROMPT, *FAST, "-o", "out.png",
                               "--sheet", "sheet.png", "--save-edit", "out.flowedit"],
    "16-bit with alpha": ["-m", "flowedit", "edit", "deep.png", PROMPT, *FAST, "-o", "out.png"],
    "12240 x 12240, flat": ["-m", "flowedit", "edit", "flat.png", PROMPT, *FAST, "--no-align", "-o", "out.png"],
}  # fmt: skip


def make_photos(folder: Path) -> None:
    """Draw the photos that the cases edit."""
    from PIL import Image
    from skimage.data import astronaut

    face = Image.fromarray(astronaut()).resize((6000, 6000), Image.Resampling.BICUBIC).crop((0, 0, 6000, 4000))
    face.save(folder / "large.jpg", quality=92)
    Image.fromarray(astronaut()).save(folder / "small.png")
    pixels = np.asarray(face).astype(np.uint16) * 257
    alpha = np.full(pixels.shape[:2], 65535, np.uint16)
    save(folder / "deep.png", Photo(pixels).tensor(), photo=Photo(pixels, alpha))
    Image.new("RGB", (12240, 12240), (120, 100, 90)).save(folder / "flat.png")
    assert load(folder / "deep.png").pixels.dtype == np.uint16


def run(arguments: list[str], tree: Path, folder: Path) -> tuple[str, float, float]:
    """Run Python in a folder with a tree of flowedit: what it printed, its seconds, and its peak in MiB."""
    search = {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    start = time.perf_counter()
    command = [sys.executable, "-c", WAIT, *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | search, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{arguments[:4]} failed in {tree}")
    printed, _, peak = done.stdout.rstrip().rpartition("\n")
    return printed, time.perf_counter() - start, int(peak) / 1024


def measure(case: str, tree: Path, folder: Path) -> tuple[float, float]:
    """Return the seconds and MiB of a case: of saving alone where it prints them, else of the whole process."""
    printed, seconds, peak = run(CASES[case], tree, folder)
    if not case.startswith("save"):
        return seconds, peak
    seconds, peak = map(float, printed.split())
    return seconds, peak


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.save", description=__doc__)
    parser.add_argument("--tree", type=Path, action="append", help="a folder that holds flowedit/; this one, if none")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    trees = [tree.resolve() for tree in options.tree or [ROOT]]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_photos(folder)
        for case in options.cases:
            seconds: dict[Path, list[float]] = {tree: [] for tree in trees}
            peaks: dict[Path, list[float]] = {tree: [] for tree in trees}
            for _ in range(options.rounds):
                for tree in trees:  # by turns, so that a busy machine slows all alike
                    run(["-m", "flowedit", "edit", "small.png", PROMPT, *FAST, "--save-edit", "smile.flowedit"],
                        tree, folder)  # fmt: skip
                    second, peak = measure(case, tree, folder)
                    seconds[tree].append(second)
                    peaks[tree].append(peak)
            for tree in trees:
                row = {"case": case, "tree": tree.name, "s": statistics.median(seconds[tree]), "mib": max(peaks[tree])}
                rows.append(row)
                print(f"{case:24} {tree.name:12} {row['s']:7.1f} s {row['mib']:8.0f} MiB", flush=True)
    if options.json is not None:
        write_report(options.json, {"rows": rows, "environment": environment()})


if __name__ == "__main__":
    main()
