"""edit_video and `flowedit video`: one edit through a whole clip, options, errors, Ctrl-C."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pytest
from moving import Painter, av, make_clip, picture
from PIL import Image
from skimage.data import astronaut

import flowedit
from flowedit.app.cli import main
from flowedit.edit import Edit
from flowedit.face.crop import whole_crop
from flowedit.field.raster import RasterField
from flowedit.fit import video
from flowedit.photo.photo import Photo
from flowedit.transform.transforms import FieldTransform
from flowedit.video.clips import Clip
from flowedit.video.encode import Encoding
from flowedit.video.film import ClipResult


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """A portrait that drifts to the right and back: 12 frames."""
    portrait = np.asarray(Image.fromarray(astronaut()[:320, 60:400]).resize((272, 256)))
    shown = [portrait[:, 8 - step : 264 - step] for step in (0, 1, 3, 4, 6, 7, 8, 7, 5, 4, 2, 0)]
    return make_clip(tmp_path_factory.mktemp("clips") / "a.mp4", shown, options={"crf": "12"}, sound="aac")


def test_one_edit_goes_through_a_clip(filmed, tmp_path, capsys):
    out, lossless = tmp_path / "b.mkv", Encoding(codec="ffv1")
    result = flowedit.edit_video(filmed, "a smiling face", out, fast=True, encoding=lossless, progress=False)
    assert isinstance(result, ClipResult) and result.path == out
    assert result.frames == 12 and result.edited >= 10 and result.edit.prompts == {"a smiling face": 1.0}
    with Clip(filmed) as before, Clip(result.path) as after:
        pairs = [(a.rgb.astype(int), b.rgb.astype(int)) for a, b in zip(before.packets(), after.packets(), strict=True)]
    for a, b in pairs[2:]:
        assert abs(a - b).max() > 40 and 0.05 < (a != b).any(-1).mean() < 0.95
    with av.open(str(result.path)) as container:
        assert container.streams.audio and "a smiling face" in container.metadata["COMMENT"]
    assert main(["explain", str(result.path)]) == 0 and "a smiling face" in capsys.readouterr().out
    assert main(["explain", str(filmed)]) == 1 and "which has none" in capsys.readouterr().err
    kept = result.edit.save_edit(tmp_path / "smile.flowedit")
    again = flowedit.edit_video(filmed, flowedit.load(kept), tmp_path / "c.gif", strength=0.5, progress=False)
    assert again.edited >= 10 and again.edit.strength == 0.5


def small_edit(photo=None):
    """An edit without a face, for where the editor is a stand-in."""
    photo = photo or Photo(picture())
    return Edit(photo, (FieldTransform(RasterField(4, 4), whole_crop(photo)),), {"red": 1.0}, 0.7)


@pytest.fixture
def painted(tmp_path, monkeypatch):
    """A folder with a clip and an edit; edits are found at once and paint a box. Returns what was asked for."""
    asked = {}
    painter = Painter()

    def find(photo, wish, config, *, fast, how):
        asked.setdefault("wishes", []).append((wish, config.face, fast))
        return wish if isinstance(wish, Edit) else small_edit()

    def editor(edits, **how):
        asked["edits"], asked["how"] = edits, how
        return painter

    monkeypatch.setattr(video, "_find", find)
    monkeypatch.setattr(video, "_clearest", lambda source, span, wanted: (Photo(picture()), 1, False))
    monkeypatch.setattr(video, "VideoEditor", editor)
    monkeypatch.chdir(tmp_path)
    make_clip("a.mp4", 10)
    small_edit().save_edit("red.flowedit")
    asked["painter"] = painter
    return asked


def test_the_command_says_what_it_did(painted, capsys, tmp_path):
    command = ["video", "a.mp4", "red", "--from", "0.1", "--to", "0.3", "--fade", "0", "--strength", "0.5"]
    assert main([*command, "--save-edit", "kept.flowedit"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("a.mp4 -> a_edited.mp4: strength 0.50 (as asked), 5 of 10 frames edited, ")
    assert said.out.endswith(" frames/s\n")
    assert painted["wishes"] == [("red", 1, False)] and painted["edits"].strength == 0.5
    assert painted["how"]["whose"] == "own" and flowedit.load("kept.flowedit").prompts == {"red": 1.0}
    assert [call[0] for call in painted["painter"].calls] == pytest.approx([0.12, 0.16, 0.2, 0.24, 0.28])
    assert main(["video", "a.mp4", "--edit", "red.flowedit", "-o", "b.gif", "--face", "all", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "") and painted["how"]["whose"] == "all"
    assert painted["how"]["identity"] == pytest.approx(0.8 * flowedit.Config().identity)  # room for other frames
    assert main(["video", "a.mp4", "red", "--also", "big eyes=0.5", "--fast", "--face", "2"]) == 0
    assert painted["wishes"][-1] == ({"red": 1.0, "big eyes": 0.5}, 2, True)
    assert main(["video", "a.mp4", "red", "--per-frame", "--codec", "ffv1", "-o", "c.mkv"]) == 0
    assert painted["how"]["per_frame"] and painted["wishes"][-1][2]
    with Clip("c.mkv") as clip:
        assert clip.facts.codec == "ffv1"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".flowedit"] * 2 + [".gif", ".mkv"] + [".mp4"] * 2


@pytest.mark.parametrize(
    "words, status, line",
    [
        (["a.mp4"], 2, "video must be given a PROMPT or --edit; got neither"),
        (["a.mp4", "red", "--edit", "red.flowedit"], 2, "video must be given a PROMPT or --edit; got both"),
        (["a.mp4", "--edit", "red.flowedit", "--fast"], 2, "--edit must go without --also and --fast"),
        (["a.mp4", "red", "--predictor", "x"], 2, "--predictor must go with --fast or --per-frame; got neither"),
        (["a.mp4", "red", "-o", "a.mp4"], 2, "--out must not replace a file that is read; got a.mp4"),
        (["a.mp4", "--edit", "red.flowedit", "--save-edit", "red.flowedit"], 2, "--save-edit must not replace a file"),
        (["a.mp4", "red", "-o", "b.avi"], 2, "--out must end in one of .gif, .webp, .apng, .mp4"),
        (["a.mp4", "red", "-o", "no/b.mp4"], 1, "--out: cannot write no/b.mp4: folder"),
        (["a.mp4", "red", "--save-edit", "b.txt"], 2, "--save-edit must end in .flowedit; got b.txt"),
        (["a.mp4", "red", "--from", "3", "--to", "2"], 1, "end must be after start, 3 s; got 2 s"),
        (["a.mp4", "red", "--crf", "70"], 2, "crf must be at most 63; got 70"),
        (["none.mp4", "red"], 1, "cannot read none.mp4: no such file"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(painted, capsys, tmp_path, words, status, line):
    before = sorted(tmp_path.iterdir())
    assert main(["video", *words]) == status
    said = capsys.readouterr()
    assert line in said.err and said.err.count("\n") == 1 and said.out == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_list_has_an_edit_for_each_person(painted):
    flowedit.edit_video("a.mp4", ["red", "blue"], "b.mp4")
    assert painted["wishes"] == [("red", 0, False), ("blue", 1, False)]
    assert len(painted["edits"].transforms) == 2 and painted["how"]["whose"] == "own"
    for how in ({"face": 1}, {"per_frame": True}):
        with pytest.raises(ValueError, match=f"{next(iter(how))} must go with one edit"):
            flowedit.edit_video("a.mp4", ["red", "blue"], "b.mp4", **how)
    with pytest.raises(ValueError, match="edit must be at least one prompt or edit; got none"):
        flowedit.edit_video("a.mp4", [])


def test_ctrl_c_says_how_far_it_came(painted, capsys, monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    patches = painted["painter"].patches

    def interrupt(*arguments):
        if len(painted["painter"].calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return patches(*arguments)

    monkeypatch.setattr(painted["painter"], "patches", interrupt)
    try:
        assert main(["video", "a.mp4", "red", "-o", "b.mp4"]) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    said = capsys.readouterr()
    assert said.err == "flowedit: interrupted: b.mp4 has the first 0.2 s\n"
    with Clip("b.mp4") as clip:
        assert len(list(clip.packets())) == 5


def test_a_clip_without_a_face_is_said_in_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip("a.mp4", 5)
    assert main(["video", "a.mp4", "red", "--fast"]) == 1
    assert capsys.readouterr().err == (
        "flowedit: a.mp4 must show a face while the edit is on; got none in the frames looked at\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_an_edit_that_was_interrupted_makes_no_clip(tmp_path, monkeypatch, filmed):
    monkeypatch.setattr("flowedit.fit.loop.optimize", lambda *a, **k: replace(small_edit(), stopped="interrupted"))
    with pytest.raises(KeyboardInterrupt):
        flowedit.edit_video(filmed, "red", tmp_path / "b.mp4")
    assert not list(tmp_path.iterdir())
