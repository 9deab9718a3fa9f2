"""Build the sdist and the wheel, and use both as someone would who has nothing else: make dist-check PYTHONS=python3.13

For each Python a new environment gets the wheel and what it asks for, and is then asked for `info`, `doctor` and an
edit of a photo, outside of the clone. The sdist is then installed over it, with no compiler, and asked the same.
--venv DIR uses an environment that is there, with whatever it has, and does not remove it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PHOTO = ROOT / "docs" / "images" / "astronaut.jpg"
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}
# What must be in both, and nothing of the kind that must not.
IN_BOTH = ["py.typed", "_version.py", "kernels/native.py", "corpora/eyes.txt", "weights/faceclip/card.json"]
IN_BOTH += ["weights/faceclip/open_clip_model.safetensors", "weights/predictor/predictor.safetensors"]
FOREIGN = ("tests/", "benchmarks/", "examples/", "docs/", ".ci/", "__pycache__")


def run(*command: str | Path, **environment: str) -> str:
    """Run a command outside of the clone and return what it printed; its failure ends this script."""
    print("$", *(str(word).replace(str(ROOT) + "/", "") for word in command), flush=True)
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        list(map(str, command)), cwd=tempfile.gettempdir(), env=clean | environment, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"{done.stdout[-4000:]}\ndist-check: {command[0]} must succeed; got exit code {done.returncode}")
    return done.stdout


def check(good: bool, message: str) -> None:
    """End this script with a message unless good."""
    if not good:
        sys.exit(f"dist-check: {message}")


def build(folder: Path) -> tuple[Path, Path]:
    """Build the sdist, and from it the wheel; return both."""
    tools = folder / "tools"
    venv.create(tools, with_pip=True)
    run(tools / "bin/python", "-m", "pip", "install", "--quiet", "build")
    run(tools / "bin/python", "-m", "build", "--outdir", folder / "dist", ROOT)
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    with tarfile.open(sdist) as archive, zipfile.ZipFile(wheel) as zipped:
        sources = [name.partition("/")[2] for name in archive.getnames()]
        files = zipped.namelist()
    version = sdist.name.removeprefix("flowedit-").removesuffix(".tar.gz")
    check(
        f'"{version}"' in (ROOT / "flowedit/_version.py").read_text(),
        f"the version must be that of _version.py; got {version}",
    )
    for name in IN_BOTH:
        check(f"flowedit/{name}" in sources, f"the sdist must hold {name}")
        check(f"flowedit/{name}" in files, f"the wheel must hold {name}")
    check(
        {"LICENSE", "CHANGELOG.md", "kernels/native.h"} <= set(sources),
        "the sdist must hold LICENSE, CHANGELOG, native.h",
    )
    wrong = [name for name in (*sources, *files) if name.startswith(FOREIGN[:-1]) or FOREIGN[-1] in name]
    check(not wrong, f"no other files must be in them; got {wrong[:3]}")
    check("-py3-none-" in wheel.name, f"the wheel must be for any Python; got {wheel.name}")
    check(
        any("kernels/_native" in name for name in files),
        "the wheel must hold the compiled kernels: is there a compiler?",
    )
    print(f"{sdist.name}: {len(sources)} files, {sdist.stat().st_size:,} bytes")
    print(f"{wheel.name}: {len(files)} files, {wheel.stat().st_size:,} bytes")
    return sdist, wheel


def use(folder: Path, photo: Path, native: str) -> None:
    """Ask an environment for what a user does first."""
    flowedit, out = folder / "bin/flowedit", photo.with_name("smiling.png")
    where = run(folder / "bin/python", "-c", "import flowedit; print(flowedit.__file__)").strip()
    check(Path(where).is_relative_to(folder), f"flowedit must be the installed one; got {where}")
    facts = run(flowedit, "info")
    check(f"native: {native}" in facts, f"the kernels must be: {native}; got {facts}")
    print(run(flowedit, "doctor").partition("checks:")[2])
    print(run(flowedit, "edit", photo, "a smiling face", "--fast", "-o", out))
    record = run(flowedit, "explain", out)
    check("a smiling face" in record, f"the picture must have its record; got {record}")
    out.unlink()


def main() -> None:
    """Build, and check in each environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON")
    parser.add_argument("--venv", action="append", default=[], type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        sdist, wheel = build(work)
        photo = Path(shutil.copy(PHOTO, work))
        places = [(each.resolve(), "") for each in options.venv] + [(work / "venv", each) for each in options.pythons]
        for folder, python in places:
            if python:
                run(python, "-m", "venv", folder)
            pip = (folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            print(run(folder / "bin/python", "--version").strip(), flush=True)
            run(*pip, "--force-reinstall", "--no-deps", wheel, **NO_COMPILER)
            run(*pip, wheel, **NO_COMPILER)
            use(folder, photo, "usable")
            run(*pip, "--force-reinstall", "--no-deps", sdist, **NO_COMPILER)
            use(folder, photo, "not built")
            if python:
                shutil.rmtree(folder)
    print("dist-check: good")


if __name__ == "__main__":
    main()
