"""`flowedit batch`: a ledger by which runs go on from each other, and workers that may be killed."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from stand_in import picture

import flowedit
from flowedit.app import folder as command
from flowedit.app.batch import Job, Target, Verb, run
from flowedit.app.cli import main, parse
from flowedit.app.ledger import open_ledger
from flowedit.app.workers import ATTEMPTS, run_in_processes
from flowedit.checks import warn

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")


@dataclass(frozen=True)
class Copy(Verb):
    """Stands in for an edit: writes the photo's name; some names do something else."""

    log: Path

    def targets(self):
        return [Target("--out", None, "_edited.png", (".png",), optional=False)]

    def make(self, photo):
        with open(self.log, "a") as log:
            log.write(f"{photo.name} {os.environ.get('OMP_NUM_THREADS')}\n")
        if "broken" in photo.name:
            raise ValueError(f"cannot read {photo.name}")
        if "killer" in photo.name or ("once" in photo.name and self.log.read_text().count(photo.name) == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if "slow" in photo.name:
            time.sleep(0.5)
        if "doubtful" in photo.name:
            warn("it may not work")
        return [SimpleNamespace(stopped="", photo=photo)]

    def write(self, edits, files):
        files["--out"][0].write_text(edits[0].photo.name)
        return [str(files["--out"][0])]


def jobs(folder, *names):
    verb = Copy(folder / "log")
    return [Job(verb, folder / name, {"--out": (folder / f"{name}.out",)}) for name in names]


def tried(folder):
    """How often each photo was begun."""
    return Counter(line.split()[0] for line in (folder / "log").read_text().splitlines())


def check_records(folder, records, attempts):
    """What must be of three photos, one that ends its worker once, one that always does, and one that is broken."""
    by_name = {record.photo.name: record for record in records}
    assert len(by_name) == len(records) == 6  # none is lost, none comes twice
    assert tried(folder) == {"a": 1, "b": 1, "doubtful": 1, "broken": 1, "once": 2, "killer": attempts}
    assert "workers ended in the midst of it" in str(by_name["killer"].error)
    assert str(by_name["broken"].error) == "cannot read broken"
    done = {name for name, record in by_name.items() if record.error is None}
    assert done == {"a", "b", "doubtful", "once"}
    assert all((folder / f"{name}.out").read_text() == name for name in done)
    assert by_name["doubtful"].messages == ("it may not work",)


NAMES = "a", "killer", "b", "once", "broken", "doubtful"


def test_a_killed_worker_loses_and_doubles_no_photo(tmp_path, monkeypatch):
    monkeypatch.setattr("flowedit.app.workers.ATTEMPTS", 2)  # each costs the start of a process
    records = [*run_in_processes(jobs(tmp_path, *NAMES), 2, 3)]
    check_records(tmp_path, records, 2)
    assert {line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()} == {"3"}  # threads


@needs_ray
def test_ray_does_the_same(tmp_path):
    from flowedit.app.cluster import run_on_ray

    check_records(tmp_path, [*run_on_ray(jobs(tmp_path, *NAMES), "local", workers=2, threads=1)], ATTEMPTS)
    assert {line.split()[-1] for line in (tmp_path / "log").read_text().splitlines()} == {"1"}


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="Ray is installed")
def test_without_ray_a_line_says_what_to_install(tmp_path, capsys):
    Image.fromarray(picture()).save(tmp_path / "a.png")
    assert main(["batch", str(tmp_path / "a.png"), str(tmp_path / "out"), "red", "--ray", "local"]) == 2
    assert capsys.readouterr().err == (
        "flowedit: --ray must have Ray, which is not installed: pip install 'flowedit[ray]'\n"
    )


def test_after_ctrl_c_what_is_begun_is_finished_and_no_more_begun(tmp_path):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    records = []
    try:
        with pytest.raises(KeyboardInterrupt):
            for record in run_in_processes(jobs(tmp_path, "a", *(f"slow {n}" for n in range(4))), 1, 1):
                records.append(record.photo.name)
                assert len(records) < 4
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert records == ["a"] and tried(tmp_path) == {"a": 1}


def test_workers_that_cannot_start_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("flowedit.app.workers.serve", os._exit)  # which takes no pipe
    monkeypatch.setattr("flowedit.app.workers.ATTEMPTS", 1)  # each costs the start of a process
    with pytest.raises(RuntimeError, match="a worker must start; it ended with exit code 1"):
        list(run_in_processes(jobs(tmp_path, "a"), 1, 1))


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of photos, and `batch` in this process, by a stand-in for an edit."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for name in ("a", "b", "broken", "c"):
        Image.fromarray(picture(seed=len(name))).save(f"in/{name}.png")
    stand_in = Copy(tmp_path / "log")
    monkeypatch.setattr(
        command, "run_in_processes", lambda jobs, *_: (run(Job(stand_in, job.photo, job.files)) for job in jobs)
    )
    monkeypatch.setattr(flowedit, "load_predictor", lambda *_: None)
    return tmp_path


