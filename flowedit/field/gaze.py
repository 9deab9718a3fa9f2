"""A field that moves the irises alone, between lids that stay: where eyes look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor

from flowedit.field.eyes import Edge, EyeField, eye_axes, half_width, lid_edges

CORE = 0.9  # radii of an iris, up to where all is of its color
RIM, WHITE = 1.12, 1.22  # radii of an iris: up to where its soft edge goes with it, and from where on there is white
TURNS = 5  # of the iteration for where a row of the white ends at an iris
ASIDE = 0.97  # half widths from an eye's middle, that a row of the white ends at most
HELD = 0.12, 0.08  # of the height below the upper and above the lower lid, over which the movement begins: lashes stay
WITHIN = 0.06, 0.98  # of the height, between which an iris is read: not from a lid where it was hidden
BENT = 1.0, 2.0  # powers of the way from a corner, by which the white is stretched: the nearer it, the less
LEAST_SLOPE = 0.1  # of what is squeezed
LEAST_WHITE = 0.2  # half widths beside an iris, from which on there is enough to be stretched
NEAREST = 0.6  # share of the other side's white that is taken for it, the nearest to the iris
LEAST_HEIGHT = 1e-4  # half widths
FURTHEST = 0.55  # half widths to the side of an eye's middle, that an iris goes to at most


@final
class GazeField(EyeField):
    """The motion of both irises, and of the whites beside them.

    An iris goes as a whole, and disappears under a lid; what a lid or a corner hid of it is its other half's mirror
    image. The whites beside it are stretched, or squeezed, along rows that follow both lids, each from the corner of
    the eye, which stays, to the iris's rim. What an iris leaves is so filled by the white on either side, also below
    it, where no white was seen; in a corner that it comes out of it is the other side's.

    Attributes:
        amounts: (3,) how far the irises go to the right of the picture, up, and each to the nose, half eye widths in
            [-1, 1].
        eyes: (2, 6, 2) landmarks of the eyes, crop coordinates, in dlib's order.
        irises: (2, 2) where their middles are before, along and down each eye from its middle, half eye widths.
        radius: of both, crop coordinates.
    """

    KIND = "gaze"
    irises: Tensor
    radius: Tensor

    def __init__(self, max_shift: float = 1.0, max_tint: float = 0.0, diffeomorphic: bool = False) -> None:
        super().__init__(max_shift, max_tint, diffeomorphic)
        self.register_buffer("irises", torch.zeros(2, 2))
        self.register_buffer("radius", torch.zeros(()))

    @torch.no_grad()
    def reversed(self) -> GazeField:
        """Return what brings the irises back in a picture where this field has moved them."""
        ways = self.ways()  # of which an eye's end may have taken some
        left, right = ways[:, 0]
        back = self.with_amounts(-torch.stack([(left + right) / 2, -ways[0, 1], (left - right) / 2]))
        back.irises += ways
        return back

    @torch.no_grad()
    def ways(self) -> Tensor:
        """Return how far each iris goes along and down its eye, (2, 2) half eye widths."""
        right, up, inward = self.amounts.clamp(self.LEAST, self.MOST)
        before = self.irises[:, 0]
        ends = before + torch.stack([right + inward, right - inward])
        ends = ends.clamp(before.clamp(max=-FURTHEST), before.clamp(min=FURTHEST))
        return torch.stack([ends - before, -up.expand(2)], 1)

    def _at_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        coord = torch.zeros_like(points)
        if self.amounts.any():
            for outline, iris, way in zip(self.eyes, self.irises, self.ways(), strict=True):
                coord = coord + _shift(points, outline.to(points), iris.to(points), way.to(points), self.radius)
        return coord, points.new_zeros(len(points), 3)

    def near(self, x: Tensor, y: Tensor) -> Tensor:
        """See `EyeField`."""
        near = torch.zeros_like(x, dtype=torch.bool)
        for outline in self.eyes.to(x):
            middle, half = (outline[0] + outline[3]) / 2, half_width(outline)
            near |= ((x - middle[0]).abs() < half) & ((y - middle[1]).abs() < half)
        return near

    @classmethod
    def count_values(cls, settings: Mapping[str, Any]) -> int:
        """See `Field`."""
        return 3 + 2 * 6 * 2 + 2 * 2 + 1


def _shift(points: Tensor, outline: Tensor, iris: Tensor, way: Tensor, radius: Tensor) -> Tensor:
    """Return where what one eye shows at points (N, 2) is read from, less the points: (N, 2)."""
    along, down = eye_axes(outline)
    middle, half = (outline[0] + outline[3]) / 2, half_width(outline)
    u, v = (points - middle) @ along / half, (points - middle) @ down / half
    upper_edge, lower_edge = lid_edges(outline)

    def height(u: Tensor) -> Tensor:
        return ((lower_edge(u) - upper_edge(u)) / half).clamp(min=LEAST_HEIGHT)

    def share_at(u: Tensor, v: Tensor) -> Tensor:
        return (v - upper_edge(u) / half) / height(u)

    def is_seen(u: Tensor, v: Tensor) -> Tensor:
        share = share_at(u, v)
        return (u.abs() < ASIDE) & (share > WITHIN[0]) & (share < WITHIN[1])

    share = share_at(u, v)  # of the way from lid to lid: a row has one
    seen = (u.abs() < 1) & (share > 0) & (share < 1)
    share = share.clamp(0, 1)

    def row(u: Tensor) -> Tensor:
        return upper_edge(u) / half + share * height(u)

    rim, from_rim = (radii * radius.to(points) / half for radii in (RIM, WHITE))
    moved = iris + way
    left, right = _row_ends(row, moved, rim, u)
    left_before, right_before = _row_ends(row, iris, from_rim, u)
    on_left = u < (left + right) / 2
    white = torch.where(on_left, left + 1, 1 - right)
    white_before = torch.where(on_left, left_before + 1, 1 - right_before)
    from_corner = torch.where(on_left, u + 1, 1 - u).clamp(min=0)
    squeezed = (white - white_before).clamp(min=1e-6)
    power = torch.where(white_before < white, ((1 - LEAST_SLOPE) * white / squeezed).clamp(*BENT), BENT[1])
    came = from_corner + (white_before - white) * (from_corner / white).clamp(0, 1) ** power
    from_left = on_left
    for left_side in (True, False):  # where an iris was in a corner, its white is that of the other side
        room = 1 + (iris[0] if left_side else -iris[0]) - from_rim
        bare = (on_left == left_side) & (room < LEAST_WHITE)
        other = 1 - right_before if left_side else left_before + 1
        near = other * (1 - NEAREST + NEAREST * (from_corner / white).clamp(0, 1))
        came, from_left = torch.where(bare, near, came), from_left ^ bare
    from_u = torch.where(from_left, came - 1, 1 - came)
    from_v = row(from_u)

    with_iris = torch.hypot(u - moved[0], v - moved[1]) < rim
    iris_u, iris_v = u - way[0], v - way[1]
    short = (CORE * radius.to(points) / half / torch.hypot(iris_u - iris[0], iris_v - iris[1])).clamp(max=1)
    across, level = iris[0] - short * (iris_u - iris[0]), iris[1] + short * (iris_v - iris[1])
    aside = ~is_seen(iris_u, iris_v) & is_seen(across, level)  # hidden at a corner of the eye
    iris_u, iris_v = torch.where(aside, across, iris_u), torch.where(aside, level, iris_v)
    iris_v = torch.where(share_at(iris_u, iris_v) < WITHIN[0], 2 * iris[1] - iris_v, iris_v)  # by the upper lid
    iris_share = share_at(iris_u, iris_v).clamp(*WITHIN)
    iris_v = torch.where(iris_u.abs() < 1, upper_edge(iris_u) / half + iris_share * height(iris_u), iris_v)
    from_u, from_v = torch.where(with_iris, iris_u, from_u), torch.where(with_iris, iris_v, from_v)
    free = seen * _ease(share / HELD[0]) * _ease((1 - share) / HELD[1])
    return half * (((from_u - u) * free)[:, None] * along + ((from_v - v) * free)[:, None] * down)


def _row_ends(row: Edge, iris: Tensor, rim: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return where rows meet an iris's rim from the left and from the right, (N,); its middle where they do not."""
    ends = []
    for side in (-1.0, 1.0):
        end = iris[0].expand_as(like)
        for _ in range(TURNS):  # a row is bent as the lids are
            end = iris[0] + side * (rim.square() - (row(end) - iris[1]).square()).clamp(min=0).sqrt()
            end = end.clamp(-ASIDE, ASIDE)
        ends.append(end)
    return ends[0], ends[1]


def _ease(t: Tensor) -> Tensor:
    t = t.clamp(0, 1)
    return t * t * (3 - 2 * t)
