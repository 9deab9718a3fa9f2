"""What the video benchmark measures by: a camera whose motion is known, errors and lags."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmarks.motion import Motion, film, wave
from benchmarks.video_clips import find_clips, summarize
from benchmarks.video_truth import compare, count_outside
from flowedit.face.crop import Crop


def spot(frame):
    """Where a frame's bright spot is: x, y in continuous pixels."""
    weight = np.maximum(0, frame[..., 0].astype(float) - 60)
    y, x = np.mgrid[: frame.shape[0], : frame.shape[1]] + 0.5
    return torch.tensor([(x * weight).sum(), (y * weight).sum()]) / weight.sum()


@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_what_is_filmed_is_where_it_is_said_to_be(scale):
    y, x = np.mgrid[:120, :160] + 0.5
    picture = 50 + 200 * np.exp(-((x - 100) ** 2 + (y - 50) ** 2) / 60)
    picture = np.repeat(picture[..., None], 3, 2).astype(np.uint8)
    moving = lambda t: Motion((7 * t, -20 * t), angle=60 * t, scale=1 + 0.2 * t)  # noqa: E731
    for shot in film(picture, moving, frames=8, size=(100, 140), scale=scale):
        truth = shot.carry(torch.tensor([100.0, 50.0]))
        assert torch.allclose(spot(shot.clean).double(), truth, atol=0.3)
        assert shot.pixels.flags.c_contiguous and shot.pixels.shape == (100, 140, 3)


def test_light_noise_and_blur_are_what_was_asked_for():
    picture = np.full((40, 40, 3), 100, np.uint8)
    picture[:, 20:] = 200
    (shot,) = film(picture, lambda t: Motion(gain=0.5, noise=4), frames=1, size=(40, 40))
    assert abs(shot.clean[20, 5, 0] - 50) <= 1 and 3 < (shot.pixels.astype(float) - shot.clean).std() < 5
    (blurred,) = film(picture, lambda t: Motion(blur=3), frames=1, size=(40, 40))
    assert np.ptp(np.diff(blurred.clean[20, :, 0].astype(int))) < 20 < np.ptp(np.diff(picture[20, :, 0].astype(int)))


def test_a_lag_is_told_from_an_error_that_stays():
    times = torch.arange(100.0)
    truth = torch.stack([20 * (times / 10).sin(), times * 0], -1)[:, None]
    late = torch.stack([20 * ((times - 1.2) / 10).sin(), times * 0 + 3], -1)[:, None]
    found = compare(late, truth)
    assert found["lag"] == pytest.approx(1.2, abs=0.03)
    assert found["error"] > 3 > found["jitter"] == pytest.approx(20 * 0.12 / math.sqrt(2), abs=0.1)
    assert compare(truth * 0 + 1, truth * 0)["lag"] is None


def test_what_changed_outside_is_counted():
    changed = np.zeros((20, 30, 3), bool)
    changed[2, 3, 0] = changed[10, 15, 1] = True
    crop = Crop(torch.tensor([[4.0, 0, 15], [0, 4.0, 10]], dtype=torch.float64))
    assert count_outside(changed, [crop]) == 1 and count_outside(changed, []) == 2


def test_shares_of_frames(tmp_path):
    records = [{"effect": 1.0, "identity": 0.2}, {"effect": 0.05, "identity": 0.4}]
    row = summarize("clip", "prompt", records)
    assert (row["faces"], row["right"], row["kept"], row["identity"]) == (2, 0.5, 0.5, 0.4)
    assert summarize("clip", "prompt", [])["right"] is None
    with pytest.raises(ValueError, match="got none in"):
        find_clips(tmp_path)


def test_a_wave_begins_at_nothing():
    assert wave(0, 2) == 0 and wave(0.5, 2) == pytest.approx(1) and wave(0, 2, 0.25) == pytest.approx(1)