def batch(*options):
    """Run the command; return its exit code and which photos it began."""
    Path("log").write_text("")
    code = main(["batch", "in", "out", "red", *options])
    return code, "".join(sorted(tried(Path())))


def test_a_run_goes_on_with_what_is_not_done_or_has_changed(photos, capsys):
    Path("in/c.png").rename("c.png")
    assert batch() == (1, "a.pngb.pngbroken.png")
    assert "flowedit: in/broken.png: cannot read broken.png" in capsys.readouterr().err
    Path("c.png").rename("in/c.png")
    assert batch() == (1, "broken.pngc.png")
    assert "2 of 4 photos are done already, by out/ledger.jsonl" in capsys.readouterr().out
    Path("in/broken.png").unlink()
    assert batch() == (0, "")
    os.utime("in/a.png", (1, 1))
    Path("out/b_edited.png").unlink()
    assert batch() == (0, "a.pngb.png")
    assert batch("--strength", "0.5") == (0, "a.pngb.pngc.png")  # what is asked is another
    assert batch("--strength", "0.5", "--workers", "2", "--quiet") == (0, "")
    rows = [json.loads(line) for line in Path("out/ledger.jsonl").read_text().splitlines()]
    assert Counter(row["status"] for row in rows) == {"done": 8, "failed": 2}
    assert rows[2]["message"] == "cannot read broken.png" and rows[2]["photo"] == str(photos / "in" / "broken.png")


def test_a_line_that_was_cut_off_counts_for_nothing(photos):
    assert batch()[1] == "a.pngb.pngbroken.pngc.png"
    text = Path("out/ledger.jsonl").read_text()
    Path("out/ledger.jsonl").write_text(text[:-20])
    assert batch() == (1, "broken.pngc.png")
    assert batch() == (1, "broken.png")


def test_a_photo_that_took_anothers_name_is_made_anew(photos):
    """Outputs are numbered where names meet: which photo a picture is of may change with the folder."""
    Path("in/broken.png").unlink()
    assert batch() == (0, "a.pngb.pngc.png")
    Image.fromarray(picture()).save("in/a.jpg")
    assert batch() == (0, "a.jpga.png")
    Path("in/a.jpg").unlink()
    assert batch() == (0, "a.png")


def test_a_ledger_has_one_run_at_a_time(photos, capsys):
    Path("out").mkdir()
    with open_ledger(Path("out/ledger.jsonl"), ""):
        assert batch() == (1, "")
    assert "a ledger must be used by one run at a time" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--workers", "0"], "--workers must be a whole number from 1 to 4096; got 0"),
        (["--gpus", "1"], "--gpus must go with --ray; got no --ray"),
        (["--ledger", "in/a.png"], "--ledger must end in .jsonl; got in/a.png"),
        (["--fast", "--start", "predict"], "--fast must go without --start"),
    ],
)
def test_what_cannot_be_is_said_before_any_work(photos, capsys, options, reason):
    assert batch(*options)[0] in (1, 2) and not Path("out").exists()
    said = capsys.readouterr().err
    assert reason in said and len(said.splitlines()) == 1


def test_a_digest_knows_what_a_picture_depends_on():
    plain = ["batch", "in", "out", "red"]
    digest = parse(plain).digest([])
    same = [["--workers", "3"], ["--quiet"], ["--ledger", "x.jsonl"], ["--ray", "local"]]
    others = [["--seed", "1"], ["--strength", "0.5"], ["--fast"], ["--also", "sad"], ["--ending", ".jpg"]]
    assert all(parse([*plain, *options]).digest([]) == digest for options in same)
    assert all(parse([*plain, *options]).digest([]) != digest for options in others)
    assert parse(["batch", "in", "out", "blue"]).digest([]) != digest


def test_a_real_edit_by_workers_is_that_of_edit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Image.fromarray(picture(96, 80)).save("in/a.png")
    how = ["--no-align", "--steps", "2", "--quiet"]
    assert main(["batch", "in", "out", "red lipstick", "--workers", "1", *how]) == 0
    assert main(["edit", "in/a.png", "red lipstick", "-o", "a.png", *how]) == 0
    one, other = (flowedit.photo.photo.load(path).sha256 for path in ("a.png", "out/a_edited.png"))
    assert one == other
