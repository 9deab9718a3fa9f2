"""Where the irises of a face are, and the field that makes its eyes look elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import describe, require, warn
from flowedit.face.landmarks import EYES, check_landmarks, interocular_distance
from flowedit.field.eyes import eye_axes, half_width, lid_edges
from flowedit.field.gaze import FURTHEST, GazeField

WIDE, HIGH = 61, 31  # samples over an eye
REACH = 1.1, 0.55  # half eye widths from its middle that they go along and down
PLACES = (25, 0.6), (13, 0.3)  # along and down: tried, and how far from the eye's middle
RADII = 0.080, 0.088, 0.096, 0.104  # interocular distances: 11.7 mm on 63, and children's and narrow-set eyes
INNER, OUTER = 0.95, (1.08, 1.6)  # radii: up to where all is iris, and the ring of what must not be
UNEVEN = 0.3  # price of an iris's own deviation: lashes are dark too
ASIDE, HIGHER = 0.15, 0.6  # price of the square of a place along and down
APART = 1.5  # price of the square of what two eyes differ by
WHITEST, DARKEST = 0.9, 0.05  # quantiles of an eye's red that are one and zero
LEAST_CONTRAST = 0.4  # of both eyes, from which irises are told from whites: by eye, on 48 faces of 128 to 192 px
LEAST_OPEN = 0.15  # eye widths that the lids of the narrower eye are apart
TURNED = 0.4  # half eye widths from its middle, that an iris looks to the side at
RAISED, LOWERED = 0.22, 0.18  # half eye widths, that it goes up and down
MOST_WAY = 0.6  # half eye widths to the side: beyond it, what a corner hid of an iris is more than what it shows
CROSSED = 0.35  # and to the nose


class Irises(NamedTuple):
    """Where two irises are.

    Attributes:
        middles: (2, 2) along and down each eye from its middle, half eye widths.
        radius: crop coordinates.
        contrast: of both together with what is beside them, about 0 for none.
        opened: how far the lids of the narrower eye are apart, eye widths.
    """

    middles: Tensor
    radius: Tensor
    contrast: float
    opened: float

    @property
    def seen(self) -> bool:
        """Whether irises are told from whites, in eyes that are open."""
        return self.contrast >= LEAST_CONTRAST and self.opened >= LEAST_OPEN


@torch.no_grad()
def find_irises(image: Tensor, landmarks: Tensor) -> Irises:
    """Find the discs that are darker than the ring about them, in red, which skin and whites have most of.

    A disc of one size in both eyes, where both together have the largest contrast (Daugman 1993 has one circle's, along
    its radius); two eyes look the same way.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        landmarks: (68, 2) crop coordinates.
    """
    check_landmarks(landmarks)
    points = landmarks.float().cpu()
    radii = interocular_distance(points) * torch.tensor(RADII)
    across, up_and_down = (torch.linspace(-most, most, n) for n, most in zip((WIDE, HIGH), REACH, strict=True))
    v, u = torch.meshgrid(up_and_down, across, indexing="ij")
    along_down = [torch.linspace(-most, most, count) for count, most in PLACES]
    places = torch.cartesian_prod(*along_down)
    price = ASIDE * places[:, 0].square() + HIGHER * places[:, 1].square()
    far = torch.hypot(u.flatten() - places[:, :1], v.flatten() - places[:, 1:])
    scores, opened = [], []
    for outline in (points[eye] for eye in EYES):
        (along, down), half = eye_axes(outline), half_width(outline)
        upper, lower = lid_edges(outline)
        opened.append(float(lower(half.new_zeros(())) - upper(half.new_zeros(()))) / (2 * float(half)))
        at = (outline[0] + outline[3]) / 2 + half * (u[..., None] * along + v[..., None] * down)
        red = F.grid_sample(image[:, :1].float().cpu(), at[None], align_corners=False)[0, 0]
        seen = (half * v > upper(u)) & (half * v < lower(u)) & (u.abs() < 1)
        if not seen.any():
            return Irises(torch.zeros(2, 2), radii[1], 0.0, 0.0)
        dark, white = red[seen].quantile(torch.tensor([DARKEST, WHITEST]))
        red = ((red - dark) / (white - dark).clamp(min=1e-3)).clamp(0, 1).flatten()
        weighed = seen.flatten() * torch.stack([torch.ones_like(red), red, red.square()])
        score = []
        for radius in radii / half:
            disc, ring = far < INNER * radius, (far > OUTER[0] * radius) & (far < OUTER[1] * radius)
            (inside, deviation), (outside, _) = (_spread(part.float() @ weighed.T) for part in (disc, ring))
            score.append(outside - inside - UNEVEN * deviation - price)
        scores.append(torch.stack(score))
    apart = (places[:, None] - places).square().sum(-1)
    both = scores[0][:, :, None] + scores[1][:, None] - APART * apart
    size, left, right = (int(k) for k in torch.unravel_index(both.argmax(), both.shape))
    return Irises(places[[left, right]], radii[size], float(both.max()), min(opened))


def _spread(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and deviations of values from their numbers, sums, and sums of squares: (N, 3)."""
    count, total, squares = sums.unbind(1)
    mean = total / (count + 1)
    return mean, ((squares - 2 * mean * total + mean.square() * count) / (count + 1)).clamp(min=0).sqrt()


