"""Faces in a photo: find them, and the square frame each is edited in. The only module that knows dlib."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import check_image, describe, require
from .image import Photo, quantize
from .region import REGIONS, check_landmarks, pixel_centres, region_mask

__all__ = [
    "REGIONS",
    "Crop",
    "Face",
    "choose",
    "descriptor",
    "extract",
    "face_crop",
    "find_faces",
    "landmarks",
    "refit",
    "region_mask",
    "whole_crop",
]

_DETECT_PX = 800  # faces are searched on a copy with this longest side: quick, and large faces stay detectable
_SMALL_PX = 400  # below this, and where nothing was found, the copy is doubled once: finds faces down to 40 px
_FIT_PX = 400  # landmarks are placed in faces at least this wide


@dataclass(frozen=True, eq=False)
class Face:
    """A face in continuous photo pixels: `landmarks` (68, 2) float32, x before y; the detector's box and
    score."""

    box: tuple[float, float, float, float]  # left, top, right, bottom
    landmarks: Tensor
    score: float


@dataclass(frozen=True, eq=False)
class Crop:
    """A similarity transform between a square face frame and the photo.

    Convention: crop coordinates span [-1, 1] edge to edge, x before y; photo coordinates are continuous
    pixels: pixel i covers [i, i + 1], its centre is i + 0.5 (docs/conventions.md).

    Attributes:
        matrix: (2, 3) float64; photo = matrix[:, :2] @ crop + matrix[:, 2].
        landmarks: (68, 2) float32 in crop coordinates, or None.
    """

    matrix: Tensor
    landmarks: Tensor | None = None

    @property
    def side_px(self) -> float:
        """Photo pixels along one side of the crop."""
        return 2 * math.hypot(float(self.matrix[0, 0]), float(self.matrix[1, 0]))

    def to_photo(self, points: Tensor) -> Tensor:
        """Carry (..., 2) crop coordinates to photo pixels, in float64."""
        return points.double() @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_crop(self, points: Tensor) -> Tensor:
        """Carry (..., 2) photo pixels to crop coordinates, in float64: the inverse of `to_photo`."""
        linear = self.matrix[:, :2]  # a similarity: its inverse is its transpose over the squared scale
        return (points.double() - self.matrix[:, 2]) @ linear / (self.side_px / 2) ** 2

    @property
    def eye_distance(self) -> float | None:
        """Between the outer eye corners, in crop coordinates; None without landmarks."""
        return None if self.landmarks is None else float((self.landmarks[45] - self.landmarks[36]).norm())

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (top, left, bottom, right): the pixels of a photo that touch the crop; empty if none
        does."""
        corners = self.to_photo(torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]))
        (left, top), (right, bottom) = corners.amin(0).floor().tolist(), corners.amax(0).ceil().tolist()

        def inside(value: float, limit: int) -> int:
            return int(min(max(value, 0), limit))

        return inside(top, height), inside(left, width), inside(bottom, height), inside(right, width)

    def state(self) -> dict[str, list | None]:
        """Return plain lists that `from_state` turns back into the same crop, bit for bit."""
        return {
            "matrix": self.matrix.tolist(),
            "landmarks": None if self.landmarks is None else self.landmarks.tolist(),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Crop:
        """Rebuild a crop from `state()`; ValueError where it is no such thing."""
        try:
            matrix = torch.tensor(state["matrix"], dtype=torch.float64)
            marks = None if state["landmarks"] is None else torch.tensor(state["landmarks"], dtype=torch.float32)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError("a crop's state must hold matrix and landmarks; got something else") from error
        require(matrix.shape == (2, 3), f"a crop's matrix must have shape (2, 3); got {tuple(matrix.shape)}")
        (a, b), (c, d) = matrix[:, :2].tolist()
        scale = math.hypot(a, c)
        similar = math.isfinite(scale) and scale > 0 and math.hypot(a - d, b + c) <= 1e-6 * scale
        good = similar and bool(torch.isfinite(matrix).all())
        require(good, f"a crop's matrix must be a rotation, scale and shift; got {matrix.tolist()}")
        if marks is not None:
            check_landmarks(marks)
        return cls(matrix, marks)


def find_faces(photo: Photo) -> list[Face]:
    """Find the frontal faces of a photo, with 68 landmarks each, from left to right.

    Raises:
        RuntimeError: dlib or its models are not installed.
    """
    detector = _models().detector
    height, width = photo.height, photo.width
    scale = min(1.0, _DETECT_PX / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    picture = _bytes(_shrunk(photo, size))
    doublings = 1 if max(size) < _SMALL_PX else 0
    found, scores, _ = detector.run(picture, doublings, 0.0)
    if not found and not doublings:
        found, scores, _ = detector.run(picture, 1, 0.0)
    x, y = width / size[1], height / size[0]
    faces = []
    for rectangle, score in zip(found, scores, strict=True):
        left, top = rectangle.left(), rectangle.top()
        right, bottom = rectangle.right() + 1, rectangle.bottom() + 1  # dlib's last pixel is inside
        points = _fit(picture, (left, top, right, bottom)) * torch.tensor([x, y])
        faces.append(Face((left * x, top * y, right * x, bottom * y), points, float(score)))
    return sorted(faces, key=lambda face: face.box[0] + face.box[2])


def face_crop(face: Face) -> Crop:
    """Return the upright square around a face, as FFHQ is aligned (Karras et al. 2019) but without its
    padding.

    The eyes' line, corrected by the line from eyes to mouth, is level; half a side is the larger of 2.0 times
    the eye distance and 1.8 times the distance from eyes to mouth; the centre lies a tenth of that below the
    eyes.
    """
    points = face.landmarks.double()
    left, right = points[36:42].mean(0), points[42:48].mean(0)
    eyes, mouth = (left + right) / 2, (points[48] + points[54]) / 2
    across, down = right - left, mouth - eyes
    axis = across - torch.stack([-down[1], down[0]])
    axis = axis / axis.norm().clamp_min(1e-9) * torch.maximum(2.0 * across.norm(), 1.8 * down.norm())
    matrix = _similarity(axis, eyes + 0.1 * down)
    crop = Crop(matrix)
    return Crop(matrix, crop.to_crop(points).float())


def whole_crop(photo: Photo) -> Crop:
    """Return the centred square that holds the whole photo: side max(height, width), no landmarks."""
    half = max(photo.height, photo.width) / 2
    axis = torch.tensor([half, 0.0], dtype=torch.float64)
    return Crop(_similarity(axis, torch.tensor([photo.width / 2, photo.height / 2], dtype=torch.float64)))


def choose(photo: Photo, face: int | str) -> list[Crop]:
    """Return the crops to edit: "largest" face, "all" faces from left to right, or the one with that index.

    Raises:
        ValueError: no face is found, or fewer than the index asks for.
    """
    number = isinstance(face, int) and not isinstance(face, bool)
    require(
        face in ("largest", "all") or (number and int(face) >= 0),
        f'face must be "largest", "all" or an index from 0, left to right; got {describe(face)}',
    )
    faces = find_faces(photo)
    require(
        len(faces) > 0,
        f"no face found in the {photo.width} x {photo.height} photo; "
        "align=False (--no-align) edits the whole picture instead",
    )
    if face == "all":
        return [face_crop(found) for found in faces]
    if face == "largest":
        return [face_crop(max(faces, key=lambda found: face_crop(found).side_px))]
    index = int(face)
    last = len(faces) - 1
    require(index <= last, f"face must be 0 to {last}, as many as were found from left to right; got {index}")
    return [face_crop(faces[index])]


def reach(photo: Photo, crop: Crop, size: int) -> tuple[int, int, int, int]:
    """Return (top, left, bottom, right) of what `extract` reads of a photo: the crop, and two cells more on every side,
    and at least one, since interpolation at the crop's border needs its neighbours."""
    step = _step(crop, size)
    top, left, bottom, right = crop.box(photo.height, photo.width)
    top, left = min(max(top - 2 * step, 0), photo.height - 1), min(max(left - 2 * step, 0), photo.width - 1)
    return (
        top,
        left,
        min(max(bottom, top + 1) + 2 * step, photo.height),
        min(max(right, left + 1) + 2 * step, photo.width),
    )


def _step(crop: Crop, size: int) -> int:
    """Pixels along the side of a cell that is averaged before anything is read."""
    return max(1, int(crop.side_px / size))


def extract(photo: Photo, crop: Crop, size: int) -> Tensor:
    """Sample a crop as a (1, 3, size, size) float32 image; border pixels of the photo repeat outside it.

    Where the crop is larger than `size`, the photo is first averaged down by a whole number, so that nothing
    aliases.
    """
    require(isinstance(size, int) and size >= 1, f"size must be a positive number of pixels; got {describe(size)}")
    step = _step(crop, size)
    # What whole cells leave, 1 to 2 pixels per sample, is averaged after.
    over = 2 if crop.side_px / size > 1 + 1e-6 else 1
    top, left, bottom, right = reach(photo, crop, size)
    source = _reduced(photo, (top, left, bottom, right), step)
    points = (crop.to_photo(pixel_centres(size * over)) - torch.tensor([left, top])) / step
    extent = torch.tensor([source.shape[3], source.shape[2]])
    grid = (points * 2 / extent - 1).float()[None]
    image = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return F.avg_pool2d(image, over) if over > 1 else image


def landmarks(image: Tensor) -> Tensor | None:
    """Find the face in an aligned crop (1, 3, S, S): (68, 2) float32 crop coordinates, or None where there is
    none."""
    faces = find_faces(Photo(_square(image)))
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
    return torch.tensor(list(_models().descriptor.compute_face_descriptor(picture, shape)), dtype=torch.float32)


class _Models(NamedTuple):
    detector: Any
    predictor: Any
    descriptor: Any


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
            dlib.face_recognition_model_v1(str(folder / "dlib_face_recognition_resnet_model_v1.dat")),
        )
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            "finding faces needs dlib and its models: pip install dlib-bin face-recognition-models; "
            f"align=False (--no-align) does without; got: {error}"
        ) from error


