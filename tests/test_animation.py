"""Animations, strips and plots: frames, palette, loop, color profile and record."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageSequence

from flowedit.face.crop import whole_crop
from flowedit.field.raster import RasterField
from flowedit.photo.metadata import Metadata, to_srgb
from flowedit.photo.photo import Photo, load, read_note
from flowedit.report.figure import plot
from flowedit.report.strips import save_strip
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import FieldTransform
from flowedit.video.animations import at_rate, save_animation

RGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def swapped_profile() -> bytes:
    """An sRGB profile whose red and green primaries are exchanged: a wide gamut would be harder to see."""
    red, green = RGB.index(b"rXYZ"), RGB.index(b"gXYZ")
    profile = bytearray(RGB)
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def pictures(n=5, side=64):
    still = np.mgrid[:side, :side, :1].sum(0).astype(np.uint8).repeat(3, -1)
    still += np.random.default_rng(0).integers(0, 9, still.shape, dtype=np.uint8)
    moving = [still.copy() for _ in range(n)]
    for k, picture in enumerate(moving):
        picture[: side // 2] = np.roll(still[: side // 2] + np.uint8(20 * k), 7 * k, 1)
    return moving


def frames_of(path):
    with Image.open(path) as movie:
        assert movie.info["loop"] == 0
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(movie)]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_frames_come_back_in_order(tmp_path, suffix):
    shown = pictures()
    path = save_animation(tmp_path / f"a{suffix}", at_rate(shown, 16), note={"prompt": "smile"})
    back = frames_of(path)
    assert len(back) == 5 and read_note(path) == {"prompt": "smile"}
    for picture, frame in zip(shown, back, strict=True):
        assert abs(frame[:30].astype(int) - picture[:30]).mean() < 12  # WebP and a palette of 255 lose a little
    if suffix == ".apng":
        assert all(np.array_equal(*pair) for pair in zip(shown, back, strict=True))


def test_what_is_still_does_not_flicker_in_a_gif(tmp_path):
    back = frames_of(save_animation(tmp_path / "a.gif", at_rate(pictures(), 16)))
    assert all(np.array_equal(frame[32:], back[0][32:]) for frame in back)


def red_photo(profile):
    """A red photo and an edit of it that moves nothing."""
    photo = Photo(np.full((64, 64, 3), (200, 40, 40), np.uint8), metadata=Metadata(icc=profile))
    return EditedPhoto(photo, (FieldTransform(RasterField(4, 4), whole_crop(photo)),), 1.0)


def test_a_strip_keeps_profile_and_record(tmp_path):
    profile = swapped_profile()
    save_strip(red_photo(profile), tmp_path / "a.png", (0.0,), note={"prompt": "smile"})
    assert load(tmp_path / "a.png").metadata.icc == profile and read_note(tmp_path / "a.png") == {"prompt": "smile"}


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_plot_shows_colors_as_their_profile_means_them(tmp_path, suffix):
    path = plot(red_photo(swapped_profile()), tmp_path / f"a{suffix}", {"smile": 1.0}, "asked", {}, {"prompt": "smile"})
    color = load(path).pixels.reshape(-1, 3).astype(int)
    green, red = color[:, 1] > color[:, 0] + 50, color[:, 0] > color[:, 1] + 100
    assert green.sum() > 100_000 and red.sum() < 10_000  # of the bar beside the map
    assert read_note(path) == {"prompt": "smile"}


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".apng"])
def test_colors_keep_their_meaning(tmp_path, suffix):
    profile, red = swapped_profile(), np.full((32, 32, 3), (200, 40, 40), np.uint8)
    seen = to_srgb(red, profile)
    assert seen[0, 0, 1] > seen[0, 0, 0] + 50  # by its profile it is green
    path = save_animation(tmp_path / f"a{suffix}", at_rate([red, red // 2], 16), metadata=Metadata(icc=profile))
    with Image.open(path) as movie:
        stored = movie.info.get("icc_profile")
    assert stored == (None if suffix == ".gif" else profile)
    assert abs(frames_of(path)[0][0, 0].astype(int) - (seen[0, 0] if suffix == ".gif" else red[0, 0])).max() < 8


def test_a_video(tmp_path):
    pytest.importorskip("av")
    import imageio.v3 as imageio

    shown = [np.full((64, 64, 3), 40 * k, np.uint8) for k in range(5)]
    path = save_animation(tmp_path / "a.mp4", at_rate(shown, 16), note={"prompt": "smile"})
    back = imageio.imread(path, plugin="pyav")
    assert len(back) == 5 and abs(back.mean((1, 2, 3)) - [0, 40, 80, 120, 160]).max() < 6
    with imageio.imopen(path, "r", plugin="pyav") as movie:
        assert json.loads(movie.metadata()["comment"]) == {"prompt": "smile"}


def test_other_endings_are_refused_before_any_work(tmp_path):
    with pytest.raises(ValueError, match=r"one of .gif, .webp, .apng, .mp4, .*; got"):
        save_animation(tmp_path / "a.avi", at_rate(pictures(), 16))
    assert not list(tmp_path.iterdir())
