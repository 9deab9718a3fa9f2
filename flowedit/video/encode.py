"""Clips out: frames into a video file, with the sound, subtitles, time stamps and colors of the clip they are from."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from flowedit.checks import Group, number, require, warn
from flowedit.video.clips import SWSCALE, Clip, load_av
from flowedit.video.frame import Frame, PlanarFrame
from flowedit.video.planes import LAYOUTS, Layout, pad

VIDEOS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}  # ending -> FFmpeg's muxer
CODECS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "ffv1": "ffv1"}
_LOSSLESS = {"ffv1"}
_FEW = 8  # frames
_STREAM_TAGS = {"language", "title", "handler_name"}
_CONTAINER_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}  # of the file as it was
_PLACE = ("location", "gps", "serial")  # in the names of tags


@dataclass(frozen=True)
class Encoding(Group):
    """How a video is encoded."""

    codec: Literal["h264", "hevc", "vp9", "ffv1"] | None = None
    """Codec of a video; ffv1 loses nothing, and goes into .mkv. Default: vp9 for .webm, ffv1 in .mkv where the clip is,
    hevc for more than 8 bits, h264 for all else."""
    crf: float = number(18.0, least=0, most=63)
    """Constant rate factor: 0 is the best, each 6 more halve the size, about. Not for ffv1."""
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower"] = "veryfast"
    """How long h264 and hevc think about a frame: slower files are smaller."""

    def choose(self, suffix: str, facts: Any) -> str:
        """Return the codec for a file of this ending.

        Raises:
            ValueError: it does not go there.
        """
        like = facts.codec if facts is not None and facts.codec in _LOSSLESS and suffix == ".mkv" else None
        deep = facts is not None and facts.layout.depth > 8
        codec = self.codec or like or ("vp9" if suffix == ".webm" else "hevc" if deep else "h264")
        fits = {".webm": {"vp9"}, ".mkv": set(CODECS)}.get(suffix, {"h264", "hevc", "vp9"})
        require(codec in fits, f"a {suffix} file must be in {' or '.join(sorted(fits))}; got {codec}")
        return codec

    def options(self, codec: str, frames: int | None = None) -> dict[str, str]:
        """Return the encoder's options, in FFmpeg's words, for so many frames; None where that is not known."""
        if codec in _LOSSLESS:
            return {"level": "3", "slices": "4"}
        if codec == "vp9":
            return {"crf": f"{self.crf:g}", "b:v": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
        options = {"crf": f"{self.crf:g}", "preset": self.preset}
        if codec == "hevc":
            short = frames is not None and frames < _FEW  # else x265 makes up times at which to decode them
            options["x265-params"] = "log-level=none" + (":bframes=0" if short else "")
        return options


class ClipWriter:
    """A video file that is being written.

    Args:
        path: an existing file to write into.
        suffix: the file's ending, which says its kind.
        encoding: how.
        source: the clip that the frames are from, whose sound, subtitles, chapters, tags and colors are taken along;
            None for frames of an animation.
        size: (height, width) of the frames, where there is no source; else None.
        note: a record for the comment.
        strip_location: leave out tags that say where it was taken.

    Raises:
        ValueError: the sound cannot go into such a file unchanged, or the codec cannot.
    """

    def __init__(
        self,
        path: str,
        suffix: str,
        encoding: Encoding,
        *,
        source: Clip | None = None,
        size: tuple[int, int] | None = None,
        note: str | None = None,
        strip_location: bool = False,
    ) -> None:
        self._av = av = load_av()
        facts = None if source is None else source.facts
        codec = encoding.choose(suffix, facts)
        self._source = source
        self._height, self._width = size or (1, 1) if facts is None else (facts.height, facts.width)
        given = Layout("rgb", 8) if facts is None else facts.layout
        names = {form.name for form in av.Codec(CODECS[codec], "w").video_formats}
        self._format = _nearest(names, given, codec in _LOSSLESS)
        self._given, self._becomes_yuv = given, given.kind == "rgb" and self._format.startswith("yuv")
        self._last: int | None = None
        muxer = VIDEOS[suffix]
        options = {"movflags": "+faststart"} if muxer in ("mp4", "mov") else {}
        self.container = av.open(path, "w", format=muxer, options=options)
        try:
            self._add_video(codec, encoding)
            self._others = {} if source is None else self._add_others(source, suffix)
            self._tag(note, strip_location)
        except BaseException:
            self._abort()
            raise

    def _add_video(self, codec: str, encoding: Encoding) -> None:
        facts = None if self._source is None else self._source.facts
        rate, frames = (Fraction(25), None) if facts is None else (facts.rate, facts.frames)
        video = self.container.add_stream(CODECS[codec], rate=rate, options=encoding.options(codec, frames))
        context = video.codec_context
        even = codec in ("h264", "hevc")  # these take whole chroma samples only
        layout = LAYOUTS.get(self._format)
        down, across = (layout.down, layout.across) if even and layout else (1, 1)
        video.height, video.width = -(-self._height // down) * down, -(-self._width // across) * across
        video.pix_fmt = self._format
        self._base = Fraction(1, 1000) if facts is None else facts.time_base
        video.time_base = context.time_base = self._base
        if facts is not None:
            context.sample_aspect_ratio = facts.pixel_aspect
            lost = facts.pixel_aspect != 1 and codec in ("vp9", "ffv1") and self.container.format.name != "mp4"
            if lost:  # PyAV does not hand it to the muxer, and these do not have it in their own bits
                warn(f"left out: the pixels' shape, {facts.pixel_aspect}, which {codec} keeps in an .mp4 file only")
        self._color_tags(context)
        if codec == "hevc":
            context.codec_tag = "hvc1"  # without it Apple's players show nothing
        context.thread_count = 0
        self._video = video

    def _color_tags(self, target: Any) -> None:
        """Give a codec context or a frame the clip's color tags; of what was RGB, those of what it became."""
        matrix, span, primaries, transfer = (2, 2, 1, 1) if self._source is None else self._source.facts.colors
        if self._becomes_yuv:
            matrix, span = 1 if self._matrix == "ITU709" else 6, 1
        elif self._given.kind == "rgb":
            matrix = 0
        target.colorspace, target.color_range = matrix, span
        target.color_primaries, target.color_trc = primaries, transfer

    @property
    def _matrix(self) -> str:
        return "ITU709" if min(self._height, self._width) >= 720 else "ITU601"

    def _add_others(self, source: Clip, suffix: str) -> dict[int, Any]:
        """Add a stream for each of the clip's sounds and subtitles: its index -> the new stream."""
        added: dict[int, Any] = {}
        for stream in (*source.container.streams.audio, *source.container.streams.subtitles):
            name = "an unknown codec" if stream.codec_context is None else stream.codec_context.name
            try:
                require(stream.codec_context is not None, "unknown")
                out = self.container.add_stream_from_template(stream, opaque=True)
            except ValueError:
                left = f"{stream.type} in {name}, which a {suffix} file cannot hold; .mkv holds more"
                require(stream.type != "audio", f"{source.path} has {left}")
                warn(f"left out: {left}")
                continue
            out.metadata.update({key: value for key, value in stream.metadata.items() if key in _STREAM_TAGS})
            added[stream.index] = out
        return added

    def _tag(self, note: str | None, strip_location: bool) -> None:
        """Copy the clip's tags and chapters, and put the record in the comment."""
        tags = self.container.metadata
        if self._source is not None:
            given = self._source.container
            for name, value in given.metadata.items():
                if name not in _CONTAINER_TAGS and not (strip_location and any(p in name.lower() for p in _PLACE)):
                    tags[name] = value
            self._video.metadata.update({k: v for k, v in self._source.stream.metadata.items() if k in _STREAM_TAGS})
            if given.chapters():
                self.container.set_chapters(given.chapters())
        if note is not None:
            tags["comment"] = note

    @property
    def others(self) -> tuple[Any, ...]:
        """The clip's streams whose packets are taken along."""
        return () if self._source is None else tuple(self._source.container.streams[i] for i in self._others)

    def write(self, frame: Frame) -> None:
        """Encode one frame."""
        made = self._from_planes(frame) if isinstance(frame, PlanarFrame) else self._from_rgb(frame.rgb)
        stamp = round(frame.time / self._base)
        if isinstance(frame, PlanarFrame) and self._source is not None:
            stamp = frame.stamp - round(self._source.start / self._base)
        if self._last is not None:
            stamp = max(stamp, self._last + 1)  # what encoders ask for
        made.pts, made.time_base, self._last = stamp, self._base, stamp
        made.duration = round(frame.duration / self._base)
        self._color_tags(made)
        self.container.mux(self._video.encode(made))

    def copy(self, packet: Any) -> None:
        """Write a packet of sound or subtitles as it is."""
        assert self._source is not None  # for the type checker
        if self._source.start:
            shift = round(self._source.start / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
        packet.stream = self._others[packet.stream.index]
        self.container.mux(packet)

    def _from_planes(self, frame: PlanarFrame) -> Any:
        """Build a frame for the encoder: the planes as they are, padded where it takes even sizes only."""
        made = self._av.VideoFrame(self._video.width, self._video.height, frame.layout.name)
        for plane, given in zip(made.planes, frame.planes, strict=True):
            samples: np.ndarray = np.frombuffer(plane, frame.layout.dtype)
            line = plane.line_size // samples.itemsize
            pad(given, samples[: line * plane.height].reshape(plane.height, line)[:, : plane.width])
        if self._format == frame.layout.name:
            return made
        if frame.layout.kind == "rgb":
            return self._convert_rgb(made)
        span = "JPEG" if frame.colors.full else "MPEG"
        return self._convert(made, frame.colors.matrix, span, span)

    def _from_rgb(self, rgb: np.ndarray) -> Any:
        whole = np.empty((self._video.height, self._video.width, 3), np.uint8)
        pad(rgb, whole)
        return self._convert_rgb(self._av.VideoFrame.from_ndarray(whole, format="rgb24"))

    def _convert_rgb(self, made: Any) -> Any:
        return self._convert(made, self._matrix, "JPEG", "MPEG" if self._becomes_yuv else "JPEG")

    def _convert(self, made: Any, matrix: str, given: str, wanted: str) -> Any:
        """Convert a frame to the encoder's format; ranges are "JPEG", the full one, or "MPEG"."""
        return made.reformat(
            format=self._format,
            src_colorspace=SWSCALE[matrix],
            dst_colorspace=SWSCALE[matrix],
            src_color_range=given,
            dst_color_range=wanted,
        )

    def close(self) -> None:
        """Encode what the encoder still holds, and finish the file."""
        self.container.mux(self._video.encode())
        self.container.close()

    def _abort(self) -> None:
        """Let go of a file that is thrown away."""
        with suppress(self._av.error.FFmpegError):
            self.container.close()

    def __enter__(self) -> ClipWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self.close()
            except BaseException:
                self._abort()
                raise
        else:
            self._abort()


def _nearest(names: set[str], layout: Layout, lossless: bool) -> str:
    """Return the layout's own pixel format if an encoder takes it, or the one that loses least of it.

    What is RGB becomes 4:2:0 for all but lossless codecs: few players show it otherwise.
    """
    depths = [depth for depth in (12, 10, 8) if depth <= layout.depth]
    chroma = [(layout.across, layout.down), (2, 2)] if layout.kind == "yuv" else [(2, 2)]
    others = [Layout("yuv", depth, *each).name for each in chroma for depth in depths]
    if layout.kind == "rgb":
        others = [layout.name, "bgr0", *others] if lossless else others
    else:
        others = [layout.name, *others]
    return next(name for name in others if name in names)
