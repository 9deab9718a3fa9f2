"""Every number a user may set, with its unit and default; those of a face's parts stand in flowedit/face/parts.py.

`Config` holds what an edit is asked for; its groups hold what the optimizer is made of. A flag of the command line, a
key of a TOML file and a field here are one text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from flowedit.checks import Group, check_fields, describe, name_or_function, number, require
from flowedit.face.parts import Paints, PartShapes
from flowedit.face.regions import REGIONS
from flowedit.field.make import FIELDS
from flowedit.guide.targets import TARGETS

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25)  # of a sweep
G = TypeVar("G")

if TYPE_CHECKING:
    Named = str | Callable[..., Any]  # the name of a kind that is registered, or a function
else:
    Named = str  # what the command line reads


@dataclass(frozen=True)
class Weights(Group):
    """What each term of the objective counts; the text term counts 1."""

    bending: float = number(0.03, least=0)
    """Bending energy of the movement."""
    shift: float = number(4.0, least=0)
    """Mean length of the movement: high, and only what pays is moved."""
    background: float = number(3.0, least=0)
    """How many times as much a movement off the face counts: more, and straight lines beside it stay straight."""
    tint: float = number(4.0, least=0)
    """Mean length of each pixel's own tint: high, and only what pays is tinted."""
    covered: float = number(40.0, least=0)
    """How many times as much a pixel's own tint counts where a part has a color, and about eyes and mouth."""
    tint_smoothness: float = number(0.7, least=0)
    """Gradient energy of the tint where the photo itself is even."""
    part_colors: float = number(0.18, least=0)
    """Colors of the face's parts: lips, skin, cheeks, brows and irises may each take one."""
    retouch: float = number(0.02, least=0)
    """Amounts of what is scaled of the photo's own light and detail: hair, beard area, lids, lines and the like."""
    fold: float = number(10.0, least=0)
    """Areas squeezed below a fifth."""
    smile: float = number(0.1, least=0)
    """Movement that faces do not make when they smile, where a smile is asked for."""
    likeness: float = number(0.06, least=0)
    """Likeness to other edits of the photo, where an edit is to differ from them."""
    stray: float = number(0.1, least=0)
    """What such an edit does at places where the first of those hardly does anything."""


@dataclass(frozen=True)
class RasterConfig(Group):
    """The lattices of `field="raster"`."""

    coord_size: int = number(16, least=1, most=4096)
    """Control points of the movement along one side of the crop."""
    color_size: int = number(64, least=1, most=4096)
    """Control points of the tint along one side of the crop."""


@dataclass(frozen=True)
class HashConfig(Group):
    """The hash grid of `field="hash"`; names as in tiny-cuda-nn."""

    n_levels: int = number(8, least=1, most=32)
    """Levels of the grid that color may use."""
    n_coord_levels: int = number(6, least=1, most=32)
    """Levels that movement may use: fewer, since fine levels make geometry rough."""
    n_features_per_level: int = number(2, least=1, most=16)
    """Features at each grid node."""
    log2_hashmap_size: int = number(14, least=3, most=22)
    """Logarithm of the entries per level."""
    base_resolution: int = number(4, least=2, most=4096)
    """Cells along one side of the coarsest level."""
    per_level_scale: float = number(1.42, least=1, most=4)
    """Growth of the resolution from level to level."""
    hidden: int = number(32, least=1, most=1024)
    """Width of the small network behind the grid."""
    n_hidden: int = number(1, least=1, most=8)
    """Hidden layers of that network."""
    first_levels: float = number(0.6, above=0, most=1)
    """Share of the levels that are open at the first step."""
    level_rate: float = number(1.2, least=0)
    """Share of the levels that open over a whole run; from 1 on all are open."""
    backend: Literal["auto", "native", "triton", "tinycudann", "torch"] = "auto"
    """What computes the encoding: one named is used or refused."""

    def __post_init__(self) -> None:
        super().__post_init__()
        within = self.n_coord_levels <= self.n_levels
        require(within, f"n_coord_levels must be at most n_levels, {self.n_levels}; got {self.n_coord_levels}")


