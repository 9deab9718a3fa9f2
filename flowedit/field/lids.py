"""A field that moves the eyelids alone, finer than any lattice: eyes are closed by the skin above them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from flowedit.checks import require, whole_number
from flowedit.field.base import Field
from flowedit.field.offsets import MOST_PX, Offsets, pixel_centers

BELOW = 0.12  # heights of the open eye that its lower edge is taken to lie below the landmarks, which lie on its white
NARROWED = 0.5  # of the height, by which the lower lid rises at most
REACH = 3.0  # halves of an eye's length above and below it, beside the way to the brow, beyond which nothing moves
CHEEK = 1.5  # heights below the lower lid over which the skin is stretched for it
LID = 0.5  # of the way from the upper lid to the brow over which the skin is stretched: to the brow's lower edge
LEAST_LID = 0.3  # of the height, of which there is skin at least where a brow hangs low
LASHES = 0.9, 0.75  # how high lashes stand above a lid: in heights of the eye, at most so much of the skin
ASIDE = 0.3  # halves of an eye's width, by which what is drawn of a closed lid is read to either side and averaged
SHORTENED = 0.5  # share of their height that they lose when the lid is closed, since they point down then


@final
class LidField(Field):
    """The motion of both pairs of eyelids: nothing but a shift along each eye's height.

    The upper lid goes down over the eye, which stays as it is where it still shows. The band that its lashes lie on is
    narrowed, since lashes of a closed eye do not stand up, and the skin from there to the brow's lower edge is
    stretched evenly. A lid's edge is a cubic through its landmarks. A raster field's control points lie twice as far
    apart as an eye is high, so that it can lower the brow but not the lid.

    Attributes:
        amounts: (3,) how far the left and the right eye (as seen) are closed, and both narrowed from below, in [0, 1].
        eyes: (2, 6, 2) landmarks of the open eyes, crop coordinates, in dlib's order.
        brows: (2,) how far the brows lie above the middle of the eyes' upper lids, crop coordinates.
    """

    eyes: Tensor
    brows: Tensor
    aside = 0.0  # see `read_aside`

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

    def read_aside(self, share: float) -> LidField:
        """Return this field, with the skin that it draws out read along the lid, from a share of ASIDE to the right.

        Drawn out, a lash is a stripe: the mean of several such readings has none.
        """
        other = self.with_amounts(self.amounts)
        other.aside = ASIDE * share
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
            closing = closed.clamp(0, 1).to(points)
            coord = coord + _shift(points, outline, brow, closing, narrowed.to(points), self.aside)
        return coord * self.near(*points.T)[:, None], points.new_zeros(len(points), 3)

    def near(self, x: Tensor, y: Tensor) -> Tensor:
        """Return whether places, by their crop coordinates (...), are so near to an eye that they may move."""
        near = torch.zeros_like(x, dtype=torch.bool)
        for outline, brow in zip(self.eyes.to(x), self.brows.to(x), strict=True):
            along, down = eye_axes(outline)
            half = ((outline[3] - outline[0]) @ along / 2).clamp(min=1e-6)
            dx, dy = (axis - middle for axis, middle in zip((x, y), (outline[0] + outline[3]) / 2, strict=True))
            across, height = ((axis[0] * dx + axis[1] * dy) / half for axis in (along, down))
            near |= (across.abs() < 1) & (height.abs() < REACH + brow / half)
        return near

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


def _shift(points: Tensor, outline: Tensor, brow: Tensor, closed: Tensor, narrowed: Tensor, aside: float) -> Tensor:
    """Return where one eye's lids have points (N, 2) read from, less the points: (N, 2)."""
    along, down = eye_axes(outline)
    middle = (outline[0] + outline[3]) / 2
    width = ((outline[3] - outline[0]) @ along / 2).clamp(min=1e-6)
    u, v = (points - middle) @ along / width, (points - middle) @ down

    def edge(first: int, second: int) -> Callable[[Tensor], Tensor]:
        """Return the height of a lid through the corners, beyond which nothing moves, and two landmarks."""
        at = (outline[[first, second]] - middle) @ along / width
        height = (outline[[first, second]] - middle) @ down / (1 - at.square()).clamp(min=0.2)
        slope = (height[1] - height[0]) / (at[1] - at[0]).abs().clamp(min=0.2)
        return lambda u: (1 - u.square()).clamp(min=0) * (height[0] + slope * (u - at[0]))

    upper_edge, lower_edge = edge(1, 2), edge(5, 4)
    upper, height = upper_edge(u), (lower_edge(u) - upper_edge(u)).clamp(min=0)
    lower = upper + (1 + BELOW) * height
    fall = closed * (lower - upper)
    rise = NARROWED * narrowed * (1 - closed) * height
    at_middle = (lower_edge(u.new_zeros(())) - upper_edge(u.new_zeros(()))).clamp(min=1e-6)
    skin = torch.maximum(LID * brow, LEAST_LID * at_middle)
    lashes = torch.minimum(LASHES[0] * at_middle, LASHES[1] * skin)
    shortened = lashes * (1 - SHORTENED * (fall / at_middle).clamp(max=1))
    above = (upper + fall - v).clamp(min=0)  # the moved edge; `source` is how far above the edge it is read
    share = ((above - shortened) / (fall + skin - shortened)).clamp(max=1)
    source = torch.where(above < shortened, above * lashes / shortened, lashes + share * (skin - lashes))
    drawn = (fall > 0) & (above < fall + skin)
    right = aside * (1 - share) * (1 - u.square()).clamp(min=0)  # less towards the brow and the corners
    by_upper = torch.where(drawn, upper_edge(u + right) - source - v, 0)
    below = 1 - ((v - (lower - rise)) / (rise + CHEEK * height).clamp(min=1e-6)).clamp(0, 1)
    by_lower = torch.where(v > lower - rise, rise * _ease(below), 0)  # between the lids the eye stays as it is
    covered = v < upper + fall
    by_aside = torch.where(drawn & covered, right * width, 0)
    return torch.where(covered, by_upper, by_lower)[:, None] * down + by_aside[:, None] * along


def _ease(t: Tensor) -> Tensor:
    return t * t * (3 - 2 * t)
