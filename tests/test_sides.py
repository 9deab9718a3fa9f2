"""Left and right: which side words name, and that the movement goes there."""

from __future__ import annotations

import pytest
import torch
from skimage.data import astronaut
from test_align import drawn_landmarks

import flowedit
from flowedit.face.crop import Crop
from flowedit.face.landmarks import BROWS, EYES, MOUTH_CORNERS
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.guide.doubt import find_doubts
from flowedit.guide.encoder import load_encoder
from flowedit.guide.side_words import asked_sides, sided_twice
from flowedit.task.sides import measure_side, turn_to
from flowedit.transform.transforms import FieldTransform

PORTRAIT = astronaut()[:280, 80:360]
LANDMARKS = drawn_landmarks()


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("looking left", {"eyes": False}), ("eyes to the right", {"eyes": True}),
        ("she looks to her left", {"eyes": True}), ("a smile, looking left", {"eyes": False}),
        ("mira a la derecha", {"eyes": True}), ("nach links schauen", {"eyes": False}),
        ("regarde à gauche", {"eyes": False}), ("向左看", {"eyes": False}),
        ("बाईं ओर देखना", {"eyes": False}),
        ("left eyebrow raised", {"brows": True}), ("looking up and to the left", {"eyes": False}),
        ("a smirk on the right side", {"mouth": False}),
        ("looking to the side", {}), ("looking right at the camera", {}), ("looking left and right", {}),
        ("smiling right now", {}), ("a scar on the left cheek", {}), ("left eyebrow not raised", {}),
        ("looking down to the right", {"eyes": True}),
        ("left eyebrow raised, looking left", {"brows": True, "eyes": False}),
    ],
)  # fmt: skip
def test_the_sides_that_words_name(text, sides):
    assert asked_sides(load_encoder(), {text: 1.0}) == sides
    assert asked_sides(load_encoder(), {text: -1.0}) == {}


def moving(where: torch.Tensor, x: float, y: float) -> FieldTransform:
    """Move what lies about points: to the right and down."""
    field = RasterField(24, 8, 1.0, 0.1)
    near = torch.stack([torch.exp(-(pixel_centers(24) - each).square().sum(-1) / 0.01) for each in where]).amax(0)
    field.coord.data = torch.stack([-x * near, -y * near])
    return FieldTransform(field, Crop(torch.eye(2, 3, dtype=torch.float64), LANDMARKS))


IRISES = torch.stack([LANDMARKS[eye].mean(0) for eye in EYES])


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("eyes", lambda: moving(IRISES, 0.05, 0.0)),
        ("brows", lambda: moving(LANDMARKS[BROWS[1]], 0.0, -0.05)),
        ("mouth", lambda: moving(LANDMARKS[MOUTH_CORNERS[1], None], 0.0, -0.05)),
    ],
)
def test_a_movement_to_the_other_side_is_mirrored_and_one_to_the_side_asked_for_keeps_its_bits(part, found):
    transform = found()
    before = transform.field.coord.detach().clone()
    right = measure_side(transform.field, LANDMARKS, part)
    turn_to({part: True}, transform)
    turn_to({}, transform)
    assert right > 5e-3 and torch.equal(transform.field.coord, before)
    turn_to({part: False}, transform)
    assert measure_side(transform.field, LANDMARKS, part) < -0.5 * right
    turn_to({part: True}, transform)
    assert torch.equal(transform.field.coord, before)


@pytest.mark.parametrize("make", [flowedit.predict, flowedit.optimize])
def test_an_edit_goes_to_the_side_that_is_named(make):
    found = []
    for prompt in ("right eyebrow raised", "left eyebrow raised"):
        (leaf,) = make(PORTRAIT, prompt, config=flowedit.Config(identity=None, stretch=None)).transforms
        found.append(measure_side(leaf.field, leaf.crop.landmarks, "brows"))
    assert found[0] < 0 < found[1]


def test_what_goes_to_both_sides_is_told_and_not_mirrored():
    encoder, prompts = load_encoder(), {"looking left": 1.0, "looking right": 1.0}
    assert sided_twice(encoder, prompts) == ["eyes"] and asked_sides(encoder, prompts) == {}
    assert find_doubts(encoder, prompts) == ["both sides are asked of the eyes, of which neither may be reached"]
    assert find_doubts(encoder, {"looking left": 1.0}) == []


def test_a_field_that_goes_to_one_of_two_sides_stays():
    transform = moving(torch.cat([IRISES, LANDMARKS[BROWS[1]]]), 0.05, -0.05)
    before = transform.field.coord.detach().clone()
    turn_to({"eyes": False, "brows": True}, transform)
    assert torch.equal(transform.field.coord, before)
