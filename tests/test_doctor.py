"""`flowedit doctor`: what works, what is broken and named, and nothing of whose machine it is."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flowedit.app import doctor
from flowedit.app.cli import main
from flowedit.guide.encoder import WEIGHTS


@pytest.fixture
def only(monkeypatch):
    """Let one check alone run."""

    def choose(name):
        monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name]})

    return choose


def broken(capsys):
    """The lines of standard error of a run that finds something broken, and its report."""
    assert main(["doctor", "--json"]) == 1
    said = capsys.readouterr()
    return said.err, json.loads(said.out)["checks"]


def test_a_sound_installation_works_without_network(monkeypatch, capsys):
    def refuse(*_):
        raise AssertionError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    found = doctor.IMPORT_EACH.replace("__import__(name)", "assert find_spec(name)")  # importing all takes 10 seconds
    assert found != doctor.IMPORT_EACH
    monkeypatch.setattr(doctor, "IMPORT_EACH", f"from importlib.util import find_spec\n{found}")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LD_PRELOAD", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["/home/jane", *sys.path]))
    assert main(["doctor", "--json"]) == 0
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert said.err == "" and {*report["checks"]} == {*doctor.CHECKS} and len(doctor.CHECKS) == 9
    assert all(check["works"] for check in report["checks"].values())
    imported = report["checks"]["imports"]["found"].split(", ")
    assert {"torch", "numpy", "open_clip", "PIL", "dlib", "tyro", "av"} <= {*imported}
    assert "face-recognition-models" not in imported
    card = json.loads((WEIGHTS / "faceclip" / "card.json").read_text())
    assert card["sha256"] in report["checks"]["encoder"]["found"]
    assert {"torch", "open_clip_torch", "kornia", "dlib-bin", "av", "numpy", "pillow"} <= {*report["versions"]}
    assert report["variables"] == {"OMP_NUM_THREADS": "1", "LD_PRELOAD": "", "PYTHONPATH": "set"}
    for folder in (Path.home(), Path.cwd(), sys.prefix, tempfile.gettempdir(), "/home/jane"):
        assert str(folder) not in said.out


def test_the_text_says_the_same(only, capsys):
    only("corpora")
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "\nchecks:\n  corpora: age (" in out and "\n  python: 3." in out and out.endswith("\neverything works\n")


def test_changed_weights_are_named_without_their_folder(only, monkeypatch, tmp_path, capsys):
    only("encoder")
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    file = tmp_path / "weights" / "faceclip" / "open_clip_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr("flowedit.guide.encoder.WEIGHTS", tmp_path / "weights")
    err, checks = broken(capsys)
    assert err.startswith("flowedit: encoder: ") and err.count("\n") == 1
    assert "open_clip_model.safetensors must have SHA-256" in err and str(tmp_path) not in err
    assert checks["encoder"]["works"] is False


def test_a_missing_predictor_and_missing_corpora_are_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(doctor, "CHECKS", {name: doctor.CHECKS[name] for name in ("predictor", "corpora")})
    monkeypatch.setattr("flowedit.predict.weights.WEIGHTS", tmp_path)
    monkeypatch.setattr("flowedit.guide.corpus.FOLDER", tmp_path)
    err, _ = broken(capsys)
    assert err.splitlines()[0].startswith("flowedit: predictor: no predictor is shipped")
    assert err.splitlines()[1] == "flowedit: corpora: corpora must be shipped; got none: reinstall flowedit"


def test_kernels_that_do_not_load_are_broken_and_kernels_not_built_are_not(only, monkeypatch, capsys):
    only("kernels")
    from flowedit.kernels import dispatch

    monkeypatch.setattr(dispatch, "problem", lambda name: "cannot be loaded: /home/jane/_native.so: no such symbol")
    err, _ = broken(capsys)
    assert err == "flowedit: kernels: cannot be loaded: .../_native.so: no such symbol\n"
    monkeypatch.setattr(dispatch, "problem", lambda name: "not built: no C++ compiler was found")
    assert main(["doctor"]) == 0
    assert "kernels: not built: no C++ compiler was found; plain torch computes" in capsys.readouterr().out


def test_kernels_that_compute_something_else_are_broken(only, monkeypatch, capsys):
    only("kernels")
    from flowedit import kernels

    sample = kernels.sample
    monkeypatch.setattr(kernels.dispatch, "problem", lambda name: None)
    monkeypatch.setattr(kernels, "sample", lambda *a, backend: sample(*a, backend="torch") + (backend == "native"))
    err, _ = broken(capsys)
    assert err == "flowedit: kernels: they must compute what plain torch does; got values 1 apart\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ImportError('/home/jane/lib/x.so: wrong')", "cannot be imported: ImportError: .../x.so: wrong"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGILL)", "ends the process (SIGILL)"),
        ("import os; os._exit(3)", "ends the process (exit code 3)"),
    ],
)
def test_a_package_that_cannot_be_imported_is_named(only, monkeypatch, tmp_path, capsys, body, said):
    only("imports")
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: ["kornia", "numpy", "torch; extra == 'x'"])
    monkeypatch.setattr(doctor, "OPTIONAL", ())
    (tmp_path / "kornia.py").write_text(f"print('hello')\n{body}")
    monkeypatch.syspath_prepend(tmp_path)
    err, _ = broken(capsys)
    assert err.startswith(f"flowedit: imports: kornia {said}") and err.count("\n") == 1


def test_a_requirement_that_is_missing_or_too_old_is_named(only, monkeypatch, capsys):
    only("requirements")
    wanted = ["numpy>=9999", "no-such-package-of-ours", "pillow", "av>=9999; extra == 'video'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: wanted)
    err, _ = broken(capsys)
    assert err.startswith("flowedit: requirements: numpy must be >=9999; got ")
    assert err.endswith("; no-such-package-of-ours is not installed\n")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/jane/x/_native.so: undefined symbol", ".../_native.so: undefined symbol"),
        ("cannot read '/Users/jane/a.png'", "cannot read '.../a.png'"),
        ("~/models/a.pt", ".../a.pt"),
        ("hf-hub:ORG/REPO and 12/16 and Linux-6/x", "hf-hub:ORG/REPO and 12/16 and Linux-6/x"),
        ([{"a": "/opt/jane/b"}], [{"a": ".../b"}]),
        (3, 3),
    ],
)
def test_paths_lose_their_folders(text, kept):
    assert doctor.without_folders(text) == kept


def test_a_home_with_a_space_in_it_goes_too(monkeypatch):
    monkeypatch.setenv("HOME", "/Users/Jane Doe")
    assert doctor.without_folders("/Users/Jane Doe/site packages/a.so: broken") == ".../site packages/a.so: broken"
    assert "Jane" not in doctor.without_folders("/Users/Jane Doe is no folder")


def test_a_broken_torch_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so: cannot open shared object file')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    command = [sys.executable, "-m", "flowedit", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == "flowedit: cannot start: libcudart.so: cannot open shared object file (--debug shows where)\n"
