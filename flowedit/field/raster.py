"""Fields of splines on lattices of control points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, nn

from flowedit.checks import whole_number
from flowedit.field.base import Field
from flowedit.field.offsets import MOST_PX, Offsets
from flowedit.kernels import Interpolation, sample, soft_clamp, upsample


@final
class RasterField(Field):
    """Uniform cubic B-splines on two square lattices of control points, one for coord and one for color.

    Control points sit at the pixel centers of their lattice, and the outermost repeat beyond the border, so a
    lattice may be as fine as the pixels. Parameters are in field units: crop coordinates and image units.

    Args:
        coord_size: control points along one side for coord.
        color_size: control points along one side for color.
        max_shift: see `Field`.
        max_tint: see `Field`.
        diffeomorphic: see `Field`.
    """

    def __init__(
        self,
        coord_size: int = 16,
        color_size: int = 64,
        max_shift: float = 0.045,
        max_tint: float = 0.15,
        diffeomorphic: bool = False,
    ) -> None:
        super().__init__(max_shift, max_tint, diffeomorphic)
        self.coord_size = whole_number("coord_size", coord_size, 1, 4096)
        self.color_size = whole_number("color_size", color_size, 1, 4096)
        self.coord = nn.Parameter(torch.zeros(2, coord_size, coord_size))
        self.color = nn.Parameter(torch.zeros(3, color_size, color_size))

    @classmethod
    @torch.no_grad()
    def from_offsets(
        cls, coord: Tensor, color: Tensor, max_shift: float, max_tint: float, diffeomorphic: bool = False
    ) -> RasterField:
        """Make the field that has given values at the pixel centers of two grids.

        Args:
            coord: (2, n, n) crop coordinates, or a velocity where the field is diffeomorphic.
            color: (3, m, m) image units, cut to max_tint.
            max_shift: see `Field`; values beyond it come out at it.
            max_tint: see `Field`.
            diffeomorphic: see `Field`.
        """
        coord, color = control_points(coord.double()), control_points(color.double())
        field = cls(coord.shape[-1], color.shape[-1], max_shift, max_tint, diffeomorphic)
        field.coord.copy_(_unbounded(coord, 2 * max_shift))
        field.color.copy_(_unbounded(color, max_tint))
        return field

    @property
    def detail(self) -> int:
        """Cells along one side of the finer of the two lattices."""
        return max(self.coord_size, self.color_size)

    def on_grid(self, size: int) -> Offsets:
        """See `Field`; both lattices are read on the finer grid."""
        size = whole_number("size", size, 1, MOST_PX)
        coord, color = (upsample(x[None], size, size, Interpolation.B_SPLINE) for x in self._control())
        return Offsets(coord, color)

    def _at_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        # From the sixteen control points around each point.
        coord, color = (_spline(x, points.to(x.dtype)) for x in self._control())
        return coord, color

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """The two lattices."""
        return {"coord": [self.coord], "color": [self.color]}

    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again."""
        return {
            "kind": "raster",
            "coord_size": self.coord_size,
            "color_size": self.color_size,
            **self._common_settings(),
        }

    @classmethod
    def count_values(cls, settings: Mapping[str, Any]) -> int:
        """See `Field`."""
        return 2 * settings["coord_size"] ** 2 + 3 * settings["color_size"] ** 2

    def _control(self) -> tuple[Tensor, Tensor]:
        # Bounding the control points bounds the spline, a weighted mean of them, at a fraction of the cost.
        return soft_clamp(self.coord, 2 * self.max_shift), soft_clamp(self.color, self.max_tint)


def _spline(control: Tensor, points: Tensor) -> Tensor:
    """Evaluate a (C, n, n) lattice of control points at (N, 2) crop coordinates: (N, C)."""
    x, y = (points.T.contiguous().clamp(-1, 1) + 1) * (control.shape[-1] / 2) - 0.5
    return sample(control, x, y, Interpolation.B_SPLINE).T


def spline_weights(size: int, points: Tensor) -> Tensor:
    """Return how much of each control point of a (size, size) lattice lies at (N, 2) crop coordinates: (N, size^2)."""
    each = torch.eye(size * size, dtype=points.dtype, device=points.device).reshape(-1, size, size)
    return _spline(each, points)


def control_points(values: Tensor) -> Tensor:
    """Find the control points of the cubic B-spline that has (C, n, n) values at its pixel centers."""
    n = values.shape[-1]
    spread = torch.zeros(n, n, dtype=values.dtype)
    for step, weight in ((-1, 1 / 6), (0, 4 / 6), (1, 1 / 6)):
        row = torch.arange(n)
        spread.index_put_((row, (row + step).clamp(0, n - 1)), spread.new_tensor(weight), accumulate=True)
    return torch.linalg.solve(spread, torch.linalg.solve(spread, values).mT).mT


def _unbounded(control: Tensor, limit: float) -> Tensor:
    """Invert the smooth bound of a raster field's control points."""
    return (limit * torch.atanh((control / max(limit, 1e-12)).clamp(-0.999, 0.999))).float()