@torch.no_grad()
def make_gaze(image: Tensor, landmarks: Tensor, amounts: Tensor) -> GazeField:
    """Make the field of a face's irises.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        landmarks: (68, 2) crop coordinates.
        amounts: (3,), see `GazeField`; cut to [-1, 1].

    Raises:
        ValueError: a shape is not as above, or a landmark is not finite.
    """
    require(amounts.shape == (3,), f"amounts must have shape (3,); got {describe(amounts)}")
    return _place(find_irises(image, landmarks), landmarks, amounts)


@torch.no_grad()
def look_to(image: Tensor, landmarks: Tensor, look: Tensor, right: bool | None = None) -> GazeField | None:
    """Make the field that turns a face's eyes to where they are said to look.

    Args:
        image: (1, 3, S, S) the crop, in [0, 1].
        landmarks: (68, 2) crop coordinates.
        look: (3,) how far to the side, up, and each to the nose, 1 for as far as people's mostly go; all 0 is ahead.
        right: which side of the picture; None is the one that they look to already.

    Returns:
        The field, with a warning where it falls short, since the eyes look the other way; None where irises are not to
        be told from whites, or the eyes are closed.
    """
    irises = find_irises(image, landmarks)
    if not irises.seen:
        return None
    now = float(irises.middles[:, 0].mean())
    aside, up, inward = look.tolist()
    to_right = now >= 0 if right is None else right
    way = 0.0
    if aside:
        way = aside * (TURNED if to_right else -TURNED) - now
        way = max(0.0, way) if to_right else min(0.0, way)  # who looks there already goes on
    elif not up and not inward:
        way = -now
    if abs(way) > MOST_WAY:
        warn("the eyes look the other way, where a corner hides much of each iris: they turn only so far")
        way = MOST_WAY if way > 0 else -MOST_WAY
    ends = irises.middles[:, 0] + way
    way += float((-FURTHEST - ends).clamp(min=0).max() - (ends - FURTHEST).clamp(min=0).max())
    return _place(irises, landmarks, torch.tensor([way, (RAISED if up > 0 else LOWERED) * up, CROSSED * inward]))


def _place(irises: Irises, landmarks: Tensor, amounts: Tensor) -> GazeField:
    field = GazeField()
    points = landmarks.detach().float().cpu()
    field.eyes.copy_(torch.stack([points[eye] for eye in EYES]))
    field.irises.copy_(irises.middles)
    field.radius.copy_(irises.radius)
    field.amounts.copy_(amounts.detach().clamp(field.LEAST, field.MOST))
    return field
