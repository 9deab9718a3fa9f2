"""Whether faces are followed truly, edits lie still on them, and frames come in time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common import Timer
from benchmarks.motion import Motion, film, wave
from flowedit.face.crop import Crop, face_crop
from flowedit.face.detect import find_faces
from flowedit.photo.photo import load as load_photo
from flowedit.video.track import TrackerSettings
from flowedit.video.tracking import FaceTracker

FACE_PX = 256  # of the detector's box
SECONDS = 4.0
SETTLE_S = 0.6  # in which the filters start, not measured


def motions(eyes: float) -> dict[str, Callable[[float], Motion]]:
    """Cameras by name; `eyes` is the interocular distance in frame pixels. A head in talk moves by half of it a second."""
    slow = 0.5 * eyes / (2 * np.pi)  # amplitude of a second's wave whose highest speed is half an eye distance a second
    return {
        "still": lambda t: Motion(noise=3),
        "shift": lambda t: Motion((2 * slow * wave(t, 2), slow * wave(t, 2, 0.25)), noise=3),
        "quick": lambda t: Motion((4 * slow * wave(t, 1), 0), noise=3),
        "rotation": lambda t: Motion(angle=8 * wave(t, 2), noise=3),
        "zoom": lambda t: Motion(scale=1 + 0.12 * wave(t, 3), noise=3),
        "brightness": lambda t: Motion(gain=0.75 + 0.25 * wave(t, 2), noise=3),
        "blur": lambda t: Motion((2 * slow * wave(t, 2), 0), blur=1.5 + 1.4 * wave(t, 1.5), noise=3),
        "noise": lambda t: Motion((2 * slow * wave(t, 2), 0), noise=10),
    }


def measure_tracking(path: Path, settings: TrackerSettings | None = None) -> dict[str, dict[str, Any]]:
    """Follow a filmed photo's face; errors are pixels of a face 256 pixels wide, lags are frames."""
    photo = load_photo(path)
    (face,) = find_faces(photo)[:1]
    scale = FACE_PX / (face.box[2] - face.box[0])
    crop = face_crop(face.landmarks)
    center = tuple(crop.matrix[:, 2].tolist())
    eyes = scale * float((face.landmarks[36:42].mean(0) - face.landmarks[42:48].mean(0)).norm())
    rows = {}
    for name, move in motions(eyes).items():
        tracker = FaceTracker(settings)
        truth, filtered, measured, times, dropped = [], [], [], [], 0
        for shot in film(photo.pixels, move, frames=round(25 * SECONDS), scale=scale, center=center):
            with Timer() as timer:
                faces = tracker.update(shot.pixels, shot.time)
            times.append(timer.seconds)
            if len(faces) != 1 or faces[0].confidence < 0.5:
                dropped += 1
                continue
            if shot.time >= SETTLE_S:
                truth.append((shot.carry(face.landmarks), corners(face_crop(shot.carry(face.landmarks))), shot.time))
                filtered.append((faces[0].landmarks, corners(faces[0].crop)))
                measured.append((faces[0].measured, corners(face_crop(faces[0].measured))))
        rows[name] = {"dropped": dropped, "ms": 1e3 * float(np.median(times))}
        for kind, found in (("filtered", filtered), ("measured", measured)):
            for part, k in (("landmarks", 0), ("crop", 1)):
                there = torch.stack([each[k] for each in found])
                exact = torch.stack([each[k] for each in truth])
                rows[name][f"{part} {kind}"] = compare(there, exact)
    return rows


def compare(there: Tensor, exact: Tensor) -> dict[str, float | None]:
    """Compare paths of points (t, n, 2): the error, how much of it changes from frame to frame, and the lag."""
    error = there - exact
    bias = error.mean(0)
    velocity = (exact[2:] - exact[:-2]) / 2
    moving = float(velocity.square().sum())
    lag = -float(((error - bias)[1:-1] * velocity).sum()) / moving if moving > 1e-6 else None
    return {
        "error": rms(error),
        "jitter": rms(error - bias),
        "step": rms(error[1:] - error[:-1]),
        "lag": lag,
    }


def rms(points: Tensor) -> float:
    """Root of the mean squared length of (..., 2) vectors."""
    return float(points.square().sum(-1).mean().sqrt())


def corners(crop: Crop) -> Tensor:
    return crop.to_photo(torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]))
