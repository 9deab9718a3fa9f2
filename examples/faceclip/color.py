"""sRGB and CIELAB (D65), differentiable and batched, and the face masks that color captions are measured in."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter
from torch import Tensor

from flowedit.face.measures import TO_XYZ, WHITE

MASKS = ("lips", "skin", "cheeks", "brows", "irises", "hair")


def lab_to_rgb(lab: Tensor) -> Tensor:
    """Inverse of `rgb_to_lab`; colors outside sRGB leave [0, 1]."""
    light, a, b = lab.unbind(1)
    y = (light + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], 1)
    xyz = torch.where(root > 0.2068966, root**3, (root - 16 / 116) / 7.787)
    linear = torch.einsum("ij,bjhw->bihw", torch.linalg.inv(TO_XYZ / WHITE[:, None]), xyz)
    return torch.where(linear > 0.0031308, 1.055 * linear.clamp(min=1e-6) ** (1 / 2.4) - 0.055, 12.92 * linear)


def face_masks(landmarks: np.ndarray, size: int = 64) -> np.ndarray:
    """Draw MASKS for one face.

    Args:
        landmarks: (68, 2) in crop coordinates [-1, 1].

    Returns:
        (6, size, size) uint8, 255 inside, soft at the edges.
    """
    scale = 4  # drawn large and reduced, so that edges are soft
    p = (landmarks + 1) / 2 * size * scale
    unit = float(np.hypot(*(p[45] - p[36])))
    up = (p[27] - p[8]) / np.hypot(*(p[27] - p[8]))

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
    outline = np.concatenate([p[0:17], (p[17:27] + arch * unit * up)[::-1]])
    mouth = draw(p[48:60])
    lips = np.clip(mouth - draw(p[60:68], blur=0.01), 0, 1)
    eyes = draw(grown(p[36:42], 1.5), grown(p[42:48], 1.5))
    thick = 0.05 * unit * up
    brows = draw(
        *(np.concatenate([p[a:b] + thick, (p[a:b] - thick)[::-1]]) for a, b in ((17, 22), (22, 27))),
        blur=0.02,
    )
    cheek = [0.5 * (p[e] + p[m]) + 0.25 * (p[s] - p[n]) for e, m, s, n in ((36, 48, 2, 31), (45, 54, 14, 35))]
    cheeks = draw(*(disc(c, 0.13 * unit) for c in cheek), blur=0.07)
    irises = draw(*(disc(p[a:b].mean(0), 0.055 * unit) for a, b in ((36, 42), (42, 48))), blur=0.015)
    whole = draw(outline, blur=0.04)
    skin = np.clip(whole - mouth - eyes - brows - cheeks, 0, 1)
    middle = p[27] + 0.02 * unit * up
    head, face = (disc(middle, r * unit) for r in (1.35, 0.95))
    below = disc(middle - 1.7 * unit * up, 1.55 * unit)
    hair = np.clip(draw(head) - draw(face) - draw(below) - draw(grown(outline, 1.05)), 0, 1)
    return np.round(255 * np.stack([lips, skin, cheeks, brows, irises, hair])).astype(np.uint8)


def masks_for(landmarks: np.ndarray) -> Tensor:
    """(N, 68, 2) crop coordinates to (N, 6, 64, 64) uint8."""
    return torch.from_numpy(np.stack([face_masks(each) for each in landmarks]))
