"""The objective's terms by name: each one function of the optimizer's state, in plain torch.

These functions are the meaning. In a step the built-in terms come out of one fused operation (`flowedit.kernels`),
which is tested against them; a user's own terms are called as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.regions import face_distance, region_mask, smoothstep
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.kernels.step import reference

NEAR_FACE = (0.05, 0.4)  # interocular distances from a face's outline: still on it, and off it
EDGE = 0.03  # color difference between neighbors, image units, that counts as an edge
WORKING = 0.3  # share of a field's largest change from which on a place counts whole as one where it works
BEGUN = 0.3  # share of another field's size from which on the likeness to it counts whole


@dataclass(frozen=True, eq=False)
class FitState:
    """What a term may be made of: one step of the optimizer on one face, before its parameters move.

    Attributes:
        step: its number, from 0.
        offsets: coord (1, 2, h, w) crop coordinates and color (1, 3, h, w) image units, as the face is changed.
        own_color: (1, 3, h, w) the color without what the face's parts take.
        part_amounts: (n, 3) of paint, of each of n parts.
        views: (k, 3, S, S) the edited face as the encoder is shown it.
        embeddings: (k, D) unit vectors, of the views.
        targets: (k, D) unit vectors, where they are to go; constant.
        pixels: (1, 3, P, P) the face before, softened to the size of a view's pixels; constant.
        prices: (2, h, w) of movement and of own color at each place; constant.
        evenness: (1, 1, h, w - 1) and (1, 1, h - 1, w) weights, 1 where the photo is even between neighbors; constant.
        landmarks: (68, 2) of the face before, crop coordinates, or None.
    """

    step: int
    offsets: Offsets
    own_color: Tensor
    part_amounts: Tensor
    views: Tensor
    embeddings: Tensor
    targets: Tensor
    pixels: Tensor
    prices: Tensor
    evenness: tuple[Tensor, Tensor]
    landmarks: Tensor | None


Term = Callable[[FitState], Tensor]


def bending(state: FitState) -> Tensor:
    """Bending energy of the movement (Bookstein 1989), crop units."""
    return reference.bending(state.offsets.coord)


def shift(state: FitState) -> Tensor:
    """Mean length of the movement times its price, rounded off near 0."""
    return reference.shift(state.offsets.coord, state.prices[:1])


def tint(state: FitState) -> Tensor:
    """Mean length of each pixel's own tint times its price, rounded off near 0."""
    return reference.tint(state.own_color, state.prices[1:])


def tint_smoothness(state: FitState) -> Tensor:
    """Gradient energy of each pixel's own tint where the photo itself is even, crop units."""
    return reference.tint_smoothness(state.own_color, *state.evenness)


def fold(state: FitState) -> Tensor:
    """Hinge on the Jacobian's determinant: what is squeezed below a fifth of its size."""
    return reference.fold(state.offsets.coord)


def part_colors(state: FitState) -> Tensor:
    """Summed length of the parts' amounts of paint, rounded off near 0."""
    return reference.part_colors(state.part_amounts)


def text(state: FitState) -> Tensor:
    """1 - cosine between embeddings and targets, mean over views."""
    return 1 - torch.dot(state.embeddings.flatten(), state.targets.flatten()) / len(state.targets)


TERMS: dict[str, Term] = {
    "bending": bending,
    "shift": shift,
    "tint": tint,
    "tint_smoothness": tint_smoothness,
    "fold": fold,
    "part_colors": part_colors,
    "text": text,
}
"""The built-in terms; `Config.weights` has a field for each but text, which counts 1."""


