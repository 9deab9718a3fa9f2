"""How fast a clip is edited from file to file, where its time goes, and what memory it takes."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch

import flowedit
from benchmarks.common import timed
from benchmarks.video_truth import HD, Studio
from flowedit.video.clips import Clip
from flowedit.video.editor import VideoEditor
from flowedit.video.encode import ClipWriter, Encoding
from flowedit.video.film import edit_clip
from flowedit.video.frame import PlanarFrame, RasterFrame

PARTS = {
    "RGB of the frame": (Clip, "_rgb"),
    "the editor": (VideoEditor, "patches"),
    "the change into the planes": (PlanarFrame, "edited"),
    "waiting for the encoder": (Future, "result"),
}


def measure_files(path: Path, face_px: int, prompt: str, frames: int) -> list[dict[str, Any]]:
    """Edit an H.264 file of a filmed portrait, 1280 x 720, into another; milliseconds of the clock."""
    shots = [shot.pixels for shot in Studio(path, face_px).film("shift", 50, HD)]  # one period: it can be in a loop
    editor = VideoEditor(flowedit.predict(shots[0], prompt))
    seconds = {name: 0.0 for name in PARTS}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        source = write_clip(Path(folder) / "clip.mp4", shots, frames)
        edit_clip(write_clip(Path(folder) / "short.mp4", shots, 50), Path(folder) / "warm.mp4", editor)
        before = memory_mib()
        editor.reset()
        for name, (home, attribute) in PARTS.items():
            stack.enter_context(timed(seconds, name, home, attribute))
        processor = time.process_time()
        result = edit_clip(source, Path(folder) / "edited.mp4", editor)
        processor = time.process_time() - processor
    print(
        f"{result.frames} frames, {result.edited} edited, {torch.get_num_threads()} threads of torch: "
        f"{result.frames / result.seconds:.1f} a second by the clock, "
        f"{result.frames / processor:.1f} a second of one processor, the encoder's threads and all"
    )
    print(f"most memory: {before:.0f} MiB after 50 frames, {memory_mib():.0f} MiB after {result.frames} more")
    seconds["the rest, decoding above all"] = result.seconds - sum(seconds.values())
    return [
        {"part": name, "ms": 1e3 * each / result.frames, "share": f"{each / result.seconds:.0%}"}
        for name, each in seconds.items()
    ]


def write_clip(path: Path, shots: list[np.ndarray], frames: int) -> Path:
    """Write shots as a video, over and over, 25 a second."""
    with ClipWriter(str(path), ".mp4", Encoding(preset="ultrafast"), size=shots[0].shape[:2]) as writer:
        for frame in _loop(shots, frames):
            writer.write(frame)
    return path


def _loop(shots: list[np.ndarray], frames: int) -> Iterator[RasterFrame]:
    for k in range(frames):
        yield RasterFrame(k / 25, 1 / 25, shots[k % len(shots)])


def memory_mib() -> float:
    """The most that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
