"""The conventions of docs/conventions.md, pinned by lopsided pictures: symmetric ones tell nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from flowedit.face.crop import Crop
from flowedit.field.hashgrid import HashField
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.raster import RasterField
from flowedit.field.warp import warp
from flowedit.photo.photo import load
from flowedit.transform.render import render
from flowedit.transform.transforms import FieldTransform


def dot(row, column, height=5, width=7):
    """Make a black picture with one white pixel."""
    image = torch.zeros(1, 3, height, width)
    image[..., row, column] = 1
    return image


def brightest(image):
    return divmod(int(image[0, 0].argmax()), image.shape[3])


# --- warp


def test_positive_x_reads_from_the_right():
    field = Offsets.zeros(1, 5, 7)
    field.coord[:, 0] = 2 / 7  # one pixel of seven
    assert brightest(warp(dot(2, 4), field)) == (2, 3)


def test_positive_y_reads_from_below():
    field = Offsets.zeros(1, 5, 7)
    field.coord[:, 1] = 2 / 5  # one pixel of five
    assert brightest(warp(dot(2, 4), field)) == (1, 4)


@pytest.mark.parametrize("width", [1, 5, 8, 1023])
def test_a_whole_pixel_is_two_over_the_width(width):
    image = torch.rand(1, 3, 4, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    field = Offsets(torch.zeros(1, 2, 4, width).double(), torch.zeros(1, 3, 4, width).double())
    field.coord[:, 0] = 2 / width
    expected = torch.cat([image[..., 1:], image[..., -1:]], dim=-1)  # the border pixel repeats
    torch.testing.assert_close(warp(image, field), expected, rtol=0, atol=1e-9)


def test_half_a_pixel_is_the_mean_of_two():
    image = torch.arange(6.0).square().expand(1, 3, 3, 6) / 25
    field = Offsets.zeros(1, 3, 6)
    field.coord[:, 0] = 1 / 6
    expected = torch.tensor([0.5, 2.5, 6.5, 12.5, 20.5, 25.0]) / 25
    torch.testing.assert_close(warp(image, field), expected.expand(1, 3, 3, 6))


def test_the_tint_is_added_where_it_is_written_after_the_move():
    field = Offsets.zeros(1, 5, 7)
    field.coord[:, 0] = 2 / 7
    field.color[0, 1, 0, 6] = 0.25  # green, top right
    out = warp(torch.zeros(1, 3, 5, 7), field)
    assert out[0, 1, 0, 6] == 0.25 and out.sum() == 0.25


def test_pixel_centres_are_edge_to_edge_x_before_y():
    grid = pixel_centers(4)
    assert grid.shape == (4, 4, 2)
    assert grid[0, :, 0].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert grid[:, 0, 1].tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert (grid[0, :, 1] == -0.75).all()


# --- field


def test_a_fields_first_channel_is_x_and_its_last_axis_runs_along_x():
    field = RasterField(coord_size=8)
    with torch.no_grad():
        field.coord[0, 2, 6] = 0.05  # x, third row, seventh column
    coord = field.on_grid(64).coord
    assert not coord[0, 1].any() and (coord >= 0).all()
    row, column = divmod(int(coord[0, 0].argmax()), 64)
    assert row in (19, 20) and column in (51, 52)  # around (2 + 1/2) * 8 and (6 + 1/2) * 8
    points = torch.tensor([[(2 * 6 + 1) / 8 - 1, (2 * 2 + 1) / 8 - 1], [(2 * 2 + 1) / 8 - 1, (2 * 6 + 1) / 8 - 1]])
    here, mirrored = field.at_points(points)[0][:, 0].tolist()
    assert here > 0.02 and mirrored == 0


def test_hash_lattice_rows_run_along_y():
    field = HashField(n_levels=2, n_coord_levels=1)
    with torch.no_grad():
        field.color[-1].weight.normal_(generator=torch.Generator().manual_seed(1))
    color = field.on_grid(16).color
    point = pixel_centers(16)[3, 11]  # row 3, column 11
    torch.testing.assert_close(field.at_points(point[None])[1][0], color[0, :, 3, 11])
    assert not torch.allclose(color[0, :, 3, 11], color[0, :, 11, 3])


# --- render


def constant_field(x=0.0, y=0.0, tint=(0.0, 0.0, 0.0)):
    """Make a field that is the same everywhere, in crop coordinates and image units."""
    field = RasterField(coord_size=1, color_size=1, max_shift=0.5, max_tint=1.0).double()
    with torch.no_grad():
        field.coord.copy_(torch.tensor([x, y]).double().atanh().reshape(2, 1, 1))
        field.color.copy_(torch.tensor(tint).double().atanh().reshape(3, 1, 1))
    return field


def turned_crop(degrees, half_px, x, y):
    """Make a crop whose x axis points `degrees` clockwise from the photo's, as seen on screen."""
    c, s = half_px * math.cos(math.radians(degrees)), half_px * math.sin(math.radians(degrees))
    return Crop(torch.tensor([[c, -s, x], [s, c, y]], dtype=torch.float64), None)


@pytest.mark.parametrize(
    ("degrees", "source"),
    [(0, (30, 43)), (90, (33, 40)), (180, (30, 37)), (-90, (27, 40))],
)
def test_a_shift_along_the_crops_x_reads_along_its_x_in_the_photo(degrees, source):
    pixels = np.zeros((61, 81, 3), np.uint8)
    pixels[source] = 255
    crop = turned_crop(degrees, 20.0, 40.5, 30.5)  # centred on the centre of pixel (30, 40)
    out = render(load(pixels), [FieldTransform(constant_field(x=3 / 20), crop)])
    assert brightest(out) == (30, 40)
    assert out[0, 0, 30, 40] > 0.999


def test_a_photo_rendered_at_its_crops_size_is_the_warp_of_that_crop():
    size = 48
    x = torch.linspace(0, 1, size)
    picture = torch.stack([x.expand(size, size), x[:, None].expand(size, size), (x[:, None] * x)])
    field = RasterField(coord_size=4, max_shift=0.1)
    with torch.no_grad():
        field.coord.copy_(torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(3)) * 0.1)
    crop = turned_crop(0, size / 2, size / 2, size / 2)
    out = render(load(picture), [FieldTransform(field, crop)])
    expected = warp(picture[None], field.on_grid(size))
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))  # where the window is one
    assert (out - expected)[inner].abs().max() < 1e-3 < 1e-2 < (expected - picture)[inner].abs().max()


def test_the_tint_is_red_green_blue_in_the_photos_frame():
    pixels = np.full((20, 30, 3), 100, np.uint8)
    out = render(load(pixels), [FieldTransform(constant_field(tint=(0.2, 0.0, -0.1)), turned_crop(30, 8, 15, 10))])
    delta = out[0, :, 10, 15] - 100 / 255
    torch.testing.assert_close(delta, torch.tensor([0.2, 0.0, -0.1]), rtol=0, atol=1e-6)
