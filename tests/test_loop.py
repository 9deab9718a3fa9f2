"""The loop: same seed same bits, what Ctrl-C keeps, what a broken encoder says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Config, RasterConfig, Weights
from flowedit.field.hashgrid import _lattice_encoding
from flowedit.kernels import available
from flowedit.photo.photo import load

QUICK = Config(align=False, steps=4, raster=RasterConfig(coord_size=4, color_size=4))


def stop_at(number):
    def callback(step):
        if step.number == number:
            raise KeyboardInterrupt

    return callback


def test_the_same_seed_gives_the_same_bits():
    one, two = (flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder()) for _ in range(2))
    assert torch.equal(one.render(), two.render()) and one.history == two.history
    assert {len(values) for values in one.history.values()} == {4} and "text" in one.history


def test_ctrl_c_keeps_the_best_so_far():
    edit = flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(), callback=stop_at(2))
    assert edit.stopped == "interrupted" and len(edit.history["text"]) == 3
    assert not torch.equal(edit.render(), edit.render(0.0))


def test_ctrl_c_before_the_first_step_keeps_nothing(monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("flowedit.fit.loop.iterate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder())


def test_a_term_that_is_not_finite_is_named_with_its_step():
    with pytest.raises(FloatingPointError, match="term 'text' must be finite; got nan at step 2"):
        flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(fails_at=3))


def test_what_is_protected_keeps_its_bits_and_the_rest_moves(tmp_path):
    mask = np.zeros((40, 48, 3), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "kept.png")
    config = replace(QUICK, protect=(str(tmp_path / "kept.png"),))
    edit = flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder())
    before, after = edit.render(0.0), edit.render(1.0)
    assert torch.equal(after[..., :20], before[..., :20]) and not torch.equal(after[..., 20:], before[..., 20:])


def test_protected_pictures_and_the_mask_combine(tmp_path):
    for name, columns in (("free.png", slice(10, 48)), ("kept.png", slice(30, 48))):
        mask = np.zeros((40, 48, 3), np.uint8)
        mask[:, columns] = 255
        Image.fromarray(mask).save(tmp_path / name)
    config = replace(QUICK, mask=tmp_path / "free.png", protect=(str(tmp_path / "kept.png"),))
    edit = flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder())
    changed = (edit.render(1.0) != edit.render(0.0)).any(dim=(0, 1, 2)).nonzero()[:, 0]
    assert changed.min() >= 10 and changed.max() < 30 and len(changed) > 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protect": ("eyez",)}, "protect must be of mouth, eyes, .* or a picture's file; got 'eyez'"),
        ({"protect": ("eyes",), "align": False}, "protect must go with align=True"),
    ],
)
def test_what_cannot_be_protected_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


def test_an_effect_may_be_bounded_by_what_the_guide_sees():
    config = replace(QUICK, steps=12, weights=Weights(tint=0.0, tint_smoothness=0.0))
    free = flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder())
    held = flowedit.optimize(picture(), "red", config=replace(config, effect=0.02), encoder=TinyEncoder())
    assert free.strength == 1 > held.strength > 0.01
    assert held.strength_reason.startswith("held back: effect 0.02 of at most 0.02 of the prompt's change")


@pytest.mark.parametrize("field", ["raster", "hash"])
def test_without_compiled_kernels_an_edit_is_the_same_but_for_rounding(field, monkeypatch):
    config = replace(QUICK, field=field, steps=3)

    def edit():
        _lattice_encoding.cache_clear()  # it keeps what it was made with
        return flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder()).render(1.0)

    usual = edit()
    monkeypatch.setattr("flowedit.kernels.dispatch.problem", lambda backend: "not built")
    assert available() == ("torch",)
    plain = edit()
    _lattice_encoding.cache_clear()
    assert not torch.equal(plain, load(picture()).tensor())
    torch.testing.assert_close(plain, usual, atol=2e-3, rtol=0)


def test_the_loop_ends_where_the_effect_is_reached():
    config = replace(QUICK, steps=100, weights=Weights(tint=0.0, shift=0.0, tint_smoothness=0.0))
    whole, held = (
        flowedit.optimize(picture(), "red", config=replace(config, effect=effect), encoder=TinyEncoder())
        for effect in (None, 0.02)
    )
    assert whole.stopped != "budget" == held.stopped
    assert len(held.history["text"]) == config.optimizer.check_every < len(whole.history["text"])
    assert "held back: effect 0.02 of at most 0.02" in held.strength_reason


def test_a_face_that_dlib_loses_in_its_crop_is_warned_of(monkeypatch):
    import skimage.data

    monkeypatch.setattr("flowedit.transform.bounds._describe", lambda face: None)
    with pytest.warns(UserWarning, match="identity could not be kept: dlib finds no face in the crop"):
        edit = flowedit.optimize(
            skimage.data.astronaut()[:280, 80:360], "red", config=Config(steps=1), encoder=TinyEncoder()
        )
    assert edit.facts.get("identity_distance") is None and -1 < edit.facts["gain"] < 1
