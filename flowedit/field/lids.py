"""A field that moves the eyelids alone, finer than any lattice: eyes are closed by the skin above them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.field.eyes import EyeField, eye_axes, half_width, lid_edges

WHOLE_FROM = 0.5  # strength from which lids are as far as they are to be: an eye that is nearly closed is neither
BELOW = 0.12  # heights of the open eye that its lower edge is taken to lie below the landmarks, which lie on its white
MEET = 0.3  # heights of the open eye above that edge, to where the lower lid rises to meet the upper one
NARROWED = 0.5  # of the height, by which the lower lid rises at most
REACH = 3.0  # halves of an eye's length above and below it, beside the way to the brow, beyond which nothing moves
CHEEK = 1.5  # heights below the lower lid over which the skin is stretched for it
LID = 0.5  # of the way from the upper lid to the brow over which the skin is stretched: to the brow's lower edge
LEAST_LID = 0.3  # of the height, of which there is skin at least where a brow hangs low
LASHES = 0.9, 0.75  # how high lashes stand above a lid: in heights of the eye, at most so much of the skin
ASIDE = 0.3  # halves of an eye's width, by which what is drawn of a closed lid is read to either side and averaged
# The skin under an eye, which a closed lid is patched with: how far below the lids it begins, in heights of the eye, so
# that lashes are left out; the height of a lid from which on it is drawn wholly; and the share of the way to the brow
# from which on it passes over into the skin above.
BENEATH, COVERED, PATCHED = 0.45, 0.8, 0.4
PATCH = 8, 12  # rows from a closed lid's edge to the brow, and columns along it, of the lattice of a patch's tint
OFF_LASHES = 0.6, 1.4  # heights of a closed lid's lashes, between which it sets in
SHORTENED = 0.5  # share of their height that they lose when the lid is closed, since they point down then


@final
class LidField(EyeField):
    """The motion of both pairs of eyelids: a shift along each eye's height, and the light that a closed lid comes into.

    The upper lid goes down over the eye, which stays as it is where it still shows, and the lower one rises to meet
    it. The band that its lashes lie on is narrowed, since lashes of a closed eye do not stand up, and the skin from
    there to the brow's lower edge is stretched evenly. That alone is a smooth shell in the shade of the brow: a
    picture passes over from it, towards the lashes, into a patch of the skin under the eye, as fine as a lid's and
    tinted to what lies about it (`read_aside`). A lid's edge is a cubic through its landmarks. A raster field can
    lower the brow but not the lid. Lids that former versions saved do not meet: the upper one goes all the way, and
    its edge is as round as the lower one's.

    Attributes:
        amounts: (3,) how far the left and the right eye (as seen) are closed, and both narrowed from below, in [0, 1].
        eyes: (2, 6, 2) landmarks of the open eyes, crop coordinates, in dlib's order.
        brows: (2,) how far the brows lie above the middle of the eyes' upper lids, crop coordinates.
        tint: (2, 3) what is added to the skin that is drawn over the left and the right eye, image units; or None.
        patch: (2, 3, *PATCH) what is added to the patch, image units, upwards from a lid's edge and along it; or None,
            where there is none.
        meeting: whether the lower lid rises as the upper one comes down.
    """

    KIND = "lids"
    LEAST = 0.0
    brows: Tensor
    tint: Tensor | None
    patch: Tensor | None
    aside, turn = 0.0, 1.0  # see `read_aside`

    def __init__(
        self,
        max_shift: float = 1.0,
        max_tint: float = 0.0,
        diffeomorphic: bool = False,
        tinted: bool = False,
        patched: bool = False,
        meeting: bool = False,
    ) -> None:
        super().__init__(max_shift, max_tint, diffeomorphic)
        self.meeting = meeting
        self.register_buffer("brows", torch.zeros(2))
        self.register_buffer("tint", torch.zeros(2, 3) if tinted else None)
        self.register_buffer("patch", torch.zeros(2, 3, *PATCH) if patched else None)

    @torch.no_grad()
    def with_colors(self, tint: Tensor, patch: Tensor | None = None) -> LidField:
        """Return the same motion with a tint (2, 3), and a patch (2, 3, *PATCH)."""
        other = LidField(self.max_shift, 1.0, tinted=True, patched=patch is not None, meeting=self.meeting)
        other.load_state_dict({**self.state_dict(), "tint": tint, **({} if patch is None else {"patch": patch})})
        return other

    def settings(self) -> dict[str, Any]:
        """See `EyeField`."""
        has = {"tinted": self.tint is not None, "patched": self.patch is not None, "meeting": self.meeting}
        return {**super().settings(), **{name: True for name, there in has.items() if there}}

    @staticmethod
    def share(strength: float) -> float:
        """See `EyeField`: a lid is closed from half the strength on, and by a negative one not at all."""
        return max(-1.0, min(1.0, strength / WHOLE_FROM))

    def read_aside(self, share: float) -> LidField:
        """Return this field, as one of several readings whose mean is a closed lid.

        Drawn out, a lash is a stripe: the mean of readings along the lid has none. And the smaller the share, the more
        of a lid is read from the patch, so that their mean passes over from the one into the other.

        Args:
            share: of ASIDE, by which the skin that is drawn out is read to the right, in [-1, 1].
        """
        other = self.with_amounts(self.amounts)
        other.aside, other.turn = ASIDE * share, (share + 1) / 2
        return other

    def _at_points(self, points: Tensor) -> tuple[Tensor, Tensor]:
        coord, color = torch.zeros_like(points), points.new_zeros(len(points), 3)
        amounts = self.amounts.clamp(0, 1).to(points)
        for k in (0, 1):
            outline, brow = self.eyes[k].to(points), self.brows[k].to(points)
            turn = self.turn if self.patch is not None else 1.0
            meet = MEET if self.meeting else 0.0
            lid = _move_lids(points, outline, brow, amounts[k], amounts[2], self.aside, turn, meet)
            coord = coord + lid.shift
            if self.tint is not None:
                color = color + (amounts[k] * lid.lit)[:, None] * self.tint[k].to(points)
            if self.patch is not None:
                tints = F.grid_sample(self.patch[k][None].to(points), lid.place[None, None], align_corners=True)
                color = color + torch.where(lid.patched[:, None], tints[0, :, 0].T, 0)
        near = self.near(*points.T)[:, None]
        return coord * near, color * near

    def near(self, x: Tensor, y: Tensor) -> Tensor:
        """See `EyeField`."""
        near = torch.zeros_like(x, dtype=torch.bool)
        for outline, brow in zip(self.eyes.to(x), self.brows.to(x), strict=True):
            (along, down), half = eye_axes(outline), half_width(outline)
            dx, dy = (axis - middle for axis, middle in zip((x, y), (outline[0] + outline[3]) / 2, strict=True))
            across, height = ((axis[0] * dx + axis[1] * dy) / half for axis in (along, down))
            near |= (across.abs() < 1) & (height.abs() < REACH + brow / half)
        return near

    @classmethod
    def count_values(cls, settings: Mapping[str, Any]) -> int:
        """See `Field`."""
        patch = 2 * 3 * PATCH[0] * PATCH[1] if settings.get("patched") is True else 0
        return 3 + 2 * 6 * 2 + 2 + (2 * 3 if settings.get("tinted") is True else 0) + patch


def patch_places(outline: Tensor, brow: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the places of an eye's patch lie once it is closed, and where they are read: (*PATCH, 2) each.

    Args:
        outline: (6, 2) landmarks of the open eye, crop coordinates, in dlib's order.
        brow: () how far above the upper lid the brow lies.
    """
    along, down = eye_axes(outline)
    middle, width = (outline[0] + outline[3]) / 2, half_width(outline)
    u = torch.linspace(-1, 1, PATCH[1]).to(outline)
    upper_edge, lower_edge = lid_edges(outline)
    at_middle, skin = _skin_above(outline, brow)
    tall = (1 + BELOW - MEET) * at_middle + skin
    edge = upper_edge(u) + (1 + BELOW - MEET) * (lower_edge(u) - upper_edge(u)).clamp(min=0)
    v = edge - tall * torch.linspace(0, 1, PATCH[0]).to(outline)[:, None]
    place = middle + width * u[:, None] * along + v[..., None] * down
    return place, place + (BENEATH * at_middle + tall) * down


