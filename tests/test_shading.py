"""The light on a face that comes to smile or to be angry."""

from __future__ import annotations

import pytest
import torch
from skimage.data import astronaut

import flowedit
from flowedit.face.crop import Crop
from flowedit.face.landmarks import CHIN, INNER, MOUTH_CORNERS, NOSE_WINGS, OUTER_LIPS
from flowedit.field.make import make_field
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.guide.encoder import load_encoder
from flowedit.task.shading import find_expressions, measure_expressions, read_expressions, shade
from flowedit.transform.transforms import FieldTransform, leaves

PORTRAIT = astronaut()[:300, 80:360]
SMILE = read_expressions()["smile"]
CROP = Crop(torch.tensor([[50.0, 0.0, 64.0], [0.0, 50.0, 64.0]]), landmarks=SMILE.landmarks)
SKIN = torch.full((1, 3, 64, 64), 0.5)


def moved_by(share, movement=SMILE.movement):
    """A transform over a mean face that moves its landmarks by a share of a movement."""
    size = 32
    away = (pixel_centers(size)[:, :, None] - SMILE.landmarks[INNER]).square().sum(-1)
    near = torch.softmax(-away / 0.001, -1)  # what each place moves by: the movement of the landmarks about it
    coord = -share * (near @ movement).permute(2, 0, 1)
    return FieldTransform(RasterField.from_offsets(coord, torch.zeros(3, 64, 64), 0.2, 0.15), CROP)


def tint_at(found, *points):
    return found.field.at_points(torch.stack(points).to(found.field.coord))[1].mean(1).tolist()


def fold_and_chin():
    """A place in the fold beside the mouth, and one on the chin."""
    p = SMILE.landmarks
    corner, wing = p[MOUTH_CORNERS[0]], p[NOSE_WINGS[0]]
    lips = p[OUTER_LIPS].mean(0)
    return corner.lerp(wing, 0.5) + 0.35 * (corner - lips), p[CHIN].lerp(lips, 0.4)


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("a smiling face", {"smile"}), ("a big happy grin", {"smile"}), ("not smiling", {"smile"}),
        ("an old woman with a warm smile", {"smile"}), ("une femme souriante", {"smile"}), ("furious", {"anger"}),
        ("wide mouth", set()), ("a surprised face", set()), ("blonde hair", set()), ("a sad face", set()),
    ],
)  # fmt: skip
def test_words_tell_which_expression_is_meant(prompt, names):
    assert find_expressions(load_encoder(), {prompt: 1.0}) == names


def test_the_share_of_a_movement_is_measured_and_whole_shifts_are_none():
    names = {"smile", "anger"}
    assert measure_expressions(moved_by(0.3), names)["smile"] == pytest.approx(0.5, abs=0.1)  # of what lights it fully
    assert measure_expressions(moved_by(-0.3), names)["smile"] == pytest.approx(-0.5, abs=0.1)
    assert measure_expressions(moved_by(3.0), names)["smile"] == 1.0
    shift = torch.tensor([0.03, 0.02]).expand(51, 2)
    assert measure_expressions(moved_by(1.0, shift), names) == pytest.approx({"smile": 0, "anger": 0}, abs=0.02)
    assert measure_expressions(moved_by(0.3), set()) == {}


def test_a_smile_is_dark_in_its_folds_and_light_on_the_chin_and_its_end_the_contrary():
    smile, end = (shade(moved_by(share), SKIN, {"smile"}) for share in (0.5, -0.5))
    fold, chin = tint_at(smile, *fold_and_chin())
    assert fold < -0.02 and chin > 0.02
    fold, chin = tint_at(end, *fold_and_chin())
    assert fold > 0.02 and chin < -0.02


def test_the_light_is_a_share_of_the_photo_own_and_of_skin_alone():
    found = moved_by(0.5)
    bright, dark = (shade(found, gray * SKIN, {"smile"}).field.color for gray in (1.0, 0.5))
    torch.testing.assert_close(dark, bright / 2, atol=1e-6, rtol=0)
    corner = bright[:, :8, :8]
    assert corner.abs().max() < 1e-4 < bright.abs().max() and not found.field.color.any()


def test_light_is_taken_away_as_it_was_added():
    found = moved_by(0.5)
    lit = shade(found, SKIN, {"smile"})
    assert lit.field.color.abs().max() > 0.02
    assert shade(lit, SKIN, {"smile"}, -1.0).field.color.abs().max() < 1e-6 and shade(found, SKIN, set()) is found


def test_a_neural_field_and_a_whole_picture_stay():
    neural = FieldTransform(make_field({"kind": "hash"}, torch.Generator().manual_seed(0)), CROP)
    assert shade(neural, SKIN, {"smile"}) is neural
    whole = FieldTransform(RasterField(), Crop(CROP.matrix))
    assert shade(whole, SKIN, {"smile"}) is whole


def darkest(edit):
    (leaf,) = leaves(edit.transforms)
    return float(leaf.field.color.detach().mean(0).min())


def test_an_edit_that_smiles_is_lit_and_one_of_a_wide_mouth_is_not():
    for find in (flowedit.optimize, flowedit.predict):
        assert darkest(find(PORTRAIT, "a smiling face")) < -0.03 < -0.02 < darkest(find(PORTRAIT, "a wide mouth"))


@pytest.mark.parametrize("prompt", ["a smiling face", "a narrow nose"])
def test_an_edit_that_goes_on_from_a_smile_keeps_its_light_once(prompt):
    smile = flowedit.predict(PORTRAIT, "a smiling face", config=flowedit.Config(identity=None))
    on = flowedit.optimize(PORTRAIT, prompt, start=smile, config=flowedit.Config(identity=None, steps=1))
    assert darkest(on) == pytest.approx(darkest(smile), rel=0.1)


def test_the_light_of_an_expression_is_less_on_darker_skin_and_is_kept_in_a_file(tmp_path):
    smile = flowedit.predict(PORTRAIT, "a smiling face")
    other = PORTRAIT[:, ::-1].copy()
    face = other[90:230, 60:200]  # darker than what is about it, whose light the photo is taken to be in
    face[:] = face // 3
    again = flowedit.load(smile.save_edit(tmp_path / "smile.flowedit"))
    carried, dark = (again.apply(photo).transforms[0] for photo in (PORTRAIT[:, ::-1].copy(), other))
    assert again.transforms[0].skin == smile.transforms[0].skin and 0.3 < smile.transforms[0].skin < 0.9
    assert dark.skin < 0.5 * carried.skin and dark.light == carried.light
    assert dark.field.color.abs().max() < 0.5 * carried.field.color.abs().max()
    assert flowedit.predict(PORTRAIT, "a wide mouth").transforms[0].skin is None
