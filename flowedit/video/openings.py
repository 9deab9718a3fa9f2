"""Where a mouth has opened or an eye has closed since an edit was found: what is seen there takes no color."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.face.landmarks import EYES, INNER_LIPS, interocular_distance
from flowedit.face.regions import outline_distance, smoothstep
from flowedit.field.offsets import pixel_centers

# By how much more a mouth is open, interocular distances, when its inside begins to be left out, and is.
MOUTH = 0.02, 0.06
EYE = 0.65, 0.35  # what share of its opening is left to an eye when its lids begin to be left out, and are
LIPS_EDGE = -0.02, 0.02  # edge of a mouth's inside about its outline, interocular distances
LIDS_EDGE = 0.02, 0.06  # of an eye with its lids


def veil(before: Tensor, now: Tensor, size: int) -> Tensor | None:
    """Return what share of its color each place of a frame's crop takes.

    Args:
        before: (68, 2) landmarks that the edit was found for, in any similar crop.
        now: (68, 2) those in the frame's crop.
        size: of the result.

    Returns:
        (size, size) in [0, 1]; None where all take all of it.
    """
    unit = interocular_distance(now)
    opened = float(_height(now, INNER_LIPS) / unit - _height(before, INNER_LIPS) / interocular_distance(before))
    amounts = [((opened - MOUTH[0]) / (MOUTH[1] - MOUTH[0]), INNER_LIPS, LIPS_EDGE)]
    for eye in EYES:
        rest = float(_height(now, eye) / unit / (_height(before, eye) / interocular_distance(before)).clamp_min(1e-3))
        amounts.append(((EYE[0] - rest) / (EYE[0] - EYE[1]), eye, LIDS_EDGE))
    weight = None
    for amount, part, edge in amounts:
        if amount > 0:
            weight = torch.ones(size, size) if weight is None else weight
            _leave_out(weight, now[part].double(), float(unit), min(1.0, amount), edge)
    return weight


def _height(landmarks: Tensor, part: slice) -> Tensor:
    """Mean distance from the upper to the lower points of a closed outline of eight or six."""
    points = landmarks[part]
    n = len(points)
    upper, lower = points[1 : n // 2], points[n // 2 + 1 :].flip(0)
    return (upper - lower).norm(dim=-1).mean()


def _leave_out(weight: Tensor, outline: Tensor, unit: float, amount: float, edge: tuple[float, float]) -> None:
    """Take from weights what lies inside an outline, in place; only the box around it is looked at."""
    size = len(weight)
    low = ((outline.amin(0) - edge[1] * unit + 1) * size / 2).floor().long().clamp(0, size).tolist()
    high = ((outline.amax(0) + edge[1] * unit + 1) * size / 2).ceil().long().clamp(0, size).tolist()
    box = slice(low[1], high[1]), slice(low[0], high[0])
    places = pixel_centers(size, dtype=torch.float64)[box]
    inside = smoothstep(outline_distance(places, outline, True) / unit, *edge)
    weight[box] *= 1 - amount * inside.float()
