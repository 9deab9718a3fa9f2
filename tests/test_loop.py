"""The loop: same seed same bits, what Ctrl-C keeps, what a broken encoder says."""

from __future__ import annotations

import pytest
import torch
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Config

QUICK = Config(align=False, steps=4, coord_size=4, color_size=4)


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
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("flowedit.loop.iterate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder())


def test_a_term_that_is_not_finite_is_named_with_its_step():
    with pytest.raises(FloatingPointError, match="term 'text' must be finite; got nan at step 2"):
        flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(fails_at=3))
