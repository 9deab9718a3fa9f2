from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

from benchmarks import judge
from benchmarks.common import PeakMemory, Timer, environment, find_portraits, finite, tell_peak
from benchmarks.edit import make_config, values_of
from benchmarks.loop import count_calls, descend, middle, ways
from benchmarks.sheet import CELL_PX, save_sheets
from benchmarks.table import format_table, summarize
from flowedit.config import Config
from flowedit.face.crop import Crop
from flowedit.field.raster import RasterField
from flowedit.guide.encoder import load_encoder
from flowedit.photo.photo import load
from flowedit.report.strips import HEAD_PX
from flowedit.transform.transforms import FieldTransform


def upright_face() -> torch.Tensor:
    """A lopsided stand-in for 68 landmarks in crop coordinates, y down."""
    points = torch.zeros(68, 2)
    turn = torch.linspace(0, math.pi, 17)
    points[:17] = torch.stack([-0.62 * turn.cos(), 0.05 + 0.68 * turn.sin()], -1)
    points[17:22] = torch.tensor([[-0.45 + 0.07 * i, -0.32] for i in range(5)])
    points[22:27] = torch.tensor([[0.17 + 0.07 * i, -0.32] for i in range(5)])
    points[27:31] = torch.tensor([[0.0, -0.18 + 0.09 * i] for i in range(4)])
    points[31:36] = torch.tensor([[-0.12 + 0.06 * i, 0.15] for i in range(5)])
    eye = torch.tensor([[-0.12, 0], [-0.05, -0.05], [0.05, -0.05], [0.12, 0], [0.05, 0.05], [-0.05, 0.05]])
    points[36:42], points[42:48] = eye + torch.tensor([-0.29, -0.15]), eye + torch.tensor([0.30, -0.15])
    around = torch.arange(12) * (2 * math.pi / 12)
    points[48:60] = torch.stack([-0.24 * around.cos(), 0.38 - 0.09 * around.sin()], -1)
    around = torch.arange(8) * (2 * math.pi / 8)
    points[60:68] = torch.stack([-0.16 * around.cos(), 0.38 - 0.02 * around.sin()], -1)
    return points


def moved_similarly(points: torch.Tensor, angle: float, scale: float, shift: list[float]) -> torch.Tensor:
    c, s = scale * math.cos(angle), scale * math.sin(angle)
    return points @ torch.tensor([[c, s], [-s, c]]) + torch.tensor(shift)


def test_a_similarity_is_no_displacement():
    face = upright_face()
    other = moved_similarly(face, 0.7, 240.0, [900.0, -31.0])
    assert judge.displacement(other, face).abs().max() < 1e-5


def test_a_reflection_is_a_displacement():
    face = upright_face() + 0.03 * torch.randn(68, 2, generator=torch.Generator().manual_seed(0))
    assert judge.displacement(face * torch.tensor([-1.0, 1.0]), face).abs().max() > 0.02


def test_displacement_is_the_same_in_any_frame_of_the_second_picture():
    face = upright_face()
    smile = face.clone()
    smile[[48, 54]] += torch.tensor([[-0.05, -0.08], [0.05, -0.08]])
    here = judge.displacement(smile, face)
    there = judge.displacement(moved_similarly(smile, -0.4, 300.0, [50.0, 60.0]), face)
    torch.testing.assert_close(here, there, atol=1e-5, rtol=0)
    assert here[48, 1] < -0.05 and here[48, 0] < -0.03  # up and out, y down, in the first picture's frame


def test_correlation_knows_direction_and_not_size():
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 51, 2, generator=generator)
    assert judge.correlation(a, 5 * a) == pytest.approx(1)
    assert judge.correlation(a, -0.1 * a) == pytest.approx(-1)
    assert abs(judge.correlation(a, b)) < 0.3
    assert judge.correlation(a, torch.zeros(51, 2)) == 0
    assert judge.correlation(a, b) == pytest.approx(np.corrcoef(a.flatten(), b.flatten())[0, 1], abs=1e-6)


def test_share_counts_lost_faces_and_the_threshold_itself_as_wrong():
    assert judge.share_above([0.2, 0.11, 0.1, -3.0, None], 0.1) == pytest.approx(2 / 5)


def test_spread_is_the_standard_deviation_of_a_normal_and_ignores_an_outlier():
    values = (3 + 2 * torch.randn(4001, generator=torch.Generator().manual_seed(0))).tolist()
    assert judge.spread(values) == pytest.approx(2, rel=0.06)
    assert judge.spread([*values, 1e9]) == pytest.approx(judge.spread(values), rel=0.01)


