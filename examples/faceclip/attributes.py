"""What faceclip knows: attributes, each a direction with two ends, and how the shapes among them are measured.

Expressions, persons and things are read from labels (labels.py), geometry and shapes from landmarks, colors and tints
from regions in CIELAB, and structure from what is finer than a blur (tones.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.face.landmarks import (
    BROWS,
    CHEEKBONES,
    CHIN,
    EYES,
    INNER_BROW_ENDS,
    JAW_CORNERS,
    LIP_MIDDLES,
    LOWER_LIDS,
    MOUTH_CORNERS,
    OUTER_BROW_ENDS,
    OUTER_CANTHI,
    UPPER_LIDS,
    outer_canthal_distance,
)
from flowedit.face.measures import measure

EXPRESSION = ("happy", "sad", "angry", "surprised", "fearful", "disgusted", "neutral")
GEOMETRY = (
    "mouth_curvature", "mouth_open", "mouth_width", "lip_thickness", "eye_area", "eye_open",
    "brow_height", "nose_width", "nose_length", "face_width", "jaw_width", "face_length",
)  # fmt: skip
PERSON = ("old", "female")
COLOR = ("lips_red", "skin_light", "skin_warm", "cheeks_red", "brows_dark", "hair_dark", "eyes_brown")
SHAPE = (
    "brow_arch", "brow_slant", "mouth_tilt", "wink", "brow_tilt", "pout", "chin_width", "cheek_fullness", "chin_length",
    "gaze_side", "gaze_up",
)  # fmt: skip
TINT = (
    "brows_thick", "hair_warm", "hair_red", "hair_gray", "eyes_light", "eyes_green", "beard_shadow", "moustache_shadow",
    "lid_dark", "liner", "under_eye_dark",
)  # fmt: skip
STRUCTURE = ("lines_forehead", "lines_eyes", "lines_mouth", "skin_smooth", "freckles", "shine")
THING = (
    "glasses", "sunglasses", "hat", "teeth", "bald", "full_beard", "mustache", "hair_long", "hair_curly",
    "heavy_makeup", "child", "tongue",
)  # fmt: skip
NAMES = EXPRESSION + GEOMETRY + PERSON + COLOR + SHAPE + TINT + STRUCTURE + THING
INDEX = {name: k for k, name in enumerate(NAMES)}
MEASURED_SHAPES = GEOMETRY + SHAPE
MEASURED_TONES = COLOR + TINT + STRUCTURE
LABELLED = EXPRESSION + PERSON + THING
UNEVEN = ("mouth_tilt", "wink", "brow_tilt", "gaze_side")  # absolute: a small value is an error of measurement
NEEDS_COLOR = (  # what a gray photo does not show
    "lips_red", "skin_warm", "cheeks_red", "eyes_brown", "hair_warm", "hair_red", "hair_gray", "eyes_green",
)  # fmt: skip
STEEPNESS = 1.7  # a z-score of 1 becomes a label of 0.85: near ties teach little, extremes much


def shapes(landmarks: Tensor, gaze: Tensor) -> Tensor:
    """Measure what a warp can change.

    Args:
        landmarks: (B, 68, 2), x before y, y down, any unit.
        gaze: (B, 2) how far the irises lie right of and above where they mostly do, in eye widths.

    Returns:
        (B, 23) in the order of MEASURED_SHAPES.
    """
    values = measure(landmarks) | measure_more(landmarks)
    values["gaze_side"], values["gaze_up"] = gaze[:, 0].abs(), gaze[:, 1]
    return torch.stack([values[name] for name in MEASURED_SHAPES], -1)


def measure_more(landmarks: Tensor) -> dict[str, Tensor]:
    """Measure nine more attributes of a face, free of pose in the plane and of size as `flowedit.face.measures` is.

    `mouth_tilt`, `wink` and `brow_tilt` are absolute differences of the two sides. `cheek_fullness` is how far the
    outline bulges beyond the straight line from cheekbone to chin corner, so that a broad jaw alone is no full cheek.

    Args:
        landmarks: (B, 68, 2), x before y, y down, any unit.

    Returns:
        name -> (B,), lengths in outer-canthal distances but for `pout` (of the mouth's width), `chin_width` (of the
        jaw's) and `wink` (of the eyes' mean width).
    """
    unit = outer_canthal_distance(landmarks)
    left, right = OUTER_CANTHI
    along = (landmarks[:, right] - landmarks[:, left]) / unit[:, None]
    up = torch.stack([along[:, 1], -along[:, 0]], -1)
    height = (landmarks * up[:, None]).sum(-1) / unit[:, None]
    across = (landmarks * along[:, None]).sum(-1) / unit[:, None]

    def distance(a: int, b: int) -> Tensor:
        return (landmarks[:, a] - landmarks[:, b]).norm(dim=-1) / unit

    mouth_width = distance(*MOUTH_CORNERS)
    upper, upper_inner, lower_inner, lower = LIP_MIDDLES
    arches = [height[:, brow][:, 1:4].mean(1) - height[:, brow][:, [0, 4]].mean(1) for brow in BROWS]
    slants = [height[:, i] - height[:, o] for i, o in zip(INNER_BROW_ENDS, OUTER_BROW_ENDS, strict=True)]
    lids = [distance(a, b) for a, b in zip(UPPER_LIDS, LOWER_LIDS, strict=True)]
    widths = [across[:, eye].amax(1) - across[:, eye].amin(1) for eye in EYES]
    opened = [(lids[2 * k] + lids[2 * k + 1]) / 2 for k in (0, 1)]
    raised = [height[:, brow].mean(1) - height[:, eye].mean(1) for brow, eye in zip(BROWS, EYES, strict=True)]
    bulges = []
    for bone, corner, middle, outward in ((1, 6, slice(2, 6), -1), (15, 10, slice(11, 15), 1)):
        share = (height[:, middle] - height[:, corner, None]) / (height[:, bone] - height[:, corner])[:, None]
        line = across[:, corner, None] + share * (across[:, bone] - across[:, corner])[:, None]
        bulges.append(outward * (across[:, middle] - line).mean(1))
    return {
        "brow_arch": sum(arches) / 2,
        "brow_slant": sum(slants) / 2,
        "mouth_tilt": (height[:, MOUTH_CORNERS[0]] - height[:, MOUTH_CORNERS[1]]).abs(),
        # Beside its own width, which a turn of the head halves, the far eye would be wide open.
        "wink": 2 * (opened[0] - opened[1]).abs() / sum(widths),
        "brow_tilt": (raised[0] - raised[1]).abs(),
        "pout": (distance(upper, upper_inner) + distance(lower, lower_inner)) / mouth_width,
        "chin_width": distance(6, 10) / distance(*JAW_CORNERS),
        "cheek_fullness": sum(bulges) / 2 / distance(*CHEEKBONES),
        "chin_length": distance(lower, CHIN),
    }


def soft_label(value: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Turn a measurement into a label in (0, 1) by its place in the population."""
    return torch.sigmoid(STEEPNESS * (value - mean) / std)


def ends(value: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Take the upper 30 percent of the members' measurements (N,) against the lower 30: which are up, which count."""
    low, high = value[members].quantile(0.3), value[members].quantile(0.7)
    return value > high, members & ((value < low) | (value > high))


def sure(label: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """Take the members whose soft label (N,) is sure: which show it, which count."""
    return label > 0.5, members & ((label > 0.7) | (label < 0.2))


def find_elsewhere(directions: Tensor) -> Tensor:
    """Return the projection (D, D) onto what is along none of (K, D) directions."""
    basis, _ = torch.linalg.qr(directions.T)
    return torch.eye(len(basis)) - basis @ basis.T
