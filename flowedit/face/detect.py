"""Find faces and their 68 landmarks, and describe whose face it is. The only module that knows dlib."""

from __future__ import annotations

import importlib.util
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import as_number, check_image, describe, require
from flowedit.face.crop import Crop, extract, face_crop
from flowedit.face.landmarks import check_landmarks
from flowedit.face.recognize import CHIP_PX, Recognizer
from flowedit.face.turned import turned_photos
from flowedit.photo.photo import Photo, quantize

SMALL_PX = 400  # below this, and where nothing was found, the copy is doubled once: finds faces down to 40 px
LEAST_ROLL = 8.0  # degrees, from which on landmarks are placed again, in the leveled face
LEVELINGS = 2  # times
_SAME = 0.5  # share of their union that two boxes of one face have in common at the least
_SURER = 0.3  # than an upright face's score, that of one in a turned photo must be: people mostly stand upright
_SURE = 0.6  # score of a detection that needs no look at the turned photo; frontal portraits have 1.5 to 3
_DLIB = threading.RLock()  # dlib's objects are not safe to be used by two threads at once
_FIT_PX = 400  # landmarks are placed in faces at least this wide
_AROUND = 0.25  # of a box's sides, enlarged with it; with an eighth, landmarks change
_CHIP_MARGIN = 0.25  # of an upright face's size, left free around it, as dlib does
_BOXES = (
    (0, 0, 1),
    (3, 1, 1.03),
    (-3, -1, 0.97),
    (1, -3, 1),
    (-1, 3, 1.06),
    (2, 2, 0.95),
    (-2, 3, 1.02),
    (3, -2, 0.99),
)
"""Where landmarks are placed from, again and again: percent of the box to the right and down, and its scale."""


Box = tuple[float, float, float, float]  # left, top, right, bottom, in continuous pixels


@dataclass(frozen=True, eq=False)
class Face:
    """A face in continuous photo pixels: `landmarks` (68, 2) float32, x before y; the detector's box and
    score."""

    box: Box
    landmarks: Tensor
    score: float


def find_faces(photo: Photo, *, turned: bool = False, large: bool = False) -> list[Face]:
    """Find the frontal faces of a photo, with 68 landmarks each, from left to right.

    Args:
        photo: where to look.
        turned: where no upright face is sure, look at the photo turned by quarters too, and then by eighths, and return
            the faces of the surest turn; their landmarks are in the photo as it is.
        large: look for smaller faces only where there is no large one, that is of a fifth of the longest side, or of
            dlib's 80 px in a picture smaller than SMALL_PX. A fifth of the time.

    Raises:
        RuntimeError: dlib or its models are not installed.
    """
    groups = turned_photos(photo)
    seen = next(groups[0])
    boxes = _detect(seen.picture, large)
    for group in groups if turned else ():
        if _surest(boxes) >= _SURE:
            break
        for other in group:
            found = _detect(other.picture, large)
            upright = seen.degrees == 0 and len(boxes) > 0
            if _surest(found) > _surest(boxes) + (_SURER if upright else 0.0):
                seen, boxes = other, found
    faces = []
    for box, score in boxes:
        points = seen.back(_fit(seen.picture, box))
        corners = seen.back(torch.tensor(box, dtype=torch.float32, device="cpu").reshape(2, 2))
        low, high = corners.amin(0).tolist(), corners.amax(0).tolist()
        faces.append(Face((low[0], low[1], high[0], high[1]), _level(photo, points, seen.degrees), score))
    return sorted(faces, key=lambda face: face.box[0] + face.box[2])


def _surest(boxes: Sequence[tuple[Box, float]]) -> float:
    return max((score for _, score in boxes), default=0.0)


def _level(photo: Photo, points: Tensor, degrees: float) -> Tensor:
    """Place landmarks (68, 2) of a photo again where the head is rolled in the turned photo that they are from.

    dlib knows upright faces: of one rolled by 30 degrees, its landmarks are off by some percent of the eyes' distance.
    The crop that they make is nearer to upright, and that of those placed in it nearer still.

    Args:
        photo: with the face.
        points: photo pixels.
        degrees: that the photo was turned by.
    """
    (a, _, _), (c, _, _) = face_crop(points).matrix.tolist()
    roll = (math.degrees(math.atan2(c, a)) - degrees + 180) % 360 - 180
    for _ in range(LEVELINGS if abs(roll) > LEAST_ROLL else 0):
        crop = face_crop(points)
        again = refit(extract(photo, crop, _FIT_PX), crop.to_crop(points.double()))
        points = crop.to_photo(again.double()).float()
    return points


def _detect(picture: np.ndarray, large: bool) -> list[tuple[Box, float]]:
    """Return the box and score of each upright face in a (H, W, 3) uint8 picture; see `find_faces`.

    A large face is found on a copy half as wide, whether smaller ones are looked for or not: it is where it is.
    """
    if max(picture.shape) < SMALL_PX:
        return (search(picture) if large else []) or search(picture, 1)
    half = [(_doubled(box), score) for box, score in search(_halved(picture)) if score >= _SURE]
    if large and half:
        return half
    found = search(picture)
    smaller = [each for each in found if all(_overlap(each[0], box) < _SAME for box, _ in half)]
    return [*half, *smaller] or search(picture, 1)


