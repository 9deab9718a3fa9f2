"""Gaze: a field that moves irises between the lids, said by a prompt's words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from test_align import drawn_landmarks

import flowedit
from flowedit.checks import FlowEditWarning
from flowedit.face.crop import Crop, extract, whole_crop
from flowedit.face.irises import find_irises, look_to, make_gaze
from flowedit.face.landmarks import EYES
from flowedit.field.eyes import half_width, lid_edges
from flowedit.field.gaze import FURTHEST, GazeField
from flowedit.field.lids import LidField
from flowedit.field.offsets import pixel_centers
from flowedit.guide.color_words import names_color
from flowedit.guide.encoder import load_encoder
from flowedit.guide.part_looks import GAZE, said_looks, says_all
from flowedit.guide.restate import restate
from flowedit.photo.photo import load
from flowedit.report.describe import describe_points
from flowedit.task import eyes
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import Composition, FieldTransform, leaves

PORTRAIT = astronaut()[:280, 80:360]
SIDE = 512
LANDMARKS = drawn_landmarks()
LEFT, RIGHT = (LANDMARKS[eye] for eye in EYES)
RADIUS = 0.09 * float((RIGHT - LEFT).mean(0).norm())


def drawn_eyes(aside: float = 0.0, radius: float = RADIUS) -> torch.Tensor:
    """Draw skin, whites and dark irises, which look aside by so many half eye widths: (3, SIDE, SIDE)."""
    picture = torch.full((SIDE, SIDE), 0.6)
    points = pixel_centers(SIDE)
    for outline in (LEFT, RIGHT):
        middle, half = (outline[0] + outline[3]) / 2, half_width(outline)
        upper, lower = lid_edges(outline)
        u, v = (points - middle).unbind(-1)
        opened = ((u / half).abs() < 1) & (v > upper(u / half)) & (v < lower(u / half))
        iris = torch.hypot(u - aside * half, v) < radius
        picture[opened] = 0.9
        picture[opened & iris] = 0.1
    return picture.expand(3, -1, -1).clone()


def rendered(picture: torch.Tensor, field: GazeField) -> torch.Tensor:
    photo = load(picture)
    return EditedPhoto(photo, [FieldTransform(field, Crop(whole_crop(photo).matrix, LANDMARKS))]).tensor()


def asides(picture: torch.Tensor) -> torch.Tensor:
    return find_irises(picture[None] if picture.ndim == 3 else picture, LANDMARKS).middles[:, 0]


def gazes_of(edit):
    return [leaf.field for leaf in leaves(edit.transforms) if isinstance(leaf.field, GazeField)]


@pytest.mark.parametrize("aside", [-0.3, 0.0, 0.2])
def test_irises_are_found_where_they_are_drawn(aside):
    irises = find_irises(drawn_eyes(aside)[None], LANDMARKS)
    torch.testing.assert_close(irises.middles, torch.tensor([[aside, 0.0]] * 2), atol=0.051, rtol=0)
    assert float(irises.radius) == pytest.approx(RADIUS, rel=0.1) and irises.contrast > 1


def test_no_irises_are_found_in_plain_skin_or_closed_eyes():
    look = torch.tensor([1.0, 0.0, 0.0])
    assert look_to(torch.full((1, 3, SIDE, SIDE), 0.5), LANDMARKS, look) is None
    assert look_to(drawn_eyes()[None], LANDMARKS, look) is not None
    closed = LANDMARKS.clone()
    for eye in EYES:
        closed[eye, 1] = closed[eye, 1].mean()
    assert look_to(drawn_eyes()[None], closed, look) is None
    assert make_gaze(drawn_eyes()[None], torch.zeros(68, 2), look).on_grid(16).coord.isfinite().all()


@pytest.mark.parametrize("way", [-0.25, 0.25])
def test_an_iris_goes_as_a_whole_and_leaves_white_behind(way):
    photo = drawn_eyes()
    field = make_gaze(photo[None], LANDMARKS, torch.tensor([way, 0.0, 0.0]))
    picture = rendered(photo, field)
    torch.testing.assert_close(asides(picture), torch.tensor([way, way]), atol=0.051, rtol=0)
    dark, before = ((each < 0.3).sum().item() for each in (picture[0, 0], photo[0]))
    assert dark == pytest.approx(before, rel=0.15)
    left_behind = LEFT.mean(0) - torch.tensor([np.sign(way) * 0.7 * RADIUS, 0.0])
    x, y = ((left_behind + 1) / 2 * SIDE).round().int().tolist()
    assert photo[0, y, x] < 0.3 and picture[0, 0, y, x] > 0.8


def test_nothing_moves_but_what_lies_between_the_lids():
    field = make_gaze(drawn_eyes()[None], LANDMARKS, torch.tensor([0.3, 0.2, 0.0]))
    for outline in (LEFT, RIGHT):
        out = torch.stack([*outline[[0, 3]], outline[1:3].mean(0) - 0.02, outline[4:].mean(0) + 0.02])
        assert not field.at_points(out)[0].any()
    x, y = pixel_centers(128).reshape(-1, 2).T
    moved = field.at_points(torch.stack([x, y], 1))[0]
    assert moved.any() and not moved[~field.near(x, y)].any()
    assert torch.equal(field.on_grid(128).coord[0].reshape(2, -1).T, moved)


def test_white_comes_below_an_iris_that_goes_up():
    radius = 0.9 * float(LEFT[4:].mean(0)[1] - LEFT.mean(0)[1])  # which goes down to the lower lid
    photo = drawn_eyes(radius=radius)
    field = make_gaze(photo[None], LANDMARKS, torch.tensor([0.0, 0.2, 0.0]))
    field.radius.fill_(radius)
    field.irises.zero_()
    picture = rendered(photo, field)[0, 0]
    x, y = ((LEFT.mean(0) + torch.tensor([0.0, 0.8 * radius]) + 1) / 2 * SIDE).round().int().tolist()
    assert photo[0, y, x] < 0.3 and picture[y, x] > 0.8


def test_eyes_look_to_a_place_and_not_by_a_way():
    def ends(aside, look, right=None):
        photo = drawn_eyes(aside)
        return asides(rendered(photo, look_to(photo[None], LANDMARKS, torch.tensor(look), right)))

    to_left = ends(0.05, [1.0, 0.0, 0.0], False)
    torch.testing.assert_close(to_left, ends(-0.1, [1.0, 0.0, 0.0], False), atol=0.06, rtol=0)
    assert (to_left < -0.3).all() and (ends(-0.5, [0.5, 0.0, 0.0], False) < -0.4).all()  # who looks there goes on
    assert (ends(-0.2, [1.0, 0.0, 0.0]) < -0.3).all() and (ends(0.2, [1.0, 0.0, 0.0]) > 0.3).all()
    torch.testing.assert_close(ends(0.3, [0.0, 0.0, 0.0]), torch.zeros(2), atol=0.06, rtol=0)
    with pytest.warns(FlowEditWarning, match="they turn only so far"):
        assert (ends(0.4, [1.0, 0.0, 0.0], False) < -0.1).all()
    left, right = ends(0.0, [0.0, 0.0, 1.0])
    assert left > 0.2 and right < -0.2


def test_an_iris_that_comes_out_of_a_corner_is_whole_and_has_white_on_both_sides():
    photo = drawn_eyes(0.5)
    field = make_gaze(photo[None], LANDMARKS, torch.tensor([-0.5, 0.0, 0.0]))
    field.irises.copy_(torch.tensor([[0.5, 0.0]] * 2))
    picture = rendered(photo, field)[0, 0]
    half = float(half_width(LEFT))
    for aside, dark in ((0.7 * RADIUS, True), (0.85 * half, False), (-0.85 * half, False)):
        x, y = ((LEFT.mean(0) + torch.tensor([aside, 0.0]) + 1) / 2 * SIDE).round().int().tolist()
        assert picture[y, x] < 0.3 if dark else picture[y, x] > 0.8


def test_a_gaze_is_scaled_by_shares_and_an_iris_stays_within_its_eye():
    photo = load(drawn_eyes())
    field = make_gaze(drawn_eyes()[None], LANDMARKS, torch.tensor([0.4, 0.0, 0.0]))
    crop = Crop(whole_crop(photo).matrix, LANDMARKS)
    edited = EditedPhoto(photo, [FieldTransform(field, crop)])
    for strength in (0.0, 0.5, 1.0, -1.0):
        expected = torch.full((2,), 0.4 * strength)
        torch.testing.assert_close(asides(edited.at(strength).tensor()), expected, atol=0.06, rtol=0)
    assert torch.equal(edited.at(0.0).tensor(), photo.tensor())
    furthest = field.irises + field.with_amounts(torch.tensor([5.0, 0.0, 0.0])).ways()
    assert float(furthest[:, 0].max()) <= FURTHEST + 1e-6
    twice = EditedPhoto(photo, [FieldTransform(field, crop, strength=0.5), FieldTransform(field, crop, strength=0.5)])
    assert torch.equal(twice.tensor(), edited.tensor())


@pytest.mark.parametrize(
    ("prompt", "look", "lids"),
    [
        ("looking left", (1, 0, 0), False), ("she glances to the right", (1, 0, 0), False),
        ("looking slightly to the left", (0.5, 0, 0), False), ("looking away from the camera", (1, 0, 0), False),
        ("side-eye", (1, 0, 0), False), ("gazing thoughtfully up at the sky", (0, 1, 0), False),
        ("looking at his shoes", (0, -1, 0), True), ("eyes downcast", (0, -1, 0), True),
        ("looking up and to the left", (0.7, 1, 0), False), ("looking down to the right", (0.7, -1, 0), True),
        ("crossed eyes", (0, 0, 1), False), ("rolling her eyes", (0.3, 1.2, 0), False),
        ("looking right at the camera", (0, 0, 0), False), ("don't look away", (0, 0, 0), False),
        ("not looking at the camera", (1, 0, 0), False), ("mira hacia arriba", (0, 1, 0), False),
        ("向左看", (1, 0, 0), False), ("नीचे देखना", (0, -1, 0), True),
    ],
)  # fmt: skip
def test_words_say_where_eyes_look(prompt, look, lids):
    told = restate(load_encoder(), {prompt: 1.0})
    said = said_looks(told)
    assert said[GAZE].gains == pytest.approx(look) and says_all(told) and (eyes.LIDS in said) == lids


@pytest.mark.parametrize(
    "prompt", ["looking tired", "looks up to date", "looks right at home", "looks left out", "big eyes"]
)
def test_words_that_are_about_no_gaze(prompt):
    assert GAZE not in said_looks({prompt: 1.0})


@pytest.fixture(scope="module")
def left():
    return flowedit.optimize(PORTRAIT, "looking left", progress=False)


def irises_in(edit, picture):
    crop = next(leaves(edit.transforms)).crop
    return find_irises(extract(load(picture), crop, 256), crop.landmarks).middles


def test_eyes_of_a_photo_look_where_words_say_and_all_else_keeps_its_bits(left):
    assert left.stopped == "said" and not left.messages
    for edit, sign in ((left, -1), (flowedit.predict(PORTRAIT, "looking right"), 1)):
        moved = (irises_in(edit, edit.render()) - irises_in(edit, PORTRAIT))[:, 0]
        assert (sign * moved > 0.2).all()
    crop = next(leaves(left.transforms)).crop
    box = crop.to_photo(torch.stack([f(crop.landmarks[36:48], 0) for f in (torch.amin, torch.amax)]).double())
    changed = torch.from_numpy((np.asarray(left.to_pil()) != PORTRAIT).any(-1)).nonzero().flip(1)
    assert len(changed) and (changed >= box[0] - 2).all() and (changed <= box[1] + 2).all()


def test_explain_tells_where_irises_go(left):
    (face,) = left.explain()["faces"].values()
    assert len(face["points"]) == 1 and face["points"][0].startswith("irises left ")
    crop = Crop(torch.tensor([[100.0, 0.0, 100.0], [0.0, 100.0, 100.0]], dtype=torch.float64), LANDMARKS)
    assert describe_points(torch.zeros(2, 32, 32), crop) == []


def test_undone_the_eyes_look_back(left):
    for edit in (left, 0.5 * left, 3 * left, 0.5 * left + 0.5 * left):
        undone = (~edit).apply(np.asarray(edit.to_pil()))
        torch.testing.assert_close(irises_in(left, undone.render()), irises_in(left, PORTRAIT), atol=0.06, rtol=0)
    down = flowedit.predict(PORTRAIT, "looking down")
    with pytest.warns(FlowEditWarning, match="eyes that were closed stay closed"):
        (gaze,) = gazes_of(~down)
    assert torch.equal(gaze.amounts, -gazes_of(down)[0].amounts)


def test_a_file_gives_the_same_bits_and_another_face_its_own_irises(left, tmp_path):
    opened = flowedit.load(left.save_edit(tmp_path / "left.flowedit"))
    assert torch.equal(opened.apply(PORTRAIT).render(), left.render())
    (there,) = gazes_of(opened.apply(np.ascontiguousarray(PORTRAIT[:, ::-1])))
    (here,) = gazes_of(left)
    assert torch.equal(there.amounts, here.amounts) and not torch.allclose(there.eyes, here.eyes, atol=1e-3)
    assert there.irises.abs().max() < 0.4 and there.radius > 0


def test_what_is_found_beside_a_gaze_is_done_after_it():
    edit = flowedit.optimize(PORTRAIT, "looking down, smiling", config=flowedit.Config(steps=2), progress=False)
    (whole,) = edit.transforms
    assert isinstance(whole, Composition)
    assert [type(leaf.field) for leaf in whole.stages[0]] == [GazeField, LidField]
    assert whole.stages[1][0].field.coord.any()
    again = flowedit.optimize(PORTRAIT, "a smile", start=edit, config=flowedit.Config(steps=1), progress=False)
    assert torch.equal(gazes_of(again)[0].amounts, gazes_of(edit)[0].amounts)
    closed = flowedit.optimize(PORTRAIT, "a wink", start=edit, config=flowedit.Config(steps=1), progress=False)
    assert gazes_of(closed)  # of each kind the one that words say, or else the one before


def test_where_no_iris_is_found_a_gaze_is_searched_for(monkeypatch):
    monkeypatch.setattr(eyes, "look_to", lambda *_: None)
    with pytest.warns(FlowEditWarning, match="irises are not to be told"):
        edit = flowedit.optimize(PORTRAIT, "looking left", config=flowedit.Config(steps=2), progress=False)
    assert edit.stopped != "said" and not gazes_of(edit) and edit.transforms[0].field.coord.any()


def test_a_gaze_is_about_no_color():
    prompts = ("looking left", "eyes downcast", "mira hacia arriba", "looking at the camera")
    assert not any(names_color(load_encoder(), {prompt: 1.0}) for prompt in prompts)
