"""A smile as faces do it: how their landmarks move, and how far a movement is from that."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.landmarks import INNER, whole_movements
from flowedit.fit.terms import FitState

TABLE = Path(__file__).with_name("smile.csv")


@functools.cache
def read_smile() -> Tensor:
    """Return the mean movement of the landmarks INNER from a neutral to a smiling face: (51, 2), crop coordinates."""
    return torch.from_numpy(np.loadtxt(TABLE, delimiter=",", dtype=np.float32))


class RealSmile:
    """A term: the landmarks' movement that faces do not make when they smile.

    An encoder that has seen smiles in pictures of all kinds takes a longer nose and a lower middle of the lip for a
    wider mouth; a face cannot do that. Shift, turn and scale of the whole face are no part of it.

    Args:
        landmarks: (B, 68, 2) of faces before, crop coordinates.
    """

    def __init__(self, landmarks: Tensor) -> None:
        self._points = landmarks[:, INNER].float()
        self._similarity = torch.linalg.qr(whole_movements(self._points)).Q  # (B, 102, 4)
        smile = self._alone(read_smile().to(self._points).flatten().expand(len(self._points), -1))
        self._energy = smile.square().sum(1)
        self._smile = smile / self._energy.sqrt()[:, None]

    def __call__(self, state: FitState) -> Tensor:
        """Return the term of the one face that is fitted."""
        return self.unlike(state.offsets.coord).mean()

    def unlike(self, coord: Tensor) -> Tensor:
        """Return the energy of the movement that is not a smile's, in shares of a whole smile's energy.

        Args:
            coord: (B, 2, h, w) crop coordinates, where each point is read from.

        Returns:
            (B,).
        """
        # What is read from p + coord(p) has moved by about -coord(p).
        read = F.grid_sample(coord, self._points[:, None], mode="bilinear", align_corners=False)[:, :, 0]
        moved = self._alone(-read.transpose(1, 2).flatten(1))
        along = (moved * self._smile).sum(1, keepdim=True).clamp_min(0)
        return (moved - along * self._smile).square().sum(1) / self._energy

    def _alone(self, movement: Tensor) -> Tensor:
        """Take what the face does as a whole off a movement (B, 102)."""
        whole = self._similarity @ (self._similarity.transpose(1, 2) @ movement[:, :, None])
        return movement - whole[:, :, 0]
