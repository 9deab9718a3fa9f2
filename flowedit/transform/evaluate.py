"""Transforms -> what they do at any place of a photo: where it is read from, and what is added."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from flowedit.face.crop import Crop, crop_key
from flowedit.field.base import Field
from flowedit.field.eyes import EyeField
from flowedit.field.lids import LidField
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.warp import integrate, window
from flowedit.kernels import Interpolation, sample
from flowedit.transform.eyes import gather_eyes, moves_eyes
from flowedit.transform.transforms import UNDO_STEPS, Box, Composition, FieldTransform, Inverse, Transform, find_crops

LATTICE = 256  # nodes along one side of the crop on which a diffeomorphic field is integrated
UNDO_PX = 1e-3  # how near to an inverse is near enough, photo pixels
CUT_PX = 2.0  # pixels of the photo between what two sides of a pixel show, beyond which more than one is read
ASIDE_PX = 0.5  # pixels of the photo that a lid is read to one side, from which on more than one reading is drawn
LEAST_PACE = 0.25  # of a step, where whole ones lead nowhere: what is squeezed to a fifth


def pixel_places(box: Box) -> tuple[Tensor, Tensor]:
    """Return where the centers of a box's pixels lie in the photo: x (w,) and y (h, 1), float64."""
    top, left, bottom, right = box
    return torch.arange(left, right).double() + 0.5, torch.arange(top, bottom).double()[:, None] + 0.5


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


class Reading(NamedTuple):
    """What a transform does at places of a photo.

    Attributes:
        shift: (2, ...) float32, photo pixels, x before y.
        tint: of the shift (2, ...) that the places have in all, with what is added to this one: (3, ...) float32. The
            colors of a face's parts are painted on the photo, and so lie where a place is read from.
        cut: tells (...) bool where one reading is not enough: the edge of a lid or an iris goes through the pixel about
            a place, or a lid is drawn out there; None where that is nowhere.
    """

    shift: Tensor
    tint: Callable[[Tensor], Tensor]
    cut: Callable[[], Tensor] | None = None


Evaluator = Callable[[Tensor, Tensor], Reading]


def bind(transforms: Sequence[Transform], shape: float = 1.0, color: float = 1.0) -> list[tuple[Evaluator, list[Crop]]]:
    """Make transforms ready to be asked for their offsets, which add.

    Velocities over one crop are added, and integrated together, so that a sum with its contrary is nothing.

    Args:
        transforms: any.
        shape: scales their shifts, times their own strengths.
        color: scales their tints, likewise.

    Returns:
        Functions of places in the photo, x and y in pixels with edges at whole numbers, float64 of shapes that
        broadcast to some (...): they return a `Reading`, exactly 0 where nothing may change. The bits of a place do not
        depend on the others. Beside each, the crops outside of which it is 0.
    """
    if moves_eyes(transforms):
        eyes, rest = gather_eyes(transforms, shape)
        bound = bind(rest, shape, color)
        return [(EyesFirst(eyes, bound), find_crops([*eyes, *rest]))] if eyes else bound
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
    """Add what bound transforms do at places in the photo: (5, ...), the shift (x, y) and the tint (r, g, b)."""
    reading = read_all([evaluator for evaluator, _ in evaluators], px, py)
    return torch.cat([reading.shift, reading.tint(reading.shift)])


def find_shift(evaluators: Sequence[tuple[Evaluator, list[Crop]]], px: Tensor, py: Tensor) -> Tensor:
    """Add the shifts of bound transforms at places in the photo: (2, ...)."""
    total = torch.zeros(2, *torch.broadcast_shapes(px.shape, py.shape))
    for evaluator, _ in evaluators:
        total += evaluator(px, py).shift
    return total


def read_all(evaluators: Sequence[Evaluator], px: Tensor, py: Tensor) -> Reading:
    """Add readings at places in the photo; where eyes are cut is left out."""
    shape = torch.broadcast_shapes(px.shape, py.shape)
    readings = [evaluator(px, py) for evaluator in evaluators]
    shift = sum((reading.shift for reading in readings), torch.zeros(2, *shape))
    return Reading(shift, lambda moved: sum((reading.tint(moved) for reading in readings), torch.zeros(3, *shape)))


