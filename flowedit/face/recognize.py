"""dlib's face recognition network on torch, with the weights that dlib's package brings: the same numbers, sooner."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

CHIP_PX = 150  # side of the upright face that the network is shown
MEAN = 122.782, 117.001, 104.298  # of red, green and blue, that dlib takes off
SCALE = 256.0
LEVELS = (32, 3, 1), (64, 4, 2), (128, 3, 2), (256, 3, 2), (256, 1, 2)  # channels, blocks, stride of the first
_LAYER = re.compile(rb"\x01\x05con_4|\x01\x07affine_|\x01\x04fc_2")  # a length of one byte, and the name of that length


class _Convolution(NamedTuple):
    weight: Tensor
    bias: Tensor
    stride: int

    def __call__(self, values: Tensor) -> Tensor:
        padding = self.weight.shape[-1] // 2 if self.stride == 1 else 0
        return F.conv2d(values, self.weight, self.bias, self.stride, padding)


class Recognizer:
    """The 29 layers of dlib's face recognition network (King 2017; after ResNet, He et al. 2016).

    dlib itself, which computes on one core and as the package was built, takes several times as long.

    Args:
        path: dlib_face_recognition_resnet_model_v1.dat.

    Raises:
        RuntimeError: the file holds another network.
    """

    def __init__(self, path: Path) -> None:
        try:
            arrays = _read_arrays(path.read_bytes())
            self._stem = _convolution(arrays[:2], 3, 32, 7, 2)
            self._blocks: list[tuple[_Convolution, _Convolution]] = []
            place, before = 2, 32
            for channels, count, stride in LEVELS:
                for k in range(count):
                    step = stride if k == 0 else 1
                    first = _convolution(arrays[place : place + 2], before, channels, 3, step)
                    second = _convolution(arrays[place + 2 : place + 4], channels, channels, 3, 1)
                    self._blocks.append((first, second))
                    place, before = place + 4, channels
            self._last = arrays[place].reshape(before, 128)
        except (ValueError, IndexError, RuntimeError) as error:
            raise RuntimeError(f"{path.name} must be dlib's face recognition network; got another: {error}") from None

    @torch.no_grad()
    def __call__(self, chips: Tensor) -> Tensor:
        """Describe whose faces these are: (n, 3, 150, 150) uint8, upright -> (n, 128) float32."""
        mean = torch.tensor(MEAN, dtype=torch.float32, device="cpu")
        values = (chips.float() - mean.reshape(1, 3, 1, 1)) / SCALE
        values = F.max_pool2d(F.relu(self._stem(values)), 3, 2)
        for first, second in self._blocks:
            skipped = values if first.stride == 1 else F.avg_pool2d(values, 2, 2)
            values = F.relu(_add(second(F.relu(first(values))), skipped))
        return values.mean((2, 3)) @ self._last


def _add(first: Tensor, second: Tensor) -> Tensor:
    """Add two tensors as dlib does: what one lacks at the end of an axis is zero."""
    shape = [max(pair) for pair in zip(first.shape, second.shape, strict=True)]

    def whole(values: Tensor) -> Tensor:
        missing = [most - own for most, own in zip(shape, values.shape, strict=True)]
        return F.pad(values, [number for most in reversed(missing[1:]) for number in (0, most)])

    return whole(first) + whole(second)


def _convolution(arrays: list[Tensor], before: int, after: int, size: int, stride: int) -> _Convolution:
    """Make one layer of a convolution and what scales and shifts its channels."""
    both, affine = arrays
    weight, bias = both.split([after * before * size * size, after])
    gain, shift = affine.reshape(2, after)
    weight = weight.reshape(after, before, size, size) * gain.reshape(-1, 1, 1, 1)
    return _Convolution(weight, bias * gain + shift, stride)


def _read_arrays(data: bytes) -> list[Tensor]:
    """Return the layers' parameters in dlib's file, which lists them from the first to the last."""
    arrays = []
    for match in _LAYER.finditer(data):
        place = match.end()
        if match.group().endswith(b"fc_2"):  # its sizes
            place = _read_whole(data, _read_whole(data, place)[1])[1]
        _, place = _read_whole(data, place)  # the version
        shape = []
        for _ in range(4):
            size, place = _read_whole(data, place)
            shape.append(size)
        arrays.append(torch.frombuffer(bytearray(data[place : place + 4 * math.prod(shape)]), dtype=torch.float32))
    return arrays


def _read_whole(data: bytes, place: int) -> tuple[int, int]:
    """Read a whole number, as many bytes as the first one says, and return it and the next place."""
    count = data[place] & 0x0F
    return int.from_bytes(data[place + 1 : place + 1 + count], "little"), place + 1 + count
