"""What every field is: offsets over a square crop, as a smooth function of a few parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, final

from torch import Tensor, nn

from flowedit.checks import describe, require
from flowedit.field.offsets import Offsets


class Field(nn.Module, ABC):
    """Offsets over a square crop, as a smooth function of a few parameters.

    Convention: crop coordinates in [-1, 1] edge to edge, x before y (docs/conventions.md). A new field is zero.

    A kind of field of one's own implements `detail`, `on_grid`, `_at_points`, `settings` and `param_groups`, and is
    entered in `FIELDS` (docs/architecture.md).

    Args:
        max_shift: bound on each component of the shift, as a fraction of the crop's side; reached smoothly (tanh).
        max_tint: bound on each channel of the tint, in image units; reached smoothly.
        diffeomorphic: coord is a stationary velocity, to be integrated (`warp.integrate`), not the shift itself.

    Attributes:
        backend: what computes the field (`flowedit.kernels.available`), where its kind has a choice. Not a setting of
            the field: its values are the same.

    Raises:
        ValueError: a bound is out of range.
    """

    backend: str = "auto"

    def __init__(self, max_shift: float, max_tint: float, diffeomorphic: bool) -> None:
        super().__init__()
        require(0 <= max_shift <= 1, f"max_shift must be a fraction of the crop's side in [0, 1]; got {max_shift!r}")
        require(0 <= max_tint <= 1, f"max_tint must be in [0, 1] image units; got {max_tint!r}")
        self.max_shift = float(max_shift)
        self.max_tint = float(max_tint)
        self.diffeomorphic = bool(diffeomorphic)

    @property
    @abstractmethod
    def detail(self) -> int:
        """Cells along one side of the finest grid that the offsets are smooth between."""

    @abstractmethod
    def on_grid(self, size: int) -> Offsets:
        """Evaluate, differentiably, at the pixel centers of a size x size grid over the crop: (1, ·, size, size)."""

    @final
    def at_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the same function at (N, 2) crop coordinates: coord (N, 2), color (N, 3)."""
        _check_points(points)
        return self._at_points(points)

    @abstractmethod
    def _at_points(self, points: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """Return all parameters by how they move (`fit.iterate.make_optimizers`).

        `coord` and `color` are values at places, in field units, each stepped as one whole (`AdamUniform`); `network`
        are any other, stepped by Adam.
        """

    def set_progress(self, fraction: float) -> None:
        """Prepare for a step of the optimizer, `fraction` of the way through its run, in [0, 1)."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again, as plain JSON values."""

    @classmethod
    def count_values(cls, settings: Mapping[str, Any]) -> int | None:
        """Return how many numbers the parameters and buffers hold, without making them; None if that is not known."""
        return None

    def _common_settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("max_shift", "max_tint", "diffeomorphic")}


def _check_points(points: Tensor) -> None:
    ok = points.ndim == 2 and points.shape[1] == 2 and points.is_floating_point()
    require(ok, f"points must be floating and have shape (N, 2); got {describe(points)}")