def _fit(picture: np.ndarray, box: tuple[float, float, float, float]) -> Tensor:
    """Place 68 landmarks in a face box (left, top, right, bottom): (68, 2) float32 continuous pixels of the
    picture.

    dlib rounds landmarks to whole pixels, so a small face is enlarged first.
    """
    import dlib

    times = max(1, math.ceil(_FIT_PX / max(box[2] - box[0], 1)))
    left, top = max(0, int(box[0] - (box[2] - box[0]) / 2)), max(0, int(box[1] - (box[3] - box[1]) / 2))
    right, bottom = math.ceil(box[2] + (box[2] - box[0]) / 2), math.ceil(box[3] + (box[3] - box[1]) / 2)
    near = picture[top:bottom, left:right]
    if near.size == 0:  # a box outside the picture
        near, left, top = picture, 0, 0
    edges = [round((value - start) * times) for value, start in zip(box, (left, top, left, top), strict=True)]
    rectangle = dlib.rectangle(edges[0], edges[1], edges[2] - 1, edges[3] - 1)
    parts = _models().predictor(_enlarged(near, times), rectangle).parts()
    points = torch.tensor([[part.x, part.y] for part in parts], dtype=torch.float64)
    return ((points + 0.5) / times + torch.tensor([left, top])).float()


