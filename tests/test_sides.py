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
from flowedit.guide.encoder import load_encoder
from flowedit.guide.side_words import Side, asked_side
from flowedit.task.sides import measure_side, turn_to
from flowedit.transform.transforms import FieldTransform

PORTRAIT = astronaut()[:280, 80:360]
LANDMARKS = drawn_landmarks()


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("looking left", Side("eyes", False)), ("eyes to the right", Side("eyes", True)),
        ("she looks to her left", Side("eyes", True)), ("a smile, looking left", Side("eyes", False)),
        ("mira a la derecha", Side("eyes", True)), ("nach links schauen", Side("eyes", False)),
        ("regarde à gauche", Side("eyes", False)), ("向左看", Side("eyes", False)),
        ("बाईं ओर देखना", Side("eyes", False)),
        ("left eyebrow raised", Side("brows", True)), ("looking up and to the left", Side("eyes", False)),
        ("a smirk on the right side", Side("mouth", False)),
        ("looking to the side", None), ("looking right at the camera", None), ("not looking left", None),
        ("looking left and right", None), ("smiling right now", None), ("a scar on the left cheek", None),
    ],
)  # fmt: skip
def test_the_side_that_words_name(text, side):
    assert asked_side(load_encoder(), {text: 1.0}) == side
    assert asked_side(load_encoder(), {text: -1.0}) is None


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
    turn_to(Side(part, True), transform)
    turn_to(None, transform)
    assert right > 5e-3 and torch.equal(transform.field.coord, before)
    turn_to(Side(part, False), transform)
    assert measure_side(transform.field, LANDMARKS, part) < -0.5 * right
    turn_to(Side(part, True), transform)
    assert torch.equal(transform.field.coord, before)


@pytest.mark.parametrize("make", [flowedit.predict, flowedit.optimize])
@pytest.mark.parametrize(
    ("part", "left", "right"),
    [("eyes", "looking left", "looking right"), ("brows", "right eyebrow raised", "left eyebrow raised")],
)
def test_an_edit_goes_to_the_side_that_is_named(make, part, left, right):
    found = []
    for prompt in (left, right):
        (leaf,) = make(PORTRAIT, prompt, config=flowedit.Config(identity=None, stretch=None)).transforms
        found.append(measure_side(leaf.field, leaf.crop.landmarks, part))
    assert found[0] < 0 < found[1]
