"""Image formats: bytes to arrays and back.

Stills go through Pillow and tifffile, not imageio, which reads and writes neither 16-bit color PNG nor metadata as it
stands in a file.
"""

from __future__ import annotations

import io
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from flowedit.checks import require
from flowedit.photo.metadata import find_note, read_metadata, with_resolution
from flowedit.photo.png import (
    PngHeader,
    read_color_chunks,
    read_filtered,
    read_header,
    without_rows,
    wrap_filtered,
    write_png,
)
from flowedit.photo.raster import ROWS, Canvas, Drawing, Raster, divide_by_alpha, plain_errors, strips
from flowedit.photo.tiff import read_tiff16, write_tiff16

if TYPE_CHECKING:
    from PIL import Image, ImageFile


MAX_PIXELS = 150_000_000  # larger pictures are refused before they are decoded: a small file can claim any size
LARGE = 10_000_000  # pixels of a PNG from which on it is decoded some rows at a time
READABLE = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")  # never PostScript
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MAX_SIDE_PX = {"PNG": 2**31 - 1, "JPEG": 65_500, "WEBP": 16_383, "TIFF": 2**31 - 1}  # limits of the encoders
MAX_JPEG_EXIF_BYTES = 65_533
_XMP = 700


def readable_suffixes() -> frozenset[str]:
    """Return the file endings, lower case, of the formats that `decode` takes with this Pillow."""
    from PIL import Image

    Image.init()
    return frozenset(
        suffix for suffix, name in Image.registered_extensions().items() if name in READABLE and name in Image.OPEN
    )


def decode(file: BinaryIO) -> Raster:
    """Decode the first frame of an image file, open for reading.

    Gray, palette, CMYK and 1-bit pictures become RGB; 16-bit gray and RGB PNG and TIFF stay uint16, 32-bit gray float
    pictures in [0, 1] stay float32, all others are uint8.

    Raises:
        ValueError: not an image, damaged, truncated, too large, or of a kind that has no RGB meaning.
    """
    with _open(file) as image:
        if image.format == "TIFF" and (raster := read_tiff16(file, image)):
            return raster
        chunks = read_color_chunks(file) if image.format == "PNG" else None
        if chunks is not None and image.width * image.height > LARGE and (header := read_header(file)):
            return _in_bands(file, header, chunks)
        return _in_one_piece(file, image, chunks)


def from_pil(image: Image.Image, png_color: dict[bytes, bytes] | None = None) -> Raster:
    """Convert an open Pillow image of any mode, its EXIF orientation applied; the image itself is not changed.

    Raises:
        ValueError: the pixels cannot be decoded, or the mode has no RGB meaning.
    """
    with plain_errors():
        image.load()  # a TIFF is turned upright here, and its orientation is 1 from then on
    return _converted(image, png_color)


def encode(file: BinaryIO, picture: Raster | Drawing, note: dict | None, quality: int) -> None:
    """Write a picture in its own format, with its metadata and a record, into an open file.

    Pixels are uint8, or uint16 in PNG and TIFF. A JPEG must come without alpha. 16-bit TIFF keeps the descriptive text
    of the EXIF block, not its camera and GPS directories.
    """
    metadata, xmp, rows = picture.metadata, picture.metadata.xmp(note), picture.rows()
    if picture.format == "PNG":
        write_png(file, rows, metadata, xmp)
        return
    if rows.dtype == np.uint16:
        write_tiff16(file, rows, metadata, xmp)
        return
    from PIL import Image

    options: dict[str, Any] = {"icc_profile": metadata.icc} if metadata.icc else {}
    if picture.format == "TIFF":
        tags = Image.Exif()
        if metadata.exif:
            tags.load(metadata.exif)
        if xmp:
            tags[_XMP] = xmp
        options["exif"] = tags  # uncompressed: Pillow's compressed TIFF cannot hold the camera's directory
    else:
        exif = metadata.exif if picture.format == "JPEG" else with_resolution(metadata.exif, metadata.dpi)
        if exif and picture.format == "JPEG" and len(exif) > MAX_JPEG_EXIF_BYTES:
            warnings.warn("the camera's notes are too long for a JPEG and left out; PNG keeps them", stacklevel=4)
            exif = None
        options |= {"quality": quality, "xmp": xmp, "exif": exif or b""}
        options |= {"subsampling": "4:4:4"} if picture.format == "JPEG" else {"exact": True}  # colors under alpha 0
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    Image.fromarray(picture.stacked()).save(file, format=picture.format, **options)


