"""Animations: pictures of one size, one after another, in a loop. The only module that knows imageio."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowedit.checks import require
from flowedit.photo.files import write_atomically
from flowedit.photo.metadata import Metadata, note_text, to_srgb

ANIMATIONS = (".gif", ".webp", ".apng", ".mp4")


def check_animation(path: str | Path) -> None:
    """Raise, before any work, where `save_animation` could not write such a file."""
    suffix = Path(path).suffix.lower()
    require(suffix in ANIMATIONS, f"an animation must end in one of {', '.join(ANIMATIONS)}; got {path}")
    if suffix == ".mp4":
        try:
            import av  # noqa: F401
        except ImportError as error:
            raise RuntimeError(
                "an .mp4 file must have PyAV: pip install av (or .[video] in a clone); .gif, .webp and .apng do without"
            ) from error


def save_animation(
    path: str | Path, pictures: Sequence[np.ndarray], rate: int, metadata: Metadata, note: dict | None = None
) -> Path:
    """Write pictures as an endless animation, whole or not at all.

    WebP and APNG hold the color profile; GIF and MP4 cannot, and get colors converted to sRGB. All but MP4, which has
    the record alone in its comment, hold rights and record as XMP.

    Args:
        path: ends in .gif, .webp, .apng or .mp4; .mp4 needs PyAV.
        pictures: (H, W, 3) uint8, at least one; H and W even for .mp4.
        rate: pictures per second.
        metadata: of the photo that they show.
        note: see `flowedit.photo.photo.save`.

    Raises:
        ValueError: another ending.
        RuntimeError: no PyAV for .mp4.
        OSError: it cannot be written.
    """
    import imageio.v3 as imageio

    path = Path(path)
    check_animation(path)
    suffix = path.suffix.lower()
    options: dict[str, Any] = {"extension": suffix, "plugin": "pillow", "duration": 1000 / rate, "loop": 0}
    if suffix in (".gif", ".mp4"):
        pictures = [to_srgb(picture, metadata.icc) for picture in pictures]
    elif metadata.icc:
        options["icc_profile"] = metadata.icc
    frames = np.stack(pictures)
    xmp = metadata.xmp(note)
    if suffix == ".mp4":
        memory = io.BytesIO()
        with imageio.imopen(memory, "w", extension=suffix, plugin="pyav") as movie:
            if note is not None:
                movie.container_metadata["comment"] = note_text(note)
            movie.write(frames, codec="libx264", fps=rate, out_pixel_format="yuv420p")
        data = memory.getvalue()
    else:
        if suffix == ".gif":
            frames, options["palette"] = _one_palette(frames)
            options |= {"mode": "P", "comment": xmp}
        elif suffix == ".apng":
            options["pnginfo"] = _png_text(xmp)
        else:
            options |= {"quality": 90, "xmp": xmp}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # imageio names modes in a way that Pillow gives up
            data = imageio.imwrite("<bytes>", frames, **options)
    return write_atomically(path, lambda file: file.write(data))


def _one_palette(frames: np.ndarray) -> tuple[np.ndarray, bytes]:
    """Reduce pictures to the same 255 colors: with palettes of their own, and with dithering, still parts flicker."""
    from PIL import Image

    some = frames[:: max(len(frames) // 4, 1), ::3, ::3] if min(frames.shape[1:3]) > 99 else frames  # a matter of time
    several = Image.fromarray(np.concatenate(some))
    colors = several.quantize(
        255, method=Image.Quantize.MAXCOVERAGE, kmeans=3
    )  # median cut alone has no color for lips
    plain = Image.Dither.NONE
    indices = [np.asarray(Image.fromarray(frame).quantize(palette=colors, dither=plain)) for frame in frames]
    return np.stack(indices), bytes(colors.getpalette() or [])


def _png_text(xmp: bytes) -> Any:
    from PIL import PngImagePlugin

    info = PngImagePlugin.PngInfo()
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    return info