def _box_of(points: Tensor) -> tuple[float, float, float, float]:
    """Return the box that dlib's detector draws around (68, 2) landmarks, on average over portraits."""
    low, high = points.amin(0), points.amax(0)
    extent = (high - low).amax()
    side = 1.05 * float(extent)
    centre = (low + high) / 2 - torch.tensor([0.0, 0.07]) * extent
    left, top = (centre - side / 2).tolist()
    return left, top, left + side, top + side


def _square(image: Tensor) -> np.ndarray:
    """Turn a (1, 3, S, S) crop into (S, S, 3) uint8."""
    check_image(image)
    shape = tuple(image.shape)
    require(shape[0] == 1 and shape[2] == shape[3], f"a crop must have shape (1, 3, S, S); got {shape}")
    return quantize(image, np.uint8)


def _bytes(image: Tensor) -> np.ndarray:
    """Turn a (1, 3, H, W) image into what dlib reads: contiguous (H, W, 3) uint8."""
    return np.ascontiguousarray(quantize(image, np.uint8))


def _enlarged(picture: np.ndarray, times: int) -> np.ndarray:
    """Enlarge an (H, W, 3) uint8 picture by a whole number, smoothly."""
    if times == 1:
        return np.ascontiguousarray(picture)
    image = torch.tensor(picture).permute(2, 0, 1)[None].float() / 255
    return quantize(F.interpolate(image, scale_factor=times, mode="bilinear", align_corners=False), np.uint8)


def _shrunk(photo: Photo, size: tuple[int, int]) -> Tensor:
    """Shrink a photo to (height, width): (1, 3, height, width)."""
    step = max(1, min(photo.height // size[0], photo.width // size[1]))
    image = _reduced(photo, (0, 0, photo.height, photo.width), step)
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)


def _reduced(photo: Photo, box: tuple[int, int, int, int], step: int) -> Tensor:
    """Average step x step cells of a part of a photo, in bands that keep memory low; the last cells may be
    partial."""
    top, left, bottom, right = box
    bands = []
    for start in range(top, bottom, 64 * step):
        band = photo.tensor((start, left, min(start + 64 * step, bottom), right))
        if step > 1:
            pad = (0, -band.shape[3] % step, 0, -band.shape[2] % step)
            band = F.pad(band, pad, mode="replicate")
            band = F.avg_pool2d(F.avg_pool2d(band, (step, 1)), (1, step))  # in two: rounds less
        bands.append(band)
    return torch.cat(bands, 2)


def _similarity(axis: Tensor, centre: Tensor) -> Tensor:
    """Return the (2, 3) matrix that carries crop x to `axis` (half a side), y to its right angle, 0 to
    `centre`."""
    return torch.stack([axis, torch.stack([-axis[1], axis[0]]), centre], 1)
