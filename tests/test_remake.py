"""`flowedit remake`: the edit of a file made again, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.app.cli import main
from flowedit.config import Config

CONFIG = Config.from_dict(
    {"align": False, "steps": 6, "seed": 3, "raster": {"coord_size": 5}, "weights": {"tint": 0.5}}
)


@pytest.fixture(autouse=True)
def photo(tmp_path, monkeypatch):
    """A photo, and an encoder whatever its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder())
    Image.fromarray(picture()).save("face.png")


def save(name="red.flowedit", config=CONFIG, prompt=None, **rest):
    edit = flowedit.optimize(
        "face.png", prompt or {"red": 0.3, "blue": -1.0}, config=config, encoder=TinyEncoder(), **rest
    )
    edit.save_edit(name)
    return edit


@pytest.mark.parametrize("field", ["raster", "hash"])
def test_the_fields_are_the_files_bit_for_bit(field, capsys):
    edit = save(config=Config.from_dict({"field": field, "hash": {"n_levels": 6}}, CONFIG))
    edit.save("red.png")
    assert main(["remake", "red.flowedit", "face.png", "-o", "again.png", "--save-edit", "again.flowedit"]) == 0
    assert capsys.readouterr().err == ""
    first, again = load_file("red.flowedit"), load_file("again.flowedit")
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)
    assert any(value.abs().max() > 0 for value in first.values())
    assert np.array_equal(np.asarray(Image.open("red.png")), np.asarray(Image.open("again.png")))
    assert flowedit.load("again.flowedit").config == edit.config


def test_another_photo_or_encoder_is_named(capsys):
    save()
    Image.fromarray(picture(seed=1)).save("other.png")
    assert main(["remake", "red.flowedit", "other.png"]) == 0
    assert (
        "warning: the edit is not the one in red.flowedit, for it has another photo (then " in capsys.readouterr().err
    )


def test_what_a_file_does_not_hold_is_named(capsys):
    edit = save()
    save("start.flowedit", start=edit)
    assert main(["remake", "start.flowedit", "face.png"]) == 0
    assert "for it has other terms, starts" in capsys.readouterr().err


def test_a_sum_of_edits_has_no_settings(capsys):
    (save() + save()).save_edit("sum.flowedit")
    before = sorted(Path().iterdir())
    assert main(["remake", "sum.flowedit", "face.png"]) == 1
    assert "sum.flowedit must hold the settings of one edit" in capsys.readouterr().err
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("output", [["-o", "face.png"], ["-o", "o.png", "--save-edit", "red.flowedit"]], ids=str)
def test_it_writes_over_nothing_that_it_reads(output):
    save()
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert main(["remake", "red.flowedit", "face.png", *output]) == 2
    assert {path: path.read_bytes() for path in Path().iterdir()} == before
