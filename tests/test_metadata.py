"""What a photo's file says about it, kept in what is made of it or left out on request."""

from __future__ import annotations

import struct
import warnings

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, PngImagePlugin

from flowedit.edit import Edit
from flowedit.photo.metadata import Metadata, to_srgb
from flowedit.photo.photo import Photo, load, read_note, save

RIGHTS = """<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/"
 xmlns:exif="http://ns.adobe.com/exif/1.0/" xmpRights:Marked="True" exif:GPSLatitude="52,31.2N">
<dc:creator><rdf:Seq><rdf:li>Ana &amp; Bo</rdf:li></rdf:Seq></dc:creator>
<dc:subject><rdf:Bag><rdf:li>face</rdf:li></rdf:Bag></dc:subject>
<xmpRights:UsageTerms><rdf:Alt><rdf:li xml:lang="x-default">no training</rdf:li></rdf:Alt></xmpRights:UsageTerms>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>"""
ALL = [".png", ".jpg", ".webp", ".tif"]
every_format = pytest.mark.parametrize("suffix", ALL)


def camera_photo(path, **options):
    """A JPEG with place, serial numbers and artist in its EXIF block."""
    exif = Image.Exif()
    exif[0x010F], exif[0x013B] = "camera", "Ana"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05", 0xA431: "body 123", 0xA435: "lens 456", 0x927C: b"serial 123"}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.0)}
    Image.new("RGB", (16, 8), (90, 120, 150)).save(path, exif=exif, **options)
    return load(path)


def resaved(path, photo, **options):
    return save(path, photo.tensor(), photo=photo, note={"prompt": "smile"}, **options)


def exif_of(path):
    block = Image.Exif()
    block.load(load(path).metadata.exif)
    return block


@every_format
def test_resolution_and_rights_are_kept(tmp_path, suffix):
    photo = camera_photo(tmp_path / "in.jpg", dpi=(300, 150), xmp=RIGHTS.encode())
    assert photo.metadata.dpi == (300, 150)
    path = resaved(tmp_path / f"out{suffix}", photo)
    with Image.open(path) as image:
        packet = image.info["xmp"]
        packet = packet.decode() if isinstance(packet, bytes) else packet
    assert "Ana &amp; Bo" in packet and "no training" in packet and "Marked" in packet
    assert "GPSLatitude" not in packet and "subject" not in packet  # rights alone
    back = load(path).metadata
    assert back.rights and read_note(path) == {"prompt": "smile"}
    if suffix == ".webp":  # which has no other place for it
        assert float(exif_of(path)[282]) == 300
    else:
        assert back.dpi == pytest.approx((300, 150), rel=1e-3)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_files_keep_resolution_and_rights(tmp_path, suffix):
    metadata = camera_photo(tmp_path / "in.jpg", dpi=(300, 150), xmp=RIGHTS.encode()).metadata
    photo = Photo(np.zeros((8, 16, 3), np.uint16), metadata=metadata)
    back = load(resaved(tmp_path / f"out{suffix}", photo))
    assert back.pixels.dtype == np.uint16 and back.metadata.dpi == pytest.approx((300, 150), rel=1e-3)
    assert back.metadata.rights


def test_a_resolution_turns_with_the_picture_and_is_not_made_up(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 8)).save(tmp_path / "a.png", exif=exif, dpi=(300, 150))
    assert load(tmp_path / "a.png").metadata.dpi == pytest.approx((150, 300), rel=1e-3)
    assert camera_photo(tmp_path / "b.jpg").metadata.dpi is None


@every_format
def test_place_and_serial_numbers_stay_or_go_as_asked(tmp_path, suffix):
    photo = camera_photo(tmp_path / "in.jpg")
    whole = exif_of(resaved(tmp_path / f"whole{suffix}", photo))
    assert whole.get_ifd(0x8825)[1] == "N" and whole.get_ifd(0x8769)[0xA431] == "body 123"
    path = resaved(tmp_path / f"less{suffix}", photo, strip_location=True)
    less = exif_of(path)
    assert not less.get_ifd(0x8825) and set(less.get_ifd(0x8769)) == {0x9003}
    assert less[0x013B] == "Ana" and less[0x010F] == "camera"
    data = path.read_bytes()
    assert not any(secret in data for secret in (b"body 123", b"lens 456", b"serial 123"))


