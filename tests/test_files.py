"""Outputs that are checked before any work, written whole or not at all, and inputs that end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from flowedit.photo import files
from flowedit.photo.files import check_outputs, open_input, write_atomically
from flowedit.photo.photo import load

ROOT = Path(__file__).parent.parent


def refusal(kind, *args, **kwargs) -> str:
    with pytest.raises(kind) as error:
        check_outputs(*args, **kwargs)
    assert type(error.value) is kind and "\n" not in str(error.value)
    return str(error.value)


def test_good_outputs_leave_no_trace(tmp_path):
    (tmp_path / "old.png").write_bytes(b"old")
    check_outputs(
        {"-o": [tmp_path / "new.png"], "--plot": [tmp_path / "a.png", tmp_path / "old.png"]}, [tmp_path / "in"]
    )
    assert [p.name for p in tmp_path.iterdir()] == ["old.png"] and (tmp_path / "old.png").read_bytes() == b"old"


@pytest.mark.parametrize("how", ["same", "dots", "symbolic", "hard", "dangling"])
def test_an_output_is_no_input_and_no_other_output(tmp_path, how, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photo, alias = tmp_path / "in.png", tmp_path / "alias.png"
    if how != "dangling":
        photo.write_bytes(b"photo")
    if how == "hard":
        os.link(photo, alias)
    elif how in ("symbolic", "dangling"):
        alias.symlink_to(photo)
    elif how == "dots":
        (tmp_path / "sub").mkdir()
        alias = Path("sub/../in.png")
    else:
        alias = photo
    message = refusal(FileExistsError, {"--sheet": [alias]}, [photo])
    assert message.startswith("--sheet must not replace a file that is read") and str(alias) in message
    message = refusal(FileExistsError, {"-o": [photo], "--plot": [alias]})
    assert message.startswith("outputs must be different files; --plot got ") and "-o names too" in message
    refusal(FileExistsError, {"-o": [photo, alias]})


def test_folders_are_made_once_the_names_are_right(tmp_path):
    paths = [tmp_path / "new" / "a.png", tmp_path / "new" / "b.png"]
    refusal(FileExistsError, {"-o": [*paths, paths[0]]}, make_folders=True)
    assert not paths[0].parent.exists()
    refusal(FileNotFoundError, {"-o": paths})
    check_outputs({"-o": paths}, make_folders=True)
    assert list(tmp_path.rglob("*")) == [paths[0].parent]


def test_names_that_differ_in_case_are_one_file_where_the_folder_says_so(tmp_path, monkeypatch):
    outputs = {"-o": [tmp_path / "a.png"], "--plot": [tmp_path / "A.PNG"]}
    for ignores in (False, True):
        monkeypatch.setattr(files, "_ignores_case", lambda folder, ignores=ignores: ignores)
        if ignores:
            assert "A.PNG" in refusal(FileExistsError, outputs)
        else:
            check_outputs(outputs)


def test_targets_that_cannot_be_written_are_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "dir.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    for name, kind, words in [
        ("dir.png", IsADirectoryError, "it is a folder"),
        ("none/a.png", FileNotFoundError, "does not exist"),
        ("pipe.png", OSError, "not a regular file"),
        ("loop.png", OSError, "cannot write"),
        ("x" * 300 + ".png", OSError, "too long"),
        ("a\0.png", OSError, "null"),
    ]:
        message = refusal(kind, {"--plot": [tmp_path / name]})
        assert re.match("--plot: cannot write |cannot use ", message) and words in message

    def full(*args, **kwargs):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(files, "open", full, raising=False)
    assert "Read-only file system" in refusal(OSError, {"-o": [tmp_path / "a.png"]})


def test_a_killed_writer_leaves_a_part_that_the_next_write_removes(tmp_path):
    script = """
import os, sys, time
from flowedit.photo.files import write_atomically
def write(file):
    file.write(b"half"); file.flush(); print("writing", flush=True); time.sleep(60)
write_atomically(sys.argv[1], write)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "a.png")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        try:
            assert process.stdout.readline() == b"writing\n"
            write_atomically(tmp_path / "b.png", lambda file: file.write(b"whole"))
            assert len(list(tmp_path.glob(".flowedit-*.part"))) == 1  # its writer lives
        finally:
            process.send_signal(signal.SIGKILL)
    (tmp_path / ".flowedit-mine.part").write_bytes(b"another name")
    write_atomically(tmp_path / "c.png", lambda file: file.write(b"whole"))
    assert {p.name for p in tmp_path.iterdir()} == {"b.png", "c.png", ".flowedit-mine.part"}


def interrupted_at(moment, action):
    """Raise KeyboardInterrupt at a moment when the interpreter looks for signals; return whether there was that one."""
    count = 0

    def shoot(frame, event, argument):
        nonlocal count
        if event in ("call", "c_return"):
            count += 1
            if count > moment:
                sys.setprofile(None)
                raise KeyboardInterrupt

    sys.setprofile(shoot)
    try:
        action()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def test_ctrl_c_at_any_moment_leaves_no_part(tmp_path):
    path, contents = tmp_path / "a.png", set()
    for action in (
        lambda: write_atomically(path, lambda file: file.write(b"whole")),
        lambda: check_outputs({"-o": [path]}),
    ):
        moment = 0
        path.write_bytes(b"old")
        while interrupted_at(moment, action):
            assert [each.name for each in tmp_path.iterdir()] == ["a.png"], moment
            contents.add(path.read_bytes())
            moment += 1
        assert moment > 50
    assert contents == {b"old", b"whole"}


def test_a_part_taken_for_stale_before_it_was_locked_is_made_anew(tmp_path, monkeypatch):
    lock, removed = files.fcntl.flock, []

    def late(file, how):
        if not removed and how == files.fcntl.LOCK_EX:
            removed.extend(tmp_path.glob(".flowedit-*.part"))
            removed[0].unlink()
        return lock(file, how)

    monkeypatch.setattr(files.fcntl, "flock", late)
    write_atomically(tmp_path / "a", lambda file: file.write(b"whole"))
    assert removed and [p.name for p in tmp_path.iterdir()] == ["a"] and (tmp_path / "a").read_bytes() == b"whole"


def test_what_is_no_regular_file_is_never_read(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a socket's path must be short
        os.mkfifo(f"{folder}/pipe")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/socket")
            for path in ("/dev/zero", f"{folder}/pipe", f"{folder}/socket", folder, f"{folder}/none"):
                with pytest.raises(OSError, match=f"cannot read {path}: ") as error:
                    load(path)
                assert "\n" not in str(error.value)
        path = Path(folder, "large")
        path.write_bytes(b"123456")
        monkeypatch.setattr(files, "MAX_FILE_BYTES", 5)
        with pytest.raises(OSError, match="at most 5 bytes; got 6"):
            open_input(path)
