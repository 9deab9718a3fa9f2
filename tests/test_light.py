"""What edits do to hues in less light, measured: each number on pictures whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks import light
from benchmarks.light import in_light, move_along, parse, region_hues, share_new, summarize

SIDE = 32


def test_light_is_taken_from_the_linear_picture():
    pixels = np.array([[[255, 0, 10], [188, 128, 64]]], np.uint8)
    assert np.array_equal(in_light(pixels, 1.0), pixels)
    assert in_light(pixels, 0.5)[0, 0, 0] == 188 and in_light(pixels, 0.5)[0, 0, 1] == 0  # half of white, in sRGB
    gray = in_light(pixels, None)
    assert (gray == gray[..., :1]).all() and gray[0, 0, 0] == round(0.299 * 255 + 1.14)


def test_a_region_goes_where_its_pixels_go():
    lips = torch.zeros(SIDE, SIDE)
    lips[8:12, 8:12] = 1
    coord = torch.zeros(1, 2, SIDE, SIDE)
    coord[:, 0] = -2 * 6 / SIDE  # each place reads 6 pixels to the left
    moved = move_along({"lips": lips}, coord)["lips"]
    torch.testing.assert_close(moved, lips.roll(6, 1), rtol=0, atol=1e-5)
    lab = torch.zeros(3, SIDE, SIDE)
    lab[1, 8:12, 14:18] = 30.0
    assert region_hues(lab, {"lips": moved})["lips"].tolist() == pytest.approx([30, 0], abs=1e-3)
    assert region_hues(lab, {"lips": lips, "around": lips})["lips"].tolist() == [0, 0]


def test_a_color_is_new_where_the_photo_has_none_as_near():
    before, after = torch.zeros(3, 10, 10), torch.zeros(3, 10, 10)
    after[1, 0] = 3.0
    after[0] = 50.0  # lighter is not another color
    assert share_new(before, after) == 0
    after[2, 0, :5] = -20.0
    assert share_new(before, after) == pytest.approx(0.05)


def record(share, hue, effect=1.0, **rest):
    regions = {"lips": hue, "skin": 0.1}
    made = {"photo": "001_neutral.jpg", "prompt": "a slim jaw", "light": share, "effects_sd": {"jaw_width": -effect}}
    made |= {"moved along": regions, "in place": {"lips": 2 * hue}, "pixel": hue, "new": 0.001, "channels": 1}
    return made | rest


def test_a_line_has_the_worst_region_and_counts_the_refused():
    records = [record(1.0, 0.5), record(1.0, 3.0, -1.0), {"light": 1.0, "prompt": "big eyes", "refused": "no face"}]
    lines = summarize([*records, record(None, 0.0), {"light": 0.08, "prompt": "big eyes", "refused": "no face"}])
    full, gray, dark = (dict(zip(lines[0], line, strict=True)) for line in lines[1:])
    wanted = {"light": "100%", "n": "3", "refused": "1", "right": "50%", "effect": "+0.00", "worst": "3.00"}
    wanted |= {"where": "001 lips", "over": "50%", "in place": "6.00", "new": "0.10%", "channels": "-"}
    assert wanted.items() <= full.items()
    assert (gray["light"], gray["channels"], gray["right"]) == ("gray", "1", "100%")
    assert (dark["refused"], dark["worst"]) == ("1", "-")


def test_every_light_and_the_gray_photo_are_edited_and_one_without_a_face_is_told(tmp_path, monkeypatch):
    from PIL import Image

    path = tmp_path / "001_neutral.png"
    Image.fromarray(np.full((8, 8, 3), (200, 100, 100), np.uint8)).save(path)
    monkeypatch.setattr(light, "faces_of", lambda options: ({path: None}, [path]))
    monkeypatch.setattr(light, "units_of", lambda population: {})
    monkeypatch.setattr(light, "look_at", lambda *about: None)
    monkeypatch.setattr(light, "measure", lambda portrait, pixels, edit, sd: {"seen": pixels[0, 0].tolist()})

    def optimize(pixels, prompt, **rest):
        if pixels.max() < 80:
            raise ValueError("no face found")

    monkeypatch.setattr(light.flowedit, "optimize", optimize)
    options = SimpleNamespace(light=[1.0, 0.05], prompts=["big eyes"], config=None)
    full, dark, gray = light.run(options, None)
    assert (full["light"], full["seen"]) == (1.0, [200, 100, 100]) and gray["light"] is None
    assert len(set(gray["seen"])) == 1 and dark["refused"] == "no face found"


def test_bad_options_are_refused(tmp_path, capsys):
    for arguments, what in ((["--light", "0"], "--light must be in (0, 1]"), (["--prompts", "tan"], "--prompts must")):
        with pytest.raises(SystemExit):
            parse([str(tmp_path), *arguments])
        assert what in capsys.readouterr().err
