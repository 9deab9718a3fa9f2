"""Warm starts: an optimizer that goes on from an edit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
import torch
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Augment, Config, RasterConfig, Weights

# One view, which is the same in each step, and next to no price: every step is better than the one before.
CONFIG = Config(
    align=False,
    steps=8,
    views=1,
    raster=RasterConfig(8, 8),
    weights=Weights(shift=0.1, tint=0.1, tint_smoothness=0.0),
    augment=Augment(pool=1),
)
ONE = replace(CONFIG, steps=1)


def optimize(config, start=None, photo=None):
    return flowedit.optimize(
        picture() if photo is None else photo, "red", config=config, encoder=TinyEncoder(), start=start
    )


@pytest.fixture(scope="module", params=["raster", "hash"])
def edit(request):
    return optimize(replace(CONFIG, field=request.param))


def offsets(edit):
    return torch.cat(edit.edited.offsets(edit.edited.crops()[0], 48), 1)


def test_a_start_is_taken_as_it_is_and_gone_on_from(edit, tmp_path):
    path = (0.5 * edit).save_edit(tmp_path / "half.flowedit")  # at strength 1 all the same, and without its photo
    again = optimize(replace(ONE, field=edit.config.field), flowedit.load(path))
    assert torch.equal(again.render(1.0), edit.render(1.0)) and not torch.equal(edit.render(1.0), edit.render(0.0))
    assert again.history["total"] == edit.history["total"][-1:]
    further = optimize(replace(CONFIG, field=edit.config.field), edit)
    assert min(further.history["total"]) < min(edit.history["total"])


@pytest.mark.parametrize("factor", [1.0, 0.5, -1.0])
def test_a_start_of_another_kind_is_fitted_at_its_own_strength(edit, factor):
    start = factor * edit
    fitted = optimize(replace(ONE, raster=RasterConfig(24, 32)), start)
    error = (offsets(fitted) - offsets(start)).abs().amax((0, 2, 3))
    assert (error < 0.1 * offsets(start).abs().amax((0, 2, 3))).all() and offsets(start).abs().max() > 0.005


def test_a_start_that_is_turned_around_is_fitted():
    edit = optimize(CONFIG)
    assert optimize(ONE, -edit).history["total"][0] > optimize(ONE).history["total"][0] > edit.history["total"][-1]


def test_a_face_goes_on_with_its_parts_colors_and_another_photos_is_carried():
    portrait = skimage.data.astronaut()[:280, 80:360]
    config = replace(CONFIG, align=True, identity=None, weights=Weights(shift=0.0, tint=0.0, part_colors=3.6))
    other = np.ascontiguousarray(portrait[:, ::-1])
    start = optimize(config, photo=other)
    again = optimize(replace(config, steps=1), start, other)
    assert again.history["total"] == start.history["total"][-1:] and start.history["part_colors"][-1] > 0
    carried, fresh = (optimize(replace(config, steps=1), each, portrait) for each in (start, None))
    expected = offsets(start.apply(portrait))
    assert (offsets(carried) - expected).abs().mean() < 0.1 * expected.abs().mean() > 1e-5
    assert carried.history["text"][0] < fresh.history["text"][0] - 0.01


@pytest.mark.parametrize(
    ("start", "settings", "error", "words"),
    [
        ("red", {}, TypeError, 'start must be "auto", an edit, "predict", a predictor or None; got \'red\''),
        ("edit", {"field": "hash"}, ValueError, "start must be an edit with the same kind of field and settings, or"),
        ("edit", {"diffeomorphic": True}, ValueError, "start must be an edit with the same kind of field and settings"),
    ],
)
def test_a_wrong_start_is_refused(start, settings, error, words):
    with pytest.raises(error) as caught:
        optimize(replace(ONE, **settings), optimize(ONE) if start == "edit" else start)
    assert str(caught.value).startswith(words)
