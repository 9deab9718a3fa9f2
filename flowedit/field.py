"""Fields: parameters -> Offsets anywhere in the crop."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import describe, require
from .kernels import LatticeEncoding, bounded, hash_encode, mix, paint, sample, upsample

PARTS_PX = 128  # side of the parts' masks over the crop


class Offsets(NamedTuple):
    """Where to read and what to add, for every pixel of an h x w grid over the crop.

    Convention: coord is x before y, in units of half the crop's side (one pixel to the right = 2 / w); color is
    in image units (docs/conventions.md).
    """

    coord: Tensor  # (B, 2, h, w)
    color: Tensor  # (B, 3, h, w)

    @classmethod
    def zeros(cls, batch: int, height: int, width: int) -> Offsets:
        """Return the field that changes nothing."""
        return cls(torch.zeros(batch, 2, height, width), torch.zeros(batch, 3, height, width))


def centres(size: int, *, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> Tensor:
    """Return the (size, size, 2) pixel centres of a size x size grid over the crop: (2 i + 1) / size - 1."""
    line = (2 * torch.arange(size, dtype=torch.float64, device=device) + 1) / size - 1
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1).to(dtype)


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
    def lattice(self, size: int) -> Offsets:
        """Evaluate, differentiably, at the pixel centres of a size x size grid over the crop: (1, ·, size, size)."""
        _count("size", size, 1, 1 << 16)
        coord, color = self.bare(size)
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
    def bare(self, size: int) -> Offsets:
        """Evaluate as `lattice` does, without the parts' colors."""

    @abstractmethod
    def _at(self, points: Tensor) -> tuple[Tensor, Tensor]: ...

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again, as plain JSON values."""

    def _common(self) -> dict[str, Any]:
        names = ("max_shift", "max_tint", "diffeomorphic", "n_parts")
        return {name: getattr(self, name) for name in names}


@final
class RasterField(Field):
    """Uniform cubic B-splines on two square lattices of control points, one for coord and one for color.

    Control points sit at the pixel centres of their lattice, and the outermost repeat beyond the border, so a
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

    def bare(self, size: int) -> Offsets:
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


