"""What the tracker looks at: gray cells of a frame, and aligned squares of them."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from flowedit.checks import describe, require
from flowedit.face.crop import Crop
from flowedit.field.offsets import pixel_centers
from flowedit.kernels import Interpolation, sample

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels; bottom and right exclusive


def check_frame(frame: np.ndarray) -> None:
    """Validate an (H, W, 3) array of uint8 or uint16."""
    good = isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3 and frame.size > 0
    require(good, f"frame must be an array of shape (H, W, 3), with at least one pixel; got {describe(frame)}")
    require(frame.dtype in (np.uint8, np.uint16), f"frame must be uint8 or uint16; got {frame.dtype}", TypeError)


def gray_cells(frame: np.ndarray, box: Box, step: int) -> np.ndarray:
    """Average cells of a part of a frame to gray, (R + 2 G + B) / 4: (h, w) uint8, partial cells left out.

    Of a cell larger than 2 x 2 four pixels are read: enough against noise and aliasing, whatever the frame's size.
    """
    top, left, bottom, right = box
    rows, columns = max(1, (bottom - top) // step), max(1, (right - left) // step)
    total = np.zeros((rows, columns), np.uint16)
    reads = [(0, 0)] if step == 1 else [(i, j) for i in (0, step // 2) for j in (0, step // 2)]
    for i, j in reads:
        part = frame[top + i : bottom : step, left + j : right : step][:rows, :columns]
        part = part if frame.dtype == np.uint8 else (part >> 8).astype(np.uint8)
        for channel, weight in ((0, 0), (1, 1), (2, 0)):
            total += part[..., channel].astype(np.uint16) << weight
    return ((total + 2 * len(reads)) // (4 * len(reads))).astype(np.uint8)


def aligned_gray(frame: np.ndarray, crop: Crop, size: int) -> np.ndarray:
    """Read a crop in gray, (size, size) uint8; pixels at the frame's border repeat outside it."""
    step = max(1, round(crop.side_px / size))
    height, width = frame.shape[:2]
    top, left, bottom, right = crop.box(height, width)
    top, left = max(0, min(top, height - 1) - 2 * step), max(0, min(left, width - 1) - 2 * step)
    bottom, right = min(height, max(bottom, top + 1) + 2 * step), min(width, max(right, left + 1) + 2 * step)
    step = min(step, bottom - top, right - left)
    cells = torch.from_numpy(gray_cells(frame, (top, left, bottom, right), step))[None].float()
    (a, b, x0), (c, d, y0) = crop.matrix.tolist()
    x, y = _grid(size)
    px = ((a / step) * x + (b / step) * y).add_((x0 - left) / step - 0.5)
    py = ((c / step) * x + (d / step) * y).add_((y0 - top) / step - 0.5)
    return sample(cells, px, py, Interpolation.LINEAR).round_().to(torch.uint8).reshape(size, size).numpy()


def thumbnail(frame: np.ndarray, cells: int = 24) -> np.ndarray:
    """Return a coarse gray copy of a frame, about `cells` along its longer side, to compare with the next: float32."""
    step = max(1, max(frame.shape[:2]) // cells)
    return gray_cells(frame, (0, 0, *frame.shape[:2]), min(step, *frame.shape[:2])).astype(np.float32)


@lru_cache(maxsize=8)
def _grid(size: int) -> tuple[Tensor, Tensor]:
    x, y = pixel_centers(size).reshape(-1, 2).T.contiguous()
    return x, y
