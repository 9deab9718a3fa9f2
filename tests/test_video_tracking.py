"""Faces followed: truth by a photo that is filmed by a moving camera, and what happens when a face goes."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

from benchmarks.motion import Motion, film, wave
from flowedit.face.crop import face_crop
from flowedit.face.detect import find_faces
from flowedit.photo.photo import load
from flowedit.video import track
from flowedit.video.frames import aligned_gray, gray_cells
from flowedit.video.one_euro import OneEuro
from flowedit.video.track import TrackerSettings
from flowedit.video.tracking import FaceTracker

SIZE = (220, 260)


@lru_cache(maxsize=1)
def portrait():
    """The astronaut's face: picture, landmarks, center."""
    data = pytest.importorskip("skimage.data")
    picture = np.ascontiguousarray(data.astronaut()[:300, 70:380])
    (face,) = find_faces(load(picture))
    return picture, face.landmarks, tuple(face_crop(face.landmarks).matrix[:, 2].tolist())


def shots(move, frames=20, **options):
    picture, _, center = portrait()
    return film(picture, move, frames=frames, **{"size": SIZE, "center": center, **options})


def still(time):
    return Motion()


def follow(move, frames=20, settings=None, **options):
    """Return for each frame the one face, and the true landmarks."""
    tracker, found = FaceTracker(settings), []
    for shot in shots(move, frames, **options):
        (face,) = tracker.update(shot.pixels, shot.time)
        found.append((face, shot.carry(portrait()[1])))
    return found


def error(points, truth):
    return float((points - truth).norm(dim=-1).mean())


# --- the filter


def test_a_filter_smooths_at_rest_and_follows_in_motion():
    noise = np.random.default_rng(0).normal(0, 0.01, (200, 2))
    rest, motion = OneEuro(0.2, 5.0), OneEuro(0.2, 5.0)
    still = np.array([rest(value, k / 25) for k, value in enumerate(noise)])[50:]
    assert still.std() < 0.4 * noise.std()
    path = np.linspace([0, 0], [8, 0], 200)  # one unit a second
    lag = path[-1] - [motion(value, k / 25) for k, value in enumerate(path + noise)][-1]
    assert 0 < lag[0] < 1.5 / 25


def test_a_filter_goes_by_the_real_time():
    coarse, fine = OneEuro(1.0, 0.0), OneEuro(1.0, 0.0)
    for k in range(100):
        coarse(np.zeros(2), k / 25), fine(np.zeros(2), k / 25)
    once = coarse(np.ones(2), 99 / 25 + 0.2)
    for k in range(1, 21):
        often = fine(np.ones(2), 99 / 25 + k / 100)
    assert once[0] < often[0] < 1.5 * once[0]  # not by the number of values
    assert np.array_equal(fine(np.full(2, 9.0), 99 / 25 + 0.2), often)  # a time that is not after the last


def test_a_filter_that_is_reset_does_not_glide():
    each = OneEuro(0.1, 0.0)
    each(np.zeros(2), 0.0)
    each.reset()
    assert each(np.ones(2), 0.04).tolist() == [1, 1]


def test_the_first_values_count_alike():
    each = OneEuro(0.1, 0.0)
    for k, value in enumerate((0.0, 3.0, 6.0)):
        got = each(np.full(2, value), k / 25)
    assert got.tolist() == [3.0, 3.0]


def test_speed_counts_in_the_unit():
    near, far = OneEuro(0.1, 1.0), OneEuro(0.1, 1.0)
    for k in range(20):
        a, b = near(np.array([2.0 * k, 0]), k / 25, unit=50.0), far(np.array([20.0 * k, 0]), k / 25, unit=500.0)
    assert b == pytest.approx(10 * a)


# --- what is looked at


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_cells_are_means(dtype):
    frame = np.zeros((6, 8, 3), np.uint16)
    frame[:2, :2] = [[[40, 80, 120]] * 2] * 2
    frame = frame.astype(np.uint8) if dtype == np.uint8 else frame << 8
    assert gray_cells(frame, (0, 0, 6, 8), 2)[0].tolist() == [80, 0, 0, 0]
    assert gray_cells(frame, (0, 0, 6, 8), 1)[1, 1] == 80


def test_an_aligned_square_has_the_crop():
    picture, landmarks, _ = portrait()
    crop = face_crop(landmarks)
    gray = aligned_gray(picture, crop, 128)
    from flowedit.face.crop import extract

    exact = extract(load(picture), crop, 128)[0]
    exact = 255 * (exact[0] + 2 * exact[1] + exact[2]) / 4
    assert np.abs(gray - exact.numpy()).mean() < 3


# --- following


