"""Variants: different fields for one prompt, brought to the same effect."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from stand_in import TinyEncoder, picture
from test_align import drawn_landmarks

import flowedit
from flowedit.app.cli import main
from flowedit.checks import warn
from flowedit.config import Config, RasterConfig, Variants, Weights
from flowedit.face.crop import Crop
from flowedit.face.detect import choose
from flowedit.face.measures import SPREADS, measure
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.raster import RasterField
from flowedit.fit import variants as diversity
from flowedit.fit.accents import LEANING, find_accents
from flowedit.fit.terms import Likeness, flatten
from flowedit.fit.variants import are_enough, shape_change, spread
from flowedit.guide.encoder import load_encoder
from flowedit.photo.photo import load
from flowedit.report.strips import SIDE_PX
from flowedit.transform.transforms import FieldTransform

# A stand-in sees nothing but means: there are fewer ways to please it than there are to please faceclip.
QUICK = Config(
    align=False,
    steps=12,
    raster=RasterConfig(coord_size=6, color_size=6),
    weights=Weights(shift=0.1, tint=0.1, likeness=0.03, stray=0.01),
)


def test_likeness_is_of_what_the_other_consists_of():
    moved, tinted = torch.zeros(2, 10)
    moved[:4], tinted[4:] = 1.0, 1.0

    def likeness(field, *others):
        offsets = Offsets(field[:4].reshape(1, 2, 1, 2), field[4:].reshape(1, 3, 1, 2))
        return Likeness(torch.stack(others), 0.5, 1.0)(SimpleNamespace(offsets=offsets))

    def alike(field, *others):
        return float(likeness(field, *others))

    assert alike(moved, moved) == pytest.approx(1 / math.sqrt(1.09), rel=1e-4)  # but for what has hardly begun
    assert alike(9 * moved, moved) == pytest.approx(1, rel=1e-2) and alike(0 * moved, moved) == 0
    assert alike(-moved, moved) == 0 == alike(tinted, moved)
    assert alike(moved + 5 * tinted, moved) == alike(moved, moved)  # another tint makes no other movement
    for other in (moved, tinted, 0 * moved):  # one that does not move, or does nothing at all, gives a gradient too
        field = torch.full((10,), 0.1, requires_grad=True)
        (slope,) = torch.autograd.grad(likeness(field, other), field)
        assert bool(torch.isfinite(slope).all())
    across = torch.tensor([1.0, -1, 1, -1] + [0] * 6)
    assert alike(across, moved) == pytest.approx(0, abs=1e-6)
    assert alike(moved, moved, tinted) == pytest.approx(alike(moved, moved) / 2)


def test_what_is_done_elsewhere_makes_no_field_less_alike_and_is_priced():
    first = torch.zeros(5, 4)
    first[0, :2] = 0.5
    elsewhere = first.clone()
    elsewhere[1, 3] = 1.0  # as much again as the first does, where that does nothing
    other, second = Likeness(first.flatten()[None], 0.5, 1.0), torch.stack([first.flatten(), elsewhere.flatten()])

    def state(field):
        return SimpleNamespace(offsets=Offsets(field[:2].reshape(1, 2, 1, 4), field[2:].reshape(1, 3, 1, 4)))

    assert other(state(elsewhere)) == other(state(first)) > 0.9
    assert other.stray(state(first)) == 0 and other.stray(state(elsewhere)) == pytest.approx(2)
    assert Likeness(second, 0.5, 1.0).stray(state(elsewhere)) == pytest.approx(2)  # the first says where


def test_fields_are_compared_in_shares_of_what_is_allowed():
    offsets = Offsets(torch.full((1, 2, 2, 2), 0.09), torch.full((1, 3, 2, 2), 0.3))
    flat = flatten(offsets, 0.045, 0.15)
    assert flat.shape == (20,) and torch.allclose(flat, torch.tensor([1.0] * 8 + [2.0] * 12))


@pytest.fixture(scope="module")
def found():
    return flowedit.variants(picture(), "red", 3, config=QUICK, encoder=TinyEncoder(), progress=False)


def test_variants_differ_and_do_as_much(found):
    assert len(found) == 3 and spread(found) > 0.1
    gains = [after - before for before, after in (edit.facts["similarity"]["red"] for edit in found)]
    assert min(gains) > 0.02 and max(gains) < 1.1 * min(gains)
    assert [edit.facts["seed"] for edit in found] == [0, 1, 2]
    assert spread([found[0]] * 4) == pytest.approx(0, abs=1e-6)


def test_unlike_adds_a_term_and_keeps_away(found):
    again, other = (
        flowedit.optimize(picture(), "red", config=replace(QUICK, seed=1), encoder=TinyEncoder(), unlike=unlike)
        for unlike in ((), found[:1])
    )
    assert "likeness" in other.history and "likeness" not in again.history
    assert spread([found[0], other]) > spread([found[0], again])


def test_what_does_too_little_is_tried_anew_and_its_warnings_are_left_out(monkeypatch, recwarn):
    seeds, real = [], diversity.optimize

    def weak(photo, prompts, *, config, **rest):
        seeds.append(config.seed)
        made = real(photo, prompts, config=config, **rest)
        warn("at once")
        made = replace(made, messages=("each", f"seed {config.seed}"))
        return replace(made, strength=0.1) if config.seed == 1 else made

    monkeypatch.setattr(diversity, "optimize", weak)
    made = flowedit.variants(picture(), "red", 2, config=QUICK, encoder=TinyEncoder(), progress=False)
    assert seeds == [0, 1, 2] and [edit.facts["seed"] for edit in made] == [0, 2]
    assert [str(each.message) for each in recwarn] == ["each", "seed 0", "seed 2"]


def measure_shapes(monkeypatch, *accents):
    """Let what was asked be read off the first edit's shape, and variants lean to these."""
    monkeypatch.setattr(diversity, "names_color", lambda guide, prompts: False)
    monkeypatch.setattr(diversity, "find_accents", lambda *_: list(accents))


