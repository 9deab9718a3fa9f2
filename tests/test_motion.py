"""Motion: what moves mean alone, added, one after another, undone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from flowedit.face.crop import Crop, whole_crop
from flowedit.face.part_tint import PartTint
from flowedit.field.hashgrid import HashField
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.field.warp import window
from flowedit.photo.photo import load
from flowedit.transform import evaluate as evaluation
from flowedit.transform.evaluate import evaluate, place_in_crop
from flowedit.transform.render import EditedPhoto, render
from flowedit.transform.transforms import (
    Composition,
    FieldTransform,
    Inverse,
    bounding_box,
    find_crops,
    inverse,
    leaves,
    map_leaves,
)

HEIGHT, WIDTH = 120, 150


def smooth_photo():
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32) / 12
    return load(np.stack([np.sin(x + y), np.cos(x - 2 * y), np.sin(x)], -1) * 0.3 + 0.5)


def crop_at(x, y, half_px, degrees=17.0):
    c, s = half_px * math.cos(math.radians(degrees)), half_px * math.sin(math.radians(degrees))
    return Crop(torch.tensor([[c, -s, x], [s, c, y]], dtype=torch.float64), None)


def layer_of(seed, crop=None, kind=RasterField, size=0.02, **rest):
    """A gentle random field, without folds."""
    field = kind(6, 6, max_tint=0.2) if kind is RasterField else HashField(max_tint=0.2, n_levels=3, n_coord_levels=2)
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter += size * torch.randn(parameter.shape, generator=source)
    return FieldTransform(field, crop or crop_at(70, 60, 50), **rest)


A, B, C = layer_of(1), layer_of(2, crop_at(85, 55, 45, -10.0)), layer_of(3, kind=HashField, size=0.15)
PHOTO = smooth_photo()


def bind(transform):
    bound = evaluation.bind([transform])
    return lambda x, y: evaluate(bound, x, y)


def points(n=400):
    source = torch.Generator().manual_seed(0)
    low = torch.rand(2, n, generator=source, dtype=torch.float64)
    return low[0] * WIDTH, low[1] * HEIGHT


def test_offsets_at_places_are_those_of_the_grid():
    x, y = torch.arange(20, 90).double() + 0.5, torch.arange(30, 80).double()[:, None] + 0.5
    for move in (A, C, Composition(((A,), (B, C))), Inverse((A,))):
        placed = bind(move)
        grid = placed(x, y)
        assert grid.shape == (5, 50, 70) and grid[:2].abs().max() > 0.5
        spread_y, spread_x = torch.broadcast_tensors(y, x)
        assert torch.equal(placed(spread_x.flatten(), spread_y.flatten()).reshape(5, 50, 70), grid)
        one = placed(x[7:8], y[9])
        assert torch.equal(one, grid[:, 9, 7:8])


def painted(seed, follows=True, **rest):
    """A layer that moves nothing, and colors what is left of the crop's middle."""
    masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
    masks[..., :32] = 255
    tint = PartTint(masks, torch.eye(3)[None], 0.2, follows)
    with torch.no_grad():
        tint.amounts.copy_(0.1 * torch.rand(1, 3, generator=torch.Generator().manual_seed(seed)))
    return FieldTransform(RasterField(6, 6, max_tint=0.2), A.crop, part_tint=tint, **rest)


def test_paint_goes_with_what_it_lies_on():
    paint = painted(1)
    still, (x, y) = evaluation.bind([paint]), points()
    for moves in ([A], [B, A], [replace(A, strength=-2.0)]):
        together = evaluate(evaluation.bind([paint, *moves]), x, y)
        alone = evaluate(evaluation.bind(moves), x, y)
        there = evaluate(still, x + alone[0], y + alone[1])
        assert torch.equal(together[:2], alone[:2]) and alone[:2].abs().max() > 0.5
        inside = (evaluate(still, x, y)[2:] != 0).any(0) & (there[2:] != 0).any(0)  # the window goes with the place
        share = (together - alone)[2:] / window(torch.stack(place_in_crop(A.crop, x, y), -1))
        moved = there[2:] / window(torch.stack(place_in_crop(A.crop, x + alone[0], y + alone[1]), -1))
        torch.testing.assert_close(share[:, inside], moved[:, inside], rtol=1e-3, atol=1e-4)
        stays = evaluate(evaluation.bind([painted(1, follows=False), *moves]), x, y)  # as in edits of old files
        torch.testing.assert_close((stays - alone)[2:], evaluate(still, x, y)[2:])
        assert (together - stays).abs().max() > 0.02


