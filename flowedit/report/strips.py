"""Many pictures on one sheet, and one edit at many strengths: a strip, and the pictures of an animation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowedit.checks import require
from flowedit.photo.metadata import Metadata
from flowedit.photo.photo import quantize, save
from flowedit.photo.raster import ROWS, Rows, regroup, row_counts
from flowedit.transform.eyes import moves_eyes
from flowedit.transform.render import EditedPhoto

SIDE_PX = 384  # of one picture; even, as video asks for
HEAD_PX = 30  # for a heading or a label
FRAMES, RATE = 24, 16  # one way, and a second


def frames(edited: EditedPhoto, strengths: Sequence[float], side: int = SIDE_PX) -> list[np.ndarray]:
    """Draw the first face's crop at each strength: (side, side, 3) uint8.

    Args:
        edited: has a photo.
        strengths: 0 is the photo, 1 the edit as optimized, whatever the edit's own strength; beyond 1 it is overdone,
            below 0 turned around.
        side: pixels.

    Raises:
        ValueError: no strength, one that is not finite, or an edit without a photo.
    """
    require(len(strengths) > 0, "strengths must be at least one number; got none")
    require(all(map(math.isfinite, strengths)), f"strengths must be finite numbers; got {list(strengths)}")
    crop, edited = edited.crops()[0], edited.over_white()
    # The edge of a lid or an iris goes through pixels, of which `crop_image` reads one place.
    draw = EditedPhoto.saved_crop if moves_eyes(edited.transforms) else EditedPhoto.crop_image
    return [quantize(draw(edited.at(strength), crop, side), np.uint8) for strength in strengths]


def save_strip(
    edited: EditedPhoto, path: str | Path, strengths: Sequence[float], note: dict[str, Any] | None = None
) -> Path:
    """Write a row of pictures, each under its strength; the one that the identity budget chose is named.

    Args:
        edited: has a photo.
        path: see `save_sheet`.
        strengths: see `frames`; the edit's own is put among them.
        note: a record for the file, see `photo.save`.

    Raises:
        ValueError: see `frames`, or another kind of file.
        OSError: it cannot be written.
    """
    shown = sorted({*strengths, edited.strength})
    names = [f"strength {each:.3g}{' (its own)' if each == edited.strength else ''}" for each in shown]
    return save_sheet(path, [frames(edited, shown)], names, icc=edited.original.metadata.icc, note=note)


def save_variants(edits: Sequence[EditedPhoto], path: str | Path, note: dict[str, Any] | None = None) -> Path:
    """Write a row of pictures: the face, and what each edit of it makes at its own strength.

    Args:
        edits: of one photo, at least one.
        path: see `save_sheet`.
        note: a record for the file, see `photo.save`.

    Raises:
        ValueError, OSError: see `save_strip`.
    """
    names = ["photo", *(f"variant {i}" for i in range(1, len(edits) + 1))]
    pictures = [*frames(edits[0], [0.0]), *(frames(edited, [edited.strength])[0] for edited in edits)]
    return save_sheet(path, [pictures], names, icc=edits[0].original.metadata.icc, note=note)


def coming_and_going(edited: EditedPhoto, most: float | None = None) -> list[np.ndarray]:
    """Draw the edit coming and going, to be shown in a loop at `RATE` pictures a second: see `frames`.

    Args:
        edited: has a photo.
        most: the largest strength; None is the edit's own.

    Raises:
        ValueError: see `frames`.
    """
    most = edited.strength if most is None else most
    there = frames(edited, [most * (1 - math.cos(math.pi * k / FRAMES)) / 2 for k in range(FRAMES + 1)])
    return [*there, *there[-2:0:-1]]


def save_sheet(
    path: str | Path,
    rows: Sequence[Sequence[np.ndarray | Rows]],
    headings: Sequence[str] = (),
    labels: Sequence[str] = (),
    icc: bytes | None = None,
    note: dict[str, Any] | None = None,
) -> Path:
    """Write a contact sheet: pictures in rows and columns.

    Args:
        path: ends as a photo's file may.
        rows: (h, w, 3) uint8 pictures, all of one size, as arrays or as rows.
        headings: one for each column, written above it; none leaves no room for them.
        labels: one for each row, written small into its first picture.
        icc: color profile of the pictures.
        note: a record for the file, see `photo.save`.

    Raises:
        ValueError: another kind of file.
        OSError: it cannot be written.
    """
    height, width, _ = rows[0][0].shape
    head = HEAD_PX if headings else 0
    shape = (head + height * len(rows), width * len(rows[0]), 3)

    def bands() -> Iterator[np.ndarray]:
        if headings:
            line = np.full((HEAD_PX, *shape[1:]), 255, np.uint8)
            for j, heading in enumerate(headings):
                write_text(line, (j * width + 6, 5), heading, 16, fill="black")
            yield line
        for i, row in enumerate(rows):
            foot = min(HEAD_PX, height) if i < len(labels) else 0
            counts = [*row_counts(height - foot, ROWS), *([foot] if foot else [])]
            sources = [regroup(picture.parts if isinstance(picture, Rows) else [picture], counts) for picture in row]
            for k, pieces in enumerate(zip(*sources, strict=True)):
                band = np.concatenate(pieces, axis=1)
                if foot and k == len(counts) - 1:
                    write_text(band, (6, 5), labels[i], 11, fill="white", stroke_width=1, stroke_fill="black")
                yield band

    return save(path, lambda dtype: Rows(shape, dtype, bands()), metadata=Metadata(icc), note=note)


def write_text(picture: np.ndarray, place: tuple[int, int], text: str, size: int, **how: Any) -> None:
    """Write a line of text into (h, w, 3) uint8 pixels; what goes beyond its right edge is cut.

    Args:
        picture: changed in place.
        place: left and top of the text, pixels.
        text: Latin letters are in the font, others become boxes.
        size: of the letters, pixels.
        how: colors and strokes, see Pillow's `ImageDraw.text`.
    """
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text(place, text, font=ImageFont.load_default(size), **how)
    picture[:] = image
