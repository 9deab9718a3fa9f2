"""A clip from file to file: each frame to an editor, what it changed back into the frame, and on into the new file."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import torch

from flowedit.checks import as_float, require
from flowedit.edit import Edit
from flowedit.photo.files import check_outputs, write_atomically
from flowedit.photo.interrupts import Delay, delay_interrupts
from flowedit.photo.metadata import Metadata, note_text
from flowedit.task.threads import spare_busy_cores
from flowedit.video.animations import ANIMATIONS, MOST_BYTES, Animation, check_moving, is_animation, save_animation
from flowedit.video.clips import Clip
from flowedit.video.encode import ClipWriter, Encoding
from flowedit.video.frame import Frame, Patch, PlanarFrame, RasterFrame

_BEFORE, _STEP_S = 8, 0.04  # how often an editor is shown its first frame before, and how far apart
_WAITING = 4  # edited frames that may wait for the encoder
_GIF_FRAME_S = 0.02  # a GIF's shortest frame that browsers show no longer than it asks for


class Editor(Protocol):
    """What edits frames, one after the other: `VideoEditor`, or another with this method."""

    def patches(self, frame: np.ndarray, time: float | None = None, strength: float | None = None) -> Sequence[Patch]:
        """Return the parts of an (H, W, 3) RGB frame that change; none where nothing does."""


@dataclass(frozen=True)
class Span:
    """When the edit is on.

    Attributes:
        start: seconds from the clip's start; None is from the first frame on.
        end: likewise; None is to the last.
        fade: seconds over which it comes after `start` and goes before `end`, where these are given.

    Raises:
        ValueError: a number is negative or not finite, or end does not follow start.
    """

    start: float | None = None
    end: float | None = None
    fade: float = 0.5

    def __post_init__(self) -> None:
        for name in ("start", "end", "fade"):
            value = getattr(self, name)
            good = value is None or 0 <= as_float(value) < math.inf
            require(good, f"{name} must be at least 0 seconds, and finite; got {value!r}")
        first, last = self.start or 0.0, math.inf if self.end is None else self.end
        require(first < last, f"end must be after start, {first:g} s; got {last:g} s")

    def amount(self, time: float) -> float:
        """Return how much of the edit there is at a time, from 0 to 1."""
        since = math.inf if self.start is None else time - self.start
        left = math.inf if self.end is None else self.end - time
        if since < 0 or left <= 0:
            return 0.0
        return min(1.0, min(since, left) / self.fade) if self.fade else 1.0


@dataclass(frozen=True)
class ClipResult:
    """What became of a clip.

    Attributes:
        path: the file that was written.
        frames: in it.
        edited: of these, how many the edit changed.
        duration: seconds of the clip.
        seconds: that it took.
        interrupted: a Ctrl-C or SIGTERM ended it before the clip's end; the file holds what was done until then.
        edit: what was done, where one edit was: see `flowedit.edit_video`.
    """

    path: Path
    frames: int
    edited: int
    duration: float
    seconds: float
    interrupted: bool = False
    edit: Edit | None = None


def edit_clip(
    source: str | Path,
    out: str | Path,
    editor: Editor,
    *,
    span: Span | None = None,
    strength: float = 1.0,
    encoding: Encoding | None = None,
    note: dict[str, Any] | None = None,
    strip_location: bool = False,
    progress: bool | None = False,
) -> ClipResult:
    """Edit a clip into a new file, which is written whole or not at all.

    Outside of what the editor returns the decoded planes of a video stay as they are, bit for bit, until they are
    encoded. Sound and subtitles are copied as they are, and so are time stamps.

    A first Ctrl-C or SIGTERM ends the new file after the frame in hand; at a second one nothing is kept.

    Args:
        source: a video, or a .gif, .webp, .apng or .png.
        out: where to; the ending says which kind.
        editor: of frames.
        span: when the edit is on.
        strength: of the edit, times the span's amount.
        encoding: of a video.
        note: a record for the new file.
        strip_location: leave out tags that say where it was taken.
        progress: show a bar; None shows it on a terminal only.

    Raises:
        RuntimeError: a video, without PyAV.
        OSError: a file cannot be read or written.
        ValueError: the source is no whole clip, or no face was found in it.
    """
    begin, source, out, encoding = time.perf_counter(), Path(source), Path(out), encoding or Encoding()
    check_moving(out)
    check_outputs({"out": [out]}, [source])
    suffix = out.suffix.lower()
    with Animation(source) if is_animation(source) else Clip(source) as clip:
        total = clip.count if isinstance(clip, Animation) else clip.facts.frames
        with delay_interrupts() as delay, _Pass(editor, span or Span(), strength, total, progress) as edited:
            if isinstance(clip, Animation) or suffix in ANIMATIONS:
                held = _hold(edited.run(_items(clip), delay), suffix)
                edited.check(source)
                loop, icc = (clip.loop, clip.icc) if isinstance(clip, Animation) else (0, None)
                save_animation(out, held, loop=loop, metadata=Metadata(icc), note=note, encoding=encoding)
            else:
                write_atomically(out, partial(_encode, clip, edited, delay, suffix, encoding, note, strip_location))
    return ClipResult(out, edited.frames, edited.changed, edited.end, time.perf_counter() - begin, edited.stopped)


def sample_clip(source: str | Path, span: Span, most: int = 24) -> Iterator[tuple[np.ndarray, float]]:
    """Yield some RGB frames of a clip from all over a span, each with its time, without decoding all of a long clip.

    Args:
        source: see `edit_clip`.
        span: frames come from where there is anything of the edit; one at least.
        most: how many.

    Raises:
        RuntimeError, OSError, ValueError: see `edit_clip`.
    """
    if is_animation(source):
        with Animation(source) as animation:
            step = -(-animation.count // most)
            frames = [frame for frame in animation.frames() if round(frame.time, 3) >= 0][::step]
            chosen = [frame for frame in frames if span.amount(frame.time) > 0] or frames[:1]
            yield from ((frame.rgb, frame.time) for frame in chosen)
        return
    with Clip(source) as clip:
        first, last = span.start or 0.0, min(span.end or math.inf, clip.declared_end or math.inf)
        last = last if last < math.inf else first + most / float(clip.facts.rate)
        times = [first + (last - first) * (k + 0.5) / most for k in range(most)]
        yield from ((frame.rgb, frame.time) for frame in clip.sample(times))


def _items(clip: Clip | Animation) -> Iterator[Frame]:
    return clip.frames() if isinstance(clip, Animation) else clip.packets()


def _encode(
    clip: Clip,
    edited: _Pass,
    delay: Delay,
    suffix: str,
    encoding: Encoding,
    note: dict[str, Any] | None,
    strip_location: bool,
    file: BinaryIO,
) -> None:
    """Write a video's edited frames, and its sound and subtitles as they are, into a file."""
    text = None if note is None else note_text(note)
    how: dict[str, Any] = {"source": clip, "note": text, "strip_location": strip_location}
    with ClipWriter(file.name, suffix, encoding, **how) as writer:
        with spare_busy_cores(max(1, torch.get_num_threads() // 2)):  # the encoder's threads have the other half
            _write_aside(writer, edited.run(clip.packets(writer.others), delay))
        edited.check(clip.path)


def _write_aside(writer: ClipWriter, items: Iterator[Any]) -> None:
    """Write items in a thread of their own, so that the next frame is edited while the last one is encoded."""
    waiting: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1) as thread:
        for item in items:
            waiting.append(thread.submit(writer.write if isinstance(item, PlanarFrame) else writer.copy, item))
            while len(waiting) > _WAITING:
                waiting.popleft().result()
        for written in waiting:
            written.result()


class _Pass:
    """One pass over a clip's frames: what is done to each, and counted."""

    def __init__(self, editor: Editor, span: Span, strength: float, total: int | None, progress: bool | None) -> None:
        from tqdm import tqdm

        self.editor, self.span, self.strength = editor, span, strength
        self.frames = self.changed = self.asked = 0
        self.end, self.stopped = 0.0, False
        self._bar = tqdm(
            total=total, desc="filming", unit="frame", disable=None if progress is None else not progress, leave=False
        )

    def __enter__(self) -> _Pass:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def run(self, items: Iterator[Any], delay: Delay) -> Iterator[Any]:
        """Edit the frames among the items; stop after a signal."""
        for item in items:
            yield self._edit(item) if isinstance(item, Frame) else item
            if delay.interrupted:
                self.stopped = True
                return

    def _edit(self, frame: Frame) -> Frame:
        amount = self.strength * self.span.amount(frame.time)
        if amount and not self.asked:  # the span fades the edit in, so the editor should have done so with its faces
            for early in range(_BEFORE, 0, -1):
                self.editor.patches(frame.rgb, frame.time - early * _STEP_S, 0.0)
        patches = self.editor.patches(frame.rgb, frame.time, amount) if amount else ()
        self.frames += 1
        self.asked += bool(amount)
        self.changed += len(patches) > 0
        self.end = frame.time + frame.duration
        self._bar.update()
        return frame.edited(patches)

    def check(self, source: Path) -> None:
        """Raise ValueError where the edit should have been on and never was, for want of a face."""
        found = self.changed > 0 or self.stopped
        require(
            found or self.asked == 0, f"{source} must show a face while the edit is on; got none in {self.asked} frames"
        )
        require(
            found or self.strength == 0, f"the edit must be on in a frame; got none from {self.span.start or 0:g} s on"
        )


def _hold(frames: Iterator[Frame], suffix: str) -> list[RasterFrame]:
    """Collect frames for an animation, which are in memory at once.

    Raises:
        ValueError: they are too large.
    """
    held: list[RasterFrame] = []
    size, kept = 0, False
    for frame in frames:
        if isinstance(frame, RasterFrame):
            held.append(frame)
            kept = True  # with its duration as the file has it
        elif suffix != ".gif" or not held or frame.time - held[-1].time > _GIF_FRAME_S - 1e-3:
            rgb = frame.rgb if frame.rgb.dtype == np.uint8 else (frame.rgb >> 8).astype(np.uint8)
            held.append(RasterFrame(frame.time, frame.duration, rgb))
        size += frame.rgb.nbytes
        require(
            size <= MOST_BYTES,
            f"an animation's frames must take at most {MOST_BYTES:,} bytes; got more: a video may be of any length",
        )
    return held if kept else _until_next(held)


def _until_next(frames: list[RasterFrame]) -> list[RasterFrame]:
    """Show each frame until the next one's time, and the last for its own duration or as long as the one before."""
    times = [frame.time for frame in frames]
    last = frames[-1].duration or (times[-1] - times[-2] if len(times) > 1 else 0.1) if frames else 0.0
    return [
        replace(frame, duration=(times[k + 1] - frame.time) if k + 1 < len(times) else last)
        for k, frame in enumerate(frames)
    ]
