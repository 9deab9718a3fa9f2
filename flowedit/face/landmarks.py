"""The 68 landmarks of a face by name, in dlib's order, and the two lengths that a face is measured by.

Left and right are as the viewer sees an upright face; of a pair the left comes first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.checks import describe, require

OUTER_CANTHAL = "the distance between the outer eye corners"  # `outer_canthal_distance` in a sentence

# Lines, from left to right.
JAW = slice(0, 17)  # ear to ear over the chin
BROWS = (slice(17, 22), slice(22, 27))
BOTH_BROWS = slice(17, 27)
NOSE_BRIDGE = slice(27, 31)  # from above
NOSE_BASE = slice(31, 36)
# Closed outlines, clockwise from the left corner.
EYES = (slice(36, 42), slice(42, 48))
BOTH_EYES = slice(36, 48)
OUTER_LIPS = slice(48, 60)
INNER_LIPS = slice(60, 68)
MOUTH = slice(48, 68)
INNER = slice(17, 68)  # brows, eyes, nose and mouth: the line of the jaw is placed loosely

# Points.
EARS = (0, 16)
CHEEKBONES = (1, 15)
CHEEKS = (2, 14)
JAW_CORNERS = (4, 12)
CHIN = 8
OUTER_BROW_ENDS, INNER_BROW_ENDS = (17, 26), (21, 22)
NOSE_ROOT, NOSE_TIP, NOSE_FOOT = 27, 30, 33
NOSE_WINGS = (31, 35)
OUTER_CANTHI, INNER_CANTHI = (36, 45), (39, 42)
UPPER_LIDS, LOWER_LIDS = (37, 38, 43, 44), (41, 40, 47, 46)  # each lower one below its upper one
OUTER_LOWER_LIDS = (41, 46)
MOUTH_CORNERS = (48, 54)
UPPER_LIP, LOWER_LIP = (50, 51, 52), (56, 57, 58)
INNER_UPPER, INNER_LOWER = (61, 62, 63), (67, 66, 65)  # the lips' inner borders, opposite each other
LIP_MIDDLES = (51, 62, 66, 57)  # outer and inner border of the upper lip, inner and outer border of the lower one


def eye_centers(landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the means of the left and the right eye's outline, (..., 2) each, of (..., 68, 2) landmarks."""
    left, right = (landmarks[..., eye, :].mean(-2) for eye in EYES)
    return left, right


def mouth_center(landmarks: Tensor) -> Tensor:
    """Return the middle between the mouth's corners, (..., 2), of (..., 68, 2) landmarks."""
    left, right = MOUTH_CORNERS
    return (landmarks[..., left, :] + landmarks[..., right, :]) / 2


def interocular_distance(landmarks: Tensor) -> Tensor:
    """Return the distance between the eyes' centers, (...), in the unit of (..., 68, 2) landmarks."""
    left, right = eye_centers(landmarks)
    return (right - left).norm(dim=-1)


def outer_canthal_distance(landmarks: Tensor) -> Tensor:
    """Return the distance between the eyes' outer corners, (...), in the unit of (..., 68, 2) landmarks."""
    left, right = OUTER_CANTHI
    return (landmarks[..., right, :] - landmarks[..., left, :]).norm(dim=-1)


def check_landmarks(landmarks: Tensor) -> None:
    """Validate a finite (68, 2) tensor."""
    good = isinstance(landmarks, Tensor) and landmarks.shape == (68, 2) and bool(torch.isfinite(landmarks).all())
    require(good, f"landmarks must be a finite tensor of shape (68, 2); got {describe(landmarks)}")


def whole_movements(points: Tensor) -> Tensor:
    """Return how points (..., n, 2) move where all shift, scale and turn together: (..., 2 n, 4), to first order."""
    x, y = (points - points.mean(-2, keepdim=True)).unbind(-1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    columns = [torch.stack(each, -1).flatten(-2) for each in ((one, none), (none, one), (x, y), (-y, x))]
    return torch.stack(columns, -1)
