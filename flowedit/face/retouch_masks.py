"""The places of a face that are retouched beside its five parts: drawn from landmarks, as soft masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import Group
from flowedit.face import landmarks as marks
from flowedit.face.landmarks import check_landmarks, eye_centers, interocular_distance, mouth_center
from flowedit.face.regions import distance_near, face_outline, smoothstep
from flowedit.field.offsets import pixel_centers

RETOUCH_PX = 256  # side of the masks


@dataclass(frozen=True)
class RetouchShapes(Group):
    """Where the places lie that are retouched; set by eye.

    A pair is where a mask begins to fall and where it has fallen to zero, in interocular distances outside an outline.
    """

    beard: tuple[float, float] = (-0.20, 0.05)
    """Edge of the beard area on the cheeks and under the jaw."""
    beard_at_lips: tuple[float, float] = (0.01, 0.07)
    """Edge of the beard area at the lips."""
    brows: tuple[float, float] = (0.02, 0.11)
    """Edge of the brows about their line, with the skin that bushy ones cover."""
    brow_hairs: tuple[float, float] = (0.08, 0.15)
    """Edge of where the brows' hairs are looked for, about their line, which lies in the upper half of thick ones."""
    brow_hairs_at_eyes: tuple[float, float] = (0.03, 0.09)
    """Edge of the same at the eyes, whose lashes are no brows."""
    lips: tuple[float, float] = (-0.02, 0.03)
    """Edge of the lips."""
    opening: tuple[float, float] = (-0.02, 0.02)
    """Edge of what an open mouth shows between the lips."""
    lids: tuple[float, float] = (0.25, 0.95)
    """Fall of eye shadow from the lashes to the brow, in shares of the way."""
    lids_side: tuple[float, float] = (0.0, 0.14)
    """The same at the sides of the upper lid."""
    eye: tuple[float, float] = (-0.02, 0.01)
    """Edge of the open eye, which takes no eye shadow."""
    liner: tuple[float, float] = (0.006, 0.034)
    """Edge of the liner about the lid's edge."""
    under_eye: tuple[float, float] = (-0.03, 0.08)
    """Edge of the skin under the eyes whose lines are scaled."""
    ring_depth: tuple[float, float] = (0.30, 0.19)
    """Depth of a ring under the lower lid, at the inner corner of the eye and at the outer."""
    ring: tuple[float, float] = (0.3, 1.15)
    """Fall of a ring, in shares of its depth."""
    ring_ends: tuple[float, float] = (-0.15, 0.12)
    """Fall of a ring beyond the corners, in shares of the eye's width."""
    freckles_on_nose: tuple[float, float] = (0.12, 0.35)
    """Edge of where most freckles are, about the bridge of the nose, beside the cheeks."""
    chin_fold: float = 0.27
    """Depth of a double chin under the chin, from the jaw's edge to its own."""
    region: tuple[float, float] = (-0.05, 0.18)
    """Edge of the regions whose detail is scaled."""
    features: tuple[float, float] = (0.03, 0.10)
    """Edge of the skin at eyes, brows, lips and nostrils, whose own lines are no wrinkles."""
    face: tuple[float, float] = (-0.12, 0.04)
    """Edge of the skin at the outline of the face."""
    forehead: float = 0.9
    """Height of the forehead above the ears, in distances from mouth to eyes."""
    shine: tuple[float, float] = (-0.45, 0.10)
    """Edge of the skin that may shine, wide, since a high forehead goes on beyond it."""


class _Canvas:
    """The frame that masks are drawn in: distances in interocular ones, heights along the face."""

    def __init__(self, landmarks: Tensor, size: int) -> None:
        self.p = p = landmarks.double()
        left, right = eye_centers(p)
        self.unit, self.eyes = float(interocular_distance(p)), (left + right) / 2
        self.up = F.normalize(self.eyes - mouth_center(p), dim=0)
        self.grid = pixel_centers(size, dtype=torch.float64)
        self.mouth_to_eyes = self.eyes - mouth_center(p)

    def away(self, outline: Tensor, margin: float, *, closed: bool = True, about: Tensor | None = None) -> Tensor:
        """Return the distance to an outline, infinite further than `margin` from the box of it, or of `about`."""
        return distance_near(self.grid, outline, margin * self.unit, closed, about) / self.unit

    def soft(self, outline: Tensor, edge: tuple[float, float], *, closed: bool = True) -> Tensor:
        """Return 1 up to the first distance of `edge` from an outline, 0 from the second on, a smooth step between."""
        return smoothstep(self.away(outline, edge[1], closed=closed), *edge)

    def raised(self, points: Tensor, height: float) -> Tensor:
        """Return points (n, 2) moved up the face by `height` interocular distances."""
        return points + height * self.unit * self.up

    def outward(self, side: int) -> Tensor:
        """Return the direction from the face's middle to its left (0) or right (1) side, one interocular distance."""
        left, right = eye_centers(self.p)
        return (right - left) * (1 if side else -1)


