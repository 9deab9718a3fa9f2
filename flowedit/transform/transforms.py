"""Transforms -> offsets anywhere in a photo: fields over crops, added, done one after another, undone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.face.crop import crop_key
from flowedit.field.base import Field
from flowedit.field.offsets import pixel_centers
from flowedit.field.warp import integrate, window
from flowedit.kernels import Interpolation, sample

if TYPE_CHECKING:
    from flowedit.face.crop import Crop
    from flowedit.face.part_tint import PartTint
    from flowedit.face.retouch import Retouch


Box = tuple[int, int, int, int]  # top, left, bottom, right in photo pixels; bottom and right exclusive
LATTICE = 256  # nodes along one side of the crop on which a diffeomorphic field is integrated
UNDO_STEPS, UNDO_PX = 60, 1e-3  # most steps towards an inverse, and what is near enough, photo pixels
UNDO_COST = UNDO_STEPS + 1  # evaluations of what is undone, at most
MOST_COST = 10_000  # evaluations of fields for a pixel
MOST_STRENGTH = 1e6
LEAST_PACE = 0.25  # of a step, where whole ones lead nowhere: what is squeezed to a fifth


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

    Raises:
        ValueError: a mask has another shape or range, or the light is not in (0, 1].
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

    def __post_init__(self) -> None:
        _check_strength(self.strength)
        require(0 < self.light <= 1, f"light must be in (0, 1]; got {self.light!r}")
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
    """Return what gives the original back from what transforms have made, which add; of a composition, by stages."""
    alone = transforms[0] if len(transforms) == 1 and transforms[0].strength == 1 else None
    if isinstance(alone, Inverse):
        return alone.transforms
    if isinstance(alone, Composition):
        return (Composition(tuple(inverse(stage) for stage in reversed(alone.stages))),)
    return (Inverse(tuple(transforms)),)


def find_crops(transforms: Sequence[Transform]) -> list[Crop]:
    """List the crops that transforms lie over, each once, in the order in which they first come."""
    return list({crop_key(leaf.crop): leaf.crop for leaf in leaves(transforms)}.values())


def bounding_box(crops: Sequence[Crop], height: int, width: int) -> Box:
    """Return the box that holds crops in a photo of that size; empty if none lies in it."""
    tops, lefts, bottoms, rights = zip(*(crop.box(height, width) for crop in crops), strict=True)
    return min(tops), min(lefts), max(bottoms), max(rights)


def place_in_crop(crop: Crop, px: Tensor, py: Tensor) -> tuple[Tensor, Tensor]:
    """Return the crop coordinates, float32, of places in the photo, float64."""
    # Written out, not as a matrix product: every place's bits depend on that place alone.
    (a, b, x0), (c, d, y0) = crop.matrix.tolist()
    u, v = px - x0, py - y0
    scale = 1 / (a * d - b * c)
    return ((d * u - b * v) * scale).float(), ((a * v - c * u) * scale).float()


def bind_masks(leaf: FieldTransform) -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return what multiplies weights by a leaf's masks.

    Returns:
        A function of weights, crop coordinates x and y, and the photo pixels that they lie at, (N,) each: (N,). Beyond
        the crop the mask's border goes on.
    """
    mask = None if leaf.mask is None else leaf.mask[0].to("cpu", torch.float32)
    hard = None if leaf.hard_mask is None else torch.from_numpy(np.ascontiguousarray(leaf.hard_mask))[None]

    def masked(weight: Tensor, x: Tensor, y: Tensor, px: Tensor, py: Tensor) -> Tensor:
        if mask is not None:
            half = mask.shape[-1] / 2
            at_x, at_y = ((axis.clamp(-1, 1) + 1) * half - 0.5 for axis in (x, y))
            weight = weight * sample(mask, at_x, at_y, Interpolation.LINEAR)[0]
        if hard is not None:
            weight = weight * sample(hard, (px - 0.5).float(), (py - 0.5).float(), Interpolation.LINEAR)[0]
        return weight

    return masked


Evaluator = Callable[[Tensor, Tensor], Tensor]


