"""The frame of a clip in which a person is seen best: large, frontal, sharp, with open eyes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from flowedit.face.crop import Crop, extract
from flowedit.face.detect import landmarks
from flowedit.face.measures import measure
from flowedit.isolation import isolated
from flowedit.photo.photo import Photo
from flowedit.transform.bounds import MEASURE_PX
from flowedit.video.frames import aligned_gray
from flowedit.video.track import TrackedFace, TrackerSettings
from flowedit.video.tracking import FaceTracker

CLIP_SHARE = 0.8
"""Of the identity budget (`Config.identity`), for an edit on a clip's frame: dlib's distance differs by some hundredths
from frame to frame, and all should keep the budget."""
LARGE_PX = 512  # side of a crop that is large enough
OPEN = 0.30  # measure of eyes that are open
TURNED = 0.5  # turn of a face that is of no use; see `TrackedFace`
SHARP = 0.5  # detail over contrast of a sharp face
UNSURE = 0.5  # share of its score that a face has which dlib does not find in its crop: no identity is measured there
DETAIL_PX = 160  # side of the crop that sharpness is measured in


@dataclass(frozen=True, eq=False)
class ClearFrame:
    """Where a person is seen best.

    Attributes:
        person: number, as `VideoEditor` counts.
        index: of the frame, from 0.
        time: of the frame, as it was given.
        frame: (H, W, 3) a copy.
        crop: of the face there, with landmarks.
        score: in [0, 1].
    """

    person: int
    index: int
    time: float | None
    frame: np.ndarray
    crop: Crop
    score: float


@isolated()
def clearest(
    frames: Iterable[tuple[np.ndarray, float | None]], settings: TrackerSettings | None = None
) -> list[ClearFrame]:
    """Find each person's clearest frame.

    Args:
        frames: in their order, with their times; every few frames of a clip are enough.
        settings: how faces are followed.

    Returns:
        Of everyone who was seen, by number; empty where no face was found.
    """
    tracker = FaceTracker(settings)
    best: dict[int, ClearFrame] = {}
    for index, (frame, time) in enumerate(frames):
        for face in tracker.update(frame, time):
            score, least = clearness(frame, face), best[face.id].score if face.id in best else 0.0
            if score > least and landmarks(extract(Photo(frame), face.crop, MEASURE_PX)) is None:
                score *= UNSURE
            if score > least:
                best[face.id] = ClearFrame(face.id, index, time, frame.copy(), face.crop, score)
    return [best[person] for person in sorted(best)]


def clearness(frame: np.ndarray, face: TrackedFace) -> float:
    """Rate how clearly a face is seen in a frame, in [0, 1].

    The product of confidence, frontality and openness of the eyes, and of the roots of size and sharpness, each 1 where
    it is as good as can be used.
    """
    gray = aligned_gray(frame, face.crop, DETAIL_PX).astype(np.float32)
    middle = gray[1:-1, 1:-1]
    detail = 4 * middle - gray[:-2, 1:-1] - gray[2:, 1:-1] - gray[1:-1, :-2] - gray[1:-1, 2:]
    sharp = min(1.0, float(detail.std() / max(1.0, gray.std())) / SHARP)
    eyes = min(1.0, float(measure(face.landmarks)["eye_open"]) / OPEN)
    size = min(1.0, face.crop.side_px / LARGE_PX)
    return face.confidence * max(0.0, 1 - face.turn / TURNED) * eyes * (size * sharp) ** 0.5
