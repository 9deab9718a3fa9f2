"""Smiles that faces make, and prompts that ask for one."""

from __future__ import annotations

import pytest
import torch
from skimage.data import astronaut

import flowedit
from flowedit import Config
from flowedit.face.landmarks import INNER
from flowedit.fit.smile import RealSmile, read_smile
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import load_encoder
from flowedit.guide.smile_words import smile_asked, smiling_share

PX = 64


def place(movement):
    """Put landmarks on pixels of their own, and return them and the field that moves the inner ones so."""
    rows, columns = torch.arange(68) // 12 * 8 + 9, torch.arange(68) % 12 * 5 + 3
    landmarks = (torch.stack([columns, rows], 1) + 0.5) * (2 / PX) - 1
    coord = torch.zeros(1, 2, PX, PX)
    coord[0, :, rows[INNER], columns[INNER]] = -movement.T
    return landmarks[None], coord


@pytest.mark.parametrize("amount, unlike", [(0.0, 0.0), (0.5, 0.0), (2.0, 0.0), (-1.0, 1.0)])
def test_a_smile_of_any_size_costs_nothing_and_its_contrary_all(amount, unlike):
    landmarks, coord = place(amount * read_smile())
    assert RealSmile(landmarks).unlike(coord).item() == pytest.approx(unlike, abs=1e-5)


def test_what_a_face_does_as_a_whole_costs_nothing_and_a_longer_nose_does():
    landmarks, _ = place(read_smile())
    ys, xs = torch.meshgrid(*[(torch.arange(PX) + 0.5) * (2 / PX) - 1] * 2, indexing="ij")
    whole = torch.stack([0.02 * xs - 0.03 * ys + 0.01, 0.03 * xs + 0.02 * ys - 0.02])[None]
    assert RealSmile(landmarks).unlike(whole).item() == pytest.approx(0, abs=1e-5)
    longer = torch.zeros(51, 2)
    longer[10:19, 1] = 0.03
    smile = RealSmile(landmarks)
    costs = [smile.unlike(place(movement)[1]).item() for movement in (longer, read_smile() + longer)]
    assert min(costs) > 0.1


def test_prompts_that_ask_for_a_smile_are_told_from_those_that_do_not():
    guide = load_encoder(None)

    def share(*prompts):
        return smiling_share(guide, embed_changes(guide, list(prompts)))

    assert share("a happy face", "grinning", "a slight smile", "a friendly face").min() > 0.9
    assert share("a sad face", "a wide mouth", "smug", "big eyes", "a woman who is not smiling").max() == 0
    assert smile_asked(guide, {"a smiling face": 1.0}) > 0.9
    assert smile_asked(guide, {"a smiling face with red lipstick": 1.0}) > 0.9
    assert smile_asked(guide, {"a smiling face with big eyes": 1.0}) == 0
    assert smile_asked(guide, {"a smiling face": -1.0}) == 0


def test_only_where_a_smile_is_asked_for_does_it_have_a_price():
    image, config = astronaut()[:280, 90:350], Config(steps=2, identity=None)
    weights = Config().weights
    asked = flowedit.optimize(image, "a smiling face", config=config, start=None, progress=False)
    other = flowedit.optimize(image, "a wide nose", config=config, start=None, progress=False)
    assert len(asked.history["smile"]) == 2 and asked.history["smile"][-1] > 0 and "smile" not in other.history
    total = sum(getattr(weights, name, 1.0) * values[-1] for name, values in asked.history.items() if name != "total")
    assert asked.history["total"][-1] == pytest.approx(total, rel=1e-5)