@dataclass(frozen=True)
class Variants(Group):
    """What further edits for one prompt must do to be kept beside the first; see `variants`."""

    least_share: float = number(0.5, least=0, most=1)
    """Of what the guide sees in the first: all come to the least of them."""
    least_effect: float = number(0.7, least=0, most=100)
    """Move of a measure that the first moves most, deviations from face to face, at the strength that all come to."""
    most_elsewhere: float = number(0.33, above=0, most=100)
    """Mean move of the measures that the first moves little, in shares of that."""
    leading: float = number(0.5, least=0, most=1)
    """Share of its largest move from which on the first moves a measure much."""
    far: float = number(3.0, above=0, most=100)
    """Move in such deviations from which on more counts no more: closed mouths differ little, opened ones much."""


@dataclass(frozen=True)
class Optimizer(Group):
    """How the parameters move."""

    lr: float = number(0.0025, above=0, most=1)
    """Root mean square step of a raster field's movement, crop coordinates."""
    color_rate: float = number(0.25, least=0, most=100)
    """Step of a raster's tint, image units, in shares of lr; 1 on a picture without a face."""
    part_rate: float = number(2.0, least=0, most=100)
    """Step of the parts' colors, units of paint, in shares of lr: they go first, each pixel's own tint corrects."""
    retouch_rate: float = number(12.0, least=0, most=1000)
    """Step of the amounts of a retouch, in shares of lr: from black to blonde is about one."""
    network_lr: float = number(0.02, above=0, most=1)
    """Adam's step for a neural field, parameter units."""
    warm_up: int = number(5, least=1, most=1000)
    """Steps until the rate is whole; from a prediction it is whole at once."""
    momentum: float = number(0.9, least=0, most=0.99)
    """Share of the running mean of a raster's gradient that a step keeps."""
    momentum_predicted: float = number(0.7, least=0, most=0.99)
    """The same in the few steps from a prediction."""
    cool_down: float = number(0.2, least=0, most=10)
    """Share of the rate that is left after the last step."""
    patience: int = number(15, least=1, most=10**6)
    """Steps without a gain before the loop has converged, in its second half."""
    least_gain: float = number(1e-4, least=0)
    """Fall of the smoothed objective that counts as a gain."""
    smoothing: float = number(0.7, least=0, most=0.999)
    """Share of the running mean of the objective that a step keeps: views differ from step to step."""
    check_every: int = number(20, least=1, most=10**6)
    """Steps between two measurements of the effect; the identity, which takes longer, is measured half way."""
    beyond: float = number(1.25, least=1, most=100)
    """Times the identity budget at which the loop ends: what goes further would have to be scaled back much."""


@dataclass(frozen=True)
class Augment(Group):
    """The views of the face: small similarities with flips, and contrast."""

    pool: int = number(8, least=1, most=64)
    """Views made before the loop, each with its target."""
    scale: float = number(0.05, least=0, most=0.5)
    """Deviation of a view's scale."""
    rotation: float = number(0.05, least=0, most=1)
    """Deviation of its angle, radians."""
    shift: float = number(0.025, least=0, most=0.5)
    """Deviation of its center, crop coordinates."""
    contrast: float = number(0.08, least=0, most=1)
    """Deviation of the logarithm of its contrast."""


