"""Transfer: what is done at a landmark is done at the other face's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from flowedit.face.crop import Crop
from flowedit.face.part_tint import PartTint
from flowedit.field.hashgrid import HashField
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.photo.photo import load
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transfer import (
    LEAST_AREA,
    OUTER,
    STIFFNESS,
    _plate_map,
    bend_grid,
    carry_field,
    carry_transform,
    scale_transform,
)
from flowedit.transform.transforms import FieldTransform


def face(mouth_y=0.4, mouth_half=0.2):
    """68 landmarks, symmetric, with the mouth where it is asked for."""
    marks = torch.zeros(68, 2)
    angle = torch.linspace(0, math.pi, 17)
    marks[:17] = torch.stack([-0.55 * angle.cos(), 0.1 + 0.6 * angle.sin()], -1)
    for sign, brow, eye in ((-1, slice(17, 22), slice(36, 42)), (1, slice(22, 27), slice(42, 48))):
        marks[brow] = torch.stack([sign * torch.linspace(0.15, 0.4, 5), torch.full((5,), -0.35)], -1)
        turn = torch.linspace(0, 2 * math.pi, 7)[:-1]
        marks[eye] = torch.stack([sign * 0.27 + 0.08 * turn.cos(), -0.2 + 0.03 * turn.sin()], -1)
    marks[27:31] = torch.stack([torch.zeros(4), torch.linspace(-0.2, 0.1, 4)], -1)
    marks[31:36] = torch.stack([torch.linspace(-0.1, 0.1, 5), torch.full((5,), 0.15)], -1)
    turn = torch.linspace(math.pi, 3 * math.pi, 13)[:-1]
    marks[48:60] = torch.stack([mouth_half * turn.cos(), mouth_y + 0.06 * turn.sin()], -1)
    marks[60:68] = marks[[48, 50, 51, 52, 54, 56, 57, 58]]
    return marks


def bump(place, size=0.1, **rest):
    """Move by (0.02, -0.04), and redden by 0.05, what lies around a place."""
    field = RasterField(32, 32, max_shift=0.1, max_tint=0.2, **rest)
    weight = torch.exp(-(pixel_centers(32) - place).square().sum(-1) / (2 * size**2))
    with torch.no_grad():
        field.coord.copy_(torch.stack([0.02 * weight, -0.04 * weight]))
        field.color[0] = 0.05 * weight
    return field


def strongest(field):
    coord, _ = field.on_grid(128)
    k = coord[0].norm(dim=0).flatten().argmax()
    return pixel_centers(128).reshape(-1, 2)[k], coord[0].flatten(1)[:, k]


HERE, THERE = face(), face(mouth_y=0.5, mouth_half=0.28)


def test_a_field_follows_the_landmarks():
    corner = HERE[54]
    carried = carry_field(bump(corner), HERE, THERE)
    place, move = strongest(carried)
    assert torch.allclose(place, THERE[54], atol=0.04) and (place - corner).norm() > 0.08
    assert move[0] > 0 > move[1]
    color = carried.at_points(THERE[54][None])[1][0]
    assert color[0] > 0.035 and color[1:].abs().max() < 1e-3
    still = carried.at_points(THERE[[0, 8, 16]])[0]
    assert still.abs().max() < 1e-3


def test_a_shift_turns_and_stretches_with_the_face():
    wide = carry_field(bump(HERE[51], size=0.3), HERE, face(mouth_half=0.3))
    narrow = carry_field(bump(HERE[51], size=0.3), HERE, face(mouth_half=0.12))
    at = torch.tensor([[0.0, 0.4]])
    assert wide.at_points(at)[0][0, 0] > 1.1 * 0.02 > 0.02 > 1.1 * narrow.at_points(at)[0][0, 0]


@pytest.mark.parametrize("diffeomorphic", [False, True])
@pytest.mark.parametrize("kind", ["raster", "hash"])
def test_the_same_face_gives_the_same_field(kind, diffeomorphic):
    if kind == "raster":
        field = bump(torch.tensor([0.1, 0.2]), diffeomorphic=diffeomorphic)
    else:
        field = HashField(n_levels=3, n_coord_levels=2, diffeomorphic=diffeomorphic)
        with torch.no_grad():
            for parameter in field.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    same = carry_field(field, HERE, HERE)
    assert same.diffeomorphic == diffeomorphic
    inner = (pixel_centers(32).reshape(-1, 2) * 0.8).contiguous()
    for a, b in zip(field.at_points(inner), same.at_points(inner), strict=True):
        most = float(a.detach().abs().max())
        assert most > 0.01 and torch.allclose(a, b, atol=0.03 * most)


def test_colors_of_the_parts_come_along_and_masks_are_drawn_anew():
    part_tint = PartTint(torch.zeros(5, 128, 128, dtype=torch.uint8), torch.eye(3).repeat(5, 1, 1), 0.15)
    with torch.no_grad():
        part_tint.amounts[0] = torch.tensor([0.05, 0.0, 0.0])
    matrix = torch.tensor([[60.0, 0, 64], [0, 60.0, 64]], dtype=torch.float64)
    photo = load(torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0)))
    transform = FieldTransform(RasterField(8, 8), Crop(matrix, HERE), part_tint=part_tint)
    carried = carry_transform(transform, photo, Crop(matrix, THERE), "landmarks").part_tint
    lips = carried.masks[0].float()
    middle = (pixel_centers(128) * lips[..., None]).sum((0, 1)) / lips.sum()
    assert middle[1] == pytest.approx(0.5, abs=0.05)
    assert torch.allclose(carried.colors(), part_tint.colors()) and part_tint.colors().any()


MATRIX = torch.tensor([[60.0, 0, 64], [0, 60.0, 64]], dtype=torch.float64)


def in_light(light, gray=False):
    """A noisy photo whose bright places have a share of the light."""
    pixels = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0))
    pixels = pixels[:1].repeat(3, 1, 1) if gray else pixels
    pixels[:, :40] = 1
    return load(0.6 * light * pixels)


def reddening(kind=RasterField, crop=None, **rest):
    """Redden the lips as a whole, and a cheek by the field, in full light."""
    part_tint = PartTint(torch.full((5, 128, 128), 255, dtype=torch.uint8), torch.eye(3).repeat(5, 1, 1), 0.15)
    field = bump(HERE[54])
    if kind is HashField:
        field = HashField(n_levels=3, n_coord_levels=2)
        with torch.no_grad():
            for parameter in field.parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        part_tint.amounts[0] = torch.tensor([0.05, 0.0, 0.0])
    return FieldTransform(field, crop or Crop(MATRIX, HERE), part_tint=part_tint, **rest)


@pytest.mark.parametrize("kind", [RasterField, HashField])
@pytest.mark.parametrize("by", ["landmarks", "frame"])
@torch.no_grad()
def test_a_tint_goes_by_the_light_of_the_other_photo(kind, by):
    leaf = reddening(kind)
    full, dim = (carry_transform(leaf, in_light(light), Crop(MATRIX, HERE), by) for light in (1.0, 0.25))
    assert full.light == 1 and dim.light == pytest.approx(0.25, abs=0.01)
    places = (pixel_centers(16).reshape(-1, 2) * 0.8).contiguous()
    (shift, color), (dim_shift, dim_color) = (each.field.at_points(places) for each in (full, dim))
    assert color.abs().max() > 0.005 and torch.allclose(dim_shift, shift, atol=2e-3)
    assert torch.allclose(dim_color, dim.light * color, atol=0.02 * float(color.abs().max()))
    assert torch.allclose(dim.part_tint.colors(), dim.light * full.part_tint.colors(), atol=1e-6)
    brighter = carry_transform(dim, in_light(1.0), Crop(MATRIX, HERE), by)  # no more than it was found with
    assert torch.allclose(brighter.part_tint.colors(), dim.part_tint.colors())
    darker = carry_transform(dim, in_light(0.05), Crop(MATRIX, HERE), by)
    assert torch.allclose(darker.part_tint.colors(), darker.light * full.part_tint.colors(), atol=1e-6)
    assert darker.light == pytest.approx(0.05, abs=0.01)


@pytest.mark.parametrize("landmarks", [HERE, None], ids=["face", "whole"])
@pytest.mark.parametrize("by", ["landmarks", "frame"])
def test_a_gray_photo_stays_gray_under_an_edit_of_another(by, landmarks):
    photo, crop = in_light(1.0, gray=True), Crop(MATRIX, landmarks)
    carried = carry_transform(reddening(crop=crop), photo, crop, by)
    made = EditedPhoto(photo, [carried]).pixels().astype(int)
    assert np.ptp(made, axis=-1).max() <= 1 and (made != photo.pixels).any()
    colored = EditedPhoto(in_light(1.0), [reddening(crop=crop)]).pixels().astype(int) - in_light(1.0).pixels
    assert np.ptp(colored, axis=-1).max() > 5


def test_by_frame_the_field_stays_where_it_is_in_the_crop():
    matrix = torch.tensor([[60.0, 0, 64], [0, 60.0, 64]], dtype=torch.float64)
    photo = load(torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0)))
    layer = FieldTransform(bump(HERE[54]), Crop(matrix, HERE), region="mouth")
    carried = carry_transform(layer, photo, Crop(matrix, THERE), "frame")
    assert carried.field is layer.field and carried.mask is not None
    bent = carry_transform(layer, photo, Crop(matrix, THERE), "landmarks")
    assert (strongest(bent.field)[0] - strongest(layer.field)[0]).norm() > 0.08


def test_the_slope_of_the_map_is_its_own():
    turned = HERE @ torch.tensor([[0.98, 0.2], [-0.2, 0.98]])
    places, slope = bend_grid(turned[OUTER].double(), HERE[OUTER].double(), 128)
    across, down = (places[1:-1, 2:] - places[1:-1, :-2]) * 32, (places[2:, 1:-1] - places[:-2, 1:-1]) * 32
    by_hand = torch.stack([across, down], -1)  # (..., axis, along x and y)
    assert torch.allclose(by_hand, slope[1:-1, 1:-1], atol=0.02)
    assert (slope[..., 0, 1] - slope[..., 1, 0]).abs().max() > 0.3  # or a transposed one would pass


def _points(marks):
    """What a map to HERE is drawn through, without the border."""
    return marks[OUTER].double(), (HERE - marks)[OUTER].double()


def test_a_tearing_map_is_stiffened():
    torn = THERE.clone()
    torn[48:68] -= torch.tensor([0.0, 0.9])  # a mouth on the forehead
    first = _plate_map(*_points(torn), STIFFNESS[0], pixel_centers(32, dtype=torch.float64).reshape(-1, 2))[1]
    assert torch.linalg.det(first).min() < 0  # the softest plate folds
    _, slope = bend_grid(torn[OUTER].double(), HERE[OUTER].double(), 32)
    assert torch.linalg.det(slope).min() > LEAST_AREA
    mirrored = HERE * torch.tensor([-1.0, 1.0])
    places, slope = bend_grid(mirrored[OUTER].double(), HERE[OUTER].double(), 32)
    assert torch.equal(places, pixel_centers(32, dtype=torch.float64)) and torch.equal(
        slope[3, 4], torch.eye(2).double()
    )
    carried = carry_field(bump(HERE[54]), HERE, torn)
    assert all(bool(torch.isfinite(value).all()) for value in carried.state_dict().values())
    assert carried.on_grid(64).coord.abs().max() < 0.2


def test_a_layer_is_scaled_with_its_picture():
    matrix = torch.tensor([[30.0, 0, 40], [0, 30.0, 25]], dtype=torch.float64)
    mask = torch.zeros(50, 80)
    mask[:, 40:] = 1
    photo = load(torch.zeros(3, 100, 160))
    scaled = scale_transform(FieldTransform(bump(HERE[54]), Crop(matrix), hard_mask=mask.numpy()), 2.0, photo)
    assert torch.equal(scaled.crop.matrix, 2 * matrix)
    assert scaled.hard_mask.shape == (100, 160) and scaled.hard_mask[:, :78].max() == 0 < scaled.hard_mask[:, 82:].min()
