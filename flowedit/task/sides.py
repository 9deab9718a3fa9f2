"""The side that a movement goes to: an encoder sees a gaze to the side, and not to which."""

from __future__ import annotations

import torch
from torch import Tensor

from flowedit.face.landmarks import BROWS, EYES, INNER_CANTHI, MOUTH_CORNERS, OUTER_CANTHI
from flowedit.field.raster import RasterField
from flowedit.guide.side_words import Part, Side
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


@torch.no_grad()
def turn_to(side: Side | None, found: FieldTransform) -> None:
    """Mirror a raster field that goes to the other side than was asked for, in place: an aligned face is near its own.

    A photo is hardly ever so uneven that a search comes to either side; it comes to the one that the network's weights,
    or their predictor's, prefer.
    """
    field, landmarks = found.field, found.crop.landmarks
    if side is None or landmarks is None or not isinstance(field, RasterField):
        return
    if (measure_side(field, landmarks, side.part) > 0) != side.right:
        field.coord.copy_(field.coord.flip(-1) * field.coord.new_tensor([-1.0, 1.0])[:, None, None])
        field.color.copy_(field.color.flip(-1))
