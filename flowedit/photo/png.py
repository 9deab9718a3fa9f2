"""PNG, written row by row: 8 and 16 bits, which Pillow has not, and every chunk that states what colors mean."""

from __future__ import annotations

import struct
import zlib
from typing import BinaryIO

import numpy as np

from flowedit.photo.metadata import Metadata
from flowedit.photo.raster import Rows

COLOR_CHUNKS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}  # and the sizes of their bodies
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_ROWS = 64  # filtered and compressed at a time


def write_png(file: BinaryIO, rows: Rows, metadata: Metadata, xmp: bytes = b"") -> None:
    """Write a picture as PNG; no copy of it is made.

    Args:
        file: open for writing.
        rows: uint8 or uint16.
        metadata: goes into the file.
        xmp: a packet, or nothing.
    """

    def chunk(name: bytes, body: bytes) -> None:
        file.write(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)))

    height, width, channels = rows.shape
    file.write(_SIGNATURE)
    kind = 2 if channels == 3 else 6
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * rows.dtype.itemsize, kind, 0, 0, 0))
    for name, body in metadata.png_color.items():
        if name != b"sRGB" or not metadata.icc:  # which the format does not allow together
            chunk(name, body)
    if metadata.icc:
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc))
    if metadata.dpi:
        chunk(b"pHYs", struct.pack(">IIB", *(round(dpi / 0.0254) for dpi in metadata.dpi), 1))
    if metadata.exif:
        chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0"))
    if xmp:
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
    above = np.zeros((1, width, channels), rows.dtype.newbyteorder(">"))
    for band in rows.bands(_ROWS):
        strip = np.empty((len(band) + 1, width, channels), above.dtype)
        strip[:1], strip[1:] = above, band
        above = strip[-1:]
        chunk(b"IDAT", deflate.compress(_filter(strip.reshape(len(strip), -1).view(np.uint8), strip.strides[1])))
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")


def read_color_chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """Return the chunks of a PNG file that state what its colors mean, name -> body; nothing where it is no PNG."""
    file.seek(0)
    chunks: dict[bytes, bytes] = {}
    if file.read(8) == _SIGNATURE:
        while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            size, name = int.from_bytes(head[:4], "big"), head[4:]
            if COLOR_CHUNKS.get(name) == size:
                chunks[name] = file.read(size)
                file.seek(4, 1)
            else:
                file.seek(size + 4, 1)
    return chunks


def _filter(rows: np.ndarray, step: int) -> bytes:
    """Filter rows of bytes, the first of which is the one above, each in the way that leaves the least.

    Args:
        rows: (n + 1, bytes) uint8.
        step: bytes from a pixel to the next.
    """
    here, up = rows[1:], rows[:-1]
    left, corner = np.zeros_like(here), np.zeros_like(here)
    left[:, step:], corner[:, step:] = here[:, :-step], up[:, :-step]
    a, b, c = (side.astype(np.int16) for side in (left, up, corner))
    from_left, from_up, from_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    nearest = np.where(from_up <= from_corner, up, corner)
    paeth = np.where((from_left <= from_up) & (from_left <= from_corner), left, nearest)
    out = np.empty((len(here), here.shape[1] + 1), np.uint8)
    least = np.full(len(here), np.iinfo(np.int64).max)
    for number, guess in ((1, left), (2, up), (4, paeth)):
        rest = here - guess
        size = np.minimum(rest, 0 - rest).sum(1, dtype=np.int64)  # bytes near 256 are small and negative
        better = size < least
        out[better, 0], out[better, 1:] = number, rest[better]
        least = np.minimum(least, size)
    return out.tobytes()