def decode_size(file: BinaryIO) -> tuple[int, int]:
    """Return the sides of an image file, the shorter first: pixels are not decoded, nor is it turned upright."""
    with _open(file) as image:
        short, long = sorted(image.size)
        return short, long


def decode_note(file: BinaryIO) -> dict | None:
    """Return the record in an image file, None if it has none; ValueError if it is damaged."""
    with _open(file) as image:
        return find_note(image)


def _open(file: BinaryIO) -> ImageFile.ImageFile:
    """Open an image file without decoding the pixels."""
    from PIL import Image

    Image.init()
    require(file.seek(0, io.SEEK_END) > 0, "the file is empty")
    file.seek(0)
    formats = [name for name in READABLE if name in Image.OPEN]  # a Pillow may be built without some
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's size warning comes earlier than the limit here
        try:
            image = Image.open(file, formats=formats)
        except Image.DecompressionBombError as error:
            raise ValueError(f"it must have at most {MAX_PIXELS:,} pixels; got more ({error})") from error
        except Image.UnidentifiedImageError as error:
            kinds = ", ".join(formats)
            raise ValueError(f"the data must be one of {kinds}; got something else or a damaged start") from error
        except Exception as error:
            raise ValueError(f"the file is truncated or damaged ({error})") from error
    width, height = image.size
    require(width * height <= MAX_PIXELS, f"it must have at most {MAX_PIXELS:,} pixels; got {width} x {height}")
    return image


def _rgb(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn a decoded Pillow image into (H, W, 3) RGB and (H, W) alpha or None."""
    mode, icc = image.mode, image.info.get("icc_profile")
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _gray(np.asarray(image), image.info.get("transparency"))
    if mode == "CMYK" and icc:
        image = _cmyk_to_srgb(image, icc)
    with plain_errors():
        if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            if mode == "La":
                image = image.convert("LA")
            rgba = np.asarray(image.convert("RGBA"))
            return rgba[..., :3], rgba[..., 3]
        return np.asarray(image.convert("RGB")), None


def _gray(gray: np.ndarray, transparent: object) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn 16-bit, 32-bit integer or float gray into RGB; `transparent` is PNG's one see-through value."""
    low, high = gray.min(), gray.max()
    if gray.dtype.kind == "f":
        require(bool(low >= 0 and high <= 1), f"float gray must lie in [0, 1]; got {low:.6g} to {high:.6g}")
        gray = gray.astype(np.float32)
    else:
        require(bool(low >= 0 and high <= 65535), f"integer gray must lie in 0 to 65535; got {low} to {high}")
        gray = gray.astype(np.uint16)
    alpha = None
    if isinstance(transparent, int) and gray.dtype == np.uint16:
        alpha = np.where(gray == transparent, 0, 65535).astype(np.uint16)
    return np.repeat(gray[..., None], 3, axis=2), alpha


def _cmyk_to_srgb(image: Image.Image, icc: bytes) -> Image.Image:
    """Convert CMYK by its own profile; by plain inversion where the profile is unusable."""
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), outputMode="RGB") or image
    except (ImageCms.PyCMSError, OSError):
        return image


def _unpack(file: BinaryIO, raw_mode: str) -> ImageFile.ImageFile:
    """Decode a file with another raw mode than the one Pillow chose."""
    image = _open(file)
    with plain_errors():
        image.tile = [
            tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *(tile.args or ())[1:]))
            for tile in image.tile
        ]
        image.load()
    return image


def _converted(image: Image.Image, png_color: dict[bytes, bytes] | None = None) -> Raster:
    """Convert a decoded image, some rows at a time."""
    orientation, metadata = read_metadata(image, png_color)
    canvas: Canvas | None = None
    for rows in strips(image.height):
        pixels, alpha = _rgb(image.crop((0, rows.start, image.width, rows.stop)))
        canvas = canvas or Canvas(*image.size, pixels.dtype, alpha is not None, orientation)
        color, opacity = canvas.stored
        color[rows] = pixels
        if opacity is not None and alpha is not None:
            opacity[rows] = alpha
    assert canvas is not None  # Pillow opens no picture without pixels
    return Raster(canvas.pixels, canvas.alpha, image.format, metadata)


