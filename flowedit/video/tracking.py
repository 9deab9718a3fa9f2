"""All faces of a stream: found, followed, lost, found again, and told apart."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
from torch import Tensor

from flowedit.face.crop import Crop, face_crop
from flowedit.face.detect import SMALL_PX, place, search
from flowedit.face.turned import DETECT_PX
from flowedit.video.frames import check_frame, gray_cells, thumbnail
from flowedit.video.track import Portrait, Track, TrackedFace, TrackerSettings

FRAME_S = 1 / 25  # between frames whose times are not said
APART = 1.1, 1.8  # distance of two faces, in crop half sides, below which they may be mixed up; and where that is over
NEAR_S = 1.5  # seconds for which a lost face is known again by its place
SAME = 0.5  # distance, in crop half sides, below which two are one face


class FaceTracker:
    """Follows faces through the frames of a stream.

    Args:
        settings: see `TrackerSettings`.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.tracks: list[Track] = []
        self.reset()

    def reset(self, forget: bool = True) -> None:
        """Begin anew; persons are known again by their faces unless they are forgotten."""
        self.time, self.searched = -math.inf, -math.inf
        self.size: tuple[int, ...] | None = None
        self.thumbnail: np.ndarray | None = None
        if forget:
            self.tracks = []
        for track in self.tracks:
            track.drop()

    def update(self, frame: np.ndarray, time: float | None = None) -> list[TrackedFace]:
        """Find the faces in the next frame.

        Args:
            frame: (H, W, 3) uint8 or uint16 RGB. Another size than before, or a scene cut, starts anew.
            time: seconds, rising; None is a 25th after the last.

        Returns:
            The faces that are seen or fade out, by id.
        """
        check_frame(frame)
        if frame.shape != self.size:
            self.reset(forget=False)
            self.size = frame.shape
        if time is None:
            time = 0.0 if math.isinf(self.time) else self.time + FRAME_S
        self._look_for_cut(frame)
        for track in self.tracks:
            if track.lost:
                track.rest(time)
            else:
                track.follow(frame, time)
        self._keep_apart(frame)
        if self._due(time):
            self._search(frame, time)
        self.time = time
        return [track.face() for track in self.tracks if track.fade > 0 or not track.lost]

    def look(self, frame: np.ndarray, face: TrackedFace) -> Portrait:
        """Return the best look at a face so far, to tell whose it is; `frame` is the one that was last updated with."""
        track = next(track for track in self.tracks if track.id == face.id)
        return track.portrait or track.look(frame)

    def _look_for_cut(self, frame: np.ndarray) -> None:
        now = thumbnail(frame)
        if self.thumbnail is not None:
            change = now - self.thumbnail
            if float(np.abs(change - np.median(change)).mean()) > self.settings.cut:  # a change of light is none
                for track in self.tracks:
                    track.drop()
                self.searched = -math.inf
        self.thumbnail = now

    def _due(self, time: float) -> bool:
        active = any(not track.lost for track in self.tracks)
        waiting = not active or any(track.lost and time - track.seen < 5 for track in self.tracks)
        return time - self.searched >= (self.settings.retry if waiting else self.settings.search)

    def _search(self, frame: np.ndarray, time: float) -> None:
        self.searched = time
        height, width = frame.shape[:2]
        step = math.ceil(max(height, width) / DETECT_PX)
        picture = gray_cells(frame, (0, 0, height, width), min(step, height, width))
        doublings = 1 if max(picture.shape) < SMALL_PX else 0
        found = search(picture, doublings)
        if not found and not doublings and not any(not track.lost for track in self.tracks):
            found = search(picture, 1)
        places = sorted((place(picture, box) * step for box, _ in found), key=lambda points: float(points[:, 0].mean()))
        for landmarks in places:
            crop = face_crop(landmarks)
            if not any(not track.lost and _distance(crop, track.crop) < SAME for track in self.tracks):
                self._take_up(frame, landmarks, time)

    def _take_up(self, frame: np.ndarray, landmarks: Tensor, time: float) -> None:
        """Follow a face that was found: of a person who was lost near there, or who looks the same, or a new one."""
        seen = Track(len(self.tracks), self.settings)
        seen.start(frame, landmarks, time)
        if seen.confidence <= 0:
            return
        lost = [track for track in self.tracks if track.lost]
        near = [each for each in lost if time - each.seen < NEAR_S and _distance(seen.crop, each.crop) < APART[0]]
        person = near[0] if len(near) == 1 else self._recognize(seen.look(frame), lost)
        if person is None:
            self.tracks.append(seen)
        else:
            person.start(frame, landmarks, time)

    def _recognize(self, look: Portrait, lost: list[Track]) -> Track | None:
        """Return who of the lost a face is."""
        known = [(_likeness(look, each.portrait), each) for each in lost if each.portrait is not None]
        distance, person = min(known, key=lambda pair: pair[0], default=(math.inf, None))
        return person if distance < self.settings.same_person else None

    def _keep_apart(self, frame: np.ndarray) -> None:
        """Of two that follow one face drop the less sure; tell those apart again that have been too near."""
        active = [track for track in self.tracks if not track.lost]
        for one, other in combinations(active, 2):
            distance = _distance(one.crop, other.crop)
            if distance < APART[0]:
                one.mixed.add(other)
                other.mixed.add(one)
            if distance < SAME:
                weaker = min(one, other, key=lambda track: (track.score, track.seen))
                weaker.lost = True
        for one, other in combinations(active, 2):
            clear = not (one.lost or other.lost) and min(one.confidence, other.confidence) > 0.5
            if other in one.mixed and clear and _distance(one.crop, other.crop) > APART[1]:
                one.mixed.discard(other)
                other.mixed.discard(one)
                self._tell_apart(frame, one, other)

    def _tell_apart(self, frame: np.ndarray, one: Track, other: Track) -> None:
        """Exchange what two tracks follow where each looks more like the other's person."""
        if one.portrait is None or other.portrait is None:
            return
        first, second = one.look(frame), other.look(frame)
        straight = _likeness(first, one.portrait) + _likeness(second, other.portrait)
        if _likeness(first, other.portrait) + _likeness(second, one.portrait) < straight:
            one.id, other.id = other.id, one.id
            one.portrait, other.portrait = other.portrait, one.portrait
            self.tracks.sort(key=lambda track: track.id)


def _distance(one: Crop, other: Crop) -> float:
    """Distance of two crops' centers, in the mean of their half sides."""
    return float((one.matrix[:, 2] - other.matrix[:, 2]).norm()) * 4 / (one.side_px + other.side_px)


def _likeness(one: Portrait, other: Portrait) -> float:
    """Distance of two looks' descriptors."""
    return float((one.descriptor - other.descriptor).norm())
