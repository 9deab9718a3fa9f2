"""Fields of splines on lattices of control points."""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor, nn

from flowedit.field.base import Field, _count
from flowedit.field.offsets import Offsets
from flowedit.kernels import bounded, sample, upsample


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
        n_parts: see `Field`.
    """

    def __init__(
        self,
        coord_size: int = 16,
        color_size: int = 32,
        max_shift: float = 0.045,
        max_tint: float = 0.15,
        diffeomorphic: bool = False,
        n_parts: int = 0,
    ) -> None:
        super().__init__(max_shift, max_tint, diffeomorphic, n_parts)
        self.coord_size = _count("coord_size", coord_size, 1, 4096)
        self.color_size = _count("color_size", color_size, 1, 4096)
        self.coord = nn.Parameter(torch.zeros(2, coord_size, coord_size))
        self.color = nn.Parameter(torch.zeros(3, color_size, color_size))

    @property
    def detail(self) -> int:
        """Cells along one side of the finer of the two lattices."""
        return max(self.coord_size, self.color_size)

    def grid_without_parts(self, size: int) -> Offsets:
        """See `Field`; both lattices are read on the finer grid."""
        coord, color = (upsample(control[None], size, size, "b_spline", limit) for control, limit in self._control())
        return Offsets(coord, color)

    def _at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        # From the sixteen control points around each point.
        coord, color = (_spline(bounded(x, limit), points.to(x.dtype)) for x, limit in self._control())
        return coord, color

    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again."""
        return {
            "kind": "raster",
            "coord_size": self.coord_size,
            "color_size": self.color_size,
            **self._common(),
        }

    def _control(self) -> tuple[tuple[Tensor, float], ...]:
        # Bounding the control points bounds the spline, a weighted mean of them, at a fraction of the cost.
        return (self.coord, 2 * self.max_shift), (self.color, self.max_tint)


def _spline(control: Tensor, points: Tensor) -> Tensor:
    """Evaluate a (C, n, n) lattice of control points at (N, 2) crop coordinates: (N, C)."""
    x, y = (points.T.contiguous().clamp(-1, 1) + 1) * (control.shape[-1] / 2) - 0.5
    return sample(control, x, y, "b_spline").T
