"""The loop: same seed same bits, what Ctrl-C and a callback keep, what a broken encoder says, terms of one's own."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Augment, Config, RasterConfig, Weights
from flowedit.field.hashgrid import _lattice_encoding
from flowedit.fit.iterate import iterate
from flowedit.fit.terms import TERMS
from flowedit.kernels import available
from flowedit.photo.photo import load
from flowedit.task.prepare import prepare
from flowedit.transform.bounds import choose_strength

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


def once(function):
    """The same function, interrupted at its first call."""
    calls = []

    def interrupted(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return function(*arguments, **keywords)

    return interrupted


def test_ctrl_c_while_the_strength_is_chosen_keeps_the_finished_loop(monkeypatch):
    whole = flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder())
    monkeypatch.setattr("flowedit.task.finish.choose_strength", once(choose_strength))
    edit = flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder())
    assert edit.stopped == "interrupted" and edit.history == whole.history
    assert torch.equal(edit.render(), whole.render()) and edit.facts["gain"] == whole.facts["gain"]


def test_ctrl_c_before_a_second_faces_first_step_keeps_the_first_face(monkeypatch):
    task = prepare(picture(), "red", QUICK, TinyEncoder())
    second = prepare(picture(), "red", QUICK, TinyEncoder()).faces[0]
    monkeypatch.setattr("flowedit.fit.loop.prepare", lambda *_: replace(task, faces=(*task.faces, second)))
    steps = []

    def iterate_once(given, face, terms):
        if face is second:
            raise KeyboardInterrupt
        return iterate(given, face, terms)

    monkeypatch.setattr("flowedit.fit.loop.iterate", iterate_once)
    edit = flowedit.optimize(picture(), "red", config=QUICK, callback=steps.append)
    assert edit.stopped == "interrupted" and len(edit.transforms) == 1 and len(steps) == 4


@pytest.mark.parametrize("no", [False, np.False_])
def test_a_callback_ends_the_loop_and_the_best_is_kept(no):
    steps = []

    def callback(step):
        steps.append(step)
        return no if step.number == 2 else None

    edit = flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(), callback=callback)
    assert edit.stopped == "callback" and [step.number for step in steps] == [0, 1, 2]
    assert edit.history["total"] == [step.total for step in steps] and not torch.equal(edit.render(), edit.render(0.0))
    whole = edit.edited.at(1.0).crop_image(edit.edited.crops()[0], 64)
    torch.testing.assert_close(steps[-1].preview(), whole, rtol=0, atol=2e-3)  # the best, when all is done
    assert steps[-1].preview(24).shape == (1, 3, 24, 24)
    with pytest.raises(TypeError, match="callback must be a function; got 3"):
        flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(), callback=3)


def test_a_term_of_ones_own_is_weighed_and_logged():
    config = replace(QUICK, steps=12, weights=Weights(shift=0.0))
    free, held = (
        flowedit.optimize(picture(), "left", config=config, encoder=TinyEncoder(), terms={"still": (still, weight)})
        for weight in (0.0, 1e4)
    )
    assert largest_shift(held) < 0.2 * largest_shift(free)
    parts = (getattr(config.weights, name) * np.array(held.history[name]) for name in TERMS if name != "text")
    total = sum(parts) + np.array(held.history["text"]) + 1e4 * np.array(held.history["still"])
    np.testing.assert_allclose(held.history["total"], total, rtol=1e-5)


def still(state):
    return state.offsets.coord.square().mean()


def largest_shift(edit):
    return float(edit.edited.offsets(edit.edited.crops()[0], 32).coord.abs().max())


def test_a_constant_term_is_logged_and_changes_nothing():
    without, beside = (
        flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(), terms=terms)
        for terms in (None, {"light": (lambda state: state.pixels.mean(), 2)})
    )
    assert torch.equal(without.render(), beside.render()) and len(set(beside.history["light"])) == 1


@pytest.mark.parametrize(
    ("terms", "error", "words"),
    [
        ([still], TypeError, "terms must be name -> (function, weight); got [<function"),
        ({"still": still}, TypeError, "terms must be name -> (function, weight); got 'still': <function"),
        ({"still": ("still", 1)}, TypeError, "terms must be name -> (function, weight); got 'still': ('still', 1)"),
        ({"still": (still, math.nan)}, ValueError, "the weight of term 'still' must be a number; got nan"),
        ({"still": (still, "1")}, ValueError, "the weight of term 'still' must be a number; got '1'"),
        ({"fold": (still, 1)}, ValueError, "a term must not be named as a built-in one is; got 'fold'"),
        ({"still": (lambda state: 1.0, 1)}, TypeError, "term 'still' must return a tensor of one floating number; "),
        ({"still": (lambda state: state.pixels, 1)}, TypeError, "term 'still' must return a tensor of one floating"),
        (
            {"still": (lambda state: still(state) / 0, 1)},
            FloatingPointError,
            "term 'still' must be finite; got nan at step 0",
        ),
    ],
)
def test_a_wrong_term_is_named(terms, error, words):
    with pytest.raises(error) as caught:
        flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(), terms=terms)
    assert str(caught.value).startswith(words)


def test_what_was_warned_of_is_kept():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        edit = flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(known=False))
        again = flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder())
    assert edit.messages == tuple(str(each.message) for each in caught) and again.messages == ()
    assert edit.messages[0].startswith("tiny does not know 'red' and may do anything; ")


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


@pytest.mark.parametrize("steps", [12, 100])
def test_an_effect_may_be_bounded_by_what_the_guide_sees_and_ends_the_loop(steps):
    config = replace(QUICK, steps=steps, weights=Weights(tint=0.0, shift=0.0, tint_smoothness=0.0))
    whole, held = (
        flowedit.optimize(picture(), "red", config=replace(config, effect=effect), encoder=TinyEncoder())
        for effect in (None, 0.02)
    )
    assert whole.strength == 1 > held.strength > 0.01 and whole.stopped != "budget"
    assert (held.stopped == "budget") == (steps > 12)
    assert len(held.history["text"]) == min(steps, config.optimizer.check_every)
    assert held.strength_reason.startswith("held back: effect 0.02 of at most 0.02 of the prompt's change")


def test_a_face_that_dlib_loses_in_its_crop_is_warned_of(monkeypatch):
    import skimage.data

    monkeypatch.setattr("flowedit.transform.bounds._describe", lambda face: None)
    with pytest.warns(UserWarning, match="identity could not be kept: dlib finds no face in the crop"):
        edit = flowedit.optimize(
            skimage.data.astronaut()[:280, 80:360], "red", config=Config(steps=1), encoder=TinyEncoder()
        )
    assert edit.facts.get("identity_distance") is None and -1 < edit.facts["gain"] < 1


@pytest.mark.parametrize("field", ["raster", "hash"])
@pytest.mark.parametrize("hues", ["kept", "free"])
def test_a_tint_that_keeps_hues_changes_all_channels_alike(field, hues):
    config = Config(
        align=False, steps=8, views=1, field=field, hues=hues, raster=RasterConfig(8, 8), augment=Augment(pool=1),
        weights=Weights(shift=0.1, tint=0.1, tint_smoothness=0.0),
    )  # fmt: skip
    edited = flowedit.optimize(picture(), "left", config=config, encoder=TinyEncoder()).edited
    color = edited.offsets(edited.crops()[0], 32).color
    assert color.abs().max() > 1e-3 and bool((color == color[:, :1]).all()) == (hues == "kept")
