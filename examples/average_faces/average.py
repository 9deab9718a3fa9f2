"""Averages of faces that were warped to one shape, with as much fine structure as each of them has."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from examples.faceclip.regions import MIRROR
from flowedit.fit.averages import bend, face_weight, join

from .sources import Face

LEVELS = 5  # octaves of fine structure that are raised, from a pixel on
MOST_GAIN = 2.2  # that a band is raised by: more shows single people
FACE = (-0.25, 0.1)  # interocular distances from the outline up to which that is done
AROUND_PX = 1.0  # blur of what most have, whose edges are uneven
HEAD = (0.8, 1.3)  # up to the first nothing is blurred, from the second on all
CALM_PX = 24.0  # deviation of that blur
SHIFTS = 2  # steps from the median towards the mode: more is a patchwork
LIKE, LIKE_PX = 0.25, 1.5  # difference of colors that look alike, image units, and the blur that they are compared at


def symmetric(shapes: Tensor) -> Tensor:
    """Average shapes (..., 68, 2) with their mirror images: a turned head is no shape."""
    mirrored = shapes[..., MIRROR, :] * shapes.new_tensor([-1.0, 1.0])
    return (shapes + mirrored) / 2


def align(faces: Sequence[Face]) -> tuple[Tensor, Tensor]:
    """Warp faces to their mean shape.

    Returns:
        (n, 3, S, S) pictures, and the faces' own shapes (n, 68, 2), symmetric, whose mean that is.
    """
    shapes = symmetric(torch.stack([face.landmarks for face in faces]))
    mean = shapes.mean(0)
    return torch.stack([bend(face.picture[None], face.landmarks, mean)[0] for face in faces]), shapes


def even_light(pictures: Tensor, skin: Tensor, share: float) -> Tensor:
    """Bring the skin's mean color and contrast in each picture (n, 3, S, S) a share of the way to what all have.

    Args:
        pictures: of `align`.
        skin: (S, S) weights.
        share: 0 leaves all as it is.
    """
    skin = skin / skin.sum()
    mean = (pictures * skin).sum((-2, -1), keepdim=True)
    deviation = ((pictures - mean).square() * skin).sum((-3, -2, -1), keepdim=True).sqrt()
    gain = (deviation.mean(0) / deviation) ** share
    return (pictures - mean) * gain + mean + share * (mean.mean(0) - mean)


def group(pictures: Tensor, n: int, least: int) -> list[list[int]]:
    """Sort faces by what they differ most in, and cut the row into n groups, which overlap where faces are few.

    Args:
        pictures: (N, 3, S, S) aligned.
        n: groups.
        least: faces in each.

    Returns:
        The faces of each group, from the darkest group to the lightest.
    """
    small = F.adaptive_avg_pool2d(pictures[..., : pictures.shape[-2] * 3 // 4, :], 24).flatten(1).double()
    small = small - small.mean(0)
    score = small @ torch.linalg.svd(small, full_matrices=False).Vh[0]
    score = score * torch.sign((score * small.mean(1)).sum())
    order, size = score.argsort().tolist(), max(least, -(-len(score) // n))
    starts = [round(k * (len(order) - size) / max(1, n - 1)) for k in range(n)]
    return [sorted(order[start : start + size]) for start in starts]


def components(shapes: Tensor, n: int) -> Tensor:
    """Return the n principal components of shapes (N, 68, 2), each one standard deviation long: (n, 68, 2)."""
    away = (shapes - shapes.mean(0)).flatten(1)
    _, size, axes = torch.linalg.svd(away, full_matrices=False)
    axes = axes[:n] * torch.sign(axes[:n].gather(1, axes[:n].abs().argmax(1, keepdim=True)))  # svd leaves signs open
    return (size[:n, None] / (len(shapes) - 1) ** 0.5 * axes).reshape(-1, *shapes.shape[1:])


def average(pictures: Tensor, landmarks: Tensor, hair: Tensor | None = None) -> Tensor:
    """Average aligned pictures (n, 3, S, S) of several people, whose landmarks are (68, 2): the face, and around it.

    In the face a mean is clear, and its fine structure is raised to what each one has (`raise_detail`); it is averaged
    with its mirror image too, since the light comes from one side. Hair, ears and background meet nowhere, and their
    mean is a veil: there it is what most have (`mode`), or `hair`, one aligned picture (1, 3, S, S); the background is
    blurred.
    """
    side = pictures.shape[-1]
    mean = raise_detail(pictures, face_weight(landmarks, side, FACE)[0, 0])
    around = blur(mode(pictures), AROUND_PX) if hair is None else hair
    around = torch.lerp(blur(around, CALM_PX), around, face_weight(landmarks, side, HEAD))
    return join(around, mean, landmarks)[0].clamp(0, 1)


def mode(pictures: Tensor) -> Tensor:
    """Return of each place the mean of the pictures that look alike there: (1, 3, S, S).

    A mean whose weights fall with the distance from it in color, from the median on (mean shift); of blurred pictures,
    so that neighbors take the same ones.
    """
    coarse = blur(pictures, LIKE_PX)
    center = coarse.median(0, keepdim=True).values
    for _ in range(SHIFTS):
        weights = torch.exp(-(coarse - center).square().sum(1, keepdim=True) / (2 * LIKE**2)) + 1e-6
        weights = weights / weights.sum(0)
        center = (weights * coarse).sum(0, keepdim=True)
    return (weights * pictures).sum(0, keepdim=True)


def raise_detail(pictures: Tensor, where: Tensor) -> Tensor:
    """Average pictures and their mirror images, and raise the mean's fine structure to the strength that each has.

    A mean of pictures has less fine structure than each of them, since lines do not meet. In each octave it is raised
    where it lies, by the ratio of local magnitudes (Tiddeman, Burt and Perrett, "Prototyping and transforming facial
    textures", 2001): nobody's own lines are put in.

    Args:
        pictures: (n, 3, S, S), aligned.
        where: (S, S) in [0, 1], how much of that is done.

    Returns:
        (1, 3, S, S).
    """
    mean = _mirror_mean(pictures.mean(0, keepdim=True))
    raised = torch.zeros_like(mean)
    for level in range(LEVELS):
        sigma = 2.0**level
        coarser, coarser_mean = blur(pictures, sigma), blur(mean, sigma)
        power = _mirror_mean((pictures - coarser).square().mean((0, 1), keepdim=True))
        band = mean - coarser_mean
        least = band.square().mean(1, keepdim=True)
        gain = (blur(power, 4 * sigma) / blur(least, 4 * sigma).clamp_min(1e-8)).sqrt().clamp(1, MOST_GAIN)
        raised += band * (1 + where * (gain - 1))
        pictures, mean = coarser, coarser_mean
    return raised + mean


def _mirror_mean(pictures: Tensor) -> Tensor:
    return (pictures + pictures.flip(-1)) / 2


def blur(pictures: Tensor, sigma: float) -> Tensor:
    """Blur (n, c, S, S) by a Gaussian, sigma in pixels; the border repeats."""
    from scipy.ndimage import gaussian_filter

    return torch.from_numpy(gaussian_filter(pictures.numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=3.0))