def _curve(points: Tensor, steps: int = 6) -> Tensor:
    """Return a smooth line (m, 2) through points (n, 2): a lid is no polygon (Catmull and Rom 1974)."""
    ends = torch.cat([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = torch.arange(steps, dtype=points.dtype)[:, None] / steps
    pieces = []
    for a, b, c, d in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        cubic = 3 * (b - c) + d - a
        pieces.append(b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * cubic)))
    return torch.cat([*pieces, points[-1:]])


def _lid(eye: slice, *, upper: bool) -> list[int]:
    """Return the landmarks of a lid's edge from the viewer's left to the right."""
    first = eye.start
    return [first, first + 1, first + 2, first + 3] if upper else [first, first + 5, first + 4, first + 3]


def _most(masks: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(masks)).amax(0)


def _beard(c: _Canvas, s: RetouchShapes) -> Tensor:
    p = c.p
    (ear_left, ear_right), (corner_left, corner_right) = marks.CHEEKBONES, marks.MOUTH_CORNERS
    wing_left, wing_right = marks.NOSE_WINGS

    def cheek(ear: int, corner: int, wing: int) -> list[Tensor]:
        beside = p[ear].lerp(p[corner], 0.45)
        return [beside, c.raised(p[corner], 0.10).lerp(p[ear], 0.15), c.raised(p[wing], -0.04)]

    jaw = c.raised(p[ear_left : ear_right + 1], -0.03)
    line = [*cheek(ear_right, corner_right, wing_right), c.raised(p[marks.NOSE_FOOT], 0.02),
            *reversed(cheek(ear_left, corner_left, wing_left))]  # fmt: skip
    area = c.soft(torch.cat([jaw, torch.stack(line)]), s.beard)
    return area * (1 - c.soft(p[marks.OUTER_LIPS], s.beard_at_lips))


def _brows(c: _Canvas, s: RetouchShapes) -> Tensor:
    return _most(c.soft(_curve(c.p[brow]), s.brows, closed=False) for brow in marks.BROWS)


def _brow_hairs(c: _Canvas, s: RetouchShapes) -> Tensor:
    lines = [_curve(c.raised(c.p[brow], -0.04)) for brow in marks.BROWS]
    near = _most(c.soft(line, s.brow_hairs, closed=False) for line in lines)
    return near * (1 - _most(c.soft(c.p[eye], s.brow_hairs_at_eyes) for eye in marks.EYES))


def _lips(c: _Canvas, s: RetouchShapes) -> Tensor:
    opening = c.soft(c.p[marks.INNER_LIPS], s.opening)
    return c.soft(c.p[marks.OUTER_LIPS], s.lips) * (1 - opening)


def _lids(c: _Canvas, s: RetouchShapes) -> Tensor:
    masks = []
    for eye, brow in zip(marks.EYES, marks.BROWS, strict=True):
        lid, arch = _curve(c.p[_lid(eye, upper=True)]), _curve(c.p[brow])
        ring = torch.cat([lid, arch.flip(0)])
        from_lid, from_brow = (c.away(line, s.lids_side[1], closed=False, about=ring) for line in (lid, arch))
        fall = smoothstep((from_lid / (from_lid + from_brow + 1e-6)).nan_to_num(1.0), *s.lids)
        between = c.soft(ring, s.lids_side)
        masks.append(between * fall * (1 - c.soft(c.p[eye], s.eye)))
    return _most(masks)


def _liner(c: _Canvas, s: RetouchShapes) -> Tensor:
    masks = []
    for side, eye in enumerate(marks.EYES):
        upper, lower = (c.p[_lid(eye, upper=each)] for each in (True, False))
        outer = -1 if side else 0
        tip = c.raised(upper[outer] + 0.05 * c.outward(side), 0.02)
        line = torch.cat([upper, tip[None]]) if side else torch.cat([tip[None], upper])
        masks.append(c.soft(c.raised(_curve(line), 0.012), s.liner, closed=False))
        masks.append(0.4 * c.soft(_curve(lower), s.liner, closed=False))
    return _most(masks)


