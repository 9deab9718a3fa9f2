"""Planes of a video frame: turned, padded, and changed by as much as an edit changes RGB, and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from flowedit.video.frames import Box

_LUMA = {"ITU601": (0.299, 0.114), "ITU709": (0.2126, 0.0722), "SMPTE240M": (0.212, 0.087), "BT2020": (0.2627, 0.0593)}


@dataclass(frozen=True)
class Layout:
    """How the samples of one pixel format are stored: each component a plane of its own.

    Attributes:
        kind: "yuv" (planes Y, Cb, Cr), "rgb" (planes G, B, R) or "gray" (plane Y).
        depth: bits of a sample: 8 in uint8, more in uint16.
        across: the chroma planes are as many times narrower: 1 or 2.
        down: they are as many times lower: 1 or 2.
    """

    kind: Literal["yuv", "rgb", "gray"]
    depth: int
    across: int = 1
    down: int = 1

    @property
    def dtype(self) -> type:
        """Of the samples."""
        return np.uint8 if self.depth == 8 else np.uint16

    @property
    def name(self) -> str:
        """The pixel format's name in FFmpeg, little-endian."""
        chroma = {(1, 1): "444", (2, 1): "422", (2, 2): "420"}
        stem = {"yuv": f"yuv{chroma.get((self.across, self.down))}p", "rgb": "gbrp", "gray": "gray"}[self.kind]
        return stem if self.depth == 8 else f"{stem}{self.depth}le"

    def turned(self) -> Layout | None:
        """Return the layout of the same samples after a quarter turn; None where there is no such format."""
        return self if self.across == self.down else None


LAYOUTS = {
    layout.name: layout
    for depth in (8, 10, 12)
    for layout in (
        *(Layout("yuv", depth, *chroma) for chroma in ((2, 2), (2, 1), (1, 1))),
        Layout("rgb", depth),
        Layout("gray", depth),
    )
}


@dataclass(frozen=True)
class Colors:
    """How RGB relates to the samples of a frame.

    Attributes:
        matrix: "ITU601", "ITU709", "SMPTE240M" or "BT2020".
        full: samples use their whole range, not 16 to 235 (of 8 bits; chroma 16 to 240).
    """

    matrix: str
    full: bool

    def to_samples(self, layout: Layout) -> np.ndarray:
        """Return the (planes, 3) float32 matrix from a difference of RGB in [0, 1] to one of samples."""
        top = (1 << layout.depth) - 1
        if layout.kind == "rgb":
            return np.array([[0, top, 0], [0, 0, top], [top, 0, 0]], np.float32)
        red, blue = _LUMA[self.matrix]
        luma = np.array([red, 1 - red - blue, blue])
        step = 1 << layout.depth - 8
        luma_range, chroma_range = (top, top) if self.full else (219 * step, 224 * step)
        rows = [luma * luma_range]
        if layout.kind == "yuv":
            rows.append((np.array([0, 0, 1]) - luma) / (2 * (1 - blue)) * chroma_range)
            rows.append((np.array([1, 0, 0]) - luma) / (2 * (1 - red)) * chroma_range)
        return np.array(rows, np.float32)


def turn(planes: Sequence[np.ndarray], quarters: int) -> list[np.ndarray]:
    """Turn planes counterclockwise by quarters of a turn; views, no copies."""
    return [np.rot90(plane, quarters) for plane in planes]


def aligned(box: Box, layout: Layout, height: int, width: int) -> Box:
    """Grow a box to whole chroma samples, within the frame."""
    top, left, bottom, right = box
    down, across = layout.down, layout.across
    bottom, right = -(-bottom // down) * down, -(-right // across) * across
    return top // down * down, left // across * across, min(bottom, height), min(right, width)


def add_difference(
    planes: Sequence[np.ndarray],
    layout: Layout,
    colors: Colors,
    at: tuple[int, int],
    before: np.ndarray,
    now: np.ndarray,
) -> None:
    """Change samples, in place, by what a change of RGB comes to; where RGB is the same, they keep their bits.

    Samples are never converted to RGB and back: a chroma sample changes by the mean over the pixels that it covers, and
    one whose pixels all stay does not change.

    Args:
        planes: of a whole frame, writable.
        layout: theirs.
        colors: likewise.
        at: (top, left) of the patch, in pixels.
        before: (h, w, 3) uint8 or uint16 RGB of the frame there.
        now: the same after the edit.
    """
    (top, left), (height, width) = at, planes[0].shape
    box = aligned((top, left, top + len(now), left + now.shape[1]), layout, height, width)
    change = np.zeros((box[2] - box[0], box[3] - box[1], 3), np.float32)
    inner = change[top - box[0] :, left - box[1] :][: len(now), : now.shape[1]]
    np.subtract(now, before, out=inner, dtype=np.float32)
    inner /= np.iinfo(now.dtype).max
    matrix = colors.to_samples(layout)
    for index, (plane, row) in enumerate(zip(planes, matrix, strict=True)):
        down, across = (layout.down, layout.across) if index and layout.kind == "yuv" else (1, 1)
        amount = _pool(change @ row, down, across)
        part = plane[box[0] // down :, box[1] // across :][: amount.shape[0], : amount.shape[1]]
        np.clip(np.rint(part + amount), 0, (1 << layout.depth) - 1, out=amount)
        part[...] = amount


def _pool(amount: np.ndarray, down: int, across: int) -> np.ndarray:
    """Average cells of (down, across) pixels; at an odd end, the pixels that there are."""
    if (down, across) == (1, 1):
        return amount
    height, width = amount.shape
    if height % down or width % across:
        amount = np.pad(amount, ((0, -height % down), (0, -width % across)), mode="edge")
    cells = amount[::down] if down == 1 else amount[::down] + amount[1::down]
    cells = cells if across == 1 else cells[:, ::across] + cells[:, 1::across]
    return cells / (down * across)


def pad(plane: np.ndarray, out: np.ndarray) -> None:
    """Copy a plane, or (H, W, 3) pixels, into a larger or equal one; the last row and column repeat."""
    height, width = plane.shape[:2]
    out[:height, :width] = plane
    out[:height, width:] = plane[:, -1:]
    out[height:] = out[height - 1]
