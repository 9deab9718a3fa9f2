"""Movements of the face's points, in words."""

from __future__ import annotations

import torch

from flowedit.face.crop import Crop
from flowedit.field.offsets import pixel_centers
from flowedit.guide.color_words import names_color
from flowedit.guide.encoder import load_encoder
from flowedit.report.describe import describe_colors, describe_points
from tests.test_benchmark import upright_face

SIDE = 200.0  # px of the crop; the eyes' outer corners are 83 px apart
X, Y = pixel_centers(128).unbind(-1)


def crop_of(face):
    return Crop(torch.tensor([[SIDE / 2, 0, 300], [0, SIDE / 2, 300]], dtype=torch.float64), face)


def bump(point, size=0.1):
    return torch.exp(-((X - point[0]) ** 2 + (Y - point[1]) ** 2) / (2 * size**2))


def test_a_smile_lifts_the_mouths_corners_and_draws_them_apart():
    face = upright_face()
    left, right = bump(face[48]), bump(face[54])
    told = describe_points(torch.stack([3 * (right - left), -6 * (right + left)]), crop_of(face))
    assert told[0].startswith("mouth corners up 5.") and "and apart" in told[0]
    assert told[0].endswith(" % of the distance between the outer eye corners)")
    assert not any(name in text for text in told for name in ("chin", "brows", "eyelids", "jaw"))


def test_the_number_is_how_far_the_point_goes_and_not_what_arrives_at_it():
    face = upright_face()
    falling = -(Y - float(face[8, 1])) * 40 - 8  # content there goes up by 8 px, and less the higher it gets
    (told,) = [t for t in describe_points(torch.stack([0 * X, falling]), crop_of(face)) if t.startswith("chin")]
    # It arrives d px higher, where what is seen has come 8 - 40 * d * 2 / 200 px.
    assert told.startswith(f"chin up {8 / 1.4:.1f} px (")


def test_one_point_goes_left_or_right_and_two_sides_apart_or_together():
    face = upright_face()
    told = describe_points(torch.stack([3 + 0 * X, 0 * X]), crop_of(face))
    assert any(t.startswith("tip of the nose right 3.0 px (3.6 %") for t in told)
    assert not any(t.startswith("sides of the nose") for t in told)  # they go nowhere but with everything
    told = describe_points(torch.stack([-3 * torch.tanh(10 * X), 0 * X]), crop_of(face))
    assert any(t.startswith("sides of the nose together") for t in told)


def test_what_hardly_moves_is_not_told():
    assert describe_points(torch.full((2, 128, 128), 0.1), crop_of(upright_face())) == []


def test_colors_are_told_by_what_changes_most():
    told = describe_colors({"skin": (0.2, 0.1, 0.0), "brows": (-3.0, 0.5, -1.2), "lips": (-5.1, 12.0, 3.0)})
    assert told == ["lips redder by 12.0 and darker by 5.1", "brows darker by 3.0 and bluer by 1.2"]


def test_prompts_about_color_are_told_from_those_about_shape():
    guide = load_encoder(None)
    colors = ("a tan", "sunburnt", "lipstick", "wearing rouge", "bright blue eyes", "darker brows", "ghostly white")
    shapes = ("grinning", "sorrowful", "full lips", "large round eyes", "a square jaw", "a double chin", "a frown")
    assert [prompt for prompt in (*colors, *shapes) if names_color(guide, {prompt: 1.0})] == list(colors)
    assert names_color(guide, {"grinning": 1.0, "a tan": -0.5})
    assert names_color(guide, {"raised eyebrows, big eyes and pale skin": 1.0})  # beside shapes, which are more
    assert not names_color(guide, {"a sad face with a wide nose and thick lips": 1.0})