def _under_eye(c: _Canvas, s: RetouchShapes) -> Tensor:
    masks = []
    for eye in marks.EYES:
        lower = c.p[_lid(eye, upper=False)]
        depth = torch.tensor([0.20, 0.24, 0.24, 0.20], dtype=torch.float64)[:, None] * c.unit
        inner, outer = c.raised(lower, -0.05), lower - depth * c.up
        masks.append(c.soft(torch.cat([_curve(inner), _curve(outer).flip(0)]), s.under_eye))
    return _most(masks)


def _rings(c: _Canvas, s: RetouchShapes) -> Tensor:
    """Draw crescents below the lower lids: deepest at the nose, where the lid's groove is, and fading on all sides."""
    masks = []
    for side, eye in enumerate(marks.EYES):
        lower = c.p[_lid(eye, upper=False)]
        line = _curve(lower if side else lower.flip(0))  # from the inner corner to the outer
        way = line[-1] - line[0]
        along = (c.grid - line[0]) @ way / way.square().sum()
        deep = s.ring_depth[0] + (s.ring_depth[1] - s.ring_depth[0]) * along.clamp(0, 1)
        below = c.away(line, 2 * max(s.ring_depth), closed=False) / deep
        fall = smoothstep(below, *s.ring) * smoothstep(-along, *s.ring_ends) * smoothstep(along - 1, *s.ring_ends)
        under = smoothstep((c.grid - line[0]) @ c.up / c.unit, -0.02, 0.06)
        masks.append(fall * under * (1 - c.soft(c.p[eye], s.eye)))
    return _most(masks)


def _under_chin(c: _Canvas, s: RetouchShapes, bands: tuple[tuple[float, float, float], ...]) -> Tensor:
    """Draw bands along the jaw: where across a double chin, in shares of its depth, how wide, and how much of each."""
    line = _curve(c.p[marks.CHIN - 4 : marks.CHIN + 5], 12)
    along = F.pad(line[2:] - line[:-2], (0, 0, 1, 1))
    down = F.normalize(torch.stack([-along[:, 1], along[:, 0]], 1), dim=1)  # the jaw goes from left to right
    places = c.grid.reshape(-1, 2)
    nearest = torch.cdist(places, line).argmin(1)
    far = ((places - line[nearest]) * down[nearest]).sum(1) / c.unit
    share = torch.sin(torch.pi * nearest / (len(line) - 1)).clamp_min(0)  # it ends towards the sides
    across = far / (s.chin_fold * share.clamp_min(0.15))
    drawn = [much * torch.exp(-(((across - at) / wide) ** 2)) for at, wide, much in bands]
    return (torch.stack(drawn).sum(0) * share**1.5).clamp(0, 1).reshape(c.grid.shape[:2])


JAW_EDGE, OWN_EDGE, BETWEEN = (0.0, 0.2, 1.0), (1.05, 0.22, 0.9), (0.52, 0.28, 1.0)  # bands of a double chin, by eye


def _chin_fold(c: _Canvas, s: RetouchShapes) -> Tensor:
    return _under_chin(c, s, (JAW_EDGE, OWN_EDGE))


def _chin_bulge(c: _Canvas, s: RetouchShapes) -> Tensor:
    return _under_chin(c, s, (BETWEEN,))


def _forehead(c: _Canvas, s: RetouchShapes) -> Tensor:
    outline = face_outline(c.p, s.forehead * c.mouth_to_eyes)
    above = c.raised(c.p[marks.BOTH_BROWS], 0.13)
    line = c.grid @ c.up / c.unit
    height = float((above @ c.up).mean()) / c.unit
    return c.soft(outline, s.face) * (1 - smoothstep(line, height - 0.06, height + 0.1))


def _eye_corners(c: _Canvas, s: RetouchShapes) -> Tensor:
    places = [c.p[one] + 0.22 * c.outward(side) for side, one in enumerate(marks.OUTER_CANTHI)]
    return _most(smoothstep((c.grid - place).norm(dim=-1) / c.unit - 0.18, *s.region) for place in places)