def bind(transforms: Sequence[Transform], shape: float = 1.0, color: float = 1.0) -> list[tuple[Evaluator, list[Crop]]]:
    """Make transforms ready to be asked for their offsets, which add.

    Velocities over one crop are added, and integrated together, so that a sum with its contrary is nothing.

    Args:
        transforms: any.
        shape: scales their shifts, times their own strengths.
        color: scales their tints, likewise.

    Returns:
        Functions of places in the photo, x and y in pixels with edges at whole numbers, float64 of shapes that
        broadcast to some (...): they return (5, ...) float32, the shift in photo pixels (x, y) and the tint (r, g, b);
        exactly 0 where nothing may change. The bits of a place do not depend on the others. Beside each, the crops
        outside of which it is 0.
    """
    velocities: dict[tuple[float, ...], list[FieldTransform]] = {}
    evaluators: list[tuple[Evaluator, list[Crop]]] = []
    for transform in transforms:
        if not (transform.strength * shape or transform.strength * color):
            continue
        if isinstance(transform, FieldTransform) and transform.field.diffeomorphic:
            velocities.setdefault(crop_key(transform.crop), []).append(transform)
            continue
        crops = find_crops([transform])
        if isinstance(transform, FieldTransform):
            evaluators.append((_FieldEvaluator([transform], shape, color), crops))
        elif isinstance(transform, Composition):
            evaluators.append((_CompositionEvaluator(transform, shape, color), crops))
        else:
            evaluators.append((_InverseEvaluator(transform, shape, color), crops))
    return evaluators + [(_FieldEvaluator(flow, shape, color), [flow[0].crop]) for flow in velocities.values()]


def evaluate(evaluators: Sequence[tuple[Evaluator, list[Crop]]], px: Tensor, py: Tensor) -> Tensor:
    """Add what bound transforms return at places in the photo."""
    total = torch.zeros(5, *torch.broadcast_shapes(px.shape, py.shape))
    for evaluator, _ in evaluators:
        total += evaluator(px, py)
    return total


class _FieldEvaluator:
    """One field, or the sum of velocities over one crop."""

    def __init__(self, leaves: Sequence[FieldTransform], shape: float, color: float) -> None:
        self.parts = [_Part(leaf, shape * leaf.strength, color * leaf.strength) for leaf in leaves]
        self.crop = leaves[0].crop
        (self.a, self.b, self.x0), (self.c, self.d, self.y0) = self.crop.matrix.tolist()
        self.coord: Tensor | None = None  # (2, n, n) the integrated shift, where the fields are velocities
        if leaves[0].field.diffeomorphic:
            x, y = pixel_centers(LATTICE).reshape(-1, 2).T
            px, py = self.a * x + self.b * y + self.x0, self.c * x + self.d * y + self.y0
            velocity = torch.zeros(1, 2, LATTICE, LATTICE)
            for part in self.parts:
                if part.shape:
                    weight = part.weight(x, y, px, py).reshape(LATTICE, LATTICE)
                    velocity += part.field.on_grid(LATTICE).coord.float().cpu() * weight * part.shape
            self.coord = integrate(velocity)[0]

    def __call__(self, px: Tensor, py: Tensor) -> Tensor:
        x, y = place_in_crop(self.crop, px, py)
        inside = (x.abs() < 1) & (y.abs() < 1)
        shape = inside.shape
        places = inside.flatten().nonzero()[:, 0]
        if not len(places):
            return torch.zeros(5, *shape)
        everything = 2 * len(places) > inside.numel()  # cheaper than to pick them out
        axes = (x, y, px.expand(shape), py.expand(shape))
        x, y, px, py = (axis.flatten() if everything else axis.flatten()[places] for axis in axes)
        total = torch.zeros(5, len(x))
        weighed = torch.zeros(len(x), dtype=torch.bool)
        for part in self.parts:
            weight = part.weight(x, y, px, py)
            weighed |= weight != 0
            if self.coord is None or part.color:
                coord, color = part.evaluate(x, y)
                if self.coord is None:
                    total[:2] += self._to_photo(*(coord * (weight * part.shape)))
                total[2:] += color * (weight * part.color)
        if self.coord is not None:
            half = LATTICE / 2
            dx, dy = sample(self.coord, (x + 1) * half - 0.5, (y + 1) * half - 0.5, Interpolation.CATMULL_ROM)
            total[:2] = self._to_photo(dx, dy)
        total = total.where(weighed, total.new_zeros(()))  # a smooth movement ends short of what must not change
        if everything:
            total = total.where(inside.flatten(), total.new_zeros(()))
        else:
            total = total.new_zeros(5, inside.numel()).index_copy_(1, places, total)
        return total.reshape(5, *shape)

    def _to_photo(self, dx: Tensor, dy: Tensor) -> Tensor:
        return torch.stack([self.a * dx + self.b * dy, self.c * dx + self.d * dy])


