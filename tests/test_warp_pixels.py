"""`warp_pixels`: a frame's square moved and tinted, whole numbers in and out."""

from __future__ import annotations

import pytest
import torch

from flowedit.kernels import Interpolation, available, sample, warp_pixels
from flowedit.kernels.warp_pixels import reference
from tests.judging import bits_by_threads, generator

BACKENDS = available("cpu", "warp_pixels")
DTYPES = [torch.uint8, torch.uint16]


def picture(height, width, dtype=torch.uint8):
    most = 255 if dtype is torch.uint8 else 65535
    return torch.randint(0, most + 1, (height, width, 3), generator=generator(), dtype=torch.int32).to(dtype)


def offsets(n, m, pixels=3.0, tint=0.05):
    values = 2 * torch.rand(5, n, m, generator=generator(1)) - 1
    return values * torch.tensor([pixels, pixels, tint, tint, tint])[:, None, None]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (40, 61)])
def test_nothing_is_changed_by_nothing(size, dtype, backend):
    pixels = picture(*size, dtype)
    made = warp_pixels(pixels, torch.zeros(5, 2, 3), (0, 0, *size), 4, backend)
    assert made.dtype is dtype and torch.equal(made.int(), pixels.int())


@pytest.mark.parametrize("backend", BACKENDS)
def test_positive_x_reads_from_the_right_and_tint_adds(backend):
    pixels = torch.zeros(5, 6, 3, dtype=torch.uint8)
    pixels[2, 4] = torch.tensor([90, 60, 30], dtype=torch.uint8)
    lattice = torch.zeros(5, 1, 1)
    lattice[0], lattice[2] = 1.0, 10 / 255
    made = warp_pixels(pixels, lattice, (1, 2, 5, 6), 8, backend)
    assert made[1, 1].tolist() == [100, 60, 30] and made[0, 0].tolist() == [10, 0, 0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_offsets_are_linear_between_nodes_at_pixel_centers(backend):
    row = torch.arange(0, 240, 4, dtype=torch.uint8).expand(9, -1)
    pixels = torch.stack([row] * 3, -1).contiguous()
    lattice = torch.zeros(5, 2, 2)
    lattice[0, :, 1] = 4.0  # pixels at the node 4 pixels on
    made = warp_pixels(pixels, lattice, (2, 20, 7, 25), 4, backend)
    assert (made[0, :, 0].int() - row[0, 20:25].int()).tolist() == [0, 4, 8, 12, 16]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("box", [(0, 0, 23, 31), (3, 5, 20, 9), (22, 30, 23, 31)])
def test_it_agrees_with_the_reference_in_double_precision(box, dtype, backend):
    pixels, step = picture(23, 31, dtype), 3
    lattice = offsets((box[2] - box[0]) // step + 1, (box[3] - box[1]) // step + 2, pixels=9.0)
    size = box[2] - box[0], box[3] - box[1]
    exact = reference.warp_pixels(pixels, lattice.double(), *box[:2], *size, step).int()
    made = warp_pixels(pixels, lattice, box, step, backend).int()
    assert (made - exact).abs().max() <= 1 and (made != exact).float().mean() < 0.05


def test_it_reads_as_sample_does():
    pixels = picture(20, 20)
    lattice = torch.tensor([0.3, -1.6, 0, 0, 0])[:, None, None]
    made = warp_pixels(pixels, lattice, (6, 7, 7, 8), 1)
    read = sample(pixels.permute(2, 0, 1).float(), torch.tensor([7.3]), torch.tensor([4.4]), Interpolation.CATMULL_ROM)
    assert made.flatten().tolist() == read.round().clamp(0, 255).flatten().int().tolist()


def test_the_number_of_threads_changes_nothing():
    pixels, lattice = picture(90, 80), offsets(24, 22)
    runs = bits_by_threads(lambda: [warp_pixels(pixels, lattice, (0, 0, 90, 80), 4)])
    assert all(torch.equal(runs[0][0], run[0]) for run in runs)


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"uint8 or uint16; got .* torch\.float32"):
        warp_pixels(torch.zeros(4, 4, 3), torch.zeros(5, 1, 1), (0, 0, 4, 4), 1)
    with pytest.raises(ValueError, match=r"shape \(5, n, m\)"):
        warp_pixels(picture(4, 4), torch.zeros(4, 1, 1), (0, 0, 4, 4), 1)
    with pytest.raises(ValueError, match="box must lie in the picture"):
        warp_pixels(picture(4, 4), torch.zeros(5, 1, 1), (0, 0, 5, 4), 1)
