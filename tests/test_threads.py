"""The number of threads while an edit is optimized: fewer on busy cores, and the host's own afterwards."""

from __future__ import annotations

import threading

import pytest
import torch
from skimage.data import astronaut
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Config
from flowedit.task import threads
from flowedit.task.threads import count_idle_cores, spare_busy_cores


@pytest.fixture(autouse=True)
def four(monkeypatch):
    """Four threads, as torch has them on four cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("idle", "used"), [(-3, 1), (0, 1), (3, 3), (4, 4), (64, 4)])
def test_no_more_threads_than_idle_cores(idle, used, monkeypatch):
    monkeypatch.setattr(threads, "count_idle_cores", lambda: idle)
    with spare_busy_cores():
        assert torch.get_num_threads() == used
    assert torch.get_num_threads() == 4
    with pytest.raises(KeyError), spare_busy_cores():
        raise KeyError
    assert torch.get_num_threads() == 4


def test_the_users_own_number_stays(monkeypatch):
    monkeypatch.setattr(threads, "count_idle_cores", lambda: 0)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with spare_busy_cores():
        assert torch.get_num_threads() == 4


def test_blocks_may_be_nested_and_overlap(monkeypatch):
    monkeypatch.setattr(threads, "count_idle_cores", lambda: 0)
    inside, leave, numbers = threading.Event(), threading.Event(), []

    def other():
        with spare_busy_cores():
            numbers.append(torch.get_num_threads())
            inside.set()
            leave.wait(30)
        numbers.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    with spare_busy_cores():
        with spare_busy_cores():
            thread.start()
            assert inside.wait(30)
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
    leave.set()
    thread.join()
    assert numbers == [1, 4] and torch.get_num_threads() == 4


def test_an_exact_number_holds_until_its_block_ends(monkeypatch):
    monkeypatch.setattr(threads, "count_idle_cores", lambda: 4)
    with spare_busy_cores(2):
        with spare_busy_cores(1), spare_busy_cores():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with spare_busy_cores():
            assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == 4


def test_running_threads_of_others_are_counted(monkeypatch, tmp_path):
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    monkeypatch.setattr(threads, "LOAD", tmp_path / "loadavg")
    for running, idle in ((1, 6), (3, 6), (4, 5), (9, 0)):
        threads.LOAD.write_text(f"7.00 3.00 1.00 {running}/512 1234\n")
        assert count_idle_cores() == idle
    threads.LOAD.unlink()
    monkeypatch.setattr(threads.os, "getloadavg", lambda: (5.2, 0.0, 0.0))
    assert count_idle_cores() == 3


def test_optimize_spares_busy_cores_and_records_its_threads(monkeypatch):
    monkeypatch.setattr(threads, "count_idle_cores", lambda: 1)
    config = flowedit.Config(align=False, steps=1)
    edit = flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder())
    assert edit.facts["threads"] == 1 and torch.get_num_threads() == 4


def test_an_edit_under_a_small_encoder_is_the_same_bits_in_any_number_of_threads():
    before, edits = torch.get_num_threads(), []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            edits.append(flowedit.optimize(astronaut()[:256, 90:346], "a smiling face", config=Config(steps=6)))
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(before)
    one, two = edits
    assert one.history == two.history and torch.equal(one.render(), two.render())
