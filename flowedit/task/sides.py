"""The side that a movement goes to: an encoder sees a gaze to the side, and not to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from flowedit.face.landmarks import BROWS, EYES, INNER_CANTHI, MOUTH_CORNERS, OUTER_CANTHI
from flowedit.field.eyes import EyeField
from flowedit.field.gaze import GazeField
from flowedit.field.raster import RasterField
from flowedit.guide.side_words import Part
from flowedit.transform.transforms import FieldTransform


@torch.no_grad()
def measure_side(field: RasterField, landmarks: Tensor, part: Part) -> float:
    """Return how far a field turns the irises to the right of the picture, or raises by more what lies there.

    Args:
        field: over the face's crop.
        landmarks: (68, 2) crop coordinates.
        part: the eyes, whose irises move beside their corners, the brows, or the corners of the mouth.
    """
    landmarks = landmarks.to(field.coord)

    def moved(points: Tensor) -> Tensor:  # to first order, what is read less an offset goes by it
        return -field.at_points(points)[0].mean(0)

    if part == "eyes":
        irises = torch.stack([landmarks[eye].mean(0) for eye in EYES])
        return float((moved(irises) - moved(landmarks[[*OUTER_CANTHI, *INNER_CANTHI]]))[0])
    left, right = BROWS if part == "brows" else ([corner] for corner in MOUTH_CORNERS)
    return float((moved(landmarks[left]) - moved(landmarks[right]))[1])  # y points down


def sides_left(sides: Mapping[Part, bool], eyes: Sequence[EyeField]) -> dict[Part, bool]:
    """Return what is left of the sides that words name, once fields of the eyes have gone to theirs."""
    gone = any(isinstance(field, GazeField) for field in eyes)
    return {part: right for part, right in sides.items() if not (gone and part == "eyes")}


@torch.no_grad()
def turn_to(sides: Mapping[Part, bool], found: FieldTransform) -> None:
    """Mirror a raster field all of whose parts go to the other side than was asked for, in place.

    An aligned face is near its own mirror image. A photo is hardly ever so uneven that a search comes to either side;
    it comes to the one that the network's weights, or their predictor's, prefer.
    """
    field, landmarks = found.field, found.crop.landmarks
    if not sides or landmarks is None or not isinstance(field, RasterField):
        return
    if all((measure_side(field, landmarks, part) > 0) != right for part, right in sides.items()):
        field.coord.copy_(field.coord.flip(-1) * field.coord.new_tensor([-1.0, 1.0])[:, None, None])
        field.color.copy_(field.color.flip(-1))
