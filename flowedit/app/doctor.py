"""The command `doctor`: what this installation is, and whether each part of it works; text for a bug report.

Nothing is fetched, and nothing in the report tells whose machine it is: paths lose their folders.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import FlagCreatePairsOff

from flowedit.app.console import complain, format_facts, one_line, say
from flowedit.checks import require

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# What a requirement is imported as, where that is not its name. The models are found and never imported: their package
# wants an old setuptools.
MODULES = {"open_clip_torch": "open_clip", "pillow": "PIL", "dlib-bin": "dlib", "face-recognition-models": ""}
OPTIONAL = ("av",)  # used where it is installed
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE", "CUDA_VISIBLE_DEVICES",
             "LD_PRELOAD", "PYTHONPATH", "TORCH_DEVICE_BACKEND_AUTOLOAD")  # fmt: skip
IMPORTS_S = 300
# Imports in a process of their own, since a library of another processor ends it without an exception.
IMPORT_EACH = """
import json, sys
names, sys.path[:] = json.load(sys.stdin)
for name in names:
    print(json.dumps([name, "start"]), flush=True)
    try:
        __import__(name)
        problem = None
    except BaseException as error:
        problem = f"{type(error).__name__}: {error}"
    print(json.dumps([name, problem]), flush=True)
"""
TOLERANCE = 1e-5  # of the kernels, image units
NOT_INSTALLED = "not known: flowedit is used without being installed"


@dataclass(frozen=True)
class DoctorCommand:
    """Check this installation, part by part, and print a report to file with a bug; exit code 1 if a part is broken."""

    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print JSON."""

    def run(self) -> int:
        """Print the report, and name what is broken."""
        report = examine()
        told = {name: ("" if works else "BROKEN: ") + found for name, (works, found) in _pairs(report)}
        say(json.dumps(report, indent=2) if self.json else "\n".join(format_facts({**report, "checks": told})))
        broken = [(name, found) for name, (works, found) in _pairs(report) if not works]
        for name, found in broken:
            complain(f"{name}: {found}")
        if not (broken or self.json):
            say("everything works")
        return int(bool(broken))


def _pairs(report: Mapping[str, Any]) -> Iterator[tuple[str, tuple[bool, str]]]:
    for name, check in report["checks"].items():
        yield name, (check["works"], check["found"])


def examine() -> dict[str, Any]:
    """Return the facts of `flowedit info`, and of each part of this installation whether it works; JSON-able.

    Returns:
        `versions`, `machine`, `backends`, `encoders`; `variables`: those set that change how it computes, in full only
        where they are numbers; `checks`: name -> {"works", "found"}: what was found, or what is wrong.
    """
    from flowedit.app.environment import describe_environment

    checks: dict[str, dict[str, Any]] = {}
    for name, check in CHECKS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                checks[name] = {"works": True, "found": check()}
        except Exception as error:  # of any part: the others are looked at all the same
            checks[name] = {"works": False, "found": one_line(error).removesuffix(" (--debug shows where)")}
    variables = {name: os.environ[name] for name in VARIABLES if name in os.environ}
    plain = {name: value if re.fullmatch(r"[\d,.-]*", value) else "set" for name, value in variables.items()}
    report = without_folders({**describe_environment(), "variables": plain, "checks": checks})
    assert isinstance(report, dict)
    return report


