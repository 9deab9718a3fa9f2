"""The command line, over a stand-in for the library: what it passes on, prints, writes and returns."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import numpy as np
import pytest
import torch

import flowedit
import flowedit.photo.photo
from flowedit.app.cli import main
from flowedit.app.options import parse_prompts
from flowedit.app.paths import WrongUsage
from flowedit.checks import warn
from flowedit.kernels import available
from flowedit.photo.metadata import Metadata
from flowedit.photo.raster import Raster
from flowedit.provenance import Provenance


class StubPhoto:
    """Black at strength 0, and white at any other."""

    original = SimpleNamespace(metadata=SimpleNamespace(icc=None))

    def __init__(self, level=255):
        self.level = level

    def at(self, strength=None, **scales):
        return StubPhoto(0 if strength == 0 else 255)

    def over_white(self):
        return self

    def rows(self):
        return Raster(np.full((4, 6, 3), self.level, np.uint8), None, "PNG", Metadata()).rows()


class StubEdit:
    """An edit that writes what it was asked for instead of a picture."""

    prompts = MappingProxyType({"a smiling face": 1.0})
    strength = 0.8
    strength_reason = "within the identity budget"
    stopped = "steps"
    facts = Provenance()
    origin = "abc"

    def save(self, path, *, strength=None, shape=1.0, color=1.0, overwrite=False, strip_location=False):
        Path(path).write_text(json.dumps([strength, shape, color, overwrite]))

    def save_edit(self, path):
        Path(path).write_text("edit")

    def plot(self, path):
        Path(path).write_text("plot")

    @property
    def edited(self):
        return StubPhoto()

    def provenance(self):
        return {"tool": "flowedit"}

    def explain(self):
        return {"prompt": "a smiling face", "moved": {"mouth": 0.123456, "eyes": 0.0}, "folds": 0}

    def apply(self, photo, **how):
        self.done = [*getattr(self, "done", []), ("apply", str(photo), how)]
        return self

    def within(self, **bounds):
        self.done.append(("within", bounds))
        return self

    def __invert__(self):
        self.done = ["undo"]
        return self


@pytest.fixture
def calls(monkeypatch, tmp_path):
    """Replace `optimize` and `load`, in an empty folder; return the list of what `optimize` was asked for."""
    asked = []

    def optimize(image, prompt, *, config, encoder=None, judge=None, start="auto", callback=None, progress=None):
        asked.append((image, prompt, config, (encoder, judge), progress, start))
        if not Path(image).exists():
            raise FileNotFoundError(2, "No such file or directory", str(image))
        if "broken" in Path(image).name:
            raise ValueError(f"cannot read {image} as an image;\nit must be PNG")
        return StubEdit()

    monkeypatch.setattr(flowedit, "optimize", optimize)
    monkeypatch.setattr(flowedit, "load", lambda path: StubEdit())
    monkeypatch.chdir(tmp_path)
    return asked


def touch(*names):
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"photo")


def test_edit_writes_beside_you_by_default(calls, capsys):
    touch("in/face.jpg")
    assert main(["edit", "in/face.jpg", "a smiling face"]) == 0
    assert calls[0][:2] == (Path("in/face.jpg"), "a smiling face")
    assert Path("face_edited.png").exists() and Path("in/face.jpg").read_bytes() == b"photo"
    said = capsys.readouterr()
    assert "face_edited.png: strength 0.80 (within the identity budget)" in said.out and said.err == ""


def test_options_reach_the_library(calls, capsys):
    touch("face.jpg")
    command = ["edit", "face.jpg", "a smiling face=0.7", "--also", "sad=-0.5", "--also", "big eyes"]
    command += ["-o", "out.png", "--strength", "0.5", "--shape", "0.25", "--color", "2"]
    command += ["--overwrite", "--quiet", "--encoder", "ViT-B-32:x", "--judge", "faceclip"]
    command += ["--steps", "7", "--no-align", "--seed", "3", "--start", "nothing"]
    assert main(command) == 0
    _, prompt, config, encoders, progress, start = calls[0]
    assert prompt == {"a smiling face": 0.7, "sad": -0.5, "big eyes": 1.0}
    assert (config.steps, config.align, config.seed) == (7, False, 3)
    assert encoders == ("ViT-B-32:x", "faceclip") and progress is False and start is None
    assert json.loads(Path("out.png").read_text()) == [0.5, 0.25, 2.0, True]
    assert capsys.readouterr().out == ""


def test_defaults_are_those_of_config(calls):
    touch("face.jpg")
    assert main(["edit", "face.jpg", "a smiling face"]) == 0
    assert calls[0][2] == flowedit.Config() and calls[0][-1] == "auto"


@pytest.mark.parametrize(
    ("texts", "prompts"),
    [
        (["a smiling face"], "a smiling face"),
        (["smiling=1"], {"smiling": 1.0}),
        (["smiling", "sad=-1"], {"smiling": 1.0, "sad": -1.0}),
        (["eyes = big"], "eyes = big"),
        (["a=b=2"], {"a=b": 2.0}),
    ],
)
def test_prompts_carry_weights(texts, prompts):
    assert parse_prompts(texts) == prompts


def test_a_prompt_given_twice_is_refused():
    with pytest.raises(WrongUsage, match="once"):
        parse_prompts(["sad", "sad=2"])


@pytest.mark.parametrize("text", ["smiling=abc", "smiling=", "a=b=c"])
def test_a_weight_that_is_no_number_is_named(text):
    with pytest.raises(WrongUsage, match="the weight of a prompt must be a number; got "):
        parse_prompts([text])


def test_plot_sheet_and_edit_file(calls):
    touch("face.jpg")
    extras = ["--plot", "why.png", "--sheet", "sheet.png", "--save-edit", "smile.flowedit"]
    assert main(["edit", "face.jpg", "a smiling face", *extras]) == 0
    assert Path("why.png").read_text() == "plot" and Path("smile.flowedit").read_text() == "edit"
    sheet = flowedit.photo.photo.load("sheet.png").tensor()
    assert sheet.shape == (1, 3, 4, 12) and sheet[..., :6].max() == 0 and sheet[..., 6:].min() == 1


@pytest.mark.parametrize("photos", [["in"], ["in/*"], ["in/a.jpg", "in/broken.jpg", "in/a.PNG"]])
def test_one_failure_does_not_stop_the_rest(calls, capsys, photos):
    touch("in/a.jpg", "in/a.PNG", "in/broken.jpg")
    assert main(["edit", *photos, "a smiling face", "-o", "out", "--plot", "plots"]) == 1
    assert sorted(p.name for p in Path("out").iterdir()) == ["a_2_edited.png", "a_edited.png"]
    assert len(list(Path("plots").iterdir())) == 2
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "2 of 3 photos edited, 1 failed"
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith(f"flowedit: {Path('in/broken.jpg')}: cannot read ")


def test_a_folder_is_searched_for_pictures_only(calls):
    touch("in/a.jpg", "in/notes.txt", "in/.hidden.jpg", "in/deeper/b.jpg")
    assert main(["edit", "in", "a smiling face", "-o", "out"]) == 0
    assert [call[0] for call in calls] == [Path("in/a.jpg")]


@pytest.mark.parametrize("word", ["empty", "*.jpg"])
def test_nothing_to_edit_is_an_error(calls, capsys, word):
    Path("empty").mkdir()
    assert main(["edit", word, "a smiling face"]) == 1
    assert capsys.readouterr().err == f"flowedit: PHOTO must name at least one picture; got {word!r}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["edit", "face.jpg", "sad", "-o", "face.jpg"],
        ["edit", "face.jpg", "sad", "-o", "../{here}/face.jpg"],
        ["edit", "face.jpg", "face_edited.png", "sad"],
        ["edit", "face.jpg", "b.jpg", "sad", "-o", "out.png"],
        ["edit", "face.jpg", "b.jpg", "sad", "-o", "b.jpg"],
        ["edit", "face.jpg", "b.jpg"],
        ["edit", "face.jpg"],
        ["edit"],
        ["apply", "smile.flowedit"],
        ["edit", "face.jpg", "sad", "--also", "sad"],
        ["edit", "face.jpg", "sad", "--stepps", "3"],
        ["edit", "face.jpg", "sad", "--steps", "three"],
        ["edit", "face.jpg", "sad", "--steps", "0"],
        ["paint"],
        [],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_one_line_and_does_nothing(calls, capsys, command, tmp_path):
    touch("face.jpg", "b.jpg", "face_edited.png")
    before = sorted(Path().iterdir())
    assert main([word.format(here=tmp_path.name) for word in command]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("flowedit: ") and len(said.err.splitlines()) == 1
    assert not any(mark in said.err for mark in ("│", "╭", "──", "tyro", "---"))
    assert calls == [] and sorted(Path().iterdir()) == before


def test_wrong_usage_names_the_option(calls, capsys):
    touch("face.jpg")
    assert main(["edit", "face.jpg", "sad", "--stepps", "3"]) == 2
    assert "--stepps" in capsys.readouterr().err


def test_overwrite_allows_the_photo_itself(calls):
    touch("face.jpg")
    assert main(["edit", "face.jpg", "sad", "-o", "face.jpg", "--overwrite"]) == 0
    assert json.loads(Path("face.jpg").read_text())[-1] is True


def test_a_missing_photo_is_one_line(calls, capsys):
    assert main(["edit", "gone.jpg", "sad"]) == 1
    assert capsys.readouterr().err == "flowedit: gone.jpg: No such file or directory\n"


def test_an_impossible_result_is_said_before_the_work(calls, capsys):
    touch("face.jpg")
    assert main(["edit", "face.jpg", "sad", "-o", "gone/out.png"]) == 1
    assert capsys.readouterr().err.startswith("flowedit: --out: cannot write gone/out.png: folder ")
    assert main(["edit", "face.jpg", "sad", "-o", "out.bmp"]) == 2
    assert capsys.readouterr().err.startswith("flowedit: --out must end in one of .png, ")
    assert calls == []


def test_debug_shows_the_traceback(calls, capsys):
    touch("broken.jpg")
    assert main(["edit", "broken.jpg", "sad", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    assert main(["edit", "broken.jpg", "sad"]) == 1
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_named_by_its_type(calls, capsys, monkeypatch):
    touch("face.jpg")
    monkeypatch.setattr(StubEdit, "save", lambda *_, **__: {}["x"])
    assert main(["edit", "face.jpg", "sad"]) == 1
    assert capsys.readouterr().err == "flowedit: KeyError 'x' (--debug shows where)\n"


def test_the_best_so_far_is_kept_and_said(calls, capsys, monkeypatch):
    touch("a.jpg", "b.jpg")
    monkeypatch.setattr(StubEdit, "stopped", "interrupted")
    assert main(["edit", "a.jpg", "b.jpg", "sad"]) == 1
    assert Path("a_edited.png").exists() and not Path("b_edited.png").exists()
    kept = "flowedit: interrupted: a_edited.png has the best edit so far; 1 of 2 photos edited, 0 failed\n"
    assert capsys.readouterr().err == kept


def test_ctrl_c_outside_the_loop_is_130(calls, capsys, monkeypatch):
    touch("face.jpg")

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(StubEdit, "save", stop)
    assert main(["edit", "face.jpg", "sad"]) == 1
    assert capsys.readouterr().err == "flowedit: interrupted\n"


def test_warnings_are_one_line_and_only_ours(calls, capsys, monkeypatch):
    touch("face.jpg")

    def save(*_, **__):
        warn("alpha is\ndropped")
        warnings.warn_explicit("not ours", UserWarning, "/elsewhere/numpy.py", 1)

    monkeypatch.setattr(StubEdit, "save", save)
    assert main(["edit", "face.jpg", "sad"]) == 0
    assert capsys.readouterr().err == "flowedit: warning: alpha is dropped\n"


def test_apply_takes_a_folder(calls):
    touch("in/a.jpg", "in/b.jpg")
    assert main(["apply", "smile.flowedit", "in", "-o", "out"]) == 0
    assert sorted(p.name for p in Path("out").iterdir()) == ["a_edited.png", "b_edited.png"]


def test_apply_chooses_the_strength_anew_or_takes_the_edit_back(calls, monkeypatch, capsys):
    touch("a.jpg")
    edit = StubEdit()
    monkeypatch.setattr(flowedit, "load", lambda path: edit)

    def done(*options):
        edit.done = []
        assert main(["apply", "smile.flowedit", "a.jpg", "-o", "b.png", *options]) == 0
        return edit.done

    how = {"face": "largest", "by": "landmarks"}
    assert done() == [("apply", "a.jpg", how), ("within", {"identity": 0.35})]
    assert done("--identity", "0.2", "--face", "1", "--by", "frame") == [
        ("apply", "a.jpg", {"face": 1, "by": "frame"}),
        ("within", {"identity": 0.2}),
    ]
    assert done("--identity", "None") == done("--strength", "0.5") == [("apply", "a.jpg", how)]
    own = {"photo_sha256": "abc", "prompts": {"a smiling face": 1.0}}
    notes = iter([own, {**own, "prompts": {"sad": 1.0}}, {**own, "photo_sha256": "other"}, None])
    monkeypatch.setattr("flowedit.photo.photo.read_note", lambda path: next(notes))
    unknown = "carries no record of having been made"
    for said in ("", "made by another edit of the same photo, as its record says: 'sad'", unknown, unknown):
        assert done("--undo") == ["undo", ("apply", "a.jpg", {})]
        told = capsys.readouterr().err
        assert (said in told) if said else not told
    edit.facts = Provenance(in_place=True)  # one that was saved undone
    assert done() == [("apply", "a.jpg", how)]
    assert main(["apply", "smile.flowedit", "a.jpg", "--undo", "--by", "frame"]) == 2


def test_explain_prints_facts(calls, capsys):
    assert main(["explain", "smile.flowedit"]) == 0
    assert capsys.readouterr().out == "prompt: a smiling face\nmoved:\n  mouth: 0.1235\n  eyes: 0\nfolds: 0\n"
    assert main(["explain", "smile.flowedit", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == StubEdit().explain()


def test_explain_reads_the_record_in_a_picture(calls, capsys):
    picture = torch.zeros(1, 3, 4, 4)
    flowedit.photo.photo.save("told.png", picture, note={"prompt": "sad"})
    flowedit.photo.photo.save("untold.png", picture)
    assert main(["explain", "told.png"]) == 0
    assert "prompt: sad" in capsys.readouterr().out
    assert main(["explain", "untold.png"]) == 1
    assert capsys.readouterr().err.startswith("flowedit: EDIT must carry flowedit's record; got untold.png")


def test_info_prints_versions_machine_backends_encoders(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    native = "native: usable" if "native" in available() else "native: not built"
    for word in (flowedit.__version__, torch.__version__.split("+")[0], "threads: ", native, "triton: ", "shipped: "):
        assert word in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"flowedit {flowedit.__version__}\n"


@pytest.mark.parametrize("command", [["--help"], ["edit", "--help"], ["apply", "--help"]])
def test_help_goes_to_stdout(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert not stop.value.code and "usage: flowedit" in capsys.readouterr().out


def test_python_dash_m_returns_the_exit_code(tmp_path):
    command = [sys.executable, "-m", "flowedit", "edit", "gone.jpg", "a smiling face"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("flowedit: ") and "gone.jpg" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes as on POSIX")
def test_a_closed_pipe_is_no_traceback():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "flowedit", "info"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.skipif(os.name != "posix", reason="signals and pipes as on POSIX")
def test_a_real_ctrl_c_is_clean():
    # A job that a shell put into the background inherits an ignored SIGINT; a user's terminal does not.
    script = """
import signal, time
import flowedit, flowedit.app.cli
signal.signal(signal.SIGINT, signal.default_int_handler)
def optimize(*_, **__):
    print("ready", flush=True)
    time.sleep(60)
flowedit.optimize = optimize
raise SystemExit(flowedit.app.cli.main(["edit", "face.jpg", "sad"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "flowedit: interrupted\n")


@pytest.mark.parametrize("quiet", [False, True])
def test_what_the_package_logs_is_shown_unless_quiet(quiet, capsys, monkeypatch):
    def run(self):
        logging.getLogger("flowedit.guide.corpus").info("corpus %s", "eyes")
        logging.getLogger("flowedit.guide.corpus").debug("details")
        return 0

    monkeypatch.setattr("flowedit.app.commands.EditCommand.run", run)
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(sys.stderr)])  # as open_clip leaves it
    assert main(["edit", "a.png", "big eyes", *(["--quiet"] if quiet else [])]) == 0
    assert capsys.readouterr().err == ("" if quiet else "flowedit: corpus eyes\n")
    assert not logging.getLogger("flowedit").handlers
