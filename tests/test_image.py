"""Photos in and out: every kind of file, exact round trips, refusals, and writes that are whole or not at
all."""

from __future__ import annotations

import io
import os
import re
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from flowedit.photo import codec, files
from flowedit.photo.files import write_atomically
from flowedit.photo.metadata import Metadata
from flowedit.photo.photo import Photo, image_to_tensor, load, quantize, read_note, save
from flowedit.photo.raster import ROWS, Raster

ORIENTATION = 0x0112


def random_pixels(height=7, width=5, channels=3, dtype=np.uint8, seed=0):
    high = np.iinfo(dtype).max + 1
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, high, shape, dtype=dtype)


def saved(picture: Image.Image, path: Path, **options) -> Path:
    picture.save(path, **options)
    return path


def one_line(error) -> str:
    message = str(error.value)
    assert message and "\n" not in message and "Traceback" not in message
    return message


# --- round trips


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_survives_the_way_through_float(dtype):
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)
    pixels = np.stack([values.reshape(-1, 256), values[::-1].reshape(-1, 256), values.reshape(-1, 256)], -1)
    photo = load(pixels)
    tensor = photo.tensor()
    assert tensor.dtype == torch.float32 and tensor.shape == (1, 3, len(values) // 256, 256)
    assert tensor.min() == 0 and tensor.max() == 1
    back = quantize(tensor, dtype)
    assert back.dtype == dtype and np.array_equal(back, pixels)


def test_quantize_clamps_rounds_and_takes_both_layouts():
    levels = torch.tensor([-0.5, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 7.0]).expand(3, 1, 6)
    assert quantize(levels, np.uint8)[0, :, 0].tolist() == [0, 0, 0, 1, 255, 255]
    assert np.array_equal(quantize(levels[None], np.uint8), quantize(levels, np.uint8))
    assert quantize(levels, np.float32).max() == 1


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (300, 33)])
def test_lossless_files_return_the_photo(tmp_path, suffix, channels, dtype, size):
    photo = load(random_pixels(*size, channels, dtype))
    path = save(tmp_path / f"out{suffix}", photo.tensor(), photo=photo, note={"prompt": "a smile"})
    back = load(path)
    assert np.array_equal(back.pixels, photo.pixels) and back.pixels.dtype == dtype
    assert (back.alpha is None) == (channels == 3)
    if channels == 4:
        assert np.array_equal(back.alpha, photo.alpha) and back.alpha.dtype == dtype
    assert back.sha256 == photo.sha256
    assert read_note(path) == {"prompt": "a smile"}


def test_webp_keeps_alpha_and_jpeg_says_that_it_cannot(tmp_path):
    pixels = np.dstack([np.full((16, 16, 3), 90, np.uint8), random_pixels(16, 16, 0)])
    photo = load(pixels)
    webp = load(save(tmp_path / "a.webp", photo.tensor(), photo=photo))
    assert np.array_equal(webp.alpha, photo.alpha) and abs(webp.pixels.astype(int) - 90).max() <= 3
    with pytest.warns(UserWarning, match="no transparency"):
        jpeg = load(save(tmp_path / "a.jpg", photo.tensor(), photo=photo))
    assert jpeg.alpha is None and abs(jpeg.pixels.astype(int) - 90).max() <= 3
    with warnings.catch_warnings():  # an opaque alpha loses nothing
        warnings.simplefilter("error")
        opaque = load(np.dstack([pixels[..., :3], np.full((16, 16), 255, np.uint8)]))
        save(tmp_path / "b.jpg", opaque.tensor(), photo=opaque)


def test_sixteen_bits_become_eight_where_the_format_has_eight(tmp_path):
    photo = load(np.full((8, 8, 4), 257 * 100, np.uint16))
    back = load(save(tmp_path / "a.webp", photo.tensor(), photo=photo))
    assert back.pixels.dtype == np.uint8 and (back.alpha == 100).all() and abs(back.pixels.astype(int) - 100).max() <= 2


