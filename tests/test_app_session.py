"""The app without its page: what a session holds, shows and gives away."""

from __future__ import annotations

import csv
import fcntl
import io
import tempfile
import threading
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import skimage.data
from PIL import Image

import flowedit
from flowedit.app import outputs, serve, several, words
from flowedit.app.names import plain, safe_name
from flowedit.app.recipe import Recipe, bake
from flowedit.app.session import MOST_ENTRIES, MOST_LETTERS, Session, Settings
from flowedit.app.session_files import KEPT
from flowedit.app.sessions import Sessions
from flowedit.photo.photo import load

PORTRAIT = np.ascontiguousarray(skimage.data.astronaut()[:280, 80:360])
EVIL = "../../<img src=x onerror=alert(1)>\u202e.png"


@pytest.fixture(scope="module")
def edits():
    return flowedit.predict(PORTRAIT, ["a smiling face", "red lipstick"])


@pytest.fixture
def work(tmp_path, edits):
    """A session with the portrait and two edits of it."""
    path = tmp_path / "me.png"
    Image.fromarray(PORTRAIT).save(path)
    made = Session(tmp_path / "session")
    made.open_photo(path)
    for edit in edits:
        made.insert(edit)
    return made


def shown(work):
    return [np.asarray(Image.open(path)) for path in work.pictures()]


def saved(work, **how):
    return np.asarray(Image.open(outputs.save_picture(work, **how)))


def test_strength_zero_is_the_photo(work):
    work.set(strength=0.0)
    before, after = work.pictures()
    assert before == after and np.array_equal(shown(work)[1], PORTRAIT)
    assert np.array_equal(saved(work), PORTRAIT)


@pytest.mark.parametrize(
    "change",
    [
        lambda work: None,
        lambda work: work.set(strength=0.6, shape=0.4, color=1.7),
        lambda work: (work.set_part("mouth", 0.3), work.set_part("eyes", 1.8), work.set(color=0.0)),
        lambda work: (work.click("nose", only=False), work.weigh(1, 0.5)),
        lambda work: work.click("mouth", only=True),
        lambda work: (work.set(in_turn=True), work.set_part("jaw", 0.5)),
    ],
    ids=["plain", "scales", "parts", "protect", "region", "in_turn"],
)
def test_the_page_the_picture_and_the_edit_file_agree(work, change):
    change(work)
    picture = saved(work).astype(int)
    assert np.abs(picture - PORTRAIT).max() > 20
    assert np.abs(shown(work)[1] - picture).max() <= 1
    again = flowedit.load(outputs.save_edit(work)).apply(PORTRAIT).edited.pixels()
    assert np.abs(again - picture).max() <= 1


def test_what_words_do_to_hair_is_shown_as_it_is_saved(work):
    work.insert(flowedit.predict(PORTRAIT, "black hair"))
    work.set(strength=0.8, color=0.5)
    page, picture = shown(work)[1].astype(int), saved(work).astype(int)
    assert np.abs(page - picture).max() <= 1
    again = flowedit.load(outputs.save_edit(work)).apply(PORTRAIT).edited.pixels()
    assert np.abs(again - picture).max() <= 1
    work.remove(2)
    assert np.abs(shown(work)[1] - page).max() > 20


def test_what_a_clip_does_not_get_is_said(work, tmp_path):
    work.insert(flowedit.predict(PORTRAIT, "black hair"))
    frames = [Image.fromarray(PORTRAIT)] * 2
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:], duration=100)
    with pytest.warns(UserWarning, match="hair"):
        result, messages = several.edit_clip(work, tmp_path / "clip.gif", "clip.gif")
    assert result.frames >= 1 and any("hair" in message for message in messages)


