"""Image formats: bytes to arrays and back. The only module that knows Pillow and tifffile."""

from __future__ import annotations

import contextlib
import html
import io
import json
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from flowedit.checks import require

if TYPE_CHECKING:
    from PIL import Image, ImageFile


MAX_PIXELS = 150_000_000  # larger pictures are refused before they are decoded: a small file can claim any size
MAX_NOTE_BYTES = 60_000  # what one JPEG segment holds, with room for its frame
READABLE = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")  # never PostScript
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
MAX_SIDE_PX = {"PNG": 2**31 - 1, "JPEG": 65_500, "WEBP": 16_383, "TIFF": 2**31 - 1}  # limits of the encoders
_ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_XMP, _ICC = 700, 34675
# The rest of a TIFF's first directory describes how its pixels are stored, which the output decides.
_DESCRIPTIVE = {_ORIENTATION, _EXIF_IFD, _GPS_IFD, 270, 271, 272, 282, 283, 296, 305, 306, 315, 33432}
_TIFF_TEXT = (270, 271, 272, 305, 306, 315, 33432)
_XMP_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:flowedit="urn:flowedit"><flowedit:note>{}</flowedit:note></rdf:Description></rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
)


class Raster(NamedTuple):
    """A decoded picture, upright: `pixels` (H, W, 3) RGB, `alpha` (H, W) or None, both of one dtype."""

    pixels: np.ndarray
    alpha: np.ndarray | None
    format: str | None
    icc: bytes | None
    exif: bytes | None


def decode(data: bytes) -> Raster:
    """Decode the first frame of an image file.

    Gray, palette, CMYK and 1-bit pictures become RGB; 16-bit gray and RGB PNG and TIFF stay uint16, 32-bit
    gray float pictures in [0, 1] stay float32, all others are uint8.

    Raises:
        ValueError: not an image, damaged, truncated, too large, or of a kind that has no RGB meaning.
    """
    require(len(data) > 0, "the file is empty")
    with _open(data) as image:
        arguments = image.tile[0].args if image.tile else None
        raw_mode = arguments[0] if isinstance(arguments, tuple) else arguments
        if image.format == "TIFF" and 16 in np.ravel(image.tag_v2.get(258, 1)):  # type: ignore[attr-defined]
            planes = image.tag_v2.get(284) == 2  # type: ignore[attr-defined]  # which Pillow would misread
            require(not planes, "16-bit TIFF must hold its colors together; got separate planes")
        if deep := re.fullmatch(r"(LA|RGB|RGBX|RGBA|RGBa);16([BLN])", str(raw_mode)):
            return _sixteen_bit(data, *deep.groups())
        return from_pil(image)


def from_pil(image: Image.Image) -> Raster:
    """Convert an open Pillow image of any mode, its EXIF orientation applied; the image itself is not
    changed.

    Raises:
        ValueError: the pixels cannot be decoded, or the mode has no RGB meaning.
    """
    with _plain_errors():
        image.load()  # a TIFF is turned upright here, and its orientation is 1 from then on
    return _finish(image, *_rgb(image))


def _finish(image: Image.Image, pixels: np.ndarray, alpha: np.ndarray | None) -> Raster:
    """Turn pixels upright and add what the loaded image says about itself."""
    orientation, exif = _exif(image)
    icc = image.info.get("icc_profile")
    # A CMYK or gray profile does not describe the RGB pixels any more.
    icc = icc if isinstance(icc, bytes) and icc[16:20] == b"RGB " else None
    alpha = None if alpha is None else upright(alpha, orientation)
    return Raster(upright(pixels, orientation), alpha, image.format, icc, exif)


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (1 to 8; anything else means 1) to an (H, W, ...) array, as a contiguous
    copy."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.array(array, order="C")