@dataclass(frozen=True)
class Config:
    """How an edit is found. Every field is also a flag of `flowedit edit`.

    Raises:
        TypeError, ValueError: a field has a wrong type or is out of its range; the message names it.
    """

    face: int | Literal["largest", "all"] = "largest"
    """Which face: the largest, all, or an index counted from the left, from 0."""
    align: bool = True
    """Work in the frame of a detected face; off, the whole picture is edited and nothing is measured."""
    region: Literal["mouth", "eyes", "brows", "nose", "jaw", "skin"] | None = None
    """Only this part of the face may change."""
    mask: Path | None = None
    """A picture of the photo's size: where it is black nothing changes, where white anything may."""
    upscaler: Path | None = None
    """Real-ESRGAN's weights of an RRDBNet (.pth or .safetensors): a face of less than half the pixels that the guide is
    shown is enlarged by it for the guide and the predictor. The photo keeps its size and its pixels."""
    protect: tuple[str, ...] = ()
    """Parts of the face (brows, eyes, jaw, mouth, nose, skin), and pictures of the photo's size that are white there,
    where every pixel keeps its bits."""
    field: str = "raster"
    """What the offsets are made of: raster, a lattice of splines; hash, a neural field; or a kind in `FIELDS`."""
    target: Named = name_or_function("direction")  # noqa: RUF009, makes a field, as number does
    """direction moves the photo's embedding by the prompt's difference from "a face", absolute to the prompt's
    embedding, projected only within the subspace of a corpus of prompts (CLIP-PAE); or a kind in `TARGETS`, or, from
    Python, a function."""
    intensity: float = number(1.1, above=0, most=100)
    """How far the target lies along that difference, in lengths of it; 2 tends to caricature."""
    corpus: str | None = None
    """Prompts whose subspace a projected target may change: emotions, hair, eyes, mouth, age, make-up, face-shape,
    several joined by commas, or a text file with one a line; None finds the prompt's own."""
    components: int | None = number(None, least=1, most=1000)
    """Principal components of the corpus that make its subspace; None makes it of the prompts themselves."""
    alpha: float = number(0.35, least=0, most=100)
    """Share of what the photo has in that subspace that a projected target gives to the prompt: 0 changes nothing; with
    faceclip, 0.15 to 0.6 is useful, and more overdoes it. Principal components need three times as much or more."""
    steps: int | None = number(None, least=1, most=100_000)
    """Most steps of the loop; None is 10 from a prediction, and else 60 for a raster field and 100 for any other."""
    views: int = number(2, least=1, most=64)
    """Views of the face shown to the encoder in each step, of the pool."""
    max_shift: float = number(0.045, above=0, most=1)
    """Bound of the movement, as a fraction of the crop's side."""
    max_tint: float = number(0.15, least=0, most=1)
    """Bound of the tint, image units (1 is white)."""
    hues: Literal["auto", "free", "kept"] = "auto"
    """What tints may change: free, hue and light; kept, light alone, red, green and blue alike; auto, hue only where a
    prompt is about color, and where none is, no part of the face takes a color. A gray photo stays gray."""
    diffeomorphic: bool = False
    """Integrate the movement as a velocity: no folds by construction."""
    identity: float | None = number(0.35, above=0, most=100)
    """Most that dlib's face descriptor may differ (0.6 is "another person"); None sets no bound."""
    displacement: float | None = number(None, above=0, most=1000)
    """Longest movement, in percent of the distance between the outer eye corners; None sets no bound."""
    stretch: float | None = number(100, above=0, most=10_000)
    """Most by which the movement may make anything but closed lids longer, in percent: 100 is twice as long; None sets
    no bound."""
    tilt: float | None = number(9, above=0, most=90)
    """Most that the line between the mouth's corners turns, in degrees: a smirk that goes further is crooked. It is
    turned back once it is found, about the mouth alone; and the lid of an eye that is opened by an eighth more than the
    other, as one raised brow does, is lowered. Of a raster field that is no velocity; None leaves both as they are."""
    effect: float | None = number(None, above=0, most=1000)
    """Most of the prompt's change that the guide may see in the face, 1 being all of it; None sets no bound."""
    seed: int = number(0, least=-(2**63), most=2**63 - 1)
    """Seed of the one generator behind everything random."""
    device: str = "auto"
    """Where to work: cpu, cuda, mps, or auto (cuda if there is one, else cpu)."""
    weights: Weights = Weights()
    """What the terms of the objective count."""
    raster: RasterConfig = RasterConfig()
    """The lattices, for field="raster"."""
    hash: HashConfig = HashConfig()
    """The hash grid, for field="hash"."""
    optimizer: Optimizer = Optimizer()
    """How the parameters move, and when the loop ends."""
    augment: Augment = Augment()
    """The views of the face."""
    variants: Variants = Variants()
    """What variants must do."""
    parts: PartShapes = PartShapes()  # noqa: RUF009, frozen
    """Where the parts of a face lie that take a color each: a few lengths and likenesses."""
    paints: Paints = Paints()  # noqa: RUF009, frozen
    """How far a unit of paint colors each of them."""

    def __post_init__(self) -> None:
        check_fields(self)
        kind = isinstance(self.face, str) or self.face >= 0
        require(kind, f"face must be 'largest', 'all' or an index from 0; got {self.face!r}")
        for name, registry in (("field", FIELDS), ("target", TARGETS)):
            value = getattr(self, name)
            require(callable(value) or value in registry, f"{name} must be one of {tuple(registry)}; got {value!r}")
        require(
            self.views <= self.augment.pool,
            f"views must be at most augment.pool, {self.augment.pool}; got {self.views}",
        )
        corpus = self.corpus is None or self.corpus.strip() != ""
        require(corpus, f"corpus must be a name or a file; got {self.corpus!r}")
        require(self.displacement is None or self.align, "displacement must go with align=True; got align=False")
        require(len(self.protect) <= 100, f"protect must have at most 100 entries; got {len(self.protect)}")
        for name in self.protect:
            known = name in REGIONS or Path(name).suffix != ""
            require(known, f"protect must be of {', '.join(REGIONS)} or a picture's file; got {name!r}")
        for name, regions in (("region", self.region), ("protect", self.protected_regions)):
            require(not regions or self.align, f"{name} must go with align=True; got align=False (--no-align)")

    @property
    def protected_regions(self) -> tuple[str, ...]:
        """The parts of the face in `protect`."""
        return tuple(name for name in self.protect if name in REGIONS)

    @property
    def protected_files(self) -> tuple[Path, ...]:
        """The pictures in `protect`."""
        return tuple(Path(name) for name in self.protect if name not in REGIONS)

    def without_folders(self, corpus: str | None = None) -> Config:
        """Return the same with files by their names alone, as an edit file keeps it.

        Args:
            corpus: name of the corpus that was read, see `Corpus.name`; None takes the last part of this one's.
        """
        protect = tuple(name if name in REGIONS else Path(name).name for name in self.protect)
        corpus = corpus or (self.corpus and Path(self.corpus).name)
        mask, upscaler = (path and Path(path.name) for path in (self.mask, self.upscaler))
        return replace(self, mask=mask, protect=protect, corpus=corpus, upscaler=upscaler)

    def to_dict(self) -> dict[str, Any]:
        """Return all settings as plain JSON values, groups as dicts; a target that is a function by its name."""
        return _to_plain(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any], base: Config | None = None) -> Config:
        """Return `base`, or the defaults, with these settings in place of its own.

        Args:
            settings: as of `to_dict`, whole or in part.
            base: what holds for the rest.

        Raises:
            TypeError, ValueError: a name is unknown, or a value wrong; the message names it.
        """
        return _replaced(base or cls(), settings, "")

    @classmethod
    def from_toml(cls, path: str | Path, base: Config | None = None) -> Config:
        """Read a small file of differences: `steps = 30`, and `bending = 0.05` below a line `[weights]`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not TOML, larger than 1 MB, or a setting is unknown or wrong; the message names the file.
        """
        try:
            import tomllib
        except ImportError:  # Python 3.10
            import tomli as tomllib  # type: ignore[import-not-found, no-redef]

        path = Path(path)
        require(path.is_file(), f"config must be a TOML file that exists; got {path}", FileNotFoundError)
        require(path.stat().st_size <= 1 << 20, f"config must be at most 1 MB; got {path}")
        try:
            return cls.from_dict(tomllib.loads(path.read_text(encoding="utf-8")), base)
        except (TypeError, ValueError) as error:  # tomllib's errors and a wrong encoding are ValueErrors too
            raise ValueError(f"{path}: {error}") from error


def _to_plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _to_plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [_to_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value) if isinstance(value, Path) else getattr(value, "__qualname__", repr(value))


def _replaced(group: G, settings: Mapping[str, Any], prefix: str) -> G:
    """Return a group of settings with some in place of its own; names in errors begin with `prefix`."""
    require(
        isinstance(settings, Mapping),
        f"{prefix.rstrip('.') or 'config'} must be a table; got {describe(settings)}",
        TypeError,
    )
    names = [each.name for each in fields(group)]  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in settings.items():
        require(name in names, f"{prefix}{name} must be one of {', '.join(names)}")
        current = getattr(group, name)
        if is_dataclass(current):
            changes[name] = _replaced(current, value, f"{prefix}{name}.")
        else:
            changes[name] = tuple(value) if isinstance(value, list) else value
    try:
        return replace(group, **changes)  # type: ignore[type-var]
    except (TypeError, ValueError) as error:  # its message begins with the field's name
        raise type(error)(f"{prefix}{error}") from error
