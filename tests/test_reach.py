"""How much of what was asked an edit reached, in words and in warnings."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from skimage.data import astronaut
from stand_in import TinyEncoder, picture
from test_align import drawn_landmarks
from test_conventions import constant_field

import flowedit
from flowedit.face.crop import Crop
from flowedit.face.detect import choose
from flowedit.face.eyelids import make_lids
from flowedit.face.landmarks import INNER_LIPS
from flowedit.photo.photo import load
from flowedit.task.reach import measure_reach, warn_of_glasses, warn_of_little
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import FieldTransform

SIDE = 96


def edited(gain=0.3, plain=False, **field):
    """What a constant field over the middle of a striped picture reaches; half a crop between the eyes' corners."""
    points = torch.zeros(68, 2)
    points[36], points[45] = torch.tensor([-0.5, 0.0]), torch.tensor([0.5, 0.0])
    matrix = torch.tensor([[SIDE / 2, 0, 120.0], [0, SIDE / 2, 100.0]], dtype=torch.float64)
    stripes = (0 if plain else 4) * np.sign(np.sin(np.arange(240) / 2))
    photo = load(np.broadcast_to((128 + stripes)[None, :, None], (200, 240, 3)).astype(np.uint8))
    return measure_reach(EditedPhoto(photo, (FieldTransform(constant_field(**field), Crop(matrix, points)),)), gain)


def test_movement_is_in_shares_of_the_eyes_distance_and_color_in_levels():
    moved, tinted = edited(x=0.04, plain=True), edited(plain=True, tint=(0.1, 0.0, -0.05))
    assert moved.moved == pytest.approx(4.0, rel=0.05) and moved.levels < 0.1
    assert tinted.levels == pytest.approx(25.5, rel=0.05) and tinted.moved == 0
    assert "30 % of what is asked" in str(moved) and "4.0 % of the distance" in str(moved)


@pytest.mark.parametrize(
    ("reach", "message"),
    [
        (edited(x=0.004), "next to nothing is to be seen"),
        (edited(x=0.04, plain=True), "next to nothing is to be seen"),
        (edited(tint=(0.01, 0.01, 0.01)), "next to nothing is to be seen"),
        (edited(gain=0.02, x=0.04), "hardly what was asked: the guide sees 2 %"),
        (edited(gain=0.05, x=0.02), "hardly what was asked: the guide sees 5 %"),
        (edited(gain=-0.1, x=0.04), "hardly what was asked: the guide sees nothing"),
    ],
)
def test_what_is_not_seen_is_warned_of(reach, message):
    with pytest.warns(UserWarning, match=message):
        warn_of_little(reach, 1.0)
    with pytest.warns(UserWarning, match="protect and mask may keep still what was asked"):
        warn_of_little(reach, 1.0, ["protect", "mask"])


def test_what_words_say_is_done_though_the_guide_does_not_see_it():
    reach = replace(edited(gain=-0.1, tint=(0.1, 0.0, 0.0)), said=True)
    assert str(reach).startswith("what the words say is done; the guide sees nothing of what is asked")
    assert str(replace(reach, gain=0.3)).startswith("the guide sees 30 %")


def test_what_is_seen_and_what_a_bound_allows_nothing_of_are_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_little(edited(x=0.04), 1.0)
        warn_of_little(edited(tint=(0.1, 0.0, 0.0)), 1.0)
        warn_of_little(edited(gain=0.05, x=0.04), 1.0)
        warn_of_little(edited(gain=0.05, tint=(0.03, 0.0, 0.0)), 1.0)
        warn_of_little(edited(gain=0.0), 0.0)


def test_an_edit_says_what_it_reached_until_it_is_scaled():
    config = flowedit.Config(align=False, steps=4, identity=None)
    edit = flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder(), progress=False)
    assert edit.explain()["reached"] == edit.facts.reached and edit.facts.reached.startswith("the guide sees")
    assert (0.5 * edit).facts.reached is None


def test_a_warning_names_the_line_that_asked_for_the_edit():
    config = flowedit.Config(align=False, steps=2, identity=None)
    with pytest.warns(UserWarning) as caught:
        flowedit.optimize(picture(), "glasses", config=config, encoder=TinyEncoder(), progress=False)
    assert {each.filename for each in caught} == {__file__}


def test_an_edit_that_shows_nothing_warns(monkeypatch):
    monkeypatch.setattr("flowedit.task.finish.warn_of_little", warn_of_little)  # tests/conftest.py silences it
    config = flowedit.Config(align=False, steps=1, identity=None)
    with pytest.warns(UserWarning, match="next to nothing is to be seen"):
        edit = flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder(), progress=False)
    assert "next to nothing" in edit.messages[0]


def without_teeth(portrait):
    """The same mouth, its opening in the color of lips."""
    crop = choose(load(portrait), "largest")[0]
    opening = crop.to_photo(crop.landmarks[INNER_LIPS].double())
    changed = Image.fromarray(portrait)
    ImageDraw.Draw(changed).polygon([tuple(point) for point in opening.tolist()], fill=(150, 80, 75), width=3)
    return np.asarray(changed)


class Optician:
    """Sees glasses, or none."""

    languages = ("English",)

    def __init__(self, worn: bool) -> None:
        self.worn = worn

    def text(self, prompts):
        return torch.eye(3)[[1 if "sunglasses" in text else 2 if "glasses" in text else 0 for text in prompts]]

    def image(self, image):
        return torch.eye(3)[[2 if self.worn else 0]]


@pytest.mark.parametrize(
    ("worn", "shift", "lids", "message"),
    [
        (True, 0.05, False, "they bend with what lies behind them"),
        (True, 0.0, True, "they may hide, and cut through, the eyes that move behind them"),
        (True, 0.005, False, None),
        (False, 0.05, True, None),
    ],
)
def test_glasses_are_told_where_what_lies_behind_them_moves(worn, shift, lids, message, recwarn):
    photo = load(torch.full((3, 200, 200), 0.5))
    crop = Crop(torch.tensor([[100.0, 0.0, 100.0], [0.0, 100.0, 100.0]], dtype=torch.float64), drawn_landmarks())
    fields = [constant_field(x=shift * crop.outer_canthal_distance)]
    fields += [make_lids(crop.landmarks, torch.tensor([1.0, 1.0, 0.0]))] * lids
    edited = EditedPhoto(photo, tuple(FieldTransform(field, crop) for field in fields))
    warn_of_glasses(edited, Optician(worn), edited.unedited(crop, 64))
    told = [str(each.message) for each in recwarn]
    assert told == ([] if message is None else [f"glasses are to be seen: {message}"])
    unknown = Optician(worn)
    unknown.languages = None
    warn_of_glasses(edited, unknown, edited.unedited(crop, 64))
    assert len(recwarn) == len(told)


@pytest.mark.parametrize(("prompt", "told"), [("a sad face", True), ("not smiling", True), ("big eyes", False)])
def test_the_end_of_a_smile_that_shows_teeth_is_told_to_be_out_of_reach(prompt, told):
    portrait = np.ascontiguousarray(astronaut()[:280, 80:360])
    assert any("shows teeth" in line for line in flowedit.predict(portrait, prompt).messages) == told
    assert not any("shows teeth" in line for line in flowedit.predict(without_teeth(portrait), prompt).messages)
