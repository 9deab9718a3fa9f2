"""A decoded picture, and how it is filled and read some rows at a time."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from flowedit.photo.metadata import Metadata

ROWS = 256  # converted at a time: a large picture's copies would cost more than the picture


class Rows(NamedTuple):
    """A picture that is made some rows at a time, once, so that it need never be there as a whole.

    Attributes:
        shape: (H, W, 3), or (H, W, 4) with alpha.
        dtype: of its numbers.
        parts: (h, W, channels) arrays, from top to bottom.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    parts: Iterable[np.ndarray]

    def bands(self, n: int = ROWS) -> Iterator[np.ndarray]:
        """Yield n rows at a time; the last band may have fewer."""
        return regroup(self.parts, row_counts(self.shape[0], n))

    def whole(self) -> np.ndarray:
        """Return all of it."""
        out, top = np.empty(self.shape, self.dtype), 0
        for part in self.parts:
            out[top : top + len(part)] = part
            top += len(part)
        return out


class Raster(NamedTuple):
    """A decoded picture, upright: `pixels` (H, W, 3) RGB, `alpha` (H, W) or None, both of one dtype."""

    pixels: np.ndarray
    alpha: np.ndarray | None
    format: str | None
    metadata: Metadata

    def stacked(self, rows: slice = slice(None)) -> np.ndarray:
        """Return color and alpha of some rows in one array: (h, W, 3 or 4)."""
        color = self.pixels[rows]
        return color if self.alpha is None else np.dstack([color, self.alpha[rows]])

    def rows(self) -> Rows:
        """Return color and alpha as rows."""
        height, width, _ = self.pixels.shape
        parts = (self.stacked(rows) for rows in strips(height))
        return Rows((height, width, 3 if self.alpha is None else 4), self.pixels.dtype, parts)


class Drawing(NamedTuple):
    """A picture to be written that is made meanwhile."""

    drawn: Rows
    format: str
    metadata: Metadata

    def stacked(self) -> np.ndarray:
        """Return all of it in one array."""
        return self.drawn.whole()

    def rows(self) -> Rows:
        """Return it as rows, once."""
        return self.drawn


class Canvas:
    """An upright picture that is filled in the order in which its file stores it, so that it is never copied.

    Attributes:
        pixels: (H, W, 3), upright; alpha (H, W) or None.
    """

    def __init__(self, width: int, height: int, dtype: np.dtype, has_alpha: bool, orientation: int) -> None:
        self._orientation = orientation
        size = (width, height) if orientation in (5, 6, 7, 8) else (height, width)
        self.pixels = np.zeros((*size, 3), dtype)
        self.alpha = np.zeros(size, dtype) if has_alpha else None

    @property
    def stored(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Views of color and alpha as the file stores them; EXIF 2.3 counts 8 orientations, anything else means 1."""
        return self._turned(self.pixels), None if self.alpha is None else self._turned(self.alpha)

    def _turned(self, array: np.ndarray) -> np.ndarray:
        if self._orientation in (2, 3, 6, 7):
            array = array[:, ::-1]
        if self._orientation in (3, 4, 7, 8):
            array = array[::-1]
        return array.swapaxes(0, 1) if self._orientation in (5, 6, 7, 8) else array


def strips(height: int) -> Iterator[slice]:
    """Yield the rows of a picture, some at a time."""
    for top in range(0, height, ROWS):
        yield slice(top, min(top + ROWS, height))


def row_counts(height: int, n: int) -> list[int]:
    """Return the numbers of rows of bands of n, of which the last may have fewer."""
    return [min(n, height - top) for top in range(0, height, n)]


def regroup(parts: Iterable[np.ndarray], counts: Iterable[int]) -> Iterator[np.ndarray]:
    """Yield the rows of parts in bands of other heights, which together are as many."""
    source, rest = iter(parts), np.empty(0)
    for count in counts:
        pieces: list[np.ndarray] = []
        while count > 0:
            rest = rest if len(rest) else next(source)
            pieces.append(rest[:count])
            rest, count = rest[count:], count - len(pieces[-1])
        yield pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def divide_by_alpha(color: np.ndarray, alpha: np.ndarray) -> None:
    """Divide uint16 colors (H, W, 3) that were multiplied by alpha (H, W), in place."""
    for rows in strips(len(color)):
        quotient = np.rint(color[rows] * (65535 / np.maximum(alpha[rows, :, None], 1)))
        color[rows] = np.minimum(quotient, 65535)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Turn whatever a library raises on damaged data (it is a zoo) into one ValueError, and hold back its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:
            detail = str(error) or type(error).__name__
            raise ValueError(f"the file is truncated or damaged ({detail})") from error
