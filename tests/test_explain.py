"""Explain: the numbers against a computation by hand, the words against what a viewer sees, the figure whole."""

from __future__ import annotations

import json
import math
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh import run_fresh

from flowedit.edit import Edit, load
from flowedit.face.crop import Crop
from flowedit.face.part_tint import PartTint
from flowedit.face.regions import region_mask
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.field.warp import window
from flowedit.photo.photo import load as load_photo
from flowedit.report.explain import LATTICE, _bend, _spread
from flowedit.transform.transforms import FieldTransform

SIDE = 200.0  # photo pixels along the crop
MIDDLE = (160.0, 150.0)  # of the crop, in the photo


def line(first, last, n):
    return torch.stack([torch.linspace(a, b, n) for a, b in zip(first, last, strict=True)], -1)


def ring(x, y, a, b, n, start=math.pi):
    t = start + torch.arange(n) * (2 * math.pi / n)  # dlib starts at the picture's left and goes over the top
    return torch.stack([x + a * t.cos(), y + b * t.sin()], -1)


def make_landmarks():
    """Draw 68 landmarks of a symmetric face; the outer eye corners are 0.8 apart, which is 80 px of 200."""
    t = torch.linspace(math.pi, 0, 17)
    jaw = torch.stack([0.62 * t.cos(), -0.1 + 0.85 * t.sin()], -1)
    brows = torch.cat([line((-0.48, -0.38), (-0.14, -0.38), 5), line((0.14, -0.38), (0.48, -0.38), 5)])
    nose = torch.cat([line((0, -0.2), (0, 0.1), 4), line((-0.13, 0.18), (0.13, 0.18), 5)])
    eyes = torch.cat([ring(-0.28, -0.2, 0.12, 0.05, 6), ring(0.28, -0.2, 0.12, 0.05, 6)])
    mouth = torch.cat([ring(0, 0.42, 0.25, 0.09, 12), ring(0, 0.42, 0.2, 0.03, 8)])
    return torch.cat([jaw, brows, nose, eyes, mouth]).float()


def make_photo(height=320, width=330):
    y, x = np.mgrid[:height, :width].astype(np.float32) / 20
    return load_photo(np.stack([np.sin(x + y), np.cos(x - 2 * y), np.sin(x)], -1) * 0.4 + 0.5)


def make_crop(degrees=0.0, marks=True, middle=MIDDLE):
    c, s = (SIDE / 2 * f(math.radians(degrees)) for f in (math.cos, math.sin))
    matrix = torch.tensor([[c, -s, middle[0]], [s, c, middle[1]]], dtype=torch.float64)
    return Crop(matrix, make_landmarks() if marks else None)


def make_edit(shift=None, tint=None, *, photo=None, crop=None, **options):
    """Make an edit whose content moves by `shift` (photo pixels) and is tinted by `tint`: functions of x and y."""
    field = RasterField(coord_size=64, color_size=64, max_shift=0.5, max_tint=1.0)
    x, y = pixel_centers(64).unbind(-1)
    with torch.no_grad():
        if shift is not None:  # undoing the bound; and content moves against coord
            field.coord.copy_(-torch.stack([v + 0 * x for v in shift(x, y)]) * (2 / SIDE)).atanh_()
        if tint is not None:
            field.color.copy_(torch.stack([v + 0 * x for v in tint(x, y)])).atanh_()
    layer = FieldTransform(field, crop or make_crop(), **options)
    return Edit(make_photo() if photo is None else photo, (layer,), {"a smiling face": 1.0})


def face(edit):
    return edit.explain()["faces"]["face 1"]


def near(x, y, cx, cy, size=0.12):
    return torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * size**2))


def smile(x, y):
    """Lift the corners of the mouth by 6 px and draw them apart by 3."""
    left, right = near(x, y, -0.25, 0.42), near(x, y, 0.25, 0.42)
    return 3 * (right - left), -6 * (left + right)


