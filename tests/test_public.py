"""The promise of the package: what it exports, which way imports point, a quiet and cheap import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowedit

ROOT = Path(__file__).parent.parent

# What each module may import of ours. A line may name only lines above it, so no cycle can be written here.
MAY_IMPORT = {
    "__version__": set(),  # the string in __init__.py
    "checks": set(),
    "kernels": set(),
    "tower": set(),
    "paths": set(),
    "region": {"checks"},
    "config": {"checks", "region"},
    "codec": {"checks"},
    "measure": {"checks"},
    "image": {"checks", "codec", "kernels"},
    "encoder": {"checks", "config", "tower"},
    "corpus": {"checks", "encoder"},
    "align": {"checks", "image", "region"},
    "field": {"checks", "config", "kernels"},
    "palette": {"checks", "region", "field"},
    "warp": {"checks", "kernels", "field"},
    "objective": {"checks", "corpus", "encoder", "field", "kernels", "region"},
    "motion": {"checks", "kernels", "align", "field", "warp"},
    "render": {"checks", "kernels", "image", "motion"},
    "budget": {"checks", "image", "align", "field", "warp", "motion", "render"},
    "editfile": {"checks", "image", "align", "field", "motion", "region"},
    "transfer": {"image", "align", "field", "motion", "palette", "region"},
    "descent": set(),
    "capture": set(),
    "console": set(),
}
MAY_IMPORT["words"] = {"align", "kernels"}
MAY_IMPORT["steps"] = {"config", "corpus", "encoder", "field", "kernels", "objective", "warp", "descent", "capture"}
MAY_IMPORT["judge"] = {"encoder", "objective"}
FINDING = {"corpus", "encoder", "objective", "descent", "capture", "steps", "judge"}  # an edit needs none of it
MAY_IMPORT["explain"] = set(MAY_IMPORT) - FINDING - {"paths", "tower"}
MAY_IMPORT["figure"] = set(MAY_IMPORT) - FINDING - {"paths", "tower"}
MAY_IMPORT["edit"] = set(MAY_IMPORT) - FINDING - {"paths", "tower"}
MAY_IMPORT["machine"] = {"kernels", "__version__"}
MAY_IMPORT["sweep"] = {"checks", "config", "image", "budget", "motion", "edit"}
MAY_IMPORT["batch"] = {"checks", "codec", "console", "paths", "image", "edit"}
SHELL = {"paths", "tower", "sweep", "machine", "console", "batch"}
MAY_IMPORT["loop"] = set(MAY_IMPORT) - SHELL | {"__version__"}  # in the provenance
MAY_IMPORT["diversity"] = set(MAY_IMPORT) - SHELL
MAY_IMPORT["cli"] = set(MAY_IMPORT) | {"flowedit"}
MAY_IMPORT["__main__"] = {"cli"}
MAY_IMPORT["__init__"] = {"config", "edit", "loop", "diversity"}

OPTIONAL = {  # read when first used
    "triton_kernel": {"triton"},
    "tinycudann_backend": {"tinycudann"},
    "dispatch": {"tinycudann"},
}

SOURCES = sorted((ROOT / "flowedit").glob("*.py")) + sorted((ROOT / "kernels").rglob("*.py"))
HEAVY = {"PIL", "dlib", "imageio", "kornia", "matplotlib", "open_clip", "png", "skimage", "tifffile", "tyro"}
HEAVY |= {"face_recognition_models", "tqdm"}


def runtime_imports(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import statement, inside functions too, but for those under `if TYPE_CHECKING:`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        yield from runtime_imports(node)


def imported_names(path: Path) -> set[str]:
    """Dotted names that a file imports, relative ones made absolute: flowedit.field, torch.nn, ..."""
    package = ["flowedit", *path.parent.relative_to(ROOT).parts]
    package = package[1:] if package[1:2] == ["flowedit"] else package
    names: set[str] = set()
    for node in runtime_imports(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        base = [*base, *(node.module or "").split(".")] if node.module else base
        if base == ["flowedit"]:
            names |= {f"flowedit.{alias.name}" for alias in node.names}
        else:
            names.add(".".join(base))
    return names


def module_name(path: Path) -> str:
    return "kernels" if (ROOT / "kernels") in path.parents else path.stem


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    module = module_name(path)
    assert module in MAY_IMPORT, f"{module} must have a line in MAY_IMPORT"
    ours = {name for name in imported_names(path) if name.split(".")[0] == "flowedit"}
    seen = {name.split(".")[1] if "." in name else "flowedit" for name in ours} - {module}
    assert seen <= MAY_IMPORT[module], f"{module} must not import {sorted(seen - MAY_IMPORT[module])}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_kernels_and_tower_import_torch_only(path):
    if module_name(path) not in {"kernels", "tower"}:
        return
    foreign = {name.split(".")[0] for name in imported_names(path)} - set(sys.stdlib_module_names)
    assert foreign <= {"torch", "flowedit"} | OPTIONAL.get(path.stem, set())


def test_the_import_table_has_no_cycle():
    names = [name for name in MAY_IMPORT if name != "__init__"]
    for i, name in enumerate(names):
        assert MAY_IMPORT[name] - {"flowedit"} <= set(names[:i]), name


def test_all_is_the_whole_promise():
    assert set(flowedit.__all__) == {"Config", "Edit", "__version__", "load", "optimize", "variants"}
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
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_alone_does_not_load_torch():
    script = "import sys, flowedit; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_kernels_are_part_of_the_package():
    from flowedit.kernels import dispatch

    assert "torch" in dispatch.available()


def test_no_source_file_is_long():
    folders = ("flowedit", "kernels", "examples", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    long = {str(p.relative_to(ROOT)): n for p in files if (n := len(p.read_text().splitlines())) > 400}
    assert not long
