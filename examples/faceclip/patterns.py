"""Fine patterns drawn on the mean face, each in several random variants: lines, hairs, freckles, glasses and hats."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from flowedit.face import landmarks as marks

from .regions import ATLAS_PX, Pen, disc, fold_lines, grown, region_masks
from .regions import INDEX as REGION

PATTERNS = (
    "liner", "lashes", "stubble", "moustache_hair", "freckles", "forehead_lines", "eye_lines", "mouth_lines", "creases",
)  # fmt: skip
INDEX = {name: k for k, name in enumerate(PATTERNS)}
WEARABLES = ("frame", "lens", "hat", "band")
VARIANTS = 16


def draw_patterns(mean: np.ndarray, variants: int = VARIANTS, seed: int = 0) -> Tensor:
    """Draw PATTERNS on the mean face (68, 2): (variants, 9, S, S).

    Liner, lashes, hairs and freckles are 1 where there is pigment. Lines are 1 in their dark valley and a little
    below 0 on the ridges beside it, as light makes them.
    """
    rng = np.random.default_rng(seed)
    pen = Pen(mean, ATLAS_PX)
    regions = region_masks(mean)
    return torch.from_numpy(np.stack([_one(pen, regions, rng) for _ in range(variants)])).float()


def _one(pen: Pen, regions: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    def dots(density: float, size: float) -> np.ndarray:
        seeds = (rng.random((ATLAS_PX, ATLAS_PX)) < density) * rng.uniform(0.4, 1, (ATLAS_PX, ATLAS_PX))
        spots = gaussian_filter(seeds, size)
        return np.clip(spots * 2 * np.pi * size**2, 0, 1)

    def region(name: str) -> np.ndarray:
        return regions[REGION[name]]

    hairs = np.clip(0.5 + gaussian_filter(rng.standard_normal((ATLAS_PX, ATLAS_PX)), (2.5, 1.0)) * 1.8, 0.25, 1)
    stubble = (0.6 + 0.4 * dots(0.25, 0.9)) * np.clip(region("beard") + region("moustache"), 0, 1)
    spotted = region("cheek_skin") + region("cheeks") + 0.6 * region("glow") + 0.25 * region("skin")
    freckles = dots(rng.uniform(0.004, 0.01), rng.uniform(1.8, 2.4)) * np.clip(spotted, 0, 1)
    return np.stack([
        _liner(pen, rng), _lashes(pen, rng), stubble, hairs * region("moustache"), freckles, _forehead(pen, rng),
        _crow_feet(pen, rng), _folds(pen, rng), _creases(pen, rng),
    ])  # fmt: skip


def _valley(pen: Pen, lines: list[np.ndarray], width: float) -> np.ndarray:
    """A dark line, with a ridge of light on both sides."""
    core = pen.strokes(*lines, width=width, blur=width * 0.35)
    ridge = pen.strokes(*lines, width=2.6 * width, blur=width * 0.9)
    return np.clip(core / max(core.max(), 0.2) - 0.45 * ridge, -0.4, 1)


def _liner(pen: Pen, rng: np.random.Generator) -> np.ndarray:
    p, unit, lines = pen.points, pen.unit, []
    wing = rng.uniform(0, 0.07)
    for eye, outer, way in zip(marks.EYES, (0, 3), (-1, 1), strict=True):
        a, b, c, d, e, f = p[eye]
        upper = np.stack([a, b, c, d]) - [0, 0.008 * unit]
        tip = p[eye][outer] + np.array([way * wing, -0.6 * wing]) * unit
        lines.append(np.concatenate([tip[None], upper]) if outer == 0 else np.concatenate([upper, tip[None]]))
        if rng.random() < 0.6:
            lines.append(np.stack([a, f, e, d]) + np.array([0, 0.008 * unit]))
    line = pen.strokes(*lines, width=rng.uniform(0.018, 0.034), blur=0.006)
    return line / line.max()


def _lashes(pen: Pen, rng: np.random.Generator) -> np.ndarray:
    p, unit, lines = pen.points, pen.unit, []
    for eye, way in zip(marks.EYES, (-1, 1), strict=True):
        a, b, c, d = p[eye][:4]
        edge = np.stack([a, b, c, d])
        for t in np.linspace(0.02, 0.98, 12):
            root = np.array([np.interp(t, [0, 0.33, 0.67, 1], edge[:, k]) for k in (0, 1)])
            outward = (t if way > 0 else 1 - t) ** 1.5
            length = rng.uniform(0.03, 0.055) * unit
            lines.append(np.stack([root, root + length * np.array([way * (outward - 0.15), -0.8])]))
    strokes = pen.strokes(*lines, width=0.011, blur=0.006)
    return strokes / strokes.max()


def _forehead(pen: Pen, rng: np.random.Generator) -> np.ndarray:
    p, unit = pen.points, pen.unit
    lines = []
    for height in np.linspace(0.17, 0.36, rng.integers(2, 5)) + rng.normal(0, 0.012):
        x = np.linspace(p[18, 0] + rng.uniform(0, 0.12) * unit, p[25, 0] - rng.uniform(0, 0.12) * unit, 14)
        s = (x - x.mean()) / np.ptp(x) * 2
        y = p[marks.BOTH_BROWS, 1].mean() - unit * (height - 0.03 * s**2 + rng.uniform(-0.02, 0.03) * np.cos(np.pi * s))
        lines.append(np.stack([x, y + rng.normal(0, 0.005 * unit, 14)], 1))
    if rng.random() < 0.4:  # between the brows
        for way in (-1, 1):
            x = p[27, 0] + way * 0.045 * unit
            lines.append(np.array([[x, p[21, 1] + 0.05 * unit], [x + way * 0.01 * unit, p[21, 1] - 0.07 * unit]]))
    return _valley(pen, lines, rng.uniform(0.013, 0.02))


def _crow_feet(pen: Pen, rng: np.random.Generator) -> np.ndarray:
    p, unit, lines = pen.points, pen.unit, []
    for outer, way in zip(marks.OUTER_CANTHI, (-1, 1), strict=True):
        for angle in np.linspace(-0.5, 0.55, rng.integers(3, 6)) + rng.normal(0, 0.05):
            t = np.linspace(0.035, rng.uniform(0.13, 0.2), 6)[:, None] * unit
            heading = np.array([way * np.cos(angle), np.sin(angle)])
            lines.append(p[outer] + t * heading + [0, 1] * (t / unit) ** 2 * unit * rng.uniform(0, 1))
    return _valley(pen, lines, rng.uniform(0.011, 0.016))


def _folds(pen: Pen, rng: np.random.Generator) -> np.ndarray:
    p, unit = pen.points, pen.unit
    lines = fold_lines(p, unit)
    if rng.random() < 0.4:  # from the corners down
        for corner, way in zip(marks.MOUTH_CORNERS, (-1, 1), strict=True):
            lines.append(p[corner] + np.array([[way * 0.03, 0.03], [way * 0.045, 0.1], [way * 0.04, 0.17]]) * unit)
    return _valley(pen, lines, rng.uniform(0.02, 0.032))


def _creases(pen: Pen, rng: np.random.Generator) -> np.ndarray:
    """Draw the lower edge of the bags under the eyes."""
    p, unit, lines = pen.points, pen.unit, []
    for eye in marks.EYES:
        a, _, _, d, e, f = p[eye]
        low = rng.uniform(0.09, 0.13) * unit
        lines.append(
            np.stack(
                [
                    a + np.array([0, 0.45 * low]),
                    f + np.array([0, low]),
                    e + np.array([0, 1.05 * low]),
                    d + np.array([0, 0.6 * low]),
                ]
            )
        )
    return _valley(pen, lines, rng.uniform(0.014, 0.022))


def draw_wearables(mean: np.ndarray, variants: int = VARIANTS, seed: int = 1) -> Tensor:
    """Draw glasses and hats on the mean face: (variants, 4, S, S) of frame, lens, hat and its band or brim."""
    rng = np.random.default_rng(seed)
    pen = Pen(mean, ATLAS_PX)
    drawn = [np.stack([*_glasses(pen, rng), *_hat(pen, rng, k)]) for k in range(variants)]
    return torch.from_numpy(np.stack(drawn)).float()


def _glasses(pen: Pen, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    p, unit = pen.points, pen.unit
    wide, tall = rng.uniform(0.24, 0.31), rng.uniform(0.16, 0.27)
    power, slant = rng.uniform(1.8, 5), rng.uniform(-0.25, 0.25)
    thick = rng.uniform(0.012, 0.05)
    rims, lines = [], []
    angle = np.linspace(0, 2 * np.pi, 40)
    drop = rng.uniform(0.0, 0.05) * unit
    for eye, way in zip(marks.EYES, (-1, 1), strict=True):
        center = p[eye].mean(0) + np.array([way * 0.03 * unit, drop])
        x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power) * wide
        y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power) * tall
        rim = center + np.stack([x, y - way * slant * x * (y < 0)], 1) * unit
        rims.append(rim)
        ear = p[0 if way < 0 else 16]
        lines += [
            rim,
            np.stack([center + np.array([way * wide * unit, -0.4 * tall * unit]), ear + np.array([0, -0.12 * unit])]),
        ]
    bridge = (p[36:42].mean(0) + p[42:48].mean(0)) / 2 + [0, drop - 0.05 * unit]
    half = max(0.02, (p[42:48, 0].mean() - p[36:42, 0].mean()) / 2 / unit + 0.03 - wide)
    lines.append(np.stack([bridge - [half * unit, 0], bridge - [0, 0.02 * unit], bridge + np.array([half * unit, 0])]))
    frame = pen.strokes(*lines, width=thick, blur=0.004)
    return frame / frame.max(), pen.fill(*rims, blur=0.004)


def _hat(pen: Pen, rng: np.random.Generator, kind: int) -> tuple[np.ndarray, np.ndarray]:
    p, unit = pen.points, pen.unit
    middle, brow = p[27, 0], p[marks.BOTH_BROWS, 1].mean()
    edge = brow - rng.uniform(0.1, 0.3) * unit
    wide = rng.uniform(0.82, 0.95) * unit
    x = np.linspace(-1, 1, 21)
    dome = np.stack([middle + wide * x, edge - 1.3 * unit * np.clip(1 - x**2, 0, 1) ** 0.4], 1)
    curve = np.stack([middle + wide * x[::-1], edge + 0.12 * unit * (x[::-1] ** 2)], 1)
    hat = pen.fill(np.concatenate([dome, curve]), blur=0.01)
    if kind % 3 == 0:  # a knitted cap's rim
        band = pen.strokes(curve - [0, 0.1 * unit], width=0.2, blur=0.01)
    elif kind % 3 == 1:  # a cap's peak
        peak = np.concatenate(
            [curve * [0.8, 1] + [0.2 * middle, 0], curve[::-1] * [0.8, 1] + [0.2 * middle, -0.14 * unit]]
        )
        band = pen.fill(peak, disc(np.array([middle, edge]), 0.12 * unit), blur=0.01)
    else:  # a brim all around
        ring = disc(np.array([0.0, 0.0]), 1.0) * [rng.uniform(1.2, 1.7) * unit, rng.uniform(0.1, 0.2) * unit]
        band = pen.fill(grown(ring + np.array([middle, edge]), 1.0), blur=0.01)
    return hat, np.clip(band, 0, 1)
