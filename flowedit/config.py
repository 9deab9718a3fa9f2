"""Every number a user may set, with its unit and default."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flowedit.checks import require
from flowedit.face.regions import REGIONS

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)  # of a sweep


@dataclass(frozen=True)
class HashConfig:
    """The hash grid of `field="hash"`; names as in tiny-cuda-nn."""

    n_levels: int = 8
    """Levels of the grid that color may use."""
    n_coord_levels: int = 6
    """Levels that movement may use: fewer, since fine levels make geometry rough."""
    n_features_per_level: int = 2
    """Features at each grid node."""
    log2_hashmap_size: int = 14
    """Logarithm of the entries per level."""
    base_resolution: int = 4
    """Cells along one side of the coarsest level."""
    per_level_scale: float = 1.42
    """Growth of the resolution from level to level."""
    hidden: int = 32
    """Width of the small network behind the grid."""
    lr: float = 0.02
    """Adam's step, parameter units."""


@dataclass(frozen=True)
class Config:
    """How an edit is found. Every field is also a flag of `flowedit edit`."""

    face: int | Literal["largest", "all"] = "largest"
    """Which face: the largest, all, or an index counted from the left, from 0."""
    align: bool = True
    """Work in the frame of a detected face; off, the whole picture is edited and nothing is measured."""
    region: Literal["mouth", "eyes", "brows", "nose", "jaw", "skin"] | None = None
    """Only this part of the face may change."""
    mask: Path | None = None
    """A picture of the photo's size: where it is black nothing changes, where white anything may."""
    protect: tuple[str, ...] = ()
    """Parts of the face, and pictures of the photo's size that are white there, where every pixel keeps its bits."""
    field: Literal["raster", "hash"] = "raster"
    """A lattice of splines, or a neural field."""
    target: Literal["direction", "absolute", "projected"] = "direction"
    """Move the photo's embedding by the prompt's difference from "a face", to the prompt's embedding, or only within
    the subspace of a corpus of prompts (CLIP-PAE)."""
    intensity: float = 0.8
    """How far the target lies along that difference; 1 is all of it, which tends to caricature."""
    corpus: str | None = None
    """Prompts whose subspace a projected target may change: emotions, hair, eyes, mouth, age, make-up, face-shape,
    several joined by commas, or a text file with one a line; None finds the prompt's own."""
    components: int | None = None
    """Principal components of the corpus that make its subspace; None makes it of the prompts themselves."""
    alpha: float = 0.35
    """Share of what the photo has in that subspace that a projected target gives to the prompt: 0 changes nothing; with
    faceclip, 0.15 to 0.6 is useful, and more overdoes it. Principal components need three times as much or more."""
    steps: int | None = None
    """Most steps of the loop; None is 60 for a raster field and 100 for a hash field."""
    views: int = 2
    """Views of the face shown to the encoder in each step."""
    lr: float = 0.0025
    """Root mean square step of a raster field's movement, crop coordinates; the parts' colors of any field go at
    twice that, in units of paint, and the raster's tint at a quarter (all of it without a face), image units."""
    coord_size: int = 16
    """Control points of the movement along one side of the crop."""
    color_size: int = 64
    """Control points of the tint along one side of the crop."""
    max_shift: float = 0.045
    """Bound of the movement, as a fraction of the crop's side."""
    max_tint: float = 0.15
    """Bound of the tint, image units (1 is white)."""
    diffeomorphic: bool = False
    """Integrate the movement as a velocity: no folds by construction."""
    smooth: float = 0.03
    """Weight of the movement's bending energy."""
    even: float = 0.7
    """Weight of the tint's gradient energy where the photo itself is even."""
    small: float = 4.0
    """Weight of the movement's mean length: high, and only what pays is moved."""
    around: float = 3.0
    """How many times as much a movement off the face costs: more, and straight lines beside it stay straight."""
    tint: float = 4.0
    """Weight of the mean length of each pixel's own tint: high, and only what pays is tinted."""
    palette: float = 0.18
    """Weight of the parts' colors: lips, skin, cheeks, brows and irises may each take one."""
    fold: float = 10.0
    """Weight of the penalty on areas squeezed below a fifth."""
    identity: float | None = 0.35
    """Most that dlib's face descriptor may differ (0.6 is "another person"); None sets no bound."""
    displacement: float | None = None
    """Longest movement, in percent of the distance between the outer eye corners; None sets no bound."""
    effect: float | None = None
    """Most of the prompt's change that the guide may see in the face, 1 being all of it; None sets no bound."""
    seed: int = 0
    """Seed of the one generator behind everything random."""
    device: str = "auto"
    """Where to work: cpu, cuda, mps, or auto (cuda if there is one, else cpu)."""
    hash: HashConfig = HashConfig()
    """The hash grid, for field="hash"."""

    def __post_init__(self) -> None:
        kind = isinstance(self.face, int) and self.face >= 0 and not isinstance(self.face, bool)
        require(
            kind or self.face in ("largest", "all"),
            f"face must be 'largest', 'all' or an index from 0; got {self.face!r}",
        )
        for name, choices in (
            ("field", ("raster", "hash")),
            ("target", ("direction", "absolute", "projected")),
            ("region", (None, *REGIONS)),
        ):
            value = getattr(self, name)
            require(value in choices, f"{name} must be one of {choices}; got {value!r}")
        require(self.steps is None or self.steps >= 1, f"steps must be at least 1; got {self.steps}")
        require(1 <= self.views <= 8, f"views must be from 1 to 8; got {self.views}")  # objective.POOL
        for name in ("intensity", "lr", "max_shift"):
            value = getattr(self, name)
            require(value > 0 and math.isfinite(value), f"{name} must be positive; got {value}")
        for name in ("alpha", "max_tint", "smooth", "small", "tint", "palette", "even", "fold", "around"):
            value = getattr(self, name)
            require(value >= 0 and math.isfinite(value), f"{name} must be at least 0; got {value}")
        require(
            self.corpus is None or self.corpus.strip() != "", f"corpus must be a name or a file; got {self.corpus!r}"
        )
        few = self.components is not None and self.components < 1
        require(not few, f"components must be at least 1; got {self.components}")
        for name in ("identity", "displacement", "effect"):
            value = getattr(self, name)
            require(value is None or value > 0, f"{name} must be positive; got {value}")
        require(self.displacement is None or self.align, "displacement must go with align=True; got align=False")
        for name in self.protect:
            known = name in REGIONS or Path(name).suffix != ""
            require(known, f"protect must be of {', '.join(REGIONS)} or a picture's file; got {name!r}")
        for name, given in (("region", self.region), ("protect", self.protected_regions)):
            require(not given or self.align, f"{name} must go with align=True; got align=False (--no-align)")

    @property
    def protected_regions(self) -> tuple[str, ...]:
        """The parts of the face in `protect`."""
        return tuple(name for name in self.protect if name in REGIONS)

    @property
    def protected_files(self) -> tuple[Path, ...]:
        """The pictures in `protect`."""
        return tuple(Path(name) for name in self.protect if name not in REGIONS)

    @property
    def most_steps(self) -> int:
        """`steps`, or its default for the field."""
        return self.steps or (60 if self.field == "raster" else 100)
