"""Filmed portraits, of which the truth is known: tracking, flicker, speed."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import flowedit
from benchmarks.common import timed
from benchmarks.motion import Motion, Shot, film, wave
from flowedit.face.crop import Crop, face_crop
from flowedit.face.detect import Face, find_faces
from flowedit.face.landmarks import interocular_distance
from flowedit.face.regions import outline_distance
from flowedit.field.offsets import pixel_centers
from flowedit.photo.photo import Photo
from flowedit.photo.photo import load as load_photo
from flowedit.transform.render import EditedPhoto
from flowedit.video import editor as video_editor
from flowedit.video import track, tracking
from flowedit.video.carry import Bent, CarriedEdit
from flowedit.video.editor import VideoEditor, draw
from flowedit.video.frame import paste
from flowedit.video.tracking import FaceTracker

TRACK_FRAMES, FLICKER_FRAMES, SLOW_FRAMES = 100, 40, 6
SLOW_MOTIONS = ("still", "shift", "rotation", "blur")
SETTLE = 15  # frames in which filters start and an edit fades in; not measured
HD = (720, 1280)


def motions(eyes: float) -> dict[str, Callable[[float], Motion]]:
    """Return cameras by name.

    Args:
        eyes: interocular distance in frame pixels. A head in talk moves by about half of it a second.
    """
    talk = 0.5 * eyes / (2 * np.pi)  # amplitude of a wave of one second whose highest speed is that

    return {
        "still": lambda t: Motion(noise=3),
        "shift": lambda t: Motion((2 * talk * wave(t, 2), 2 * talk * wave(t, 2, 0.25)), noise=3),
        "quick shift": lambda t: Motion((4 * talk * wave(t, 1), 0), noise=3),
        "rotation": lambda t: Motion(angle=8 * wave(t, 2), noise=3),
        "zoom": lambda t: Motion(scale=1 + 0.12 * wave(t, 3), noise=3),
        "brightness": lambda t: Motion(gain=0.75 + 0.25 * wave(t, 2), noise=3),
        "blur": lambda t: Motion((2 * talk * wave(t, 2), 0), blur=1.5 + 1.4 * wave(t, 1.5), noise=3),
        "noise": lambda t: Motion((2 * talk * wave(t, 2), 0), noise=10),
    }


class Studio:
    """A portrait to be filmed so that its face is so many pixels wide."""

    def __init__(self, path: Path, face_px: int) -> None:
        self.path, self.photo = path, load_photo(path)
        self.face: Face = max(find_faces(self.photo), key=lambda face: face.box[2] - face.box[0])
        self.scale = face_px / (self.face.box[2] - self.face.box[0])
        self.crop = face_crop(self.face.landmarks)
        self.eyes = self.scale * float(interocular_distance(self.face.landmarks))

    def film(self, name: str, frames: int, size: tuple[int, int] = (480, 640)) -> Iterator[Shot]:
        x, y = self.crop.matrix[:, 2].tolist()
        move = motions(self.eyes)[name]
        return film(self.photo.pixels, move, frames=frames, size=size, scale=self.scale, center=(x, y))


# --- tracking


def measure_tracking(paths: Sequence[Path], face_px: int, names: Sequence[str]) -> list[dict[str, Any]]:
    """Follow each portrait through each motion; errors are frame pixels, lags are frames."""
    records: dict[str, list[dict[str, Any]]] = {}
    for path in paths:
        studio = Studio(path, face_px)
        for name in names:
            records.setdefault(name, []).append(track_one(studio, name))
        print(f"{path.name}: tracked", file=sys.stderr)
    return [{"motion": name, **average_rows(found)} for name, found in records.items()]


def track_one(studio: Studio, name: str) -> dict[str, Any]:
    tracker, paths, dropped = FaceTracker(), [], 0
    for k, shot in enumerate(studio.film(name, TRACK_FRAMES)):
        faces = tracker.update(shot.pixels, shot.time)
        if len(faces) != 1 or faces[0].confidence < 0.5:
            dropped += 1
        elif k >= SETTLE:
            truth = shot.carry(studio.face.landmarks)
            points = truth, faces[0].landmarks, faces[0].measured
            crops = face_crop(truth), faces[0].crop, face_crop(faces[0].measured)
            paths.append((torch.stack(points), torch.stack([corners(crop) for crop in crops])))
    row: dict[str, Any] = {"dropped": float(dropped)}
    for part, k in (("marks", 0), ("crop", 1)):
        truth, filtered, measured = torch.stack([each[k] for each in paths]).unbind(1)
        for kind, found in (("", filtered), (" raw", measured)):
            row |= {f"{part} {key}{kind}": value for key, value in compare(found, truth).items()}
    return row


def compare(found: Tensor, truth: Tensor) -> dict[str, float | None]:
    """Compare paths of points (t, n, 2): the error, what of it is not constant, and the lag in frames."""
    off = found - truth
    rest = off - off.mean(0)
    velocity = (truth[2:] - truth[:-2]) / 2
    moving = float(velocity.square().sum())
    lag = -float((rest[1:-1] * velocity).sum()) / moving if moving > 1e-6 else None
    return {"error": length(off), "jitter": length(rest), "lag": lag}


def length(vectors: Tensor) -> float:
    """Root of the mean squared length of (..., 2) vectors."""
    return float(vectors.square().sum(-1).mean().sqrt())


def corners(crop: Crop) -> Tensor:
    return crop.to_photo(torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]))


# --- flicker


def measure_flicker(paths: Sequence[Path], face_px: int, prompt: str, slow_people: int) -> list[dict[str, Any]]:
    """Edit filmed portraits in three ways; numbers of 255, means inside the face.

    The edit is found, and followed, on frames with noise, and drawn into the same frames without: noise that is moved
    differs from noise that is not, whatever moves it.
    """
    studios = [Studio(path, face_px) for path in paths]
    edits = [flowedit.predict(next(studio.film("still", 1)).clean, prompt) for studio in studios]
    rows = []
    for way, names, people, frames in (
        ("carried", tuple(motions(1)), len(paths), FLICKER_FRAMES),
        ("per frame", SLOW_MOTIONS, slow_people, SLOW_FRAMES + SETTLE),
        ("naive", SLOW_MOTIONS, slow_people, SLOW_FRAMES + SETTLE),
    ):
        for name in names:
            pairs = zip(studios[:people], edits, strict=False)
            found = [flicker_one(studio, edit, name, way, frames) for studio, edit in pairs]
            most = max(each["most"] for each in found)
            rows.append({"way": way, "motion": name, **average_rows(found), "most": most})
            print(rows[-1], file=sys.stderr)
    return rows


def flicker_one(studio: Studio, edit: flowedit.Edit, name: str, way: str, frames: int) -> dict[str, float]:
    shots = list(studio.film(name, frames))
    prompt = edit.prompts
    editor = VideoEditor(edit, per_frame=way == "per frame")
    grid = studio.crop.to_photo(pixel_centers(256, dtype=torch.float64))
    inside = outline_distance(grid, face_outline(studio.face.landmarks), True) < 0
    differences, outside = [], 0
    for k, shot in enumerate(shots):
        if way == "naive":
            if k < SETTLE:
                continue
            alone = flowedit.predict(shot.pixels, prompt)
            edited = EditedPhoto(Photo(shot.clean), alone.transforms, alone.strength).pixels()
        else:
            faces = editor.track(shot.pixels, shot.time)
            bent = [(face, editor.bend(shot.pixels, face)) for face in faces if face.fade and editor.follows(face.id)]
            edited = paste(shot.clean, draw(shot.clean, bent, 1.0))
            outside += count_outside(edited != shot.clean, [face.crop for face in faces])
        if k >= SETTLE:
            change = torch.from_numpy(edited.astype(np.float32) - shot.clean).permute(2, 0, 1)[None]
            extent = torch.tensor([shot.clean.shape[1], shot.clean.shape[0]])
            points = (2 * shot.carry(grid) / extent - 1).float()[None]
            differences.append(F.grid_sample(change, points, align_corners=False)[0][:, inside])
    steps = [float((b - a).abs().mean()) for a, b in pairwise(differences)]
    size = fmean(float(each.abs().mean()) for each in differences)
    return {"edit": size, "flicker": fmean(steps), "most": max(steps), "outside": float(outside)}


def face_outline(landmarks: Tensor) -> Tensor:
    """Return the outline of jaw and brows."""
    return torch.cat([landmarks[:17], landmarks[17:27].flip(0)]).double()


def count_outside(changed: np.ndarray, crops: Sequence[Crop]) -> int:
    """Count the pixels that changed outside of all squares."""
    changed = changed.any(-1)
    for crop in crops:
        top, left, bottom, right = crop.box(*changed.shape)
        changed[top:bottom, left:right] = False
    return int(changed.sum())


# --- speed

PARTS: dict[str, tuple[Any, str]] = {  # of a frame, by the functions that do them
    "read aligned squares": (track, "aligned_gray"),
    "landmarks (dlib)": (track, "refit_often"),
    "look for a face (dlib)": (track, "search"),
    "search the frame (dlib)": (tracking, "search"),
    "compare with the last frame": (tracking, "thumbnail"),
    "filters": (track.Track, "_filter"),
    "bend the edit": (CarriedEdit, "bend"),
    "read it on a lattice": (Bent, "read"),
    "draw the square": (video_editor, "warp_pixels"),
}


def measure_speed(path: Path, face_px: int, prompt: str, frames: int) -> list[dict[str, Any]]:
    """Edit a filmed portrait of 1280 x 720 frame by frame; milliseconds of the clock and of the processor."""
    shots = list(Studio(path, face_px).film("shift", 50, HD))  # one period: it can be played in a loop
    editor = VideoEditor(flowedit.predict(shots[0].pixels, prompt))
    seconds, at = {name: 0.0 for name in PARTS}, []
    memory: dict[int, float] = {}
    with ExitStack() as stack:
        for name, (home, attribute) in PARTS.items():
            stack.enter_context(timed(seconds, name, home, attribute))
        for k in range(frames):
            wall, processor = time.perf_counter(), time.process_time()
            editor.patches(shots[k % len(shots)].pixels, k / 25)
            at.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - processor)))
            if k in (min(200, frames // 2), frames - 1):
                memory[k] = resident_mib()
            if k == SETTLE:
                at.clear()
                seconds.update(dict.fromkeys(seconds, 0.0))
    clock, processor_ms = np.array(at).T
    print(
        f"{len(at)} frames, {torch.get_num_threads()} threads: {1e3 / clock.mean():.1f} a second by the clock, "
        f"{1e3 / processor_ms.mean():.1f} a second of one processor; a frame takes {np.median(clock):.1f} ms, "
        f"95 % of them at most {np.quantile(clock, 0.95):.1f} ms"
    )
    print("memory: " + ", ".join(f"{mib:.0f} MiB after {k + 1} frames" for k, mib in memory.items()))
    whole = clock.sum() / 1e3
    seconds["the rest"] = whole - sum(seconds.values())
    return [
        {"part": name, "ms": 1e3 * each / len(at), "share": f"{each / whole:.0%}"} for name, each in seconds.items()
    ]


def resident_mib() -> float:
    """Return the memory that this process holds now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def average_rows(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    return {key: average(row[key] for row in rows) for key in rows[0]}


def average(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
