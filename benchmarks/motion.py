"""A still photo filmed by a camera that moves in a known way."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

FPS = 25.0


class Motion(NamedTuple):
    """What a camera does at a time, or does to a frame.

    Attributes:
        shift: of the picture's middle, frame pixels, x before y.
        angle: of the picture, degrees, clockwise.
        scale: on top of the picture's own.
        gain: of the light.
        blur: standard deviation, frame pixels.
        noise: standard deviation, of 255.
    """

    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    scale: float = 1.0
    gain: float = 1.0
    blur: float = 0.0
    noise: float = 0.0


class Shot(NamedTuple):
    """A frame, and the truth about it.

    Attributes:
        pixels: (H, W, 3) uint8.
        clean: the same without noise.
        matrix: (2, 3) float64; frame = matrix[:, :2] @ photo + matrix[:, 2], continuous pixels.
        time: seconds.
    """

    pixels: np.ndarray
    clean: np.ndarray
    matrix: Tensor
    time: float

    def carry(self, points: Tensor) -> Tensor:
        """Carry (..., 2) photo pixels to the frame."""
        return points.double() @ self.matrix[:, :2].T + self.matrix[:, 2]


def film(
    picture: np.ndarray,
    move: Callable[[float], Motion],
    *,
    frames: int,
    size: tuple[int, int] = (480, 640),
    scale: float = 1.0,
    center: tuple[float, float] | None = None,
    fps: float = FPS,
    seed: int = 0,
) -> Iterator[Shot]:
    """Film a picture.

    Args:
        picture: (h, w, 3) uint8; its border repeats.
        move: the camera at a time.
        frames: how many.
        size: (height, width) of a frame.
        scale: frame pixels for each of the picture, before the camera moves; best not above 1.
        center: place of the picture, its pixels, that the camera looks at; None is its middle.
        fps: frames a second.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    source = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float()
    if scale < 1:
        small = [max(1, round(n * scale)) for n in source.shape[2:]]
        source = F.interpolate(source, small, mode="bilinear", antialias=True)
    rows, columns = source.shape[2] / picture.shape[0], source.shape[3] / picture.shape[1]
    middle = center or (picture.shape[1] / 2, picture.shape[0] / 2)
    height, width = size
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    for k in range(frames):
        time = k / fps
        motion = move(time)
        turn, s = math.radians(motion.angle), scale * motion.scale
        linear = s * torch.tensor(
            [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]], dtype=torch.float64
        )
        at = torch.tensor([width / 2, height / 2], dtype=torch.float64) + torch.tensor(motion.shift).double()
        matrix = torch.cat([linear, (at - linear @ torch.tensor(middle, dtype=torch.float64))[:, None]], 1)
        points = (torch.stack([x, y], -1).double() - matrix[:, 2]) @ torch.linalg.inv(linear).T
        extent = torch.tensor([source.shape[3] / columns, source.shape[2] / rows]).double()
        grid = (2 * points / extent - 1).float()[None]
        image = F.grid_sample(source, grid, mode="bicubic", padding_mode="border", align_corners=False)
        if motion.blur:
            image = _blur(image, motion.blur)
        image = image[0].permute(1, 2, 0) * motion.gain
        noise = motion.noise * torch.randn(image.shape, generator=generator)
        clean, pixels = (each.round().clamp(0, 255).byte().contiguous().numpy() for each in (image, image + noise))
        yield Shot(pixels, clean, matrix, time)


def wave(time: float, seconds: float, phase: float = 0.0) -> float:
    """Return a sine of that period, from 0 on; its phase in turns."""
    return math.sin(2 * math.pi * (time / seconds + phase))


def _blur(image: Tensor, deviation: float) -> Tensor:
    reach = max(1, math.ceil(3 * deviation))
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / deviation) ** 2)
    line = (line / line.sum()).expand(3, 1, 1, -1)
    image = F.conv2d(F.pad(image, (reach, reach, 0, 0), mode="replicate"), line, groups=3)
    return F.conv2d(F.pad(image, (0, 0, reach, reach), mode="replicate"), line.transpose(2, 3), groups=3)
