"""A field that moves the eyelids alone, finer than any lattice: eyes are closed by the skin above them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from flowedit.checks import require, whole_number
from flowedit.field.base import Field
from flowedit.field.offsets import MOST_PX, Offsets, pixel_centers

BELOW = 0.12  # heights of the open eye that its lower edge is taken to lie below the landmarks, which lie on its white
NARROWED = 0.5  # of the height, by which the lower lid rises at most
CHEEK = 1.5  # heights below the lower lid over which the skin is stretched for it
LID = 0.8  # of the way from the upper lid to the brow over which the skin is stretched


@final
class LidField(Field):
    """The motion of both pairs of eyelids: nothing but a shift along each eye's height.

    The upper lid and its lashes go down as they are, over the eye, which stays as it is where it still shows, and the
    skin between them and the brow is stretched. A lid's edge is a cubic through its landmarks. A raster field's control
    points lie twice as far apart as an eye is high, so that it can lower the brow but not the lid.

    Attributes:
        amounts: (3,) how far the left and the right eye (as seen) are closed, and both narrowed from below, in [0, 1].
        eyes: (2, 6, 2) landmarks of the open eyes, crop coordinates, in dlib's order.
        brows: (2,) how far the brows lie above the middle of the eyes' upper lids, crop coordinates.
    """

    eyes: Tensor
    brows: Tensor

    def __init__(self, max_shift: float = 1.0, max_tint: float = 0.0, diffeomorphic: bool = False) -> None:
        super().__init__(max_shift, max_tint, diffeomorphic)
        require(not diffeomorphic, "a field of eyelids must not be diffeomorphic; got diffeomorphic=True")
        self.amounts = nn.Parameter(torch.zeros(3))
        self.register_buffer("eyes", torch.zeros(2, 6, 2))
        self.register_buffer("brows", torch.zeros(2))

    @torch.no_grad()
    def with_amounts(self, amounts: Tensor) -> LidField:
        """Return the field of the same lids by other amounts (3,), cut to [0, 1]."""
        other = LidField()
        other.load_state_dict({**self.state_dict(), "amounts": amounts.clamp(0, 1)})
        return other

    @property
    def detail(self) -> int:
        """See `Field`: an eye's height is some thirtieth of the crop."""
        return 256

    def on_grid(self, size: int) -> Offsets:
        """See `Field`."""
        size = whole_number("size", size, 1, MOST_PX)
        coord, color = self._at_points(pixel_centers(size, device=self.eyes.device).reshape(-1, 2))
        return Offsets(coord.T.reshape(1, 2, size, size), color.T.reshape(1, 3, size, size))

    def _at_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        coord = torch.zeros_like(points)
        narrowed = self.amounts[2].clamp(0, 1)
        for outline, brow, closed in zip(self.eyes.to(points), self.brows.to(points), self.amounts[:2], strict=True):
            coord = coord + _shift(points, outline, brow, closed.clamp(0, 1).to(points), narrowed.to(points))
        return coord, points.new_zeros(len(points), 3)

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """The three amounts."""
        return {"network": [self.amounts]}

    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again."""
        return {"kind": "lids", **self._common_settings()}

    @classmethod
    def count_values(cls, settings: Mapping[str, Any]) -> int:
        """See `Field`."""
        return 3 + 2 * 6 * 2 + 2


def eye_axes(outline: Tensor) -> tuple[Tensor, Tensor]:
    """Return the directions along an eye (6, 2) from the viewer's left corner to the right, and down it."""
    along = outline[3] - outline[0]
    along = along / along.norm().clamp(min=1e-6)
    return along, torch.stack([-along[1], along[0]])


def _shift(points: Tensor, outline: Tensor, brow: Tensor, closed: Tensor, narrowed: Tensor) -> Tensor:
    """Return where one eye's lids have points (N, 2) read from, less the points: (N, 2)."""
    along, down = eye_axes(outline)
    middle = (outline[0] + outline[3]) / 2
    width = ((outline[3] - outline[0]) @ along / 2).clamp(min=1e-6)
    u, v = (points - middle) @ along / width, (points - middle) @ down
    corners = (1 - u.square()).clamp(min=0)  # beyond them nothing moves

    def edge(first: int, second: int) -> Tensor:
        """Return the height of a lid through the corners and two landmarks."""
        at = (outline[[first, second]] - middle) @ along / width
        height = (outline[[first, second]] - middle) @ down / (1 - at.square()).clamp(min=0.2)
        slope = (height[1] - height[0]) / (at[1] - at[0]).abs().clamp(min=0.2)
        return corners * (height[0] + slope * (u - at[0]))

    upper = edge(1, 2)
    height = (edge(5, 4) - upper).clamp(min=0)
    lower = upper + (1 + BELOW) * height
    fall = closed * (lower - upper)
    rise = NARROWED * narrowed * (1 - closed) * height
    stretch = torch.maximum(LID * brow, lower - upper)
    above = 1 - ((upper + fall - v) / (fall + stretch).clamp(min=1e-6)).clamp(0, 1)
    below = 1 - ((v - (lower - rise)) / (rise + CHEEK * height).clamp(min=1e-6)).clamp(0, 1)
    by_upper = torch.where(v < upper + fall, -fall * _ease(above), 0)  # between the lids the eye stays as it is
    by_lower = torch.where(v > lower - rise, rise * _ease(below), 0)
    return torch.where(v < upper + fall, by_upper, by_lower)[:, None] * down


def _ease(t: Tensor) -> Tensor:
    return t * t * (3 - 2 * t)