def test_paint_with_its_contrary_is_none():
    moved = replace(A, part_tint=painted(1).part_tint)
    both = evaluation.bind([moved, B, replace(moved, strength=-1.0)])
    torch.testing.assert_close(evaluate(both, *points()), bind(B)(*points()), rtol=0, atol=1e-6)


def test_a_chain_reads_what_was_moved_before():
    # Photo, then A, then B: result(p) = once(p + shift_b(p)) + tint_b(p), with once(q) = photo(q + shift_a(q)) + ...
    x, y = points()
    b = bind(B)(x, y)
    a = bind(A)(x + b[0], y + b[1])
    both = bind(Composition(((A,), (B,))))(x, y)
    assert torch.allclose(both, a + b, atol=1e-5) and not torch.allclose(both, bind(A)(x, y) + b, atol=1e-2)
    other = bind(Composition(((B,), (A,))))(x, y)
    assert (other - both).abs().max() > 0.01  # order matters
    assert torch.allclose(bind(Composition(((A,), (B,)), 0.5))(x, y), 0.5 * both, atol=1e-6)


def test_a_chain_renders_as_two_renderings_do():
    once = render(PHOTO, [A])
    twice = render(load(once.clamp(0, 1)), [B])
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    error = (render(PHOTO, [Composition(((A,), (B,)))]) - twice)[inner].abs()
    assert error.max() < 0.03 and error.mean() < 5e-4  # what the second interpolation blurs


@pytest.mark.parametrize(
    "moves",
    [(A,), (A, B), (C,), (Composition(((A,), (B,))),), (replace(A, part_tint=painted(2).part_tint),)],
    ids=["one", "sum", "hash", "chain", "paint"],
)
def test_undoing_leads_back(moves):
    x, y = points()
    there = sum(bind(move)(x, y) for move in moves)
    back = bind(Inverse(moves))(x + there[0], y + there[1])
    # The content at p + shift is seen at p, so at q = p + shift the way back is the contrary.
    assert torch.allclose(back, -there, atol=3e-3) and there[:2].abs().max() > 0.3
    unmade = bind(Composition((moves, (Inverse(moves),))))(x, y)
    assert unmade[:2].abs().max() < 5e-3 and unmade[2:].abs().max() < 1e-3


def test_undoing_a_diffeomorphic_field_leads_back():
    field = RasterField(6, 6, diffeomorphic=True)
    with torch.no_grad():
        field.coord += 0.04 * torch.randn(field.coord.shape, generator=torch.Generator().manual_seed(1))
    layer = FieldTransform(field, A.crop)
    x, y = points()
    assert bind(Composition(((layer,), (Inverse((layer,)),))))(x, y).abs().max() < 5e-3


def test_a_steep_field_is_undone_too():
    field = RasterField(24, 24, max_shift=0.3)
    x, y = pixel_centers(24).unbind(-1)
    with torch.no_grad():
        field.coord[0] = 1.6 * x * torch.exp(-(x**2 + y**2) / 0.18)  # a step further right reads 2.6 further
    layer = FieldTransform(field, whole_crop(PHOTO))
    at = points()
    assert EditedPhoto(None, [layer]).offsets(layer.crop, 64).coord.diff(dim=-1).max() > 1.4 * 2 / 64
    assert bind(Composition(((layer,), inverse((layer,)))))(*at)[:2].abs().max() < 5e-3


def test_what_is_undone_twice_is_itself():
    chain = Composition(((A,), (B, C)))
    assert inverse(inverse((chain,)))[0].stages == chain.stages
    assert inverse(inverse((A, B))) == (A, B)


def test_where_nothing_may_change_nothing_does():
    mask = np.zeros((HEIGHT, WIDTH), np.float32)
    mask[40:80, 40:100] = 1
    masked = [replace(layer, hard_mask=mask) for layer in (A, B)]
    kept = torch.from_numpy(mask == 0)
    for moves in ([Composition(((masked[0],), (masked[1],)))], [Inverse((masked[0],))], masked):
        out = render(PHOTO, moves)
        assert torch.equal(out[..., kept], PHOTO.tensor()[..., kept])
        assert not torch.equal(out, PHOTO.tensor())
        assert torch.equal(render(PHOTO, moves, shape=0.0, color=0.0), PHOTO.tensor())


@pytest.mark.parametrize("tile", [17, 64])
def test_tiles_change_no_bit(tile):
    moves = [Composition(((A,), (B,))), Inverse((C,), 0.5)]
    assert torch.equal(render(PHOTO, moves, tile=tile), render(PHOTO, moves))