def without_folders(value: Any) -> Any:
    """Return a report with each path in its texts cut to its last part: folders tell names."""
    if isinstance(value, Mapping):
        return {name: without_folders(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_folders(each) for each in value]
    if not isinstance(value, str):
        return value
    known = {os.path.expanduser("~"), os.getcwd(), sys.prefix, tempfile.gettempdir()}
    for folder in sorted(known - {"/"}, key=len, reverse=True):  # which may have spaces in their names
        value = value.replace(folder + "/", "/_/").replace(folder, "_")
    return re.sub(r"(?<![\w/])~?/(?:[^\s/:;,'\"()]+/)+", ".../", value)


def _requirements() -> list[Requirement]:
    """Return what this version asks for here, without extras; empty where it is used without being installed."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(text) for text in metadata.requires("flowedit") or ()]
    except metadata.PackageNotFoundError:
        return []
    return [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]


def _check_requirements() -> str:
    """Compare what is installed with what this version asks for."""
    wanted = _requirements()
    if not wanted:
        return NOT_INSTALLED
    wrong = []
    for each in wanted:
        try:
            version = metadata.version(each.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{each.name} is not installed")
        else:
            if not each.specifier.contains(version, prereleases=True):
                wrong.append(f"{each.name} must be {each.specifier}; got {version}")
    require(not wrong, "; ".join(wrong), RuntimeError)
    return "installed, in the versions asked for"


def _check_imports() -> str:
    """Import each requirement, and those optional ones that are installed."""
    wanted = _requirements()
    if not wanted:
        return NOT_INSTALLED
    names = [name for each in wanted if (name := MODULES.get(each.name, each.name))]
    names += [name for name in OPTIONAL if find_spec(name)]
    command = [sys.executable, "-c", IMPORT_EACH]
    done = subprocess.run(
        command,
        input=json.dumps([names, sys.path]),
        capture_output=True,
        text=True,
        timeout=IMPORTS_S,
        errors="replace",
    )
    said = dict(_read_lines(done.stdout))
    wrong = []
    for name in names:
        problem = said.get(name, "not tried")
        if problem == "start":
            ended = signal.Signals(-done.returncode).name if done.returncode < 0 else f"exit code {done.returncode}"
            wrong.append(f"{name} ends the process ({ended})")
        elif problem not in (None, "not tried"):
            wrong.append(f"{name} cannot be imported: {' '.join(problem.split()):.300}")
    require(not wrong, "; ".join(wrong), RuntimeError)
    return f"{', '.join(names)}" + ("" if "av" in names else "; without av, for videos")


def _read_lines(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield what the imports said; a package may print lines of its own."""
    for line in text.splitlines():
        try:
            name, problem = json.loads(line)
        except (ValueError, TypeError):
            continue
        yield name, problem


def _check_kernels() -> str:
    """Compare the compiled kernels with plain torch, where they are built."""
    import torch

    from flowedit.kernels import Interpolation, dispatch, sample

    problem = dispatch.problem("native")
    if problem is not None:
        require(problem.startswith("not built"), problem, RuntimeError)
        return f"{problem}; plain torch computes, and an edit takes longer"
    values = torch.arange(2 * 5 * 7, dtype=torch.float32).sin().reshape(2, 5, 7)
    x, y = torch.linspace(-1, 8, 50), torch.linspace(6, -2, 50)
    fast, exact = (sample(values, x, y, Interpolation.CATMULL_ROM, backend=name) for name in ("native", "torch"))
    error = float((fast - exact).abs().max())
    require(error <= TOLERANCE, f"they must compute what plain torch does; got values {error:.2g} apart", RuntimeError)
    return "built, and compute what plain torch does"


def _check_device() -> str:
    """Compute something on the GPU, where torch has one."""
    import torch

    if not torch.cuda.is_available():
        return f"CPU, {torch.get_num_threads()} threads"
    total = float(torch.arange(10.0, device="cuda").square().sum())
    require(total == 285, f"the GPU must add up to 285; got {total}", RuntimeError)
    return f"{torch.cuda.device_count()} GPU, CUDA {torch.version.cuda}"


def _check_encoder() -> str:
    """Load the shipped encoder, whose digest is compared, and let it look at a picture."""
    import torch

    from flowedit.guide.encoder import load_encoder

    encoder = load_encoder()
    with torch.no_grad():
        seen = encoder.image(torch.full((1, 3, 32, 32), 0.5)) @ encoder.text(["a face"]).T
    require(
        bool(torch.isfinite(seen).all()), "it must see something in a gray picture; got NaN or infinity", RuntimeError
    )
    return f"{encoder.name}, SHA-256 {encoder.digest} as shipped"


def _check_predictor() -> str:
    """Load the shipped predictor, whose digest is compared, and look whether it goes with the encoder."""
    from flowedit.guide.encoder import load_encoder
    from flowedit.predict.weights import load_predictor, resolve_predictor

    trained = resolve_predictor(load_predictor(), load_encoder())
    return f"{trained.name}, SHA-256 {trained.sha256} as written"


def _check_faces() -> str:
    """Load dlib's models, and look for faces where there is none."""
    import numpy as np

    from flowedit.face.detect import find_faces
    from flowedit.photo.photo import Photo

    found = len(find_faces(Photo(np.full((64, 64, 3), 128, np.uint8))))
    require(found == 0, f"a gray picture must have no face; got {found}", RuntimeError)
    return "dlib and its models"


def _check_corpora() -> str:
    """Read the shipped corpora."""
    from flowedit.guide.corpus import list_corpora, read_corpus

    names = list_corpora()
    require(bool(names), "corpora must be shipped; got none: reinstall flowedit", RuntimeError)
    return ", ".join(f"{name} ({len(read_corpus(name).prompts)})" for name in names)


def _check_edit() -> str:
    """Make a small edit of a drawn picture, save it, read it again, and write its pictures."""
    import numpy as np

    import flowedit
    from flowedit.photo.photo import load
    from flowedit.report.strips import save_strip

    drawn = np.add.outer(np.arange(48), np.arange(40))[..., None].repeat(3, 2).astype(np.uint8)
    edit = flowedit.optimize(drawn, "a smiling face", config=flowedit.Config(align=False, steps=2), progress=False)
    with tempfile.TemporaryDirectory() as folder:
        again = flowedit.load(edit.save_edit(Path(folder, "edit.flowedit"))).apply(drawn)
        saved = load(again.save(Path(folder, "edit.png")))
        save_strip(again.edited, Path(folder, "strip.jpg"), (0.0, 1.0))
    same = np.array_equal(saved.pixels, load(edit.to_pil()).pixels)
    require(same, "an edit that was saved and read must make the same picture; got another", RuntimeError)
    return "made, saved, read and drawn"


CHECKS: dict[str, Callable[[], str]] = {
    "requirements": _check_requirements,
    "imports": _check_imports,
    "kernels": _check_kernels,
    "device": _check_device,
    "encoder": _check_encoder,
    "predictor": _check_predictor,
    "faces": _check_faces,
    "corpora": _check_corpora,
    "edit": _check_edit,
}
