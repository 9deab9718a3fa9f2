"""VideoEditor: an edit that follows faces through the frames of a stream."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch

from flowedit.checks import as_float, describe, require
from flowedit.edit import Edit
from flowedit.isolation import isolated
from flowedit.kernels import warp_pixels
from flowedit.video.assign import Assignment, Follower, Wish, check_wish
from flowedit.video.carry import NODES, Bent
from flowedit.video.frame import Patch, paste
from flowedit.video.frames import Box, check_frame
from flowedit.video.track import TrackedFace, TrackerSettings
from flowedit.video.tracking import FaceTracker

CLEAR = 0.5  # confidence from which on an edit is carried onto a face
FRONTAL = 0.3  # turn up to which it is carried at once; see `TrackedFace`
BETTER = 0.3  # by how much better a look must be for a person to be judged again who was not the one on a photo
WAIT_S = 0.8  # seconds after which it is carried onto a face that has not been frontal yet


class VideoEditor:
    """Edits the faces of a stream, frame by frame: arrays in, arrays out.

    An edit is carried onto a person once, in the first clear frame; then it follows the person's landmarks. The photo
    that it was found on may be a frame of the stream, or show anybody.

    Args:
        edits: an edit for everyone; or one for each person, None for none: a sequence, or a mapping from numbers.
            People count from 0 in order of appearance, from left to right among those that appear together. An edit of
            several faces goes to those people, known by their looks, or from left to right where it has no photo. With
            `per_frame` a prompt may stand in an edit's place.
        strength: scales every edit, on top of its own strength; 0 gives the frames, bit for bit.
        whose: "all", or "own": an edit goes only to the person on its photo.
        identity: an edit carried to another person than its own takes at most the strength that keeps this distance
            of dlib's descriptors (`Edit.within`), which takes about a second; None does not look.
        per_frame: predict the edit anew in each frame (`flowedit.predict`) and smooth it over time, instead of
            carrying it; slow.
        settings: how faces are followed.

    Attributes:
        faces: `TrackedFace` of the last frame.

    Raises:
        TypeError, ValueError: an edit is none, is of no aligned face, or a number is out of range.
    """

    def __init__(
        self,
        edits: Wish | Sequence[Wish] | Mapping[int, Wish],
        *,
        strength: float = 1.0,
        whose: Literal["all", "own"] = "all",
        identity: float | None = None,
        per_frame: bool = False,
        settings: TrackerSettings | None = None,
    ) -> None:
        require(whose in ("all", "own"), f'whose must be "all" or "own"; got {describe(whose)}')
        require(identity is None or as_float(identity) > 0, f"identity must be positive or None; got {identity!r}")
        self._edits, self._rest = _by_person(edits)
        for edit in (*self._edits.values(), self._rest):
            check_wish(edit, whose, per_frame)
        self.strength = _strength(strength)
        self.tracker = FaceTracker(settings)
        self._assign = Assignment(whose, identity, per_frame)
        self.reset()

    def reset(self) -> None:
        """Begin another stream: people and what was carried onto them are forgotten."""
        self.tracker.reset()
        self.faces: list[TrackedFace] = []
        self._followers: dict[int, Follower | None] = {}
        self._appeared: dict[int, float] = {}
        self._looks: dict[int, float] = {}  # quality of the look that a person was last judged by

    def process(self, frame: np.ndarray, time: float | None = None, strength: float | None = None) -> np.ndarray:
        """Edit the next frame.

        Args:
            frame: (H, W, 3) uint8 or uint16 RGB; it is not changed. Another size than before begins anew.
            time: seconds, rising; None is a 25th after the last.
            strength: in place of the editor's own.

        Returns:
            A new array of the same shape and dtype; outside the faces' squares its bits are the frame's.

        Raises:
            TypeError, ValueError: the frame is none.
        """
        return paste(frame, self.patches(frame, time, strength))

    def patches(self, frame: np.ndarray, time: float | None = None, strength: float | None = None) -> list[Patch]:
        """Edit the next frame, but return what changes only; see `process`. Empty where no edit is to be seen."""
        return self.draw(frame, self.track(frame, time), strength)

    @isolated()
    def track(self, frame: np.ndarray, time: float | None = None) -> list[TrackedFace]:
        """Follow the faces to the next frame and carry the edit onto new ones: the first half of `patches`."""
        self.faces = self.tracker.update(frame, time)
        for face in self.faces:
            first = self._appeared.setdefault(face.id, self.tracker.time)
            clear = face.confidence > CLEAR and (face.turn < FRONTAL or self.tracker.time - first > WAIT_S)
            if clear and self._followers.get(face.id) is None:
                look = self.tracker.look(frame, face)
                if face.id not in self._looks or look.quality > self._looks[face.id] + BETTER:
                    self._looks[face.id] = look.quality
                    edit = self._edits.get(face.id, self._rest)
                    self._followers[face.id] = self._assign(edit, frame, face, look)
        return self.faces

    @isolated()
    @torch.no_grad()
    def draw(self, frame: np.ndarray, faces: Sequence[TrackedFace], strength: float | None = None) -> list[Patch]:
        """Draw the edits of faces into a frame that they were found in: the second half of `patches`."""
        check_frame(frame)
        strength = self.strength if strength is None else _strength(strength)
        seen = [face for face in faces if self.follows(face.id) and strength * face.fade]
        return draw(frame, [(face, self.bend(frame, face)) for face in seen], strength)

    def follows(self, person: int) -> bool:
        """Return whether a person has an edit yet."""
        return self._followers.get(person) is not None

    @torch.no_grad()
    def bend(self, frame: np.ndarray, face: TrackedFace) -> Bent:
        """Return the edit of a person who has one, as it lies over the face in a frame."""
        follower = self._followers[face.id]
        assert follower is not None  # `follows`
        return follower.follow(frame, face, self.tracker.time)


def draw(frame: np.ndarray, bent: Sequence[tuple[TrackedFace, Bent]], strength: float) -> list[Patch]:
    """Draw edits that lie over the faces of a frame; those whose squares touch into one patch."""
    placed = [(face.crop.box(*frame.shape[:2]), face, edit) for face, edit in bent]
    seen = [each for each in placed if each[0][0] < each[0][2] and each[0][1] < each[0][3]]
    groups = _touching([box for box, _, _ in seen])
    return [_draw(frame, [seen[k] for k in group], strength) for group in groups]


def _draw(frame: np.ndarray, seen: Sequence[tuple[Box, TrackedFace, Bent]], strength: float) -> Patch:
    """Draw the edits of faces whose squares touch into the box that holds them: their offsets add."""
    tops, lefts, bottoms, rights = zip(*(box for box, _, _ in seen), strict=True)
    top, left, bottom, right = min(tops), min(lefts), max(bottoms), max(rights)
    step = max(1, min(round(face.crop.side_px / NODES) for _, face, _ in seen))
    lattice = torch.zeros(5, (bottom - top - 1) // step + 2, (right - left - 1) // step + 2)
    for box, face, bent in seen:
        rows, columns = (
            slice((low - start) // step, (high - start - 1) // step + 2)
            for low, high, start in ((box[0], box[2], top), (box[1], box[3], left))
        )
        part = lattice[:, rows, columns]
        (a, b, x0), (c, d, y0) = face.crop.matrix.tolist()
        u = left + 0.5 - x0 + step * torch.arange(columns.start, columns.start + part.shape[2])
        v = top + 0.5 - y0 + step * torch.arange(rows.start, rows.start + part.shape[1])[:, None]
        scale = 1 / (a * d - b * c)
        x, y = ((d * u - b * v) * scale).flatten(), ((a * v - c * u) * scale).flatten()
        offsets = (strength * face.fade) * bent.read(x, y).reshape(part.shape)
        part[0] += a * offsets[0] + b * offsets[1]
        part[1] += c * offsets[0] + d * offsets[1]
        part[2:] += offsets[2:]
    box = (top, left, bottom, right)
    pixels = np.require(frame, requirements=["C", "W"])  # torch warns of what cannot be written to
    return Patch(box, warp_pixels(torch.from_numpy(pixels), lattice, box, step).numpy())


def _touching(boxes: Sequence[Box]) -> list[list[int]]:
    """Group boxes that overlap, directly or by others between them."""
    groups: list[tuple[Box, list[int]]] = []
    for k, box in enumerate(boxes):
        members = [k]
        while joined := [g for g in groups if _overlap(g[0], box)]:
            for group in joined:
                groups.remove(group)
                other = group[0]
                low, high = map(min, box[:2], other[:2]), map(max, box[2:], other[2:])
                box, members = (*low, *high), members + group[1]  # type: ignore[assignment]
        groups.append((box, sorted(members)))
    return [members for _, members in groups]


def _overlap(a: Box, b: Box) -> bool:
    return max(a[0], b[0]) < min(a[2], b[2]) and max(a[1], b[1]) < min(a[3], b[3])


def _by_person(edits: Wish | Sequence[Wish] | Mapping[int, Wish]) -> tuple[dict[int, Wish], Wish]:
    """Return whose edit is which, and that of everyone else."""
    if isinstance(edits, (Edit, str)):
        return {}, edits
    if isinstance(edits, Mapping):
        numbers = all(isinstance(key, int) and not isinstance(key, bool) and key >= 0 for key in edits)
        require(numbers, f"edits must be by people's numbers, from 0; got {describe(list(edits))}")
        return dict(edits), None
    require(isinstance(edits, Sequence), f"edits must be an Edit, or several; got {describe(edits)}", TypeError)
    assert isinstance(edits, Sequence)  # for the type checker
    require(len(edits) > 0, "edits must be at least one; got an empty list")
    return dict(enumerate(edits)), None


def _strength(value: float) -> float:
    strength = as_float(value)
    require(math.isfinite(strength), f"strength must be finite; got {describe(value)}")
    return strength
