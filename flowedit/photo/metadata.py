"""What a picture's file says about it: color profile, EXIF, rights, resolution, and flowedit's own record."""

from __future__ import annotations

import contextlib
import html
import io
import json
import math
import re
import struct
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from flowedit.checks import require

if TYPE_CHECKING:
    from PIL import Image

MAX_NOTE_BYTES = 50_000  # with the rights and their frame it has to fit into a JPEG segment of 65,533 bytes
MAX_RIGHTS_BYTES = 12_000
ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_RESOLUTION = 282, 283, 296  # across, down, unit
TIFF_TEXT = (270, 271, 272, 305, 306, 315, 33432)
# The rest of a TIFF's first directory describes how its pixels are stored, which the output decides.
_DESCRIPTIVE = {ORIENTATION, _EXIF_IFD, _GPS_IFD, *_RESOLUTION, *TIFF_TEXT}
# Maker note (which may hold any of the others), image id, owner, body and lens serial number.
_SERIAL_NUMBERS = (0x927C, 0xA420, 0xA430, 0xA431, 0xA435)
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_RIGHTS = re.compile(  # names of XMP properties: who made a picture, who owns it, what it may be used for
    r"\{http://purl\.org/dc/elements/1\.1/\}(creator|rights)"
    r"|\{http://ns\.adobe\.com/photoshop/1\.0/\}Credit"
    r"|\{(http://ns\.adobe\.com/xap/1\.0/rights/|http://creativecommons\.org/ns#|http://ns\.useplus\.org/ldf/xmp/1\.0/)\}.*"
)
_XMP_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{}</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_SRGB_CHUNKS = {
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000),
}
_NOTE = (
    '<rdf:Description rdf:about="" xmlns:flowedit="urn:flowedit"><flowedit:note>{}</flowedit:note></rdf:Description>'
)


@dataclass(frozen=True)
class Metadata:
    """What a file says about its picture.

    Attributes:
        icc: color profile of RGB pixels.
        exif: EXIF block, without what describes the layout of the file, and with orientation 1.
        rights: creator, copyright and terms of use: an `rdf:Description` element of XMP, or empty.
        dpi: pixels per inch, across and down.
        png_color: PNG chunks that state what colors mean, name -> body: gAMA, cHRM, sRGB, cICP.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    rights: str = ""
    dpi: tuple[float, float] | None = None
    png_color: dict[bytes, bytes] = field(default_factory=dict)

    @property
    def png_color_matters(self) -> bool:
        """Whether PNG chunks alone make the colors other than sRGB's."""
        plain = self.icc or not self.png_color or (b"sRGB" in self.png_color and b"cICP" not in self.png_color)
        return not plain and any(_SRGB_CHUNKS.get(name) != body for name, body in self.png_color.items())

    def without_location(self) -> Metadata:
        """Return the same without the place, and without what identifies camera, lens and owner; artist and rights
        stay."""
        if not self.exif:
            return self
        exif = _editable(self.exif)
        exif.pop(_GPS_IFD, None)
        details = {tag: value for tag, value in exif.get_ifd(_EXIF_IFD).items() if tag not in _SERIAL_NUMBERS}
        exif.pop(_EXIF_IFD, None)
        exif.get_ifd(_EXIF_IFD).clear()
        if details:
            exif[_EXIF_IFD] = details
        return replace(self, exif=exif.tobytes())

    def xmp(self, note: dict | None = None) -> bytes:
        """Return an XMP packet with the rights and a record; empty where there is neither."""
        texts = [self.rights, "" if note is None else _NOTE.format(html.escape(note_text(note)))]
        return _XMP_PACKET.format("".join(texts)).encode() if any(texts) else b""


def read_metadata(image: Image.Image, png_color: dict[bytes, bytes] | None = None) -> tuple[int, Metadata]:
    """Return the EXIF orientation (1 to 8) of a Pillow image, and what else it says; damaged parts are left out."""
    orientation, exif = _exif(image)
    icc = image.info.get("icc_profile")
    # A CMYK or gray profile does not describe the RGB pixels any more.
    icc = icc if isinstance(icc, bytes) and icc[16:20] == b"RGB " else None
    dpi = _dpi(image, exif)
    if dpi and orientation in (5, 6, 7, 8):
        dpi = dpi[::-1]
    return orientation, Metadata(icc, exif, _rights(_packet(image)), dpi, png_color or {})