def encode(file: BinaryIO, raster: Raster, note: dict | None, quality: int) -> None:
    """Write a raster in its own format, with profile, EXIF and note, into an open file.

    Pixels are uint8, or uint16 in PNG and TIFF. A JPEG must come without alpha. 16-bit TIFF keeps the
    descriptive text of the EXIF block, not its camera and GPS directories. PNG holds the note as text, the
    others as XMP.
    """
    text = None if note is None else note_text(note)
    xmp = None if text is None else _XMP_PACKET.format(html.escape(text)).encode()
    if raster.pixels.dtype == np.uint16:
        if raster.format == "PNG":
            _write_png16(file, raster, text)
        else:
            _write_tiff16(file, raster, xmp)
        return
    from PIL import Image, PngImagePlugin

    options: dict[str, Any] = {}
    if raster.icc:
        options["icc_profile"] = raster.icc
    if raster.exif:
        options["exif"] = raster.exif
    if raster.format == "PNG":
        info = PngImagePlugin.PngInfo()
        if text is not None:
            info.add_itxt("flowedit", text)
        options["pnginfo"] = info
    elif raster.format == "TIFF":
        tags = Image.Exif()
        if raster.exif:
            tags.load(raster.exif)
        if xmp:
            tags[_XMP] = xmp
        options["exif"] = tags  # uncompressed: Pillow's compressed TIFF cannot hold the camera's directory
    else:
        options |= {"quality": quality, "xmp": xmp or b""}
        options |= {"subsampling": "4:4:4"} if raster.format == "JPEG" else {"exact": True}  # colors under alpha 0
    Image.fromarray(_stack(raster)).save(file, format=raster.format, **options)


def note_text(note: dict) -> str:
    """Return a provenance note as one line of ASCII JSON; ValueError where it is no JSON or does not fit a
    file."""
    try:
        text = json.dumps(note, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"note must hold only what JSON holds; got {error}") from error
    require(
        len(html.escape(text)) <= MAX_NOTE_BYTES,
        f"note must take at most {MAX_NOTE_BYTES} bytes as JSON; got {len(html.escape(text))}",
    )
    return text


def decode_note(data: bytes) -> dict | None:
    """Return the provenance note in an image file's bytes, None if it has none; ValueError if it is
    damaged."""
    with _open(data) as image:
        text = image.info.get("flowedit")
        packet = image.info.get("xmp", b"")
    if text is None:
        packet = packet.encode() if isinstance(packet, str) else bytes(packet)
        found = re.search(rb"<flowedit:note>(.*?)</flowedit:note>", packet, re.DOTALL)
        if found is None:
            return None
        text = html.unescape(found.group(1).decode(errors="replace"))
    try:
        note = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError("its flowedit note is damaged") from error
    require(isinstance(note, dict), "its flowedit note is damaged")
    return note


@contextlib.contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn whatever Pillow raises on damaged data (it is a zoo) into one ValueError, and hold back its
    warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except Exception as error:
            detail = str(error) or type(error).__name__
            raise ValueError(f"the file is truncated or damaged ({detail})") from error


def _open(data: bytes) -> ImageFile.ImageFile:
    """Open an image file's bytes without decoding the pixels."""
    from PIL import Image

    Image.init()
    formats = [name for name in READABLE if name in Image.OPEN]  # a Pillow may be built without some
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's size warning comes earlier than the limit here
        try:
            image = Image.open(io.BytesIO(data), formats=formats)
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


def _exif(image: Image.Image) -> tuple[int, bytes | None]:
    """Return the orientation, and the EXIF block without layout tags and with orientation 1 (None: nothing in
    it)."""
    from PIL import Image

    with contextlib.suppress(Exception):  # damaged metadata must not cost the picture
        orientation = image.getexif().get(_ORIENTATION, 1)
        exif = Image.Exif()
        exif.load(image.getexif().tobytes())
        for tag in set(exif) - _DESCRIPTIVE:
            del exif[tag]
        if not set(exif) - {_ORIENTATION}:
            return orientation, None
        exif[_ORIENTATION] = 1
        return orientation, exif.tobytes()
    return 1, None


