"""The clearest frame of a clip."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.motion import Motion
from flowedit.video.clearest import clearest, clearness
from flowedit.video.tracking import FaceTracker
from tests.test_video_tracking import look_by_color, shots, two


@pytest.mark.parametrize(
    "worse",
    [Motion(blur=2.5), Motion(scale=0.7), Motion(blur=0.8, scale=0.9)],
    ids=["blurred", "small", "a little of both"],
)
def test_the_sharp_and_large_frame_is_chosen(worse):
    frames = [(shot.pixels, shot.time) for shot in shots(lambda t: Motion() if 0.1 < t < 0.14 else worse, 6)]
    (found,) = clearest(frames)
    assert (found.person, found.index, found.time) == (0, 3, frames[3][1])
    assert np.array_equal(found.frame, frames[3][0]) and found.frame is not frames[3][0]
    assert 0 < found.score <= 1 and found.crop.landmarks is not None


def test_a_face_that_can_be_measured_is_worth_more(monkeypatch):
    found = iter([None, "landmarks", "landmarks"])
    monkeypatch.setattr("flowedit.video.clearest.landmarks", lambda crop: next(found))
    frames = [(shot.pixels, shot.time) for shot in shots(lambda t: Motion(scale=1.0 if t < 0.03 else 0.9), 3)]
    assert [each.index for each in clearest(frames)] == [1]


def test_eyes_and_turn_count():
    (shot,) = shots(lambda t: Motion(), 1)
    (face,) = FaceTracker().update(shot.pixels)
    as_it_is = clearness(shot.pixels, face)
    closed = face.crop.landmarks.clone()
    for upper, lower in ((37, 41), (38, 40), (43, 47), (44, 46)):
        closed[upper] = closed[lower]
    crop = type(face.crop)(face.crop.matrix, closed)
    assert clearness(shot.pixels, type(face)(0, crop, face.measured, 1.0, face.turn, 1.0, 1.0)) < 0.3 * as_it_is
    assert clearness(shot.pixels, type(face)(0, face.crop, face.measured, 1.0, 0.6, 1.0, 1.0)) == 0


def test_everyone_has_a_frame_of_their_own(monkeypatch):
    look_by_color(monkeypatch)
    frames = [two(0), two(0), two(0)]
    frames[0] = frames[0].copy()
    frames[0][:, :210] = 90  # the left one comes later
    found = clearest((frame, 2.1 * k) for k, frame in enumerate(frames))
    assert [each.person for each in found] == [0, 1]
    assert found[0].crop.matrix[0, 2] > 210 > found[1].crop.matrix[0, 2]


def test_without_a_face_there_is_none():
    assert clearest([(np.zeros((60, 80, 3), np.uint8), None)] * 2) == []
