"""Strips and animations over strengths."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stand_in import TinyEncoder, picture

from flowedit.app.cli import main
from flowedit.face.crop import whole_crop
from flowedit.field.raster import RasterField
from flowedit.photo.photo import load
from flowedit.report.strips import FRAMES, HEAD_PX, RATE, SIDE_PX, coming_and_going, frames, save_strip
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import FieldTransform
from flowedit.video.animations import at_rate, save_animation


def tinted(tint=0.1, **rest):
    photo = load(torch.full((3, 32, 32), 0.3))
    field = RasterField(4, 4)
    with torch.no_grad():
        field.color.fill_(tint)
    return EditedPhoto(photo, (FieldTransform(field, whole_crop(photo), **rest),), 0.6)


def test_frames_grow_with_the_strength_and_begin_with_the_photo():
    shown = frames(tinted(), (0.0, 0.5, 1.0, -1.0), side=32)
    still, half, whole, back = (picture[16, 16].mean() for picture in shown)
    assert (shown[0] == round(0.3 * 255)).all() and shown[0].dtype == np.uint8 and shown[0].shape == (32, 32, 3)
    assert whole - half == pytest.approx(half - still, abs=1.1) and whole > half + 5 and back < still - 10
    weaker = frames(tinted(strength=0.5), (1.0,), side=32)[0]
    assert np.array_equal(weaker, shown[1])


@pytest.mark.parametrize("strengths", [(), (0.5, math.nan)])
def test_frames_say_what_is_wrong(strengths):
    with pytest.raises(ValueError, match="strengths must be"):
        frames(tinted(), strengths)
    with pytest.raises(ValueError, match=r"must get one by apply\(photo\) first"):
        frames(replace(tinted(), photo=None), (1.0,))


def test_a_strip_shows_the_edits_own_strength_among_others(tmp_path):
    save_strip(tinted(), tmp_path / "strip.png", (0.0, 1.0))
    strip = np.asarray(Image.open(tmp_path / "strip.png"))
    assert strip.shape == (HEAD_PX + SIDE_PX, 3 * SIDE_PX, 3)
    middles = strip[HEAD_PX + SIDE_PX // 2, SIDE_PX // 2 :: SIDE_PX].mean(-1)
    assert middles[0] < middles[1] < middles[2]
    assert (strip[:HEAD_PX, SIDE_PX : 2 * SIDE_PX] < 128).any(-1).sum() > (strip[:HEAD_PX, :SIDE_PX] < 128).any(
        -1
    ).sum()
    with pytest.raises(ValueError, match=r"output must end in one of .png.* got 'strip.gif'"):
        save_strip(tinted(), "strip.gif", (0.0,))


def test_a_gif_comes_and_goes_and_loops(tmp_path):
    save_animation(tmp_path / "a.gif", at_rate(coming_and_going(tinted()), RATE))
    with Image.open(tmp_path / "a.gif") as movie:
        assert movie.n_frames > FRAMES and movie.info["loop"] == 0 and movie.size == (SIDE_PX, SIDE_PX)
        middles = []
        for k in range(movie.n_frames):
            movie.seek(k)
            middles.append(np.asarray(movie.convert("RGB"))[SIDE_PX // 2, SIDE_PX // 2].mean())
    top = int(np.argmax(middles))
    assert 0 < top < len(middles) - 1 and middles[0] == pytest.approx(76, abs=3) and middles[top] > middles[0] + 8


def test_a_video_needs_its_library_and_says_so_before_any_work(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(RuntimeError, match=r"be read and written with PyAV: pip install av"):
        save_animation(tmp_path / "a.mp4", at_rate(coming_and_going(tinted()), RATE))
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("face.png")
    assert main(["sweep", "face.png", "red", "--no-align", "--animation", "a.mp4"]) == 1
    assert "PyAV" in capsys.readouterr().err and sorted(p.name for p in Path().iterdir()) == ["face.png"]


def test_the_command_writes_a_strip_and_an_animation(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder())
    monkeypatch.setattr("flowedit.report.strips.FRAMES", 2)
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("face.png")
    command = ["sweep", "face.png", "red", "--no-align", "--steps", "3", "--strengths", "0", "0.5"]
    assert main([*command, "--animation", "red.gif"]) == 0
    assert "face_sweep.png, red.gif: strength 1.00" in capsys.readouterr().out
    assert Image.open("face_sweep.png").size[0] == 3 * SIDE_PX  # and its own
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0)})  # GPS
    exif[0x010F] = "Maker"
    Image.fromarray(picture()).save("placed.jpg", exif=exif)
    for suffix in ("gif", "webp", "apng"):
        assert main(["sweep", "placed.jpg", *command[2:], "-o", "strip.jpg", "--animation", f"a.{suffix}"]) == 0
        assert not Image.open("strip.jpg").getexif() and not Image.open(f"a.{suffix}").getexif()
    assert main([*command, "-o", "face.png"]) == 2 and "must not replace a file that is read" in capsys.readouterr().err
    assert main([*command, "-o", "strip.gif"]) == 2 and "--out must end in one of .png" in capsys.readouterr().err
    assert main([*command, "-o", "no/strip.png"]) == 1 and "does not exist" in capsys.readouterr().err
