"""The average faces that are shipped, and faces drawn from them: a mixture of averages, in a shape of its own.

How they are made, and of whose pictures: `flowedit/weights/average_faces/card.json`, `examples/average_faces`.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import require
from flowedit.face.landmarks import INNER_LOWER, INNER_UPPER
from flowedit.face.regions import face_distance, smoothstep
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.warp import count_folds, warp_by_torch
from flowedit.photo import photo as images
from flowedit.transform.transfer import border_points, plate, plate_system

FOLDER = Path(__file__).parents[1] / "weights" / "average_faces"
CARD, SHAPES = "card.json", "shapes.safetensors"
LATTICE = 128  # points along a side that a warp is computed on
LEAD = 0.55  # least share of one average in a mixture: more alike, and all drawn faces are the same
FARTHEST = 1.5  # deviations that a shape goes along each of its components: farther, faces become caricatures
PARTED = (0.5, 1.6)  # how far apart a shape's lips may be, in how far the average's are: nothing is between or behind
SHRUNK = 0.8  # of its way, that a shape which would fold the picture goes, again and again
FACE = (-0.5, 0.0)  # interocular distances from the outline: where a face gives way to the hair of one average
JOIN = 0.2  # interocular distances within which that takes the face's color


class AverageFace(NamedTuple):
    """Averages of people of one age and sex, aligned to one shape.

    Attributes:
        pictures: (k, 3, S, S) in [0, 1], each of a few of the people.
        landmarks: (68, 2) in all of them, crop coordinates.
        components: (m, 68, 2), how the people's shapes differ: principal components, each one deviation long.
    """

    pictures: Tensor
    landmarks: Tensor
    components: Tensor


@functools.lru_cache(maxsize=2)
def load_average(name: str) -> AverageFace:
    """Read the averages of an age and sex, such as "old woman", out of the package.

    Raises:
        ValueError: no such average.
        RuntimeError: a file is missing.
    """
    from safetensors.torch import load_file

    names = average_names()
    require(name in names, f"average must be one of {', '.join(names)}; got {name!r}")
    files = sorted(FOLDER.glob(f"{name.replace(' ', '_')}_*.webp"))
    require(bool(files) and (FOLDER / SHAPES).is_file(), f"{FOLDER} must be whole: reinstall flowedit", RuntimeError)
    shapes = load_file(FOLDER / SHAPES)
    pictures = torch.cat([images.load(path).tensor() for path in files])
    return AverageFace(pictures, shapes[f"{name}.landmarks"].double(), shapes[f"{name}.components"].double())


@functools.lru_cache(maxsize=1)
def average_names() -> tuple[str, ...]:
    """Return the names of the averages that are shipped.

    Raises:
        RuntimeError: their card is missing.
    """
    path = FOLDER / CARD
    require(path.is_file(), f"{path} must exist; got no such file: reinstall flowedit", RuntimeError)
    return tuple(json.loads(path.read_text(encoding="utf-8"))["averages"])


def draw_face(average: AverageFace, number: int, generator: torch.Generator) -> np.ndarray:
    """Draw a face: hair, neck and background of one average, a face mixed of all, and a shape among the people's.

    Args:
        average: of `load_average`.
        number: faces of successive numbers have the hair of different averages, and then all again in a mirror.
        generator: of the mixture and the shape.

    Returns:
        (S, S, 3) uint8.
    """
    pictures, landmarks, components = average
    k = len(pictures)
    shares = -torch.rand(k, generator=generator, dtype=torch.float64).clamp_min(1e-9).log()
    shares = (1 - LEAD) * shares / shares.sum()
    lead = number % k
    shares[lead] += LEAD
    along = torch.randn(len(components), generator=generator, dtype=torch.float64).clamp(-FARTHEST, FARTHEST)
    face = torch.einsum("k,kchw->chw", shares.float(), pictures)[None]
    joined = join(pictures[lead : lead + 1], face, landmarks)
    coord = shape_shift(landmarks, components, along, joined.shape[-1])
    drawn = warp_by_torch(joined, Offsets(coord, torch.zeros_like(joined))).clamp(0, 1)[0]
    if number // k % 2:
        drawn = drawn.flip(-1)
    return (255 * drawn).round().byte().permute(1, 2, 0).numpy()


def join(around: Tensor, face: Tensor, landmarks: Tensor) -> Tensor:
    """Put the face of one picture into another, whose colors about it follow the face's.

    Args:
        around: (1, 3, S, S) hair, neck and background.
        face: (1, 3, S, S).
        landmarks: (68, 2) of both, crop coordinates.
    """
    side = around.shape[-1]
    weight = face_weight(landmarks, side, FACE)
    eyes = float((landmarks[36:42].mean(0) - landmarks[42:48].mean(0)).norm()) * side / 2
    small = [F.adaptive_avg_pool2d(each, LATTICE) for each in ((face - around) * weight, weight)]
    sigma = JOIN * eyes * LATTICE / side
    shift, full = (_blur(each, sigma) for each in small)
    shift = F.interpolate(shift / full.clamp_min(0.1), size=(side, side), mode="bilinear", align_corners=False)
    return torch.lerp(around + shift, face, weight)


def face_weight(landmarks: Tensor, side: int, edge: tuple[float, float]) -> Tensor:
    """Return where a face is: (1, 1, side, side), falling from 1 to 0 between two distances of its outline.

    Args:
        landmarks: (68, 2) crop coordinates.
        side: pixels.
        edge: interocular distances, negative inside.
    """
    distance = face_distance(pixel_centers(side, dtype=torch.float64), landmarks)
    return smoothstep(distance, *edge).float()[None, None]


def shape_shift(landmarks: Tensor, components: Tensor, along: Tensor, side: int) -> Tensor:
    """Return where a picture of a shape is read from (1, 2, side, side), as far along its components as nothing folds.

    Args:
        landmarks: (68, 2) crop coordinates.
        components: (m, 68, 2).
        along: (m,) deviations.
        side: pixels.
    """
    while True:
        shape = part_lips(landmarks, landmarks + torch.einsum("m,mij->ij", along, components))
        coord = bending(landmarks, shape, side)
        if count_folds(coord) == 0:
            return coord
        along = SHRUNK * along


def part_lips(start: Tensor, end: Tensor) -> Tensor:
    """Keep the inner borders of a shape's lips PARTED as they are in another: they would cross, or open on nothing.

    Args:
        start, end: (68, 2) crop coordinates.
    """
    end, upper, lower = end.clone(), list(INNER_UPPER), list(INNER_LOWER)
    middle, before = (end[upper] + end[lower]) / 2, start[lower] - start[upper]
    parted = end[lower, 1] - end[upper, 1]
    half = torch.stack([before[:, 0], parted.clamp(PARTED[0] * before[:, 1], PARTED[1] * before[:, 1])], 1) / 2
    end[upper], end[lower] = middle - half, middle + half
    return end


def bend(picture: Tensor, start: Tensor, end: Tensor) -> Tensor:
    """Warp a crop (1, 3, S, S) by the `bending` of landmarks."""
    return warp_by_torch(picture, Offsets(bending(start, end, picture.shape[-1]), torch.zeros_like(picture)))


def bending(start: Tensor, end: Tensor, side: int) -> Tensor:
    """Return coordinate offsets (1, 2, side, side) that carry landmarks, by a thin plate that is held at the border.

    Args:
        start: (68, 2) in crop coordinates.
        end: (68, 2), where they go.
        side: pixels.
    """
    border = border_points()
    anchors = torch.cat([end.double(), border])
    shifts = torch.cat([(start - end).double(), torch.zeros_like(border)])
    weights = torch.linalg.solve(plate_system(anchors, 0.0), torch.cat([shifts, shifts.new_zeros(3, 2)]))
    points, n = pixel_centers(LATTICE, dtype=torch.float64).reshape(-1, 2), len(anchors)
    shift = plate(points, anchors) @ weights[:n] + weights[n] + points @ weights[n + 1 :]
    coord = shift.T.reshape(1, 2, LATTICE, LATTICE).float()
    return F.interpolate(coord, size=(side, side), mode="bicubic", align_corners=False)


def _blur(picture: Tensor, sigma: float) -> Tensor:
    """Blur (1, c, n, n) by a Gaussian, sigma in pixels; the border repeats."""
    n = picture.shape[-1]
    x = torch.arange(n, dtype=torch.float32)
    kernel = torch.exp(-0.5 * ((x[:, None] - x) / sigma) ** 2)
    kernel = kernel / kernel.sum(1, keepdim=True)
    return kernel @ picture @ kernel.T
