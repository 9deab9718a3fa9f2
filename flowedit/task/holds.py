"""What a face's transform is held to: its paints while they are searched for, the mouth's tilt once it is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flowedit.face.landmarks import MOUTH_CORNERS
from flowedit.face.part_tint import PartTint
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.transform.transforms import FieldTransform

ROUNDS = 3  # of turning back
LEAST_TILT = 1e-3  # radians, that turning a mouth by one must tilt it
ABOUT = 0.55  # widths of the mouth: deviation of what turns with it


class MouthTilt:
    """Turns a mouth back that a raster field turns by more than a limit.

    A smirk is a difference between two sides: an encoder sees it plainly in a little of it, and the loop, or a network,
    goes on. A mouth turned by 17 degrees is crooked. Turned back, it keeps its smile, and all else stays as it is.

    Args:
        landmarks: (68, 2) crop coordinates.
        size: control points along one side of the field's lattice for coord.
        limit: degrees that the line between the corners may turn.
    """

    def __init__(self, landmarks: Tensor, size: int, limit: float) -> None:
        self.corners = landmarks[list(MOUTH_CORNERS)].detach().float().cpu()
        self.limit = math.radians(limit)
        across = self.corners[1] - self.corners[0]
        away = pixel_centers(size) - self.corners.mean(0)
        near = torch.exp(-away.square().sum(-1) / (2 * (ABOUT * across.norm().clamp_min(1e-6)) ** 2))
        turning = RasterField(size, 1, 1.0, 0.0)
        along = across / across.norm().clamp_min(1e-6)
        down = torch.stack([-along[1], along[0]])
        turning.coord.data = near * (away @ along) * down[:, None, None]  # a shear, which leaves nose and chin
        tilt = self.tilt(turning)
        self.turning = turning.coord.data
        self.by_turning = torch.where(tilt.abs() > LEAST_TILT, tilt, math.inf)  # a mouth without a size stays

    @torch.no_grad()
    def tilt(self, field: RasterField) -> Tensor:
        """Return by how much a field turns the line between the mouth's corners, clockwise as seen: radians.

        To first order, a corner goes to where it is less the shift there.
        """
        corners = self.corners.to(field.coord)
        moved = corners - field.at_points(corners)[0]
        across, was = moved[1] - moved[0], corners[1] - corners[0]
        return torch.atan2(was[0] * across[1] - was[1] * across[0], was @ across)

    @torch.no_grad()
    def hold(self, field: RasterField) -> None:
        """Turn the mouth back, in place, as far as it is turned by more than the limit."""
        for _ in range(ROUNDS):  # control points are bounded smoothly: the further out, the less they move
            tilt = self.tilt(field)
            beyond = (tilt - tilt.clamp(-self.limit, self.limit)) / self.by_turning.to(tilt)
            field.coord.sub_(beyond * self.turning.to(tilt))


@dataclass(frozen=True, eq=False)
class Holds:
    """What holds a face's transform.

    Attributes:
        most_paint: (5, 3) how much of each of its paints a part may take; None where that is not known.
        mouth: None lets it turn as far as it may.
    """

    most_paint: Tensor | None = None
    mouth: MouthTilt | None = None

    @torch.no_grad()
    def hold_paint(self, part_tint: PartTint, colored: Sequence[str]) -> None:
        """Bring the amounts of a part tint, in place, to what parts may take.

        Args:
            part_tint: of the face.
            colored: parts of which words say the color: they take no paint.
        """
        amounts = part_tint.amounts
        if self.most_paint is not None:
            torch.minimum(amounts, self.most_paint.to(amounts), out=amounts)
        part_tint.clear(colored)

    def level(self, found: FieldTransform) -> None:
        """Turn the mouth of a transform that was found back, in place, as far as it is held.

        While a search went on it would find the same in the eyes and the nose.
        """
        if self.mouth is not None and isinstance(found.field, RasterField):
            self.mouth.hold(found.field)


UNHELD = Holds()
