"""Neural fields: a multiresolution hash encoding read by small networks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, final

import torch
from torch import Tensor, nn

from flowedit.checks import require, whole_number
from flowedit.field.base import Field
from flowedit.field.offsets import MOST_PX, Offsets, pixel_centers
from flowedit.kernels import LatticeEncoding, hash_encode


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
        first_levels: share of the levels that `set_progress` opens at the first step.
        level_rate: share of them that it opens over a whole run.
        generator: source of the random start; None is a new one seeded with 0.
    """

    def __init__(
        self,
        n_levels: int = 8,
        n_coord_levels: int = 6,
        n_features_per_level: int = 2,
        log2_hashmap_size: int = 14,
        base_resolution: int = 4,
        per_level_scale: float = 1.42,
        hidden: int = 32,
        n_hidden: int = 1,
        max_shift: float = 0.045,
        max_tint: float = 0.15,
        diffeomorphic: bool = False,
        first_levels: float = 0.6,
        level_rate: float = 1.2,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(max_shift, max_tint, diffeomorphic)
        self.n_levels = whole_number("n_levels", n_levels, 1, 32)
        self.n_coord_levels = whole_number("n_coord_levels", n_coord_levels, 1, n_levels)
        self.n_features_per_level = whole_number("n_features_per_level", n_features_per_level, 1, 16)
        self.log2_hashmap_size = whole_number("log2_hashmap_size", log2_hashmap_size, 3, 22)
        self.base_resolution = whole_number("base_resolution", base_resolution, 2, 4096)
        require(1 <= per_level_scale <= 4, f"per_level_scale must be in [1, 4]; got {per_level_scale!r}")
        self.per_level_scale = float(per_level_scale)
        self.hidden = whole_number("hidden", hidden, 1, 1024)
        self.n_hidden = whole_number("n_hidden", n_hidden, 1, 8)

        self.first_levels, self.level_rate = float(first_levels), float(level_rate)
        generator = generator or torch.Generator().manual_seed(0)
        finest = _finest(base_resolution, self.per_level_scale, n_levels)
        require(finest <= 1 << 20, f"the finest level must have at most {1 << 20} vertices a side; got {finest}")
        table = torch.empty(n_levels, _rows(log2_hashmap_size, finest), n_features_per_level).uniform_(
            -0.1, 0.1, generator=generator
        )
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

    def set_progress(self, fraction: float) -> None:
        """Open the levels from coarse to fine: see `set_levels`."""
        self.set_levels(min(1.0, self.first_levels + self.level_rate * fraction))

    def param_groups(self) -> dict[str, list[nn.Parameter]]:
        """The table and the networks."""
        return {"network": list(self.parameters())}

    @property
    def detail(self) -> int:
        """Cells along one side of the finest level."""
        return _finest(self.base_resolution, self.per_level_scale, self.n_levels)

    def on_grid(self, size: int) -> Offsets:
        """See `Field`; through a sparse operator made once for each size."""
        size = whole_number("size", size, 1, MOST_PX)
        n_levels, rows, _ = self.table.shape
        grid = (n_levels, rows, self.base_resolution, self.per_level_scale)
        encoding = _lattice_encoding(size, self._reach, grid, self.table.dtype, self.table.device, self.backend)
        coord, color = self._read(encoding(self.table, self.level_mask))
        return Offsets(coord.T.reshape(1, 2, size, size), color.T.reshape(1, 3, size, size))

    def _at_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        # By looking up the four vertices of every level around each point.
        unit = _unit(points.to(self.table.dtype), self._reach)
        grid = self.base_resolution, self.per_level_scale
        return self._read(hash_encode(unit, self.table, *grid, self.level_mask, self.backend))

    def settings(self) -> dict[str, Any]:
        """Return what `make_field` needs to build this field again."""
        names = ["n_levels", "n_coord_levels", "n_features_per_level", "log2_hashmap_size", "base_resolution"]
        names += ["per_level_scale", "hidden", "n_hidden", "first_levels", "level_rate"]
        return {"kind": "hash", **{name: getattr(self, name) for name in names}, **self._common_settings()}

    @classmethod
    def count_values(cls, settings: Mapping[str, Any]) -> int:
        """See `Field`."""
        names = ("n_levels", "n_coord_levels", "n_features_per_level", "hidden", "n_hidden")
        n_levels, n_coord_levels, n_features, hidden, n_hidden = (settings[name] for name in names)
        rows = _rows(
            settings["log2_hashmap_size"], _finest(settings["base_resolution"], settings["per_level_scale"], n_levels)
        )
        networks = sum(
            (levels * n_features + 1) * hidden + (n_hidden - 1) * (hidden + 1) * hidden + (hidden + 1) * outputs
            for levels, outputs in ((n_coord_levels, 2), (n_levels, 3))
        )
        return n_levels * rows * n_features + n_levels + networks  # the table, the mask of levels, and the networks

    @property
    def _reach(self) -> float:
        # The encoding wraps around within half a cell of 1, so the crop is laid over the part before that.
        return 1 - 0.5 / (self.base_resolution - 1)

    def _read(self, features: Tensor) -> tuple[Tensor, Tensor]:
        coarse = features[:, : self.n_coord_levels * self.n_features_per_level]
        coord = 2 * self.max_shift * torch.tanh(self.coord(coarse))
        return coord, self.max_tint * torch.tanh(self.color(features))


@lru_cache(maxsize=2)  # at 256 points a side and 8 levels, 70 MB each
def _lattice_encoding(
    size: int,
    reach: float,
    grid: tuple[int, int, int, float],
    dtype: torch.dtype,
    device: torch.device,
    backend: str,
) -> LatticeEncoding:
    line = _unit(pixel_centers(size, dtype=torch.float64, device=device)[0, :, 0], reach)
    return LatticeEncoding(line, line, *grid, dtype=dtype, backend=backend)


def _finest(base_resolution: int, per_level_scale: float, n_levels: int) -> int:
    """Return the cells along a side of the finest level."""
    return math.ceil(base_resolution * per_level_scale ** (n_levels - 1))


def _rows(log2_hashmap_size: int, finest: int) -> int:
    """Return the rows of a level: no more than the finest uses, where it has one for every vertex."""
    return min(2**log2_hashmap_size, -(-(finest**2) // 8) * 8)


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