def _doubled(box: Box) -> Box:
    left, top, right, bottom = box
    return 2 * left, 2 * top, 2 * right, 2 * bottom


def _overlap(first: Box, second: Box) -> float:
    """Return the share of their union that two boxes have in common."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    common = max(0.0, width) * max(0.0, height)
    whole = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return common / (whole - common)


def _halved(picture: np.ndarray) -> np.ndarray:
    """Shrink a (H, W, 3) uint8 picture to half its sides."""
    pixels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    half = F.avg_pool2d(pixels, 2, ceil_mode=True, count_include_pad=False)
    return half[0].round().byte().permute(1, 2, 0).contiguous().numpy()


def search(picture: np.ndarray, doublings: int = 0, least: float = 0.0) -> list[tuple[Box, float]]:
    """Return (left, top, right, bottom) and score of each upright face at least 80 pixels wide, surest first.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
        doublings: how often it is enlarged before, for smaller faces.
        least: score that counts as a face; frontal portraits have 1.5 to 3.
    """
    with _DLIB:
        rectangles, scores, _ = _models().detector.run(picture, doublings, least)
    # dlib's last pixel is inside.
    boxes = [(float(r.left()), float(r.top()), r.right() + 1.0, r.bottom() + 1.0) for r in rectangles]
    return list(zip(boxes, map(float, scores), strict=True))


def choose(photo: Photo, face: int | str) -> list[Crop]:
    """Return the crops to edit: "largest" face, "all" faces from left to right, or the one with that index.

    Raises:
        ValueError: no face is found, or fewer than the index asks for.
    """
    index = as_number(face)
    require(
        (isinstance(face, str) and face in ("largest", "all")) or (isinstance(index, int) and index >= 0),
        f'face must be "largest", "all" or an index from 0, left to right; got {describe(face)}',
    )
    faces = find_faces(photo, turned=True, large=face == "largest")
    require(
        len(faces) > 0,
        f"no face found in the {photo.width} x {photo.height} photo; "
        "align=False (--no-align) edits the whole picture instead",
    )
    if face == "all":
        return [face_crop(each.landmarks) for each in faces]
    if face == "largest":
        return [max((face_crop(each.landmarks) for each in faces), key=lambda crop: crop.side_px)]
    assert isinstance(index, int)
    last = len(faces) - 1
    require(index <= last, f"face must be 0 to {last}, as many as were found from left to right; got {index}")
    return [face_crop(faces[index].landmarks)]


def landmarks(image: Tensor) -> Tensor | None:
    """Find the face in an aligned crop (1, 3, S, S): (68, 2) float32 crop coordinates, or None where there is
    none."""
    faces = find_faces(Photo(_square(image)), large=True)
    if not faces:
        return None
    largest = max(faces, key=lambda face: face.box[2] - face.box[0])
    return largest.landmarks * (2 / image.shape[-1]) - 1


def refit(image: Tensor, landmarks: Tensor) -> Tensor:
    """Measure landmarks again after a small edit, taking the face's place as known: far quicker than a
    search.

    Args:
        image: (1, 3, S, S) aligned crop.
        landmarks: (68, 2) crop coordinates, from before the edit.

    Returns:
        (68, 2) float32 crop coordinates.
    """
    picture = _square(image)
    check_landmarks(landmarks)
    points = (landmarks.double() + 1) * (picture.shape[0] / 2)
    return _fit(picture, _box_of(points)) * (2 / picture.shape[0]) - 1


def place(picture: np.ndarray, box: Box) -> Tensor:
    """Place landmarks in a face that `search` has found in a (H, W) uint8 picture: (68, 2) float32 pixels."""
    return _fit(np.repeat(picture[:, :, None], 3, axis=2), box)


def refit_often(picture: np.ndarray, landmarks: Tensor, count: int) -> Tensor:
    """Place landmarks from several boxes, a little apart from each other, around where they were last.

    dlib rounds landmarks to whole pixels and jumps by more where a box moves by one. The mean over boxes jumps less,
    and their spread tells how sure the landmarks are.

    Args:
        picture: (S, S) uint8, an aligned crop in gray, in which the face should be 150 pixels wide or more.
        landmarks: (68, 2) crop coordinates, near the face's.
        count: boxes, from 1 to 8.

    Returns:
        (count, 68, 2) float64 crop coordinates.
    """
    import dlib

    require(1 <= count <= len(_BOXES), f"count must be from 1 to {len(_BOXES)}; got {describe(count)}")
    half = picture.shape[0] / 2
    left, top, right, bottom = _box_of((landmarks.double() + 1) * half)
    width, x, y = right - left, (left + right) / 2, (top + bottom) / 2
    found = []
    with _DLIB:
        for across, down, scale in _BOXES[:count]:
            side = width * scale
            edges = x + across / 100 * width - side / 2, y + down / 100 * width - side / 2
            first, second = (round(edge) for edge in edges)
            box = dlib.rectangle(first, second, first + round(side) - 1, second + round(side) - 1)
            found.append([(part.x, part.y) for part in _models().predictor(picture, box).parts()])
    return (torch.tensor(found, dtype=torch.float64, device="cpu") + 0.5) / half - 1


def descriptor(image: Tensor, landmarks: Tensor) -> Tensor:
    """Describe whose face an aligned crop shows, by dlib's face recognition network.

    Args:
        image: (1, 3, S, S) aligned crop.
        landmarks: (68, 2) crop coordinates in this image.

    Returns:
        (128,) float32; two photos of one person lie about 0.3 to 0.6 apart (Euclidean), two people further.
    """
    import dlib

    check_landmarks(landmarks)
    picture = _square(image)
    times = max(1, round(_FIT_PX / picture.shape[0]))  # dlib takes whole pixels
    picture = _enlarged(picture, times)
    side = picture.shape[0]
    whole = ((landmarks.double() + 1) * (side / 2) - 0.5).round().long().tolist()
    shape = dlib.full_object_detection(dlib.rectangle(0, 0, side - 1, side - 1), [dlib.point(x, y) for x, y in whole])
    chip = dlib.get_face_chip(picture, shape, CHIP_PX, _CHIP_MARGIN)
    return _models().recognizer(torch.tensor(chip, device="cpu").permute(2, 0, 1)[None])[0]


class _Models(NamedTuple):
    detector: Any
    predictor: Any
    recognizer: Recognizer


@lru_cache(maxsize=1)
def _models() -> _Models:
    """Load dlib and its models once, or say in one line how to get them and how to do without."""
    # Found, not imported: the package imports pkg_resources, which new setuptools lacks.
    spec = importlib.util.find_spec("face_recognition_models")
    folder = Path(next(iter(spec.submodule_search_locations or ["."])), "models") if spec else Path()
    try:
        import dlib

        return _Models(
            dlib.get_frontal_face_detector(),
            dlib.shape_predictor(str(folder / "shape_predictor_68_face_landmarks.dat")),
            Recognizer(folder / "dlib_face_recognition_resnet_model_v1.dat"),
        )
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            "finding faces needs dlib and its models: pip install dlib-bin face-recognition-models; "
            f"align=False (--no-align) does without; got: {error}"
        ) from error


def _fit(picture: np.ndarray, box: Box) -> Tensor:
    """Place 68 landmarks in a face box (left, top, right, bottom): (68, 2) float32 continuous pixels of the
    picture.

    dlib rounds landmarks to whole pixels, so a small face is enlarged first.
    """
    import dlib

    times = max(1, math.ceil(_FIT_PX / max(box[2] - box[0], 1)))
    around = (box[2] - box[0]) * _AROUND, (box[3] - box[1]) * _AROUND
    left, top = max(0, int(box[0] - around[0])), max(0, int(box[1] - around[1]))
    right, bottom = math.ceil(box[2] + around[0]), math.ceil(box[3] + around[1])
    near = picture[top:bottom, left:right]
    if near.size == 0:  # a box outside the picture
        near, left, top = picture, 0, 0
    edges = [round((value - start) * times) for value, start in zip(box, (left, top, left, top), strict=True)]
    rectangle = dlib.rectangle(edges[0], edges[1], edges[2] - 1, edges[3] - 1)
    enlarged = _enlarged(near, times)
    with _DLIB:
        parts = [(part.x, part.y) for part in _models().predictor(enlarged, rectangle).parts()]
    points = torch.tensor(parts, dtype=torch.float64, device="cpu")
    return ((points + 0.5) / times + torch.tensor([left, top], device="cpu")).float()


def _box_of(points: Tensor) -> Box:
    """Return the box that dlib's detector draws around (68, 2) landmarks, on average over portraits."""
    low, high = points.amin(0), points.amax(0)
    extent = (high - low).amax()
    side = 1.05 * float(extent)
    centre = (low + high) / 2 - torch.tensor([0.0, 0.07], dtype=torch.float32, device="cpu") * extent
    left, top = (centre - side / 2).tolist()
    return left, top, left + side, top + side


def _square(image: Tensor) -> np.ndarray:
    """Turn a (1, 3, S, S) crop into (S, S, 3) uint8."""
    check_image(image)
    shape = tuple(image.shape)
    require(shape[0] == 1 and shape[2] == shape[3], f"a crop must have shape (1, 3, S, S); got {shape}")
    return quantize(image, np.uint8)


def _enlarged(picture: np.ndarray, times: int) -> np.ndarray:
    """Enlarge an (H, W, 3) uint8 picture by a whole number, smoothly."""
    if times == 1:
        return np.ascontiguousarray(picture)
    # In bytes, whose channels lie together: a third of the time that floating numbers take.
    pixels = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    larger = F.interpolate(pixels, scale_factor=times, mode="bilinear", align_corners=False)
    return larger[0].permute(1, 2, 0).contiguous().numpy()