def about(x, y, cx, cy, size=0.12):
    """Grow what lies around a point."""
    return 60 * (x - cx) * near(x, y, cx, cy, size), 60 * (y - cy) * near(x, y, cx, cy, size)


def both_eyes(sign):
    def shift(x, y):
        pair = zip(about(x, y, -0.28, -0.2), about(x, y, 0.28, -0.2), strict=True)
        return tuple(sign * (a + b) for a, b in pair)

    return shift


def brows_up(x, y):
    return 0, -4 * torch.exp(-((y + 0.38) ** 2) / 0.02)


DIRECTIONS = {
    "smile": ("mouth", smile, "up and outward"),
    "sad": ("mouth", lambda x, y: tuple(-v for v in smile(x, y)), "down and inward"),
    "brows up": ("brows", brows_up, "up"),
    "brows down": ("brows", lambda x, y: (0, -brows_up(x, y)[1]), "down"),
    "big eyes": ("eyes", both_eyes(1), "outward"),
    "small eyes": ("eyes", both_eyes(-1), "inward"),
    "eyes apart": ("eyes", lambda x, y: (3 * torch.tanh(8 * x), 0), "outward"),
    "wide nose": ("nose", lambda x, y: (3 * torch.tanh(10 * x), 0), "outward"),
    "narrow nose": ("nose", lambda x, y: (-3 * torch.tanh(10 * x), 0), "inward"),
    "slim jaw": ("jaw", lambda x, y: (-4 * torch.tanh(3 * x), 0), "inward"),
    "chin up": ("jaw", lambda x, y: (0, -4), "up"),
    "one-sided": ("mouth", lambda x, y: (3 * (x > 0).float(), 0), "right and outward"),
    "thick lips": ("mouth", lambda x, y: (0, 4 * torch.tanh(12 * (y - 0.42))), "outward"),
    "all to the left": ("skin", lambda x, y: (-3, 0), "left"),
    "all to the right": ("eyes", lambda x, y: (3, 0), "right"),
    "a hair": ("mouth", lambda x, y: (0, -0.05), "still"),
    "stripes": ("skin", lambda x, y: (0, 3 * torch.sin(16 * math.pi * x)), "mixed"),
}


@pytest.mark.parametrize("region, shift, words", DIRECTIONS.values(), ids=DIRECTIONS.keys())
def test_direction_is_what_the_viewer_sees(region, shift, words):
    assert face(make_edit(shift))["regions"][region]["direction"] == words


def test_words_agree_with_the_rendered_picture():
    # A dark bar across the mouth of a white photo, moved "up", is found in rows further up.
    pixels = np.ones((320, 330, 3), np.float32)
    pixels[190:196, 140:180] = 0
    edit = make_edit(lambda x, y: (0, -5), photo=load_photo(pixels))
    assert face(edit)["regions"]["mouth"]["direction"] == "up"
    rows = (1 - edit.render()[0, 0]).sum(1)
    after = float((rows * torch.arange(320)).sum() / rows.sum())
    assert after == pytest.approx(192.5 - 5, abs=0.05)


def test_what_moves_as_a_whole_does_not_spread():
    x, y = pixel_centers(LATTICE).unbind(-1)
    lopsided = ((x < -0.5) | (y > 0.7)).float()
    moved = torch.tensor([3.0, -4.0])[:, None, None].expand(2, LATTICE, LATTICE)
    assert _spread(moved, lopsided, torch.stack([x, y])) == pytest.approx(0, abs=1e-5)