def _rgb(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn a decoded Pillow image into (H, W, 3) RGB and (H, W) alpha or None."""
    mode, icc = image.mode, image.info.get("icc_profile")
    if mode in ("I", "F") or mode.startswith("I;16"):
        return _gray(np.asarray(image), image.info.get("transparency"))
    if mode == "CMYK" and icc:
        image = _cmyk_to_srgb(image, icc)
    with _plain_errors():
        if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            if mode == "La":
                image = image.convert("LA")
            rgba = np.asarray(image.convert("RGBA"))
            return rgba[..., :3], rgba[..., 3]
        return np.asarray(image.convert("RGB")), None


def _gray(gray: np.ndarray, transparent: object) -> tuple[np.ndarray, np.ndarray | None]:
    """Turn 16-bit, 32-bit integer or float gray into RGB; `transparent` is PNG's one see-through value."""
    low, high = (gray.min(), gray.max()) if gray.size else (0, 0)
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


def _sixteen_bit(data: bytes, kind: str, order: str) -> Raster:
    """Decode 16 bits per channel, of which Pillow keeps only the high byte, by reading the file once for each
    byte.

    `kind` and `order` are Pillow's raw mode in two parts, "RGB" and "B" for "RGB;16B". The raw mode of the
    other byte order unpacks the low bytes; unpacking gray and alpha as RGBA yields both bytes of both
    channels at once.
    """
    if kind == "LA":
        image = _unpack(data, "RGBA")
        pairs = np.asarray(image).astype(np.uint16)
        both = pairs[..., 0::2] << 8 | pairs[..., 1::2]
        return _finish(image, np.repeat(both[..., :1], 3, axis=2), both[..., 1])
    if order == "N":
        order = "L" if sys.byteorder == "little" else "B"
    channels = "RGBA" if kind == "RGBa" else kind  # Pillow would divide by alpha in 8 bits
    image = _unpack(data, f"{channels};16{order}")
    both = np.asarray(image).astype(np.uint16) << 8
    both |= np.asarray(_unpack(data, f"{channels};16{'B' if order == 'L' else 'L'}"))
    pixels, alpha = both[..., :3], (both[..., 3] if both.shape[2] == 4 else None)
    if kind == "RGBa":
        pixels = np.minimum(np.rint(pixels * (65535 / np.maximum(both[..., 3:], 1))), 65535).astype(np.uint16)
    key = image.info.get("transparency")  # PNG's one see-through color
    if alpha is None and isinstance(key, tuple):
        alpha = np.where((pixels == np.array(key)).all(-1), 0, 65535).astype(np.uint16)
    return _finish(image, pixels, alpha)


def _unpack(data: bytes, raw_mode: str) -> ImageFile.ImageFile:
    """Decode a file with another raw mode than the one Pillow chose."""
    image = _open(data)
    with _plain_errors():
        image.tile = [
            tile._replace(args=raw_mode if isinstance(tile.args, str) else (raw_mode, *(tile.args or ())[1:]))
            for tile in image.tile
        ]
        image.load()
    return image


def _write_png16(file: BinaryIO, raster: Raster, text: str | None) -> None:
    """Write 16-bit RGB(A) as PNG, which Pillow cannot; every row is filtered by its difference to the row
    above."""
    rows = _stack(raster).astype(">u2")
    height, width, channels = rows.shape
    rows = rows.reshape(height, -1).view(np.uint8)
    filtered = np.full((height, 1 + rows.shape[1]), 2, np.uint8)
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])

    def chunk(name: bytes, body: bytes) -> None:
        file.write(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)))

    file.write(b"\x89PNG\r\n\x1a\n")
    chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0))
    if raster.icc:
        chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(raster.icc))
    if raster.exif:
        chunk(b"eXIf", raster.exif.removeprefix(b"Exif\0\0"))
    if text is not None:
        chunk(b"iTXt", b"flowedit\0\0\0\0\0" + text.encode())
    deflate = zlib.compressobj(6)
    for top in range(0, height, 256):  # a piece at a time: a chunk's length has 31 bits
        chunk(b"IDAT", deflate.compress(filtered[top : top + 256].tobytes()))
    chunk(b"IDAT", deflate.flush())
    chunk(b"IEND", b"")


def _write_tiff16(file: BinaryIO, raster: Raster, xmp: bytes | None) -> None:
    """Write 16-bit RGB(A) as a deflated TIFF, which Pillow cannot."""
    import tifffile
    from PIL import Image

    tags: list[tuple] = []
    for code, body in ((_ICC, raster.icc), (_XMP, xmp)):
        if body:
            tags.append((code, "B", len(body), body, True))
    exif = Image.Exif()
    if raster.exif:
        exif.load(raster.exif)
    tags += [(code, "s", 0, text, True) for code in _TIFF_TEXT
             if isinstance(text := exif.get(code), str) and text.isascii()]  # fmt: skip
    tifffile.imwrite(
        file,
        _stack(raster),
        photometric="rgb",
        extrasamples=None if raster.alpha is None else ["unassalpha"],
        compression="zlib",
        predictor=True,
        metadata=None,
        software=False,
        extratags=tags,
    )


def _stack(raster: Raster) -> np.ndarray:
    """Join color and alpha into (H, W, 3 or 4)."""
    return raster.pixels if raster.alpha is None else np.dstack([raster.pixels, raster.alpha])


def readable_suffixes() -> frozenset[str]:
    """Return the file endings, lower case, of the formats that `decode` takes with this Pillow."""
    from PIL import Image

    Image.init()
    return frozenset(
        suffix for suffix, name in Image.registered_extensions().items() if name in READABLE and name in Image.OPEN
    )