@final
class HashField(Field):
    """A multiresolution hash encoding (Müller et al. 2022) read by two small networks, one for each part.

    Coord sees the coarsest `n_coord_levels` only: fine levels make rough geometry. The last layer of each
    network starts at zero and nothing else does, so the field starts at zero with a gradient.

    Args:
        n_levels: levels of the encoding.
        n_coord_levels: levels that coord reads.
        n_features_per_level: features in each row of the table.
        log2_hashmap_size: at most 2 ** this many rows a level.
        base_resolution: vertices per side of the coarsest level.
        per_level_scale: growth of the resolution from one level to the next.
        hidden: units of a hidden layer.
        n_hidden: hidden layers.
        max_shift: see `Field`.
        max_tint: see `Field`.
        diffeomorphic: see `Field`.
        n_parts: see `Field`.
        generator: source of the random start; None is a new one seeded with 0.
    """

    def __init__(
        self,
        n_levels: int = 8,
        n_coord_levels: int = 4,
        n_features_per_level: int = 2,
        log2_hashmap_size: int = 14,
        base_resolution: int = 4,
        per_level_scale: float = 1.42,
        hidden: int = 32,
        n_hidden: int = 1,
        max_shift: float = 0.045,
        max_tint: float = 0.15,
        diffeomorphic: bool = False,
        n_parts: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(max_shift, max_tint, diffeomorphic, n_parts)
        self.n_levels = _count("n_levels", n_levels, 1, 32)
        self.n_coord_levels = _count("n_coord_levels", n_coord_levels, 1, n_levels)
        self.n_features_per_level = _count("n_features_per_level", n_features_per_level, 1, 16)
        self.log2_hashmap_size = _count("log2_hashmap_size", log2_hashmap_size, 3, 22)
        self.base_resolution = _count("base_resolution", base_resolution, 2, 4096)
        require(1 <= per_level_scale <= 4, f"per_level_scale must be in [1, 4]; got {per_level_scale!r}")
        self.per_level_scale = float(per_level_scale)
        self.hidden = _count("hidden", hidden, 1, 1024)
        self.n_hidden = _count("n_hidden", n_hidden, 1, 8)

        generator = generator or torch.Generator().manual_seed(0)
        finest = math.ceil(base_resolution * self.per_level_scale ** (n_levels - 1))
        require(finest <= 1 << 20, f"the finest level must have at most {1 << 20} vertices a side; got {finest}")
        # Where even the finest level has a row for every vertex, no more rows are kept than it uses.
        rows = min(2**log2_hashmap_size, -(-(finest**2) // 8) * 8)
        table = torch.empty(n_levels, rows, n_features_per_level).uniform_(-0.1, 0.1, generator=generator)
        self.table = nn.Parameter(table)
        self.coord = _network(n_coord_levels * n_features_per_level, hidden, n_hidden, 2, generator)
        self.color = _network(n_levels * n_features_per_level, hidden, n_hidden, 3, generator)
        self.level_mask: Tensor
        self.register_buffer("level_mask", torch.ones(n_levels))

    def set_levels(self, fraction: float) -> None:
        """Open the coarsest `fraction` of the levels, the last of them in part; at least the coarsest whole.

        Raises:
            ValueError: fraction is not in (0, 1].
        """
        require(0 < fraction <= 1, f"fraction must be in (0, 1]; got {fraction!r}")
        opened = max(fraction * self.n_levels, 1.0)
        self.level_mask.copy_(torch.tensor([min(max(opened - k, 0.0), 1.0) for k in range(self.n_levels)]))

    @property
    def detail(self) -> int:
        """Cells along one side of the finest level."""
        return math.ceil(self.base_resolution * self.per_level_scale ** (self.n_levels - 1))

    def bare(self, size: int) -> Offsets:
        """See `Field`; through a sparse operator made once for each size."""
        n_levels, rows, _ = self.table.shape
        grid = (n_levels, rows, self.base_resolution, self.per_level_scale)
        encoding = _lattice_encoding(size, self._reach, grid, self.table.dtype, self.table.device)
        coord, color = self._read(encoding(self.table, self.level_mask))
        return Offsets(coord.T.reshape(1, 2, size, size), color.T.reshape(1, 3, size, size))

    def _at(self, points: Tensor) -> tuple[Tensor, Tensor]:
        # By looking up the four vertices of every level around each point.
        unit = _unit(points.to(self.table.dtype), self._reach)
        return self._read(hash_encode(unit, self.table, self.base_resolution, self.per_level_scale, self.level_mask))

    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again."""
        names = ["n_levels", "n_coord_levels", "n_features_per_level", "log2_hashmap_size", "base_resolution"]
        names += ["per_level_scale", "hidden", "n_hidden"]
        return {"kind": "hash", **{name: getattr(self, name) for name in names}, **self._common()}

    @property
    def _reach(self) -> float:
        # The encoding wraps around within half a cell of 1, so the crop is laid over the part before that.
        return 1 - 0.5 / (self.base_resolution - 1)

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        coarse = features[:, : self.n_coord_levels * self.n_features_per_level]
        coord = 2 * self.max_shift * torch.tanh(self.coord(coarse))
        return coord, self.max_tint * torch.tanh(self.color(features))


def make_field(settings: dict[str, Any]) -> Field:
    """Build a field from what `Field.settings` returned; its parameters are a new field's.

    Raises:
        ValueError: the kind is unknown, a setting does not belong to it, or a value is out of range.
    """
    options = dict(settings)
    kinds = {"raster": RasterField, "hash": HashField}
    kind = options.pop("kind", None)
    require(
        isinstance(kind, str) and kind in kinds,
        f"field kind must be 'raster' or 'hash'; got {describe(kind)}",
    )
    make = kinds[kind]
    require("generator" not in options, "field settings must be plain values; got a generator")
    try:
        return make(**options)
    except TypeError as error:
        raise ValueError(f"field settings must be those of a {kind} field; got {describe(settings)}") from error


def _spline(control: Tensor, points: Tensor) -> Tensor:
    """Evaluate a (C, n, n) lattice of control points at (N, 2) crop coordinates: (N, C)."""
    x, y = (points.T.contiguous().clamp(-1, 1) + 1) * (control.shape[-1] / 2) - 0.5
    return sample(control, x, y, "b_spline").T


@lru_cache(maxsize=2)  # tens of megabytes each, but for compiled kernels
def _lattice_encoding(
    size: int, reach: float, grid: tuple[int, int, int, float], dtype: torch.dtype, device: torch.device
) -> LatticeEncoding:
    line = _unit(centres(size, dtype=torch.float64, device=device)[0, :, 0], reach)
    return LatticeEncoding(line, line, *grid, dtype=dtype)


def _unit(points: Tensor, reach: float) -> Tensor:
    """Map crop coordinates [-1, 1] to [0, reach]; those outside to the border."""
    return (points.clamp(-1, 1) + 1) * (reach / 2)


def _network(inputs: int, hidden: int, n_hidden: int, outputs: int, generator: torch.Generator) -> nn.Sequential:
    """Make a small smooth network whose last layer is zero."""
    layers: list[nn.Module] = []
    for width in [inputs] + [hidden] * (n_hidden - 1):
        layer = _linear(width, hidden)
        limit = math.sqrt(3 / width)  # unit variance in, unit variance out
        nn.init.uniform_(layer.weight, -limit, limit, generator=generator)
        nn.init.uniform_(layer.bias, -1, 1, generator=generator)
        layers += [layer, nn.SiLU()]
    last = _linear(hidden, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(*layers, last)


def _linear(inputs: int, outputs: int) -> nn.Linear:
    # Without its own start, which would draw from the global generator.
    return nn.utils.skip_init(nn.Linear, inputs, outputs)


def _count(name: str, value: int, low: int, high: int) -> int:
    ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    require(ok, f"{name} must be a whole number from {low} to {high}; got {describe(value)}")
    return value


def _check_points(points: Tensor) -> None:
    ok = points.ndim == 2 and points.shape[1] == 2 and points.is_floating_point()
    require(ok, f"points must be floating and have shape (N, 2); got {describe(points)}")
