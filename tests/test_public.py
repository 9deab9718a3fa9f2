"""The promise of the package: what it exports, which way imports point, a quiet and cheap import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fresh import run_fresh
from setuptools import find_packages

import flowedit

ROOT = Path(__file__).parent.parent

# What each room may import of ours, and the files that stand beside the rooms. A line may name only lines above it,
# so no circle can be written here.
MAY_IMPORT: dict[str, set[str]] = {
    "_version": set(),
    "checks": set(),
    "isolation": {"checks"},
    "kernels": set(),
    "photo": {"checks", "isolation"},
    "field": {"kernels", "checks"},
    "guide": {"checks", "isolation"},
    "face": {"photo", "field", "kernels", "checks"},
}
MAY_IMPORT["config"] = {"checks", "face", "field", "guide"}  # names of regions, fields and targets
MAY_IMPORT["transform"] = {"face", "field", "photo", "kernels", "checks"}
MAY_IMPORT["report"] = {"transform", "face", "field", "photo", "kernels", "checks"}
MAY_IMPORT["provenance"] = {"checks", "config"}
MAY_IMPORT["edit"] = {"provenance", "isolation", "report", "transform", "face", "photo", "config", "checks", "_version"}
MAY_IMPORT["task"] = {
    "isolation",
    "edit",
    "guide",
    "config",
    "transform",
    "face",
    "field",
    "photo",
    "kernels",
    "checks",
}
MAY_IMPORT["task"] |= {"provenance", "_version"}
MAY_IMPORT["predict"] = MAY_IMPORT["task"] | {"task"}
MAY_IMPORT["hub"] = {"predict", "guide", "photo", "checks"}  # a door beside the API, which nobody here goes through
MAY_IMPORT["video"] = MAY_IMPORT["predict"] | {"predict"}  # for an edit that is predicted in each frame; never fit
MAY_IMPORT["fit"] = MAY_IMPORT["video"] | {"video"}
MAY_IMPORT["flowedit"] = {"config", "edit", "fit", "field", "predict", "video", "_version"}  # __init__.py, the promise
MAY_IMPORT["app"] = set(MAY_IMPORT)
MAY_IMPORT["__main__"] = {"app"}

OPTIONAL = {  # read when first used
    "triton_kernel": {"triton"},
    "tinycudann_backend": {"tinycudann"},
    "dispatch": {"tinycudann"},
}

SOURCES = sorted(
    path for path in (ROOT / "flowedit").rglob("*.py") if "kernels" not in path.relative_to(ROOT / "flowedit").parts
) + sorted((ROOT / "kernels").rglob("*.py"))
HEAVY = {"PIL", "dlib", "imageio", "kornia", "matplotlib", "open_clip", "png", "skimage", "tifffile", "tyro"}
HEAVY |= {"face_recognition_models", "huggingface_hub", "tqdm"}


def room_of(path: Path) -> str:
    """The folder below flowedit/ that a file is in; of a file beside the folders, its own name."""
    if ROOT / "kernels" in path.parents:
        return "kernels"
    inside = path.relative_to(ROOT / "flowedit").parts
    return inside[0] if len(inside) > 1 else {"__init__": "flowedit"}.get(path.stem, path.stem)


def imported_names(path: Path) -> set[str]:
    """Dotted names that a file imports, for the type checker too: flowedit.field.raster, torch.nn, ..."""
    package = ["flowedit", *path.parent.relative_to(ROOT).parts]
    package = package[1:] if package[1:2] == ["flowedit"] else package
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module or "").split(".")] if node.module else base
            if base == ["flowedit"]:
                names |= {f"flowedit.{alias.name}" for alias in node.names}
            else:
                names.add(".".join(base))
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room} must have a line in MAY_IMPORT"
    ours = {name for name in imported_names(path) if name.split(".")[0] == "flowedit"}
    seen = {name.split(".")[1] if "." in name else "flowedit" for name in ours} - {room}
    seen = {name if name in MAY_IMPORT else "flowedit" for name in seen}  # from flowedit import optimize
    assert seen <= MAY_IMPORT[room], f"{room} must not import {sorted(seen - MAY_IMPORT[room])}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_kernels_and_tower_import_torch_only(path):
    if room_of(path) != "kernels" and path.name != "faceclip.py":
        return
    foreign = {name.split(".")[0] for name in imported_names(path)} - set(sys.stdlib_module_names)
    assert foreign <= {"torch", "flowedit"} | OPTIONAL.get(path.stem, set())


def test_the_import_table_has_no_circle():
    names = list(MAY_IMPORT)
    for i, name in enumerate(names):
        assert MAY_IMPORT[name] <= set(names[:i]), name


def test_all_is_the_whole_promise():
    assert set(flowedit.__all__) == {
        *(
            "Config",
            "Edit",
            "Offsets",
            "VideoEditor",
            "__version__",
            "edit_video",
            "imagine",
            "load",
            "load_predictor",
            "optimize",
            "predict",
            "predict_all",
            "variants",
            "warp",
        )
    }
    for name in flowedit.__all__:
        assert getattr(flowedit, name) is getattr(flowedit, name)
    assert set(flowedit.__all__) <= set(dir(flowedit))


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="optimise"):
        _ = flowedit.optimise


def test_import_is_quiet_and_cheap_over_torch():
    script = """
import sys, time
import torch, numpy
before, start = set(sys.modules), time.process_time()
import flowedit
flowedit.optimize, flowedit.load, flowedit.Edit, flowedit.Config, flowedit.__version__
assert time.process_time() - start < 1, time.process_time() - start  # seconds
assert not torch.cuda.is_initialized()
heavy = {name.split(".")[0] for name in set(sys.modules) - before} & HEAVY
assert not heavy, heavy
""".replace("HEAVY", repr(HEAVY))
    done = run_fresh(script, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_alone_does_not_load_torch():
    script = "import sys, flowedit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_kernels_are_part_of_the_package():
    from flowedit.kernels import dispatch

    assert "torch" in dispatch.available()


def test_it_is_found_from_any_folder(tmp_path):
    """In its clone, and below a folder that has its name, as beside a clone."""
    (tmp_path / "flowedit").symlink_to(ROOT)
    script = f"import sys; sys.path.insert(1, {str(ROOT)!r})\n"
    script += "import flowedit, flowedit.kernels; flowedit.optimize; print(flowedit.__file__)"
    for folder in (ROOT, tmp_path, tmp_path / "flowedit", Path("/")):
        done = run_fresh(script, cwd=folder)
        assert (done.returncode, done.stderr) == (0, "") and Path(done.stdout.strip()).is_file(), folder
    packages = find_packages(str(ROOT), include=["flowedit", "flowedit.*"])  # as setup.py
    assert {"flowedit", "flowedit.kernels", "flowedit.kernels.step"} <= set(packages)


def test_every_promise_names_tests_that_exist():
    text = (ROOT / "docs" / "promises.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith(("| promise", "| ---"))]
    assert len(rows) > 40
    for row in rows:
        names = re.findall(r"`tests/(test_\w+\.py)::(test_\w+)`", row)
        assert names and row.count("`tests/") == len(names), row
        for file, name in names:
            tree = ast.parse((ROOT / "tests" / file).read_text())
            assert name in {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}, f"{file}::{name}"


def test_no_source_file_is_long():
    folders = ("flowedit", "kernels", "examples", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > 400}
    assert not long