def test_a_pillow_image_says_what_a_file_would(tmp_path):
    edit = Edit(camera_photo(tmp_path / "in.jpg"), (), {"red": 1.0})
    for strip in (False, True):
        block = Image.Exif()
        block.load(edit.to_pil(strip_location=strip).info["exif"])
        written = exif_of(edit.save(tmp_path / "out.png", strip_location=strip))
        assert (not block.get_ifd(0x8825)) is (0xA431 not in block.get_ifd(0x8769)) is strip
        assert block.get_ifd(0x8769) == written.get_ifd(0x8769) and block[0x013B] == "Ana"


def test_png_color_chunks_are_kept_and_their_loss_is_said(tmp_path):
    info = PngImagePlugin.PngInfo()
    chunks = {b"gAMA": struct.pack(">I", 100_000), b"cHRM": struct.pack(">8I", *range(1000, 9000, 1000))}
    for name, body in chunks.items():
        info.add(name, body)
    Image.new("RGB", (4, 4)).save(tmp_path / "in.png", pnginfo=info)
    photo = load(tmp_path / "in.png")
    assert photo.metadata.png_color == chunks
    assert load(resaved(tmp_path / "out.png", photo)).metadata.png_color == chunks
    with pytest.warns(UserWarning, match=r"loses what the photo's gAMA, cHRM or cICP say"):
        resaved(tmp_path / "out.jpg", photo)
    plain = Photo(photo.pixels, metadata=Metadata(png_color={b"gAMA": struct.pack(">I", 45455)}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resaved(tmp_path / "plain.jpg", plain)


def test_damaged_or_hostile_xmp_costs_nothing(tmp_path):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><x xmlns:dc="http://purl.org/dc/elements/1.1/">&a;</x>'
    for packet in (bomb, RIGHTS[: len(RIGHTS) // 2], "no XML", RIGHTS.replace("no training", "x" * 20_000)):
        assert camera_photo(tmp_path / "a.jpg", xmp=packet.encode()).metadata.rights == ""


def test_camera_notes_too_long_for_a_jpeg_are_left_out_with_a_warning(tmp_path):
    exif = Image.Exif()
    exif[0x8769] = {0x927C: bytes(70_000)}
    photo = Photo(np.zeros((4, 4, 3), np.uint8), metadata=Metadata(exif=exif.tobytes()))
    with pytest.warns(UserWarning, match="too long for a JPEG"):
        resaved(tmp_path / "a.jpg", photo)
    assert load(resaved(tmp_path / "a.png", photo)).metadata.exif


def test_colors_are_converted_by_their_profile():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert abs(to_srgb(pixels, profile).astype(int) - pixels).max() <= 1
    for unusable in (None, b"no profile"):
        assert np.array_equal(to_srgb(pixels, unusable), pixels)


def test_a_cut_out_is_shown_on_white():
    color, alpha = np.full((2, 2, 3), 100, np.uint8), np.array([[255, 0], [128, 255]], np.uint8)
    white = load(np.dstack([color, alpha])).over_white()
    assert white.alpha is None and white.pixels[..., 0].tolist() == [[100, 255], [177, 100]]
    assert load(color).over_white().pixels.max() == 100


@pytest.mark.parametrize("quality", [np.int64(90), torch.tensor(90), 90.0])
def test_any_whole_number_is_a_quality(tmp_path, quality):
    image = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    same = save(tmp_path / "a.jpg", image, quality=90).read_bytes()
    assert save(tmp_path / "b.jpg", image, quality=quality).read_bytes() == same