@pytest.mark.parametrize(
    "move",
    [
        lambda t: Motion((12 * wave(t, 1), -8 * wave(t, 2)), noise=3),
        lambda t: Motion(angle=12 * wave(t, 1), noise=3),
        lambda t: Motion(scale=1 + 0.15 * wave(t, 2), gain=0.8 + 0.2 * wave(t, 1), noise=3),
    ],
    ids=["shift", "rotation", "zoom and light"],
)
def test_landmarks_follow_a_known_motion(move):
    found = follow(move)
    assert all(face.confidence == 1 for face, _ in found)
    assert max(error(face.landmarks, truth) for face, truth in found) < 2.5
    assert max(float((face.crop.matrix - face_crop(truth).matrix).abs().max()) for face, truth in found) < 4


def test_a_still_face_lies_stiller_than_it_is_measured():
    found = [face for face, _ in follow(lambda t: Motion(noise=4), frames=30)][5:]
    filtered, measured = (
        torch.stack([getattr(face, name) for face in found]).var(0).sum(-1).mean().sqrt()
        for name in ("landmarks", "measured")
    )
    assert filtered < 0.35 * measured and filtered < 0.15


def test_a_step_is_caught_up_with_in_a_few_frames():
    found = follow(lambda t: Motion((12 if t > 0.38 else 0, 0)), frames=16)
    off = [error(face.landmarks, truth) for face, truth in found]
    assert max(off[:10]) < 1.5 and off[12] < 1.5  # of 12 pixels


def test_a_covered_face_fades_out_and_in_again_as_the_same_person():
    tracker, fades = FaceTracker(), []
    for k, shot in enumerate(shots(still, 34)):
        frame = shot.pixels.copy()
        if 8 <= k < 18:  # a hand
            frame[70:160, 80:180] = 110
        faces = tracker.update(frame, shot.time)
        fades.append(faces[0].fade if faces else 0.0)
        assert all(face.id == 0 for face in faces)
    assert fades[7] == 1 and fades[13] == 0 and fades[17] == 0 and fades[-1] == 1
    assert max(abs(np.diff(fades))) < 0.3  # no jump


def test_a_turned_face_fades():
    settings = TrackerSettings(turn=(0.0, 0.01))  # as if every face were turned
    assert [face.fade for face, _ in follow(still, 6, settings)] == [0] * 6


def test_no_face_is_no_error():
    tracker = FaceTracker()
    for _ in range(4):
        assert tracker.update(np.full((90, 120, 3), 128, np.uint8)) == []
    assert tracker.update(np.zeros((1, 1, 3), np.uint16)) == []


def test_another_size_or_scene_begins_anew_without_a_glide():
    tracker = FaceTracker()
    for size, shift in ((SIZE, 0), (SIZE, 0), ((240, 300), 30)):
        for shot in shots(lambda t, shift=shift: Motion((shift, 0)), 2, size=size):
            (face,) = tracker.update(shot.pixels)
    assert face.id == 0 and error(face.landmarks, shot.carry(portrait()[1])) < 2
    negative = 255 - np.zeros_like(shot.pixels)
    assert tracker.update(negative) == []  # a cut: no fading over another scene


def two(shift, over=None):
    """A frame with two people, the right one bluer; each `shift` to the right and to the left of where it was."""
    picture, _, (x, y) = portrait()
    left, right = (picture[int(y) - 75 : int(y) + 75, int(x) - 60 : int(x) + 60].copy() for _ in range(2))
    right[..., 0] //= 2
    frame = np.full((170, 420, 3), 90, np.uint8)
    for person, place in ((left, 40 + shift), (right, 260 - shift)):
        frame[10:160, place : place + 120] = person
    return frame


def look_by_color(monkeypatch):
    monkeypatch.setattr(track, "descriptor", lambda image, landmarks: 4 * image[..., 110:146, 110:146].mean((0, 2, 3)))


def test_people_are_counted_from_left_to_right(monkeypatch):
    look_by_color(monkeypatch)
    faces = FaceTracker().update(two(0))
    assert [face.id for face in faces] == [0, 1]
    assert faces[0].crop.matrix[0, 2] < faces[1].crop.matrix[0, 2]


def test_people_keep_their_numbers_when_they_cross(monkeypatch):
    look_by_color(monkeypatch)
    tracker = FaceTracker()
    for k in range(56):
        faces = tracker.update(two(4 * k), k / 25)
    assert sorted(face.id for face in faces) == [0, 1]
    by_id = {face.id: face.crop.matrix[0, 2] for face in faces}
    assert by_id[0] > by_id[1]


def test_settings_are_checked():
    with pytest.raises(ValueError, match="fits must be at most 8"):
        TrackerSettings(fits=9)
    with pytest.raises(ValueError, match=r"frame must be an array of shape \(H, W, 3\)"):
        FaceTracker().update(np.zeros((4, 4), np.uint8))
    with pytest.raises(TypeError, match="frame must be uint8 or uint16; got float32"):
        FaceTracker().update(np.zeros((4, 4, 3), np.float32))
