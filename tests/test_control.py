"""What is done with edits: how each part's numbers come about, on made-up portraits and edits."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stand_in import TinyEncoder

from benchmarks import control
from benchmarks.control import Bench, format_rows, main, parse
from flowedit.edit import Edit
from flowedit.face.crop import Crop
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.guide.gain import GainMeter
from flowedit.photo.photo import load
from flowedit.transform.transforms import FieldTransform
from tests.test_transfer import face

SIDE = 96


def portrait(number, tmp_path):
    y, x = np.mgrid[:SIDE, :SIDE] / 9
    pixels = (np.stack([np.sin(x + number), np.cos(x - y), np.sin(y)], -1) * 50 + 128).astype(np.uint8)
    path = tmp_path / f"{number:03d}_neutral.png"
    from PIL import Image

    Image.fromarray(pixels).save(path)
    matrix = torch.tensor([[SIDE / 2, 0, SIDE / 2], [0, SIDE / 2, SIDE / 2]], dtype=torch.float64)
    return SimpleNamespace(path=path, crop=Crop(matrix, face()))


def made(path, shift=0.08):
    """An edit that lifts the middle of the face."""
    field = RasterField(12, 12, max_shift=0.1)
    with torch.no_grad():
        field.coord[1] = shift * torch.exp(-pixel_centers(12).square().sum(-1) / 0.1)
    matrix = torch.tensor([[SIDE / 2, 0, SIDE / 2], [0, SIDE / 2, SIDE / 2]], dtype=torch.float64)
    return Edit(load(path), (FieldTransform(field, Crop(matrix, face())),), {"big eyes": 1.0})


@pytest.fixture
def bench(tmp_path, monkeypatch):
    bench = Bench.__new__(Bench)
    bench.portraits = [portrait(number, tmp_path) for number in range(3)]
    bench.sd, bench.guide = {}, SimpleNamespace(name="tiny")
    bench.options = SimpleNamespace(prompts=["big eyes"], judge="second", fragile=None, config=None)
    monkeypatch.setattr(bench, "edit", lambda who, prompt, **rest: made(who.path), raising=False)
    return bench


def test_what_is_undone_is_measured_on_the_face(bench):
    (row,) = control.undo(bench)
    assert row["n"] == 3 and row["changed"] > 2 > 0.8 > row["error"] > 0 and row["worst"] >= row["error"]
    inside = control._face(bench.portraits[0], SIDE, SIDE)
    assert inside[SIDE // 2, SIDE // 2] and not inside[0, 0] and 0.2 < inside.float().mean() < 0.6


def test_one_persons_edit_is_carried_to_the_others(bench, monkeypatch):
    asked = []

    def apply(self, path, by):
        asked.append((by, path.name))
        return SimpleNamespace(within=lambda: SimpleNamespace(strength=0.5, by=by, name=path.name))

    monkeypatch.setattr(Edit, "apply", apply)

    def effects(who, edit):
        if isinstance(edit, Edit):
            return {"eye_area": 2.0}
        lost = edit.by == "frame" and edit.name.startswith("002")
        return None if lost else {"eye_area": 1.0 if edit.by == "landmarks" else 0.05}

    monkeypatch.setattr(bench, "effects", effects, raising=False)
    first, second = control.transfer(bench)
    wanted = {"prompt": "big eyes", "by": "landmarks", "n": 2, "right": 1.0, "effect": 1.0, "own": 2.0, "strength": 0.5}
    assert first == wanted
    assert (second["by"], second["right"], second["effect"]) == ("frame", 0.0, 0.05)
    assert sorted(asked) == [(by, f"00{k}_neutral.png") for by in ("frame", "landmarks") for k in (1, 2)]


def test_two_at_once_must_both_go_right(bench, monkeypatch):
    monkeypatch.setattr(Edit, "within", lambda self: self)
    lost = {"jointly": 0}

    def compare(who, edit, sd):
        joint = len(edit.transforms) == 1
        lost["jointly"] += joint
        effects = {"mouth_curvature": 2.0, "eye_area": 1.0 if joint else 0.05, "nose_width": 0.4, "jaw_width": -0.2}
        return {"effects_sd": None if joint and lost["jointly"] == 1 else effects, "identity": 0.2}, None

    monkeypatch.setattr(control, "compare", compare)
    jointly, total = control.together(bench)[:2]
    assert jointly["way"] == "jointly" and jointly["right"] == pytest.approx(2 / 3)  # one face was lost
    assert total["way"] == "sum" and total["right"] == 0 and total["second"] == 0.05
    assert jointly["rest"] == pytest.approx(0.3) and total["identity"] == 0.2


def test_each_variant_must_do_what_was_asked_and_little_else(bench, monkeypatch):
    monkeypatch.setattr(control.flowedit, "variants", lambda path, prompt, **rest: [made(path), made(path, 0.05)])
    monkeypatch.setattr(control, "measure_similarity", lambda edit, guide: (None, SimpleNamespace(share=0.2)))
    bench.options.config, bench.options.prompts = None, ["big eyes"]
    seen = [{"eye_area": 2.0, "eye_open": 9.0, "jaw_width": 0.5}, {"eye_area": 0.5, "eye_open": 0.0, "jaw_width": 0.4}]
    told = iter([*seen, *seen, None, {"eye_area": -1.0, "eye_open": 0.0, "jaw_width": 0.0}])
    monkeypatch.setattr(bench, "effects", lambda who, edit: next(told), raising=False)
    (row,) = control.several(bench)
    assert (row["n"], row["variants"], row["right"]) == (3, 2, pytest.approx(4 / 6))
    assert row["clear"] == pytest.approx(2 / 6) == row["alone"] and row["effect"] == 0.5


def test_a_judges_warnings_are_counted(bench, monkeypatch):
    loaded = []
    monkeypatch.setattr(control, "load_encoder", lambda name: loaded.append(name) or name)
    monkeypatch.setattr(control, "plant", lambda who, prompt, guide: ("planted", guide))
    told = iter([True, False, False, True, True, True])

    def judge_edit(edit, guide, second):
        planted = isinstance(edit, tuple)
        assert (guide, second) == (("weak", bench.guide) if planted else (bench.guide, "second"))
        return {"fooled": next(told), "guide_gain": 0.5, "gain": 0.1}

    monkeypatch.setattr(control, "judge_edit", judge_edit)
    bench.options.fragile = "weak"
    default, planted = control.judged(bench)
    assert loaded == ["second", "weak"]
    assert default["warned"] == pytest.approx(1 / 3) and planted["warned"] == 1
    assert (planted["edits"], planted["guide"], planted["judge"]) == ("planted", 0.5, 0.1)


def test_a_planted_edit_pleases_its_guide_by_noise(bench):
    guide = TinyEncoder()
    edit = control.plant(bench.portraits[0], "red", guide)
    added = edit.render() - edit.photo.tensor()
    assert 0.01 < added[:, 0].mean() < control.LOUD + 1e-3 and added.abs().max() < 1.6 * control.LOUD
    gain = GainMeter(guide, {"red": 1.0}, edit.photo.tensor())(edit.render())
    assert gain.share > 0.05


def test_rows_are_aligned_and_written_by_what_they_are():
    rows = [
        {"prompt": "big eyes", "n": 3, "right": 0.5, "error": 0.256},
        {"prompt": "x", "n": 10, "right": 1.0, "error": None},
    ]
    assert format_rows(rows).splitlines() == [
        "prompt     n  right  error",
        "big eyes   3    50%   0.26",
        "x         10   100%      -",
    ]


def test_bad_options_are_refused(tmp_path, capsys):
    for arguments, what in (
        (["--only", "judge"], "judge must be given an encoder by --judge"),
        (["--prompts", "red lipstick"], "--prompts must be of a smiling face"),
    ):
        with pytest.raises(SystemExit):
            parse([str(tmp_path), *arguments])
        assert what in capsys.readouterr().err


def test_the_parts_are_run_printed_and_kept(tmp_path, monkeypatch, capsys):
    (tmp_path / "001_neutral.jpg").touch()
    monkeypatch.setattr(control, "Bench", lambda options, guide: SimpleNamespace(portraits=[1], guide=guide))

    def part(bench):
        """What it is.

        And more.
        """
        return [{"prompt": "big eyes", "error": math.inf}]

    monkeypatch.setitem(control.PARTS, "undo", part)
    path = tmp_path / "control.json"
    main([str(tmp_path), "--only", "undo", "--json", str(path)], encoder=SimpleNamespace(name="tiny"))
    said = "1 portraits (all), encoder tiny\n\nundo: What it is.\nprompt    error\nbig eyes    inf\n"
    assert capsys.readouterr().out == said
    assert '"error": null' in path.read_text()
