"""TIFF of 16 bits per color, by tifffile."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from flowedit.checks import require
from flowedit.photo.metadata import TIFF_TEXT, Metadata, read_metadata
from flowedit.photo.raster import Canvas, Raster, Rows, divide_by_alpha, plain_errors, strips

if TYPE_CHECKING:
    from PIL import ImageFile

_XMP, _ICC = 700, 34675
_BITS, _PHOTOMETRIC, _RGB = 258, 262, 2


def read_tiff16(file: BinaryIO, image: ImageFile.ImageFile) -> Raster | None:
    """Decode a TIFF of 16 bits per color by tifffile, segment by segment; None where it is none, or for LZW, for which
    tifffile needs another library and Pillow does not."""
    import tifffile

    if 16 not in np.ravel(image.tag_v2.get(_BITS, 1)) or image.tag_v2.get(_PHOTOMETRIC) != _RGB:  # type: ignore[attr-defined]
        return None
    orientation, metadata = read_metadata(image)
    with plain_errors():
        file.seek(0)
        page = tifffile.TiffFile(file).pages.first
        if page.compression not in tifffile.TIFF.DECOMPRESSORS:
            return None
        require(page.dtype == np.uint16, f"its numbers must be unsigned integers; got {page.dtype}")
        width, height, samples = page.imagewidth, page.imagelength, page.samplesperpixel  # Pillow's are upright
        kinds = [int(kind) for kind in page.extrasamples]  # 0: no alpha, 1: it multiplies the colors, 2: it does not
        canvas = Canvas(width, height, np.dtype(np.uint16), any(kinds[:1]), orientation)
        color, opacity = canvas.stored
        for data, (first, _, top, left, _), _ in _segments(page, width, samples):
            require(data is not None, "a part is missing")
            rows, columns = slice(top, top + data.shape[1]), slice(left, left + data.shape[2])
            for channel in range(data.shape[3]):
                plane = color[..., first + channel] if first + channel < 3 else opacity
                if plane is not None and first + channel < 4:
                    part = plane[rows, columns]
                    part[:] = data[0, : part.shape[0], : part.shape[1], channel]
        if kinds[:1] == [1] and opacity is not None:
            divide_by_alpha(color, opacity)
    return Raster(canvas.pixels, canvas.alpha, image.format, metadata)


def _segments(page: Any, width: int, samples: int) -> Iterator[tuple[Any, tuple[int, ...], Any]]:
    """Yield (data, place, shape) of a TIFF page's strips or tiles; a page in one piece is cut into rows."""
    if not page.is_contiguous or page.planarconfig != 1:
        yield from page.segments()
        return
    file, row = page.parent.filehandle, width * samples
    file.seek(page.dataoffsets[0])
    for rows in strips(page.imagelength):
        data = file.read_array(page.parent.byteorder + "u2", (rows.stop - rows.start) * row)
        yield data.reshape(1, -1, width, samples), (0, 0, rows.start, 0, 0), None


def write_tiff16(file: BinaryIO, rows: Rows, metadata: Metadata, xmp: bytes) -> None:
    """Write 16-bit RGB(A) as a deflated TIFF, which Pillow cannot."""
    import tifffile
    from PIL import Image

    tags: list[tuple] = []
    for code, body in ((_ICC, metadata.icc), (_XMP, xmp)):
        if body:
            tags.append((code, "B", len(body), body, True))
    exif = Image.Exif()
    if metadata.exif:
        exif.load(metadata.exif)
    tags += [(code, "s", 0, text, True) for code in TIFF_TEXT
             if isinstance(text := exif.get(code), str) and text.isascii()]  # fmt: skip
    height, _, channels = rows.shape
    n = min(64, height)  # rows in a strip
    tifffile.imwrite(
        file,
        map(_compressed, rows.bands(n)),
        shape=rows.shape,
        dtype=np.uint16,
        rowsperstrip=n,
        byteorder="<",
        photometric="rgb",
        extrasamples=None if channels == 3 else ["unassalpha"],
        compression="zlib",
        predictor=True,
        metadata=None,
        software=False,
        resolution=metadata.dpi,
        resolutionunit=None if metadata.dpi is None else "INCH",
        extratags=tags,
    )


def _compressed(strip: np.ndarray) -> bytes:
    """Return (h, W, channels) uint16 as tifffile stores it by deflate and horizontal differences."""
    rest = strip.astype("<u2")
    rest[:, 1:] -= strip[:, :-1]
    return zlib.compress(rest.tobytes())
