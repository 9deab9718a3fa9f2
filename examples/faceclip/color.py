"""The face masks that color captions are measured in."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from flowedit.face import landmarks as marks

MASKS = ("lips", "skin", "cheeks", "brows", "irises", "hair")


def face_masks(landmarks: np.ndarray, size: int = 64) -> np.ndarray:
    """Draw MASKS for one face.

    Args:
        landmarks: (68, 2) in crop coordinates [-1, 1].

    Returns:
        (6, size, size) uint8, 255 inside, soft at the edges.
    """
    scale = 4  # drawn large and reduced, so that edges are soft
    p = (landmarks + 1) / 2 * size * scale
    unit = float(np.hypot(*(p[marks.OUTER_CANTHI[1]] - p[marks.OUTER_CANTHI[0]])))
    up = p[marks.NOSE_ROOT] - p[marks.CHIN]
    up = up / np.hypot(*up)

    def draw(*polygons: np.ndarray, blur: float = 0.03) -> np.ndarray:
        canvas = Image.new("L", (size * scale, size * scale))
        for polygon in polygons:
            ImageDraw.Draw(canvas).polygon([tuple(q) for q in polygon], fill=255)
        canvas = canvas.filter(ImageFilter.GaussianBlur(blur * unit))
        return np.asarray(canvas.resize((size, size), Image.Resampling.BOX), np.float32) / 255

    def disc(centre: np.ndarray, radius: float) -> np.ndarray:
        angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        return centre + radius * np.stack([np.cos(angle), np.sin(angle)], 1)

    def grown(polygon: np.ndarray, factor: float) -> np.ndarray:
        return polygon.mean(0) + factor * (polygon - polygon.mean(0))

    arch = 0.2 + 0.28 * np.sin(np.linspace(0, np.pi, 10))[:, None]  # the forehead's height above the brows
    outline = np.concatenate([p[marks.JAW], (p[marks.BOTH_BROWS] + arch * unit * up)[::-1]])
    mouth = draw(p[marks.OUTER_LIPS])
    lips = np.clip(mouth - draw(p[marks.INNER_LIPS], blur=0.01), 0, 1)
    eyes = draw(*(grown(p[eye], 1.5) for eye in marks.EYES))
    thick = 0.05 * unit * up
    brows = draw(
        *(np.concatenate([p[brow] + thick, (p[brow] - thick)[::-1]]) for brow in marks.BROWS),
        blur=0.02,
    )
    around = zip(marks.OUTER_CANTHI, marks.MOUTH_CORNERS, marks.CHEEKS, marks.NOSE_WINGS, strict=True)
    cheek = [0.5 * (p[e] + p[m]) + 0.25 * (p[s] - p[n]) for e, m, s, n in around]
    cheeks = draw(*(disc(c, 0.13 * unit) for c in cheek), blur=0.07)
    irises = draw(*(disc(p[eye].mean(0), 0.055 * unit) for eye in marks.EYES), blur=0.015)
    whole = draw(outline, blur=0.04)
    skin = np.clip(whole - mouth - eyes - brows - cheeks, 0, 1)
    middle = p[marks.NOSE_ROOT] + 0.02 * unit * up
    head, face = (disc(middle, r * unit) for r in (1.35, 0.95))
    below = disc(middle - 1.7 * unit * up, 1.55 * unit)
    hair = np.clip(draw(head) - draw(face) - draw(below) - draw(grown(outline, 1.05)), 0, 1)
    return np.round(255 * np.stack([lips, skin, cheeks, brows, irises, hair])).astype(np.uint8)


def masks_for(landmarks: np.ndarray) -> Tensor:
    """(N, 68, 2) crop coordinates to (N, 6, 64, 64) uint8."""
    return torch.from_numpy(np.stack([face_masks(each) for each in landmarks]))
