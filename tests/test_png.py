"""Large PNGs, which are decoded some rows at a time."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from flowedit.photo import codec
from flowedit.photo.metadata import Metadata
from flowedit.photo.png import read_header, write_png
from flowedit.photo.raster import Raster, Rows

HEIGHT, WIDTH = 3 * 256 + 5, 7


def pixels(channels, dtype):
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, np.iinfo(dtype).max, HEIGHT)[:, None, None] * rng.random((1, WIDTH, channels))
    return (smooth + rng.integers(0, 9, (HEIGHT, WIDTH, channels))).clip(0, np.iinfo(dtype).max).astype(dtype)


def png(array, **options):
    """A file of Pillow's, which filters each row as suits it."""
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(array).save(file, "PNG", exif=exif, dpi=(100, 200), **options)
    return file


def written(array):
    file = io.BytesIO()
    write_png(file, Rows(array.shape, array.dtype, [array]), Metadata(dpi=(72, 72)))
    return file


def with_late_exif(file):
    """The same with its eXIf chunk behind the rows."""
    data, start = file.getvalue(), file.getvalue().index(b"eXIf") - 4
    size = 12 + int.from_bytes(data[start : start + 4], "big")
    return io.BytesIO(data[:start] + data[start + size : -12] + data[start : start + size] + data[-12:])


FILES = {
    "RGB": lambda: png(pixels(3, np.uint8)),
    "RGBA": lambda: png(pixels(4, np.uint8)),
    "late exif": lambda: with_late_exif(png(pixels(3, np.uint8))),
    "RGB;16": lambda: written(pixels(3, np.uint16)),
    "RGBA;16": lambda: written(pixels(4, np.uint16)),
}


def decoded(file, monkeypatch, large):
    monkeypatch.setattr(codec, "LARGE", large)
    return codec.decode(file)


@pytest.mark.parametrize("kind", FILES)
def test_it_is_the_picture_that_it_is_in_one_piece(kind, monkeypatch):
    file, whole_reads = FILES[kind](), []
    one = decoded(file, monkeypatch, 10**9)
    real = codec.from_pil
    monkeypatch.setattr(codec, "from_pil", lambda image, *rest: whole_reads.append(image.height) or real(image, *rest))
    other = decoded(file, monkeypatch, 1)
    assert all(
        np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(one[:2], other[:2], strict=True) if a is not None
    )
    assert one[2:] == other[2:] and (one.alpha is None) == (other.alpha is None) and np.ptp(one.pixels) > 200
    assert max(whole_reads, default=0) <= 257 and isinstance(other, Raster)


def interlaced(file):
    data = bytearray(file.getvalue())
    data[28] = 1
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return io.BytesIO(bytes(data))


def test_what_pillow_holds_once_only_is_left_to_it():
    gray, color = pixels(1, np.uint8)[..., 0], pixels(3, np.uint8)
    palette = io.BytesIO()
    Image.fromarray(color).quantize(8).save(palette, "PNG")
    assert read_header(png(color)) == (WIDTH, HEIGHT, 8, 2)
    for file in (png(gray), palette, interlaced(png(color)), png(color, transparency=(1, 2, 3)), io.BytesIO(b"GIF89a")):
        assert read_header(file) is None


@pytest.mark.parametrize("cut", [0.5, 0.9])
def test_a_file_that_ends_early_is_one_clear_line(cut, monkeypatch):
    data = png(pixels(3, np.uint8)).getvalue()
    with pytest.raises(ValueError, match=r"^the file is truncated or damaged \(") as caught:
        decoded(io.BytesIO(data[: int(cut * len(data))]), monkeypatch, 1)
    assert "\n" not in str(caught.value)


def test_random_damage_never_escapes(monkeypatch):
    rng, told = np.random.default_rng(0), 0
    for kind in FILES:
        for _ in range(40):
            data = bytearray(FILES[kind]().getvalue())
            for place in rng.integers(8, len(data), 3):
                data[place] = rng.integers(256)
            try:
                decoded(io.BytesIO(bytes(data)), monkeypatch, 1)
            except ValueError as error:
                told += "\n" not in str(error)
    assert told > 50