class Likeness:
    """A term: how much a field is like others where the first of them works, 0 across or against, 1 the same.

    The cosine of the movements and that of the tints, each as far as the other field consists of it: so a smile is made
    different by another movement, and not by a tan. What a field does elsewhere makes it no less like the others: that
    is what `stray` measures.

    After AnyFace's diverse triplet loss (Sun et al. 2022), where dividing by the distance from the mean result keeps a
    predictor from giving everyone the average; a cosine is as free of the fields' size, and needs no wrong prompts.

    Args:
        others: (m, 5 h w) fields as of `flatten`.
        max_shift: see `flatten`.
        max_tint: see `flatten`.
    """

    def __init__(self, others: Tensor, max_shift: float, max_tint: float) -> None:
        self._bounds = max_shift, max_tint
        planes = others.unflatten(1, (5, -1))
        lengths = planes[0].norm(dim=0)
        self._place = (lengths / (WORKING * lengths.max()).clamp_min(1e-12)).clamp(max=1)
        self._others = planes * self._place
        self._total = self._others.square().sum((1, 2)).clamp_min(1e-12)

    def __call__(self, state: FitState) -> Tensor:
        """Return the mean over the other fields."""
        field = self._planes(state) * self._place
        likeness = []
        for part, other in zip(field.split([2, 3]), self._others.split([2, 3], dim=1), strict=True):
            square = other.square().sum((1, 2))
            # A field that has hardly begun is like nothing yet: it shall first find where the prompt leads.
            length = (square * (part.square().sum() + (BEGUN * BEGUN) * square)).clamp_min(1e-18).sqrt()
            likeness.append(F.relu((other * part).sum((1, 2)) / length) * square / self._total)
        return torch.stack(likeness).sum(0).mean()

    def stray(self, state: FitState) -> Tensor:
        """Return the field's energy where the first of the others does not work, in shares of what that one has."""
        return (self._planes(state) * (1 - self._place)).square().sum() / self._total[0]

    def _planes(self, state: FitState) -> Tensor:
        return flatten(state.offsets, *self._bounds).unflatten(0, (5, -1))


def flatten(offsets: Offsets, max_shift: float, max_tint: float) -> Tensor:
    """Put a (1, ·, h, w) field into one vector, (5 h w), in shares of the largest movement and tint."""
    coord, color = offsets.coord / (2 * max_shift), offsets.color / max(max_tint, 1e-6)
    return torch.cat([coord.flatten(), color.flatten()])


def weigh(losses: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the objective: the weighted sum of its terms."""
    return sum(weights[name] * value for name, value in losses.items())


def evenness(image: Tensor) -> tuple[Tensor, Tensor]:
    """Compute between which neighbors a photo is even: 1 inside skin or lips, near 0 across their edges.

    What is even in the photo should be tinted evenly (Levin et al. 2004 color pictures from strokes so).

    Args:
        image: (1, 3, S, S).

    Returns:
        Weights (1, 1, S, S - 1) along x and (1, 1, S - 1, S) along y.
    """
    calm = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    dx, dy = calm[..., 1:] - calm[..., :-1], calm[..., 1:, :] - calm[..., :-1, :]
    along_x, along_y = (torch.exp(-(d.square().sum(1, keepdim=True) / EDGE**2)) for d in (dx, dy))
    return along_x, along_y


def tint_price(part_masks: Tensor, landmarks: Tensor | None, size: int, covered: float) -> Tensor:
    """Compute the price of a pixel's own tint: 1, and `covered` in a part of the face, which has a color for that.

    The same about eyes and mouth, where the rest, teeth and the whites of the eyes, should keep its color.

    Args:
        part_masks: (n, m, m) uint8.
        landmarks: (68, 2) of the face, crop coordinates; without them the parts alone are covered.
        size: S.
        covered: see `Weights.covered`.

    Returns:
        (1, S, S).
    """
    cover = F.interpolate(part_masks.amax(0)[None, None].float() / 255, (size, size), mode="bilinear")
    if landmarks is not None:
        for name in ("eyes", "mouth"):
            cover = torch.maximum(cover, region_mask(name, landmarks.cpu(), size).to(cover))
    return 1 + (covered - 1) * cover[0]


def movement_price(landmarks: Tensor, size: int, background: float) -> Tensor:
    """Compute the price of a pixel's movement: 1 on the face, rising smoothly to `background` off it.

    Args:
        landmarks: (68, 2) crop coordinates.
        size: S.
        background: see `Weights.background`; straight lines show off the face.

    Returns:
        (1, S, S).
    """
    away = face_distance(pixel_centers(size, dtype=torch.float64), landmarks.cpu())
    return (background + (1 - background) * smoothstep(away, *NEAR_FACE)).float()[None]