def test_numbers_of_a_constant_shift():
    edit = make_edit(lambda x, y: (3, -4), lambda x, y: (0.1, -0.2, 0))
    told = face(edit)
    weight = window(pixel_centers(LATTICE))
    mean = float(weight.mean())
    assert told["crop_side_px"] == 200
    assert told["eye_distance_px"] == 80
    movement = told["movement"]
    assert movement["largest_px"] == pytest.approx(5, abs=2e-3)
    assert movement["largest_percent_of_crop"] == pytest.approx(2.5, abs=1e-3)
    assert movement["largest_percent_of_eye_distance"] == pytest.approx(6.25, abs=2e-3)
    assert movement["mean_px"] == pytest.approx(5 * mean, abs=2e-3)
    assert movement["mean_percent_of_crop"] == pytest.approx(2.5 * mean, abs=2e-3)
    assert movement["mean_percent_of_eye_distance"] == pytest.approx(6.25 * mean, abs=2e-3)
    assert told["moved_share"] == pytest.approx(float((5 * weight > 0.5).float().mean()), abs=2e-3)
    assert told["folds"] == 0 and told["folds_share"] == 0
    assert told["tint"]["largest"] == pytest.approx(0.2, abs=1e-3)
    assert told["tint"]["mean"] == pytest.approx(0.1 * mean, abs=1e-3)
    assert told["regions"]["mouth"]["movement_px"] == pytest.approx(5, abs=2e-3)
    assert told["regions"]["mouth"]["tint"] == pytest.approx([0.1, -0.2, 0], abs=1e-3)


def test_regions_are_weighed_by_their_masks():
    told = face(make_edit(smile))["regions"]
    assert list(told) == ["mouth", "eyes", "brows", "nose", "jaw", "skin"]
    x, y = pixel_centers(LATTICE).unbind(-1)
    dx, dy = smile(x, y)
    mask = region_mask("mouth", make_landmarks(), LATTICE)[0, 0]
    by_hand = float(((dx**2 + dy**2).sqrt() * mask).sum() / mask.sum())
    assert told["mouth"]["movement_px"] == pytest.approx(by_hand, rel=0.02)  # the spline blurs a little
    nothing = pytest.approx(0, abs=0.01)
    moved = {"movement_px": nothing, "movement_percent_of_eye_distance": nothing, "direction": "still"}
    assert told["brows"] == {**moved, "tint": [0, 0, 0], "lab": [0, 0, 0]}


def test_strength_scales_what_is_told():
    whole = make_edit(smile, lambda x, y: (0.1, 0, 0))
    half = replace(whole, strength=0.5, transforms=(replace(whole.transforms[0], strength=0.5),))
    ratio = face(half)["movement"]["largest_px"] / face(whole)["movement"]["largest_px"]
    assert ratio == pytest.approx(0.25, abs=1e-3)
    assert face(half)["tint"]["largest"] == pytest.approx(0.25 * face(whole)["tint"]["largest"], abs=1e-4)
    nothing = face(replace(whole, strength=0.0))
    assert nothing["movement"]["largest_px"] == 0 and nothing["moved_share"] == 0
    assert {region["direction"] for region in nothing["regions"].values()} == {"still"}


def test_a_turned_head_is_told_upright():
    edit = make_edit(smile, crop=make_crop(degrees=25))
    assert face(edit)["regions"]["mouth"]["direction"] == "up and outward"
    assert face(edit)["movement"] == face(make_edit(smile))["movement"]


def test_folds_are_counted():
    told = face(make_edit(lambda x, y: (40 * torch.tanh(-10 * x), 0)))
    assert told["folds"] > 100
    assert told["folds_share"] == told["folds"] / LATTICE**2


def test_masks_are_respected():
    marks = make_landmarks()
    region = make_edit(lambda x, y: (0, -4), mask=region_mask("brows", marks, 256))
    assert face(region)["regions"]["brows"]["direction"] == "up"
    assert face(region)["regions"]["mouth"]["direction"] == "still"
    hard = np.zeros((320, 330), np.float32)
    hard[:150] = 1  # the upper half of the crop
    told = face(make_edit(lambda x, y: (0, -4), hard_mask=hard))
    assert told["regions"]["brows"]["movement_px"] == pytest.approx(4, abs=0.01)
    assert told["regions"]["mouth"]["movement_px"] == 0


def test_only_what_lies_in_the_photo_counts():
    # The crop's left half lies outside the photo, and only that half moves.
    edit = make_edit(lambda x, y: (0, -4 * (x < -0.1).float()), crop=make_crop(middle=(0.0, 150.0)))
    assert face(edit)["movement"]["largest_px"] == pytest.approx(0, abs=0.01)
    assert face(replace(edit, photo=None))["movement"]["largest_px"] == pytest.approx(4, abs=0.2)


