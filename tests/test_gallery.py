"""`flowedit gallery`: a folder of edits listed and drawn, whatever else lies in it."""

from __future__ import annotations

import base64
import io
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.app.cli import main
from flowedit.photo.photo import read_note

HOSTILE = '"><img src=x onerror=alert(1)>'
SIDE, FOOT, GAP = 256, 48, 12


def save_edit(photo, prompt, path, seed=0):
    config = flowedit.Config(align=False, steps=3, seed=seed)
    edit = flowedit.optimize(photo, prompt, config=config, encoder=TinyEncoder(), progress=False)
    edit.save_edit(path)
    return edit


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with two photos and three edits, one of whose photos is not there."""
    folder = tmp_path_factory.mktemp("made")
    for seed, name in enumerate(("face.png", "other.png")):
        Image.fromarray(picture(seed=seed, height=40 + seed)).save(folder / name)
    save_edit(folder / "face.png", "red", folder / "a.flowedit")
    save_edit(folder / "other.png", {"<script>alert(1)</script>": 1.0, "blue": -0.5}, folder / "b.flowedit")
    save_edit(picture(seed=7, height=50), "left", folder / "c.flowedit")
    return folder


@pytest.fixture
def edits(made, tmp_path, monkeypatch):
    """A copy of it, and the current folder beside it."""
    (tmp_path / "edits").mkdir()
    for path in made.iterdir():
        (tmp_path / "edits" / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return Path("edits")


class Page(HTMLParser):
    """The tags, pictures and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.sources, self.text = set(), [], ""
        self.feed(Path(path).read_text())

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href")]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.text += data + "\n"

    def pictures(self):
        data = [base64.b64decode(source.removeprefix("data:image/jpeg;base64,")) for source in self.sources]
        return [np.asarray(Image.open(io.BytesIO(each)), np.float32) for each in data]


