"""Animations in and out: pictures of one size, each with its own time, in a loop. Only this module knows imageio."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowedit.checks import require
from flowedit.photo.files import open_input, write_atomically
from flowedit.photo.metadata import Metadata, note_text, to_srgb
from flowedit.video.clips import load_av
from flowedit.video.encode import VIDEOS, ClipWriter, Encoding
from flowedit.video.frame import RasterFrame

ANIMATIONS = (".gif", ".webp", ".apng")
MOVING = (*ANIMATIONS, *VIDEOS)
MOST_BYTES = 2 << 30  # of all frames of an animation to be written, uncompressed: they are in memory at once
_READ = (*ANIMATIONS, ".png")  # a PNG may move too
_CLEAR = 255  # the index, beside the palette's 255 colors, of what is transparent in a GIF
_NO_DELAY_S = 0.1  # how long a frame is shown that asks for 10 ms or less, as browsers do


def check_moving(path: str | Path) -> None:
    """Raise, before any work, where no clip could be written to such a file.

    Raises:
        ValueError: another ending.
        RuntimeError: a video, without PyAV.
    """
    suffix = Path(path).suffix.lower()
    require(suffix in MOVING, f"a clip must end in one of {', '.join(MOVING)}; got {path}")
    if suffix in VIDEOS:
        load_av()


def is_animation(path: str | Path) -> bool:
    """Return whether a file is read as an animation, by its ending, and not as a video."""
    return Path(path).suffix.lower() in _READ


class Animation:
    """An animation file that is read.

    Attributes:
        width: pixels.
        height: likewise.
        count: frames.
        loop: as in the file: 0 is without end; None plays it once.
        icc: color profile, or None.

    Args:
        path: .gif, .webp, .apng or .png.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no picture, or damaged.
    """

    def __init__(self, path: str | Path) -> None:
        import imageio.v3 as imageio

        self.path = Path(path)
        open_input(self.path).close()  # no device, pipe or folder; says so in our words
        try:
            self._file = imageio.imopen(self.path, "r", plugin="pillow")
            facts = self._file.metadata(exclude_applied=False)
            shape = self._file.properties(index=0).shape
            every: Any = ...  # for imageio all frames, which its annotation has forgotten
            self.count = self._file.properties(index=every).n_images or 1
        except Exception as error:  # Pillow's kinds are many
            raise ValueError(f"cannot read {path} as an animation: {_reason(error)}") from error
        self.height, self.width = shape[:2]
        loop = facts.get("loop")
        self.loop: int | None = None if loop is None or (loop == 1 and self.path.suffix.lower() != ".gif") else loop
        self.icc: bytes | None = facts.get("icc_profile")

    def __enter__(self) -> Animation:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def frames(self) -> Iterator[RasterFrame]:
        """Yield every frame.

        Raises:
            ValueError: the file is damaged or cut off.
        """
        time = 0.0
        try:
            for index in range(self.count):
                pixels = self._file.read(index=index, mode="RGBA", rotate=False)
                shown = (self._file.metadata(index=index, exclude_applied=False).get("duration") or 0) / 1000
                alpha = None if pixels[..., 3].min() == 255 else pixels[..., 3]
                yield RasterFrame(time, shown, np.ascontiguousarray(pixels[..., :3]), alpha)
                time += shown if shown > 0.01 else _NO_DELAY_S
        except (OSError, EOFError, SyntaxError, IndexError) as error:
            raise ValueError(f"{self.path} must be whole; frame {index} of {self.count}: {_reason(error)}") from error


def at_rate(pictures: Sequence[np.ndarray], rate: float) -> list[RasterFrame]:
    """Return (H, W, 3) uint8 pictures as frames, so many a second."""
    return [RasterFrame(index / rate, 1 / rate, picture) for index, picture in enumerate(pictures)]


def save_animation(
    path: str | Path,
    frames: Sequence[RasterFrame],
    *,
    loop: int | None = 0,
    metadata: Metadata | None = None,
    note: dict | None = None,
    encoding: Encoding | None = None,
) -> Path:
    """Write an animation, or a video of the same, whole or not at all.

    WebP and APNG hold the color profile; GIF and videos cannot, and get colors converted to sRGB. All but videos, which
    have the record alone in their comment, hold rights and record as XMP.

    Args:
        path: ends in .gif, .webp, .apng, or as a video, which needs PyAV.
        frames: of one size, at least one.
        loop: how often it is shown again; 0 is without end, None not at all.
        metadata: of the photo that they show.
        note: see `flowedit.photo.photo.save`.
        encoding: of a video.

    Raises:
        ValueError: another ending.
        RuntimeError: no PyAV for a video.
        OSError: it cannot be written.
    """
    path, metadata = Path(path), metadata or Metadata()
    check_moving(path)
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        size, text = frames[0].rgb.shape[:2], None if note is None else note_text(note)

        def write(name: str) -> None:
            with ClipWriter(name, suffix, encoding or Encoding(), size=size, note=text) as writer:
                for frame in frames:
                    writer.write(RasterFrame(frame.time, frame.duration, to_srgb(frame.rgb, metadata.icc)))

        return write_atomically(path, lambda file: write(file.name))
    data = _encode(suffix, frames, loop, metadata, note)
    return write_atomically(path, lambda file: file.write(data))


def _encode(
    suffix: str, frames: Sequence[RasterFrame], loop: int | None, metadata: Metadata, note: dict | None
) -> bytes:
    import imageio.v3 as imageio

    options: dict[str, Any] = {"extension": suffix, "plugin": "pillow", "duration": _durations(frames, suffix)}
    if suffix == ".gif":
        options |= {} if loop is None else {"loop": loop}
    else:
        options["loop"] = 1 if loop is None else loop
    pictures, xmp = [frame.rgb for frame in frames], metadata.xmp(note)
    clear = any(frame.alpha is not None for frame in frames)
    if suffix == ".gif":
        shown = np.stack([to_srgb(picture, metadata.icc) for picture in pictures])
        stack, options["palette"] = _one_palette(shown)
        options |= {"mode": "P", "comment": xmp}
        if clear:
            for index, frame in enumerate(frames):
                if frame.alpha is not None:
                    stack[index][frame.alpha < 128] = _CLEAR
            options |= {"transparency": _CLEAR, "disposal": 2}
    else:
        if metadata.icc:
            options["icc_profile"] = metadata.icc
        if clear:
            opaque = np.full(pictures[0].shape[:2], 255, np.uint8)
            pictures = [np.dstack([frame.rgb, opaque if frame.alpha is None else frame.alpha]) for frame in frames]
        stack = np.stack(pictures)
        options |= {"pnginfo": _png_text(xmp)} if suffix == ".apng" else {"quality": 90, "xmp": xmp}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # imageio names modes in a way that Pillow gives up
        return imageio.imwrite("<bytes>", stack, **options)


def _durations(frames: Sequence[RasterFrame], suffix: str) -> list[int] | int:
    """Return milliseconds, in GIF's steps of 10; they are rounded so that their sum stays right."""
    step = 10 if suffix == ".gif" else 1
    edges = np.cumsum([0.0, *(frame.duration for frame in frames)])
    whole: list[int] = (np.diff(np.rint(edges * 1000 / step)) * step).astype(int).tolist()
    return whole if len(whole) > 1 else whole[0]  # Pillow takes no list for a picture that does not move


def _one_palette(frames: np.ndarray) -> tuple[np.ndarray, bytes]:
    """Reduce pictures to the same 255 colors: with palettes of their own, and with dithering, still parts flicker."""
    from PIL import Image

    some = frames[:: max(len(frames) // 4, 1), ::3, ::3] if min(frames.shape[1:3]) > 99 else frames  # a matter of time
    several = Image.fromarray(np.concatenate(some))
    colors = several.quantize(
        255, method=Image.Quantize.MAXCOVERAGE, kmeans=3
    )  # median cut alone has no color for lips
    plain = Image.Dither.NONE
    indices = [np.array(Image.fromarray(frame).quantize(palette=colors, dither=plain)) for frame in frames]
    return np.stack(indices), bytes(colors.getpalette() or [])


def _png_text(xmp: bytes) -> Any:
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return info


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