def read_crop(bound: Sequence[tuple[Evaluator, list[Crop]]], crop: Crop, size: int) -> Offsets:
    """Evaluate what transforms do over a crop, in its coordinates: (1, ·, size, size) at pixel centers."""
    px, py = crop.to_photo(pixel_centers(size, dtype=torch.float64)).unbind(-1)
    total = evaluate(bound, px, py)
    linear = crop.matrix[:, :2].float()  # a similarity: its inverse is its transpose over the squared scale
    coord = torch.einsum("ji,jhw->ihw", linear, total[:2]) / (crop.side_px / 2) ** 2
    return Offsets(coord[None], total[None, 2:])


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

    def __call__(self, px: Tensor, py: Tensor) -> Reading:
        x, y = place_in_crop(self.crop, px, py)
        inside = (x.abs() < 1) & (y.abs() < 1)
        if isinstance(field := self.parts[0].field, EyeField):  # a small part of the crop
            inside &= field.near(x, y)
        shape = inside.shape
        places = inside.flatten().nonzero()[:, 0]
        if not len(places):
            return Reading(torch.zeros(2, *shape), lambda moved: torch.zeros(3, *shape))
        everything = 2 * len(places) > inside.numel()  # cheaper than to pick them out

        def pick(axes: Iterable[Tensor]) -> list[Tensor]:
            flat = [axis.expand(shape).flatten() for axis in axes]
            return flat if everything else [axis[places] for axis in flat]

        def spread(values: Tensor) -> Tensor:
            if everything:
                values = values.where(inside.flatten(), values.new_zeros(()))
            else:
                values = values.new_zeros(len(values), inside.numel()).index_copy_(1, places, values)
            return values.reshape(-1, *shape)

        x, y, px, py = pick((x, y, px, py))
        shift = torch.zeros(2, len(x))
        weighed = torch.zeros(len(x), dtype=torch.bool)
        tints: list[tuple[_Part, Tensor, Tensor]] = []
        for part in self.parts:
            weight = part.weight(x, y, px, py)
            weighed |= weight != 0
            if self.coord is None or part.color:
                coord, color = part.evaluate(x, y)
                if self.coord is None:
                    shift += self._to_photo(*(coord * (weight * part.shape)))
                tints.append((part, color, weight * part.color))
        if self.coord is not None:
            half = LATTICE / 2
            dx, dy = sample(self.coord, (x + 1) * half - 0.5, (y + 1) * half - 0.5, Interpolation.CATMULL_ROM)
            shift = self._to_photo(dx, dy)
        shift = shift.where(weighed, shift.new_zeros(()))  # a smooth movement ends short of what must not change

        def tint(moved: Tensor) -> Tensor:
            total, source = torch.zeros(3, len(x)), (x, y)
            if any(part.follows for part, _, _ in tints):
                read_x, read_y = pick(moved)
                source = place_in_crop(self.crop, px + read_x, py + read_y)
            for part, color, weight in tints:
                total += part.paint(color, *(source if part.follows else (x, y))) * weight
            return spread(total)

        return Reading(spread(shift), tint)

    def _to_photo(self, dx: Tensor, dy: Tensor) -> Tensor:
        return torch.stack([self.a * dx + self.b * dy, self.c * dx + self.d * dy])


