"""benchmarks.predict, and the edits of benchmarks.edit that are predicted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from stand_in import TinyEncoder
from test_predict import FREE, stand_in

import flowedit
from benchmarks import edit as edits
from benchmarks.predict import PARTS, objective_of, parse, time_prediction, time_prompts, ways
from flowedit.config import Augment
from flowedit.predict.weights import Trained, save_predictor

PORTRAIT = np.ascontiguousarray(skimage.data.astronaut()[:280, 80:360])
TRAINED = Trained(stand_in())


def test_every_part_of_a_prediction_is_timed():
    seconds = time_prediction(PORTRAIT, TRAINED, TinyEncoder(), 1)
    assert set(seconds) == {*PARTS, "the rest", "whole"} and min(seconds.values()) > 0
    assert sum(seconds.values()) == pytest.approx(2 * seconds["whole"])


def test_prompts_are_timed_together_and_alone(monkeypatch):
    asked = []
    predict = flowedit.predict
    monkeypatch.setattr(flowedit, "predict", lambda photo, prompt, **how: asked.append(prompt) or predict(photo, prompt,
                        **how))  # fmt: skip
    monkeypatch.setattr("benchmarks.predict.PROMPT", "red")
    seconds = time_prompts(PORTRAIT, TRAINED, TinyEncoder(), 2)
    assert asked == ["red", [{"red": 0.5}, {"red": 1.0}], {"red": 0.5}, {"red": 1.0}]
    assert min(seconds["together"], seconds["alone"]) > 0


def test_the_objective_of_an_edit_is_the_loops():
    config = replace(FREE, views=2, augment=Augment(pool=2), steps=1)
    how = {"config": config, "encoder": TinyEncoder()}
    edit = flowedit.optimize(PORTRAIT, "red", start=TRAINED, **how)
    assert objective_of(edit, TinyEncoder()) == pytest.approx(edit.history["total"][0], abs=1e-5)
    assert objective_of(flowedit.predict(PORTRAIT, "red", predictor=TRAINED, **how), TinyEncoder()) == pytest.approx(
        edit.history["total"][0], abs=1e-5
    )


def test_ways_take_their_steps_from_the_prediction_or_from_nothing():
    taken = {}
    for name, find in ways(TRAINED, (0, 2)).items():
        edit = find(PORTRAIT, "red", config=FREE, encoder=TinyEncoder())
        taken[name] = edit.facts["steps"], edit.facts.get("predictor")
    assert taken == {
        "predicted, 0 steps": (0, "network"),
        "predicted, 2 steps": (2, "network"),
        "nothing, 60 steps": (60, None),
    }


def test_edits_are_made_as_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(edits, "find_asked", lambda options: setattr(options, "config", FREE))
    encoder = edits.CountingEncoder(TinyEncoder())
    save_predictor(stand_in(), tmp_path, guide="tiny", guide_sha256=None)
    made = {}
    monkeypatch.setattr("flowedit.fit.loop.shipped_for", lambda *_: TRAINED)
    for words in ([], ["--start", "nothing"], ["--method", "predict"], ["--start", "predict"]):
        network = ["--predictor", str(tmp_path)] if "predict" in words else []
        options = edits.parse([str(tmp_path), *words, *network, "--set", "steps=1"])
        edit = options.find(PORTRAIT, "red", config=options.config, encoder=encoder)
        made[" ".join(words)] = edit.facts["steps"], edit.facts["predictor"] is not None
    assert made == {
        "": (1, True),
        "--start nothing": (1, False),
        "--method predict": (0, True),
        "--start predict": (1, True),
    }


@pytest.mark.parametrize("words", [["--method", "predict", "--start", "predict"], ["--predictor", "x"]])
def test_options_that_do_not_go_together_are_refused(words, monkeypatch, capsys):
    monkeypatch.setattr(edits, "find_asked", lambda options: setattr(options, "config", FREE))
    with pytest.raises(SystemExit):
        edits.parse(["folder", *words])
    assert " must go with " in capsys.readouterr().err


def test_a_predictor_must_be_there(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse(["--predictor", str(tmp_path / "gone")])
    assert "predictor must be 'predictor', or a file or folder" in capsys.readouterr().err