class _Part:
    """One field with its weights over the crop."""

    def __init__(self, leaf: FieldTransform, shape: float, color: float) -> None:
        self.field, self.part_tint = leaf.field, leaf.part_tint
        self.masked = bind_masks(leaf)
        self.shape, self.color = shape, color
        self.device = next(leaf.field.parameters()).device

    def weight(self, x: Tensor, y: Tensor, px: Tensor, py: Tensor) -> Tensor:
        """Window and masks at crop coordinates, which lie at those photo pixels."""
        return self.masked(window(torch.stack([x, y], dim=-1)), x, y, px, py)

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return coord (2, n) and color (3, n) of the field at crop coordinates."""
        # Filled up to a multiple of 64: a product of a few rows may round differently from one of many.
        axes = torch.stack([x, y])  # each in one piece, as fields read them
        points = torch.cat([axes, axes.new_zeros(2, -len(x) % 64)], dim=1).to(self.device).T
        coord, color = self.field.at_points(points)
        if self.part_tint is not None:
            color = self.part_tint.add(color, points)
        return coord[: len(x)].T.float().cpu(), color[: len(x)].T.float().cpu()


class _CompositionEvaluator:
    def __init__(self, composition: Composition, shape: float, color: float) -> None:
        self.stages = [bind(stage) for stage in composition.stages]
        self.shape, self.color = shape * composition.strength, color * composition.strength

    def __call__(self, px: Tensor, py: Tensor) -> Tensor:
        # From the result back to the original: what is done last is asked first, where it is seen.
        x, y = torch.broadcast_tensors(px, py)
        tint = torch.zeros(3, *x.shape)
        at_x, at_y = x, y
        for stage in reversed(self.stages):
            offsets = evaluate(stage, at_x, at_y)
            at_x, at_y = at_x + offsets[0], at_y + offsets[1]
            tint += offsets[2:]
        shift = torch.stack([at_x - x, at_y - y]).float()
        return torch.cat([shift * self.shape, tint * self.color])


class _InverseEvaluator:
    def __init__(self, inverse: Inverse, shape: float, color: float) -> None:
        self.undone = bind(inverse.transforms)
        self.shape, self.color = shape * inverse.strength, color * inverse.strength

    def __call__(self, px: Tensor, py: Tensor) -> Tensor:
        # What was put at p + shift(p) = q goes back: back(q) = -shift(q + back(q)), found by iteration.
        # Each place goes at its own pace, halved where it comes no nearer, and stops by itself: its bits are its own.
        x, y = (axis.flatten() for axis in torch.broadcast_tensors(px, py))
        back = torch.zeros(2, len(x), dtype=torch.float64)
        rest, pace, last = torch.arange(len(x)), torch.ones(len(x)), torch.full((len(x),), math.inf)
        for _ in range(UNDO_STEPS):
            shift = evaluate(self.undone, x[rest] + back[0, rest], y[rest] + back[1, rest])[:2].double()
            step = -shift - back[:, rest]
            far = step.norm(dim=0)
            slow = far > 0.9 * last
            pace = torch.where(slow, (pace / 2).clamp_min(LEAST_PACE), pace)
            back[:, rest] += pace * step
            left = far > UNDO_PX
            rest, pace, last = rest[left], pace[left], far[left]
            if not len(rest):
                break
        tint = -evaluate(self.undone, x + back[0], y + back[1])[2:]
        return torch.cat([back.float() * self.shape, tint * self.color]).reshape(
            5, *torch.broadcast_shapes(px.shape, py.shape)
        )


def _check_strength(strength: float) -> None:
    require(math.isfinite(strength), f"strength must be finite; got {strength!r}")
    require(abs(strength) <= MOST_STRENGTH, f"strength must be at most {MOST_STRENGTH:g}; got {strength:g}")