class _Part:
    """One field with its weights over the crop."""

    def __init__(self, leaf: FieldTransform, shape: float, color: float) -> None:
        self.field, self.part_tint = leaf.field, leaf.part_tint
        tint = leaf.part_tint
        self.follows = tint is not None and tint.follows and bool(tint.amounts.any())
        self.masked = bind_masks(leaf)
        self.shape, self.color = shape, color
        self.device = next(leaf.field.parameters()).device

    def weight(self, x: Tensor, y: Tensor, px: Tensor, py: Tensor) -> Tensor:
        """Window and masks at crop coordinates, which lie at those photo pixels."""
        return self.masked(window(torch.stack([x, y], dim=-1)), x, y, px, py)

    def evaluate(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return coord (2, n) and color (3, n) of the field at crop coordinates, without what the parts add."""
        # Filled up to a multiple of 64: a product of a few rows may round differently from one of many.
        axes = torch.stack([x, y])  # each in one piece, as fields read them
        points = torch.cat([axes, axes.new_zeros(2, -len(x) % 64)], dim=1).to(self.device).T
        coord, color = self.field.at_points(points)
        return coord[: len(x)].T.float().cpu(), color[: len(x)].T.float().cpu()

    def paint(self, color: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Return a tint (3, n) with the colors that the parts have at crop coordinates."""
        if self.part_tint is None:
            return color
        points = torch.stack([x, y], dim=1).to(self.device)
        return self.part_tint.add(color.T.to(self.device), points).T.float().cpu()


class _CompositionEvaluator:
    def __init__(self, composition: Composition, shape: float, color: float) -> None:
        self.stages = [bind(stage) for stage in composition.stages]
        self.shape, self.color = shape * composition.strength, color * composition.strength

    def __call__(self, px: Tensor, py: Tensor) -> Reading:
        # From the result back to the original: what is done last is asked first, where it is seen.
        x, y = torch.broadcast_tensors(px, py)
        tint = torch.zeros(3, *x.shape)
        at_x, at_y = x, y
        for stage in reversed(self.stages):
            offsets = evaluate(stage, at_x, at_y)
            at_x, at_y = at_x + offsets[0], at_y + offsets[1]
            tint += offsets[2:]
        shift = torch.stack([at_x - x, at_y - y]).float()
        return Reading(shift * self.shape, lambda moved: tint * self.color)


class EyesFirst:
    """Transforms that are done after irises and then eyelids have moved; their colors lie on the photo as ever.

    What the eyes tint is on them where they have moved to.
    """

    def __init__(self, eyes: Sequence[FieldTransform], rest: Sequence[tuple[Evaluator, list[Crop]]]) -> None:
        self.leaves, self.rest = eyes, rest
        lids = [leaf for leaf in eyes if isinstance(leaf.field, LidField)]
        irises = [leaf for leaf in eyes if not isinstance(leaf.field, LidField)]
        self.stages = [[_FieldEvaluator([leaf], 1.0, 1.0) for leaf in stage] for stage in (lids, irises)]

    @property
    def draws_lids(self) -> bool:
        """Whether skin is drawn over an eye."""
        return any(
            isinstance(leaf.field, LidField) and bool((leaf.field.amounts[:2] > 0).any()) for leaf in self.leaves
        )

    def aside(self, share: float) -> EyesFirst:
        """Return the same, with closed lids read along their edge; see `LidField.read_aside`."""

        def read(field: Field) -> Field:
            return field.read_aside(share) if isinstance(field, LidField) else field

        return EyesFirst([replace(leaf, field=read(leaf.field)) for leaf in self.leaves], self.rest)

    def read(self, x: Tensor, y: Tensor) -> Reading:
        """Return what the eyes alone do at places in the photo."""
        shape = torch.broadcast_shapes(x.shape, y.shape)
        shift, tint = torch.zeros(2, *shape), torch.zeros(3, *shape)
        for stage in self.stages:  # what is done last is asked first
            done = read_all(stage, x + shift[0], y + shift[1])
            shift, tint = shift + done.shift, tint + done.tint(done.shift)
        return Reading(shift, lambda moved: tint)

    def __call__(self, px: Tensor, py: Tensor) -> Reading:
        rest = read_all([evaluator for evaluator, _ in self.rest], px, py)
        x, y = px + rest.shift[0], py + rest.shift[1]
        eyes = self.read(x, y)

        def cut() -> Tensor:
            ends = [self.read(x + dx, y + dy).shift for dx, dy in ((-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5))]
            steps = torch.maximum((ends[1] - ends[0]).abs(), (ends[3] - ends[2]).abs()).amax(0)
            aside = torch.stack([self.aside(each).read(x, y).shift - eyes.shift for each in (-1.0, 1.0)])
            aside = aside.norm(dim=1).amax(0)
            return (steps > CUT_PX) | (aside > ASIDE_PX)

        return Reading(rest.shift + eyes.shift, lambda moved: rest.tint(moved) + eyes.tint(moved), cut)


class _InverseEvaluator:
    def __init__(self, inverse: Inverse, shape: float, color: float) -> None:
        self.undone = bind(inverse.transforms)
        self.shape, self.color = shape * inverse.strength, color * inverse.strength

    def __call__(self, px: Tensor, py: Tensor) -> Reading:
        # What was put at p + shift(p) = q goes back: back(q) = -shift(q + back(q)), found by iteration.
        # Each place goes at its own pace, halved where it comes no nearer, and stops by itself: its bits are its own.
        whole = torch.broadcast_shapes(px.shape, py.shape)
        x, y = (axis.flatten() for axis in torch.broadcast_tensors(px, py))
        back = torch.zeros(2, len(x), dtype=torch.float64)
        rest, pace, last = torch.arange(len(x)), torch.ones(len(x)), torch.full((len(x),), math.inf)
        for _ in range(UNDO_STEPS):
            shift = find_shift(self.undone, x[rest] + back[0, rest], y[rest] + back[1, rest]).double()
            step = -shift - back[:, rest]
            far = step.norm(dim=0)
            slow = far > 0.9 * last
            pace = torch.where(slow, (pace / 2).clamp_min(LEAST_PACE), pace)
            back[:, rest] += pace * step
            left = far > UNDO_PX
            rest, pace, last = rest[left], pace[left], far[left]
            if not len(rest):
                break

        def tint(moved: Tensor) -> Tensor:
            done = evaluate(self.undone, x + back[0], y + back[1])[2:]
            return (-done * self.color).reshape(3, *whole)

        return Reading((back.float() * self.shape).reshape(2, *whole), tint)
