"""Options of the command line: files of settings, and numbers and texts that are refused before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

import flowedit
from flowedit.app.cli import main, parse

TOML = "steps = 30\nseed = 7\n\n[weights]\nbending = 0.05\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A photo, and a library that must not be called."""

    def optimize(*_, **__):
        raise AssertionError("work before the checks")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(flowedit, "optimize", optimize)
    monkeypatch.setattr(flowedit, "variants", optimize)
    Path("face.png").write_bytes(b"photo")
    Path("mild.toml").write_text(TOML)


@pytest.mark.parametrize(
    "words", [["edit", "face.png", "sad"], ["sweep", "face.png", "sad"], ["vary", "face.png", "sad"]]
)
@pytest.mark.parametrize("file", [["--config", "mild.toml"], ["--config=mild.toml"]])
def test_a_file_of_settings_is_under_the_flags(words, file):
    config = parse([*words, *file]).config
    assert config == flowedit.Config.from_dict({"steps": 30, "seed": 7, "weights": {"bending": 0.05}})
    default = flowedit.Config()
    flags = ["--steps", "60", "--seed", str(default.seed), "--weights.bending", str(default.weights.bending)]
    config = parse([*words, *file, *flags]).config  # a flag counts more, with the default's value too
    assert (config.steps, config.seed, config.weights) == (60, 0, default.weights)
    assert parse(words).config == default


def test_help_shows_the_files_settings(capsys):
    with pytest.raises(SystemExit):
        main(["edit", "--config", "mild.toml", "--help"])
    assert "(default: 30)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("stepps = 3", "bad.toml: stepps must be one of "),
        ("[weights]\nbend = 3", "bad.toml: weights.bend must be one of "),
        ("steps = 0", "bad.toml: steps must be at least 1; got 0"),
        ("steps = ", "bad.toml: "),
    ],
)
def test_a_wrong_file_names_itself_and_the_key(text, reason, capsys):
    Path("bad.toml").write_text(text)
    assert main(["edit", "face.png", "sad", "--config", "bad.toml"]) == 1
    said = capsys.readouterr().err
    assert reason in said and len(said.splitlines()) == 1


def test_a_missing_file_is_named(capsys):
    assert main(["edit", "face.png", "sad", "--config", "gone.toml"]) == 1
    assert "got gone.toml" in capsys.readouterr().err
    assert main(["edit", "face.png", "sad", "--config"]) == 2
    assert "--config" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["edit", "face.png", "sad", "--strength", "nan"], "strength must be finite; got nan"),
        (["edit", "face.png", "sad", "--shape", "inf"], "shape must be finite; got inf"),
        (["edit", "face.png", "sad", "--color", "-inf"], "color must be finite; got -inf"),
        (["edit", "face.png", "sad=nan"], "the weight of a prompt must be a finite number; got nan for 'sad'"),
        (["sweep", "face.png", "sad=inf"], "the weight of a prompt must be a finite number"),
        (["sweep", "face.png", "sad", "--strengths", "0", "nan"], "strengths must be 1 to 64 finite numbers"),
        (["sweep", "face.png", "sad", "--strengths", *map(str, range(65))], "strengths must be 1 to 64 finite numbers"),
        (["vary", "face.png", "sad", "--n", "1000000000"], "n must be from 1 to 16; got 1000000000"),
        (["vary", "face.png", "sad", "--n", "0"], "n must be from 1 to 16; got 0"),
        (["edit", "face.png", "sad", "--weights.bending", "nan"], "bending must be finite; got nan"),
        (["edit", "face.png", "sad", "--tilt", "abc"], "--tilt must be a number or None; got 'abc'"),
        (
            ["edit", "face.png", "sad", "--region", "nos"],
            "--region must be one of None, brows, eyes, jaw, mouth, nose, skin",
        ),
        (["edit", "face.png", "😴"], "prompt must have at least one word; got '😴'"),
        (["edit", "face.png", "sad", "--views", "2.5"], "--views must be a whole number; got '2.5'"),
        (["edit", "face.png", "sad", "--parts.lips", "a", "b"], "--parts.lips must be two numbers; got 'a' 'b'"),
        (["edit", "face.png", "x" * 60_000], "prompts must take at most "),
        (["vary", "face.png", "sad", "--also", "顔" * 10_000], "bytes in a picture's record; got 60"),
        (["apply", "e.flowedit", "face.png", "--identity", "nan"], "identity must be finite; got nan"),
        (["apply", "e.flowedit", "face.png", "--identity", "0"], "identity must be more than 0; got 0"),
        (["apply", "e.flowedit", "face.png", "--strength", "nan"], "strength must be finite; got nan"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_numbers_and_texts_are_checked_before_any_work(words, reason, capsys):
    assert main(words) == 2
    said = capsys.readouterr()
    assert reason in said.err and len(said.err.splitlines()) == 1 and said.out == ""
    assert "Error parsing" not in said.err
