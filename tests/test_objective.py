"""The objective's terms, each on a field whose value is known."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch

from flowedit.config import Augment
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.fit.terms import TERMS, movement_price
from flowedit.kernels import render_views
from flowedit.task.views import Views, soften

SIDE = 16
POINTS = pixel_centers(SIDE).reshape(SIDE, SIDE, 2).permute(2, 0, 1)[None]
STILL = Offsets(torch.zeros(1, 2, SIDE, SIDE), torch.zeros(1, 3, SIDE, SIDE))


def test_the_text_term_is_a_mean_of_one_minus_cosine():
    def text_term(embeddings, targets):
        return TERMS["text"](SimpleNamespace(embeddings=embeddings, targets=targets)).item()

    rows = torch.eye(2)
    assert text_term(rows, rows) == 0 and text_term(rows, rows.flip(0)) == 1 and text_term(rows, -rows) == 2


def seen_in(picture, offsets, views):
    return render_views(picture, *offsets, views.theta, views.gain, SIDE)


def test_the_first_view_is_the_picture_itself():
    views = Views.draw(Augment(pool=4), torch.Generator().manual_seed(0), torch.device("cpu"))
    picture = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    seen = seen_in(picture, STILL, views.choose(torch.tensor([0, 1, 2])))
    assert torch.allclose(seen[0], picture[0], atol=1e-5)
    assert not torch.allclose(seen[2], picture[0], atol=0.05)
    assert (seen[1].flip(-1) - picture[0]).abs().mean() < (seen[1] - picture[0]).abs().mean()  # odd ones are mirrored


def test_a_view_shows_what_the_field_does():
    views = Views.draw(Augment(pool=2), torch.Generator().manual_seed(0), torch.device("cpu"))
    picture = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    one_to_the_right = Offsets(STILL.coord + torch.tensor([2 / SIDE, 0])[:, None, None], STILL.color + 0.1)
    seen = seen_in(picture, one_to_the_right, views.choose(torch.tensor([0])))
    assert torch.allclose(seen[..., :-1], picture[..., 1:] + 0.1, atol=1e-5)


def test_a_picture_is_softened_for_smaller_views_only():
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(soften(picture, 64), picture) and torch.equal(soften(picture, 224), picture)
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 3, 64, 64)
    soft = soften(stripes, 32)
    assert soft.shape == stripes.shape and torch.allclose(soft[..., 1:-1], torch.tensor(0.5))
    flat = torch.full_like(stripes, 0.3)
    assert torch.allclose(soften(flat, 16), flat)


def test_movement_off_the_face_is_dear():
    angle = torch.linspace(0, math.pi, 17)  # a round jaw; eyes 0.5 apart, a mouth below them
    marks = torch.zeros(68, 2)
    marks[:17] = 0.5 * torch.stack([-angle.cos(), angle.sin()], -1)
    marks[36:42], marks[42:48] = torch.tensor([-0.25, 0.0]), torch.tensor([0.25, 0.0])
    marks[48:68] = torch.tensor([0.0, 0.3])
    price = movement_price(marks, 64, 3.0)[0]
    at = {name: float(price[int(32 * (y + 1)), int(32 * (x + 1))]) for name, (x, y) in PLACES.items()}
    assert at["nose"] == at["chin"] == 1 and at["corner"] == at["beside"] == 3
    assert 1 < at["near"] < 3
    assert torch.equal(movement_price(marks, 8, 1.0), torch.ones(1, 8, 8))


PLACES = {"nose": (0.0, 0.1), "chin": (0.0, 0.45), "corner": (-0.95, -0.95), "beside": (0.8, 0.0), "near": (0.6, 0.0)}