def changes(*rows):
    """Each as moved and as seen."""
    return [torch.tensor([*row, *[0.0] * (12 - len(row))]).expand(2, -1) for row in rows]


@pytest.mark.parametrize(
    ("last", "enough"),
    [
        ((2.0, 1.5, 0.1), True),
        ((1.2, -0.2, 0.1), True),  # one of what leads is enough
        ((0.5, 0.6, 0.1), False),  # too little
        ((-2.0, 0.3, 0.0), False),  # the wrong way
        ((1.0, 1.0, 7.0, 7.0), False),  # too much else: 0.6 on average over ten measures
    ],
)
def test_a_variant_changes_what_the_first_does_and_little_else(last, enough):
    limits = Variants()
    assert are_enough([0.4, 0.4], changes((3.0, 2.0, 0.5), last), limits) == [True, enough]
    assert are_enough([0.4, 0.4], [None, None], limits) == [True, True]  # color, or no face
    opened = changes((20.0, 2.0, 0.5), (0.1, 1.8, 0.1))  # 20 counts as 3, of which 2 is much
    assert are_enough([0.4, 0.4], opened, limits) == [True, True]
    assert are_enough([0.4, 0.4], opened, replace(limits, far=20.0)) == [True, False]
    assert are_enough([0.4, 0.19], changes((3.0, 2.0), (3.0, 2.0)), limits) == [True, False]
    weak = changes((0.9,), (2.0,))
    assert are_enough([0.4, 0.4], weak, limits) == [True, True]
    assert are_enough([0.4, 0.29], weak, limits) == [False, True]  # 0.65 once held back


@pytest.mark.parametrize("seen", [(0.5, 0.6, 0.1), (2.0, 1.5, *[1.0] * 10)])
def test_a_variant_must_be_seen_to_do_so(seen):
    first, moved, unlike = changes((3.0, 2.0, 0.5), (2.0, 1.5, 0.1), seen)
    assert are_enough([0.4, 0.4], [first, moved], Variants()) == [True, True]
    for rows in ([moved[0], unlike[0]], [unlike[0], moved[0]]):
        assert are_enough([0.4, 0.4], [first, torch.stack(rows)], Variants()) == [True, False]


def test_the_change_of_a_shape_is_that_of_its_landmarks():
    marks, wide = drawn_landmarks(), drawn_landmarks()
    wide[48:, 0] /= 0.8
    line = pixel_centers(16).permute(2, 0, 1)
    coord = torch.stack([-0.2 * line[0] * (line[1] > 0.1), torch.zeros(16, 16)])
    field = RasterField.from_offsets(coord, torch.zeros(3, 4, 4), 0.2, 0.1)
    crop = Crop(torch.tensor([[50.0, 0, 50], [0, 50, 50]], dtype=torch.float64), marks)
    edit = flowedit.Edit(load(picture(100, 100)), (FieldTransform(field, crop),), {"red": 1.0})
    wanted = {name: (measure(wide)[name] - value) / SPREADS[name] for name, value in measure(marks).items()}
    found = dict(zip(wanted, shape_change(edit)[0], strict=True))
    assert found["mouth_width"] == pytest.approx(float(wanted["mouth_width"]), rel=0.1) and found["mouth_width"] > 1
    assert abs(found["brow_height"]) < 0.1 and abs(found["eye_area"]) < 0.1
    assert shape_change(0.0 * edit).abs().max() < 1e-4
    assert shape_change(flowedit.Edit(None, (FieldTransform(field, replace(crop, landmarks=None)),), {})) is None


