"""Regions of a face, drawn once on a mean face and carried to any other by a thin plate through its landmarks.

A map of a face says for each place of its crop which place of the mean face lies there, so anything drawn on the mean
face, a region to measure in or a pattern to paint, is one bilinear read away from every photo.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from flowedit.face import landmarks as marks

REGIONS = (
    "lips", "skin", "cheeks", "brows", "irises", "hair", "beard", "moustache", "lids", "under_eyes", "forehead",
    "eye_corners", "mouth_lines", "glow", "cheek_skin", "around_brows", "whole", "mouth", "sockets", "head",
)  # fmt: skip
INDEX = {name: k for k, name in enumerate(REGIONS)}
ATLAS_PX = 256  # side of what is drawn on the mean face, over its crop
NODES = 48  # along each side of a face's map
MIRROR = np.r_[
    16:-1:-1, 26:16:-1, 27:31, 35:30:-1, 45:41:-1, 47:45:-1, 39:35:-1, 41:39:-1, 54:47:-1, 59:54:-1, 64:59:-1, 67:64:-1
]


def mean_face(landmarks: np.ndarray) -> np.ndarray:
    """Return the mean (68, 2) of faces (N, 68, 2) in crop coordinates, made symmetric."""
    mean = landmarks.mean(0)
    return (mean + mean[MIRROR] * [-1, 1]) / 2


def region_masks(landmarks: np.ndarray, size: int = ATLAS_PX) -> np.ndarray:
    """Draw REGIONS on a face.

    Args:
        landmarks: (68, 2) in crop coordinates [-1, 1].

    Returns:
        (20, size, size) float32 in [0, 1], soft at the edges.
    """
    pen = Pen(landmarks, size)
    p, unit, up = pen.points, pen.unit, pen.up
    arch = 0.2 + 0.28 * np.sin(np.linspace(0, np.pi, 10))[:, None]  # the forehead's height above the brows
    outline = np.concatenate([p[marks.JAW], (p[marks.BOTH_BROWS] + arch * unit * up)[::-1]])
    mouth = pen.fill(p[marks.OUTER_LIPS], blur=0.02)
    lips = np.clip(mouth - pen.fill(p[marks.INNER_LIPS], blur=0.01), 0, 1)
    lidded = pen.fill(*(p[eye] for eye in marks.EYES), blur=0.008)
    eyes = pen.fill(*(grown(p[eye], 1.5) for eye in marks.EYES))
    brows, around_brows = (
        pen.fill(*(band(p[brow], thick * unit * up) for brow in marks.BROWS), blur=0.02) for thick in (0.045, 0.11)
    )
    around = zip(marks.OUTER_CANTHI, marks.MOUTH_CORNERS, marks.CHEEKS, marks.NOSE_WINGS, strict=True)
    cheek = [0.5 * (p[e] + p[m]) + 0.25 * (p[s] - p[n]) for e, m, s, n in around]
    cheeks = pen.fill(*(disc(c, 0.13 * unit) for c in cheek), blur=0.07)
    cheek_skin = pen.fill(*(disc(c, 0.17 * unit) for c in cheek), blur=0.03)
    irises = pen.fill(*(disc(p[eye].mean(0), 0.06 * unit) for eye in marks.EYES), blur=0.01) * lidded
    whole = pen.fill(outline, blur=0.04)
    skin = np.clip(whole - mouth - eyes - brows - cheeks, 0, 1)

    middle = p[marks.NOSE_ROOT] + 0.02 * unit * up
    ring = (disc(middle, r * unit) for r in (1.35, 0.95))
    below = disc(middle - 1.7 * unit * up, 1.55 * unit)
    hair = np.clip(np.subtract(*(pen.fill(r) for r in ring)) - pen.fill(below) - pen.fill(grown(outline, 1.05)), 0, 1)

    foot = p[marks.NOSE_FOOT] - 0.04 * unit * up
    jaw = np.concatenate([p[2:15], p[[54]] + [0.06 * unit, 0], foot[None], p[[48]] - [0.06 * unit, 0]])
    beard = np.clip(pen.fill(jaw, blur=0.05) - 1.2 * pen.fill(grown(p[marks.OUTER_LIPS], 1.12), blur=0.03), 0, 1)
    lip_top = p[48:55]
    upper = np.concatenate([lip_top, [p[54] + [0.05 * unit, 0], p[35], foot, p[31], p[48] - [0.05 * unit, 0]]])
    moustache = np.clip(pen.fill(upper, blur=0.02) - mouth, 0, 1)
    lids = np.zeros_like(skin)
    bags = np.zeros_like(skin)
    for eye in marks.EYES:
        a, b, c, d, e, f = p[eye]
        lids = np.maximum(
            lids,
            pen.fill(
                np.stack(
                    [a, b, c, d, d + 0.05 * unit * up, c + 0.09 * unit * up, b + 0.09 * unit * up, a + 0.05 * unit * up]
                ),
                blur=0.02,
            ),
        )
        drop = -0.05 * unit * up
        bags = np.maximum(
            bags,
            pen.fill(
                np.stack(
                    [
                        a + drop / 2,
                        f + drop,
                        e + drop,
                        d + drop / 2,
                        d + 2 * drop,
                        e + 3.2 * drop,
                        f + 3.2 * drop,
                        a + 2 * drop,
                    ]
                ),
                blur=0.025,
            ),
        )
    lids, bags = np.clip(lids - lidded, 0, 1), np.clip(bags - lidded, 0, 1)
    low, high = (p[marks.BOTH_BROWS] + s * unit * up for s in (0.1, 0.38))
    forehead = pen.fill(np.concatenate([low[1:-1], high[1:-1][::-1]]), blur=0.04) * (1 - around_brows)
    corners = (
        pen.fill(
            *(
                disc(p[o] + s * np.array([0.13, 0.0]) * unit, 0.12 * unit)
                for o, s in zip(marks.OUTER_CANTHI, (-1, 1), strict=True)
            ),
            blur=0.03,
        )
        * (1 - eyes)
        * (1 - brows)
    )
    folds = pen.strokes(*fold_lines(p, unit), width=0.13, blur=0.03) * (1 - pen.fill(grown(p[marks.OUTER_LIPS], 1.1)))
    glow = pen.fill(
        disc(p[30], 0.05 * unit),
        disc(p[28], 0.05 * unit),
        disc(p[27] + 0.35 * unit * up, 0.13 * unit),
        *(disc(c + 0.12 * unit * up, 0.09 * unit) for c in cheek),
        blur=0.04,
    )
    dome = disc(p[marks.NOSE_ROOT] + 0.12 * unit * up, 1.0) - p[marks.NOSE_ROOT] - 0.12 * unit * up
    dome = p[marks.NOSE_ROOT] + 0.12 * unit * up + dome * [0.74 * unit, 0.95 * unit]
    head = np.maximum(whole, pen.fill(dome, blur=0.05) * (1 - pen.fill(below)))  # a bald one's skin
    sockets = pen.fill(*(grown(p[eye], 2.2) for eye in marks.EYES), blur=0.05)
    return np.stack([
        lips, skin, cheeks, brows, irises, hair, beard, moustache, lids, bags, forehead, corners, folds, glow,
        cheek_skin, around_brows, whole, mouth, sockets, head,
    ]).astype(np.float32)  # fmt: skip


class Pen:
    """Draws soft shapes on the crop of a face.

    Attributes:
        points: (68, 2) the landmarks, in pixels of the enlarged canvas.
        unit: the outer-canthal distance there.
        up: unit vector from chin to nose root.
    """

    def __init__(self, landmarks: np.ndarray, size: int, scale: int = 2) -> None:
        self.size, self.canvas = size, size * scale  # drawn large and reduced, so that edges are soft
        self.points = (np.asarray(landmarks, np.float64) + 1) / 2 * self.canvas
        left, right = marks.OUTER_CANTHI
        self.unit = float(np.hypot(*(self.points[right] - self.points[left])))
        up = self.points[marks.NOSE_ROOT] - self.points[marks.CHIN]
        self.up = up / np.hypot(*up)

    def fill(self, *polygons: np.ndarray, blur: float = 0.03) -> np.ndarray:
        """Fill polygons of canvas pixels; `blur` in outer-canthal distances. (size, size) in [0, 1]."""
        image = Image.new("L", (self.canvas, self.canvas))
        for polygon in polygons:
            ImageDraw.Draw(image).polygon([tuple(q) for q in polygon], fill=255)
        return self._reduce(image, blur)

    def strokes(self, *lines: np.ndarray, width: float, blur: float) -> np.ndarray:
        """Draw lines (n, 2) of canvas pixels; `width` and `blur` in outer-canthal distances."""
        image = Image.new("L", (self.canvas, self.canvas))
        for line in lines:
            ImageDraw.Draw(image).line(
                [tuple(q) for q in line], fill=255, width=max(1, round(width * self.unit)), joint="curve"
            )
        return self._reduce(image, blur)

    def _reduce(self, image: Image.Image, blur: float) -> np.ndarray:
        image = image.filter(ImageFilter.GaussianBlur(blur * self.unit))
        return np.asarray(image.resize((self.size, self.size), Image.Resampling.BOX), np.float32) / 255


def disc(center: np.ndarray, radius: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    return center + radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def grown(polygon: np.ndarray, factor: float) -> np.ndarray:
    return polygon.mean(0) + factor * (polygon - polygon.mean(0))


def band(line: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.concatenate([line + half, (line - half)[::-1]])


def fold_lines(p: np.ndarray, unit: float) -> list[np.ndarray]:
    """Return the two nasolabial folds, from the wings of the nose past the corners of the mouth, (8, 2) each."""
    lines = []
    for wing, corner, side in ((31, 48, -1), (35, 54, 1)):
        t = np.linspace(0, 1, 8)[:, None]
        start = p[wing] + [side * 0.03 * unit, -0.04 * unit]
        end = p[corner] + [side * 0.09 * unit, 0.10 * unit]
        bend = (start + end) / 2 + [side * 0.09 * unit, -0.02 * unit]
        lines.append((1 - t) ** 2 * start + 2 * t * (1 - t) * bend + t**2 * end)
    return lines


def face_maps(landmarks: Tensor, mean: Tensor, nodes: int = NODES) -> Tensor:
    """Map places of faces to places of the mean face, by a slightly smoothed thin plate (Bookstein 1989).

    Args:
        landmarks: (N, 68, 2) in crop coordinates.
        mean: (68, 2) in crop coordinates.

    Returns:
        (N, 2, nodes, nodes) float16: where on the mean face each node of a corner-aligned grid lies.
    """
    n = len(landmarks)
    line = torch.linspace(-1, 1, nodes)
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).reshape(-1, 2)
    affine = torch.cat([torch.ones(n, 68, 1), landmarks], -1)
    system = torch.zeros(n, 71, 71)
    system[:, :68, :68] = _bending(torch.cdist(landmarks, landmarks)) + 1e-3 * torch.eye(68)
    system[:, :68, 68:], system[:, 68:, :68] = affine, affine.mT
    right = torch.cat([mean.expand(n, -1, -1), torch.zeros(n, 3, 2)], 1)
    weights = torch.linalg.solve(system.double(), right.double()).float()
    kernel = torch.cat(
        [_bending(torch.cdist(grid.expand(n, -1, -1), landmarks)), torch.ones(n, len(grid), 1), grid.expand(n, -1, -1)],
        -1,
    )
    return (kernel @ weights).clamp(-3, 3).reshape(n, nodes, nodes, 2).permute(0, 3, 1, 2).half()


def _bending(distance: Tensor) -> Tensor:
    return distance.square() * torch.log(distance.clamp(min=1e-6))


def places(maps: Tensor, size: int) -> Tensor:
    """Enlarge maps (N, 2, nodes, nodes) to a sampling grid (N, size, size, 2) over pixel centers."""
    line = (torch.arange(size, device=maps.device) + 0.5) / size * 2 - 1
    grid = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).expand(len(maps), -1, -1, -1)
    return F.grid_sample(maps.float(), grid, align_corners=True).permute(0, 2, 3, 1)


def read(drawn: Tensor, at: Tensor) -> Tensor:
    """Read what is drawn on the mean face, (C, S, S), at places (N, h, w, 2) of it: (N, C, h, w)."""
    return F.grid_sample(drawn.expand(len(at), -1, -1, -1), at, align_corners=False)


def indices(names: Sequence[str]) -> list[int]:
    return [INDEX[name] for name in names]


def brow_offset(mean: np.ndarray, size: int = ATLAS_PX) -> np.ndarray:
    """Draw how far places near a brow lie below its line, crop units, 0 away from brows: (1, size, size)."""
    around = region_masks(mean, size)[INDEX["around_brows"]]
    near = np.clip(around * 1.15, 0, 1)
    line = (np.arange(size) + 0.5) / size * 2 - 1
    heights = np.zeros(size)
    for brow in marks.BROWS:
        inside = (line > mean[brow][0, 0] - 0.06) & (line < mean[brow][-1, 0] + 0.06)
        heights[inside] = np.interp(line[inside], mean[brow][:, 0], mean[brow][:, 1])
    return ((line[:, None] - heights[None]) * near)[None].astype(np.float32)
