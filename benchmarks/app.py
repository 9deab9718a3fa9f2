"""How fast the app's page answers, and whether its memory grows: python -m benchmarks.app PHOTO --json app.json

In a real browser (Chromium, by Playwright): from a drop to the photo, from Enter to the edited picture, from a slider's
release to the picture, each until the browser has decoded it. Then 100 edits over HTTP, with the server's memory after
10 and after 100. PHOTO is resized to 1024 pixels along its longest side.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.app_client import Page
from benchmarks.common import environment, write_report
from flowedit.app.serve import AppCommand, Server
from flowedit.config import Config

SIDE_PX = 1024
MOVES = 25  # of each slider
PROMPTS = ("a smiling face", "red lipstick", "big eyes", "a slim jaw", "raised eyebrows")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip
MS = 300_000
MOVE = """async ([slider, value]) => {
  const range = document.querySelector(slider + " input[type=range]");
  const images = () => [...document.querySelectorAll("#compare img")];
  const before = images().map(image => image.src), begun = performance.now();
  range.value = value;
  for (const kind of ["input", "change", "pointerup"]) range.dispatchEvent(new Event(kind, {bubbles: true}));
  for (;;) {
    await new Promise(requestAnimationFrame);
    const changed = images().filter((image, index) => image.src !== before[index]);
    if (changed.length && changed.every(image => image.complete && image.naturalWidth)) break;
  }
  await Promise.all(images().map(image => image.decode()));
  return performance.now() - begun;
}"""
SHOWN = """(count) => {
  const images = [...document.querySelectorAll("#compare img")];
  const rows = [...document.querySelectorAll("[id^=row_]")].filter(row => row.offsetParent);
  return images.length && images.every(image => image.complete && image.naturalWidth) && rows.length === count;
}"""


def measure_page(server: Server, photo: bytes) -> dict[str, Any]:
    """Return milliseconds of what a user waits for, in a browser."""
    from playwright.sync_api import sync_playwright

    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(MS)
        page.goto(server.address)
        page.wait_for_selector("#drop input[type=file]", state="attached")
        time.sleep(5)  # the models load meanwhile, as while a user looks for a photo
        begun = time.perf_counter()
        file: Any = {"name": "photo.png", "mimeType": "image/png", "buffer": photo}
        page.set_input_files("#drop input[type=file]", file)
        page.wait_for_function(SHOWN, arg=0)
        found["photo dropped"] = [1e3 * (time.perf_counter() - begun)]
        for row, prompt in enumerate(PROMPTS):
            page.fill("#prompt textarea", prompt)
            begun = time.perf_counter()
            page.press("#prompt textarea", "Enter")
            page.wait_for_function(SHOWN, arg=row + 1)
            taken = 1e3 * (time.perf_counter() - begun)
            found.setdefault("first picture" if row == 0 else "prompt added", []).append(taken)
            page.wait_for_function("document.querySelector('#status').innerText.includes('refined')")
            taken = 1e3 * (time.perf_counter() - begun)
            found.setdefault("refined", []).append(taken)
        page.click("text=Parts of the face")
        for name, slider, most in (
            ("strength", "#strength", 1.5),
            ("color", "#color", 2.0),
            ("part", "#part_mouth", 2.0),
        ):
            values = np.random.default_rng(0).permutation(np.linspace(0.05, most, MOVES))
            page.evaluate(MOVE, [slider, round(most / 3, 2)])
            found[f"slider: {name}"] = [page.evaluate(MOVE, [slider, round(float(value), 2)]) for value in values]
        browser.close()
    return {name: spread(values) for name, values in found.items()}


def measure_drawing(photo: bytes, folder: Path) -> dict[str, Any]:
    """Return milliseconds of the processor that the server needs for a slider's picture."""
    from flowedit.app.session import Session

    work = Session(folder)
    path = folder / "photo.png"
    path.write_bytes(photo)
    work.open_photo(path)
    for prompt in PROMPTS:
        work.add(prompt)
    taken: list[float] = []
    for value in np.linspace(0.1, 1.4, MOVES):
        begun = time.process_time()
        work.set(strength=float(value))
        work.pictures()
        taken.append(1e3 * (time.process_time() - begun))
    work.close()
    return {f"processor time of a slider's picture, {len(PROMPTS)} prompts": spread(taken)}


def measure_memory(server: Server, photo: bytes, edits: int = 100) -> dict[int, float]:
    """Return the server's MiB after so many edits: a prompt added, weighed and taken off again each time."""
    page, after = Page(server.address, timeout=600), {}
    page.call("drop", "upload", page.upload("photo.png", photo))
    for count in range(1, edits + 1):
        said = page.status(page.call("add", "click", PROMPTS[count % len(PROMPTS)]))
        assert "at" in said, said
        for value in (0.3, 0.8, 1.2):
            page.call("strength", "input", value)
        page.call("remove_0", "click")
        if count in (10, 25, 50, edits):
            gc.collect()
            after[count] = resident_mib()
            print(f"{after[count]:.0f} MiB after {count} edits", flush=True)
    page.close()
    return after


def resident_mib() -> float:
    """Return the memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def spread(values: list[float]) -> dict[str, float]:
    """Return the median, the lowest and the highest of values, and how many."""
    return {"median": round(statistics.median(values), 1), "low": round(min(values), 1),
            "high": round(max(values), 1), "n": len(values)}  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photo", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--edits", type=int, default=100)
    arguments = parser.parse_args()
    image = Image.open(arguments.photo).convert("RGB")
    scale = SIDE_PX / max(image.size)
    content = io.BytesIO()
    image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS).save(
        content, "PNG"
    )
    photo = content.getvalue()
    report: dict[str, Any] = {"environment": environment()}
    with Server(AppCommand(port=0, no_browser=True), Config()) as server:
        report["ms"] = measure_page(server, photo)
        report["ms"] |= measure_drawing(photo, server.root / "drawing")
        for name, row in report["ms"].items():
            print(f"{name:55} {row['median']:8.0f} ms  ({row['low']:.0f} to {row['high']:.0f}, {row['n']})", flush=True)
        report["mib"] = measure_memory(server, photo, arguments.edits)
    print(f"load at the start {report['environment']['machine']['load_at_start']}, at the end {os.getloadavg()[0]:.1f}")
    if arguments.json is not None:
        write_report(arguments.json, report)


if __name__ == "__main__":
    main()
