"""The number of threads while an edit is optimized: fewer on busy cores, and the host's own afterwards."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from skimage.data import astronaut
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.checks import collect, warn
from flowedit.config import Config
from flowedit.task import threads
from flowedit.task.threads import count_idle_cores, on_idle_cores, spare_busy_cores


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


@pytest.mark.parametrize(("idle", "at_once"), [(1, 1), (3, 3), (64, 4)])
def test_items_are_computed_on_idle_cores_and_told_as_one_after_the_other(idle, at_once, monkeypatch):
    monkeypatch.setattr(threads, "count_idle_cores", lambda: idle)
    together = threading.Barrier(at_once)

    def compute(item):
        together.wait(30)
        warn(f"item {item}")
        return item, torch.get_num_threads(), torch.get_default_dtype()

    with spare_busy_cores(1), collect() as messages, pytest.warns(UserWarning):
        found = on_idle_cores(compute, range(4 * at_once))
    assert found == [(item, 1, torch.float32) for item in range(4 * at_once)]
    assert sorted(messages) == sorted(f"item {item}" for item in range(4 * at_once))
    assert torch.get_num_threads() == 4


def test_the_first_error_ends_what_was_not_begun(monkeypatch):
    monkeypatch.setattr(threads, "count_idle_cores", lambda: 2)
    begun = []

    def fail(item):
        begun.append(item)
        raise KeyError(item)

    with spare_busy_cores(1), pytest.raises(KeyError, match="0"):
        on_idle_cores(fail, range(1000))
    assert len(begun) < 1000


def test_a_large_encoders_work_is_not_shared_out(monkeypatch):
    monkeypatch.setattr(threads, "count_idle_cores", lambda: 4)
    assert on_idle_cores(lambda item: torch.get_num_threads(), range(2)) == [4, 4]


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


def test_edits_in_threads_are_those_made_in_turn():
    config = Config(align=False, steps=3)

    def make(seed):
        return flowedit.optimize(picture(seed=seed), "red", config=config, encoder=TinyEncoder()).render()

    serial = [make(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(one, other) for one, other in zip(pool.map(make, range(8)), serial, strict=True))
    assert not torch.equal(serial[0], serial[1]) and torch.get_num_threads() == 4


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
