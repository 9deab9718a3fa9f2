"""A second encoder's word: what it sees, and when the guide counts as fooled."""

from __future__ import annotations

import warnings

import pytest
import torch
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Config, RasterConfig, Weights
from flowedit.guide.gain import Gain, GainMeter
from flowedit.task.judge import is_fooled

QUICK = Config(
    align=False,
    steps=8,
    raster=RasterConfig(coord_size=4, color_size=4),
    weights=Weights(tint=0.0, tint_smoothness=0.0),
)


class Blind(TinyEncoder):
    """Knows what the words mean, and sees every picture alike."""

    name = "blind"

    def image(self, image):
        return super().image(torch.full_like(image, 0.5))


def test_a_gain_is_a_share_of_what_is_asked_for_and_has_a_sign():
    before = torch.full((1, 3, 16, 16), 0.4)
    redder = before + torch.tensor([0.2, 0, 0])[:, None, None]
    there, back = (GainMeter(TinyEncoder(), {"red": 1.0}, a)(b) for a, b in ((before, redder), (redder, before)))
    assert 0 < there.share < 1 and there.cosine > 0.5 and there.chance == 0.5  # of four dimensions
    assert back.share == pytest.approx(-there.share) and back.cosine == pytest.approx(-there.cosine)
    half = GainMeter(TinyEncoder(), {"red": 2.0}, before)(redder)
    assert half.share == pytest.approx(there.share / 2)
    nothing = GainMeter(TinyEncoder(), {"red": 1.0}, before)(before)
    assert nothing.share == 0 == nothing.cosine


@pytest.mark.parametrize(
    ("guide", "judge", "fooled"),
    [
        (Gain(0.5, 0.9, 0.1), Gain(0.3, 0.6, 0.1), False),
        (Gain(0.5, 0.9, 0.1), Gain(0.04, 0.6, 0.1), True),  # next to nothing
        (Gain(0.5, 0.9, 0.1), Gain(0.3, 0.05, 0.1), True),  # no more than by chance
        (Gain(0.5, 0.9, 0.1), Gain(-0.3, -0.6, 0.1), True),
        (Gain(0.0, 0.0, 0.1), Gain(0.0, 0.0, 0.1), False),  # nothing was gained, nobody fooled
    ],
)
def test_the_guide_is_fooled_where_the_judge_sees_nothing_of_its_gain(guide, judge, fooled):
    assert is_fooled(guide, judge) is fooled


def test_an_edit_that_only_the_guide_sees_is_warned_of():
    with pytest.warns(UserWarning, match=r"the guide was fooled: tiny gained 0\.\d+ .* and blind sees 0\.00 of it"):
        edit = flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(), judge=Blind())
    told = edit.facts["judge"]
    assert told["name"] == "blind" and told["fooled"] and told["guide_gain"] > 0.05 > abs(told["gain"])


def test_an_edit_that_both_see_is_not():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        edit = flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(), judge=TinyEncoder())
    told = edit.facts["judge"]
    assert not told["fooled"] and told["gain"] == told["guide_gain"] > 0.05
    assert "judge" not in flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder()).facts
