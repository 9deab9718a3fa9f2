"""An edit carried onto a person once; from then on only a landmark warp of a few numbers moves it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import require, warn
from flowedit.face.crop import Crop
from flowedit.face.landmarks import check_landmarks
from flowedit.field.offsets import pixel_centers
from flowedit.kernels import Interpolation, sample, upsample
from flowedit.transform.eyes import moves_eyes, with_still_eyes
from flowedit.transform.render import EditedPhoto
from flowedit.transform.retouching import is_retouched
from flowedit.transform.transfer import LEAST_AREA, OUTER, STIFFNESS, border_points, plate, plate_slope, plate_system
from flowedit.transform.transforms import Transform, leaves
from flowedit.video.openings import veil
from flowedit.video.track import TrackedFace

NOT_CARRIED = (
    "a video carries movement and tint alone: hair, beard area, lids (open or closed), gaze and lines stay as they are"
)
NODES = 128  # along a side of the crop, of the lattice that an edit's offsets are kept on
COARSE = 32  # of the lattice that the landmark warp is computed on
LEAST_TINT = 0.5 / 255  # that is seen
TURNS = 4  # of the iteration that inverts it
EDGE = 0.03, 0.05  # crop coordinates from the border to where offsets begin, two cells of a lattice; and their rise


class Bent(NamedTuple):
    """An edit as it lies over a frame's crop.

    Attributes:
        offsets: (5, n, n) over the crop that the edit was carried onto; shifts in the frame's crop coordinates.
        back: (2, c, c) how far back from each place of the frame's crop they are to be read.
        veil: (n, n) what share of their color is taken over the frame's crop; None is all.
    """

    offsets: Tensor
    back: Tensor
    veil: Tensor | None = None

    def read(self, x: Tensor, y: Tensor) -> Tensor:
        """Read the offsets at places (N,) of the frame's crop: (5, N), zero at its border and outside."""
        half, c = self.offsets.shape[-1] / 2, self.back.shape[-1] / 2
        vx, vy = sample(self.back, (x + 1) * c - 0.5, (y + 1) * c - 0.5, Interpolation.CATMULL_ROM)
        offsets = sample(self.offsets, (x - vx + 1) * half - 0.5, (y - vy + 1) * half - 0.5, Interpolation.LINEAR)
        edge = ((1 - x.abs() - EDGE[0]) / EDGE[1]).clamp(0, 1) * ((1 - y.abs() - EDGE[0]) / EDGE[1]).clamp(0, 1)
        if self.veil is not None:
            offsets[2:] *= sample(self.veil[None], (x + 1) * half - 0.5, (y + 1) * half - 0.5, Interpolation.LINEAR)
        return offsets * edge


class CarriedEdit:
    """What an edit does to a person, in the person's own crop, and how it follows the landmarks of another frame.

    With u the thin plate that carries the crop's landmarks to the frame's, what is at r goes to r + u(r), and a shift
    there is turned and stretched by the plate's own slope. u is linear in the landmarks' moves, so its matrices are
    made once.

    Args:
        transforms: of one face.
        crop: of that face, with landmarks.
        strength: scales all of it.

    Raises:
        ValueError: the crop has no landmarks.
    """

    def __init__(self, transforms: Sequence[Transform], crop: Crop, strength: float = 1.0) -> None:
        require(crop.landmarks is not None, "an edit of a video must be of an aligned face; got a whole picture")
        assert crop.landmarks is not None  # for the type checker
        check_landmarks(crop.landmarks)
        if is_retouched(transforms) or moves_eyes(transforms):
            warn(NOT_CARRIED)
        transforms = with_still_eyes(transforms)  # eyes blink by themselves, and lids are finer than the lattice
        offsets = EditedPhoto(None, transforms, strength).offsets(crop, NODES)
        self.offsets = torch.cat([offsets.coord, offsets.color], 1)[0]
        if not self.offsets.any():
            warn("nothing of the edit is left for a video: its frames stay as they are")
        self.landmarks = crop.landmarks.double()
        self._colors = bool(self.offsets[2:].abs().max() > LEAST_TINT)
        self._plates: dict[float, Tensor] = {}
        self.light = min((leaf.light for leaf in leaves(transforms)), default=1.0)

    def follow(self, frame: np.ndarray, face: TrackedFace, time: float) -> Bent:
        """Bend the edit to a tracked face; of the frame nothing is read."""
        assert face.crop.landmarks is not None  # a tracked face has them
        bent = self.bend(face.crop.landmarks)
        share = min(1.0, face.light / self.light)
        if share < 1:
            bent.offsets[2:] *= share
        return bent

    def bend(self, landmarks: Tensor) -> Bent:
        """Bend the edit to landmarks (68, 2) in the crop of a frame."""
        moves = (landmarks.double() - self.landmarks)[OUTER]
        for stiffness in STIFFNESS:
            plate = self._plate(stiffness)
            u, along_x, along_y = (plate @ moves).float().reshape(3, COARSE, COARSE, 2).permute(0, 3, 1, 2)
            area = (1 + along_x[0]) * (1 + along_y[1]) - along_x[1] * along_y[0]
            if bool((area > LEAST_AREA).all()):
                break
        else:  # landmarks that no smooth map carries into each other: each place keeps what it had
            u, along_x, along_y = torch.zeros(3, 2, COARSE, COARSE)
        slope = upsample(torch.cat([along_x, along_y])[None], NODES, NODES, Interpolation.LINEAR)[0]
        offsets = self.offsets.clone()
        offsets[:2] += slope[:2] * self.offsets[0] + slope[2:] * self.offsets[1]
        return Bent(offsets, _invert(u), veil(self.landmarks, landmarks.double(), NODES) if self._colors else None)

    def _plate(self, stiffness: float) -> Tensor:
        if stiffness not in self._plates:
            self._plates[stiffness] = _plate_matrices(self.landmarks[OUTER], stiffness)
        return self._plates[stiffness]


def _invert(u: Tensor) -> Tensor:
    """Return v with v(q) = u(q - v(q)) at the nodes q of the same lattice."""
    x, y = (axis.contiguous() for axis in pixel_centers(COARSE).reshape(-1, 2).T)
    v, half = u.flatten(1), COARSE / 2
    for _ in range(TURNS):
        v = sample(u, (x - v[0] + 1) * half - 0.5, (y - v[1] + 1) * half - 0.5, Interpolation.CATMULL_ROM)
    return v.reshape(2, COARSE, COARSE)


def _plate_matrices(anchors: Tensor, stiffness: float) -> Tensor:
    """Return what the moves (n, 2) of anchors are multiplied by for a thin plate and its slopes on the coarse lattice.

    The plate is that of `transfer.carry_field`, held at the crop's border.

    Returns:
        (3 COARSE², n): the plate, and its slopes along x and y.
    """
    points = torch.cat([anchors, border_points()])
    weights = torch.linalg.inv(plate_system(points, stiffness))[:, : len(anchors)]  # of kernel and plane, by moves
    places = pixel_centers(COARSE, dtype=torch.float64).reshape(-1, 2)
    plane = torch.cat([torch.ones_like(places[:, :1]), places], 1)
    value, slope = torch.cat([plate(places, points), plane], 1), plate_slope(places, points)
    slopes = []
    for axis in range(2):
        constant = torch.zeros_like(plane)
        constant[:, 1 + axis] = 1
        slopes.append(torch.cat([slope[..., axis], constant], 1))
    return torch.cat([value, *slopes]) @ weights
