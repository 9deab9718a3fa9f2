"""Contact sheets: a row for each face, the photo and then an edit in each column."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from flowedit.photo.files import write_atomically

CELL_PX = 224
HEAD_PX = 26  # for the columns' names
ROWS = 8  # faces on one sheet


def save_sheets(
    path: Path, headings: Sequence[str], names: Sequence[str], columns: Sequence[Sequence[np.ndarray]]
) -> list[Path]:
    """Draw columns of (224, 224, 3) uint8 pictures, 8 rows to a sheet: PATH, then PATH's name with -2, -3 ...

    Args:
        path: the first PNG; its folder is made.
        headings: one for each column.
        names: one for each row, written small into the first column.
        columns: pictures by column, then by row.
    """
    from PIL import Image, ImageDraw, ImageFont

    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    for first in range(0, len(names), ROWS):
        rows = names[first : first + ROWS]
        sheet = Image.new("RGB", (CELL_PX * len(columns), HEAD_PX + CELL_PX * len(rows)), "white")
        draw = ImageDraw.Draw(sheet)
        for i, (heading, column) in enumerate(zip(headings, columns, strict=True)):
            draw.text((i * CELL_PX + 6, 5), heading, "black", ImageFont.load_default(15))
            for j, picture in enumerate(column[first : first + ROWS]):
                sheet.paste(Image.fromarray(picture), (i * CELL_PX, HEAD_PX + j * CELL_PX))
        for j, name in enumerate(rows):
            low = HEAD_PX + (j + 1) * CELL_PX - 16
            draw.text((4, low), name, "white", ImageFont.load_default(11), stroke_width=1, stroke_fill="black")
        number = first // ROWS + 1
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        written.append(write_atomically(target, partial(sheet.save, format="PNG")))
    return written
