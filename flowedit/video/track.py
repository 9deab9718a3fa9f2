"""One face from frame to frame: landmarks refitted from the last ones, crop and shape filtered, confidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import Group, number
from flowedit.face.crop import Crop, extract, face_crop
from flowedit.face.detect import descriptor, place, refit_often, search
from flowedit.face.landmarks import NOSE_TIP, OUTER_CANTHI, eye_centers, interocular_distance
from flowedit.face.light import BRIGHT_SHARE, share_of_light
from flowedit.photo.photo import Photo
from flowedit.video.frames import aligned_gray
from flowedit.video.one_euro import OneEuro

ALIGNED_PX = 320  # side of the crop that landmarks are placed in
OFF = 0.15  # of the crop's side, that a detection may be off where a face is in its crop
LIGHT_HZ = 0.5  # cutoff of the light's filter
PORTRAIT_PX = 256  # side of the crop that tells whose face it is


@dataclass(frozen=True)
class TrackerSettings(Group):
    """How faces are followed. Filters: Hz at rest, and Hz per eye distance a second (`OneEuro`)."""

    center: tuple[float, float] = (0.15, 14.0)
    """Filter of the crop's center."""
    angle: tuple[float, float] = (0.08, 9.0)
    """Filter of the crop's angle, by how far it moves the crop's border."""
    scale: tuple[float, float] = (0.05, 8.0)
    """Filter of the crop's scale, likewise: the strongest, since most of a crop's jitter is there."""
    shape: tuple[float, float] = (0.1, 3.0)
    """Filter of each landmark in its crop."""
    speed: float = number(4.0, above=0, most=100)
    """Cutoff of the crop's own speed, Hz; a lower one is late where a head turns back."""
    fits: int = number(4, least=1, most=8)
    """How often landmarks are placed in a frame; their mean is taken."""
    fade: float = number(0.16, least=0, most=10)
    """Seconds in which an edit fades in, and out."""
    check: float = number(0.12, least=0, most=10)
    """Seconds between looks whether a followed face is still one."""
    score: tuple[float, float] = (-0.8, -0.3)
    """Detector's score up to which a face is gone, and from which on it is sure."""
    spread: tuple[float, float] = (0.022, 0.036)
    """Deviation of the fits, eye distances, up to which landmarks are sure, and from which on they are not."""
    turn: tuple[float, float] = (0.5, 0.75)
    """How far the nose's tip is off the eyes' middle, eye distances, when an edit begins to fade, and when it has."""
    jump: float = number(0.6, above=0, most=10)
    """Eye distances that a face moves, or grows by, from frame to frame at most."""
    patience: float = number(0.4, least=0, most=60)
    """Seconds without confidence after which a face is lost."""
    search: float = number(2.0, above=0, most=600)
    """Seconds between searches of the whole frame for new faces."""
    retry: float = number(0.2, above=0, most=600)
    """Seconds between searches while a face is lost, or none is there."""
    cut: float = number(28.0, above=0, most=255)
    """Mean change of brightness, of 255, from one frame to the next that is a scene cut."""
    same_person: float = number(0.6, above=0, most=2)
    """Distance of dlib's descriptors up to which two faces are one person's."""


@dataclass(frozen=True, eq=False)
class TrackedFace:
    """A face in a frame.

    Attributes:
        id: of the person, from 0 in order of appearance, and from left to right among those that appear together.
        crop: filtered; its landmarks are the filtered ones, in crop coordinates.
        measured: (68, 2) float64 the landmarks before any filter, frame pixels.
        confidence: that it is the face, and that its landmarks are right, in [0, 1].
        turn: how far the nose's tip is off the eyes' middle, eye distances: 0 is frontal, 0.5 about 35 degrees.
        fade: how much of an edit is to be seen, in [0, 1].
        light: how much light the crop is in, up to 1 (`measure_light`), filtered.
    """

    id: int
    crop: Crop
    measured: Tensor
    confidence: float
    turn: float
    fade: float
    light: float

    @property
    def landmarks(self) -> Tensor:
        """(68, 2) float64 the filtered landmarks, frame pixels."""
        assert self.crop.landmarks is not None  # `Track.face` sets them
        return self.crop.to_photo(self.crop.landmarks)


