"""The benchmark of prompts with several attributes."""

from types import SimpleNamespace

import pytest

from benchmarks import combined

PROMPT = "a smiling face with red lipstick"


def test_each_attribute_is_counted_by_itself_and_a_lost_face_as_wrong(monkeypatch, capsys):
    effects = {"a": [1.0, -3.0], "b": [0.5, 4.0], "lost": [None, None]}
    monkeypatch.setattr(combined, "look", lambda photo, wanted: effects[photo])
    options = SimpleNamespace(
        prompts=[PROMPT], paths=[*effects], limit=None, config=None, find=lambda path, prompt, **_: path
    )
    (row,) = combined.run(options, None)
    assert row["right"] == [pytest.approx(2 / 3), pytest.approx(1 / 3)]
    assert row["seen"] == [pytest.approx(1 / 3), pytest.approx(1 / 3)] and row["effect"] == [0.5, 0.0]
    assert f"{PROMPT}: 67% +0.50; 33% +0.00" in capsys.readouterr().out


def test_an_unknown_prompt_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        combined.parse([str(tmp_path), "--prompts", "a hat"])
    assert "--prompts must be of" in capsys.readouterr().err
