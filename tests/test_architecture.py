"""docs/architecture.md: the picture is that of the imports, and the recipes run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from skimage.data import astronaut

import flowedit

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
RECIPES = dict(re.findall(r"^### (.+?)\n.*?^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S))


@pytest.fixture(scope="module")
def drawing():
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "docs" / "rooms.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_that_of_the_imports(drawing):
    uses = drawing.rooms()
    assert {"kernels", "photo", "face", "field", "guide", "transform", "report", "edit", "fit", "app"} <= set(uses)
    assert PAGE.read_text() == drawing.filled(PAGE.read_text(), uses), "run python docs/rooms.py"
    assert (ROOT / "docs" / "images" / "rooms.svg").read_text() == drawing.as_svg(uses), "run python docs/rooms.py"


@pytest.mark.parametrize("name", ["A term", "A target", "An encoder", "A field"])
def test_a_recipe_runs_and_changes_the_photo(name, monkeypatch):
    from flowedit.field.make import FIELDS

    monkeypatch.setattr("flowedit.field.make.FIELDS", FIELDS)  # what a recipe enters is taken out again
    before = dict(FIELDS)
    photo = astronaut()[:300, 100:400]
    settings = flowedit.Config

    def short(**changes):
        return settings(**{"steps": 20, "identity": None, **changes})

    monkeypatch.setattr(flowedit, "Config", short)
    optimize = flowedit.optimize
    monkeypatch.setattr(flowedit, "optimize", lambda *a, **k: optimize(*a, **{"config": short(), **k}))
    scope = {"photo": photo}
    try:
        exec(compile(RECIPES[name], f"{PAGE}: {name}", "exec"), scope)
    finally:
        FIELDS.clear()
        FIELDS.update(before)
    edit = scope["edit"]
    assert (edit.render(1.0) != edit.render(0.0)).any()
    lines = [line for line in RECIPES[name].splitlines() if line.strip()]
    assert len(lines) <= 36
