"""Contact sheets: a row for each face, the photo and then an edit in each column."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowedit.photo import codec
from flowedit.report.strips import save_sheet

CELL_PX = 224
ROWS = 8  # faces on one sheet


def sheet_file(text: str) -> Path:
    """Return the path of a --sheet, once its ending is sure to be one that a sheet can have."""
    path = Path(text)
    if path.suffix.lower() not in codec.FORMATS:
        raise argparse.ArgumentTypeError(f"must end in one of {', '.join(codec.FORMATS)}; got {text}")
    return path


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
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(zip(*columns, strict=True))
    written = []
    for number, first in enumerate(range(0, len(names), ROWS), 1):
        target = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
        part = slice(first, first + ROWS)
        written.append(save_sheet(target, rows[part], headings, names[part]))
    return written