def test_lab_of_known_colors():
    colors = torch.tensor([[1.0, 1.0, 1.0], [0, 0, 0], [1, 0, 0], [0, 0, 1]]).T[None, :, None]
    known = torch.tensor([[100.0, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [32.30, 79.19, -107.86]]).T
    torch.testing.assert_close(judge.lab(colors)[:, 0], known, atol=0.05, rtol=0)


@pytest.fixture(scope="module")
def face_regions() -> dict[str, torch.Tensor]:
    return judge.regions(upright_face(), 128)


def test_regions_lie_where_the_face_has_them(face_regions):
    assert set(face_regions) == {"lips", "eyes", "brows", "cheeks", "skin", "plain skin", "around"}
    rows, columns = torch.meshgrid(judge.pixel_centers(128)[:, 0, 1], judge.pixel_centers(128)[0, :, 0], indexing="ij")

    def middle(name: str) -> tuple[float, float]:
        weight = face_regions[name]
        return float((columns * weight).sum() / weight.sum()), float((rows * weight).sum() / weight.sum())

    assert middle("lips") == pytest.approx((0.0, 0.38), abs=0.02)
    assert middle("eyes") == pytest.approx((0.005, -0.15), abs=0.02)
    assert middle("brows")[1] < middle("eyes")[1] - 0.05 and face_regions["brows"].mean() < 0.1
    assert middle("eyes")[1] < middle("cheeks")[1] < middle("lips")[1]
    assert not (face_regions["lips"] * face_regions["eyes"]).any()
    assert not (face_regions["skin"] * face_regions["around"]).any()
    assert not (face_regions["cheeks"] * face_regions["plain skin"]).any()
    assert face_regions["around"][-1].sum() == 0  # the neck is skin: it does not count
    assert face_regions["around"][0].mean() > 0.5


def test_closed_eyes_have_no_color():
    face = upright_face()
    face[36:48, 1] = -0.15
    assert "eyes" not in judge.regions(face, 128)


def painted(weights: dict[str, torch.Tensor], **shifts: tuple[float, float, float]) -> torch.Tensor:
    """Lab picture of one color, with the named regions shifted."""
    picture = torch.tensor([60.0, 10.0, 15.0])[:, None, None].repeat(1, 128, 128)
    for name, shift in shifts.items():
        picture += torch.tensor(shift)[:, None, None] * (weights[name] > 0)
    return picture


def test_color_change_is_that_of_the_region(face_regions):
    plain = painted(face_regions)
    changes = judge.color_changes(plain, painted(face_regions, lips=(-3.0, 12.0, 4.0)), face_regions)
    assert changes["lips"].mean == pytest.approx((-3, 12, 4), abs=1e-4)
    assert changes["lips"].delta_e == pytest.approx(13, abs=1e-4) and changes["lips"].pixels == pytest.approx(13)
    assert changes["eyes"].delta_e == changes["around"].pixels == 0
    assert changes["skin"].delta_e < 1


def test_checkered_change_leaves_the_mean_but_not_the_pixels(face_regions):
    plain = painted(face_regions)
    checks = (torch.arange(128)[:, None] + torch.arange(128)) % 2 * 20.0 - 10
    change = judge.color_changes(plain, plain + checks, face_regions)["around"]
    assert change.delta_e < 1 and change.pixels == pytest.approx(10 * math.sqrt(3), rel=1e-3)


@pytest.mark.parametrize(
    ("prompt", "region", "shift", "effect"),
    [
        ("red lipstick", "lips", (0.0, 9.0, 0.0), 9),
        ("red lipstick", "lips", (0.0, -9.0, 0.0), -9),
        ("pale skin", "skin", (5.0, 0.0, 0.0), 5),
        ("pale skin", "skin", (-5.0, 0.0, 0.0), -5),
        ("tanned skin", "skin", (-6.0, 0.0, 8.0), 10),
        ("tanned skin", "skin", (-6.0, 0.0, -2.0), -2),  # darker, but bluer
        ("tanned skin", "skin", (2.0, 0.0, 8.0), -2),  # yellower, but lighter
        ("rosy cheeks", "cheeks", (0.0, 7.0, 0.0), 7),
    ],
)
def test_tint_effect_has_the_wanted_sign(face_regions, prompt, region, shift, effect):
    changed = painted(face_regions, **{region: shift})
    changes = judge.color_changes(painted(face_regions), changed, face_regions)
    assert judge.tint_effect(changes, judge.COLORS[prompt]) == pytest.approx(effect, abs=0.5)


def test_reddening_everything_is_no_lipstick(face_regions):
    plain = painted(face_regions)
    changes = judge.color_changes(plain, plain + torch.tensor([0.0, 9.0, 0.0])[:, None, None], face_regions)
    for prompt in ("red lipstick", "rosy cheeks"):
        assert judge.tint_effect(changes, judge.COLORS[prompt]) == pytest.approx(0, abs=1e-4)
    assert judge.tint_effect({}, judge.COLORS["red lipstick"]) is None


def layered(shift: float, landmarks: torch.Tensor | None = None) -> judge.Edit:
    """An edit that reads the left half from the left and the right from the right; negative: crosswise, a fold."""
    field = RasterField(8, 4, max_shift=0.4)
    crop = Crop(torch.tensor([[50.0, 0, 50], [0, 50, 50]], dtype=torch.float64), landmarks)
    with torch.no_grad():
        field.coord[0, :, :4] = -shift
        field.coord[0, :, 4:] = shift
    photo = load(np.zeros((100, 100, 3), np.uint8))
    return judge.Edit(photo, (FieldTransform(field, crop),), {"a prompt": 1.0})


def test_folds_are_seen_and_strength_counts():
    assert judge.fold_share(layered(0.0)) == 0
    folded = layered(-5.0)
    assert 0.01 < judge.fold_share(folded) < 0.9
    assert judge.fold_share(replace(folded, strength=0.0)) == 0


def test_landmarks_are_carried_against_where_pixels_are_read():
    before, after = judge.carried_landmarks(layered(0.05, upright_face()))
    torch.testing.assert_close(before, upright_face())
    corners = [48, 54]  # read from further out, so they come in
    moved = after[corners] - before[corners]
    assert moved[0, 0] > 0.01 and moved[1, 0] < -0.01 and moved[:, 1].abs().max() < 0.005
    assert values_of(after)["mouth_width"] < values_of(before)["mouth_width"]
    assert judge.carried_landmarks(layered(0.05)) is None


def record(effect: float | None, **others: object) -> dict[str, object]:
    """One edit's numbers, with the same effect on every measure."""
    numbers = {
        "effects_sd": None if effect is None else dict.fromkeys(values_of(upright_face()), effect),
        "carried_sd": dict.fromkeys(values_of(upright_face()), 0.4),
        "smile_correlation": 0.5,
        "identity": 0.3,
        "identity_alone": 0.3,
        "folds": 0.0,
        "bend": 0.5,
        "colors": {},
        "strength": 1.0,
        "seconds": 2.0,
        "encoder_calls": 10,
        "encoder_images": 20,
    }
    return numbers | others


def test_summary_turns_the_sign_and_counts_the_lost():
    lost = record(None, identity=math.inf, identity_alone=math.inf, smile_correlation=None)
    up, down = (summarize(p, [record(0.4), record(0.3), lost]) for p in ("a smiling face", "a sad face"))
    assert up["right"] == pytest.approx(2 / 3) and up["effect"] == pytest.approx(0.35)
    assert up["truth"] == pytest.approx(0.5) and down["truth"] is None
    assert down["right"] == 0 and down["effect"] == pytest.approx(-0.35)
    assert up["carried"] == 1 and down["carried"] == 0  # the movement is known where the face is lost
    assert up["identity_kept"] == pytest.approx(2 / 3) and up["identity_99"] == math.inf
    assert finite(up)["identity_99"] is None


def test_summary_of_a_shape_compares_with_measures_the_prompt_does_not_name():
    effects = [
        {"eye_area": 2.0, "eye_open": 5.0, "nose_width": -0.5, "jaw_width": 0.1},
        {"eye_area": 1.0, "eye_open": -5.0, "nose_width": 1.0, "jaw_width": -0.2},
    ]
    row = summarize("big eyes", [record(0.0, effects_sd=each) for each in effects])
    assert row["effect"] == pytest.approx(1.5) and row["elsewhere"] == pytest.approx((0.75 + 0.15) / 2 / 1.5)
    assert row["worst"] == "nose_width" and set(row["elsewhere_measures"]) == {"nose_width", "jaw_width"}


def test_summary_of_a_tint_compares_with_other_regions():
    lips, skin = {"mean": (0.0, 10.0, 0.0), "pixels": 11.0}, {"mean": (0.0, 2.0, 0.0), "pixels": 4.0}
    still = {"mean": (0.0, 0.0, 0.0), "pixels": 1.0}
    colors = {"lips": lips, "skin": skin, "eyes": still, "around": still}
    row = summarize("red lipstick", [record(0.0, colors=colors)])
    assert row["right"] == 1 and row["effect"] == pytest.approx(8)
    assert row["elsewhere"] == pytest.approx(2 / 3 / 10) and row["elsewhere_pixels"] == pytest.approx(2 / 11)
    assert row["worst"] == "skin" and row["elsewhere_regions"]["skin"] == pytest.approx(0.2)


def test_table_has_a_line_for_each_prompt_and_average():
    rows = [summarize(prompt, [record(0.4)]) for prompt in ("a smiling face", "big eyes", "old and wise")]
    lines = format_table(rows).splitlines()
    assert len(lines) == 5 and len({len(line) for line in lines}) == 1
    assert "geometry, average" in lines[-1] and "100%" in lines[1]
    assert "100%" in lines[-1] and "old and wise" in lines[3]


def test_people_are_split_over_the_whole_folder(tmp_path: Path):
    for name in ("001_neutral.jpg", "003_neutral.jpg", "003_smiling.jpg", "010_smiling.jpg", "notes.csv"):
        (tmp_path / name).touch()
    names = [p.name for p in find_portraits(tmp_path, match="neutral", people="first:2")]
    assert names == ["001_neutral.jpg", "003_neutral.jpg"]
    assert [p.name for p in find_portraits(tmp_path, people="after:2")] == ["010_smiling.jpg"]
    with pytest.raises(ValueError, match="got none"):
        find_portraits(tmp_path, match="neutral", people="after:2")
    with pytest.raises(ValueError, match="first:N"):
        find_portraits(tmp_path, people="last:2")
    (tmp_path / "me.jpg").touch()
    with pytest.raises(ValueError, match="three digits"):
        find_portraits(tmp_path, people="first:2")


def test_settings_reach_the_config():
    config = make_config(["steps=7", "field=hash", "identity=None", "optimizer.network_lr=0.5", "diffeomorphic=True"])
    assert (config.steps, config.field, config.identity, config.optimizer.network_lr) == (7, "hash", None, 0.5)
    assert config.diffeomorphic is True
    for wrong in ("steps", "step=3", "hash=3", "hash.x=1", "seed.x=1", "steps=0", "steps=many"):
        with pytest.raises(ValueError, match="must"):
            make_config([wrong])


def test_sheets_hold_eight_faces_each(tmp_path: Path):
    from PIL import Image

    cell = np.full((CELL_PX, CELL_PX, 3), 90, np.uint8)
    columns = [[cell] * 9, [cell + 50] * 9]
    first, second = save_sheets(tmp_path / "out" / "sheet.png", ["photo", "red"], list("abcdefghi"), columns)
    assert Image.open(first).size == (2 * CELL_PX, HEAD_PX + 8 * CELL_PX)
    picture = np.array(Image.open(second))
    assert picture.shape == (HEAD_PX + CELL_PX, 2 * CELL_PX, 3)
    assert (picture[HEAD_PX + 20, [20, CELL_PX + 20], 0] == [90, 140]).all()


def test_timer_and_environment():
    import json
    import time

    with Timer() as timer:
        time.sleep(0.02)
    assert 0.02 <= timer.seconds < 1
    about = json.loads(json.dumps(environment()))
    assert about["versions"]["torch"] == torch.__version__.split("+")[0] or about["versions"]["torch"]
    assert about["machine"]["cores"] >= 1 and "commit" in about


def test_peak_memory_is_told_where_there_is_a_gpu(monkeypatch):
    with PeakMemory() as nothing:
        pass
    assert nothing.mib is None and tell_peak({"peak_mib": nothing.mib}) == ""
    seen = []
    fakes = {"is_available": lambda: True, "max_memory_allocated": lambda: 3 << 19}
    fakes |= {name: partial(seen.append, name) for name in ("synchronize", "reset_peak_memory_stats")}
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    with PeakMemory() as peak:
        assert seen[-1] == "reset_peak_memory_stats"
    assert peak.mib == 1.5 and tell_peak({"peak_mib": peak.mib}).split() == ["1.5", "MiB"]


# --- loop


def test_calls_are_counted_until_a_similarity_stays():
    curve = [0.0, 0.5, 0.96, 0.2, 0.97, 0.98, 0.99]
    assert count_calls(curve, 0.95) == 4 and count_calls(curve, 0.4) == 4 and count_calls(curve, 0.0) == 0
    assert count_calls(curve, 0.985) == 6 and count_calls(curve, 1.0) is None
    assert middle([3, None, 5]) == 5 and middle([None, None, 5]) is None


def test_every_way_of_descending_moves_the_face_towards_its_target():
    photo = load(skimage.data.astronaut())
    config = Config(steps=3)
    for settings, make in ways().values():
        similar, met = descend(load_encoder(), photo, "a smiling face", replace(config, **settings), make)
        assert len(similar) == len(met) == 3 and similar[-1] > similar[0]
        assert met[0] == pytest.approx(similar[0], abs=1e-3) and met[-1] < similar[-1]  # an edit has its price
