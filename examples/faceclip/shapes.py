"""Shapes changed in a known way: landmarks moved, lids closed, irises turned, brows thickened, all in one sampling."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.landmarks import (
    BOTH_BROWS,
    BOTH_EYES,
    BROWS,
    CHEEKS,
    EYES,
    JAW,
    MOUTH,
    NOSE_BASE,
    NOSE_FOOT,
    NOSE_TIP,
    outer_canthal_distance,
)
from flowedit.field.offsets import pixel_centers

LOW_JAW, CHIN = slice(CHEEKS[0], CHEEKS[1] + 1), slice(6, 11)
MID_CHEEKS = (slice(3, 6), slice(11, 14))
CHIN_SIDES = ((6, -1, 0.8), (7, -1, 1.0), (9, 1, 1.0), (10, 1, 0.8), (5, -1, 0.4), (11, 1, 0.4))
LOWER_LIPS = (slice(55, 60), slice(65, 68))  # without the corners: outer, inner border
INNER_BROWS = (slice(20, 22), slice(22, 24))
GRID = 40  # nodes along each side of the coarse displacement grid

# How far a landmark's movement reaches, in outer-canthal distances.
REACH = torch.full((68,), 0.12)
REACH[JAW] = 0.22
REACH[BOTH_EYES] = 0.085
REACH[BOTH_BROWS] = 0.11
REACH[MOUTH] = 0.13


@dataclass
class Moves:
    """Random changes of shape of B faces.

    Attributes:
        landmarks: (B, 68, 2) displacements, crop units.
        closed: (B, 2) share of each eye's opening that the upper lid covers.
        squint: (B,) share that the lower lid covers.
        gaze: (B, 2) shift of the irises to the right and up, in eye widths.
        brows: (B,) logarithm of the brows' thickening.
        touched: (B,) whether the expression was touched, so that its label no longer holds.
        similarity: (B, 2, 3) a small turn, scale and shift of everything, half of them flipped.
    """

    landmarks: Tensor
    closed: Tensor
    squint: Tensor
    gaze: Tensor
    brows: Tensor
    touched: Tensor
    similarity: Tensor

    @property
    def flipped(self) -> Tensor:
        """(B,) whether a picture is mirrored."""
        return self.similarity[:, 0, 0] < 0


def draw_moves(landmarks: Tensor, generator: torch.Generator) -> Moves:
    """Draw random changes of mouth, eyes, brows, nose, cheeks, jaw and chin.

    Half of the faces keep all that expressions are made of, since words for them are few.

    Args:
        landmarks: (B, 68, 2) in crop coordinates.
    """
    n = len(landmarks)

    def draw(scale: float, share: float = 0.4) -> Tensor:
        chosen = torch.rand(n, generator=generator) < share
        return scale * torch.randn(n, generator=generator) * chosen

    def uniform(most: float, share: float) -> Tensor:
        return most * torch.rand(n, generator=generator) * (torch.rand(n, generator=generator) < share)

    touched = torch.rand(n, generator=generator) < 0.5
    move = torch.zeros(n, 68, 2)
    unit = outer_canthal_distance(landmarks)
    _move_mouth(move, landmarks, unit, touched, draw, uniform)
    _move_brows(move, landmarks, unit, touched, draw)

    size = draw(0.2) * torch.where(touched, 1, 0.4)
    tall = draw(0.12, 0.3) * touched
    for eye in EYES:
        around = landmarks[:, eye] - landmarks[:, eye].mean(1, keepdim=True)
        move[:, eye] += size[:, None, None] * around * torch.tensor([0.6, 1.0])
        move[:, eye, 1] += tall[:, None] * around[..., 1]
    nose = landmarks[:, NOSE_BASE] - landmarks[:, NOSE_FOOT, None]
    move[:, NOSE_BASE, 0] += draw(0.17)[:, None] * nose[..., 0]
    move[:, NOSE_BASE, 1] += (draw(0.05) * unit)[:, None]
    jaw = landmarks[:, LOW_JAW] - landmarks[:, NOSE_TIP, None]
    low = torch.linspace(-1, 1, 13).abs()  # the ears' height moves half as much as the chin's corners
    move[:, LOW_JAW, 0] += draw(0.10)[:, None] * jaw[..., 0] * (1 - 0.6 * low)
    cheeks = landmarks[:, JAW] - landmarks[:, NOSE_TIP, None]
    move[:, JAW, 0] += draw(0.05)[:, None] * cheeks[..., 0]
    move[:, CHIN, 1] += (draw(0.06) * unit)[:, None]
    full, square = draw(0.055) * unit, draw(0.05) * unit
    for middle, way in zip(MID_CHEEKS, (-1, 1), strict=True):
        move[:, middle, 0] += way * full[:, None] * torch.tensor([0.8, 1.0, 0.7] if way < 0 else [0.7, 1.0, 0.8])
    for point, way, share in CHIN_SIDES:
        move[:, point, 0] += way * share * square
        move[:, point, 1] += 0.25 * share * square

    asleep = torch.rand(n, generator=generator) < 0.12
    both = torch.where(asleep, 0.7 + 0.3 * torch.rand(n, generator=generator), uniform(0.5, 0.2)) * touched
    closed = both[:, None].repeat(1, 2)
    winking = (torch.rand(n, generator=generator) < 0.16) & touched
    left = torch.rand(n, generator=generator) < 0.5
    closed[winking, (~left[winking]).long()] = 0.6 + 0.4 * torch.rand(int(winking.sum()), generator=generator)
    side = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    aside = side * (0.08 + uniform(0.17, 1.0)) * (torch.rand(n, generator=generator) < 0.3)
    gaze = torch.stack([aside, draw(0.06, 0.3).clamp(-0.1, 0.1)], -1)
    squint, brows = uniform(0.5, 0.2) * touched, draw(0.35, 0.45).clamp(-0.7, 0.7)
    return Moves(move, closed, squint, gaze, brows, touched, draw_similarity(n, generator))


def _move_mouth(move: Tensor, landmarks: Tensor, unit: Tensor, touched: Tensor, draw, uniform) -> None:  # type: ignore[no-untyped-def]
    mouth = landmarks[:, MOUTH]
    from_middle = mouth - mouth.mean(1, keepdim=True)
    half = mouth[..., 0].amax(1) - mouth[..., 0].amin(1)
    sideways = (from_middle[..., 0] / (half[:, None] / 2)).clamp(-1.2, 1.2)
    kiss = uniform(1.0, 0.18) * touched  # the lips pushed: narrower and thicker
    curve, wide, lips, part = draw(0.055) * touched, draw(0.14), draw(0.25) * touched, draw(0.03, 0.25).abs() * touched
    crooked = draw(0.07, 0.3) * touched
    move[:, MOUTH, 1] -= (curve * unit)[:, None] * (sideways.abs() ** 1.5 - 0.35)
    move[:, MOUTH, 1] -= (crooked * unit)[:, None] * sideways * (0.4 + 0.6 * sideways.abs())
    move[:, MOUTH, 0] += (wide - 0.38 * kiss)[:, None] * from_middle[..., 0]
    move[:, MOUTH, 1] += (lips + 0.55 * kiss)[:, None] * from_middle[..., 1] * (1 - sideways.abs().clamp(max=1) ** 2)
    for lip in LOWER_LIPS:
        move[:, lip, 1] += (part * unit)[:, None]


def _move_brows(move: Tensor, landmarks: Tensor, unit: Tensor, touched: Tensor, draw) -> None:  # type: ignore[no-untyped-def]
    move[:, BOTH_BROWS, 1] -= (draw(0.055) * touched * unit)[:, None]
    inner, slant, arch = (draw(0.03, 0.2) * touched, draw(0.04, 0.3) * touched, draw(0.035, 0.35) * touched)
    one, side = draw(0.075, 0.25).abs() * touched, draw(1.0, 1.0) > 0
    for k, brow in enumerate(BROWS):
        along = torch.linspace(-1, 1, 5) * (1 if k == 0 else -1)  # outer to inner end
        move[:, brow, 1] -= (slant * unit)[:, None] * along
        move[:, brow, 1] -= (arch * unit)[:, None] * (1 - 1.5 * along.square())
        move[:, brow, 1] -= (one * unit * (side == bool(k)))[:, None]
        move[:, INNER_BROWS[k], 1] -= (inner * unit)[:, None]


def spread(points: Tensor, landmarks: Tensor, move: Tensor) -> Tensor:
    """Spread the landmarks' moves smoothly over `points` (B, P, 2); still landmarks hold their surroundings."""
    unit = outer_canthal_distance(landmarks)
    reach = unit[:, None] * REACH.to(unit.device)
    narrow = -0.5 / reach**2
    # |p - l|^2 over the reach as one product of matrices: [p, |p|^2, 1] with [-2 l, 1, |l|^2].
    places = torch.cat([points, points.square().sum(-1, keepdim=True), torch.ones_like(points[..., :1])], -1)
    keys = torch.cat([-2 * landmarks, torch.ones_like(landmarks[..., :1]), landmarks.square().sum(-1, True)], -1)
    nearness = (places @ (keys * narrow[..., None]).mT).exp_()
    total = nearness @ torch.cat([move, torch.ones_like(move[..., :1])], -1)
    return total[..., :2] / (total[..., 2:] + 0.6)


