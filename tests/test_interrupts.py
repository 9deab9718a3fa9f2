"""Ctrl-C and SIGTERM: one line, what is done is kept and counted, a second one stops at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.app.cli import main
from flowedit.photo.interrupts import delay_interrupts, interrupts_in_finalizers_unsaid, sigterm_as_ctrl_c

QUICK = ["--no-align", "--steps", "4", "--raster.coord-size", "4", "--raster.color-size", "4"]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Three photos; SIGINT as in a user's terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder())
    for name in ("a.png", "b.png", "c.png"):
        Image.fromarray(picture()).save(name)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(monkeypatch, name, times=1, number=signal.SIGINT):
    """Send a signal whenever a method of Edit begins."""
    method = getattr(flowedit.Edit, name)

    def wrapper(self, *arguments, **options):
        for _ in range(times):
            signal.raise_signal(number)
        return method(self, *arguments, **options)

    monkeypatch.setattr(flowedit.Edit, name, wrapper)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_save_in_hand_is_finished_and_no_other_begun(number, monkeypatch, capsys):
    interrupt(monkeypatch, "save", number=number)
    assert main(["edit", "a.png", "b.png", "red", *QUICK, "--sheet", "."]) == 1
    said = capsys.readouterr()
    assert said.err == "flowedit: interrupted: a_edited.png is complete; 1 of 2 photos edited, 0 failed\n"
    assert said.out.startswith("a.png -> a_edited.png: strength")
    assert sorted(path.name for path in Path().glob("*_*")) == ["a_edited.png", "a_sheet.png"]


def test_a_second_one_stops_at_once(monkeypatch, capsys):
    interrupt(monkeypatch, "save", times=2)
    assert main(["edit", "a.png", "red", *QUICK]) == 1
    assert capsys.readouterr() == ("", "flowedit: interrupted\n") and not list(Path().glob("*_*"))


def test_one_while_an_interrupted_edit_is_saved_stops_at_once(monkeypatch, capsys):
    class Stopping(TinyEncoder):
        def image(self, image):
            if self.calls == 3:
                self.calls += 1
                raise KeyboardInterrupt
            return super().image(image)

    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: Stopping())
    interrupt(monkeypatch, "save")
    assert main(["edit", "a.png", "red", *QUICK]) == 1
    assert capsys.readouterr() == ("", "flowedit: interrupted\n") and not list(Path().glob("*_*"))


def test_an_interrupted_sweep_says_so_and_fails(monkeypatch, capsys):
    class Stopping(TinyEncoder):
        def image(self, image):
            if self.calls == 3:
                self.calls += 1
                raise KeyboardInterrupt
            return super().image(image)

    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: Stopping())
    assert main(["sweep", "a.png", "red", *QUICK]) == 1
    assert capsys.readouterr().err == "flowedit: interrupted: a_sweep.png has the best edit so far\n"
    assert Path("a_sweep.png").is_file()


def test_a_stopped_folder_says_how_many_are_done(monkeypatch, capsys):
    optimize = flowedit.optimize

    def stop(photo, *arguments, **options):
        if photo.name == "c.png":
            signal.raise_signal(signal.SIGTERM)
        return optimize(photo, *arguments, **options)

    monkeypatch.setattr(flowedit, "optimize", stop)
    assert main(["edit", "a.png", "b.png", "c.png", "red", *QUICK]) == 1
    assert capsys.readouterr().err == "flowedit: interrupted; 2 of 3 photos edited, 0 failed\n"


def test_a_block_ends_before_an_interrupt_counts():
    with delay_interrupts() as delay:
        signal.raise_signal(signal.SIGINT)
        ended = True
    assert ended and delay.interrupted
    with pytest.raises(KeyboardInterrupt), delay_interrupts():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_handlers_of_others_stay():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with sigterm_as_ctrl_c(), delay_interrupts() as delay:
            signal.raise_signal(signal.SIGTERM)
        assert not delay.interrupted and signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_while_the_libraries_load_is_one_line(number, tmp_path):
    (tmp_path / "tyro.py").write_text("import time; print('loading', flush=True); time.sleep(60)")
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "from flowedit.__main__ import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None and process.stdout.readline() == "loading\n"
    time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "flowedit: interrupted\n")


def test_one_in_a_finalizer_is_not_printed(monkeypatch):
    class Finalized:
        def __init__(self, error):
            self.error = error

        def __del__(self):
            raise self.error

    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda dropped: told.append(dropped.exc_type))
    before = sys.unraisablehook
    with interrupts_in_finalizers_unsaid():
        for error in (KeyboardInterrupt, ValueError):
            Finalized(error)
    assert told == [ValueError] and sys.unraisablehook is before


def test_one_after_all_is_written_changes_no_exit_status():
    script = "import atexit, os, signal, sys, types\n"
    script += "sys.modules['flowedit.app.cli'] = types.SimpleNamespace(main=lambda: 0)\n"
    script += "atexit.register(lambda: [os.kill(os.getpid(), each) for each in (signal.SIGTERM, signal.SIGINT)])\n"
    script += "from flowedit.__main__ import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
