"""A face from words alone: whose average, which edit, and how faces differ."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from stand_in import TinyEncoder
from torch.nn.functional import normalize

import flowedit
from flowedit.app.cli import main
from flowedit.app.imagine import WHAT
from flowedit.config import Config
from flowedit.face.detect import find_faces
from flowedit.face.landmarks import INNER_LOWER, INNER_UPPER
from flowedit.field.warp import count_folds
from flowedit.fit import imagine as home
from flowedit.fit.averages import (
    CARD,
    FOLDER,
    AverageFace,
    average_names,
    bend,
    bending,
    draw_face,
    join,
    load_average,
    part_lips,
    shape_shift,
)
from flowedit.fit.person import BANDS, Person, guess_person, read_person
from flowedit.guide.clauses import split_clauses
from flowedit.photo.photo import load

QUICK = Config(steps=2)


@pytest.mark.parametrize(
    ("text", "band", "sex", "rest"),
    [
        ("a smiling old man with green eyes", "old", "man", "a smiling face with green eyes"),
        ("the face of an elderly lady who is sad", "old", "woman", "the face of a person who is sad"),
        ("a 70-year-old man, angry", "old", "man", "a face, angry"),
        ("a woman in her forties with red lips", "middle-aged", "woman", "a face with red lips"),
        ("a middle-aged man with a wide jaw", "middle-aged", "man", "a face with a wide jaw"),
        ("a sad young girl", "child", "woman", "a sad girl"),  # the average child is of neither sex
        ("a happy child", "child", None, "a happy face"),
        ("a grandmother laughing", "old", "woman", "a face laughing"),
        ("an unhappy woman", None, "woman", "an unhappy face"),
        ("she has thin lips", None, "woman", "she has thin lips"),
        ("an old woman", "old", "woman", "an old woman"),  # nothing else is asked for
        ("a man, no longer young, with a big nose", None, "man", "a face, no longer young, with a big nose"),
        ("a man bun", None, None, "a man bun"),
        ("an old-fashioned hat", None, None, "an old-fashioned hat"),
        ("a baby face with blue eyes", None, None, "a baby face with blue eyes"),
    ],
)
def test_words_choose_the_average_and_leave_the_edit(text, band, sex, rest):
    assert read_person(text) == Person(band, sex, rest)


def test_what_no_word_tells_leaves_a_choice_of_averages_that_are_there():
    assert Person(None, "man", "").averages() == ["young man", "middle-aged man"]
    assert Person("old", None, "").averages() == ["old woman", "old man"]
    every = {name for band in (*BANDS, None) for name in Person(band, None, "").averages()}
    assert every == set(average_names())


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("a smiling face with gray hair and green eyes", ["a smiling face", "gray hair", "green eyes"]),
        ("a face with red lipstick, rosy cheeks, and a slim jaw", ["red lipstick", "rosy cheeks", "a slim jaw"]),
        ("thick lips and brows", ["thick lips and brows"]),
        ("a sad and tired face", ["a sad and tired face"]),
        ("a smile, freckles and big eyes", ["a smile", "freckles", "big eyes"]),
        ("a face", ["a face"]),
        ("una cara con pelo rubio y ojos verdes", ["pelo rubio", "ojos verdes"]),
        ("schwarze Haare und ein breites Lächeln", ["schwarze Haare", "ein breites Lächeln"]),
        ("金色的头发，绿色的眼睛", ["金色的头发", "绿色的眼睛"]),
        ("a con man with big eyes", ["a con man", "big eyes"]),
    ],
)
def test_each_attribute_is_a_prompt_and_none_is_cut(text, clauses):
    assert split_clauses(text) == clauses


def test_the_guide_tells_what_no_word_does_where_it_is_sure():
    class Reads(TinyEncoder):
        """Sees sex on the first axis, age on the second."""

        at: ClassVar = {
            "a woman": (1.0, 0.0),
            "a man": (-1.0, 0.0),
            "an old person": (0.0, 1.0),
            "a young person": (0.0, -1.0),
        }

        def text(self, prompts):
            at = {**self.at, "una anciana": (0.8, 0.9), "ein Mann": (-0.9, 0.1)}
            return normalize(torch.tensor([[*at.get(each, (0.0, 0.0)), 1.0] for each in prompts]), dim=-1)

    nobody = Person(None, None, "")
    assert guess_person(Reads(), "ein Mann", nobody).averages() == ["young man", "middle-aged man"]
    assert guess_person(Reads(), "una anciana", nobody).sex == "woman"
    assert guess_person(Reads(), "green eyes", nobody) == nobody
    told = replace(nobody, band="old", sex="woman")
    assert guess_person(Reads(), "ein Mann", told) == told  # words count more


@pytest.mark.parametrize("name", average_names())
def test_each_average_is_shipped_whole_with_its_sources_and_holds_a_face(name):
    average = load_average(name)
    assert average.pictures.shape == (3, 3, 512, 512) and average.components.shape == (6, 68, 2)
    card = json.loads((FOLDER / CARD).read_text())
    assert set(card["averages"][name]["of"]) <= set(card["sources"]) and min(card["averages"][name]["in_each"]) >= 5
    face = load(draw_face(average, 1, torch.Generator().manual_seed(0)))
    assert len(find_faces(face)) == 1


def test_the_averages_take_little_room():
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.suffix == ".webp") <= 300_000


def drawn(number, seed):
    """A face of lopsided averages, whose middle is red, green or blue and whose surroundings are gray."""
    face, (height, width) = torch.full((3, 3, 48, 48), 0.4), torch.meshgrid(*[torch.arange(48)] * 2, indexing="ij")
    inside = ((height - 24) ** 2 + (width - 24) ** 2) < 400
    for k in range(3):
        face[k, k] += 0.3 * inside
        face[k, :, :4] = k / 4
        face[k, :, 4:, :4] = 0.9
    landmarks = load_average("child").landmarks
    generator = torch.Generator().manual_seed(seed)
    return draw_face(AverageFace(face, landmarks, torch.zeros(1, 68, 2, dtype=torch.float64)), number, generator)


def test_a_drawn_face_has_the_surroundings_of_one_average_and_a_share_of_all():
    for number in range(5):
        picture = drawn(number, 0)
        assert picture[0, 24].tolist() == pytest.approx([63.75 * (number % 3)] * 3, abs=1)
        assert (picture[24, 1] > picture[24, -2]).all() == (number < 3)  # then they are mirrored
        assert picture[24, 24].argmax() == number % 3  # its own share is the largest
        assert (picture[24, 24] > 102).sum() > 1
    assert np.array_equal(drawn(1, 0), drawn(1, 0)) and not np.array_equal(drawn(1, 0)[24], drawn(1, 5)[24])


def test_joining_a_picture_with_itself_leaves_it_and_bending_moves_what_lies_at_the_landmarks():
    picture, landmarks = torch.rand(1, 3, 32, 32), load_average("old man").landmarks
    assert torch.allclose(join(picture, picture, landmarks), picture, atol=1e-6)
    ramp = torch.linspace(-1, 1, 65).expand(1, 3, 65, 65)
    moved = bend(ramp, landmarks, landmarks + torch.tensor([0.1, 0.0], dtype=torch.float64))
    nose = (landmarks[30] + torch.tensor([0.1, 0.0])) * 32.5 + 32
    x, y = nose.round().long().tolist()
    assert float(moved[0, 0, y, x] - ramp[0, 0, y, x]) == pytest.approx(-0.1, abs=0.01)
    assert torch.allclose(moved[..., 0], ramp[..., 0], atol=0.01)  # the border stays


@pytest.mark.parametrize("name", ["middle-aged woman", "old man"])
def test_no_shape_folds_a_drawn_face_and_lips_stay_as_far_apart_as_they_can(name):
    _, landmarks, components = load_average(name)
    generator = torch.Generator().manual_seed(0)
    for _ in range(6):
        along = 1.5 * torch.randn(len(components), generator=generator, dtype=torch.float64).sign()
        assert count_folds(shape_shift(landmarks, components, along, 128)) == 0
        shape = part_lips(landmarks, landmarks + torch.einsum("m,mij->ij", along, components))
        parted, before = (each[list(INNER_LOWER), 1] - each[list(INNER_UPPER), 1] for each in (shape, landmarks))
        assert (parted >= 0.499 * before).all() and (parted <= 1.601 * before).all()
    plain = bending(landmarks, landmarks + torch.einsum("m,mij->ij", along, components), 128)
    assert count_folds(plain) > 0


def test_faces_are_ordinary_edits_of_averages_that_differ_and_come_again():
    encoder = TinyEncoder()
    asked = "a red old man with blue lips"
    edits = flowedit.imagine(asked, 2, seed=3, config=QUICK, encoder=encoder, progress=False)
    photos = [edit.photo.pixels for edit in edits]
    assert not np.array_equal(*photos) and photos[0].shape == (512, 512, 3)
    for k, edit in enumerate(edits):
        assert dict(edit.prompts) == {"a red face": 1.0, "blue lips": 1.0}
        origin = {"description": {asked: 1.0}, "average": "old man", "number": k, "seed": 3}
        assert edit.facts.imagined == origin and edit.provenance()["imagined"] == origin
        assert edit.config.identity is None and edit.config.seed == 3 + k
        assert np.array_equal(np.asarray(edit.to_pil(0.0)), photos[k]) and edit.explain()["faces"]
    (again,) = flowedit.imagine(asked, 1, seed=3, config=QUICK, encoder=encoder, progress=False)
    assert np.array_equal(again.photo.pixels, photos[0]) and torch.equal(again.render(), edits[0].render())
    (other,) = flowedit.imagine(asked, 1, seed=4, config=QUICK, encoder=encoder, progress=False)
    assert not np.array_equal(other.photo.pixels, photos[0])


def test_ctrl_c_keeps_the_faces_so_far(monkeypatch):
    calls = []

    def optimize(*args, **kwargs):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return flowedit.optimize(*args, **kwargs)

    monkeypatch.setattr(home, "optimize", optimize)
    edits = flowedit.imagine("red", 3, config=QUICK, encoder=TinyEncoder(), progress=False)
    assert len(edits) == 1 and edits[0].stopped == "interrupted"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"n": 0}, "n must be a whole number from 1 to 16; got 0"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"config": Config(face="all")}, "must go without face='all'"),
        ({"prompt": ""}, "prompt"),
    ],
)
def test_bad_input_is_refused_before_any_work(how, words):
    encoder = TinyEncoder()
    with pytest.raises(ValueError, match=words):
        flowedit.imagine(**{"prompt": "red", "encoder": encoder, **how})
    assert encoder.calls == 0


def test_the_command_writes_faces_averages_edits_and_a_sheet_and_says_what_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(home, "resolve_encoder", lambda *_: TinyEncoder())
    words = "imagine red --n 2 --steps 2 --seed 1 -o f.png --averages a.png --save-edits e.flowedit --sheet s.png"
    assert main(words.split()) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"f.png", "f_2.png", "a.png", "a_2.png", "e.flowedit", "e_2.flowedit", "s.png"}
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 and lines[-1] == WHAT
    edit = flowedit.load("e_2.flowedit").apply("a_2.png")  # on its average it is what it was
    edit.save("again.png")
    assert np.array_equal(load("again.png").pixels, load("f_2.png").pixels)


def test_the_command_refuses_files_that_meet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["imagine", "red", "-o", "f.png", "--sheet", "f_2.png"]) == 2
    assert "f_2.png" in capsys.readouterr().err and not list(tmp_path.iterdir())