class EyeFrame:
    """An eye's own coordinates: across in half widths, down in half heights, of B faces."""

    def __init__(self, landmarks: Tensor, eye: slice) -> None:
        outline = landmarks[:, eye]
        self.middle = (outline.amax(1) + outline.amin(1)) / 2
        self.width = (outline[..., 0].amax(1) - outline[..., 0].amin(1)) / 2
        lids = outline[:, [4, 5], 1].mean(1) - outline[:, [1, 2], 1].mean(1)
        self.height = torch.maximum(lids / 2, 0.12 * self.width)
        brow = landmarks[:, BOTH_BROWS, 1].mean(1)
        self.top = (0.7 * (self.middle[:, 1] - brow) / self.height).clamp(1.5, 5)  # where the lid's skin begins

    def lids(self, across: Tensor, closed: Tensor, squint: Tensor) -> tuple[Tensor, Tensor]:
        """Heights to which the upper and the lower lid's edges move, at places across the eye."""
        open_there = (1 - across.square()).clamp(min=0)
        return -1 + 1.85 * closed * open_there, 1 - 0.7 * squint * open_there * (1 - closed)

    def down(self, v: Tensor, across: Tensor, closed: Tensor, squint: Tensor) -> Tensor:
        """Where a place at height v of the photo goes: the lids' skin stretches, the eye is pressed together."""
        upper, lower = self.lids(across, closed, squint)
        return _bend(v, (-self._tall(v), -1.0, 1.0, self._tall(v)), (-self._tall(v), upper, lower, self._tall(v)))

    def up(self, v: Tensor, across: Tensor, closed: Tensor, squint: Tensor) -> Tensor:
        """Undo `down`."""
        upper, lower = self.lids(across, closed, squint)
        return _bend(v, (-self._tall(v), upper, lower, self._tall(v)), (-self._tall(v), -1.0, 1.0, self._tall(v)))

    def _tall(self, v: Tensor) -> Tensor:
        return self.top.reshape(-1, *[1] * (v.ndim - 1))


