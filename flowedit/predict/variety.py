"""How different the edits are that a network draws for one prompt."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.config import Config
from flowedit.field.offsets import pixel_centers
from flowedit.kernels import Interpolation, upsample
from flowedit.predict.network import COORD_SIZE, Prediction

APART = 0.9  # how far a drawn edit lies from the one without noise, in shares of that one's size
MIDDLE, RADII = (0.0, 0.1), (0.55, 0.7)  # of an ellipse about where an aligned face lies, crop coordinates
LONGEST = 2 * Config().max_shift


def set_apart(best: Prediction, drawn: Prediction, painted: Tensor) -> Prediction:
    """Move drawn edits, along the lines from those without noise, to as far from them as those are large.

    Of a network's draws only the movement of the face and the amounts of paint count, and only they are taken; the tint
    is that of the edit without noise. What costs least to differ in is the wall behind a head.

    Args:
        best: of a batch without noise.
        drawn: of the same batch with noise.
        painted: (B,) bool, whether the amounts of paint count.
    """
    own, other = (flatten_face(each, painted) for each in (best, drawn))
    scale = APART * own.norm(dim=1) / (other - own).norm(dim=1).clamp_min(1e-6)
    coord = torch.lerp(best.coord, drawn.coord, scale.reshape(-1, 1, 1, 1))
    return Prediction(coord, best.color, torch.lerp(best.amounts, drawn.amounts, scale.reshape(-1, 1, 1)))


def flatten_face(fields: Prediction, painted: Tensor) -> Tensor:
    """Return (B, N) what of fields tells draws apart: the face's movement, in shares of the longest, and paint.

    The movement is that at the control points: what is finer, the spline takes away.
    """
    at_points = upsample(fields.coord / LONGEST, COORD_SIZE, COORD_SIZE, Interpolation.B_SPLINE)
    shares = face_weight().to(at_points) * at_points
    return torch.cat([shares.flatten(1), (painted.reshape(-1, 1, 1) * fields.amounts).flatten(1)], dim=1)


def face_weight() -> Tensor:
    """Return (COORD_SIZE, COORD_SIZE) weights, whose squares have the sum 1: the same inside the face, else 0."""
    away = (pixel_centers(COORD_SIZE).reshape(COORD_SIZE, COORD_SIZE, 2) - torch.tensor(MIDDLE)) / torch.tensor(RADII)
    inside = (away.square().sum(-1) < 1).float()
    return inside / inside.sum().sqrt()