def test_protected_parts_keep_their_bits_and_a_region_changes_alone(work):
    crop = work.crops[0]
    mouth = crop.to_photo(crop.landmarks[[51, 57, 62]]).long().tolist()
    work.click("mouth", only=False)
    protected = shown(work)[1]
    assert all(np.array_equal(protected[y, x], PORTRAIT[y, x]) for x, y in mouth)
    work.undo()
    work.click("mouth", only=True)
    only = shown(work)[1]
    nose = crop.to_photo(crop.landmarks[27]).long().tolist()
    assert any((only[y, x] != PORTRAIT[y, x]).any() for x, y in mouth)
    assert np.array_equal(only[nose[1] - 20 : nose[1]], PORTRAIT[nose[1] - 20 : nose[1]])


def test_a_part_is_told_by_its_place(work):
    crop = work.crops[0]
    for name, landmark in (("mouth", 62), ("eyes", 37), ("brows", 19), ("nose", 30), ("jaw", 8)):
        x, y = ((crop.landmarks[landmark] + 1) / 2).tolist()
        assert work.part_at(x, y) == name
    assert work.part_at(0.01, 0.01) is None
    before = work.face_picture()
    assert work.face_picture() == before
    work.click("mouth", only=False)
    assert work.face_picture().read_bytes() != before.read_bytes()


def test_the_list_is_weighed_ordered_taken_off_and_undone(work):
    one = shown(work)[1]
    work.weigh(0, 0.5)
    work.move(0, 1)
    assert work.lines() == [("red lipstick", 1.0), ("a smiling face", 0.5)]
    work.remove(0)
    assert work.lines() == [("a smiling face", 0.5)]
    assert all(work.undo() for _ in range(3)) and np.array_equal(shown(work)[1], one)
    assert work.redo() and work.lines() == [("a smiling face", 0.5), ("red lipstick", 1.0)]
    assert work.undo() and work.undo() and work.undo() and not work.undo()
    assert work.lines() == [] and np.array_equal(shown(work)[1], PORTRAIT)


def test_moves_of_one_slider_are_undone_as_one(work):
    for value in (0.9, 0.8, 0.7):
        work.set("strength", strength=value)
    work.set("color", color=0.5)
    assert work.undo() and work.recipe.strength == 0.7 and work.undo() and work.recipe.strength == 1.0


def test_the_order_matters_in_turn_only(work):
    first = shown(work)[1]
    work.move(0, 1)
    assert np.array_equal(shown(work)[1], first)
    work.set(in_turn=True)
    down = shown(work)[1]
    work.move(0, 1)
    assert (shown(work)[1] != down).any()