def _bend(v: Tensor, knots: tuple[Tensor | float, ...], values: tuple[Tensor | float, ...]) -> Tensor:
    """Interpolate linearly between four knots; identity outside."""
    out = v
    for a, b, c, d in zip(knots, knots[1:], values, values[1:], strict=False):
        out = torch.where((v >= a) & (v < b), c + (v - a) * ((d - c) / (b - a)), out)
    return out


def eye_flow(size: int, landmarks: Tensor, moves: Moves) -> Tensor:
    """How far to read from each pixel (B, size, size, 2) for closed lids and turned eyes, subtracted as a flow is."""
    n = len(landmarks)
    flow = torch.zeros(n, size, size, 2)
    grid = pixel_centers(size, device=landmarks.device)[None]
    for k, eye in enumerate(EYES):
        frame = EyeFrame(landmarks, eye)
        x0, y0, w, h = (value[:, None, None] for value in (*frame.middle.unbind(-1), frame.width, frame.height))
        closed, squint = (value[:, None, None] for value in (moves.closed[:, k], moves.squint))
        u, v = (grid[..., 0] - x0) / w, (grid[..., 1] - y0) / h
        flow[..., 1] += (v - frame.up(v, u, closed, squint)) * h
        inside = ((1 - (u / 1.1).square()).clamp(min=0) * (1 - (v / 1.3).square()).clamp(min=0)).sqrt()
        turn = moves.gaze * (1 - moves.closed[:, k, None])
        flow[..., 0] += inside * 2 * w * turn[:, 0, None, None]
        flow[..., 1] -= inside * 2 * w * turn[:, 1, None, None]
    return flow


