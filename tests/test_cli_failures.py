"""Everything that can go wrong, through the real command line: one line, exit code 1 or 2, nothing half-written."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.app.cli import main

QUICK = ["--no-align", "--steps", "4", "--raster.coord-size", "4", "--raster.color-size", "4"]


class Interrupted(TinyEncoder):
    """Ctrl-C in the middle of one call of `image`."""

    def __init__(self, at):
        super().__init__()
        self.at = at

    def image(self, image):
        if self.calls + 1 == self.at:
            self.calls += 1
            raise KeyboardInterrupt
        return super().image(image)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty working folder with one photo that has no face, and a quick encoder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder())
    Image.fromarray(picture()).save("photo.png")
    return tmp_path


def failure(capsys, *words, codes=(1, 2)):
    """Run a command that must fail cleanly; return its one line."""
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    code = main(list(words))
    said = capsys.readouterr()
    assert code in codes and said.out == ""
    assert said.err.startswith("flowedit: ") and len(said.err.splitlines()) == 1 and "Traceback" not in said.err
    assert "--debug" not in said.err  # which is said of bugs only
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    return said.err


def test_the_photo_of_these_tests_can_be_edited(capsys):
    assert main(["edit", "photo.png", "red", "-o", "out.png", *QUICK]) == 0
    assert capsys.readouterr().err == ""
    assert not np.array_equal(np.asarray(Image.open("out.png")), picture())


def test_a_missing_file(capsys):
    assert "gone.png: no such file" in failure(capsys, "edit", "gone.png", "red", *QUICK)


def test_an_empty_file(capsys):
    Path("bad.png").touch()
    assert "bad.png as an image: the file is empty" in failure(capsys, "edit", "bad.png", "red", *QUICK)


def test_a_truncated_file(capsys):
    data = Path("photo.png").read_bytes()
    Path("bad.png").write_bytes(data[: len(data) // 2])
    said = failure(capsys, "edit", "bad.png", "red", *QUICK)
    assert "bad.png as an image" in said and "truncated" in said


def test_a_file_that_is_no_image(capsys):
    Path("bad.png").write_text("once upon a time")
    assert "bad.png as an image" in failure(capsys, "edit", "bad.png", "red", *QUICK)


@pytest.mark.parametrize("size", [(1, 1), (20000, 20)], ids=str)
def test_no_face_names_the_way_out_which_works(capsys, size):
    Image.new("RGB", size, (90, 120, 60)).save("odd.png")
    if size == (1, 1):
        said = failure(capsys, "edit", "odd.png", "red")
        assert "no face found" in said and "--no-align" in said
    assert main(["edit", "odd.png", "red", "-o", "out.png", *QUICK]) == 0
    assert Image.open("out.png").size == size and capsys.readouterr().err == ""


@pytest.mark.parametrize("prompt", ["", "  ", "?!"])
def test_an_empty_prompt(capsys, prompt):
    assert "at least one word" in failure(capsys, "edit", "photo.png", prompt, *QUICK)


@pytest.mark.parametrize("name", ["facecilp", "ViT-B-33:openai", "ViT-B-32:nothing"])
def test_an_unknown_encoder(capsys, monkeypatch, name):
    from flowedit.guide.encoder import load_encoder

    monkeypatch.setattr("flowedit.task.prepare.load_encoder", load_encoder)
    assert " must be " in failure(capsys, "edit", "photo.png", "red", "--encoder", name, *QUICK)


@pytest.mark.parametrize("command", [["explain", "e.flowedit"], ["apply", "e.flowedit", "photo.png"]], ids=" ".join)
def test_an_edit_file_missing_damaged_or_tampered_with(capsys, command):
    assert "cannot read e.flowedit: no such file" in failure(capsys, *command)
    assert main(["edit", "photo.png", "red", "-o", "out.png", "--save-edit", "e.flowedit", "--quiet", *QUICK]) == 0
    whole = Path("e.flowedit").read_bytes()
    for damaged in (b"", b"no edit", whole[:-9], whole[:-1] + bytes([whole[-1] ^ 1])):
        Path("e.flowedit").write_bytes(damaged)
        assert "e.flowedit must be" in failure(capsys, *command)


def test_a_target_in_no_folder(capsys):
    assert "gone" in failure(capsys, "edit", "photo.png", "red", "-o", "gone/out.png", *QUICK)


def test_a_target_that_is_a_folder(capsys):
    Path("results/photo_edited.png").mkdir(parents=True)
    assert "is a folder" in failure(capsys, "edit", "photo.png", "red", "-o", "results", *QUICK)


def test_a_full_disk_leaves_nothing_behind(capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Path("old.png").write_bytes(b"what was here")
    monkeypatch.setattr(os, "fsync", full)
    for target in ("new.png", "old.png"):
        said = failure(capsys, "edit", "photo.png", "red", "-o", target, *QUICK)
        assert f"cannot write {target}" in said and os.strerror(errno.ENOSPC) in said


def test_ctrl_c_in_the_loop_keeps_the_best_so_far_and_says_so(capsys, monkeypatch):
    judge = Interrupted(at=12)  # one call for the targets, ten steps, and then
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: judge)
    assert main(["edit", "photo.png", "red", "-o", "out.png", *QUICK, "--steps", "30"]) == 1
    assert capsys.readouterr().err == "flowedit: interrupted: out.png has the best edit so far\n"
    assert sorted(os.listdir()) == ["out.png", "photo.png"]
    assert not np.array_equal(np.asarray(Image.open("out.png")), picture())


def test_ctrl_c_before_any_step_writes_nothing(capsys, monkeypatch):
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: Interrupted(at=1))
    assert failure(capsys, "edit", "photo.png", "red", "-o", "out.png", *QUICK, codes=(1,)) == (
        "flowedit: interrupted\n"
    )


@pytest.mark.parametrize(
    "bad",
    [
        torch.full((3, 8, 8), torch.nan),
        torch.full((3, 8, 8), torch.inf),
        torch.full((3, 8, 8), 1.5),
        torch.zeros(4, 3, 8, 8),
        torch.zeros(2, 8, 8),
        torch.zeros(8, 8, 3),
        torch.zeros(3, 0, 8),
        torch.zeros(3, 8),
        torch.zeros(3, 8, 8, dtype=torch.int64),
        np.full((8, 8, 3), np.nan, np.float32),
        np.zeros((8, 8, 5), np.uint8),
        np.zeros(8, np.uint8),
    ],
    ids=lambda bad: f"{type(bad).__name__}-{tuple(bad.shape)}-{bad.dtype}",
)
def test_a_bad_tensor_is_told_in_one_line(bad):
    with pytest.raises((ValueError, TypeError)) as told:
        flowedit.optimize(bad, "red", config=flowedit.Config(align=False, steps=1), encoder=TinyEncoder())
    assert "got" in str(told.value) and len(str(told.value).splitlines()) == 1