def test_the_change_of_a_shape_is_seen_in_the_picture():
    photo = load(np.ascontiguousarray(astronaut()[:280, 80:360]))
    (crop,) = choose(photo, "largest")
    line = pixel_centers(32).permute(2, 0, 1)
    below = line[1] > float(crop.landmarks[33, 1])  # the nose's tip
    field = RasterField.from_offsets(
        torch.stack([-0.15 * line[0] * below, 0 * line[0]]), torch.zeros(3, 4, 4), 0.2, 0.1
    )
    edit = flowedit.Edit(photo, (FieldTransform(field, crop),), {"red": 1.0})
    names = list(measure(crop.landmarks))
    moved, seen = shape_change(edit)
    wider = names.index("mouth_width")
    assert moved[wider] > 1 and seen[wider] == pytest.approx(float(moved[wider]), rel=0.5)
    assert shape_change(0.0 * edit).abs().max() < 0.2 and abs(seen[names.index("brow_height")]) < 0.5


def test_fewer_are_returned_where_the_others_change_something_else(monkeypatch):
    told = iter(changes((2.0, 0.0), (0.1, 2.0), (1.9, 0.1), (0.0, 3.0), (0.0, 3.0)))
    monkeypatch.setattr(diversity, "shape_change", lambda edit: next(told))
    measure_shapes(monkeypatch)
    with pytest.warns(UserWarning, match="2 of 3 variants: others would do too little of what is asked, or too much"):
        made = flowedit.variants(picture(), "red", 3, config=QUICK, encoder=TinyEncoder(), progress=False)
    assert [edit.facts["seed"] for edit in made] == [0, 2]


@pytest.mark.parametrize(("first", "said"), [((2.0, 0.1), 0), ((0.5, 0.1), 1), ((2.0, *[0.9] * 11), 1)])
def test_it_is_said_where_the_first_itself_does_not_do(first, said, monkeypatch, recwarn):
    monkeypatch.setattr(diversity, "shape_change", lambda edit: changes(first)[0])
    measure_shapes(monkeypatch)
    flowedit.variants(picture(), "red", 1, config=QUICK, encoder=TinyEncoder(), progress=False)
    assert sum("the edit itself" in str(each.message) for each in recwarn) == said


def test_a_first_that_does_not_do_is_left_out_where_others_do(monkeypatch, recwarn):
    told = iter(changes((0.5, 0.1), (1.5, 0.1), (1.4, 0.1)))
    monkeypatch.setattr(diversity, "shape_change", lambda edit: next(told))
    measure_shapes(monkeypatch)
    made = flowedit.variants(picture(), "red", 2, config=QUICK, encoder=TinyEncoder(), progress=False)
    assert [edit.facts["seed"] for edit in made] == [1, 2] and not recwarn


def test_likeness_costs_less_after_one_that_does_too_little(monkeypatch):
    told, paid, real = iter(changes((2.0, 0.1), (0.1, 0.1), (2.0, 0.1))), [], diversity.optimize
    monkeypatch.setattr(diversity, "shape_change", lambda edit: next(told))
    measure_shapes(monkeypatch)

    def spy(*arguments, config, **rest):
        paid.append(config.weights.likeness)
        return real(*arguments, config=config, **rest)

    monkeypatch.setattr(diversity, "optimize", spy)
    made = flowedit.variants(picture(), "red", 2, config=QUICK, encoder=TinyEncoder(), progress=False)
    assert [edit.facts["seed"] for edit in made] == [0, 2]
    assert [each / QUICK.weights.likeness for each in paid] == [1, 1, 0.5]


def test_variants_lean_to_what_is_near_once_one_is_alike(monkeypatch):
    alike, asked, real = iter((False, False, True, False, True)), [], diversity.optimize
    measure_shapes(monkeypatch, "blue", "green")
    monkeypatch.setattr(diversity, "shape_change", lambda edit: changes((2.0, 0.1))[0])
    monkeypatch.setattr(diversity, "is_alike", lambda *_: next(alike))

    def spy(photo, prompts, *, config, **rest):
        asked.append((list(prompts), config.weights.likeness / QUICK.weights.likeness))
        return real(photo, {"red": 1.0}, config=config, **rest)

    monkeypatch.setattr(diversity, "optimize", spy)
    made = flowedit.variants(picture(), "red", 4, config=QUICK, encoder=TinyEncoder(), progress=False)
    assert asked == [(["red"], 1)] * 3 + [(["blue", "red"], LEANING), (["green", "red"], LEANING)]
    assert [edit.facts["seed"] for edit in made] == [0, 1, 3, 4]  # nothing is left to lean to after the last


