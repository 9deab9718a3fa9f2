"""The square frame that a face is edited in, and its pixels: pure geometry."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import require, whole_number
from flowedit.face.landmarks import check_landmarks, eye_centers, mouth_center, outer_canthal_distance
from flowedit.field.offsets import MOST_PX, pixel_centers
from flowedit.photo.kept import KeptWithPhoto
from flowedit.photo.photo import Photo

BAND_PX = 1 << 21  # pixels of a photo that are averaged at a time
KEPT, KEPT_PX = 6, 256  # crops of a photo that are kept, and their largest side
_READ = KeptWithPhoto[Tensor](KEPT)


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
    def outer_canthal_distance(self) -> float | None:
        """Between the outer eye corners, in crop coordinates; None without landmarks."""
        return None if self.landmarks is None else float(outer_canthal_distance(self.landmarks))

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return (top, left, bottom, right): the pixels of a photo that touch the crop; empty if none
        does."""
        corners = self.to_photo(pixel_centers(2, dtype=torch.float64).reshape(-1, 2) * 2)
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
            matrix = torch.tensor(state["matrix"], dtype=torch.float64, device="cpu")
            listed = state["landmarks"]
            marks = None if listed is None else torch.tensor(listed, dtype=torch.float32, device="cpu")
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


def face_crop(landmarks: Tensor) -> Crop:
    """Return the upright square around a face, as FFHQ is aligned (Karras et al. 2019) but without its padding.

    The eyes' line, corrected by the line from eyes to mouth, is level; half a side is the larger of 2.0 times
    the interocular distance and 1.8 times the distance from eyes to mouth; the center lies a tenth of that below the
    eyes.

    Args:
        landmarks: (68, 2) photo pixels.
    """
    check_landmarks(landmarks)
    points = landmarks.double()
    (left, right), mouth = eye_centers(points), mouth_center(points)
    eyes = (left + right) / 2
    across, down = right - left, mouth - eyes
    axis = across - torch.stack([-down[1], down[0]])
    axis = axis / axis.norm().clamp_min(1e-9) * torch.maximum(2.0 * across.norm(), 1.8 * down.norm())
    matrix = _similarity(axis, eyes + 0.1 * down)
    crop = Crop(matrix)
    return Crop(matrix, crop.to_crop(points).float())


def whole_crop(photo: Photo) -> Crop:
    """Return the centred square that holds the whole photo: side max(height, width), no landmarks."""
    half = max(photo.height, photo.width) / 2
    axis = torch.tensor([half, 0.0], dtype=torch.float64, device="cpu")
    center = torch.tensor([photo.width / 2, photo.height / 2], dtype=torch.float64, device="cpu")
    return Crop(_similarity(axis, center))


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
    size = whole_number("size", size, 1, MOST_PX)
    step = _step(crop, size)
    # What whole cells leave, 1 to 2 pixels per sample, is averaged after.
    over = 2 if crop.side_px / size > 1 + 1e-6 else 1
    top, left, bottom, right = reach(photo, crop, size)
    source = average_cells(photo, (top, left, bottom, right), step)
    points = crop.to_photo(pixel_centers(size * over, dtype=torch.float64))
    points = (points - torch.tensor([left, top], device="cpu")) / step
    extent = torch.tensor([source.shape[3], source.shape[2]], device="cpu")
    grid = (points * 2 / extent - 1).float()[None]
    image = F.grid_sample(source, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return _average(_average(image, -2, over), -1, over)


def average_cells(photo: Photo, box: tuple[int, int, int, int], step: int) -> Tensor:
    """Average step x step cells of a part of a photo, in bands that keep memory low; the last cells may be partial."""
    top, left, bottom, right = box
    rows = step * max(1, BAND_PX // (step * (right - left)))
    bands = []
    for start in range(top, bottom, rows):
        band = photo.tensor((start, left, min(start + rows, bottom), right))
        if step > 1:
            pad = (0, -band.shape[3] % step, 0, -band.shape[2] % step)
            band = F.pad(band, pad, mode="replicate")
            band = _average(_average(band, -2, step), -1, step)  # in two: rounds less
        bands.append(band)
    return torch.cat(bands, 2)


def _average(image: Tensor, axis: int, step: int) -> Tensor:
    """Average every `step` values along axis -2 or -1; `avg_pool2d` takes ten times as long on a CPU."""
    if step == 1:
        return image
    first, *others = image.unflatten(axis, (-1, step)).unbind(axis)
    total = first.clone()
    for values in others:
        total += values
    return total.div_(step)


def _similarity(axis: Tensor, centre: Tensor) -> Tensor:
    """Return the (2, 3) matrix that carries crop x to `axis` (half a side), y to its right angle, 0 to
    `centre`."""
    return torch.stack([axis, torch.stack([-axis[1], axis[0]]), centre], 1)


def crop_key(crop: Crop) -> tuple[float, ...]:
    """Return what is the same for crops that lie in the same place of a photo."""
    return tuple(crop.matrix.flatten().tolist())


def extract_once(photo: Photo, crop: Crop, size: int) -> Tensor:
    """Return `extract`; a small crop is read once for all edits of a photo, and is not to be written to."""
    if size > KEPT_PX:
        return extract(photo, crop, size)
    return _READ.get(photo, (*crop_key(crop), size), lambda: extract(photo, crop, size))


def widened(crop: Crop, reach: float) -> Crop:
    """Return the crop `reach` times as wide, about the same middle, without landmarks."""
    return Crop(torch.cat([crop.matrix[:, :2] * reach, crop.matrix[:, 2:]], 1))
