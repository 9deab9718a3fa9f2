"""What is done to a photo: fields over crops, added, done one after another, undone."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from flowedit.checks import describe, require, warn
from flowedit.face.crop import crop_key
from flowedit.field.base import Field
from flowedit.field.gaze import GazeField
from flowedit.field.lids import LidField

if TYPE_CHECKING:
    from flowedit.face.crop import Crop
    from flowedit.face.part_tint import PartTint
    from flowedit.face.retouch import Retouch


Box = tuple[int, int, int, int]  # top, left, bottom, right in photo pixels; bottom and right exclusive
UNDO_STEPS = 60  # towards an inverse, at most
UNDO_COST = UNDO_STEPS + 1  # evaluations of what is undone, at most
MOST_COST = 10_000  # evaluations of fields for a pixel
MOST_STRENGTH = 1e6


@dataclass(frozen=True, eq=False)
class FieldTransform:
    """One field over one crop of a photo.

    Attributes:
        field: what is done, in the crop's frame.
        part_tint: the colors of the face's parts, added to the field's; or None.
        crop: where the crop lies in the photo.
        mask: (1, 1, m, m) weights in [0, 1] over the crop, or None for all ones.
        hard_mask: (H, W) float32 weights in [0, 1] over the photo, or None; pixels with 0 keep their bits.
        strength: scales shape and color; 0 is the photo.
        region: name of the only part of the face that may change, or None; `mask` is drawn from it.
        protect: names of the parts that keep their bits, likewise.
        light: how much of the full light the crop is in, up to 1 (`measure_light`); the tint was found within it.
        retouch: how the photo's own light and detail is scaled before anything moves (`transform.retouching`); or None.
        skin: brightness of the skin, image units, where shares of its own light are part of the tint; or None.

    Raises:
        ValueError: a mask has another shape or range, or the light or the skin's brightness is not in (0, 1].
    """

    field: Field
    crop: Crop
    mask: Tensor | None = None
    hard_mask: np.ndarray | None = None
    strength: float = 1.0
    region: str | None = None
    protect: tuple[str, ...] = ()
    part_tint: PartTint | None = None
    light: float = 1.0
    retouch: Retouch | None = None
    skin: float | None = None

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        require(0 < self.light <= 1, f"light must be in (0, 1]; got {self.light!r}")
        require(self.skin is None or 0 < self.skin <= 1, f"skin must be in (0, 1] or None; got {self.skin!r}")
        if (mask := self.mask) is not None:
            square = mask.ndim == 4 and mask.shape[:2] == (1, 1) and mask.shape[2] == mask.shape[3] > 0
            require(square, f"mask must have shape (1, 1, m, m); got {describe(mask)}")
            require(bool(((mask >= 0) & (mask <= 1)).all()), "mask must be in [0, 1]; got values outside or NaN")
        if (hard := self.hard_mask) is not None:
            plane = hard.ndim == 2 and hard.dtype == np.float32
            require(plane, f"hard_mask must be an (H, W) float32 array; got {describe(hard)}")
            inside = bool(hard.size) and bool(hard.min() >= 0) and bool(hard.max() <= 1)
            require(inside, "hard_mask must be in [0, 1]; got values outside or NaN")


@dataclass(frozen=True, eq=False)
class Composition:
    """Transforms done one after another, as one of the original: nothing is sampled, or clamped, in between.

    Attributes:
        stages: the first is done first; the transforms of a stage add.
        strength: scales the whole's shape and color.
    """

    stages: tuple[tuple[Transform, ...], ...]
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_strength(self.strength)


@dataclass(frozen=True, eq=False)
class Inverse:
    """What gives the original back from a picture that `transforms`, which add, have made.

    Attributes:
        transforms: to be undone, at their strengths; without folds, or there is no way back.
        strength: scales the way back.
    """

    transforms: tuple[Transform, ...]
    strength: float = 1.0

    def __post_init__(self) -> None:
        _check_strength(self.strength)


Transform = FieldTransform | Composition | Inverse


def leaves(transforms: Sequence[Transform]) -> Iterator[FieldTransform]:
    """Yield every `FieldTransform` that transforms are made of, in a fixed order."""
    for transform in transforms:
        if isinstance(transform, FieldTransform):
            yield transform
        else:
            for stage in transform.stages if isinstance(transform, Composition) else (transform.transforms,):
                yield from leaves(stage)


def map_leaves(
    transforms: Sequence[Transform], change: Callable[[FieldTransform], FieldTransform]
) -> tuple[Transform, ...]:
    """Return the same transforms with changed leaves; `change` is called in the order of `leaves`."""

    def one(transform: Transform) -> Transform:
        if isinstance(transform, FieldTransform):
            return change(transform)
        if isinstance(transform, Composition):
            return replace(transform, stages=tuple(map_leaves(stage, change) for stage in transform.stages))
        return replace(transform, transforms=map_leaves(transform.transforms, change))

    return tuple(one(transform) for transform in transforms)


def cost(transforms: Sequence[Transform]) -> int:
    """Count the evaluations of fields that transforms take for a pixel, at most."""
    total = 0
    for transform in transforms:
        if isinstance(transform, FieldTransform):
            total += 1
        elif isinstance(transform, Composition):
            total += sum(map(cost, transform.stages))
        else:
            total += UNDO_COST * cost(transform.transforms)
    return total


def check_cost(total: int) -> None:
    """Raise ValueError where transforms take so long that nobody would wait: undoing within undoing multiplies."""
    require(total <= MOST_COST, f"an edit must take at most {MOST_COST} evaluations of fields for a pixel; got {total}")


def scaled(transforms: Sequence[Transform], factor: float) -> tuple[Transform, ...]:
    """Return transforms so many times as strong."""
    return tuple(replace(transform, strength=factor * transform.strength) for transform in transforms)


def compose(first: Sequence[Transform], second: Sequence[Transform]) -> Composition:
    """Return what does `first`, whose offsets add, and then `second`; compositions are joined by their stages."""
    stages: tuple[tuple[Transform, ...], ...] = ()
    for transforms in (tuple(first), tuple(second)):
        # A composition's own stages, so that (a @ b) @ c is a @ (b @ c) to the bit.
        alone = transforms[0] if len(transforms) == 1 else None
        stages += alone.stages if isinstance(alone, Composition) and alone.strength == 1 else (transforms,)
    return Composition(stages)


def inverse(transforms: Sequence[Transform]) -> tuple[Transform, ...]:
    """Return what gives the original back from what transforms have made, which add; of a composition, by stages.

    Irises have a field of their own that brings them back. It warns of closed eyelids, which nothing opens.
    """
    alone = transforms[0] if len(transforms) == 1 and transforms[0].strength == 1 else None
    if isinstance(alone, Inverse):
        return alone.transforms
    if isinstance(alone, Composition):
        return (Composition(tuple(inverse(stage) for stage in reversed(alone.stages))),)
    moved = dict[Hashable, FieldTransform]()
    rest = _without_gaze(transforms, 1.0, moved)
    if moved:
        back = (
            replace(leaf, field=leaf.field.reversed()) for leaf in moved.values() if isinstance(leaf.field, GazeField)
        )
        return (*back, *(inverse(rest) if rest else ()))
    if any(isinstance(leaf.field, LidField) for leaf in leaves(transforms)):
        warn("eyes that were closed stay closed: what their lids hid is not in the picture")
    return (Inverse(tuple(transforms)),)


def _without_gaze(
    transforms: Sequence[Transform], strength: float, moved: dict[Hashable, FieldTransform]
) -> tuple[Transform, ...]:
    """Return transforms without those of irises, and add these up in `moved`, by their eyes and masks."""
    rest = list[Transform]()
    for each in transforms:
        whole = strength * each.strength
        if isinstance(each, FieldTransform) and isinstance(each.field, GazeField):
            key = crop_key(each.crop), each.region, each.protect, id(each.hard_mask)
            before = moved.get(key)
            amounts = each.field.share(whole) * each.field.amounts.detach()
            amounts = amounts if before is None else amounts + before.field.amounts  # type: ignore[operator]
            moved[key] = replace(each, field=each.field.with_amounts(amounts), strength=1.0)
        elif isinstance(each, Composition):
            stages = (_without_gaze(stage, whole, moved) for stage in each.stages)
            if left := tuple(stage for stage in stages if stage):
                rest.append(replace(each, stages=left))
        else:
            rest.append(each)
    return tuple(rest)


def find_crops(transforms: Sequence[Transform]) -> list[Crop]:
    """List the crops that transforms lie over, each once, in the order in which they first come."""
    return list({crop_key(leaf.crop): leaf.crop for leaf in leaves(transforms)}.values())


def bounding_box(crops: Sequence[Crop], height: int, width: int) -> Box:
    """Return the box that holds crops in a photo of that size; empty if none lies in it."""
    tops, lefts, bottoms, rights = zip(*(crop.box(height, width) for crop in crops), strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def _check_strength(strength: float) -> None:
    require(math.isfinite(strength), f"strength must be finite; got {strength!r}")
    require(abs(strength) <= MOST_STRENGTH, f"strength must be at most {MOST_STRENGTH:g}; got {strength:g}")