def test_a_float_photo_is_written_in_eight_bits_with_its_alpha(tmp_path):
    photo = load(random_pixels(channels=4) / 255)
    back = load(save(tmp_path / "a.png", photo.tensor(), photo=photo))
    assert np.array_equal(back.pixels, quantize(photo.tensor(), np.uint8))
    assert np.array_equal(back.alpha, np.rint(photo.alpha * 255))


def test_sha256_depends_on_pixels_only(tmp_path):
    pixels = random_pixels()
    path = saved(Image.fromarray(pixels), tmp_path / "a.png")
    assert load(path).sha256 == load(pixels).sha256
    assert load(pixels.reshape(5, 7, 3)).sha256 != load(pixels).sha256
    pixels[0, 0, 0] ^= 1
    assert load(path).sha256 != load(pixels).sha256


# --- what is read


# Where the first row and first column of the stored picture are to be seen, by EXIF 2.3.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_exif_orientation_is_applied_once(tmp_path, orientation, suffix):
    pixels = random_pixels(channels=4)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif[0x010F] = "camera"
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    path = saved(Image.fromarray(pixels), tmp_path / f"in{suffix}", exif=exif, **options)
    photo = load(path)
    assert np.array_equal(photo.pixels, UPRIGHT[orientation](pixels[..., :3]))
    assert np.array_equal(photo.alpha, UPRIGHT[orientation](pixels[..., 3]))
    again = load(save(tmp_path / "out.png", photo.tensor(), photo=photo))
    assert np.array_equal(again.pixels, photo.pixels)
    kept = Image.open(tmp_path / "out.png").getexif()
    assert kept[0x010F] == "camera" and kept[ORIENTATION] == 1
    opened = Image.open(io.BytesIO(path.read_bytes()))
    assert np.array_equal(load(opened).pixels, photo.pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_of_a_jpeg(tmp_path, orientation):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8, :8] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = saved(Image.fromarray(pixels), tmp_path / "a.jpg", exif=exif, quality=100)
    assert np.array_equal(load(path).pixels > 127, UPRIGHT[orientation](pixels) > 127)


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif", ".png"])
def test_profile_exif_and_note_are_written(tmp_path, suffix):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "camera"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    exif[0x8769] = exif.get_ifd(0x8769)
    source = saved(Image.fromarray(random_pixels(16, 16)), tmp_path / "in.jpg", exif=exif, icc_profile=profile)
    photo = load(source)
    assert photo.metadata.icc == profile
    note = {"prompt": 'a "smile" & <tags> \u00e9\u4e2d', "strength": 0.5}
    path = save(tmp_path / f"out{suffix}", photo.tensor(), photo=photo, note=note)
    back = load(path)
    assert back.metadata.icc == profile and read_note(path) == note and read_note(source) is None
    kept = Image.Exif()
    kept.load(back.metadata.exif)
    assert kept[0x010F] == "camera" and kept.get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bit_files_keep_profile_and_exif(tmp_path, suffix):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x010F] = "camera"
    photo = Photo(random_pixels(dtype=np.uint16), metadata=Metadata(profile, exif.tobytes()))
    path = save(tmp_path / f"a{suffix}", photo.tensor(), photo=photo)
    assert load(path).metadata.icc == profile
    assert Image.open(path).getexif()[0x010F] == "camera"


def test_pictures_of_every_mode_become_rgb(tmp_path):
    rgb = random_pixels()
    gray = random_pixels(channels=0)
    two = random_pixels(channels=2)
    modes = {
        "L": (Image.fromarray(gray), np.dstack([gray] * 3), None),
        "LA": (Image.fromarray(two, "LA"), np.dstack([two[..., 0]] * 3), two[..., 1]),
        "1": (Image.fromarray(gray > 99), np.dstack([(gray > 99) * np.uint8(255)] * 3), None),
        "RGB": (Image.fromarray(rgb), rgb, None),
    }  # fmt: skip
    for mode, (picture, pixels, alpha) in modes.items():
        assert picture.mode == mode
        photo = load(saved(picture, tmp_path / f"{mode}.png"))
        assert np.array_equal(photo.pixels, pixels), mode
        assert (photo.alpha is None) == (alpha is None) and (alpha is None or np.array_equal(photo.alpha, alpha)), mode
        assert np.array_equal(load(picture).pixels, pixels), mode


