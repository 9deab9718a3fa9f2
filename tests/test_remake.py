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
    assert "the edit is not the one" not in capsys.readouterr().err
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


def masked(folder, name="masked.flowedit", white=255):
    """An edit with a mask, a protected picture and a corpus that lie in a folder."""
    folder.mkdir()
    for each, value in (("mask.png", white), ("hat.png", 0)):
        Image.new("L", (48, 40), value).save(folder / each)
    (folder / "mine.txt").write_text("red\nblue\nleft\n")
    paths = {"mask": folder / "mask.png", "protect": [str(folder / "hat.png")], "corpus": str(folder / "mine.txt")}
    return save(name, Config.from_dict({**paths, "target": "projected"}, CONFIG), "red")


def test_an_edit_file_names_other_files_without_their_folders(tmp_path):
    edit = masked(tmp_path / "private")
    data = Path("masked.flowedit").read_bytes()
    assert b"private" not in data and str(tmp_path).encode() not in data
    config = flowedit.load("masked.flowedit").config
    assert (config.mask, config.protect, config.corpus) == (Path("mask.png"), ("hat.png",), "mine.txt")
    assert edit.config.mask == tmp_path / "private" / "mask.png"  # in this process it stays
    assert [name for name, digest in edit.facts["files"]] == ["mask.png", "hat.png", "mine.txt"]
    edit.save("masked.png")
    assert b"mask.png" not in Path("masked.png").read_bytes()


def test_other_files_are_found_beside_the_photo_or_where_the_flag_says(tmp_path, capsys):
    masked(tmp_path / "private")
    command = ["remake", "masked.flowedit", "face.png", "-o", "again.png", "--save-edit", "again.flowedit"]
    before = sorted(Path().iterdir())
    assert main(command) == 1 and sorted(Path().iterdir()) == before
    assert "--files must have mask.png, which the edit was made with; got none" in capsys.readouterr().err
    files = sorted(map(str, (tmp_path / "private").iterdir()))
    assert main([*command, "--files", *files]) == 0 and capsys.readouterr().err == ""
    first, again = load_file("masked.flowedit"), load_file("again.flowedit")
    assert first.keys() == again.keys() and all(torch.equal(first[name], again[name]) for name in first)
    assert flowedit.load("again.flowedit").config == flowedit.load("masked.flowedit").config
    for path in files:
        Path(path).rename(Path(path).name)
    assert main(command) == 0 and capsys.readouterr().err == ""
    assert main([*command[:4], "mask.png"]) == 2 and "must not replace a file that is read" in capsys.readouterr().err


def test_another_file_of_the_same_name_is_told(tmp_path, capsys):
    masked(tmp_path / "private")
    files = sorted(map(str, (tmp_path / "private").iterdir()))
    Image.fromarray(np.tile(np.uint8([[0], [255]]), (20, 48))).save("mask.png")
    command = ["remake", "masked.flowedit", "face.png", "-o", "again.png"]
    assert main([*command, "--files", "mask.png", *files]) == 0 and capsys.readouterr().err == ""  # by their digests
    assert main([*command, "--files", "mask.png", *(path for path in files if "mask" not in path)]) == 0
    assert "for it has another mask.png (then " in capsys.readouterr().err


@pytest.mark.parametrize("output", [["-o", "face.png"], ["-o", "o.png", "--save-edit", "red.flowedit"]], ids=str)
def test_it_writes_over_nothing_that_it_reads(output):
    save()
    before = {path: path.read_bytes() for path in Path().iterdir()}
    assert main(["remake", "red.flowedit", "face.png", *output]) == 2
    assert {path: path.read_bytes() for path in Path().iterdir()} == before
