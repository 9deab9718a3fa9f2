"""An upscaler by path: what is enlarged by it, what is told of it, what stays, and which files are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.app.cli import main
from flowedit.app.remake import find_files
from flowedit.config import Config, RasterConfig
from flowedit.guide.checkpoint import file_digest
from flowedit.photo.photo import read_note
from flowedit.task.prepare import prepare
from flowedit.task.upscale import load_upscaler

rrdbnet = pytest.importorskip("kornia.models.rrdbnet", reason="kornia 0.9 has RRDBNet")
COLOR = (0.2, 0.5, 0.8)


class Guide(TinyEncoder):
    """Is shown crops of 128 pixels: a picture of 48 is small, one of 64 is not."""

    size = 64


def weights(scale=4, **sizes):
    """A tiny network that makes any picture one color."""
    network = rrdbnet.RRDBNet(3, 3, scale=scale, **{"num_feat": 8, "num_block": 2, "num_grow_ch": 4, **sizes})
    state = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    return {**state, "conv_last.bias": torch.tensor(COLOR)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with an upscaler and a small photo."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: Guide())
    torch.save({"params": {}, "params_ema": weights()}, "up.pth")
    Image.fromarray(picture()).save("small.png")
    return tmp_path


def config(path="up.pth", **rest):
    return Config(align=False, steps=2, raster=RasterConfig(4, 4), upscaler=path, **rest)


def shown(photo, path="up.pth"):
    """What the guide is shown of a photo: (3, 128, 128)."""
    return prepare(photo, "red", config(path), Guide()).faces[0].pixels[0]


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("form", ["params_ema", "params", "plain", "safetensors"])
def test_each_kind_of_file_enlarges_a_small_face(scale, form):
    path = Path("mine.safetensors" if form == "safetensors" else "mine.pth")
    state = weights(scale)
    save_file(state, path) if form == "safetensors" else torch.save(state if form == "plain" else {form: state}, path)
    assert load_upscaler(path).scale == scale
    pixels = shown(picture(), path)
    assert pixels.shape == (3, 128, 128)
    torch.testing.assert_close(pixels, torch.tensor(COLOR)[:, None, None].expand_as(pixels))


def test_a_large_face_is_shown_as_it_is():
    large = picture(60, 64)
    assert torch.equal(shown(large), shown(large, None))
    edit = flowedit.optimize(large, "red", config=config(), encoder=Guide())
    assert edit.facts["upscaler"] is None and edit.facts["files"] is None


def test_a_gray_face_stays_gray():
    pixels = shown(np.repeat(picture()[..., :1], 3, 2))
    assert torch.equal(pixels, pixels[:1].expand_as(pixels)) and float(pixels.mean()) == pytest.approx(0.5)


def test_the_photo_keeps_its_size_and_pixels_whatever_the_network_draws():
    edit = flowedit.optimize("small.png", "red", config=config(), encoder=Guide())
    assert edit.render(0.0).shape == edit.render(1.0).shape == (1, 3, 40, 48)
    assert np.array_equal(np.asarray(edit.to_pil(0.0)), picture())
    plain = flowedit.optimize("small.png", "red", config=config(None), encoder=Guide())
    assert edit.history["text"] != plain.history["text"]  # the guide sees what it draws


def test_its_use_is_told_without_its_folder(folder):
    (folder / "private").mkdir()
    Path("up.pth").rename("private/up.pth")
    edit = flowedit.optimize("small.png", "red", config=config(folder / "private" / "up.pth"), encoder=Guide())
    digest = file_digest(folder / "private" / "up.pth")
    assert (edit.facts["upscaler"], edit.facts["upscaler_sha256"]) == ("up.pth", digest)
    note = read_note(edit.save("out.png"))
    assert (note["upscaler"], note["upscaler_sha256"]) == ("up.pth", digest)
    loaded = flowedit.load(edit.save_edit("e.flowedit"))
    assert loaded.facts["upscaler"] == "up.pth" and loaded.config.upscaler == Path("up.pth")
    assert b"private" not in Path("e.flowedit").read_bytes() + Path("out.png").read_bytes()


def test_the_command_line_takes_it_and_remake_finds_it_again(capsys):
    command = ["edit", "small.png", "red", "--no-align", "--steps", "2", "--upscaler"]
    Path("up.png").write_bytes(Path("up.pth").read_bytes())
    assert main([*command, "up.png", "-o", "up.png"]) == 2
    assert "must not replace a file that is read" in capsys.readouterr().err
    assert main([*command, "up.pth", "-o", "a.png", "--save-edit", "a.flowedit"]) == 0
    capsys.readouterr()
    assert main(["explain", "a.png", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["upscaler"] == "up.pth"
    again = ["remake", "a.flowedit", "small.png", "-o", "b.png"]
    assert main(again) == 0 and capsys.readouterr().err == ""
    assert np.array_equal(np.asarray(Image.open("a.png")), np.asarray(Image.open("b.png")))
    before = file_digest(Path("up.pth"))
    torch.save(weights(2), "up.pth")
    _, changed = find_files(flowedit.load("a.flowedit"), (), Path())
    assert changed == [("up.pth", before, file_digest(Path("up.pth")))] and before != changed[0][2]
    Path("up.pth").unlink()
    assert main(again) == 1 and "--files must have up.pth, which the edit was made with" in capsys.readouterr().err


class Trap:
    def __reduce__(self):
        return os.mkdir, ("trapped",)


def broken(**changes):
    return {**weights(), **changes}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "must be a file of Real-ESRGAN's weights; got up.pth, which is none"),
        (b"", "must be Real-ESRGAN's weights of an RRDBNet; got "),
        (b"no weights", "must be Real-ESRGAN's weights of an RRDBNet; got "),
        (Trap(), "must be Real-ESRGAN's weights of an RRDBNet; got "),
        ([1, 2], "weights must be names with tensors"),
        ({"params": 3}, "its weights must be names with tensors; got 3"),
        ({"a": 3}, "a must be a tensor; got 3"),
        ({"RRDB_trunk.0": torch.zeros(2)}, "it must have conv_first and body; got other names"),
        (broken(more=torch.zeros(2)), "Unexpected key"),
        (broken(**{"conv_hr.weight": torch.zeros(8, 8, 3, 2)}), "size mismatch for conv_hr.weight"),
        (broken(**{"conv_hr.bias": torch.full((8,), torch.nan)}), "conv_hr.bias must be finite floating-point numbers"),
        (broken(**{"conv_hr.bias": torch.zeros(8, dtype=torch.int64)}), "conv_hr.bias must be finite floating-point"),
        (broken(**{"conv_first.weight": torch.zeros(8, 5, 3, 3)}), "it must enlarge 3 channels by 1, 2 or 4; got"),
        (broken(**{"conv_first.weight": torch.zeros(300, 3, 3, 3)}), "it must have up to 256 features and 64 blocks"),
        ({**broken(), **{f"body.{k}.a": torch.zeros(1) for k in range(99)}}, "it must have up to 256 features and 64"),
    ],
)  # fmt: skip
def test_what_is_no_upscaler_is_refused_in_one_line(content, words):
    if content is None:
        Path("up.pth").unlink()
    elif isinstance(content, bytes):
        Path("up.pth").write_bytes(content)
    else:
        torch.save(content, "up.pth")
    with pytest.raises(ValueError, match="upscaler must be") as caught:
        flowedit.optimize(picture(), "red", config=config(), encoder=Guide())
    text = str(caught.value)
    assert words in text and "up.pth" in text and "\n" not in text and len(text) < 500
    assert not Path("trapped").exists()


def test_what_it_gives_must_be_a_picture():
    torch.save(broken(**{"conv_last.bias": torch.full((3,), 3e38), "conv_last.weight": torch.full((3, 8, 3, 3), 3e38),
                         "conv_hr.bias": torch.ones(8)}), "up.pth")  # fmt: skip
    with pytest.raises(ValueError, match="upscaler must give a finite picture 4 times as large"):
        flowedit.optimize(picture(), "red", config=config(), encoder=Guide())


def test_an_older_kornia_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "kornia.models.rrdbnet", None)
    torch.save(weights(), "another.pth")
    with pytest.raises(RuntimeError, match=r"an upscaler must have kornia 0\.9 or newer, which has RRDBNet; got "):
        load_upscaler(Path("another.pth"))