def test_refining_replaces_the_edit_and_stopping_does_not(work, edits, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def optimize(photo, prompt, *, config, start, callback, **how):
        assert start == "predict" and prompt == dict(edits[0].prompts)
        begun.set()
        go_on.wait(10)
        return replace(0.5 * edits[0], stopped="steps" if callback(None) else "callback")

    monkeypatch.setattr(flowedit, "optimize", optimize)
    key = work.recipe.entries[0].key
    results = []
    for stopped in (True, False):
        begun.clear(), go_on.clear()
        thread = threading.Thread(target=lambda: results.append(work.refine(key)))
        thread.start()
        assert begun.wait(10)
        if stopped:
            work.stop()
        go_on.set()
        thread.join()
    assert results == [False, True]
    assert work.edits[key].strength == 0.5 * edits[0].strength
    assert not work.refine(key)  # it is refined


def test_a_prompt_is_predicted_under_the_parts_that_are_kept(work, edits, monkeypatch):
    asked = []
    monkeypatch.setattr(flowedit, "predict", lambda photo, text, **how: asked.append((text, how)) or edits[0])
    work.click("eyes", only=False)
    work.add("  a smiling \n face ")
    assert asked[0][0] == "a smiling face" and asked[0][1]["config"].protect == ("eyes",)


@pytest.mark.parametrize(
    "act, said",
    [
        (lambda work: work.add("a" * 10_000), f"a prompt must have at most {MOST_LETTERS} letters; got 10000"),
        (lambda work: work.add(" "), 'type what to change, such as "a smiling face"'),
        (lambda work: work.weigh(7, 1.0), "this prompt is not in the list any more"),
        (lambda work: work.weigh(0, float("nan")), "weight must be from 0 to 2; got nan"),
        (lambda work: work.choose_face(3), "there is no face 3"),
        (lambda work: work.take(0), "there is no such variant any more: ask for them again"),
        (lambda work: outputs.save_picture(work, ".svg"), "a picture must be one of"),
        (lambda work: [work.insert(work.edits[1]) for _ in range(MOST_ENTRIES)], "the list holds 8 prompts"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(work, act, said):
    with pytest.raises(ValueError, match=said):
        act(work)
    assert work.photo.path is None and [text for text, _ in work.lines()][:2] == ["a smiling face", "red lipstick"]


def test_a_photo_is_refused_by_its_name_not_its_path(tmp_path):
    work = Session(tmp_path / "s", Settings(most_pixels=1_000_000))
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "x.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>")
    Image.fromarray(np.zeros((1200, 1200), np.uint8)).save(folder / "x.png")
    Image.fromarray(np.zeros((90, 90), np.uint8)).save(folder / "y.png")
    for name, said in (("x.svg", "cannot read x.svg"), ("x.png", "at most 1 megapixels"), ("y.png", "no face")):
        with pytest.raises(ValueError) as caught:
            work.open_photo(folder / name)
        line = plain(caught.value, {folder / name: name})
        assert said in line and "secret" not in line and "\n" not in line
    with pytest.raises(ValueError, match="drop a photo first"):
        work.add("a smiling face")


def test_names_and_texts_of_users_are_neither_paths_nor_markup():
    assert safe_name(EVIL) == "_img src=x onerror=alert(1)__u202e.png".replace("=", "_")
    assert safe_name("a/b\\c..") == "c" and safe_name("...") == "photo" and len(safe_name("x" * 999)) < 100
    said = words.status(EVIL, "error") + words.table([(EVIL, None, EVIL)], 1)
    assert "<img" not in said and "\u202e" not in said


def test_an_edit_file_opens_on_its_own_photo_and_on_another(work, edits, tmp_path):
    file = outputs.save_edit(work)
    before = shown(work)[1]
    while work.undo():
        pass
    work.open_edit(file)
    assert np.abs(shown(work)[1].astype(int) - before).max() <= 1
    other = tmp_path / "other.png"
    Image.fromarray(PORTRAIT[:, ::-1]).save(other)
    work.open_photo(other)
    work.open_edit(file)
    assert (shown(work)[1] != PORTRAIT[:, ::-1]).any()
    with pytest.raises(ValueError, match="undoes an edit"):
        work.open_edit((~edits[0]).save_edit(tmp_path / "undo.flowedit"))
    bad = tmp_path / "bad.flowedit"
    bad.write_bytes(b"\xff" * 100)
    with pytest.raises(ValueError, match="must be a file made by save_edit"):
        work.open_edit(bad)


def test_shape_and_color_of_one_edit_can_differ_in_its_file(edits):
    baked = bake(edits[1], Recipe(strength=0.5, shape=0.0)).edited.pixels().astype(int)
    assert np.abs(baked - edits[1].edited.at(0.5 * edits[1].strength, shape=0).pixels()).max() <= 1
    turn = edits[0] @ edits[1]
    with pytest.raises(ValueError, match="movement and color must be as strong"):
        bake(turn, Recipe(shape=0.5))


def test_a_folder_is_edited_one_failure_stops_nothing(work, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(PORTRAIT).save(good)
    bad.write_bytes(b"no picture")
    files = [(good, "../good.png"), (bad, "=bad.png"), (good, "good.png")]
    *_, (_, out) = rows = list(several.edit_photos(work, files, False, threading.Event()))
    assert [row.error == "" for row, _ in rows] == [True, False, True]
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == ["good_edited.png", "good_edited_2.png", "edited.csv"]
        picture = np.asarray(Image.open(io.BytesIO(archive.read("good_edited.png"))))
        table = list(csv.reader(io.StringIO(archive.read("edited.csv").decode())))
    assert np.abs(picture.astype(int) - saved(work)).max() <= 1
    assert table[2][0][0] not in "=+-@" and str(tmp_path) not in table[2][2]
    stop = threading.Event()
    stop.set()
    assert len(list(several.edit_photos(work, files, False, stop))) == 1


def test_another_photo_takes_the_edit(work, tmp_path):
    other = tmp_path / "o.png"
    Image.fromarray(PORTRAIT[:, ::-1]).save(other)
    before, after, out = (Image.open(path) for path in outputs.transfer(work, other, EVIL))
    assert np.array_equal(before, PORTRAIT[:, ::-1]) and np.array_equal(after, out)
    assert (np.asarray(after) != np.asarray(before)).any()


def test_large_photos_are_shown_small_and_saved_whole(tmp_path, edits):
    large = tmp_path / "large.png"
    Image.fromarray(PORTRAIT).resize((1300, 1300), Image.Resampling.BICUBIC).save(large)
    work = Session(tmp_path / "s")
    work.open_photo(large)
    work.insert(edits[0].apply(load(large)))
    assert Image.open(work.pictures()[1]).size == (1024, 1024)
    picture = Image.open(outputs.save_picture(work))
    assert picture.size == (1300, 1300)
    small = np.asarray(picture.resize((1024, 1024), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - shown(work)[1]).mean() < 2


def test_files_of_a_session_are_few_and_go_with_it(work):
    for value in np.linspace(0.1, 0.9, 12):
        work.set(strength=float(value))
        work.pictures()
        outputs.save_edit(work)
    assert len(list(work.files.folder.rglob("*.png"))) == 1 + KEPT
    assert len(list(work.files.folder.glob("out-*"))) == KEPT
    work.close()
    assert not work.files.folder.exists()
    with pytest.raises(ValueError, match="drop a photo first"):
        work.pictures()


def test_sessions_that_are_left_alone_are_closed(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    sessions = Sessions(tmp_path / "all", Settings(), most=2, idle_s=100)
    a = sessions.get("a")
    now[0] = 10
    b = sessions.get("b")
    now[0] = 15
    assert sessions.get("a") is a and a.files.folder != b.files.folder
    now[0] = 20
    sessions.get("c")
    assert b.files.closed and not a.files.closed and len(sessions) == 2
    now[0] = 116
    sessions.get("c")
    assert a.files.closed
    for folder in ("up", "all/x"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "f.png").touch()
    (tmp_path / "up" / "link.png").symlink_to(tmp_path / "up" / "f.png")
    assert sessions.uploaded(str(tmp_path / "up" / "f.png")).exists()
    for path in ("up", "all/x/f.png", "up/link.png", "up/none.png", "all/../all/x/f.png"):
        with pytest.raises(ValueError, match="drop it again"):
            sessions.uploaded(f"{tmp_path}/{path}")
    sessions.close_all()
    assert not (tmp_path / "all").exists() and len(sessions) == 0


def test_the_folder_of_a_killed_server_is_removed_and_that_of_a_running_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("killed", "running", "other"):
        (tmp_path / f"{serve.PREFIX}{name}").mkdir()
        (tmp_path / f"{serve.PREFIX}{name}" / ("x" if name == "other" else serve.LOCK)).touch()
    with open(tmp_path / f"{serve.PREFIX}running" / serve.LOCK) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        serve.remove_stale_folders()
    assert {path.name for path in tmp_path.iterdir()} == {f"{serve.PREFIX}{name}" for name in ("running", "other")}


def test_without_gradio_one_line_says_what_to_install(monkeypatch, capsys):
    import importlib.util

    from flowedit.app.cli import main

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "gradio" else find(name, *rest)
    )
    assert main(["app", "--no-browser"]) == 1
    assert capsys.readouterr().err == (
        "flowedit: the app needs gradio: pip install 'flowedit[app]', or pip install '.[app]' in a clone\n"
    )
    assert main(["app", "--port", "70000"]) == 2