def test_what_is_done_over_a_crop_is_told_in_its_coordinates():
    crop = crop_at(70, 60, 50, 25.0)
    coord, color = EditedPhoto(None, [A, B]).offsets(crop, 16)
    px, py = crop.to_photo(pixel_centers(16, dtype=torch.float64)).unbind(-1)
    found = bind(A)(px, py) + bind(B)(px, py)
    linear = crop.matrix[:, :2].float()
    assert torch.allclose(torch.einsum("ij,jhw->ihw", linear, coord[0]), found[:2], atol=1e-5)
    assert torch.allclose(color[0], found[2:], atol=1e-6)
    assert torch.allclose(EditedPhoto(None, [A, B], 0.25).offsets(crop, 16).coord, 0.25 * coord, atol=1e-7)


def test_layers_and_crops_are_found_and_changed():
    tree = [Composition(((A,), (B, Inverse((C,))))), A]
    assert list(leaves(tree)) == [A, B, C, A]
    assert find_crops(tree) == [A.crop, B.crop]  # C lies over A's
    doubled = map_leaves(tree, lambda layer: replace(layer, strength=2.0))
    assert [layer.strength for layer in leaves(doubled)] == [2.0] * 4
    assert bounding_box(find_crops(tree[:1]), HEIGHT, WIDTH) == tuple(
        f(a, b)
        for f, a, b in zip((min, min, max, max), A.crop.box(HEIGHT, WIDTH), B.crop.box(HEIGHT, WIDTH), strict=True)
    )


MAKE = {
    "chain": lambda s: Composition(((A,),), s),
    "undo": lambda s: Inverse((A,), s),
    "layer": lambda s: layer_of(1, strength=s),
}


@pytest.mark.parametrize("make", MAKE.values(), ids=MAKE)
def test_a_strength_must_be_finite(make):
    with pytest.raises(ValueError, match="strength must be finite; got nan"):
        make(math.nan)


def test_a_whole_crop_serves_too():
    layer = FieldTransform(A.field, whole_crop(PHOTO))
    assert render(PHOTO, [Composition(((layer,), (Inverse((layer,)),)))]).sub(PHOTO.tensor()).abs().max() < 2e-3


FLOW = replace(A, field=RasterField(6, 6, max_tint=0.2, diffeomorphic=True))
FLOW.field.load_state_dict({name: 2.5 * value for name, value in A.field.state_dict().items()})
OTHER = replace(FLOW, field=RasterField(6, 6, diffeomorphic=True))
OTHER.field.load_state_dict({name: 2.5 * value.flip(-1) for name, value in A.field.state_dict().items()})


def scaled(transform, factor):
    return replace(transform, strength=factor)


def test_velocities_over_one_crop_add_as_velocities_do():
    assert torch.equal(render(PHOTO, [FLOW, scaled(FLOW, -1.0)]), PHOTO.tensor())
    one = render(PHOTO, [FLOW])
    assert (one - PHOTO.tensor()).abs().max() > 0.1
    assert (render(PHOTO, [FLOW, OTHER, scaled(OTHER, -1.0)]) - one).abs().max() < 1e-5
    assert torch.equal(render(PHOTO, [FLOW, OTHER]), render(PHOTO, [OTHER, FLOW]))
    assert torch.equal(render(PHOTO, [FLOW, scaled(OTHER, 0.0)]), one)
    assert (render(PHOTO, [FLOW, FLOW], color=0.0) - render(PHOTO, [scaled(FLOW, 2.0)], color=0.0)).abs().max() < 1e-6
    moved = replace(FLOW, field=RasterField(6, 6, max_tint=0.0, diffeomorphic=True))
    moved.field.load_state_dict(FLOW.field.state_dict())
    twice = render(PHOTO, [Composition(((moved,), (moved,)))])
    assert (render(PHOTO, [moved, moved]) - twice).abs().max() < 2e-3


def test_parts_of_a_velocity_make_the_whole():
    half = torch.zeros(1, 1, 64, 64)
    half[..., :32] = 1
    parts = [replace(FLOW, mask=mask) for mask in (half, 1 - half)]
    assert (render(PHOTO, parts) - render(PHOTO, [FLOW])).abs().max() < 1e-5
    kept = render(PHOTO, parts[:1]) == PHOTO.tensor()
    assert 0.3 < kept.float().mean() < 0.95


@pytest.mark.parametrize("moves", [(FLOW, B), (Composition(((A,), (C,))),), (Inverse((A,)),)])
def test_threads_change_no_bit(moves):
    edited, before = EditedPhoto(PHOTO, moves, 0.8), torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append((edited.tensor(), *edited.offsets(A.crop, 256), edited.crop_image(A.crop, 256)))
    finally:
        torch.set_num_threads(before)
    assert all(map(torch.equal, *results))