def test_a_diffeomorphic_field_is_integrated():
    edit = make_edit(lambda x, y: (60 * torch.tanh(-10 * x), 0))
    field = RasterField(64, 64, max_shift=0.5, max_tint=1.0, diffeomorphic=True)
    field.load_state_dict(edit.transforms[0].field.state_dict())
    assert face(edit)["folds"] > 0
    assert face(replace(edit, transforms=(replace(edit.transforms[0], field=field),)))["folds"] == 0


def test_a_whole_picture_has_no_regions():
    told = face(make_edit(smile, crop=make_crop(marks=False)))
    assert told["regions"] == {}
    assert told["eye_distance_px"] is None
    assert told["movement"]["largest_percent_of_eye_distance"] is None
    assert told["movement"]["largest_percent_of_crop"] > 0


def test_what_the_edit_knows_is_passed_on():
    edit = make_edit(smile)
    facts = {"encoder": "tiny", "similarity": {"a smiling face": [0.1, 0.3]}, "identity_distance": 0.34}
    edit = replace(edit, facts=facts, strength=0.8, strength_reason="held back", stopped="converged")
    told = edit.explain()
    assert told["prompts"] == {"a smiling face": 1.0}
    assert told["similarity"] == {"a smiling face": {"before": 0.1, "after": 0.3}}
    names = ("encoder", "identity_distance", "strength", "strength_reason", "stopped", "region")
    assert [told[name] for name in names] == ["tiny", 0.34, 0.8, "held back", "converged", None]


def test_a_loaded_edit_tells_the_same(tmp_path):
    edit = replace(make_edit(smile, lambda x, y: (0.1, 0, 0)), strength=0.7)
    loaded = load(edit.save_edit(tmp_path / "smile.flowedit"))
    assert loaded.photo is None
    told, whole = loaded.explain(), edit.explain()
    for one in whole["faces"].values():  # what takes the photo's pixels to tell
        assert one.pop("changed_share") > 0.1 and one.pop("colors")
        assert all(region.pop("lab")[1] > 1 for region in one["regions"].values())
    for one in told["faces"].values():
        assert one.pop("changed_share") is None and one.pop("colors") == []
    assert told == whole
    assert json.loads(json.dumps(edit.explain(), allow_nan=False)) == edit.explain()


def test_an_edit_without_facts_is_told():
    told = make_edit().explain()
    assert told["encoder"] is None and told["identity_distance"] is None and told["similarity"] == {}


def two_faces():
    edit = make_edit(smile, lambda x, y: (0.1, 0, 0))
    whole = make_crop(marks=False, middle=(0.0, 150.0))  # half of it outside
    return replace(
        edit,
        transforms=(edit.transforms[0], replace(edit.transforms[0], crop=whole)),
        prompts={"costs $5 or $6": 1.0, "a very long prompt " * 12: -0.5},
    )


@pytest.mark.parametrize("ending", ["png", "jpg", "svg", "pdf"])
def test_plot_is_written(tmp_path, ending):
    path = tmp_path / f"why.{ending}"
    assert replace(make_edit(smile), strength=0.8).plot(path) == path
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert path.stat().st_size > 10_000


def test_plot_has_a_row_for_each_face(tmp_path):
    one = load_photo(make_edit(smile).plot(tmp_path / "one.png"))
    two = load_photo(two_faces().plot(tmp_path / "two.png"))
    assert one.width == two.width
    assert two.height > 1.7 * one.height
    assert one.width > 2 * one.height


def test_plot_of_nothing(tmp_path):
    assert make_edit().plot(tmp_path / "nothing.png").is_file()


