"""Printing: it never stops the work, and what a file says cannot steer the terminal."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys

import pytest
from fresh import run_fresh
from PIL import Image
from stand_in import TinyEncoder, picture

import flowedit.photo.photo
from flowedit.app.cli import main
from flowedit.app.console import complain, escape, format_facts, is_terminal, log_in_one_line, say

QUICK = ["--no-align", "--steps", "2"]


class Broken(io.StringIO):
    """A stream whose every write fails."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


STREAMS = [lambda: None, closed, lambda: Broken(OSError(28, "No space left on device"))]


@pytest.mark.parametrize("stream", STREAMS)
def test_a_missing_closed_or_full_stream_is_no_error(stream, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream())
    monkeypatch.setattr(sys, "stderr", stream())
    say("x")
    complain("x")
    with log_in_one_line(quiet=False, debug=False):
        logging.getLogger("flowedit").warning("x")
    assert not is_terminal(sys.stderr)


@pytest.mark.parametrize("stream", STREAMS)
def test_an_edit_goes_on_without_streams(stream, monkeypatch, tmp_path):
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder(known=False))
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("face.png")
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream())
        patch.setattr(sys, "stderr", stream())
        assert main(["edit", "face.png", "red", *QUICK]) == 0
    assert (tmp_path / "face_edited.png").is_file()


def test_only_a_gone_reader_of_results_is_told_to_the_caller(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Broken(BrokenPipeError()))
    monkeypatch.setattr(sys, "stderr", Broken(BrokenPipeError()))
    complain("x")
    with pytest.raises(BrokenPipeError):
        say("x")


def test_a_stream_gets_what_it_can_write(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    say("M\u00fcnchen")
    assert raw.getvalue() == b"M\\xfcnchen\n"


def test_a_folder_with_a_name_beyond_ascii_is_edited_to_the_end(tmp_path):
    folder = tmp_path / "M\u00fcnchen"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(picture()).save(folder / name)
    script = """
import sys
from stand_in import TinyEncoder
import flowedit.task.finish
import flowedit.task.prepare
flowedit.task.prepare.load_encoder = lambda name, device: TinyEncoder()
flowedit.task.finish.warn_of_little = lambda *_: None  # a stand-in's edit is small
from flowedit.app.cli import main
sys.exit(main(sys.argv[1:]))
"""
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    environment["PYTHONPATH"] = os.pathsep.join([*sys.path, os.path.dirname(__file__)])
    command = [sys.executable, "-c", script, "edit", str(folder), "red", *QUICK, "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, env=environment)
    assert (done.returncode, done.stderr) == (0, b"") and b"M\\xfcnchen/b.png" in done.stdout
    assert done.stdout.endswith(b"2 of 2 photos edited, 0 failed\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x07", "\\u001b[31mred\\u0007"),
        ("a\rb\x7f\x9b", "a\\u000db\\u007f\\u009b"),
        ("one\ntwo\ttab", "one\\u000atwo\\u0009tab"),
        ("abc\u202egnp.exe", "abc\\u202egnp.exe"),
        ("name\udcff.png", "name\\udcff.png"),
        ("Grüße, 顔, \u00a0👩\u200d🎤", "Grüße, 顔, \u00a0👩\u200d🎤"),
    ],
)
def test_escape(text, shown):
    assert escape(text) == shown


def test_a_pictures_record_cannot_steer_the_terminal(tmp_path, capsys):
    note = {"tool": "flowedit", "prompts": {"\x1b]0;t\x07": 1.0}, "lines": ["\x1b[2J\nflowedit: x"], "x\ny": "\r"}
    path = tmp_path / "face.png"
    flowedit.photo.photo.save(path, flowedit.photo.photo.load(picture()).tensor(), note=note)
    for words in (["explain", str(path)], ["explain", str(path), "--json"]):
        assert main(words) == 0
        out = capsys.readouterr().out
        assert not set(out) & {"\x1b", "\x07", "\r"}
    assert list(format_facts(note))[-1] == "x\\u000ay: \\u000d" and len(list(format_facts(note))) == 6


def test_a_file_name_cannot_either(capsys):
    assert main(["edit", "\x1b7.png", "red", *QUICK]) == 1
    assert capsys.readouterr().err == "flowedit: cannot read \\u001b7.png: no such file\n"


@pytest.mark.parametrize("error", ["RuntimeError('no driver')", "SystemError"])
def test_info_goes_on_when_tinycudann_is_broken(error, tmp_path):
    (tmp_path / "tinycudann.py").write_text(f"raise {error}")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
    done = run_fresh(script + "from flowedit.__main__ import main; sys.argv[1:] = ['info']; sys.exit(main())")
    assert (done.returncode, done.stderr) == (0, "") and "tinycudann: cannot be imported" in done.stdout
