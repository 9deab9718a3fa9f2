"""What every field is: offsets over a square crop, as a smooth function of a few parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.checks import describe, require
from flowedit.field.offsets import Offsets
from flowedit.kernels import mix, paint, sample

PARTS_PX = 128  # side of the parts' masks over the crop


class Field(nn.Module, ABC):
    """Offsets over a square crop, as a smooth function of a few parameters.

    Convention: crop coordinates in [-1, 1] edge to edge, x before y (docs/conventions.md). A new field is
    zero.

    Args:
        max_shift: bound on each component of the shift, as a fraction of the crop's side; reached smoothly
            (tanh).
        max_tint: bound on each channel of the tint, in image units; a pixel's own tint and a part's color reach it
            smoothly, and their sum is cut there.
        diffeomorphic: coord is a stationary velocity, to be integrated (`warp.integrate`), not the shift
            itself.
        n_parts: parts of the face that carry one color each, added to the tint: `palette` (n_parts, 3) says how
            much of each of a part's three paints; where the parts are and the paints come from `draw_parts`.

    Raises:
        ValueError: a bound is out of range.
    """

    def __init__(self, max_shift: float, max_tint: float, diffeomorphic: bool, n_parts: int) -> None:
        super().__init__()
        require(
            0 <= max_shift <= 1,
            f"max_shift must be a fraction of the crop's side in [0, 1]; got {max_shift!r}",
        )
        require(0 <= max_tint <= 1, f"max_tint must be in [0, 1] image units; got {max_tint!r}")
        self.max_shift = float(max_shift)
        self.max_tint = float(max_tint)
        self.diffeomorphic = bool(diffeomorphic)
        self.n_parts = _count("n_parts", n_parts, 0, 64)
        self.palette: nn.Parameter | None
        self.parts: Tensor
        self.paints: Tensor
        some = n_parts > 0
        self.register_parameter("palette", nn.Parameter(torch.zeros(n_parts, 3)) if some else None)
        masks = torch.zeros(n_parts, PARTS_PX, PARTS_PX, dtype=torch.uint8)
        self.register_buffer("parts", masks, persistent=some)
        self.register_buffer("paints", torch.eye(3).repeat(n_parts, 1, 1), persistent=some)

    def draw_parts(self, masks: Tensor, paints: Tensor) -> None:
        """Say where the parts are and what they are painted with.

        Args:
            masks: (n_parts, PARTS_PX, PARTS_PX) uint8 over the crop; 255 for the whole color.
            paints: (n_parts, 3, 3) each part's three colors, in image units.
        """
        good = masks.dtype == torch.uint8 and masks.shape == self.parts.shape
        require(good, f"masks must be uint8 of shape {tuple(self.parts.shape)}; got {describe(masks)}")
        good = paints.shape == self.paints.shape
        require(good, f"paints must have shape {tuple(self.paints.shape)}; got {describe(paints)}")
        self.parts.copy_(masks)
        self.paints.copy_(paints)

    def part_colors(self) -> Tensor:
        """Mix each part's paints: (n_parts, 3) in image units, within max_tint; the field must have parts."""
        assert self.palette is not None
        return mix(self.palette, self.paints, self.max_tint)

    @final
    def on_grid(self, size: int) -> Offsets:
        """Evaluate, differentiably, at the pixel centers of a size x size grid over the crop: (1, ·, size, size)."""
        _count("size", size, 1, 1 << 16)
        coord, color = self.grid_without_parts(size)
        if self.palette is not None:
            everywhere = torch.ones_like(color[:, :1])
            color, _, _ = paint(color, everywhere, self.palette, self.paints, self.masks(size), self.max_tint)
        return Offsets(coord, color)

    def masks(self, size: int) -> Tensor:
        """Say how much of each part's color each point of a grid takes: (n_parts, size, size) in [0, 1]."""
        masks = self.parts[None].to(self.paints) / 255
        return masks[0] if size == PARTS_PX else F.interpolate(masks, (size, size), mode="bilinear")[0]

    @final
    def at(self, points: Tensor, parts: bool = True) -> tuple[Tensor, Tensor]:
        """Evaluate the same function at (N, 2) crop coordinates: coord (N, 2), color (N, 3); `parts` with theirs."""
        _check_points(points)
        coord, color = self._at(points)
        if parts and self.palette is not None:
            x, y = (points.T.to(color).clamp(-1, 1) + 1) * (PARTS_PX / 2) - 0.5
            masks = sample(self.parts.to(color) / 255, x, y, "linear")
            for one, where in zip(self.part_colors(), masks, strict=True):
                color = color + where[:, None] * one  # part by part: every point's bits are its own
            color = color.clamp(-self.max_tint, self.max_tint)
        return coord, color

    @property
    @abstractmethod
    def detail(self) -> int:
        """Cells along one side of the finest grid that the offsets are smooth between."""

    @abstractmethod
    def grid_without_parts(self, size: int) -> Offsets:
        """Evaluate as `on_grid` does, without the parts' colors."""

    @abstractmethod
    def _at(self, points: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again, as plain JSON values."""

    def _common(self) -> dict[str, Any]:
        names = ("max_shift", "max_tint", "diffeomorphic", "n_parts")
        return {name: getattr(self, name) for name in names}


def _count(name: str, value: int, low: int, high: int) -> int:
    ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    require(ok, f"{name} must be a whole number from {low} to {high}; got {describe(value)}")
    return value


def _check_points(points: Tensor) -> None:
    ok = points.ndim == 2 and points.shape[1] == 2 and points.is_floating_point()
    require(ok, f"points must be floating and have shape (N, 2); got {describe(points)}")