def test_plot_needs_a_photo_and_a_known_ending(tmp_path):
    edit = make_edit(smile)
    with pytest.raises(ValueError, match="must get one by apply"):
        replace(edit, photo=None).plot(tmp_path / "why.png")
    with pytest.raises(ValueError, match=r"must end in one of \.png.*got .*why\.gif"):
        edit.plot(tmp_path / "why.gif")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        edit.plot(tmp_path / "missing" / "why.png")
    assert not list(tmp_path.iterdir())


def test_plot_leaves_no_part_behind(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    def fail(self, file, **how):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", fail)
    (tmp_path / "why.png").write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        make_edit(smile).plot(tmp_path / "why.png")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("why.png", b"before")]


def test_no_matplotlib_until_a_plot_and_never_pyplot(tmp_path):
    code = """
        import sys, flowedit.report.figure
        assert "matplotlib" not in sys.modules
        sys.path.insert(0, {tests!r})
        from test_explain import make_edit, smile
        make_edit(smile).plot({path!r})
        assert "matplotlib.pyplot" not in sys.modules
    """
    code = textwrap.dedent(code).format(tests=str(Path(__file__).parent), path=str(tmp_path / "why.png"))
    done = run_fresh(code)
    assert done.returncode == 0, done.stderr


def test_a_line_that_stays_straight_does_not_bend():
    x = pixel_centers(64)[0, :, 0].expand(64, 64)
    seen = torch.ones(64, 64)
    seen[:, 20:40] = 0  # behind the head
    assert _bend(3 + 2 * x, seen) == pytest.approx(0, abs=1e-5)
    assert _bend(3 + 2 * x.abs(), seen) > 0.3
    only_behind = torch.zeros(64, 64)
    only_behind[:, 20:40] = 5
    assert _bend(only_behind, seen) == 0


def test_the_background_is_what_lies_off_the_face():
    inside = face(make_edit(smile))["background"]
    assert inside["largest_px"] < 0.1 and inside["bend_px"] < 0.1
    beside = face(make_edit(lambda x, y: (0, -4 * near(x, y, 0.75, -0.6))))["background"]
    assert beside["largest_px"] == pytest.approx(4, abs=0.3) and 1 < beside["bend_px"] < 4
    assert face(make_edit(smile, crop=make_crop(marks=False)))["background"] is None


def test_colors_of_parts_add_and_are_taken_back():
    edit = make_edit()
    part_tint = PartTint(torch.zeros(5, 16, 16, dtype=torch.uint8), torch.eye(3).repeat(5, 1, 1), 0.15)
    with torch.no_grad():
        part_tint.amounts[0, 0] = 0.05
    edit = replace(edit, transforms=(replace(edit.transforms[0], part_tint=part_tint),))
    lips = face(edit)["parts"]["lips"][0]
    assert lips == pytest.approx(0.05, abs=2e-3)
    assert face(edit + 0.5 * edit)["parts"]["lips"][0] == pytest.approx(1.5 * lips, abs=2e-4)
    assert face(edit @ edit)["parts"]["lips"][0] == pytest.approx(2 * lips, abs=2e-4)
    assert face(~edit)["parts"]["lips"][0] == pytest.approx(-lips, abs=1e-4)


def test_what_the_tint_changes_is_told_in_cielab():
    told = face(make_edit(smile, lambda x, y: (0.1, 0, 0)))
    assert all(region["lab"][1] > 3 for region in told["regions"].values())
    assert any(line.startswith("lips redder by") for line in told["colors"])
    assert 0.5 < told["changed_share"] <= 1 and face(make_edit())["changed_share"] == 0


@pytest.mark.parametrize("squeeze", [(0.0, 0.0), (1.0, 0.0), (1e-20, 1.0)], ids=["point", "level", "upright"])
def test_landmarks_without_an_area_are_explained_too(squeeze):
    crop = Crop(make_crop().matrix, make_landmarks() * torch.tensor(squeeze))
    told = face(make_edit(smile, lambda x, y: (0.1, 0, 0), crop=crop))
    json.dumps(told, allow_nan=False)
    if squeeze == (0.0, 0.0):
        assert told["movement"]["largest_percent_of_eye_distance"] is None and told["eye_distance_px"] == 0
