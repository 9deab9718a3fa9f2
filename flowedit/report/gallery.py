"""Many edits at a glance: an index picture, and a page of HTML that needs nothing but itself."""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from flowedit.photo.codec import encode
from flowedit.photo.files import write_atomically
from flowedit.photo.metadata import Metadata, fit_note, to_srgb
from flowedit.photo.raster import Raster
from flowedit.report.strips import frames, save_sheet, write_text
from flowedit.transform.render import EditedPhoto

SIDE_PX = 256  # of a thumbnail
FOOT_PX, GAP_PX = 48, 12  # for two lines under a pair, and between pairs
QUALITY = 88  # of a page's JPEGs
TEXT_PX = 13, 12  # of the two lines
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #777; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 76rem; }
h1 { font-size: 1.3rem; margin: 0 0 .2rem; }
p { margin: 0 0 1.2rem; color: var(--soft); }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 21rem), 1fr)); gap: 1.2rem; }
article { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 1px; background: var(--line); }
figure { margin: 0; position: relative; }
img, .none { display: block; width: 100%; height: auto; aspect-ratio: 1; }
.none { grid-column: 1 / 3; aspect-ratio: 2; display: grid; place-items: center; text-align: center; color: var(--soft);
  background: Canvas; padding: 1rem; box-sizing: border-box; }
figcaption { position: absolute; left: .4rem; bottom: .4rem; font-size: .72rem; padding: 0 .4rem; border-radius: 3px;
  color: #fff; background: #000a; }
.text { padding: .7rem .9rem .9rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 0 0 .4rem; max-height: 6em; overflow: auto; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .8rem; margin: 0; font-size: .85rem; }
dt { color: var(--soft); }
dd { margin: 0; }
section { margin-top: 2rem; border-top: 1px solid var(--line); padding-top: 1rem; overflow-wrap: anywhere; }
"""
HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="flowedit">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<p>{count}</p>
<main>
"""
TITLE = "Saved edits"


@dataclass(frozen=True, eq=False)
class Card:
    """An edit as a gallery shows it.

    Attributes:
        title: what was asked for.
        facts: label -> text, in order; "file" is among them.
        pictures: before and after, (S, S, 3) uint8 sRGB; empty where there is no photo.
        remark: why there are none.
        note: a record for the picture, see `photo.save`.
    """

    title: str
    facts: Mapping[str, str]
    pictures: tuple[np.ndarray, ...] = ()
    remark: str = ""
    note: dict[str, Any] = field(default_factory=dict)


def draw_pair(edited: EditedPhoto, side: int = SIDE_PX) -> tuple[np.ndarray, ...]:
    """Draw the first face before and after, (side, side, 3) uint8 sRGB each.

    Raises:
        ValueError: the edit has no photo, or does not fit it.
    """
    icc = edited.original.metadata.icc
    return tuple(to_srgb(picture, icc) for picture in frames(edited, [0.0, edited.strength], side))


def save_index(path: str | Path, cards: Sequence[Card], side: int = SIDE_PX) -> Path:
    """Write a picture with all pairs, and under each what was asked for, its file and strength.

    Args:
        path: see `strips.save_sheet`.
        cards: at least one; their pictures have this side.
        side: of a picture, pixels.

    Raises:
        ValueError: another kind of file, or a side too long for it.
        OSError: it cannot be written.
    """
    columns = math.ceil(math.sqrt(len(cards) * (side + FOOT_PX) / (2 * side + GAP_PX)))  # about a square
    cells = [_draw_cell(card, side) for card in cards]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [cells[first : first + columns] for first in range(0, len(cells), columns)]
    edits = [{"prompts": card.title, **card.facts} for card in cards]
    edited = "pixels moved and tinted from a text prompt, beside the photos"
    return save_sheet(path, rows, note=fit_note({"tool": "flowedit", "edited": edited, "edits": edits}, ["edits"]))


def _draw_cell(card: Card, side: int) -> np.ndarray:
    """Draw a pair over its two lines: (side + FOOT_PX, 2 * side + GAP_PX, 3)."""
    cell = np.full((side + FOOT_PX, 2 * side + GAP_PX, 3), 255, np.uint8)
    if card.pictures:
        cell[:side, : 2 * side] = np.concatenate(card.pictures, axis=1)
    else:
        cell[:side, : 2 * side] = 236
        write_text(cell, (10, side // 2 - 10), card.remark, TEXT_PX[1], fill="#555")
    write_text(cell, (2, side + 5), card.title, TEXT_PX[0], fill="black")
    small = ", ".join(card.facts[name] for name in ("file", "strength") if name in card.facts)
    write_text(cell, (2, side + 23), small, TEXT_PX[1], fill="#555")
    return cell


def save_page(
    path: str | Path, cards: Sequence[Card], refused: Sequence[str] = (), escape: Callable[[str], str] = str
) -> Path:
    """Write a page of HTML with the pairs in it: no script, and nothing loaded from anywhere, which its policy forbids.

    Args:
        path: any; replaced.
        cards: what it shows, in order.
        refused: a line for each file that could not be read.
        escape: of texts, before HTML's own.

    Raises:
        OSError: it cannot be written.
    """

    def text(words: str) -> str:
        return f"<bdi>{html.escape(escape(words))}</bdi>"

    def write(file: BinaryIO) -> None:
        count = f"{len(cards)} {'edit' if len(cards) == 1 else 'edits'}"
        file.write(HEAD.format(title=TITLE, style=STYLE, count=count).encode())
        for card in cards:
            pair = f'<div class="none">{text(card.remark)}</div>'
            if card.pictures:
                notes: tuple[dict[str, Any] | None, ...] = (None, card.note)
                shown = zip(("before", "after"), card.pictures, notes, strict=True)
                pair = "".join(_figure(name, picture, note) for name, picture, note in shown)
            facts = "".join(f"<dt>{name}</dt><dd>{text(value)}</dd>" for name, value in card.facts.items())
            words = f'<div class="text"><h2>{text(card.title)}</h2><dl>{facts}</dl></div>'
            file.write(f'<article><div class="pair">{pair}</div>{words}</article>\n'.encode())
        lines = "".join(f"<li>{text(line)}</li>" for line in refused)
        file.write(b"</main>\n")
        if refused:
            file.write(f"<section><h2>Refused</h2><ul>{lines}</ul></section>\n".encode())
        file.write(b"</body>\n</html>\n")

    return write_atomically(path, write)


def _figure(name: str, picture: np.ndarray, note: dict[str, Any] | None) -> str:
    """Return a picture as HTML, in the page itself."""
    content = io.BytesIO()
    encode(content, Raster(picture, None, "JPEG", Metadata()), note, QUALITY)
    data = base64.b64encode(content.getvalue()).decode()
    side = len(picture)
    source = f'src="data:image/jpeg;base64,{data}" width="{side}" height="{side}"'
    return f'<figure><img {source} alt="{name}"><figcaption>{name}</figcaption></figure>'