def _mouth_lines(c: _Canvas, s: RetouchShapes) -> Tensor:
    masks = []
    pairs = zip(marks.NOSE_WINGS, marks.MOUTH_CORNERS, marks.JAW_CORNERS, strict=True)
    for side, (wing, corner, jaw) in enumerate(pairs):
        out = c.outward(side)
        line = torch.stack([
            c.raised(c.p[wing] + 0.05 * out, 0.06), c.raised(c.p[corner] + 0.12 * out, 0.14),
            c.p[corner] + 0.12 * out, c.p[corner].lerp(c.p[jaw], 0.35),
        ])  # fmt: skip
        masks.append(smoothstep(c.away(_curve(line), s.region[1] + 0.08, closed=False) - 0.08, *s.region))
    return _most(masks)


def _cheeks(c: _Canvas, s: RetouchShapes) -> Tensor:
    groups = zip(marks.OUTER_LOWER_LIDS, marks.MOUTH_CORNERS, marks.CHEEKS, marks.NOSE_WINGS, strict=True)
    middles = [c.p[list(group)].mean(0) for group in groups]
    return _most(smoothstep((c.grid - middle).norm(dim=-1) / c.unit - 0.3, *s.region) for middle in middles)


def _eyes(c: _Canvas, s: RetouchShapes) -> Tensor:
    return _most(c.soft(c.p[eye], s.eye) for eye in marks.EYES)


def _skin(c: _Canvas, s: RetouchShapes) -> Tensor:
    """Return the skin of the face without eyes, brows, lips and nostrils."""
    p = c.p
    outline = face_outline(p, s.forehead * c.mouth_to_eyes)
    open_places = [c.soft(p[part], s.features) for part in (*marks.EYES, marks.OUTER_LIPS)]
    brows = [c.soft(p[brow], s.features, closed=False) for brow in marks.BROWS]
    nostrils = c.soft(p[marks.NOSE_BASE], (0.0, 0.07), closed=False)
    return c.soft(outline, s.face) * (1 - _most([*open_places, *brows, nostrils]))


def _freckles(c: _Canvas, s: RetouchShapes) -> Tensor:
    nose = c.soft(c.p[marks.NOSE_BRIDGE], s.freckles_on_nose, closed=False)
    return _skin(c, s) * (0.3 + 0.7 * _most([_cheeks(c, s), nose]))


def _shine(c: _Canvas, s: RetouchShapes) -> Tensor:
    open_places = [c.soft(c.p[part], s.features) for part in (*marks.EYES, marks.OUTER_LIPS)]
    return c.soft(face_outline(c.p, 1.15 * s.forehead * c.mouth_to_eyes), s.shine) * (1 - _most(open_places))


PLACES: dict[str, Callable[[_Canvas, RetouchShapes], Tensor]] = {
    "beard": _beard,
    "brows": _brows,
    "brow hairs": _brow_hairs,
    "lips": _lips,
    "lids": _lids,
    "liner": _liner,
    "rings": _rings,
    "chin fold": _chin_fold,
    "chin bulge": _chin_bulge,
    "freckles": _freckles,
    "pimples": _skin,
    "shine": _shine,
    "forehead": _forehead,
    "eye corners": _eye_corners,
    "mouth lines": _mouth_lines,
    "under-eye skin": _under_eye,
    "cheek skin": _cheeks,
    "other skin": _skin,
    "eyes": _eyes,
}
ON_SKIN = ("forehead", "eye corners", "mouth lines", "under-eye skin", "cheek skin", "other skin")


def draw_places(names: Iterable[str], landmarks: Tensor, shapes: RetouchShapes | None = None) -> dict[str, Tensor]:
    """Draw places of a face in the crop's frame.

    The places on the skin share it: where two meet, each has its part, so that all together are the skin, evenly.

    Args:
        names: of `PLACES`.
        landmarks: (68, 2) crop coordinates.
        shapes: None is the default.

    Returns:
        (RETOUCH_PX, RETOUCH_PX) float32 in [0, 1] for each name.
    """
    check_landmarks(landmarks)
    canvas, s, wanted = _Canvas(landmarks, RETOUCH_PX), shapes or RetouchShapes(), list(names)
    drawn = {name: PLACES[name](canvas, s).float() for name in wanted if name not in ON_SKIN}
    if any(name in ON_SKIN for name in wanted):
        skin = _skin(canvas, s).float()
        parts = {name: PLACES[name](canvas, s).float() for name in ON_SKIN[:-1]}
        total = torch.stack(list(parts.values())).sum(0)
        parts["other skin"] = (1 - total).clamp(min=0)
        total = total.clamp(min=1)
        drawn |= {name: skin * part / total for name, part in parts.items() if name in wanted}
    return {name: drawn[name] for name in wanted}