def test_palette_with_transparency(tmp_path):
    picture = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8), "P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    plain = load(saved(picture, tmp_path / "plain.png"))
    assert plain.alpha is None and plain.pixels[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    clear = load(saved(picture, tmp_path / "clear.png", transparency=bytes([0, 128, 255])))
    assert clear.alpha.tolist() == [[0, 128, 255], [255, 128, 0]] and np.array_equal(clear.pixels, plain.pixels)
    gif = load(saved(picture, tmp_path / "clear.gif", transparency=1))
    assert gif.alpha.tolist() == [[255, 0, 255], [255, 0, 255]]


def test_a_see_through_color_becomes_alpha(tmp_path):
    pixels = random_pixels()
    path = saved(Image.fromarray(pixels), tmp_path / "a.png", transparency=tuple(int(v) for v in pixels[2, 3]))
    photo = load(path)
    assert np.array_equal(photo.pixels, pixels)
    assert photo.alpha[2, 3] == 0 and (photo.alpha == 0).sum() == 1


def test_cmyk_by_inversion_and_never_with_its_own_profile(tmp_path):
    cmyk = np.zeros((8, 8, 4), np.uint8)
    cmyk[..., 0] = 255  # cyan
    path = saved(Image.fromarray(cmyk, "CMYK"), tmp_path / "a.jpg", quality=100, icc_profile=b"\0" * 16 + b"CMYK")
    photo = load(path)
    assert photo.metadata.icc is None and photo.pixels.shape == (8, 8, 3)
    assert photo.pixels[0, 0, 0] < 10 and photo.pixels[0, 0, 1:].min() > 245


def test_sixteen_bit_gray(tmp_path):
    gray = random_pixels(channels=0, dtype=np.uint16)
    for path in (
        saved(Image.fromarray(gray), tmp_path / "a.png"),
        saved(Image.fromarray(gray), tmp_path / "a.tif"),
    ):
        photo = load(path)
        assert photo.pixels.dtype == np.uint16 and np.array_equal(photo.pixels, np.dstack([gray] * 3))


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("interlace", [False, True])
def test_sixteen_bit_png_of_another_writer(tmp_path, channels, interlace):
    png = pytest.importorskip("png", reason="pypng writes the reference file")
    pixels = random_pixels(9, 11, channels, np.uint16)
    writer = png.Writer(11, 9, greyscale=channels == 2, alpha=channels != 3, bitdepth=16, interlace=interlace)
    with open(tmp_path / "a.png", "wb") as file:
        writer.write(file, pixels.reshape(9, -1).tolist())
    photo = load(tmp_path / "a.png")
    color = np.dstack([pixels[..., 0]] * 3) if channels == 2 else pixels[..., :3]
    assert photo.pixels.dtype == np.uint16 and np.array_equal(photo.pixels, color)
    assert photo.alpha is None if channels == 3 else np.array_equal(photo.alpha, pixels[..., -1])


def test_sixteen_bit_png_is_read_alike_elsewhere(tmp_path):
    png = pytest.importorskip("png", reason="pypng reads our file")
    photo = load(random_pixels(9, 11, 4, np.uint16))
    save(tmp_path / "a.png", photo.tensor(), photo=photo)
    width, height, rows, _ = png.Reader(str(tmp_path / "a.png")).asDirect()
    there = np.array([list(row) for row in rows], np.uint16).reshape(height, width, 4)
    assert np.array_equal(there, np.dstack([photo.pixels, photo.alpha]))


@pytest.mark.parametrize(
    "options",
    [{}, {"byteorder": ">"}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True},
     {"compression": "zlib", "byteorder": ">"}, {"compression": "zlib", "tile": (16, 16)},],
)  # fmt: skip
def test_sixteen_bit_tiff_of_another_writer(tmp_path, options):
    pixels = random_pixels(37, 53, 3, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", **options)
    photo = load(tmp_path / "a.tif")
    assert photo.pixels.dtype == np.uint16 and np.array_equal(photo.pixels, pixels)


def test_sixteen_bit_tiff_with_orientation_and_alpha(tmp_path):
    pixels = random_pixels(6, 9, 4, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"],
                     extratags=[(274, "H", 1, 6, True)])  # fmt: skip
    photo = load(tmp_path / "a.tif")
    assert np.array_equal(photo.pixels, UPRIGHT[6](pixels[..., :3]))
    assert np.array_equal(photo.alpha, UPRIGHT[6](pixels[..., 3]))


def test_premultiplied_sixteen_bit_tiff(tmp_path):
    pixels = np.zeros((1, 2, 4), np.uint16)
    pixels[0] = [[1000, 2000, 3000, 32768], [0, 0, 0, 0]]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"])
    photo = load(tmp_path / "a.tif")
    assert photo.pixels[0].tolist() == [[2000, 4000, 6000], [0, 0, 0]] and photo.alpha.tolist() == [[32768, 0]]


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_planar_sixteen_bit_tiff(tmp_path, compression):
    options = {"photometric": "rgb", "planarconfig": "separate", "compression": compression, "rowsperstrip": 7}
    planes = random_pixels(4, 20, 30, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, extrasamples=["unassalpha"], **options)
    photo = load(tmp_path / "a.tif")
    assert np.array_equal(photo.pixels, planes[:3].transpose(1, 2, 0)) and np.array_equal(photo.alpha, planes[3])


def test_sixteen_bit_tiff_that_tifffile_cannot_decompress(tmp_path, monkeypatch):
    pixels = random_pixels(37, 53, 4, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"], compression="zlib")
    monkeypatch.setattr(tifffile.TIFF, "DECOMPRESSORS", {})  # as for LZW; Pillow decodes all that libtiff can
    photo = load(tmp_path / "a.tif")
    assert np.array_equal(photo.pixels, pixels[..., :3]) and np.array_equal(photo.alpha, pixels[..., 3])


@pytest.mark.parametrize("size", [(1, 1), (20, 20000), (20000, 20)])
def test_strange_sizes_load(tmp_path, size):
    photo = load(saved(Image.new("RGB", size[::-1], (1, 2, 3)), tmp_path / "a.png"))
    assert (photo.height, photo.width) == size
    assert photo.tensor(box=(0, 0, 1, 1)).flatten().mul(255).round().tolist() == [1, 2, 3]


def test_a_box_is_the_part_of_the_whole():
    photo = load(random_pixels(9, 11))
    assert torch.equal(photo.tensor(box=(2, 3, 9, 8)), photo.tensor()[..., 2:9, 3:8])
    for box in ((0, 0, 10, 11), (-1, 0, 3, 3), (3, 3, 3, 5)):
        with pytest.raises(ValueError, match="must lie in the 9 x 11 photo"):
            photo.tensor(box=box)


def test_arrays_and_tensors():
    pixels = random_pixels(3, 3)  # (3, 3, 3): arrays are HWC, tensors CHW, whatever the sizes
    photo = load(pixels)
    assert torch.equal(photo.tensor()[0, 1], torch.from_numpy(pixels[..., 1]) / 255)
    assert np.array_equal(load(torch.from_numpy(pixels)).pixels, pixels.transpose(1, 2, 0))
    tensor = photo.tensor()
    for same in (
        tensor,
        tensor[0],
        tensor.double(),
        tensor.clone().requires_grad_(),
        tensor.mT.contiguous().mT,
    ):
        assert torch.equal(load(same).tensor(), tensor)
    assert np.array_equal(load(pixels[::-1]).pixels, pixels[::-1])
    assert np.array_equal(load(pixels[..., 0]).pixels, np.dstack([pixels[..., 0]] * 3))
    assert np.array_equal(load(pixels[..., :1]).pixels, np.dstack([pixels[..., 0]] * 3))
    assert load(photo) is photo
    pixels[:] = 0
    assert photo.pixels.any()  # a copy


# --- what is refused

BAD_SOURCES = [
    (torch.zeros(3, 4, 4, device="meta"), ValueError, "meta tensor"),
    (torch.zeros(3, 4, 4).to_sparse(), ValueError, "dense tensor; got a torch.sparse_coo one"),
    (torch.nested.nested_tensor([torch.zeros(4, 4)] * 3), ValueError, "dense tensor; got a nested one"),
    (np.ma.masked_greater(np.arange(48, dtype=np.uint8).reshape(4, 4, 3), 40), ValueError, "masked array"),
    (np.full((4, 4, 3), np.nan), ValueError, "must lie in [0, 1]"),
    (np.full((4, 4, 3), np.inf), ValueError, "must lie in [0, 1]"),
    (np.full((4, 4, 3), 255.0), ValueError, "got 255 to 255"),
    (np.full((4, 4, 3), 1, np.int64), TypeError, "got int64"),
    (np.full((4, 4, 3), True), TypeError, "got bool"),
    (np.zeros((4, 4, 2), np.uint8), ValueError, "got (4, 4, 2)"),
    (np.zeros((1, 4, 4, 3), np.uint8), ValueError, "got (1, 4, 4, 3)"),
    (np.zeros((0, 4, 3), np.uint8), ValueError, "at least one pixel"),
    (torch.zeros(2, 3, 4, 4), ValueError, "got (2, 3, 4, 4)"),
    (torch.zeros(4, 4, 3), ValueError, "got (4, 4, 3)"),
    (torch.zeros(1, 3, 0, 4), ValueError, "at least one pixel"),
    (torch.full((3, 4, 4), float("nan")), ValueError, "must lie in [0, 1]"),
    (torch.full((3, 4, 4), -0.5), ValueError, "got -0.5 to -0.5"),
    (torch.zeros(3, 4, 4, dtype=torch.int64), TypeError, "got torch.int64"),
    (None, TypeError, "got None"),
    (b"bytes", TypeError, "got b'bytes'"),
    (Image.fromarray(np.full((2, 2), 70000, np.int32)), ValueError, "got 70000 to 70000"),
    (Image.fromarray(np.full((2, 2), np.nan, np.float32)), ValueError, "got nan to nan"),
]


@pytest.mark.parametrize(("source", "kind", "words"), BAD_SOURCES)
def test_bad_sources_are_one_clear_line(source, kind, words):
    with pytest.raises(kind, match=re.escape(words)) as error:
        load(source)
    assert type(error.value) is kind
    one_line(error)


def damaged(kind: str) -> bytes:
    if kind == "empty":
        return b""
    if kind == "text":
        return b"hello, this is not an image\n" * 9
    if kind == "eps":  # Pillow would start a PostScript interpreter
        return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    file = io.BytesIO()
    if kind == "tiff16":
        tifffile.imwrite(
            file, random_pixels(64, 64, 3, np.uint16), photometric="rgb", compression="zlib", rowsperstrip=8
        )
    elif kind == "png16":
        codec.encode(file, Raster(random_pixels(64, 64, 3, np.uint16), None, "PNG", Metadata()), None, 95)
    else:
        Image.fromarray(random_pixels(64, 64)).save(file, kind)
    return file.getvalue()[: len(file.getvalue()) // 2]


@pytest.mark.parametrize(
    "kind", ["empty", "text", "eps", "PNG", "png16", "tiff16", "JPEG", "WEBP", "TIFF", "GIF", "BMP"]
)
def test_damaged_files_are_one_clear_line(tmp_path, kind):
    path = tmp_path / "bad.png"
    path.write_bytes(damaged(kind))
    with pytest.raises(ValueError, match=re.escape(f"cannot read {path} as an image: ")) as error:
        load(path)
    assert type(error.value) is ValueError
    assert ("must be one of PNG" in one_line(error)) == (kind in ("text", "eps"))


def test_random_damage_never_escapes(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "bad"
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        file = io.BytesIO()
        Image.fromarray(random_pixels(16, 16)).save(file, kind)
        whole = np.frombuffer(file.getvalue(), np.uint8)
        for _ in range(40):
            broken = whole.copy()
            broken[rng.integers(0, len(whole), 3)] = rng.integers(0, 256, 3)
            path.write_bytes(broken.tobytes())
            try:
                load(path)
            except ValueError as error:
                assert str(error).startswith("cannot read")


def test_missing_folder_and_forbidden_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file") as error:
        load(tmp_path / "none.png")
    one_line(error)
    with pytest.raises(IsADirectoryError, match="folder") as error:
        load(tmp_path)
    one_line(error)
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        path = saved(Image.new("RGB", (2, 2)), tmp_path / "a.png")
        path.chmod(0)
        with pytest.raises(PermissionError, match="cannot read"):
            load(path)


def test_a_picture_that_claims_too_many_pixels(tmp_path, monkeypatch):
    path = saved(Image.new("RGB", (100, 100)), tmp_path / "a.png")
    monkeypatch.setattr(codec, "MAX_PIXELS", 9999)
    with pytest.raises(ValueError, match=r"at most 9,999 pixels; got 100 x 100"):
        load(path)
    data = bytearray(path.read_bytes())
    data[16:24] = b"\0\1\0\0" * 2  # 65536 x 65536
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(ValueError, match="at most 9,999 pixels"):
        load(path)


def test_a_large_photo_is_read_without_a_warning(tmp_path, monkeypatch):
    pixels = 100 * (2 * ROWS - 2)  # all, which is read in parts of ROWS rows
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels // 2 + 100)  # Pillow warns from here on, and refuses at twice
    path = saved(Image.new("L", (100, pixels // 100)), tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(path).width == 100


def test_bad_arguments_of_save_and_quantize(tmp_path):
    good, path = torch.rand(1, 3, 4, 5), tmp_path / "a.png"
    for call, kind, words in [
        (lambda: save(tmp_path / "a.gif", good), ValueError, "output must end in one of .png"),
        (lambda: save(tmp_path / "a", good), ValueError, "output must end in one of .png"),
        (lambda: save(path, torch.rand(2, 3, 4, 5)), ValueError, "one photo at a time"),
        (lambda: save(path, torch.rand(1, 4, 4, 5)), ValueError, "(1, 3, H, W)"),
        (lambda: save(path, good * float("nan")), ValueError, "finite"),
        (lambda: save(path, good.numpy()), TypeError, "tensor"),
        (
            lambda: save(path, good, photo=load(torch.rand(3, 5, 4))),
            ValueError,
            "photo's size 5 x 4; got 4 x 5",
        ),
        (lambda: save(path, good, note={"a": object()}), ValueError, "JSON"),
        (lambda: save(path, good, note={"a": float("nan")}), ValueError, "JSON"),
        (lambda: save(path, good, note={"a": "x" * 70_000}), ValueError, "50000 bytes"),
        (lambda: save(path, good, note=["a"]), TypeError, "dict"),
        (lambda: save(path, good, quality=0), ValueError, "from 1 to 100; got 0"),
        (lambda: save(tmp_path / "a.webp", torch.rand(1, 3, 1, 20_000)), ValueError, "16383"),
        (lambda: quantize(good, np.int32), TypeError, "got int32"),
    ]:
        with pytest.raises(kind, match=re.escape(words)) as error:
            call()
        one_line(error)
    assert list(tmp_path.iterdir()) == []


# --- what is written


def test_the_input_is_never_overwritten_unasked(tmp_path):
    source = saved(Image.fromarray(random_pixels()), tmp_path / "in.png")
    before = source.read_bytes()
    (tmp_path / "soft.png").symlink_to(source)
    os.link(source, tmp_path / "hard.png")
    photo = load(source)
    for name in ("in.png", "soft.png", "hard.png"):
        with pytest.raises(FileExistsError, match="overwrite") as error:
            save(tmp_path / name, photo.tensor(), photo=photo)
        one_line(error)
    with Image.open(source) as opened:
        pillow = load(opened)
    with pytest.raises(FileExistsError, match="overwrite"):
        save(source, photo.tensor(), photo=pillow)
    assert source.read_bytes() == before
    other = saved(Image.new("RGB", (1, 1)), tmp_path / "other.png")  # any other file is replaced
    save(other, photo.tensor(), photo=photo)
    assert np.array_equal(load(other).pixels, photo.pixels)
    save(source, 1 - photo.tensor(), photo=photo, overwrite=True)
    assert np.array_equal(load(source).pixels, 255 - photo.pixels)


def test_a_relative_input_is_known_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(random_pixels()).save("in.png")
    photo = load("in.png")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    with pytest.raises(FileExistsError):
        save("../in.png", photo.tensor(), photo=photo)


@pytest.mark.parametrize(
    "failure", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("in the writer")]
)
@pytest.mark.parametrize("existing", [False, True])
def test_a_failed_write_leaves_everything_as_it_was(tmp_path, failure, existing):
    path = tmp_path / "out.bin"
    if existing:
        path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise failure

    with pytest.raises(type(failure)) as error:
        write_atomically(path, write)
    if isinstance(failure, OSError):
        assert one_line(error) == f"cannot write {path}: No space left on device"
    assert [p.name for p in tmp_path.iterdir()] == (["out.bin"] if existing else [])
    assert not existing or path.read_bytes() == b"old"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_full_disk_under_every_encoder(tmp_path, monkeypatch, suffix, dtype):
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(28, "No space left on device")

    encode = codec.encode
    monkeypatch.setattr(codec, "encode", lambda file, *rest: encode(Full(), *rest))
    photo = load(random_pixels(64, 64, 3, dtype))
    with pytest.raises(OSError, match=r"cannot write .*No space left") as error:
        save(tmp_path / f"a{suffix}", photo.tensor(), photo=photo)
    one_line(error)
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be_written(tmp_path, monkeypatch):
    picture = torch.rand(1, 3, 4, 4)
    (tmp_path / "dir.png").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for path, kind, words in [
        (tmp_path / "dir.png", IsADirectoryError, "it is a folder"),
        (tmp_path / "none" / "a.png", FileNotFoundError, "does not exist"),
        (tmp_path / "file" / "a.png", FileNotFoundError, "does not exist"),
    ]:
        with pytest.raises(kind, match=words) as error:
            save(path, picture)
        assert one_line(error).startswith(f"cannot write {path}")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        with pytest.raises(OSError, match="not a regular file"):
            save(tmp_path / "pipe.png", picture)

    def forbidden(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "open", forbidden, raising=False)
    with pytest.raises(PermissionError, match=r"cannot write .*: Permission denied") as error:
        save(tmp_path / "a.png", picture)
    one_line(error)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_folder(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError, match="cannot write"):
            save(tmp_path / "a.png", torch.rand(1, 3, 4, 4))
    finally:
        tmp_path.chmod(0o755)


def test_links_are_followed_and_permissions_kept(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", lambda file: file.write(b"new"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_bytes() == b"new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    mask = os.umask(0o027)
    try:
        write_atomically(tmp_path / "fresh", lambda file: None)
    finally:
        os.umask(mask)
    assert (tmp_path / "fresh").stat().st_mode & 0o777 == 0o640


def test_a_damaged_note_is_one_clear_line(tmp_path):
    path = save(tmp_path / "a.jpg", torch.rand(1, 3, 8, 8), note={"prompt": "smile"})
    data = path.read_bytes()
    path.write_bytes(data.replace(b"{&quot;prompt", b"[&quot;prompt"))
    assert path.read_bytes() != data
    with pytest.raises(ValueError, match="note is damaged") as error:
        read_note(path)
    one_line(error)


# --- image_to_tensor


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 70)])
def test_a_tensor_is_the_pixels_over_the_largest_of_their_dtype(size, dtype):
    most = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (np.random.default_rng(0).random((*size, 3)) * most).astype(dtype)
    expected = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(most)
    found = image_to_tensor(pixels)
    assert found.shape == (1, 3, *size) and found.is_contiguous() and np.array_equal(found[0].numpy(), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_value_and_any_part_of_a_picture_becomes_a_tensor(dtype):
    whole = np.iinfo(dtype).max
    pixels = np.linspace(0, whole, 300 * 300 * 3).astype(dtype).reshape(300, 300, 3)
    for part in (pixels[3:200, 10:77], pixels[::-1, ::2], pixels[..., ::-1]):
        expected = part.transpose(2, 0, 1).astype(np.float32) / np.float32(whole)
        assert np.array_equal(image_to_tensor(part)[0].numpy(), expected)