def _skin_above(outline: Tensor, brow: Tensor) -> tuple[Tensor, Tensor]:
    """Return the height of an open eye (6, 2) at its middle, and of the skin above it that is stretched."""
    upper_edge, lower_edge = lid_edges(outline)
    middle = outline.new_zeros(())
    height = (lower_edge(middle) - upper_edge(middle)).clamp(min=1e-6)
    return height, torch.maximum(LID * brow, LEAST_LID * height)


class _Lid(NamedTuple):
    """What one eye's lids do at N points.

    Attributes:
        shift: (N, 2) where they are read from, less the points.
        lit: (N,) how much they are lit: between lashes and brow, the less the nearer to it and to the corners.
        patched: (N,) whether they are read from the patch.
        place: (N, 2) where on it, along the lid and up from its edge, in [-1, 1].
    """

    shift: Tensor
    lit: Tensor
    patched: Tensor
    place: Tensor


def _move_lids(
    points: Tensor,
    outline: Tensor,
    brow: Tensor,
    closed: Tensor,
    narrowed: Tensor,
    aside: float,
    turn: float,
    meet: float,
) -> _Lid:
    along, down = eye_axes(outline)
    middle, width = (outline[0] + outline[3]) / 2, half_width(outline)
    u, v = (points - middle) @ along / width, (points - middle) @ down
    upper_edge, lower_edge = lid_edges(outline)
    upper, height = upper_edge(u), (lower_edge(u) - upper_edge(u)).clamp(min=0)
    lower = upper + (1 + BELOW) * height
    fall = closed * (lower - meet * height - upper)
    rise = (NARROWED * narrowed * (1 - closed) + meet * closed) * height
    at_middle, skin = _skin_above(outline, brow)
    lashes = torch.minimum(LASHES[0] * at_middle, LASHES[1] * skin)
    shortened = lashes * (1 - SHORTENED * (fall / at_middle).clamp(max=1))
    above = (upper + fall - v).clamp(min=0)  # the moved edge; `source` is how far above the edge it is read
    share = ((above - shortened) / (fall + skin - shortened)).clamp(max=1)
    source = torch.where(above < shortened, above * lashes / shortened, lashes + share * (skin - lashes))
    drawn = (fall > 0) & (above < fall + skin)
    right = aside * (1 - share) * (1 - u.square()).clamp(min=0)  # less towards the brow and the corners
    off_lashes = (above / shortened.clamp(min=1e-6) - OFF_LASHES[0]) / (OFF_LASHES[1] - OFF_LASHES[0])
    inner = 1 - _ease(((share - PATCHED) / (1 - PATCHED)).clamp(0, 1))
    patched = turn < inner * _ease(off_lashes.clamp(0, 1)) * _ease((fall / (COVERED * at_middle)).clamp(max=1))
    patched = patched & drawn & (v < upper + fall)
    tall = (1 + BELOW - meet) * at_middle + skin  # a patch as it is under a closed eye, moved up onto it
    under = lower + BENEATH * at_middle + tall - above
    by_upper = torch.where(drawn, torch.where(patched, under, upper_edge(u + right) - source) - v, 0)
    below = 1 - ((v - (lower - rise)) / (rise + CHEEK * height).clamp(min=1e-6)).clamp(0, 1)
    by_lower = torch.where(v > lower - rise, rise * _ease(below), 0)  # between the lids the eye stays as it is
    covered = v < upper + fall
    by_aside = torch.where(drawn & covered & ~patched, right * width, 0)
    lit = _ease(1 - share.clamp(min=0)) * _ease((above / shortened.clamp(min=1e-6)).clamp(max=1))
    lit = torch.where(drawn & covered & ~patched, lit * (1 - u.square()).clamp(min=0).sqrt(), 0)
    shift = torch.where(covered, by_upper, by_lower)[:, None] * down + by_aside[:, None] * along
    return _Lid(shift, lit, patched, torch.stack([u, 2 * above / tall - 1], 1))


def _ease(t: Tensor) -> Tensor:
    return t * t * (3 - 2 * t)
