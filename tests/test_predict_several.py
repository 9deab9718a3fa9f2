"""Predictions of many photos in one batch: as one by one, bounded, each error and each file its own."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from stand_in import TinyEncoder, picture
from test_predict import FREE, NETWORK, PORTRAIT, folder, parameters, predict

import flowedit
from flowedit.app.cli import main
from flowedit.predict import fields, several
from flowedit.predict.one_pass import predict_again

__all__ = ["folder"]  # a fixture

FLIPPED = np.ascontiguousarray(PORTRAIT[:, ::-1])
DARK = PORTRAIT // 2
HOW = {"config": FREE, "encoder": TinyEncoder(), "predictor": NETWORK}


def test_photos_in_a_batch_are_edited_as_each_alone():
    edits = list(flowedit.predict_all([PORTRAIT, picture(), FLIPPED], "red", **HOW))
    assert isinstance(edits[1], ValueError) and str(edits[1]).startswith("no face found in the 48 x 40 photo")
    assert [edits[k].facts["batch"] for k in (0, 2)] == [[0, 2], [1, 2]]
    for edit, photo in ((edits[0], PORTRAIT), (edits[2], FLIPPED)):
        alone = predict(photo=photo)
        torch.testing.assert_close(parameters(edit), parameters(alone), rtol=1e-4, atol=1e-7)
        assert edit.stopped == "predicted" and dict(edit.prompts) == {"red": 1.0}
        assert np.array_equal(edit.edited.original.pixels, photo)


def test_the_bits_are_those_of_the_place_in_the_batch_whatever_else_is_in_it():
    first, second, third = flowedit.predict_all([PORTRAIT, FLIPPED, DARK], "red", **HOW)
    for edit, photo in ((first, PORTRAIT), (second, FLIPPED), (third, DARK)):
        again = predict_again(photo, "red", edit.facts, **HOW)
        assert torch.equal(parameters(again), parameters(edit)) and again.facts["batch"] == edit.facts["batch"]


def test_photos_are_read_and_held_a_few_at_a_time(monkeypatch):
    read = []

    def photos():
        for number in range(5):
            read.append(number)
            yield picture() if number == 1 else PORTRAIT

    def batches():
        read.clear()
        found = [(each, len(read)) for each in flowedit.predict_all(photos(), "red", **HOW)]
        return [None if isinstance(each, ValueError) else (each.facts["batch"], count) for each, count in found]

    monkeypatch.setattr(several, "MOST_PHOTOS", 3)
    assert batches() == [([0, 2], 3), None, ([1, 2], 3), ([0, 2], 5), ([1, 2], 5)]
    monkeypatch.setattr(several, "MOST_PIXELS", 280 * 280 + 1)  # ends with the photo that goes beyond it
    assert batches() == [([0, 2], 3), None, ([1, 2], 3), ([0, 2], 5), ([1, 2], 5)]
    monkeypatch.setattr(several, "MOST_PIXELS", 280 * 280)
    assert batches() == [([0, 1], 1), None, ([0, 1], 3), ([0, 1], 4), ([0, 1], 5)]


def test_faces_of_one_photo_stay_together(monkeypatch):
    pair = np.concatenate([PORTRAIT, FLIPPED], 1)
    everyone = {**HOW, "config": replace(FREE, face="all")}
    edits = list(flowedit.predict_all([PORTRAIT, pair, FLIPPED], "red", **everyone))
    assert [edit.facts["batch"] for edit in edits] == [[0, 4], [1, 4], [3, 4]]
    assert [len(edit.transforms) for edit in edits] == [1, 2, 1]
    again = predict_again(pair, "red", edits[1].facts, **everyone)
    assert torch.equal(parameters(again), parameters(edits[1]))
    monkeypatch.setattr(fields, "MOST_ROWS", 2)
    edits = list(flowedit.predict_all([PORTRAIT, pair, FLIPPED], "red", **everyone))
    assert [edit.facts["batch"] for edit in edits] == [[0, 1], [0, 2], [0, 1]]


def test_what_holds_for_all_is_refused_at_the_call(tmp_path):
    def unread():
        raise AssertionError("no photo is read")
        yield

    for options, words in (
        ({"prompt": ""}, "prompt"),
        ({"config": 3}, "config must be"),
        ({"predictor": str(tmp_path / "gone")}, "predictor must be"),
        ({"images": "face.png"}, "images must be several, such as a list; got 'face.png'"),
    ):
        with pytest.raises((TypeError, ValueError), match=words):
            flowedit.predict_all(**{"images": unread(), "prompt": "red", **HOW, **options})


def test_an_error_of_the_network_is_each_photos_own(monkeypatch):
    def fail(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(fields, "run_network", fail)
    errors = list(flowedit.predict_all([PORTRAIT, picture(), PORTRAIT], "red", **HOW))
    assert [str(error)[:13] for error in errors] == ["out of memory", "no face found", "out of memory"]


@pytest.fixture
def album(folder):
    """A folder of three faces and one picture without any."""
    Path("in").mkdir()
    for name, pixels in (("a", PORTRAIT), ("b", picture()), ("c", FLIPPED), ("d", DARK)):
        Image.fromarray(pixels).save(f"in/{name}.png")
    return ["edit", "in", "red", "--fast", "--identity", "None", "--stretch", "None", "--predictor", "net", "-o", "out"]


def test_a_folder_is_predicted_in_a_batch_and_each_edit_made_again(album, capsys):
    assert main([*album, "--save-edit", "edits"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("flowedit: in/b.png: no face found") and len(said.err.splitlines()) == 1
    assert said.out.count(": strength 1.00") == 3 and said.out.endswith("3 of 4 photos edited, 1 failed\n")
    for row, name in enumerate("acd"):
        edit = flowedit.load(f"edits/{name}.flowedit")
        assert edit.facts["batch"] == [row, 3]
        words = ["remake", f"edits/{name}.flowedit", f"in/{name}.png", "--predictor", "net", "-o", "again.png"]
        assert main(words) == 0 and capsys.readouterr().err == ""
        assert Path("again.png").exists()
        pictures = [np.asarray(Image.open(path)) for path in ("again.png", f"out/{name}_edited.png")]
        assert np.array_equal(*pictures)


def test_an_interrupt_in_a_batch_finishes_the_save_in_hand_alone(album, monkeypatch, capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    save = flowedit.Edit.save

    def stop(self, *arguments, **options):
        signal.raise_signal(signal.SIGINT)
        return save(self, *arguments, **options)

    monkeypatch.setattr(flowedit.Edit, "save", stop)
    try:
        assert main(album) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    said = capsys.readouterr().err
    assert said == "flowedit: interrupted: out/a_edited.png is complete; 1 of 4 photos edited, 0 failed\n"
    assert [path.name for path in Path("out").iterdir()] == ["a_edited.png"]


def test_one_while_a_batch_is_prepared_writes_nothing(album, monkeypatch, capsys):
    class Stopping(TinyEncoder):
        def image(self, image):
            if self.calls == 1:
                raise KeyboardInterrupt
            return super().image(image)

    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: Stopping())
    assert main(album) == 1
    assert capsys.readouterr().err == "flowedit: interrupted; 0 of 4 photos edited, 0 failed\n"
    assert not list(Path("out").iterdir())