def test_a_list_has_a_line_for_each_edit(edits, capsys):
    assert main(["gallery", "edits"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert said.err == "" and len(lines) == 3
    assert re.match(r"a\.flowedit: red; \d{4}-\d\d-\d\d \d\d:\d\d; strength 1\.00 \(.*\); .*moves up to", lines[0])
    assert lines[1].startswith("b.flowedit: <script>alert(1)</script> + -0.5 blue; ")
    assert {path.name for path in Path().iterdir()} == {"edits"}


def test_a_page_shows_each_edit_on_its_own_photo(edits, capsys):
    assert main(["gallery", "edits", "-o", "page.html", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    page = Page("page.html")
    before, after, other, _ = page.pictures()
    edit = flowedit.load("edits/a.flowedit").apply("edits/face.png")
    (crop,) = edit.edited.crops()
    for strength, shown in ((0.0, before), (edit.strength, after)):
        exact = 255 * edit.edited.at(strength).crop_image(crop, SIDE)[0].permute(1, 2, 0).numpy()
        assert shown.shape == (SIDE, SIDE, 3) and np.abs(shown - exact).mean() < 4  # a JPEG of noise
    assert np.abs(before - after).mean() > 1 and np.abs(before - other).mean() > 20
    assert "face.png" in page.text and "other.png" in page.text
    assert page.text.count("its photo was not found") == 1


def test_a_page_needs_nothing_else_and_escapes_what_edits_say(edits, capsys):
    os.rename("edits/a.flowedit", f"edits/{HOSTILE}.flowedit")
    os.rename("edits/c.flowedit", "edits/c\u202egpj.flowedit")
    assert main(["gallery", "edits", "-o", "page.html"]) == 0
    page, text = Page("page.html"), Path("page.html").read_text()
    allowed = "html head meta title style body h1 p main article div figure img figcaption bdi h2 dl dt dd"
    assert page.tags == {*allowed.split()}
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources) and len(page.sources) == 4
    assert "default-src 'none'" in text and "http:" not in text and "https:" not in text and "url(" not in text
    assert "<script>alert(1)</script>" in page.text and f"{HOSTILE}.flowedit" in page.text
    assert "\u202e" not in text and "c\\u202egpj.flowedit" in page.text
    assert str(Path.cwd()) not in text


def test_a_file_that_is_no_edit_is_refused_and_the_others_are_shown(edits, capsys):
    content = bytearray((edits / "a.flowedit").read_bytes())
    content[-1] ^= 1
    (edits / f"d{HOSTILE}.flowedit").write_bytes(content)
    (edits / "e.flowedit").write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    (edits / "f.flowedit").mkdir()
    os.mkfifo(edits / "g.flowedit")
    (edits / "h.flowedit").touch()
    assert main(["gallery", "edits", "-o", "page.html", "--sheet", "index.png"]) == 1
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 3 and not Path("owned").exists()
    lines = said.err.splitlines()
    assert [re.search(r"edits/(\w)", line)[1] for line in lines] == ["d", "e", "f", "g", "h"]
    page = Page("page.html")
    refused = page.text.partition("Refused")[2]
    assert refused.count(".flowedit") == 5 and "edits/" not in refused and f"d{HOSTILE}.flowedit" in refused
    assert len(page.sources) == 4


def test_the_index_shows_pairs_and_keeps_a_record(edits, capsys):
    assert main(["gallery", "edits", "--sheet", "index.png"]) == 0
    index = np.asarray(Image.open("index.png"))
    assert index.shape == (2 * (SIDE + FOOT), 2 * (2 * SIDE + GAP), 3)
    edit = flowedit.load("edits/a.flowedit").apply("edits/face.png")
    before = edit.edited.crop_image(edit.edited.crops()[0], SIDE)[0].permute(1, 2, 0).numpy()
    shown = index[:SIDE, SIDE : 2 * SIDE]
    assert np.abs(shown / 255 - before).max() <= 0.5 / 255 + 1e-6
    assert (index[SIDE : SIDE + FOOT] < 128).any() and (index[:, 2 * SIDE : 2 * SIDE + GAP][:SIDE] == 255).all()
    note = read_note("index.png")
    assert note["tool"] == "flowedit" and [each["file"][0] for each in note["edits"]] == ["a", "b", "c"]


def test_a_given_photo_shows_what_has_none(edits, capsys):
    Image.fromarray(picture(seed=3, height=64, width=64)).save("given.png")
    assert main(["gallery", "edits", "--on", "given.png", "-o", "page.html"]) == 0
    page = Page("page.html")
    assert len(page.sources) == 6 and page.text.count("given.png") == 1


def test_photos_elsewhere_are_found(edits, capsys):
    Path("photos").mkdir()
    os.rename("edits/face.png", "photos/face.png")
    (Path("photos") / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    assert main(["gallery", "edits", "--photos", "photos", "-o", "page.html"]) == 0
    assert len(Page("page.html").sources) == 4


def test_an_edit_that_undoes_has_no_picture_and_fails_nothing(edits, capsys):
    (~flowedit.load("edits/a.flowedit").apply("edits/face.png")).save_edit("edits/z.flowedit")
    Image.fromarray(picture(seed=3)).save("given.png")
    assert main(["gallery", "edits", "--on", "given.png", "-o", "page.html"]) == 0
    page = Page("page.html")
    assert len(page.sources) == 6 and page.text.count("it undoes an edit") == 1


def test_an_edit_of_very_many_edits_is_listed_and_holds_nothing_up(edits, capsys, monkeypatch):
    monkeypatch.setattr("flowedit.app.gallery.MOST_COST", 1)
    edit = flowedit.load("edits/a.flowedit").apply("edits/face.png")
    (edit + edit).save_edit("edits/d.flowedit")
    assert main(["gallery", "edits", "-o", "page.html"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    page = Page("page.html")
    assert len(page.sources) == 4 and page.text.count("too many edits to be drawn") == 1


def test_an_edit_that_does_not_fit_the_given_photo_is_said_and_listed(edits, capsys):
    from skimage.data import astronaut

    face = astronaut()[:300, 100:400]
    config = flowedit.Config(steps=1, identity=None)
    flowedit.optimize(face, "red", config=config, encoder=TinyEncoder(), progress=False).save_edit("edits/z.flowedit")
    Image.fromarray(picture(seed=3)).save("given.png")
    assert main(["gallery", "edits", "--on", "given.png", "-o", "page.html"]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("flowedit: edits/z.flowedit: no face found") and said.err.count("\n") == 1
    assert "z.flowedit: red" in said.out and Page("page.html").text.count("no face found") == 1


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--sheet", "edits/face.png"], 2, "--sheet must not replace a file that is read; got edits/face.png"),
        (["-o", "link.html"], 2, "--out must not replace a file that is read"),
        (["--on", "edits/other.png", "--sheet", "edits/other.png"], 2, "must not replace"),
        (["-o", "page.pdf"], 2, "--out must end in one of .html, .htm; got page.pdf"),
        (["--sheet", "page.html"], 2, "--sheet must end in one of .png"),
        (["-o", "none/page.html"], 1, "folder"),
        (["--on", "none.png", "-o", "page.html"], 1, "none.png: no such file"),
    ],
)
def test_what_cannot_be_written_is_said_before_any_work(edits, capsys, monkeypatch, options, code, said):
    Path("link.html").symlink_to("edits/a.flowedit")
    before = {path: path.read_bytes() for path in edits.iterdir()}
    monkeypatch.setattr(flowedit, "load", None)
    assert main(["gallery", "edits", *options]) == code
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert before == {path: path.read_bytes() for path in edits.iterdir()}
    assert {path.name for path in Path().iterdir()} == {"edits", "link.html"}


def test_a_folder_without_edits_is_said(tmp_path, capsys):
    assert main(["gallery", str(tmp_path)]) == 1
    assert "must hold 1 to 1000 .flowedit files; got 0" in capsys.readouterr().err
    assert main(["gallery", str(tmp_path / "none")]) == 1
    assert "FOLDER must be a folder" in capsys.readouterr().err


def test_a_page_is_written_whole_or_not_at_all(edits, capsys, monkeypatch):
    def fail(*_):
        raise OSError("the disk is full")

    Path("page.html").write_text("old")
    monkeypatch.setattr("flowedit.report.gallery._figure", fail)
    assert main(["gallery", "edits", "-o", "page.html"]) == 1
    assert Path("page.html").read_text() == "old" and {path.name for path in Path().iterdir()} == {"edits", "page.html"}