def close_eyes(landmarks: Tensor, frames: list[EyeFrame], moves: Moves) -> Tensor:
    """Move the eyes' landmarks as `eye_flow` moves the lids."""
    moved = landmarks.clone()
    for k, (eye, frame) in enumerate(zip(EYES, frames, strict=True)):
        u = (landmarks[:, eye, 0] - frame.middle[:, :1]) / frame.width[:, None]
        v = (landmarks[:, eye, 1] - frame.middle[:, 1:]) / frame.height[:, None]
        down = frame.down(v.clamp(-0.999, 0.999), u, moves.closed[:, k, None], moves.squint[:, None])
        moved[:, eye, 1] = frame.middle[:, 1:] + down * frame.height[:, None]
    return moved


def warp_faces(image: Tensor, landmarks: Tensor, moves: Moves, brow_offset: Tensor) -> tuple[Tensor, Tensor]:
    """Apply the moves in one sampling.

    Args:
        image: (B, 3, S, S).
        landmarks: (B, 68, 2) crop coordinates.
        moves: what to do.
        brow_offset: (B, m, m) height of a place over its brow's line, downward in crop units; 0 away from brows.

    Returns:
        The images (B, 3, S, S) and the moved landmarks (B, 68, 2), before the similarity, which no measurement sees.
    """
    n, size = len(image), image.shape[-1]
    line = torch.linspace(-1, 1, GRID)
    nodes = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(1, -1, 2).expand(n, -1, -1)
    coarse = spread(nodes, landmarks, moves.landmarks).reshape(n, GRID, GRID, 2).permute(0, 3, 1, 2)
    fine = eye_flow(size, landmarks, moves)
    thicker = brow_offset * (1 - torch.exp(-moves.brows))[:, None, None]
    fine[..., 1] += F.interpolate(thicker[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    closed = close_eyes(landmarks, [EyeFrame(landmarks, eye) for eye in EYES], moves)
    moved = closed + spread(closed, landmarks, moves.landmarks)
    for _ in range(2):  # output q shows input q - flow(q), so a landmark L appears where q = L + flow(q)
        moved = closed + spread(moved, landmarks, moves.landmarks)
    grid = F.affine_grid(moves.similarity, list(image.shape), align_corners=False)
    flow = F.grid_sample(coarse, grid, padding_mode="border", align_corners=True).permute(0, 2, 3, 1)
    at = grid - flow
    eyes = F.grid_sample(fine.permute(0, 3, 1, 2), at, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)
    return F.grid_sample(image, at - eyes, padding_mode="border", align_corners=False), moved


def draw_similarity(n: int, generator: torch.Generator) -> Tensor:
    """Draw small turns, scales and shifts, half of them flipped: (n, 2, 3)."""
    angle = 0.06 * torch.randn(n, generator=generator)
    scale = 1 + 0.06 * torch.randn(n, generator=generator)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale * angle.cos()
    theta[:, 1, 0] = scale * angle.sin()
    theta[:, 0, 1] = -theta[:, 1, 0]
    theta[:, :, 2] = 0.035 * torch.randn(n, 2, generator=generator)
    flip = torch.rand(n, generator=generator) < 0.5
    theta[flip, 0] = -theta[flip, 0]
    return theta
