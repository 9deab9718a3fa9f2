"""benchmarks.unseen: what is asked, which pictures are taken, and how two ways are compared."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from stand_in import TinyEncoder, picture
from test_predict import stand_in

from benchmarks import unseen
from benchmarks.unseen import ATTRIBUTES, compare, find_pictures, find_words, main, turn_of
from examples.faceclip.sources import held_out
from flowedit.predict.weights import save_predictor

PORTRAIT = np.ascontiguousarray(skimage.data.astronaut()[:280, 80:360])


def test_wordings_are_spread_over_their_lists_and_attributes_do_not_contradict():
    asked = find_words(10)
    kinds = [kind for kind, _ in asked]
    assert [kinds.count(kind) for kind in ("unheard", "far", "two", "three")] == [10, 10, 10, 10]
    assert len({prompt for kind, prompt in asked if kind in ("unheard", "far")}) == 20 and find_words(10) == asked
    for kind, prompt in asked[20:]:
        used = [sum(attribute in prompt for attribute in kinds) for kinds in ATTRIBUTES]
        assert max(used) == 1 and sum(used) == {"two": 2, "three": 3}[kind]


def look(gain, identity):
    return {"gain": gain, "identity": identity, "folds": 0.0, "strength": 1.0, "seconds": 2.0}


def test_gains_are_compared_by_the_ratio_of_their_means():
    records = [
        {"kind": "a", "predicted": look(0.1, 0.2), "searched": look(0.4, 0.3)},
        {"kind": "a", "predicted": look(0.3, None), "searched": look(0.1, 0.5)},
        {"kind": "b", "predicted": look(0.2, 0.1), "searched": look(-0.1, 0.1)},
    ]
    first, second, everything = compare(records, "kind")
    assert (first["n"], everything["n"], first["ratio"]) == (2, 3, pytest.approx(0.4 / 0.5))
    assert math.isnan(second["ratio"]) and everything["ratio"] == pytest.approx(0.6 / 0.4)
    assert first["kept"] == first["kept'"] == "50%" and second["kept"] == "100%"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A set of JPEGs in which the first and the last are of one held-out person, a folder, and a network."""
    monkeypatch.chdir(tmp_path)
    people = [name for name in map(str, range(100)) if held_out(name, 10)][:2]
    learned = next(name for name in map(str, range(100)) if not held_out(name, 10))
    encoded = []
    for pixels in (PORTRAIT, picture(), PORTRAIT, picture()):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG")
        encoded.append(np.frombuffer(buffer.getvalue(), np.uint8))
    offset = np.cumsum([0, *map(len, encoded)])
    np.savez("set.npz", jpeg=np.concatenate(encoded), offset=offset, person=[people[0], people[1], learned, people[0]])
    (tmp_path / "in").mkdir()
    Image.fromarray(PORTRAIT).save("in/a.png")
    save_predictor(stand_in(), "net", guide="tiny", guide_sha256=None)
    (tmp_path / "quick.toml").write_text("steps = 1\nviews = 1\n")
    return tmp_path


def test_pictures_are_of_held_out_people_each_once_in_less_and_less_light(folder):
    found = find_pictures([folder / "set.npz", folder / "in"], 5, (1.0, 0.5))
    assert [(each.name, each.light) for each in found] == [("set 0", 1.0), ("set 1", 0.5), ("a", 1.0)]
    assert found[1].pixels.mean() == pytest.approx(picture().mean() / 2, rel=0.02)
    assert np.array_equal(found[2].pixels, PORTRAIT)
    assert len(find_pictures([folder / "set.npz"], 1, (1.0,))) == 1


def test_pictures_are_of_heads_turned_so_far_and_of_some_ages(folder):
    data = dict(np.load("set.npz"))
    landmarks = np.zeros((4, 68, 2), np.float16)
    landmarks[:, 16, 0] = 100
    landmarks[:, 27, 0] = 50, 25, 25, 50  # straight, and turned by 30 degrees
    np.savez("set.npz", **data, landmarks=landmarks, age=["3-9", "70+", "3-9", "3-9"])

    def names(**chosen):
        return [each.name for each in find_pictures([folder / "set.npz"], 5, (1.0,), **chosen)]

    assert names(turned=(20, 40)) == ["set 1"] and names(turned=(0, 20)) == ["set 0"]
    assert names(ages=["3-9"]) == ["set 0"] and names(ages=["3-9", "70+"]) == ["set 0", "set 1"]


def test_a_turned_head_is_told_by_the_noses_root():
    points = torch.zeros(68, 2)
    points[0, 0], points[16, 0] = -0.5, 0.5
    assert turn_of(points) == 0
    points[27, 0] = -0.25
    assert turn_of(points) == pytest.approx(30)


def test_faces_are_edited_both_ways_and_drawn(folder, capsys):
    words = ["faces", "set.npz", "--prompts", "red", "--predictor", "net", "--config", "quick.toml"]
    main([*words, "--sheet", "out/sheet.png", "--json", "out/all.json"], TinyEncoder())
    said = capsys.readouterr()
    assert "1 pictures, and 1 without a face that is found" in said.out and "set 0, 100%, turned by" in said.err
    assert Image.open("out/sheet.png").width == 3 * unseen.CELL_PX


@pytest.mark.parametrize(
    "words", [["--light", "0"], ["--limit", "0"], ["--predictor", "gone"], ["--ages", "3-9"], ["--turned", "9", "30"]]
)
def test_what_cannot_be_is_refused(words, folder, capsys):
    with pytest.raises(SystemExit):
        main(["faces", "set.npz", *words])
    assert " must be " in capsys.readouterr().err
