"""A higher or lower forehead, as a prompt's words say."""

from __future__ import annotations

import pytest
import torch
from skimage.data import astronaut

import flowedit
from flowedit.face.landmarks import BOTH_BROWS, MOUTH_CORNERS, outer_canthal_distance
from flowedit.guide.impossible import describe_impossible
from flowedit.guide.part_looks import said_looks
from flowedit.task.hairline import pop_hairline
from flowedit.transform.transforms import leaves

PORTRAIT = astronaut()[:300, 80:360]


def rise(edit, up):
    """How far what lies so many outer-canthal distances above the brows goes up, in the same unit; and the brows."""
    (leaf,) = leaves(edit.transforms)
    points = leaf.crop.landmarks.float()
    unit = outer_canthal_distance(points[None])
    brows = points[BOTH_BROWS]
    places = torch.cat([torch.tensor([[float(brows[:, 0].mean()), float(brows[:, 1].amin() - up * unit)]]), brows])
    shift = leaf.field.at_points(places)[0][:, 1] / unit
    return float(shift[0]), float(shift[1:].abs().max())


@pytest.mark.parametrize(
    ("prompt", "amount"),
    [
        ("a high forehead", 1.0), ("make her forehead bigger", 1.0), ("a lower hairline", -1.0),
        ("a high and wide forehead", 1.0),
        ("a slightly smaller forehead", -0.5), ("not a high forehead", -1.0), ("eine hohe Stirn", 1.0),
        ("a smooth forehead", 0.0), ("lines on the forehead", 0.0), ("raised eyebrows", 0.0),
    ],
)  # fmt: skip
def test_words_say_where_the_hairline_goes(prompt, amount):
    looks = said_looks({prompt: 1.0})
    assert pop_hairline(looks) == pytest.approx(amount) and "hairline" not in looks


@pytest.mark.parametrize(("prompt", "way"), [("a high forehead", 1), ("a low forehead", -1)])
def test_the_hairline_moves_and_the_brows_stay(prompt, way):
    edit = flowedit.optimize(PORTRAIT, prompt)
    hairline, brows = rise(edit, 0.6)
    assert way * hairline > 0.05 and brows < 0.01
    assert edit.stopped == "said" and not edit.messages and "what the words say is done" in edit.facts.reached


@pytest.mark.parametrize("prompt", ["a lower hairline", "a high hairline", "make her hairline a bit higher"])
def test_what_is_made_is_not_told_to_be_impossible(prompt):
    assert pop_hairline(said_looks({prompt: 1.0})) and describe_impossible(prompt) is None
    assert describe_impossible("a receding hairline") and describe_impossible("fill in the hairline")


def test_it_moves_beside_what_is_searched_for():
    smile, both = (flowedit.predict(PORTRAIT, prompt) for prompt in ("closed lips", "closed lips, a high forehead"))
    assert rise(both, 0.6)[0] / both.strength > rise(smile, 0.6)[0] / smile.strength + 0.05
    (leaf,), (alone,) = leaves(both.transforms), leaves(smile.transforms)
    corners = leaf.crop.landmarks[list(MOUTH_CORNERS)].float()
    torch.testing.assert_close(leaf.field.at_points(corners)[0], alone.field.at_points(corners)[0])


def test_it_has_its_own_degree():
    slight, both = (
        flowedit.predict(PORTRAIT, prompt)
        for prompt in ("slightly bigger eyes", "slightly bigger eyes, a high forehead")
    )
    whole = rise(flowedit.predict(PORTRAIT, "a high forehead"), 0.6)[0]
    assert rise(both, 0.6)[0] - rise(slight, 0.6)[0] == pytest.approx(whole, abs=0.02)


@pytest.mark.parametrize(("prompt", "times"), [("a high forehead", 1.0), ("a low forehead", -1.0)])
def test_what_goes_on_from_an_edit_ends_where_words_say(prompt, times):
    begun = flowedit.predict(PORTRAIT, "a high forehead")
    further = flowedit.optimize(PORTRAIT, prompt, start=begun)
    assert rise(further, 0.6)[0] == pytest.approx(times * rise(begun, 0.6)[0], abs=0.02)
    from_eyes = flowedit.optimize(PORTRAIT, prompt, start=flowedit.predict(PORTRAIT, "bigger eyes"))
    assert times * rise(from_eyes, 0.6)[0] > 0.05


def test_a_neural_field_leaves_it_and_says_so():
    with pytest.warns(flowedit.checks.FlowEditWarning, match="a neural field leaves the hairline"):
        flowedit.optimize(PORTRAIT, "a high forehead", config=flowedit.Config(field="hash"))
