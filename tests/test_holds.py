"""What a face is held to: the mouth's tilt, and no paint beside a color that words say."""

from __future__ import annotations

import math

import pytest
import torch
from skimage.data import astronaut
from test_align import drawn_landmarks

import flowedit
from flowedit.config import Config
from flowedit.face.landmarks import BROWS
from flowedit.face.parts import PARTS, part_masks
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.task.holds import LARGER, EvenEyes, MouthTilt

PORTRAIT = astronaut()[:280, 80:360]
LANDMARKS = drawn_landmarks()


def turned(degrees, bound=1.0):
    """The field that turns everything in the picture clockwise, about its middle."""
    x, y = pixel_centers(16).permute(2, 0, 1)
    angle = torch.tensor(-math.radians(degrees))
    coord = torch.stack([x * angle.cos() - y * angle.sin() - x, x * angle.sin() + y * angle.cos() - y])
    return RasterField.from_offsets(coord, torch.zeros(3, 4, 4), bound, 0.1)


@pytest.mark.parametrize("bound", [1.0, 0.15])
@pytest.mark.parametrize("degrees", [25.0, -25.0])
def test_a_mouth_that_is_turned_too_far_is_turned_back(degrees, bound):
    field, mouth = turned(degrees, bound), MouthTilt(LANDMARKS, 16, 9.0)
    assert math.degrees(mouth.tilt(turned(degrees / 2))) == pytest.approx(degrees / 2, abs=0.6)
    before = field.at_points(LANDMARKS[BROWS[0]])[0].clone()
    mouth.hold(field)
    assert math.degrees(mouth.tilt(field)) == pytest.approx(math.copysign(9, degrees), abs=0.6)
    moved = field.at_points(LANDMARKS[BROWS[0]])[0] - before
    assert moved.abs().max() < 0.15 * before.abs().max()  # brows keep what they had


def test_a_mouth_within_the_limit_keeps_its_bits():
    field = turned(5.0)
    before = field.coord.detach().clone()
    MouthTilt(LANDMARKS, 16, 9.0).hold(field)
    assert torch.equal(field.coord, before)


def test_landmarks_on_one_point_leave_the_field_finite():
    field = turned(20.0)
    MouthTilt(torch.zeros(68, 2), 16, 9.0).hold(field)
    assert field.coord.isfinite().all()


def raised(by, size=16):
    """The field that raises all about the left brow, and half as much its eye."""
    place = pixel_centers(size) - LANDMARKS[BROWS[0]].mean(0)
    coord = torch.zeros(2, size, size)
    coord[1] = by * torch.exp(-place.square().sum(-1) / 0.04)
    return RasterField.from_offsets(coord, torch.zeros(3, 4, 4), 1.0, 0.1)


@pytest.mark.parametrize("size", [16, 100])
def test_an_eye_that_a_raised_brow_opens_is_lowered_and_the_brow_stays(size):
    field, eyes = raised(0.07, size), EvenEyes(LANDMARKS, size)
    opened = eyes.openings(field) / eyes.openings()
    assert opened[0] > 1.25 and opened[1] == pytest.approx(1, abs=0.05)
    brow = field.at_points(LANDMARKS[BROWS[0]])[0].clone()
    eyes.hold(field)
    held = eyes.openings(field) / eyes.openings()
    assert 1 <= held[0] / held[1] < LARGER + 0.03 and held[1] == pytest.approx(float(opened[1]), abs=0.05)
    assert (field.at_points(LANDMARKS[BROWS[0]])[0] - brow).abs().max() < 0.15 * brow.abs().max()


def test_eyes_within_the_limit_keep_their_bits_and_those_without_a_size_stay_finite():
    field = raised(0.01)
    before = field.coord.detach().clone()
    EvenEyes(LANDMARKS, 16).hold(field)
    assert torch.equal(field.coord, before)
    EvenEyes(torch.zeros(68, 2), 16).hold(field)
    assert field.coord.isfinite().all()


@pytest.mark.parametrize("make", [flowedit.predict, flowedit.optimize])
def test_one_raised_brow_does_not_open_its_eye(make):
    def uneven(tilt):
        edit = make(PORTRAIT, "one raised eyebrow", config=Config(identity=None, stretch=None, tilt=tilt))
        (leaf,) = edit.transforms
        eyes = EvenEyes(leaf.crop.landmarks, leaf.field.coord_size)
        left, right = eyes.openings(leaf.field) / eyes.openings()
        return float(max(left / right, right / left))

    assert uneven(9.0) < LARGER + 0.03 < uneven(None)


@pytest.mark.parametrize("make", [flowedit.predict, flowedit.optimize])
def test_a_smirk_is_held_and_freed_by_the_config(make):
    def tilt(limit):
        edit = make(PORTRAIT, "a crooked smile", config=Config(identity=None, stretch=None, tilt=limit))
        (leaf,) = edit.transforms
        return abs(math.degrees(MouthTilt(leaf.crop.landmarks, leaf.field.coord_size, 9.0).tilt(leaf.field)))

    assert tilt(5) < 5.5 < 10 < tilt(None)


@pytest.mark.parametrize("make", [flowedit.predict, flowedit.optimize])
def test_where_words_say_a_color_the_guide_paints_none_of_its_own(make):
    """The lips' alone, and of another prompt of the same face again."""
    prompts = ["a big smile and burgundy lipstick", "a big smile and red lipstick"]
    edits = make(PORTRAIT, prompts) if make is flowedit.predict else [make(PORTRAIT, prompt) for prompt in prompts]
    said, guided = (edit.transforms[0].part_tint.amounts[PARTS.index("lips")] for edit in edits)
    assert not said.any() and guided.any()


@pytest.mark.parametrize(
    ("before", "after", "apart"),
    [("red lipstick", "purple lipstick", 0.02), ("black lipstick", "red lips", 0.04)],  # the second is the guide's
)
def test_a_color_of_lips_is_the_same_from_an_edit_with_another(before, after, apart):
    other = flowedit.optimize(PORTRAIT, before)
    crop = other.edited.crops()[0]
    lips = part_masks(other.edited.unedited(crop, 128), crop.landmarks)[PARTS.index("lips")] > 200
    anew, onward = (
        flowedit.optimize(PORTRAIT, after, start=start).edited.crop_image(crop, 128)[0][:, lips].mean(1)
        for start in ("auto", other)
    )
    torch.testing.assert_close(onward, anew, rtol=0, atol=apart)
