"""Clips in: frames of a video with their time stamps, upright, as they were decoded. This and `encode` know PyAV."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flowedit.checks import require, warn
from flowedit.photo.files import open_input
from flowedit.video.frame import PlanarFrame
from flowedit.video.planes import LAYOUTS, Colors, Layout, turn

# Values of AVColorSpace, as streams and frames carry them, and PyAV's names of the matrices.
_MATRICES = {1: "ITU709", 4: "ITU601", 5: "ITU601", 6: "ITU601", 7: "SMPTE240M", 9: "BT2020", 10: "BT2020"}
SWSCALE = {"ITU709": 1, "ITU601": 5, "SMPTE240M": 7, "BT2020": 9}  # the matrices' numbers there
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_CUT_OFF_S = 0.2  # a clip that ends as much before the time it declares has lost its end
_AHEAD = 30  # frames decoded at most to come near a time
INSTALL = "a video must be read and written with PyAV: pip install av; .gif, .webp and .apng do without"


def load_av() -> Any:
    """Import PyAV; RuntimeError, in one line that says how to install it, where it is missing."""
    try:
        import av
    except ImportError as error:
        raise RuntimeError(INSTALL) from error
    return av


@dataclass(frozen=True)
class ClipFacts:
    """What is known of a clip before its frames are decoded.

    Attributes:
        width: pixels, upright.
        height: likewise.
        layout: of the decoded planes, upright.
        time_base: seconds of a unit of the time stamps.
        rate: frames a second, on average; a guess where the file does not say.
        frames: how many; None where the file does not say.
        pixel_aspect: width of a pixel over its height, upright.
        colors: AVColorSpace, AVColorRange, AVColorPrimaries and AVColorTransferCharacteristic of the stream.
        codec: the name of the codec.
    """

    width: int
    height: int
    layout: Layout
    time_base: Fraction
    rate: Fraction
    frames: int | None
    pixel_aspect: Fraction
    colors: tuple[int, int, int, int]
    codec: str


class Clip:
    """An open video file.

    Args:
        path: a video file of any kind that FFmpeg reads.

    Raises:
        RuntimeError: PyAV is not installed.
        OSError: the file cannot be read.
        ValueError: it is no video, has no video stream or no frame, or is damaged.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        open_input(self.path, most=math.inf).close()  # no device, pipe or folder; says so in our words
        self._open()
        try:
            with self._in_one_line():
                first = next(iter(self.container.decode(self.stream)), None)
            require(first is not None, f"{self.path} must have at least one frame; got none")
            self._describe(first)
        finally:
            self.close()
        self._open()  # at the start again; not every kind of file can be wound back

    def __enter__(self) -> Clip:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self.container.close()

    def _open(self) -> None:
        av = load_av()
        with self._in_one_line():
            self.container = av.open(str(self.path), metadata_errors="replace")
        try:
            self._find_stream(av)
        except BaseException:
            self.close()
            raise

    def _find_stream(self, av: Any) -> None:
        pictures = av.stream.Disposition.attached_pic  # a cover, not a film
        streams = [s for s in self.container.streams.video if not s.disposition & pictures]
        others = sorted({stream.type for stream in self.container.streams})
        what = f"{' and '.join(others)} alone" if others else "no stream at all"
        require(bool(streams), f"{self.path} must have a video stream; got {what}")
        self.stream = max(streams, key=lambda s: (bool(s.disposition & av.stream.Disposition.default), -s.index))
        require(self.stream.codec_context is not None, f"{self.path} must be of a known codec; got an unknown one")
        self.stream.thread_type = "AUTO"
        self.start = max(0, self.container.start_time or 0) / av.time_base  # the stamps of some containers begin late

    def _describe(self, first: Any) -> None:
        """Take the facts from the first decoded frame, which knows more than the stream."""
        stream, context = self.stream, self.stream.codec_context
        self.quarters = round(first.rotation / 90) % 4
        self._size = first.width, first.height
        self._decoded = first.format.name
        coded = nearest_layout(first.format)
        self.reformat = None if self._decoded in LAYOUTS else coded
        if self.quarters % 2 and coded.turned() is None:
            self.reformat = coded = Layout("yuv", coded.depth)
        full = first.color_range == _FULL_RANGE or self._decoded.startswith("yuvj")
        space = first.colorspace if coded.kind != "rgb" else 0
        matrix = _MATRICES.get(first.colorspace) or ("ITU709" if min(self._size) >= 720 else "ITU601")
        self.colors = Colors(matrix, full)
        width, height = self._size[:: -1 if self.quarters % 2 else 1]
        aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio or Fraction(1)
        aspect = Fraction(1) if aspect <= 0 else aspect
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        tags = (space, _FULL_RANGE if full else first.color_range, first.color_primaries, first.color_trc)
        self.facts = ClipFacts(
            width=width,
            height=height,
            layout=coded,
            time_base=stream.time_base,
            rate=rate,
            frames=stream.frames or self._count(rate),
            pixel_aspect=1 / aspect if self.quarters % 2 else aspect,
            colors=tags,
            codec=context.codec.canonical_name if hasattr(context.codec, "canonical_name") else context.name,
        )
        if first.interlaced_frame:
            warn(f"{self.path} is interlaced: where the edit moves, its lines do not stay in their fields")

    def _count(self, rate: Fraction) -> int | None:
        seconds = self.declared_end
        return None if seconds is None else max(1, round(seconds * rate))

    @property
    def declared_end(self) -> float | None:
        """Seconds from the clip's start to the end of its last frame, as the file says; None where it does not."""
        stream = self.stream
        if stream.duration:
            return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - self.start
        parts = stream.metadata.get("DURATION", "").split(":")  # of Matroska: 00:01:02.345
        try:
            return sum(float(part) * 60**k for k, part in enumerate(reversed(parts)))
        except ValueError:
            return None

    def packets(self, others: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Yield every `PlanarFrame`, once, and packets of other streams between them, in the file's order.

        Raises:
            ValueError: a frame is damaged or of another size or format than the first, or the file is cut off.
        """
        last = None
        with self._in_one_line():
            for packet in self.container.demux((self.stream, *others)):
                if packet.stream.index != self.stream.index:
                    if packet.dts is not None or packet.pts is not None:  # else it is the end
                        yield packet
                    continue
                for decoded in packet.decode():
                    last = self._frame(decoded, last)
                    yield last
        end, declared = (last.time + last.duration if last else 0.0), self.declared_end
        whole = declared is None or end >= declared - max(_CUT_OFF_S, 2 / float(self.facts.rate))
        require(whole, f"{self.path} must be whole; got {end:.2f} s of {declared or 0:.2f} s: it is cut off or damaged")

    def sample(self, times: list[float]) -> Iterator[PlanarFrame]:
        """Yield a frame near each of some times, without decoding all between: at most `_AHEAD` frames for each."""
        seen: set[int] = set()
        for time in times:
            stamp = round((time + self.start) / self.stream.time_base)
            frame = None
            with self._in_one_line():
                self.container.seek(max(stamp, 0), stream=self.stream)
                for count, decoded in enumerate(self.container.decode(self.stream)):
                    frame = self._frame(decoded, frame)
                    if frame.time >= time or count >= _AHEAD:
                        break
            if frame is not None and frame.stamp not in seen:
                seen.add(frame.stamp)
                yield frame

    def _frame(self, decoded: Any, last: PlanarFrame | None) -> PlanarFrame:
        """Turn a decoded frame upright; without a time stamp it follows the last at the average rate."""
        time = last.time + 1 / float(self.facts.rate) if last else 0.0
        if decoded.pts is not None:
            time = float(decoded.pts * self.stream.time_base) - self.start
        size, facts = (decoded.width, decoded.height), self.facts
        same = (size, decoded.format.name) == (self._size, self._decoded)
        shapes = (*self._size, self._decoded), (*size, decoded.format.name)
        was, now = (f"{width} x {height} {name}" for width, height, name in shapes)
        require(same, f"{self.path} must keep one size and format; got {was}, and {now} from {time:.2f} s on")
        require(not decoded.is_corrupt, f"{self.path} must be undamaged; got a damaged frame at {time:.2f} s")
        held = decoded if self.reformat is None else self._reformat(decoded, self.reformat.name)
        planes = turn([_array(plane, facts.layout) for plane in held.planes], self.quarters)
        stamp = decoded.pts if decoded.pts is not None else round((time + self.start) / self.stream.time_base)
        duration = float(decoded.duration * self.stream.time_base) if decoded.duration else 0.0
        read = partial(self._rgb, held)
        return PlanarFrame(time, duration, planes, facts.layout, self.colors, stamp, read)

    def _rgb(self, held: Any) -> np.ndarray:
        deep = self.facts.layout.depth > 8
        rgb = self._reformat(held, "rgb48le" if deep else "rgb24").to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, self.quarters))

    def _reformat(self, frame: Any, name: str) -> Any:
        """Convert between formats by the clip's own matrix and range."""
        space, span = SWSCALE[self.colors.matrix], "JPEG" if self.colors.full else "MPEG"
        to_rgb = name.startswith(("rgb", "gbrp"))
        return frame.reformat(
            format=name,
            src_colorspace=space,
            dst_colorspace=space,
            src_color_range=span,
            dst_color_range="JPEG" if to_rgb else span,
        )

    @contextmanager
    def _in_one_line(self) -> Iterator[None]:
        """Turn FFmpeg's errors into one line that names the file."""
        av = load_av()
        try:
            yield
        except av.error.EOFError as error:
            raise ValueError(f"{self.path} must have at least one frame; got none") from error
        except av.error.FFmpegError as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ValueError(f"cannot read {self.path} as a video: {reason}") from error


def read_record(path: str | Path) -> dict | None:
    """Return flowedit's record in a video's comment; None where there is none.

    Raises:
        RuntimeError, OSError, ValueError: see `Clip`.
    """
    with Clip(path) as clip:
        tags = {name.lower(): text for name, text in clip.container.metadata.items()}
    try:
        record = json.loads(tags.get("comment", ""))
    except (ValueError, RecursionError):  # another's comment
        return None
    return record if isinstance(record, dict) and record.get("tool") == "flowedit" else None


def nearest_layout(form: Any) -> Layout:
    """Return the layout that holds a pixel format's samples, or most of them."""
    name = form.name.replace("yuvj", "yuv")
    if name in LAYOUTS:
        return LAYOUTS[name]
    depth = max((component.bits for component in form.components), default=8)
    depth = next((each for each in (8, 10, 12) if depth <= each), 12)
    if form.is_rgb or form.has_palette:
        return Layout("rgb", depth)
    if len(form.components) < 3:
        return Layout("gray", depth)
    across, down = 8 // max(form.chroma_width(8), 4), 8 // max(form.chroma_height(8), 4)
    return Layout("yuv", depth, across, down if across == 2 else 1)


def _array(plane: Any, layout: Layout) -> np.ndarray:
    """View a decoded plane as (h, w) samples, which are not to be written to."""
    samples: np.ndarray = np.frombuffer(plane, layout.dtype)
    line = plane.line_size // samples.itemsize
    view = samples[: line * plane.height].reshape(plane.height, line)[:, : plane.width]
    view.flags.writeable = False
    return view
