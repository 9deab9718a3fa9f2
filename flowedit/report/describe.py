"""What an edit does to a face, in words: which points it moves, which parts it colors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from flowedit.face.crop import Crop
from flowedit.face.landmarks import (
    CHIN,
    INNER_BROW_ENDS,
    JAW_CORNERS,
    LOWER_LIDS,
    LOWER_LIP,
    MOUTH_CORNERS,
    NOSE_TIP,
    NOSE_WINGS,
    OUTER_BROW_ENDS,
    OUTER_CANTHAL,
    UPPER_LIDS,
    UPPER_LIP,
    eye_centers,
)
from flowedit.kernels import Interpolation, sample

LEAST_PERCENT = 0.5  # of the outer-canthal distance: less is not told
LEAST_DETAIL = 0.05  # of the fine structure's own contrast: less is not told
LEAST_DELTA_E = 1.0  # of a part's color: less is not seen
AXES = (("lighter", "darker"), ("redder", "greener"), ("yellower", "bluer"))  # L, a and b of CIELAB
ALIKE = "upper lip", "lower lip", "irises"  # whose points go one way
POINTS: dict[str, tuple[int, ...]] = {
    "mouth corners": MOUTH_CORNERS,
    "upper lip": UPPER_LIP,
    "lower lip": LOWER_LIP,
    "inner ends of the brows": INNER_BROW_ENDS,
    "outer ends of the brows": OUTER_BROW_ENDS,
    "irises": (68, 69),  # the middles of both eyes, after the landmarks
    "upper eyelids": UPPER_LIDS,
    "lower eyelids": LOWER_LIDS,
    "sides of the nose": NOSE_WINGS,
    "tip of the nose": (NOSE_TIP,),
    "corners of the jaw": JAW_CORNERS,
    "chin": (CHIN,),
}


def describe_points(moved: Tensor, crop: Crop) -> list[str]:
    """Tell where the points of a face go, the longest way first.

    Args:
        moved: (2, n, n) over the crop: how far what is seen there has come, photo pixels along the crop's axes.
        crop: of an aligned face, with its landmarks before the edit.

    Returns:
        Sentences: "mouth corners up 4.2 px and apart 1.5 px (3.1 % of the distance between the outer eye corners)".
        "Apart" is what two sides do; one point, lips and irises go left or right, as the viewer sees it.
    """
    assert crop.landmarks is not None and crop.outer_canthal_distance is not None  # an aligned face has them
    landmarks, eyes = crop.landmarks.float(), crop.outer_canthal_distance * crop.side_px / 2
    landmarks = torch.cat([landmarks, torch.stack(eye_centers(landmarks))])
    if eyes == 0:  # nothing to measure by
        return []
    shift = follow(moved.float(), landmarks, crop.side_px)
    told = []
    for name, indices in POINTS.items():
        points = list(indices)
        dx, dy = shift[0, points], float(shift[1, points].mean())
        x = landmarks[points, 0]
        pair = len(points) > 1 and name not in ALIKE
        across = float((torch.sign(x - x.mean()) * dx).mean()) if pair else float(dx.mean())
        length = (across**2 + dy**2) ** 0.5
        if 100 * length < LEAST_PERCENT * eyes:
            continue
        ways = [(dy, "down", "up"), (across, "apart", "together") if pair else (across, "right", "left")]
        ways.sort(key=lambda way: -abs(way[0]))
        words = [f"{plus if v > 0 else minus} {abs(v):.1f} px" for v, plus, minus in ways if abs(v) >= length / 3]
        text = f"{name} {' and '.join(words)} ({100 * length / eyes:.1f} % of {OUTER_CANTHAL})"
        told.append((length, text))
    return [text for _, text in sorted(told, key=lambda pair: -pair[0])]


def describe_colors(changes: Mapping[str, Sequence[float]]) -> list[str]:
    """Tell how the colors of parts change, the largest change first.

    Args:
        changes: part -> how far L, a and b of its mean color go, CIELAB.

    Returns:
        Sentences: "lips redder by 12.0 and darker by 5.1".
    """
    told = []
    for name, change in changes.items():
        size = sum(value**2 for value in change) ** 0.5
        if size < LEAST_DELTA_E:
            continue
        ways = sorted(zip(change, AXES, strict=True), key=lambda way: -abs(way[0]))
        words = [f"{up if v > 0 else down} by {abs(v):.1f}" for v, (up, down) in ways if abs(v) >= size / 3]
        told.append((size, f"{name} {' and '.join(words)}"))
    return [text for _, text in sorted(told, key=lambda pair: -pair[0])]


def describe_details(gains: Mapping[str, float]) -> list[str]:
    """Tell by how much the fine structure of parts is scaled, the largest change first.

    Args:
        gains: part -> what is added to its fine structure, in shares of it.

    Returns:
        Sentences: "lines on the forehead 40 % deeper".
    """
    told = sorted(((abs(gain), name, gain) for name, gain in gains.items() if abs(gain) >= LEAST_DETAIL), reverse=True)
    return [f"{name} {100 * size:.0f} % {'deeper' if gain > 0 else 'smoother'}" for size, name, gain in told]


def follow(moved: Tensor, points: Tensor, side_px: float) -> Tensor:
    """Return how far a movement carries points of a crop.

    Args:
        moved: as for `describe_points`. It is known where things arrive, so the way is solved for.
        points: (n, 2) crop coordinates.
        side_px: of the crop, photo pixels.

    Returns:
        (2, n) photo pixels along the crop's axes.
    """
    n, shift = moved.shape[-1], torch.zeros(2, len(points))
    for _ in range(8):
        x, y = ((points.T + shift * (2 / side_px)) + 1) * (n / 2) - 0.5
        shift = sample(moved, x, y, Interpolation.LINEAR)
    return shift
