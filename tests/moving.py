"""Small clips for tests, made by the tests themselves."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from flowedit.video.frame import Patch

av = pytest.importorskip("av")


def picture(k=0, height=48, width=64):
    """A lopsided RGB picture, smooth but for noise, another for each k."""
    y, x = np.mgrid[:height, :width]
    base = np.stack([40 + 2 * x + 3 * k, 60 + 3 * y, 200 - x - y], -1)
    noise = np.random.default_rng(k).integers(0, 9, (height, width, 3))
    return np.clip(base + noise, 0, 255).astype(np.uint8)


def make_clip(
    path,
    pictures=10,
    *,
    codec="libx264",
    form="yuv420p",
    stamps=None,
    rotation=None,
    sound=None,
    text=None,
    colors=None,
    aspect=None,
    options=None,
    muxer=None,
    tags=None,
):
    """Write a video of pictures, 25 a second or at stamps in milliseconds; return its path."""
    shown = [picture(k) for k in range(pictures)] if isinstance(pictures, int) else pictures
    height, width = shown[0].shape[:2] if shown else (48, 64)
    with av.open(str(path), "w", format=muxer) as out:
        out.metadata.update(tags or {})
        video = out.add_stream(codec, rate=25, options=options or {})
        video.width, video.height, video.pix_fmt = width, height, form
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            video.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            video.set_display_rotation(rotation)
        _color(video.codec_context, colors)
        audio = None if sound is None else out.add_stream(sound, rate=48000)
        titles = None
        if text is not None:
            Path(f"{path}.srt").write_text(f"1\n00:00:00,040 --> 00:00:00,140\n{text}\n")
            given = av.open(f"{path}.srt")
            titles = out.add_stream_from_template(given.streams.subtitles[0])
        out.start_encoding()
        for k, rgb in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(rgb)
            wide = "JPEG" if colors and colors[1] == 2 else "MPEG"
            space = {1: 1, 9: 9}.get(colors[0] if colors else 0, 5)
            frame.colorspace = colors[0] if colors else 2
            frame = frame.reformat(format=form, dst_colorspace=space, src_color_range="JPEG", dst_color_range=wide)
            _color(frame, colors)
            frame.pts, frame.time_base = (40 * k if stamps is None else stamps[k]), Fraction(1, 1000)
            out.mux(video.encode(frame))
        if shown:
            out.mux(video.encode())
        if audio is not None:
            for k in range(round(len(shown) * 0.04 * 48000 / 1024)):
                wave = (np.sin(np.arange(1024 * k, 1024 * (k + 1)) / 20) / 3).astype(np.float32)
                form_ = audio.format.name
                data = np.stack([wave] * 2) if form_ == "fltp" else (np.repeat(wave, 2)[None] * 32767).astype(np.int16)
                block = av.AudioFrame.from_ndarray(data, format=form_, layout="stereo")
                block.sample_rate, block.pts, block.time_base = 48000, 1024 * k, Fraction(1, 48000)
                out.mux(audio.encode(block))
            out.mux(audio.encode())
        if titles is not None:
            for packet in given.demux():
                if packet.size:
                    packet.stream = titles
                    out.mux(packet)
            given.close()
            Path(f"{path}.srt").unlink()
    return Path(path)


def _color(target, colors):
    if colors is not None:
        target.colorspace, target.color_range, target.color_primaries, target.color_trc = colors


class Painter:
    """An editor that fills a box with a color, and remembers when and how strongly it was asked to."""

    def __init__(self, box=(11, 7, 30, 40), inner=(3, 5, 9, 20), color=(250, 20, 20)):
        self.box, self.inner, self.color = box, inner, color
        self.calls = []

    def patches(self, frame, time=None, strength=None):
        if strength:
            self.calls.append((time, strength))
        (top, left, bottom, right), (a, b, c, d) = self.box, self.inner
        pixels = frame[top:bottom, left:right].copy()
        pixels[a:c, b:d] = np.array(self.color) * (257 if frame.dtype == np.uint16 else 1)
        return [Patch(self.box, pixels)]


class Idle:
    """An editor that finds no face."""

    def patches(self, frame, time=None, strength=None):
        return []


def planes_of(path):
    """Facts of a clip, and of each frame its time and planes."""
    from flowedit.video.clips import Clip

    with Clip(path) as clip:
        return clip.facts, [(frame.time, [plane.copy() for plane in frame.planes]) for frame in clip.packets()]
