"""What a command writes: never over what it reads, never twice, and refused before any work where it cannot be."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from PIL import Image
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.app.batch import Job, Record, plan, report, run
from flowedit.app.cli import main, parse
from flowedit.app.paths import find_photos
from flowedit.photo.photo import read_note

QUICK = ["--no-align", "--steps", "2", "--raster.coord-size", "4", "--raster.color-size", "4"]


@pytest.fixture(autouse=True)
def encoders(tmp_path, monkeypatch):
    """An empty folder with a photo and a mask of its size; return how often an encoder was asked for."""
    loaded = []

    def load(name, device):
        loaded.append(name)
        return TinyEncoder()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", load)
    Image.fromarray(picture()).save("face.png")
    Image.new("L", (48, 40), 255).save("mask.png")
    return loaded


def files():
    return {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}


@pytest.fixture
def edit_file(encoders):
    """A saved edit."""
    config = flowedit.Config(align=False, steps=2)
    flowedit.optimize("face.png", "red", config=config, encoder=TinyEncoder()).save_edit("red.flowedit")
    return "red.flowedit"


@pytest.mark.parametrize(
    "options",
    [
        ["--out", "face.png"],
        ["--out", "o.png", "--sheet", "face.png"],
        ["--out", "o.png", "--plot", "face.png"],
        ["--out", "o.png", "--sheet", "o.png"],
        ["--out", "o.png", "--plot", "./o.png"],
        ["--out", "mask.png", "--mask", "mask.png"],
        ["--out", "o.png", "--plot", "mask.png", "--mask", "mask.png"],
        ["--out", "link.png"],
        ["--out", "o.png", "--sheet", "hard.png"],
        ["--out", "face.png", "--sheet", "face.png", "--overwrite"],
        ["--out", "o.png", "--sheet", "face.png", "--overwrite"],
    ],
    ids=" ".join,
)
def test_edit_never_writes_over_what_it_reads_or_writes(options, capsys, encoders):
    os.symlink("face.png", "link.png")
    os.link("face.png", "hard.png")
    before = files()
    assert main(["edit", "face.png", "red", *QUICK, *options]) == 2
    said = capsys.readouterr()
    assert "must not replace" in said.err or "must be different" in said.err
    assert len(said.err.splitlines()) == 1 and said.out == ""
    assert encoders == [] and files() == before


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "face.png", "red", "-o", "face.png"],
        ["sweep", "face.png", "red", "-o", "mask.png", "--mask", "mask.png"],
        ["vary", "face.png", "red", "--sheet", "face.png"],
        ["vary", "face.png", "red", "-o", "o.png", "--sheet", "o_2.png"],
        ["vary", "face_2.png", "red", "-o", "face.png"],
        ["apply", "red.flowedit", "face.png", "-o", "face.png"],
        ["apply", "red.flowedit", "face.png", "--plot", "face.png"],
        ["apply", "red.flowedit", "face.png", "-o", "o.png", "--save-edit", "red.flowedit"],
    ],
    ids=" ".join,
)
def test_no_other_command_does_either(words, capsys, encoders, edit_file):
    Image.fromarray(picture()).save("face_2.png")
    before = files()
    assert main([*words, *(QUICK if words[0] != "apply" else [])]) == 2
    said = capsys.readouterr().err
    assert "must not replace" in said or "must be different" in said
    assert encoders == [] and files() == before


@pytest.mark.parametrize("flag", ["--config", "--corpus"])
def test_files_of_settings_and_prompts_are_read_too(flag, capsys, encoders):
    Path("list.png").write_text("" if flag == "--config" else "red hair\nblue hair\n")
    before = files()
    assert main(["edit", "face.png", "red", *QUICK, flag, "list.png", "-o", "list.png"]) == 2
    assert "must not replace" in capsys.readouterr().err and encoders == [] and files() == before


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-o", "o.png", "--save-edit", "o.png"], "--save-edit must end in .flowedit"),
        (["-o", "o.gif"], "--out must end in one of .png"),
        (["--sheet", "s.pdf"], "--sheet must end in one of .png"),
        (["--plot", "p.webp"], "--plot must end in one of .png"),
        (["-o", "gone/o.png"], "gone does not exist"),
        (["--plot", "gone/p.png"], "gone does not exist"),
        (["-o", "/proc/o.png"], "cannot write /proc/o.png"),  # where not even root may write
        (["--save-edit", "/proc/e.flowedit"], "cannot write /proc/e.flowedit"),
        (["-o", "results"], "it is a folder"),
        (["--mask", "/dev/zero"], "must be a file; got another kind"),
        (["--protect", "gone.png"], "must be a file; got none"),
    ],
    ids=str,
)
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that cannot be written")
def test_what_cannot_be_written_is_said_before_any_work(options, reason, capsys, encoders):
    Path("results/face_edited.png").mkdir(parents=True)
    align = [] if "--protect" in options else ["--no-align"]
    assert main(["edit", "face.png", "red", *align, *options]) == (2 if "must end in" in reason else 1)
    said = capsys.readouterr()
    assert reason in said.err and len(said.err.splitlines()) == 1 and encoders == []


def test_a_device_is_no_photo(capsys):
    assert main(["edit", "/dev/zero", "red", *QUICK]) == 1
    assert "device" in capsys.readouterr().err


def test_overwrite_is_for_a_photos_own_picture_only(capsys):
    Image.fromarray(picture()).save("face_edited.png")
    words = ["edit", "face.png", "face_edited.png", "red", *QUICK, "-o", ".", "--overwrite"]
    assert main(words) == 2 and "must not replace" in capsys.readouterr().err
    assert main(["edit", "face.png", "red", *QUICK, "-o", "face.png", "--overwrite"]) == 0
    assert read_note("face.png")["tool"] == "flowedit"


@pytest.mark.parametrize("suffix", [".gif", ".jp2", ".avif", ".bmp", ".ppm", ".jfif"])
def test_a_folder_gives_every_picture_that_can_be_read(suffix):
    Path("in").mkdir()
    Path(f"in/a{suffix.upper()}").touch()
    assert find_photos(["in"]).paths == (Path(f"in/a{suffix.upper()}"),)


def test_a_folder_says_what_it_leaves_out(capsys):
    Path("in/more").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "c", ".hidden.txt"):
        Path("in", name).touch()
    Image.fromarray(picture()).save("in/face.png")
    assert find_photos(["in"]).remarks == (
        "in: skipped 2 entries: .txt is no picture's that can be read",
        "in: skipped 1 entry: no ending is no picture's that can be read",
        "in: skipped 1 entry: folders are not searched",
    )
    assert main(["edit", "in", "red", *QUICK, "-o", "out"]) == 0
    assert capsys.readouterr().err.count("skipped") == 3
    assert main(["edit", "in", "red", *QUICK, "-o", "out", "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_second_run_leaves_out_what_the_first_made(capsys):
    Path("in").mkdir()
    for name in ("a.png", "b.png", "bed_sheet.png"):
        Image.fromarray(picture()).save(f"in/{name}")
    words = ["edit", "in", "red", *QUICK, "-o", "in", "--sheet", "in", "--plot", "in"]
    assert main(words) == 0
    after = sorted(os.listdir("in"))
    assert main(words) == 0
    said = capsys.readouterr()
    assert "in: skipped 9 entries: made by flowedit" in said.err
    assert said.out.count("3 of 3 photos edited") == 2 and sorted(os.listdir("in")) == after


def make_job(*words):
    command = parse(["edit", *words, "red", *QUICK])
    return plan(command, list(map(Path, words)), False)[0]


def test_a_job_is_data_and_runs_in_silence(capsys):
    job = make_job("face.png")
    copy = pickle.loads(pickle.dumps(job))
    assert copy == job and isinstance(copy, Job)
    record = run(copy)
    assert record.error is None and record.lines[0].startswith("face.png -> face_edited.png: strength 1.00 (")
    assert capsys.readouterr() == ("", "") and Path("face_edited.png").is_file()


def test_an_error_is_a_value_of_the_record(capsys):
    record = run(make_job("gone.png"))
    assert isinstance(record.error, FileNotFoundError) and record.lines == () and capsys.readouterr() == ("", "")


def test_a_report_counts_and_stops_at_an_interrupt(capsys):
    def records():
        yield Record(Path("a.png"), ("a.png -> b.png",))
        yield Record(Path("c.png"), error=ValueError("no face"))
        yield Record(Path("d.png"), ("d.png -> e.png",), interrupted="e.png is complete")
        raise AssertionError("not reached")

    assert report(records(), 9, quiet=False) == 1
    said = capsys.readouterr()
    assert said.out == "a.png -> b.png\nd.png -> e.png\n"
    assert said.err == (
        "flowedit: c.png: no face\nflowedit: interrupted: e.png is complete; 2 of 9 photos edited, 1 failed\n"
    )


@pytest.mark.parametrize("words", [["edit", "o.jpg", "red"], ["vary", "o.jpg", "red", "--n", "1"]], ids=" ".join)
def test_where_a_photo_was_taken_is_left_out_if_asked(words):
    exif = Image.Exif()
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 0.0)})  # GPS
    exif[271] = "Maker"
    Image.fromarray(picture()).save("o.jpg", exif=exif)
    for options, places in ((["-o", "with.jpg"], 2), (["-o", "without.jpg", "--strip-location"], 0)):
        assert main([*words, *QUICK, *options]) == 0
        written = Image.open(options[1]).getexif()
        assert len(written.get_ifd(0x8825)) == places and written[271] == "Maker"