def test_fields_are_alike_in_whatever_strength(found):
    first = found[0]
    weaker = replace(first, strength=first.strength / 2)
    assert diversity.is_alike(weaker, [found[1], first]) and not diversity.is_alike(found[1], [first, weaker])


def test_an_accent_is_near_in_the_face_and_neither_the_same_nor_the_contrary():
    jaw, nose, mouth = changes([0.0] * 10 + [-2.0], [0.0] * 7 + [2.0], [2.0])
    encoder = load_encoder()
    slim, wide, smiling = (
        find_accents(encoder, {text: 1.0}, change)
        for text, change in (("a slim jaw", jaw), ("a wide nose", nose), ("a smiling face", mouth))
    )
    assert "a pointed chin" in slim and "a long nose" in wide and not set(slim) & set(wide) and smiling == []
    assert "a pointed chin" not in find_accents(encoder, {"a pointed chin": 1.0}, jaw)
    assert "chubby cheeks" not in find_accents(encoder, {"gaunt cheeks": 1.0}, jaw)


def test_ctrl_c_keeps_what_was_found(monkeypatch, tmp_path, capsys):
    real = diversity.optimize

    def stopping(photo, prompts, *, config, **rest):
        if config.seed == 1:
            raise KeyboardInterrupt
        return real(photo, prompts, config=config, **rest)

    monkeypatch.setattr(diversity, "optimize", stopping)
    (one,) = flowedit.variants(picture(), "red", 3, config=QUICK, encoder=TinyEncoder(), progress=False)
    assert one.stopped == "interrupted"
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder())
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("face.png")
    assert main(["vary", "face.png", "red", "--no-align", "--steps", "4"]) == 1
    said = capsys.readouterr().err
    assert "warning: 1 of 4 found" in said and "interrupted: face_variant.png has the best edit so far" in said
    assert (tmp_path / "face_variant.png").is_file()


def test_unlike_must_be_edits_of_the_photo(found):
    for unlike in (["x"], [found[0], 3]):
        with pytest.raises(ValueError, match="unlike must be edits of this photo; got"):
            flowedit.optimize(picture(), "red", config=QUICK, encoder=TinyEncoder(), unlike=unlike)
    with pytest.raises(ValueError, match="unlike must be edits of this photo; got"):
        flowedit.optimize(picture(seed=5), "red", config=QUICK, encoder=TinyEncoder(), unlike=found)


def test_variants_say_what_is_wrong():
    with pytest.raises(ValueError, match="n must be a whole number from 1 to 16; got 0"):
        flowedit.variants(picture(), "red", 0)
    with pytest.raises(TypeError, match=r"config must be a flowedit\.Config; got \{'steps': 3\}"):
        flowedit.variants(picture(), "red", config={"steps": 3})
    with pytest.raises(ValueError, match="variants must be of one face; got face='all'"):
        flowedit.variants(picture(), "red", config=Config(face="all"))


def test_the_command_writes_each_and_a_sheet(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder())
    monkeypatch.chdir(tmp_path)
    Image.fromarray(picture()).save("face.png")
    grid = ["--raster.coord-size", "6", "--raster.color-size", "6"]
    small = [
        "--steps",
        "12",
        *grid,
        "--weights.shift",
        "0.1",
        "--weights.tint",
        "0.1",
        "--weights.likeness",
        "0.03",
        "--weights.stray",
        "0.01",
    ]
    command = ["vary", "face.png", "red", "--no-align", "--n", "2", *small]
    assert main([*command, "-o", "red.png", "--sheet", "sheet.png", "--save-edits", "red.flowedit"]) == 0
    names = ["face.png", "red.flowedit", "red.png", "red_2.flowedit", "red_2.png", "sheet.png"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert Image.open("sheet.png").size[0] == 3 * SIDE_PX
    assert "face.png -> red_2.png: strength" in capsys.readouterr().out
    one, two = (np.asarray(Image.open(name)) for name in ("red.png", "red_2.png"))
    assert (one != two).any() and (one != picture()).any()
    assert main([*command, "-o", "face.png"]) == 2 and "must not replace a file that is read" in capsys.readouterr().err
    assert main([*command, "-o", "red.png", "--sheet", "red_2.png"]) == 2 and "different" in capsys.readouterr().err
    assert main([*command, "-o", "red.doc"]) == 2 and "--out must end in one of" in capsys.readouterr().err
