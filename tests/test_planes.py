"""Pixels as planes: the same bits as dividing, whatever the way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowedit.kernels import available, planes

BACKENDS = available("cpu", "planes")


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (33, 70)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_planes_are_pixels_over_what_stands_for_one(backend, size, dtype):
    rng = np.random.default_rng(0)
    most = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = (rng.random((*size, 3)) * most).astype(dtype)
    expected = pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(most)
    found = planes(torch.from_numpy(pixels), backend)
    assert found.shape == (1, 3, *size) and found.is_contiguous() and np.array_equal(found[0].numpy(), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_part_of_a_picture_and_every_value(backend, dtype):
    whole = np.iinfo(dtype).max
    pixels = np.linspace(0, whole, 300 * 300 * 3).astype(dtype).reshape(300, 300, 3)
    for part in (pixels[3:200, 10:77], pixels[::-1, ::2], pixels[..., ::-1]):
        expected = part.transpose(2, 0, 1).astype(np.float32) / np.float32(whole)
        assert np.array_equal(planes(torch.from_numpy(part.copy()), backend)[0].numpy(), expected)
    inside = torch.from_numpy(pixels)[3:200, 10:77]
    assert torch.equal(planes(inside, backend), planes(inside.contiguous(), "torch"))


def test_planes_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"pixels must be \(h, w, 3\) of .*; got \(3, 4, 4\) of torch.uint8"):
        planes(torch.zeros(3, 4, 4, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"got \(4, 4, 3\) of torch.int32"):
        planes(torch.zeros(4, 4, 3, dtype=torch.int32))