def _in_one_piece(file: BinaryIO, image: ImageFile.ImageFile, png_color: dict[bytes, bytes] | None) -> Raster:
    """Decode an opened image, whatever its depth."""
    arguments = image.tile[0].args if image.tile else None
    raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
    if deep := re.fullmatch(r"(LA|RGB|RGBX|RGBA|RGBa);16([BLN])", str(raw_mode)):
        return _sixteen_bit(file, deep[1], deep[2], png_color)
    return from_pil(image, png_color)


def _in_bands(file: BinaryIO, header: PngHeader, png_color: dict[bytes, bytes]) -> Raster:
    """Decode a PNG some rows at a time, each as a small PNG with the row above: Pillow needs all at once."""
    with _open(io.BytesIO(without_rows(file, header))) as image:
        orientation, metadata = read_metadata(image, png_color)
    dtype = np.dtype(np.uint8 if header.depth == 8 else np.uint16)
    canvas = Canvas(header.width, header.height, dtype, header.kind == 6, orientation)
    color, opacity = canvas.stored
    above, top = bytes(header.row_bytes), 0
    for filtered in read_filtered(file, header, ROWS):
        small = io.BytesIO(wrap_filtered(header, above, filtered))
        with _open(small) as image:
            band = _in_one_piece(small, image, None)
        rows = slice(top, top + len(band.pixels) - 1)
        color[rows] = band.pixels[1:]
        if opacity is not None and band.alpha is not None:
            opacity[rows] = band.alpha[1:]
        above, top = band.stacked(slice(-1, None)).astype(dtype.newbyteorder(">")).tobytes(), rows.stop
    return Raster(canvas.pixels, canvas.alpha, "PNG", metadata)


def _sixteen_bit(file: BinaryIO, kind: str, order: str, png_color: dict[bytes, bytes] | None) -> Raster:
    """Decode 16 bits per channel, of which Pillow keeps only the high byte, by reading the file once for each byte.

    `kind` and `order` are Pillow's raw mode in two parts, "RGB" and "B" for "RGB;16B". The raw mode of the other byte
    order unpacks the low bytes; unpacking gray and alpha as RGBA yields both bytes of both channels at once.
    """
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    channels = "RGBA" if kind == "RGBa" else kind  # Pillow would divide by alpha in 8 bits
    modes = {8: f"{channels};16{order}", 0: f"{channels};16{'B' if order == 'L' else 'L'}"}
    canvas: Canvas | None = None
    for shift, mode in ({0: "RGBA"} if kind == "LA" else modes).items():
        image = _unpack(file, mode)
        if canvas is None:
            orientation, metadata = read_metadata(image, png_color)
            key = image.info.get("transparency") if kind == "RGB" else None  # PNG's one see-through color
            has_alpha = kind in ("LA", "RGBA", "RGBa") or isinstance(key, tuple)
            canvas = Canvas(*image.size, np.dtype(np.uint16), has_alpha, orientation)
            color, opacity = canvas.stored
        for rows in strips(image.height):
            part = np.asarray(image.crop((0, rows.start, image.width, rows.stop))).astype(np.uint16) << shift
            if kind == "LA":
                part = (part[..., 0::2] << 8 | part[..., 1::2])[..., [0, 0, 0, 1]]
            color[rows] |= part[..., :3]
            if opacity is not None and part.shape[2] == 4:
                opacity[rows] |= part[..., 3]
        name = image.format
        del image  # before the next is unpacked
    assert canvas is not None
    if opacity is not None and kind == "RGB":
        for rows in strips(len(color)):
            opacity[rows] = np.where((color[rows] == np.array(key)).all(-1), 0, 65535)
    elif opacity is not None and kind == "RGBa":
        divide_by_alpha(color, opacity)
    return Raster(canvas.pixels, canvas.alpha, name, metadata)