def note_text(note: dict) -> str:
    """Return a record as one line of ASCII JSON; ValueError where it is no JSON or does not fit a file."""
    try:
        text = json.dumps(note, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"note must hold only what JSON holds; got {error}") from error
    size = len(html.escape(text))
    require(size <= MAX_NOTE_BYTES, f"note must take at most {MAX_NOTE_BYTES} bytes as JSON; got {size}")
    return text


def fit_note(note: dict, least: Sequence[str]) -> dict:
    """Return a record that fits a file: without its entries named `least`, the first of them first, if need be."""
    for name in least:
        if len(html.escape(json.dumps(note))) <= MAX_NOTE_BYTES:
            break
        note = {key: value for key, value in note.items() if key != name}
    return note


def find_note(image: Image.Image) -> dict | None:
    """Return the record in an opened image, None if it has none; ValueError if it is damaged."""
    match = re.search(r"<flowedit:note>(.*?)</flowedit:note>", _packet(image), re.DOTALL)
    if match is None:
        return None
    try:
        note = json.loads(html.unescape(match.group(1)))
    except (ValueError, RecursionError) as error:
        raise ValueError("its flowedit note is damaged") from error
    require(isinstance(note, dict), "its flowedit note is damaged")
    return note


def to_srgb(pixels: np.ndarray, icc: bytes | None) -> np.ndarray:
    """Convert (h, w, 3) uint8 pixels from a color profile to sRGB, for what cannot hold one; without, return them."""
    from PIL import Image, ImageCms

    if icc is None:
        return pixels
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        image = ImageCms.profileToProfile(Image.fromarray(pixels), profile, ImageCms.createProfile("sRGB"))
        return np.asarray(image)
    except (ImageCms.PyCMSError, OSError):  # an unusable profile: viewers take the numbers for sRGB too
        return pixels


def with_resolution(exif: bytes | None, dpi: tuple[float, float] | None) -> bytes | None:
    """Return an EXIF block that states the resolution, for formats that have no other place for it."""
    if dpi is None:
        return exif
    block = _editable(exif or b"")
    block[_RESOLUTION[0]], block[_RESOLUTION[1]], block[_RESOLUTION[2]] = *dpi, 2
    return block.tobytes()


def _editable(exif: bytes) -> Image.Exif:
    from PIL import Image

    block = Image.Exif()
    if exif:
        block.load(exif)
    return block


def _packet(image: Image.Image) -> str:
    """Return an image's XMP packet; a GIF has flowedit's in its comment."""
    packet = image.info.get("xmp") or image.info.get("comment") or b""
    return packet if isinstance(packet, str) else bytes(packet).decode(errors="replace")


def _exif(image: Image.Image) -> tuple[int, bytes | None]:
    """Return the orientation, and the EXIF block without layout tags and with orientation 1 (None: nothing in it)."""
    with contextlib.suppress(Exception):  # damaged metadata must not cost the picture
        orientation = image.getexif().get(ORIENTATION, 1)
        exif = _editable(image.getexif().tobytes())
        for tag in set(exif) - _DESCRIPTIVE:
            del exif[tag]
        if not set(exif) - {ORIENTATION}:
            return orientation, None
        exif[ORIENTATION] = 1
        return orientation, exif.tobytes()
    return 1, None


def _dpi(image: Image.Image, exif: bytes | None) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    stated = image.format != "JPEG" or image.info.get("jfif_unit") or _RESOLUTION[0] in _editable(exif or b"")
    if not stated:  # Pillow makes up 72
        return None
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError):
        across, down = map(float, dpi or ())
        if math.isfinite(across + down) and min(across, down) >= 1 and max(across, down) < 65_535:
            return across, down
    return None


def _rights(packet: str) -> str:
    """Return the properties of an XMP packet that state rights, as one `rdf:Description`, or nothing."""
    packet = packet.strip("\ufeff\0 \r\n\t")
    if "<!DOCTYPE" in packet or "<" not in packet:  # a declared entity may stand for gigabytes
        return ""
    with contextlib.suppress(Exception):  # damaged metadata must not cost the picture
        rights = ET.Element(f"{_RDF}Description", {f"{_RDF}about": ""})
        for description in (child for root in ET.fromstring(packet).iter(f"{_RDF}RDF") for child in root):
            for name, value in description.attrib.items():
                if _RIGHTS.fullmatch(name):
                    rights.set(name, value)
            rights.extend(child for child in description if _RIGHTS.fullmatch(child.tag))
        if len(rights) or len(rights.attrib) > 1:
            text = ET.tostring(rights, encoding="unicode")
            return text if len(text.encode()) <= MAX_RIGHTS_BYTES else ""
    return ""
