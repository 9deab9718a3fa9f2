"""PNG row by row: written in 8 and 16 bits, which Pillow has not, with every chunk that states what colors mean; and
read, where Pillow would hold a large picture twice."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from flowedit.checks import require
from flowedit.photo.metadata import Metadata
from flowedit.photo.raster import Rows

COLOR_CHUNKS = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4}  # and the sizes of their bodies
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BAND_BYTES = 1 << 20  # filtered and compressed at a time, in which that much becomes sixteen times as much
_READ = 1 << 16  # bytes of a file inflated at a time
_CHANNELS = {2: 3, 6: 4}  # by PNG's number for a kind of color: RGB, RGBA


class PngHeader(NamedTuple):
    """What a PNG file says of its size and samples; see `read_header`."""

    width: int
    height: int
    depth: int
    kind: int

    @property
    def row_bytes(self) -> int:
        """Of a row, without the byte that names its filter."""
        return self.width * _CHANNELS[self.kind] * self.depth // 8

    @property
    def chunk(self) -> tuple[bytes, bytes]:
        """Name and body of the chunk that says so, of rows that are not interlaced."""
        return b"IHDR", struct.pack(">IIBBBBB", *self, 0, 0, 0)


def write_png(file: BinaryIO, rows: Rows, metadata: Metadata, xmp: bytes = b"") -> None:
    """Write a picture as PNG; no copy of it is made.

    Args:
        file: open for writing.
        rows: uint8 or uint16.
        metadata: goes into the file.
        xmp: a packet, or nothing.
    """

    def chunk(name: bytes, body: bytes) -> None:
        file.write(_chunk(name, body))

    height, width, channels = rows.shape
    file.write(_SIGNATURE)
    header = PngHeader(width, height, 8 * rows.dtype.itemsize, 2 if channels == 3 else 6)
    chunk(*header.chunk)
    for name, body in _color(metadata):
        chunk(name, body)
    if metadata.dpi:
        chunk(b"pHYs", struct.pack(">IIB", *(round(dpi / 0.0254) for dpi in metadata.dpi), 1))
    if metadata.exif:
        chunk(b"eXIf", metadata.exif.removeprefix(b"Exif\0\0"))
    if xmp:
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    deflate = zlib.compressobj(6, strategy=zlib.Z_FILTERED)
    above = np.zeros((1, width, channels), rows.dtype.newbyteorder(">"))
    for band in rows.bands(max(1, _BAND_BYTES // header.row_bytes)):
        strip = np.empty((len(band) + 1, width, channels), above.dtype)
        strip[:1], strip[1:] = above, band
        above = strip[-1:]
        chunk(b"IDAT", deflate.compress(_filter(strip.reshape(len(strip), -1).view(np.uint8), strip.strides[1])))
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")


def quick_png(pixels: np.ndarray, metadata: Metadata) -> bytes:
    """Return (H, W, 3) uint8 pixels as a PNG that is neither filtered nor compressed, with what their colors mean.

    It takes some milliseconds and as many bytes as the pixels: for a page on the same machine.
    """
    height, width, _ = pixels.shape
    header = PngHeader(width, height, 8, 2)
    rows = np.zeros((height, header.row_bytes + 1), np.uint8)
    rows[:, 1:] = pixels.reshape(height, -1)
    return _file([header.chunk, *_color(metadata), (b"IDAT", zlib.compress(rows.data, 0))])


def read_color_chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """Return the chunks of a PNG file that state what its colors mean, name -> body; nothing where it is no PNG."""
    chunks: dict[bytes, bytes] = {}
    for name, size in _walk(file):
        if name == b"IDAT":
            break
        if COLOR_CHUNKS.get(name) == size:
            chunks[name] = file.read(size)
    return chunks


def read_header(file: BinaryIO) -> PngHeader | None:
    """Return the header of a PNG file whose rows can be taken apart: RGB or RGBA of 8 or 16 bits, one picture, not
    interlaced, and no color see-through; else None."""
    header = None
    for name, size in _walk(file):
        if name == b"IHDR" and size == 13:
            *numbers, _, _, interlaced = struct.unpack(">IIBBBBB", file.read(size))
            found = PngHeader(*numbers)
            header = found if found.kind in _CHANNELS and found.depth in (8, 16) and not interlaced else None
        if name in (b"tRNS", b"acTL"):
            return None
    return header


def read_filtered(file: BinaryIO, header: PngHeader, n: int) -> Iterator[bytes]:
    """Inflate a PNG file's rows, n at a time, each as it is filtered and after the byte that names its filter.

    Raises:
        ValueError: the data is damaged, or ends before the picture does.
    """
    left, inflate, held = header.height, zlib.decompressobj(), bytearray()
    line = header.row_bytes + 1
    for name, size in _walk(file):
        while name == b"IDAT" and size > 0 and left > 0:
            data = file.read(min(size, _READ))
            require(bool(data), "the file is truncated or damaged (it ends within its rows)")
            size -= len(data)
            while data and left > 0:
                want = min(n, left) * line
                try:
                    held += inflate.decompress(data, want - len(held))
                except zlib.error as error:
                    raise ValueError(f"the file is truncated or damaged ({error})") from error
                data = inflate.unconsumed_tail
                if len(held) == want:
                    left -= want // line
                    yield bytes(held)
                    held.clear()
    require(left == 0, f"the file is truncated or damaged ({left} of {header.height} rows are missing)")


def wrap_filtered(header: PngHeader, above: bytes, filtered: bytes) -> bytes:
    """Return a small PNG file of filtered rows, below the row that they refer to."""
    rows = b"\0" + above + filtered
    size = header._replace(height=len(rows) // (header.row_bytes + 1))
    return _file([size.chunk, (b"IDAT", zlib.compress(rows, 0))])


def without_rows(file: BinaryIO, header: PngHeader) -> bytes:
    """Return a PNG file of one pixel with all that a file says of its picture."""
    one = header._replace(width=1, height=1)
    chunks = [one.chunk]
    pixel = (b"IDAT", zlib.compress(bytes(one.row_bytes + 1)))
    for name, size in _walk(file):
        if name == b"IDAT" and pixel not in chunks:
            chunks.append(pixel)
        elif name not in (b"IHDR", b"IDAT", b"IEND"):
            chunks.append((name, file.read(size)))
    return _file(chunks)


def _color(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks that state what the colors of RGB pixels mean."""
    for name, body in metadata.png_color.items():
        if name != b"sRGB" or not metadata.icc:  # which the format does not allow together
            yield name, body
    if metadata.icc:
        yield b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc)


def _walk(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield name and size of each chunk of a PNG file, which stands at its body then; nothing where it is no PNG."""
    file.seek(0)
    place = len(_SIGNATURE)
    if file.read(place) != _SIGNATURE:
        return
    while len(head := file.read(8)) == 8 and head[4:] != b"IEND":
        size = int.from_bytes(head[:4], "big")
        yield head[4:], size
        place += size + 12
        file.seek(place)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _file(chunks: list[tuple[bytes, bytes]]) -> bytes:
    out = io.BytesIO()
    out.write(_SIGNATURE)
    for name, body in (*chunks, (b"IEND", b"")):
        out.write(_chunk(name, body))
    return out.getvalue()


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