@dataclass(eq=False)
class Portrait:
    """A look at a face, to tell whose it is.

    Attributes:
        quality: of the look: detector's score, less where the face is turned.
        pixels: (1, 3, S, S) aligned crop.
        landmarks: (68, 2) crop coordinates.
    """

    quality: float
    pixels: Tensor
    landmarks: Tensor

    @cached_property
    def descriptor(self) -> Tensor:
        """(128,) of dlib's network; it takes a tenth of a second."""
        return descriptor(self.pixels, self.landmarks)


@dataclass(eq=False)
class Track:
    """A person who is followed, or was.

    Args:
        id: see `TrackedFace`.
        settings: of the tracker.
    """

    id: int
    settings: TrackerSettings
    measured: Tensor = field(init=False)
    local: Tensor = field(init=False)  # the same in their crop
    crop: Crop = field(init=False)  # of the measured landmarks
    lost: bool = field(default=True, init=False)
    confidence: float = field(default=0.0, init=False)
    fade: float = field(default=0.0, init=False)
    turn: float = field(default=0.0, init=False)
    score: float = field(default=0.0, init=False)
    spread: float = field(default=0.0, init=False)
    time: float = field(default=-math.inf, init=False)  # of the last frame
    box: tuple[float, float, float, float] | None = field(default=None, init=False)
    checked: float = field(default=-math.inf, init=False)
    seen: float = field(default=-math.inf, init=False)  # with confidence
    mixed: set[Track] = field(default_factory=set, init=False)  # those that it was too near to
    portrait: Portrait | None = field(default=None, init=False)  # the best look

    def __post_init__(self) -> None:
        s = self.settings
        self._center, self._angle, self._scale = (OneEuro(*pair, s.speed) for pair in (s.center, s.angle, s.scale))
        self._shape = OneEuro(*s.shape)
        self._light = OneEuro(LIGHT_HZ, 0.0)

    def start(self, frame: np.ndarray, landmarks: Tensor, time: float) -> None:
        """Take up a face where it was found; what was filtered is forgotten.

        Args:
            frame: (H, W, 3).
            landmarks: (68, 2) frame pixels.
            time: seconds.
        """
        self.lost, self.time, self.seen, self.checked = False, time, time, -math.inf
        for each in (self._center, self._angle, self._scale, self._shape, self._light):
            each.reset()
        self._measure(landmarks)
        for _ in range(2):  # from a box of the whole frame, whose landmarks are coarse
            self._fit(frame)
        self._check(frame)
        self._filter(time)

    def follow(self, frame: np.ndarray, time: float) -> None:
        """Find the face again, near where it was in the last frame."""
        before, measured = self.crop, self.measured
        eyes = float(interocular_distance(measured))
        self._fit(frame)
        moved = float((self.crop.matrix[:, 2] - before.matrix[:, 2]).norm()) / eyes
        grown = abs(self.crop.side_px - before.side_px) / 2 / eyes
        if max(moved, grown) > self.settings.jump:
            self._measure(measured)
            self.score = -1.0
        elif time - self.checked >= self.settings.check or self.spread > self.settings.spread[0]:
            self._check(frame)
            self.checked = time
            if self.spread > self.settings.spread[1] and self.box is not None:  # astray, on a face that is there
                landmarks = place(self._half(), self.box) * (4 / ALIGNED_PX) - 1
                self.start(frame, before.to_photo(landmarks), time)
                return
        self._filter(time)

    def _fit(self, frame: np.ndarray) -> None:
        self.picture = aligned_gray(frame, self.crop, ALIGNED_PX)
        fits = refit_often(self.picture, self.local, self.settings.fits)
        eyes = interocular_distance(self.local.double())
        self.spread = float(fits.var(0, unbiased=False).sum(-1).mean().sqrt() / eyes)
        self._measure(self.crop.to_photo(fits.mean(0)))

    def _measure(self, landmarks: Tensor) -> None:
        self.measured, self.crop = landmarks.double(), face_crop(landmarks)
        assert self.crop.landmarks is not None  # `face_crop` sets them
        self.local = self.crop.landmarks

    def _check(self, frame: np.ndarray) -> None:
        """Look for a face in the crop's picture, where it should be: its score."""
        half = self._half()
        found = search(half, least=-1.0)
        self.score, self.box = -1.0, None
        for box, score in found:
            off = max(abs(box[0] + box[2] - len(half)), abs(box[1] + box[3] - 1.06 * len(half))) / 2 / len(half)
            if off < OFF and score > self.score:
                self.score, self.box = score, box
        sure = self.score > self.settings.score[1] and not self.mixed
        if sure and (self.portrait is None or self._quality() > self.portrait.quality + 0.3):
            self.portrait = self.look(frame)

    def _half(self) -> np.ndarray:
        """The crop's picture at half its size."""
        return self.picture.reshape(ALIGNED_PX // 2, 2, ALIGNED_PX // 2, 2).mean((1, 3)).astype(np.uint8)

    def _quality(self) -> float:
        return self.score - 2 * abs(_turn_of(self.measured))

    def look(self, frame: np.ndarray) -> Portrait:
        """Return how the face looks now."""
        return Portrait(self._quality(), extract(Photo(frame), self.crop, PORTRAIT_PX), self.local)

    def _filter(self, time: float) -> None:
        s = self.settings
        seconds = 0.04 if math.isinf(self.time) else max(0.0, time - self.time)
        self.time = time
        sure = _ramp(self.score, *s.score) * (1 - _ramp(self.spread, *s.spread))
        self.confidence, self.turn = sure, abs(_turn_of(self.measured))
        if sure > 0.1:
            self.seen = time
        elif time - self.seen > s.patience:
            self.lost = True
        self._fade(sure * (1 - _ramp(self.turn, *s.turn)), seconds)
        eyes = float(interocular_distance(self.measured))
        matrix = self.crop.matrix
        half = self.crop.side_px / 2
        arm = half / eyes  # how far the border is, eye distances
        angle = math.atan2(float(matrix[1, 0]), float(matrix[0, 0]))
        if self._angle.value is not None:  # the nearest of its turns
            angle += 2 * math.pi * round((float(self._angle.value[0]) - angle) / (2 * math.pi))
        center = self._center(matrix[:, 2].numpy(), time, eyes)
        angle = float(self._angle(np.array([angle]), time, 1 / arm)[0])
        half = math.exp(float(self._scale(np.array([math.log(half)]), time, 1 / arm)[0]))
        light = share_of_light(float(np.quantile(self.picture[::4, ::4], BRIGHT_SHARE)) / 255)
        self.light = float(self._light(np.array([light]), time)[0])
        self.shape = torch.from_numpy(self._shape(self.crop.to_crop(self.measured).numpy(), time, 1 / arm))
        axis = half * torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
        self.filtered = torch.stack([axis, torch.stack([-axis[1], axis[0]]), torch.from_numpy(center)], 1)

    def _fade(self, target: float, seconds: float) -> None:
        step = seconds / self.settings.fade if self.settings.fade else 1.0
        self.fade += min(max(target - self.fade, -step), step)

    def drop(self) -> None:
        """Lose the face at once, without fading, and not to be known again by its place."""
        self.lost, self.fade, self.seen = True, 0.0, -math.inf

    def rest(self, time: float) -> None:
        """Let a lost face fade out."""
        self._fade(0.0, time - self.time)
        self.time, self.confidence = time, 0.0

    def face(self) -> TrackedFace:
        """Return what is known of it in the last frame."""
        crop = Crop(self.filtered, self.shape.float())
        return TrackedFace(self.id, crop, self.measured, self.confidence, self.turn, self.fade, self.light)


def _turn_of(landmarks: Tensor) -> float:
    """Return how far the nose's tip is off the eyes' middle along their line, eye distances; signed."""
    left, right = (landmarks[k] for k in OUTER_CANTHI)
    across = (right - left) / (right - left).norm().clamp_min(1e-9)
    first, second = eye_centers(landmarks)
    nose = (landmarks[NOSE_TIP] - (first + second) / 2) @ across
    return float(nose / interocular_distance(landmarks).clamp_min(1e-9))


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
