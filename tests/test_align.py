"""Faces, crops and regions: conventions pinned by lopsided cases, a real face."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh import run_fresh

from flowedit.face import detect as align
from flowedit.face.crop import Crop, extract, face_crop, whole_crop
from flowedit.face.detect import choose, find_faces
from flowedit.face.recognize import Recognizer
from flowedit.face.regions import REGIONS, region_mask
from flowedit.photo.photo import load

has_dlib = all(importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models"))
needs_dlib = pytest.mark.skipif(not has_dlib, reason="needs dlib and its models")


def astronaut() -> np.ndarray:
    return pytest.importorskip("skimage.data").astronaut()


def tilted_crop(half=30.0, angle=0.4, centre=(50.0, 35.0)) -> Crop:
    c, s = half * math.cos(angle), half * math.sin(angle)
    return Crop(torch.tensor([[c, -s, centre[0]], [s, c, centre[1]]], dtype=torch.float64))


def drawn_landmarks() -> torch.Tensor:
    """A made face, symmetric about x = 0, in crop coordinates."""
    points = torch.zeros(68, 2)
    angle = torch.linspace(math.pi, 0, 17)
    points[:17] = torch.stack([0.6 * angle.cos(), 0.7 * angle.sin() - 0.1], -1)
    x = torch.linspace(-0.1, 0.1, 5)
    points[17:22] = torch.stack([x - 0.23, torch.full((5,), -0.32)], -1)
    points[22:27] = torch.stack([x + 0.23, torch.full((5,), -0.32)], -1)
    points[27:31, 1] = torch.linspace(-0.1, 0.1, 4)
    points[31:36] = torch.stack([torch.linspace(-0.1, 0.1, 5), torch.full((5,), 0.15)], -1)
    hexagon = torch.tensor([[-1.0, 0], [-0.5, -0.5], [0.5, -0.5], [1, 0], [0.5, 0.5], [-0.5, 0.5]]) * 0.07
    points[36:42] = hexagon + torch.tensor([-0.23, -0.12])
    points[42:48] = hexagon + torch.tensor([0.23, -0.12])
    ring = math.pi - torch.arange(12) * math.pi / 6
    points[48:60] = torch.stack([0.2 * ring.cos(), 0.35 - 0.07 * ring.sin()], -1)
    points[60:68, 1] = 0.35
    return points


# --- crops


def test_crop_coordinates_put_x_first_and_centres_at_half():
    crop = Crop(torch.tensor([[10.0, 0, 30], [0, 10.0, 20]], dtype=torch.float64))
    assert crop.to_photo(torch.tensor([1.0, -1.0])).tolist() == [40, 10]
    assert crop.to_crop(torch.tensor([30.0, 25.0])).tolist() == [0, 0.5]
    assert crop.side_px == 20 and crop.box(100, 100) == (10, 20, 30, 40)
    assert crop.box(25, 35) == (10, 20, 25, 35)


def test_to_crop_inverts_to_photo():
    crop, points = (
        tilted_crop(),
        torch.randn(5, 7, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
    )
    assert torch.allclose(crop.to_crop(crop.to_photo(points)), points, atol=1e-12)
    assert crop.side_px == pytest.approx(60)
    assert crop.to_photo(torch.tensor([1.0, 0])).tolist() == pytest.approx(
        [50 + 30 * math.cos(0.4), 35 + 30 * math.sin(0.4)]
    )


def test_the_box_holds_the_crop_and_is_empty_outside():
    top, left, bottom, right = tilted_crop().box(1000, 1000)
    reach = 30 * (math.cos(0.4) + math.sin(0.4))
    assert (top, left) == (0, math.floor(50 - reach)) and (bottom, right) == (
        math.ceil(35 + reach),
        math.ceil(50 + reach),
    )
    top, left, bottom, right = tilted_crop(centre=(-500, -500)).box(20, 20)
    assert bottom == top or right == left


def test_state_survives_json_bit_for_bit():
    crop = Crop(tilted_crop().matrix / 3, drawn_landmarks() / 7)
    back = Crop.from_state(json.loads(json.dumps(crop.state())))
    assert torch.equal(back.matrix, crop.matrix) and torch.equal(back.landmarks, crop.landmarks)
    assert back.matrix.dtype == torch.float64 and back.landmarks.dtype == torch.float32
    assert Crop.from_state(tilted_crop().state()).landmarks is None


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"matrix": [[1.0, 0], [0, 1]], "landmarks": None},
        {"matrix": [[1.0, 0, 0], [0, 2, 0]], "landmarks": None},
        {"matrix": [[0.0, 0, 0], [0, 0, 0]], "landmarks": None},
        {"matrix": [[1.0, 0, math.nan], [0, 1, 0]], "landmarks": None},
        {"matrix": [["a", 0, 0], [0, 1, 0]], "landmarks": None},
        {"matrix": [[1.0, 0, 0], [0, 1, 0]], "landmarks": [[0.0, 0.0]]},
    ],
)
def test_a_damaged_state_is_refused(state):
    with pytest.raises(ValueError, match="must"):
        Crop.from_state(state)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (20, 4000)])
def test_the_whole_crop_is_centred_and_holds_the_photo(size):
    crop = whole_crop(load(np.zeros((*size, 3), np.uint8)))
    assert crop.side_px == max(size) and crop.landmarks is None
    assert crop.to_photo(torch.zeros(2)).tolist() == [size[1] / 2, size[0] / 2]
    assert crop.box(*size) == (0, 0, *size)


# --- extraction


def test_extracting_the_whole_square_returns_the_photo():
    photo = load(np.random.default_rng(0).integers(0, 256, (31, 31, 3), dtype=np.uint8))
    assert torch.allclose(extract(photo, whole_crop(photo), 31), photo.tensor(), atol=1e-5)


@pytest.mark.parametrize("size", [8, 25, 60, 96, 200])
def test_extraction_reads_where_the_crop_points(size):
    y, x = np.mgrid[:200, :300] + 0.5
    photo = load(np.stack([x / 300, y / 200, x * 0], -1))  # a ramp knows its own coordinates
    crop = tilted_crop(half=60, angle=0.4, centre=(150.0, 100.0))
    line = (torch.arange(size, dtype=torch.float64) * 2 + 1) / size - 1
    points = crop.to_photo(torch.stack(torch.meshgrid(line, line, indexing="xy"), -1))
    image = extract(photo, crop, size)
    assert image.shape == (1, 3, size, size) and image.dtype == torch.float32
    assert torch.allclose(image[0, 0].double() * 300, points[..., 0], atol=1e-2)
    assert torch.allclose(image[0, 1].double() * 200, points[..., 1], atol=1e-2)


@pytest.mark.parametrize("size", [16, 22, 50, 68])
def test_extraction_does_not_alias(size):
    noise = np.random.default_rng(0).random((128, 128, 1)).repeat(3, 2)
    photo = load(noise)
    averaged = math.sqrt(1 / 12) * size / 128  # what the mean over every pixel's own area leaves of the noise
    assert extract(photo, whole_crop(photo), size).std() < 1.05 * averaged


def test_outside_the_photo_the_border_repeats():
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[0], pixels[-1] = 255, 100
    photo = load(pixels)
    image = extract(photo, whole_crop(photo), 20)
    assert torch.allclose(image[0, :, :6], torch.ones(3, 6, 20), atol=1e-6)
    assert torch.allclose(image[0, :, 14:], torch.tensor(100 / 255), atol=1e-6)
    far = extract(photo, tilted_crop(angle=0.0, half=2.0, centre=(-100.0, 1000.0)), 4)
    assert torch.allclose(far, torch.tensor(100 / 255), atol=1e-6)


def test_extraction_from_strange_sizes():
    for size in ((1, 1), (20, 20000), (3, 1)):
        photo = load(np.full((*size, 3), 51, np.uint8))
        assert torch.allclose(extract(photo, whole_crop(photo), 16), torch.tensor(0.2), atol=1e-5)
    with pytest.raises(ValueError, match="size must be a whole number from 1 to 65536; got 0"):
        extract(photo, whole_crop(photo), 0)


# --- regions


@pytest.mark.parametrize("name", REGIONS)
def test_masks_are_soft_local_and_mirror_with_the_face(name):
    mask = region_mask(name, drawn_landmarks(), 256)
    assert mask.shape == (1, 1, 256, 256) and mask.dtype == torch.float32
    assert mask.min() == 0 and mask.max() == 1
    assert 0.01 < (mask > 0.5).float().mean() < 0.45
    assert mask[..., 0, :].max() == 0 and mask[..., :, 0].max() == 0 and mask[..., -1].max() == 0
    assert (mask[..., 1:, :] - mask[..., :-1, :]).abs().max() < 0.35 and ((mask > 0) & (mask < 1)).any()
    assert torch.allclose(mask, mask.flip(-1), atol=1e-5)


def value(name: str, x: float, y: float) -> float:
    mask = region_mask(name, drawn_landmarks(), 256)
    return mask[0, 0, int((y + 1) * 128), int((x + 1) * 128)].item()


def test_each_region_covers_its_own_and_not_the_others():
    spots = {
        "mouth": (0.05, 0.35), "eyes": (-0.23, -0.12), "brows": (0.2, -0.32), "nose": (0.02, 0.1),
        "jaw": (0.0, 0.6), "skin": (0.33, 0.1),
    }  # fmt: skip
    for name, (x, y) in spots.items():
        assert value(name, x, y) == 1
        for other in set(REGIONS) - {name, "skin"}:
            assert value(other, x, y) < 0.05, (name, other)
    for name in ("mouth", "eyes", "brows"):
        assert value("skin", *spots[name]) == 0
    assert value("nose", 0.0, -0.32) == value("mouth", 0.0, -0.12) == 0
    assert value("skin", 0.0, -0.42) == 1 and value("skin", 0.0, -0.9) == 0  # the forehead, and above it


def test_masks_are_the_same_at_every_size():
    fine, coarse = (region_mask("mouth", drawn_landmarks(), size) for size in (384, 128))
    assert torch.allclose(torch.nn.functional.avg_pool2d(fine, 3), coarse, atol=0.02)


def test_bad_regions_and_landmarks():
    for call, words in [
        (
            lambda: region_mask("ears", drawn_landmarks(), 8),
            "region must be one of mouth, eyes, .*; got 'ears'",
        ),
        (
            lambda: region_mask("eyes", drawn_landmarks()[:5], 8),
            r"landmarks must .* got Tensor of shape \(5, 2\)",
        ),
        (lambda: region_mask("eyes", drawn_landmarks() * math.nan, 8), "landmarks must be a finite"),
        (lambda: region_mask("eyes", drawn_landmarks(), 0), "size must be a whole number from 1"),
    ]:
        with pytest.raises(ValueError, match=words) as error:
            call()
        assert "\n" not in str(error.value)


# --- a real face


@needs_dlib
def test_the_astronaut_is_found_and_aligned():
    photo = load(astronaut())
    (face,) = find_faces(photo)
    left, top, right, bottom = face.box
    assert 130 < left < 200 < right < 300 and 40 < top < 110 < bottom < 200
    eyes, mouth = face.landmarks[36:48].mean(0), face.landmarks[48:60].mean(0)
    assert eyes[1] < mouth[1] and face.landmarks[36, 0] < face.landmarks[45, 0]
    crop = face_crop(face.landmarks)
    assert torch.allclose(crop.to_photo(crop.landmarks).float(), face.landmarks, atol=1e-3)
    aligned = crop.landmarks
    level = aligned[42:48].mean(0) - aligned[36:42].mean(0)
    assert abs(level[1]) < 0.1 * level[0] and aligned.abs().max() < 1
    assert aligned[36:48].mean(0).abs().max() < 0.2 and 0.2 < aligned[48:60].mean(0)[1] < 0.7


@needs_dlib
def test_a_rotated_and_scaled_face_gives_the_same_picture():
    photo = load(astronaut()[:256, 90:346])
    (crop,) = choose(photo, "largest")
    upright = extract(photo, crop, 128)
    tilted = tilted_crop(half=160.0, angle=0.2, centre=(128.0, 128.0))
    turned = load(extract(photo, tilted, 400))
    (again,) = choose(turned, 0)
    assert again.matrix[1, 0] / again.matrix[0, 0] == pytest.approx(math.tan(-0.2), abs=0.06)
    assert (extract(turned, again, 128) - upright).abs().mean() < 0.04


@needs_dlib
@pytest.mark.parametrize("degrees", [-42, -30, 38, 130])
def test_landmarks_of_a_tilted_face_are_those_of_the_upright_one(degrees):
    photo = load(astronaut()[:256, 90:346])
    (crop,) = choose(photo, "largest")
    tilted = tilted_crop(half=200.0, angle=math.radians(degrees), centre=(128.0, 128.0))
    (again,) = choose(load(extract(photo, tilted, 500)), "largest")
    found = crop.to_crop(tilted.to_photo(again.to_photo(again.landmarks.double()) / 250 - 1))
    distance = (found - crop.landmarks).norm(dim=1)[17:].mean()
    assert distance < 0.02 * crop.outer_canthal_distance


@needs_dlib
def test_landmarks_are_measured_again_in_the_crop():
    photo = load(astronaut())
    (crop,) = choose(photo, "largest")
    for size in (96, 256):
        image = extract(photo, crop, size)
        for measured in (align.landmarks(image), align.refit(image, crop.landmarks)):
            assert measured.shape == (68, 2) and measured.dtype == torch.float32
            assert (measured - crop.landmarks).norm(dim=1).mean() < 0.025
    moved = extract(
        photo, Crop(torch.cat([crop.matrix[:, :2], crop.to_photo(torch.tensor([0.1, 0.0]))[:, None]], 1)), 256
    )
    shift = align.refit(moved, crop.landmarks) - crop.landmarks
    assert shift.mean(0)[0] == pytest.approx(-0.1, abs=0.02) and abs(shift.mean(0)[1]) < 0.02
    assert align.landmarks(torch.full((1, 3, 64, 64), 0.5)) is None


@needs_dlib
def test_the_descriptor_knows_the_face():
    photo = load(astronaut())
    (crop,) = choose(photo, "largest")
    image = extract(photo, crop, 256)
    me = align.descriptor(image, crop.landmarks)
    assert me.shape == (128,) and me.dtype == torch.float32
    darker = align.descriptor(image * 0.9, align.landmarks(image * 0.9))
    assert (me - darker).norm() < 0.2
    generator = torch.Generator().manual_seed(0)
    assert (me - align.descriptor(torch.rand(1, 3, 256, 256, generator=generator), crop.landmarks)).norm() > 0.5


@needs_dlib
def test_faces_are_counted_from_left_to_right():
    person = astronaut()[:256, 90:346]
    small = load(extract(load(person), whole_crop(load(person)), 176))
    small = np.rint(small.pixels * 255).astype(np.uint8)
    pair = np.full((256, 512, 3), 128, np.uint8)
    pair[40:216, 20:196], pair[:, 230:486] = small, person
    photo = load(pair)
    both = choose(photo, "all")
    assert len(both) == 2 and both[0].matrix[0, 2] < 200 < both[1].matrix[0, 2]
    assert both[0].side_px < both[1].side_px
    assert torch.equal(choose(photo, 0)[0].matrix, both[0].matrix)
    assert torch.equal(choose(photo, "largest")[0].matrix, both[1].matrix)
    assert len(find_faces(load(extract(photo, whole_crop(photo), 380)))) == 2  # 75 and 50 pixels
    with pytest.raises(ValueError, match=r"face must be 0 to 1, .*; got 2"):
        choose(photo, 2)


@needs_dlib
def test_a_large_face_is_where_it_is_whether_smaller_ones_are_looked_for_or_not(monkeypatch):
    small, large = astronaut()[:256, 90:346], np.repeat(np.repeat(astronaut()[:256, 90:346], 3, 0), 3, 1)
    pair = np.full((768, 1100, 3), 128, np.uint8)
    pair[40:296, 20:276], pair[:, 300:1068] = small, large
    photo, searched = load(pair), []
    search = align.search
    monkeypatch.setattr(
        align, "search", lambda picture, *doublings: searched.append(len(picture)) or search(picture, *doublings)
    )
    (alone,) = find_faces(photo, large=True)
    assert len(searched) == 1 and searched[0] < 300
    assert torch.equal(choose(photo, "largest")[0].landmarks, choose(photo, 1)[0].landmarks)
    neighbour, same = find_faces(photo)
    assert torch.equal(same.landmarks, alone.landmarks) and neighbour.box[2] < 300


@needs_dlib
@pytest.mark.parametrize("size", [(1, 1), (33, 33), (20000, 20), (20, 20000)])
def test_no_face_names_the_way_out(size):
    with pytest.raises(ValueError, match=r"no face found in the .* photo; align=False .*--no-align") as error:
        choose(load(np.full((*size, 3), 90, np.uint8)), "largest")
    assert "\n" not in str(error.value)


@needs_dlib
def test_faces_in_small_and_large_photos():
    small = load(extract(load(astronaut()), whole_crop(load(astronaut())), 200))
    large = load(np.repeat(np.repeat(astronaut()[:256, 90:346], 8, 0), 8, 1))
    (one,), (other,) = find_faces(small), find_faces(large)
    reference = find_faces(load(astronaut()))[0].landmarks
    assert (one.landmarks * 512 / 200 - reference).norm(dim=1).mean() < 6
    assert (other.landmarks / 8 + torch.tensor([90.0, 0]) - reference).norm(dim=1).mean() < 3


@pytest.mark.parametrize("face", ["left", -1, True, None, 1.5])
def test_a_bad_choice_is_refused_before_any_work(face):
    with pytest.raises(ValueError, match=r"face must be .*; got"):
        choose(load(np.zeros((4, 4, 3), np.uint8)), face)


@pytest.mark.parametrize("missing", ["dlib", "face_recognition_models"])
def test_without_dlib_the_message_says_how_to_go_on(monkeypatch, missing):
    align._models.cache_clear()
    if missing == "dlib":
        monkeypatch.setitem(sys.modules, "dlib", None)
    else:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="pip install dlib-bin face-recognition-models; align=False") as error:
        find_faces(load(np.zeros((9, 9, 3), np.uint8)))
    assert "\n" not in str(error.value)
    align._models.cache_clear()


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, flowedit.face.detect, flowedit.photo.photo; "
        "print([m for m in ('dlib', 'PIL', 'tifffile', 'face_recognition_models') if m in sys.modules])"
    )
    done = run_fresh(code)
    assert (done.returncode, done.stdout) == (0, "[]\n")


@pytest.mark.parametrize(("score", "is_turned"), [(0.4, False), (0.7, True)])
def test_an_upright_face_gives_way_to_a_turned_one_that_is_plainly_surer(score, is_turned, monkeypatch):
    picture = np.zeros((120, 200, 3), np.uint8)
    box = (10.0, 10.0, 90.0, 90.0)
    monkeypatch.setattr(align, "_detect", lambda seen, large: [(box, 0.3 if seen.shape[1] == 200 else score)])
    (face,) = find_faces(load(picture), turned=True)
    assert (face.score == score) == is_turned and (face.box == box) == (not is_turned)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_in_a_turned_photo_is_found_where_it_is(quarters):
    portrait = astronaut()[:280, 90:350]
    height, width = portrait.shape[:2]
    (face,) = find_faces(load(portrait))
    turned = load(np.ascontiguousarray(np.rot90(portrait, -quarters)))
    (found,) = find_faces(turned, turned=True)
    x, y = found.landmarks.unbind(-1)
    back = {1: (y, height - x), 2: (width - x, height - y), 3: (width - y, x)}[quarters]
    torch.testing.assert_close(torch.stack(back, -1), face.landmarks, rtol=0, atol=1.5)
    left, top, right, bottom = found.box
    assert left < x.mean() < right and top < y.mean() < bottom
    upright = extract(turned, choose(turned, "largest")[0], 64)
    assert (upright - extract(load(portrait), choose(load(portrait), "largest")[0], 64)).abs().mean() < 0.02


def test_faces_are_the_same_in_any_number_of_threads():
    photos = [load(astronaut()[:size, :size].copy()) for size in (260, 300, 340, 380)]
    serial = [find_faces(photo)[0].landmarks for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            for landmarks, alone in zip(
                pool.map(lambda photo: find_faces(photo)[0].landmarks, photos), serial, strict=True
            ):
                assert torch.equal(landmarks, alone)


@needs_dlib
def test_the_recognizer_gives_dlibs_own_numbers():
    import dlib

    folder = Path(next(iter(importlib.util.find_spec("face_recognition_models").submodule_search_locations)), "models")
    weights = folder / "dlib_face_recognition_resnet_model_v1.dat"
    own = dlib.face_recognition_model_v1(str(weights))
    chips = [np.ascontiguousarray(astronaut()[y : y + 150, x : x + 150]) for y, x in ((0, 150), (60, 170), (300, 40))]
    expected = torch.tensor([list(own.compute_face_descriptor(chip)) for chip in chips])
    found = Recognizer(weights)(torch.stack([torch.from_numpy(chip).permute(2, 0, 1) for chip in chips]))
    assert torch.allclose(found, expected, atol=1e-5) and (expected[0] - expected[2]).norm() > 0.5
    with pytest.raises(RuntimeError, match=r"landmarks\.dat must be dlib's face recognition"):
        Recognizer(folder / "shape_predictor_68_face_landmarks.dat")
