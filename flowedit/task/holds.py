"""What a face's transform is held to: its paints while they are searched for, mouth and eyes once it is found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from flowedit.face.landmarks import BOTH_BROWS, BOTH_EYES, LOWER_LIDS, MOUTH_CORNERS, UPPER_LIDS
from flowedit.face.part_tint import PartTint
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField, spline_weights
from flowedit.kernels import Interpolation, upsample
from flowedit.transform.transforms import FieldTransform

ROUNDS = 3  # of turning back
LEAST_TILT = 1e-3  # radians, that turning a mouth by one must tilt it
FOLLOWED = 4  # looks at where a point has gone
LARGER = 1.12  # times as much as the other one, that an eye may open
FINEST = 32  # control points along one side of what lowers a lid
STIFF = 0.02  # of the control points' own share: less would move the lid alone, and them by more
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


class EvenEyes:
    """Lowers the upper lid of an eye that a raster field makes larger than the other one by more than a limit.

    Between two control points lie a lid and its brow, so that one raised brow opened its eye by half. What lowers the
    lid is the least change of the control points that leaves the brows, the lower lids and the other eye where they
    are.

    Args:
        landmarks: (68, 2) crop coordinates.
        size: control points along one side of the field's lattice for coord.
    """

    def __init__(self, landmarks: Tensor, size: int) -> None:
        self.points = landmarks[[*range(BOTH_EYES.start, BOTH_EYES.stop), *range(BOTH_BROWS.start, BOTH_BROWS.stop)]]
        self.points = self.points.detach().float().cpu()
        coarse = min(size, FINEST)
        weights = spline_weights(coarse, self.points)
        both = weights @ weights.T
        lowered = torch.zeros(len(self.points), 2)  # what is read at a point, for either eye
        for eye in (0, 1):
            lowered[[index - BOTH_EYES.start for index in UPPER_LIDS[2 * eye : 2 * eye + 2]], eye] = -1.0
        found = weights.T @ torch.linalg.solve(both + STIFF * both.diagonal().mean() * torch.eye(len(both)), lowered)
        lowering = found.T.reshape(1, 2, coarse, coarse)
        # Of a finer lattice the control points are about the values themselves.
        self.lowering = (lowering if size == coarse else upsample(lowering, size, size, Interpolation.B_SPLINE))[0]

    @torch.no_grad()
    def openings(self, field: RasterField | None = None) -> Tensor:
        """Return how far the eyes are open, (2,) crop coordinates, once a field moves them; as they are without one."""
        moved = self.points
        if field is not None:
            points = moved = moved.to(field.coord)
            for _ in range(FOLLOWED):  # a field says where things are read from, and not where they go
                moved = points - field.at_points(moved)[0]
        upper, lower = (moved[[index - BOTH_EYES.start for index in lids]] for lids in (UPPER_LIDS, LOWER_LIDS))
        return (upper - lower).norm(dim=1).reshape(2, 2).mean(1)

    @torch.no_grad()
    def hold(self, field: RasterField) -> None:
        """Lower the lid of the larger eye, in place, as far as it is larger by more than the limit."""
        before = self.openings().to(field.coord)
        for _ in range(ROUNDS):
            after = self.openings(field)
            uneven = (after / before.clamp_min(1e-6)).clamp_min(1e-3).log()
            larger = int(uneven.argmax())
            beyond = float((uneven.max() - uneven.min() - math.log(LARGER)).clamp_min(0))
            if not beyond:
                return
            fall = float(after[larger]) * (1 - math.exp(-beyond))
            field.coord[1].add_(fall * self.lowering[larger].to(field.coord))


@dataclass(frozen=True, eq=False)
class Holds:
    """What holds a face's transform.

    Attributes:
        paint: (2, 5, 3) the least and the most of each paint that a part may take; None where that is not known.
        mouth: None lets it turn as far as it may.
        eyes: None lets one become larger than the other.
    """

    paint: Tensor | None = None
    mouth: MouthTilt | None = None
    eyes: EvenEyes | None = None

    @torch.no_grad()
    def hold_paint(self, part_tint: PartTint, colored: Sequence[str]) -> None:
        """Bring the amounts of a part tint, in place, to what parts may take.

        Args:
            part_tint: of the face.
            colored: parts of which words say the color: they take no paint.
        """
        amounts = part_tint.amounts
        if self.paint is not None:
            torch.clamp(amounts, *self.paint.to(amounts), out=amounts)
        part_tint.clear(colored)

    def level(self, found: FieldTransform) -> None:
        """Turn the mouth of a transform that was found back and even its eyes, in place, as far as they are held.

        While a search went on it would find the same in other places.
        """
        for held in (self.mouth, self.eyes):
            if held is not None and isinstance(found.field, RasterField):
                held.hold(found.field)


UNHELD = Holds()
