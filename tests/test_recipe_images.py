"""The encoder's recipe: what it paints and warps on a face is what it then measures there, whoever's face it is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_align import drawn_landmarks

from examples.faceclip import attributes as attr
from examples.faceclip import prepare as preparing
from examples.faceclip.detail import paint_patterns, scale_detail
from examples.faceclip.faces import BESIDE_SKIN, Faces
from examples.faceclip.gaze import ACROSS, HIGH, INWARD, MARGIN, WIDE, learn_gaze
from examples.faceclip.hair import find_hair
from examples.faceclip.labels import labels
from examples.faceclip.paints import recolor
from examples.faceclip.patterns import draw_patterns
from examples.faceclip.prepare import prepare
from examples.faceclip.regions import INDEX, MIRROR, face_maps, mean_face, places, read, region_masks
from examples.faceclip.shapes import Moves, draw_moves, warp_faces
from examples.faceclip.sources import Row, held_out, look_alikes
from examples.faceclip.tones import TONED, enlarge, luma, measure_gaze, measure_structure
from tests.faceclip_faces import drawn_faces
from tests.test_measure import face


@pytest.fixture
def faces():
    return drawn_faces()


def test_what_is_prepared_can_be_learned_from_and_a_made_up_border_has_no_hair(tmp_path, monkeypatch):
    generator, marks = np.random.default_rng(0), drawn_landmarks().numpy().astype(np.float32)
    rows = [
        Row(generator.integers(0, 255, (128, 128, 3), dtype=np.uint8), marks, source, split, "", None, 6.0, 1.0)
        for source, split in (("portraits", "train"), ("color", "train"), ("color", "val"))
    ]
    monkeypatch.setattr(preparing, "all_faces", lambda raw: iter(rows))
    prepare(tmp_path, tmp_path / "faces.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["faces.npz"]
    written = Faces(tmp_path / "faces.npz")
    assert written.learned()[0].tolist() == [0, 1]
    assert written.hair[0].max() > 0 and (written.hair[1, :10] == 0).all() and (written.hair[1, :, -10:] == 0).all()
    assert (written.label[:, attr.LABELLED.index("child")] == 1).all()


def still(n: int) -> Moves:
    zeros = torch.zeros(n)
    none = torch.eye(2, 3).repeat(n, 1, 1)
    return Moves(
        torch.zeros(n, 68, 2), torch.zeros(n, 2), zeros.clone(), torch.zeros(n, 2), zeros.clone(), zeros.bool(), none
    )


def test_the_mirror_of_a_mirrored_landmark_is_itself():
    assert (MIRROR[MIRROR] == np.arange(68)).all()
    mean = mean_face(drawn_landmarks().numpy()[None] + 0.02)
    assert np.allclose(mean, mean[MIRROR] * [-1, 1])


def test_a_map_puts_each_landmark_on_the_mean_face_s():
    mean = torch.tensor(mean_face(drawn_landmarks().numpy()[None])).float()
    turned = mean @ torch.tensor([[0.9, 0.1], [-0.1, 1.05]]) + torch.tensor([0.05, -0.04])
    maps = face_maps(turned[None], mean)
    at = places(maps, 256)
    pixel = ((turned + 1) * 128 - 0.5).round().long()
    found = at[0, pixel[:, 1], pixel[:, 0]]
    assert (found - mean).abs().max() < 0.02


def test_hair_is_found_by_its_color_and_not_on_the_face_s_middle():
    mean = mean_face(drawn_landmarks().numpy()[None])
    drawn = torch.from_numpy(region_masks(mean))
    at = places(face_maps(torch.tensor(mean).float()[None], torch.tensor(mean).float()), 64)
    whole, ring = read(drawn[[INDEX["whole"], INDEX["hair"]]], at)[0]
    picture = torch.tensor([0.4, 0.5, 0.6])[:, None, None].repeat(1, 64, 64)
    hair = (ring > 0.5) & (torch.linspace(-1, 1, 64)[:, None] < 0)
    picture[:, hair] = torch.tensor([0.15, 0.08, 0.05])[:, None]
    picture[:, whole > 0.5] = torch.tensor([0.8, 0.6, 0.5])[:, None]
    found = find_hair(picture[None], drawn, at)[0]
    assert found[hair & (whole < 0.5)].mean() > 0.8
    assert found[28:60, 26:38].max() < 0.1 and found[:8, :3].mean() < 0.2


def test_moves_reach_every_shape():
    landmarks = face().float().expand(200, 68, 2)
    gaze = torch.zeros(200, 2)
    moves = draw_moves(landmarks, torch.Generator().manual_seed(0))
    image = torch.zeros(200, 3, 8, 8)
    _, moved = warp_faces(image, landmarks, moves, torch.zeros(200, 8, 8))
    spread = (attr.shapes(moved, gaze) - attr.shapes(landmarks, gaze)).std(0).tolist()
    found = {name: each for name, each in zip(attr.MEASURED_SHAPES, spread, strict=True) if "gaze" not in name}
    assert min(found.values()) > 1e-3, found


def test_a_closed_lid_and_a_wink_are_measured_as_such():
    landmarks = face().float().expand(3, 68, 2)
    moves = still(3)
    moves.closed[1], moves.closed[2, 0] = 1.0, 1.0
    image = torch.zeros(3, 3, 8, 8)
    _, moved = warp_faces(image, landmarks, moves, torch.zeros(3, 8, 8))
    found = dict(zip(attr.MEASURED_SHAPES, attr.shapes(moved, torch.zeros(3, 2)).unbind(1), strict=True))
    opened, wink = found["eye_open"], found["wink"]
    assert opened[1] < 0.35 * opened[0] and wink[2] > 0.5 * opened[0] and wink[1] < 0.1 * opened[0] + wink[0]


def test_a_turned_iris_is_found_where_it_was_turned_to():
    landmarks = drawn_landmarks().float().expand(3, 68, 2)
    line = (torch.arange(128) + 0.5) / 64 - 1
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    image = torch.full((3, 3, 128, 128), 0.8)
    for eye in (slice(36, 42), slice(42, 48)):
        outline = landmarks[0, eye]
        near = (grid - outline.mean(0)).norm(dim=-1) < 0.2 * (outline[:, 0].amax() - outline[:, 0].amin())
        image[:, :, near] = 0.1
    moves = still(3)
    moves.gaze[1, 0], moves.gaze[2, 0] = 0.15, -0.15
    warped, _ = warp_faces(image, landmarks, moves, torch.zeros(3, 8, 8))
    found = measure_gaze(luma(warped), landmarks)[..., 0]
    assert (found[1] - found[0] > 0.05).all() and (found[0] - found[2] > 0.05).all()


def test_gaze_is_what_both_eyes_share():
    generator = torch.Generator().manual_seed(0)
    n = 800
    gaze = 0.08 * torch.randn(n, 2, generator=generator)
    measured = torch.stack([gaze, gaze * INWARD], 1) + 0.08 * torch.randn(n, 2, 2, generator=generator)
    columns, rows = (ACROSS / WIDE * (torch.arange(k + 2 * MARGIN) - MARGIN + 0.5 - k / 2) for k in (WIDE, HIGH))
    iris = torch.stack([gaze, gaze * INWARD], 1)
    far = (columns - iris[..., None, None, 0]).square() + (rows[:, None] + iris[..., None, None, 1]).square()
    told = learn_gaze(-3 * torch.exp(-far / 0.02), measured, torch.arange(n // 2))
    plain = (measured[:, 0] + measured[:, 1] * INWARD) / 2
    for told_way, plain_way, true in zip(told[n // 2 :].T, plain[n // 2 :].T, gaze[n // 2 :].T, strict=True):
        agree, before = (float(torch.corrcoef(torch.stack([way, true]))[0, 1]) for way in (told_way, plain_way))
        assert agree > 0.95 > before


@pytest.mark.parametrize("dark", [0.25, 0.8])
def test_painted_lines_and_liner_are_measured_on_dark_and_light_skin(dark):
    mean = mean_face(drawn_landmarks().numpy()[None])
    drawn, patterns = torch.from_numpy(region_masks(mean, 128)), draw_patterns(mean, 1)[0]
    n = 200
    masks = {name: mask.expand(n, -1, -1) for name, mask in enlarge(drawn[None], 128).items()}
    patterns = torch.nn.functional.interpolate(patterns[None], 128, mode="area").expand(n, -1, -1, -1)
    image = dark * torch.ones(n, 3, 128, 128) + 0.01 * torch.randn(
        3, 128, 128, generator=torch.Generator().manual_seed(0)
    )
    painted, amounts = paint_patterns(image, patterns, torch.Generator().manual_seed(1))
    found = measure_structure(luma(painted), masks, patterns[:, 0])
    for name, pattern in (("lines_forehead", "forehead_lines"), ("lines_mouth", "mouth_lines"), ("liner", "liner")):
        much, none = amounts[pattern] > 0.6, amounts[pattern] == 0
        assert found[name][much].mean() > found[name][none].mean() + 2 * found[name][none].std(), name


def test_detail_scales_between_none_and_more_and_smooths_no_eyes(faces):
    masks, _ = faces.masks(torch.arange(24))
    fine = enlarge(masks, 128)
    image = faces.pixels(torch.arange(24)) * 0.2 + 0.4
    scaled = scale_detail(image, fine, torch.Generator().manual_seed(0))
    ratio = (scaled - scaled.mean((2, 3), keepdim=True)).std((1, 2, 3)) / (
        image - image.mean((2, 3), keepdim=True)
    ).std((1, 2, 3))
    assert ratio.min() < 0.95 and ratio.max() > 1.05
    eye = fine["sockets"] > 0.99
    away = (fine["under_eyes"] + fine["cheek_skin"]) < 0.01
    assert torch.allclose(
        scaled[(eye & away)[:, None].expand_as(scaled)], image[(eye & away)[:, None].expand_as(image)], atol=1e-3
    )


def test_hair_takes_any_color_and_the_face_keeps_its_own(faces):
    n = 64
    i = torch.zeros(n, dtype=torch.long)
    masks, _ = faces.masks(i)
    hair = (masks[:, INDEX["hair"]] > 0.5).float()
    image = torch.full((n, 3, 128, 128), 0.3)
    changed, measured, _ = recolor(image, masks, hair, torch.zeros(n), torch.Generator().manual_seed(0))
    found = dict(zip(TONED, measured.unbind(1), strict=True))
    assert found["hair_dark"].min() < -60 and found["hair_dark"].max() > -16
    assert found["hair_red"].max() > 20 and found["hair_warm"].max() > 20
    assert found["hair_gray"].max() > found["hair_gray"].median() + 1
    off = torch.nn.functional.interpolate(hair[:, None] + masks.sum(1, keepdim=True), 128) < 1e-3
    assert torch.allclose(changed[off.expand_as(changed)], torch.tensor(0.3), atol=5e-3)


def test_a_batch_labels_every_attribute_and_is_the_same_for_the_same_seed(faces):
    i = torch.arange(16)
    first, again = (faces.batch(i, torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    image, label, weight = first
    assert image.shape == (16, 3, 128, 128) and image.min() >= 0 and image.max() <= 1
    assert label.shape == weight.shape == (16, len(attr.NAMES))
    assert torch.isfinite(label).all() and label.min() >= 0 and label.max() <= 1 and weight.min() >= 0


def test_a_shadow_s_measure_says_nothing_of_the_skin_s_own_lightness(faces, monkeypatch):
    assert set(faces.slopes) == set(BESIDE_SKIN)
    skin, shadow = torch.tensor([20.0, 50.0, 80.0]), torch.tensor([0.0, 0.1, 0.0])
    monkeypatch.setattr(faces, "slopes", {"liner": 0.01})
    freed = faces.beside_skin({"skin_light": skin, "liner": 0.01 * skin + shadow})["liner"]
    assert torch.allclose(freed, shadow, atol=1e-6)


def test_what_a_set_does_not_say_weighs_little_and_what_rules_a_thing_out_counts():
    tags = ["round glasses", "bald", "female", "", ""]
    columns = {
        "source": np.array(["synthetic", "synthetic", "synthetic", "color", "london"]),
        "tags": np.array(tags),
        "expression": np.full(5, ""),
        "emotion": np.full((5, 7), np.nan, np.float32),
        "age": np.array([np.nan, np.nan, np.nan, 6.0, np.nan]),
        "female": np.array([np.nan, np.nan, 1.0, 0.0, 1.0]),
    }
    label, weight = labels(columns)

    def of(name: str) -> tuple[list[float], list[float]]:
        k = attr.LABELLED.index(name)
        return label[:, k].tolist(), weight[:, k].tolist()

    worn, sure = of("glasses")
    assert worn == [1, 0, 0, 0, 0] and sure[0] > 1 and sure[1] == sure[2] == 0 and 0 < sure[3] < 0.2 and sure[4] == 1
    beard, sure = of("full_beard")
    assert beard == [0] * 5 and sure[0] == 0 and sure[2] == sure[3] == 1
    assert of("hat")[1][1] == 1  # a bald head is seen
    assert of("child")[0][3] == 1 and of("happy")[1] == [0] * 5


def test_pictures_that_look_alike_are_one_group():
    generator = np.random.default_rng(0)
    pictures = np.kron(generator.integers(0, 255, (4, 16, 16, 3)), np.ones((1, 8, 8, 1))).astype(np.uint8)
    pictures[2] = np.clip(pictures[0] * 0.8 + 20, 0, 255)
    assert look_alikes(pictures).tolist() == [0, 1, 0, 3]
    assert held_out("someone", 10) == held_out("someone", 10)
