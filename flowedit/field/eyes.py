"""What fields of the eyes have in common: they move what lies about two outlines, by shares, and nothing else."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn

from flowedit.checks import require, whole_number
from flowedit.field.base import Field
from flowedit.field.offsets import MOST_PX, Offsets, pixel_centers

Edge = Callable[[Tensor], Tensor]
E = TypeVar("E", bound="EyeField")


class EyeField(Field):
    """A field of the eyes: finer than any lattice, and scaled by shares, not by its offsets.

    A raster field's control points lie twice as far apart as an eye is high.

    Attributes:
        amounts: (3,) how far it goes, in what its kind says.
        eyes: (2, 6, 2) landmarks of the eyes, crop coordinates, in dlib's order.
    """

    KIND: ClassVar[str]
    LEAST, MOST = -1.0, 1.0  # of an amount
    amounts: nn.Parameter
    eyes: Tensor

    def __init__(self, max_shift: float = 1.0, max_tint: float = 0.0, diffeomorphic: bool = False) -> None:
        super().__init__(max_shift, max_tint, diffeomorphic)
        require(not diffeomorphic, "a field of the eyes must not be diffeomorphic; got diffeomorphic=True")
        self.amounts = nn.Parameter(torch.zeros(3))
        self.register_buffer("eyes", torch.zeros(2, 6, 2))

    @torch.no_grad()
    def with_amounts(self: E, amounts: Tensor) -> E:
        """Return the field of the same eyes by other amounts (3,), cut to what there may be."""
        other = copy.deepcopy(self)
        other.load_state_dict({**self.state_dict(), "amounts": amounts.clamp(self.LEAST, self.MOST)})
        return other

    @staticmethod
    def share(strength: float) -> float:
        """Return what amounts are multiplied by at a strength."""
        return strength

    @property
    def detail(self) -> int:
        """See `Field`: an eye's height is some thirtieth of the crop."""
        return 256

    def on_grid(self, size: int) -> Offsets:
        """See `Field`."""
        size = whole_number("size", size, 1, MOST_PX)
        coord, color = self._at_points(pixel_centers(size, device=self.eyes.device).reshape(-1, 2))
        return Offsets(coord.T.reshape(1, 2, size, size), color.T.reshape(1, 3, size, size))

    @abstractmethod
    def near(self, x: Tensor, y: Tensor) -> Tensor:
        """Return whether places, by their crop coordinates (...), are so near to an eye that they may move."""

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """The three amounts."""
        return {"network": [self.amounts]}

    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again."""
        return {"kind": self.KIND, **self._common_settings()}


def eye_axes(outline: Tensor) -> tuple[Tensor, Tensor]:
    """Return the directions along an eye (6, 2) from the viewer's left corner to the right, and down it."""
    along = outline[3] - outline[0]
    along = along / along.norm().clamp(min=1e-6)
    return along, torch.stack([-along[1], along[0]])


def half_width(outline: Tensor) -> Tensor:
    """Return half of the distance between an eye's corners (6, 2)."""
    return ((outline[3] - outline[0]).norm() / 2).clamp(min=1e-6)


def lid_edges(outline: Tensor) -> tuple[Edge, Edge]:
    """Return the edges of the upper and the lower lid of an eye (6, 2): cubics through its landmarks.

    They give the height below the line between the corners, in crop coordinates, at a place along it in half widths
    from the middle: 0 beyond the corners.
    """
    along, down = eye_axes(outline)
    middle, width = (outline[0] + outline[3]) / 2, half_width(outline)

    def edge(first: int, second: int) -> Edge:
        at = (outline[[first, second]] - middle) @ along / width
        height = (outline[[first, second]] - middle) @ down / (1 - at.square()).clamp(min=0.2)
        slope = (height[1] - height[0]) / (at[1] - at[0]).abs().clamp(min=0.2)
        return lambda u: (1 - u.square()).clamp(min=0) * (height[0] + slope * (u - at[0]))

    return edge(1, 2), edge(5, 4)
