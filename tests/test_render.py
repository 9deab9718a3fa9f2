"""Render: exact where nothing is done, the same bits in any tiles, at any size."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch

from flowedit.face.crop import KEPT, Crop, extract, whole_crop
from flowedit.field.hashgrid import HashField
from flowedit.field.raster import RasterField
from flowedit.photo.photo import load, quantize
from flowedit.transform.render import EditedPhoto, render
from flowedit.transform.transforms import FieldTransform


def photo_of(height, width, dtype=np.uint8, seed=0):
    """Make a noisy photo: any interpolation shows."""
    random = np.random.default_rng(seed)
    if dtype == np.float32:
        return load(random.random((height, width, 3), np.float32))
    return load(random.integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True))


def smooth_photo(height, width):
    y, x = np.mgrid[:height, :width].astype(np.float32) / 20
    return load(np.stack([np.sin(x + y), np.cos(x - 2 * y), np.sin(x) * y / y.max()], -1) * 0.5 + 0.5)


def crop_at(x, y, half_px, degrees=17.0):
    c, s = half_px * math.cos(math.radians(degrees)), half_px * math.sin(math.radians(degrees))
    return Crop(torch.tensor([[c, -s, x], [s, c, y]], dtype=torch.float64), None)


def strong(field):
    """Fill a field with large random offsets."""
    source = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in field.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=source)
    return field


FIELDS = {
    "raster": strong(RasterField()),
    "hash": strong(HashField()),
    "diffeomorphic": strong(RasterField(diffeomorphic=True)),
    "diffeomorphic hash": strong(HashField(diffeomorphic=True)),
}
every_field = pytest.mark.parametrize("field", FIELDS.values(), ids=FIELDS)


def outside(crop, height, width):
    """Mark the pixels whose centre is not in the crop, by the crop's own transform."""
    y, x = np.mgrid[:height, :width] + 0.5
    local = crop.to_crop(torch.from_numpy(np.stack([x, y], -1)))
    return (local.abs() >= 1 + 1e-9).any(-1).numpy()


# --- exactness


@every_field
@pytest.mark.parametrize("size", [(33, 33), (101, 57), (5, 999)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_strength_zero_is_the_photo(field, size, dtype):
    photo = photo_of(*size, dtype)
    crop = whole_crop(photo)
    none = render(photo, [FieldTransform(field, crop)], shape=0.0, color=0.0)
    assert torch.equal(none, photo.tensor())
    assert torch.equal(render(photo, [FieldTransform(field, crop, strength=0.0)]), photo.tensor())
    assert torch.equal(render(photo, []), photo.tensor())
    assert np.array_equal(quantize(none, photo.pixels.dtype), photo.pixels)
    assert not torch.equal(render(photo, [FieldTransform(field, crop)]), photo.tensor())


def test_strength_zero_is_the_photo_at_6000_px():
    photo = photo_of(401, 6000)
    out = render(photo, [FieldTransform(FIELDS["raster"], crop_at(5500, 200, 400), strength=0.0)])
    assert np.array_equal(quantize(out, photo.pixels.dtype), photo.pixels)


def test_a_new_field_is_the_photo():
    photo = photo_of(90, 110)
    for field in (RasterField(), HashField(), RasterField(diffeomorphic=True)):
        assert torch.equal(render(photo, [FieldTransform(field, whole_crop(photo))]), photo.tensor())


@every_field
def test_outside_the_crop_every_bit_is_kept(field):
    photo = photo_of(150, 201)
    crop = crop_at(120.3, 80.9, 47.3)
    out = quantize(render(photo, [FieldTransform(field, crop, strength=1.5)]), np.dtype(np.uint8))
    kept = outside(crop, 150, 201)
    assert kept.any() and np.array_equal(out[kept], photo.pixels[kept])
    assert (out != photo.pixels)[~kept].mean() > 0.5


@every_field
def test_where_a_hard_mask_is_zero_every_bit_is_kept(field):
    photo = photo_of(120, 131)
    mask = np.zeros((120, 131), np.float32)
    mask[30:70, 50:95] = 1
    mask[70:75, 50:95] = 0.5
    out = quantize(render(photo, [FieldTransform(field, crop_at(65, 60, 50), hard_mask=mask)]), np.dtype(np.uint8))
    kept = mask == 0
    assert np.array_equal(out[kept], photo.pixels[kept])
    assert (out != photo.pixels)[~kept].mean() > 0.8


def test_a_soft_hard_mask_weighs_the_tint():
    photo = load(np.full((50, 60, 3), 128, np.uint8))
    field, crop = strong(RasterField(max_tint=0.05)), whole_crop(photo)
    whole = render(photo, [FieldTransform(field, crop)]) - photo.tensor()
    mask = np.full((50, 60), 0.25, np.float32)
    mask[:, 30:] = 0.75
    soft = render(photo, [FieldTransform(field, crop, hard_mask=mask)]) - photo.tensor()
    torch.testing.assert_close(soft, whole * torch.from_numpy(mask), atol=1e-6, rtol=0)


@every_field
def test_where_the_crops_mask_is_zero_nothing_moves(field):
    photo = photo_of(200, 200)
    mask = torch.zeros(1, 1, 50, 50)
    mask[..., 30:40, 10:20] = 1
    crop = crop_at(100, 100, 100, 0.0)  # a mask pixel is 4 photo pixels wide
    changed = (render(photo, [FieldTransform(field, crop, mask=mask)]) != photo.tensor()).any(1)[0]
    assert changed[125:155, 45:75].float().mean() > 0.9
    changed[112:168, 32:88] = False
    assert not changed.any()


def test_an_area_that_is_only_moved_or_only_tinted():
    photo = smooth_photo(80, 80)
    layer = FieldTransform(FIELDS["raster"], whole_crop(photo))
    both = render(photo, [layer])
    moved, tinted = render(photo, [layer], color=0.0), render(photo, [layer], shape=0.0)
    inner = (moved > 0.2) & (moved < 0.8) & (tinted > 0) & (tinted < 1)
    torch.testing.assert_close((both - moved)[inner], (tinted - photo.tensor())[inner], atol=1e-5, rtol=0)
    assert not torch.equal(moved, photo.tensor()) and not torch.equal(tinted, photo.tensor())


def test_the_result_is_within_range():
    photo = load(np.tile(np.array([0, 255], np.uint8), (40, 20))[..., None].repeat(3, -1))
    out = render(photo, [FieldTransform(FIELDS["raster"], whole_crop(photo), strength=3.0)])
    assert out.min() >= 0 and out.max() <= 1 and out.dtype == torch.float32


# --- what is done


def test_strength_scales_the_tint_linearly():
    photo = load(np.full((40, 40, 3), 128, np.uint8))
    layer = FieldTransform(strong(RasterField(max_tint=0.05)), whole_crop(photo))
    whole = render(photo, [layer]) - photo.tensor()
    half = render(photo, [FieldTransform(layer.field, layer.crop, strength=0.5)]) - photo.tensor()
    torch.testing.assert_close(half, whole / 2, atol=1e-6, rtol=0)
    torch.testing.assert_close(render(photo, [layer], color=0.5) - photo.tensor(), half, atol=1e-6, rtol=0)


def test_shape_is_layer_strength_times_shape():
    photo = smooth_photo(70, 90)
    field, crop = FIELDS["diffeomorphic"], crop_at(45, 35, 30)
    a = render(photo, [FieldTransform(field, crop, strength=0.5)], shape=0.8, color=0.0)
    b = render(photo, [FieldTransform(field, crop, strength=0.8)], shape=0.5, color=0.0)
    assert torch.equal(a, b)


def test_a_field_moves_the_same_in_a_photo_of_twice_the_size():
    small, large = smooth_photo(100, 120), smooth_photo(200, 240)
    large = load(
        np.ascontiguousarray(
            torch.nn.functional.interpolate(small.tensor(), scale_factor=2, mode="bicubic", align_corners=False)[0]
            .clamp(0, 1)
            .permute(1, 2, 0)
            .numpy()
        )
    )
    for field in FIELDS.values():
        a = render(small, [FieldTransform(field, crop_at(60, 50, 45))])
        b = render(large, [FieldTransform(field, crop_at(120, 100, 90))])
        reduced = torch.nn.functional.avg_pool2d(b, 2)
        assert (a - reduced)[..., 2:-2, 2:-2].abs().max() < 0.03 < 0.1 < (a - small.tensor()).abs().max()


def test_layers_add_where_crops_overlap():
    photo = load(np.full((60, 100, 3), 128, np.uint8))
    field = strong(RasterField(max_tint=0.05))
    first, second = FieldTransform(field, crop_at(40, 30, 25)), FieldTransform(field, crop_at(60, 30, 25, -5.0))
    alone = [render(photo, [layer]) - photo.tensor() for layer in (first, second)]
    both = render(photo, [first, second]) - photo.tensor()
    assert (alone[0] * alone[1]).any()
    torch.testing.assert_close(both, alone[0] + alone[1], atol=1e-6, rtol=0)


def test_a_crop_beyond_the_photo_changes_nothing_and_one_across_its_border_works():
    photo = photo_of(50, 60)
    assert torch.equal(render(photo, [FieldTransform(FIELDS["raster"], crop_at(500, 20, 30))]), photo.tensor())
    across = render(photo, [FieldTransform(FIELDS["raster"], crop_at(0, 0, 30))])
    assert (across != photo.tensor())[..., :15, :15].float().mean() > 0.9


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (20, 2000)])
def test_thin_photos_render(size):
    photo = photo_of(*size)
    out = render(photo, [FieldTransform(FIELDS["raster"], whole_crop(photo))])
    assert out.shape == (1, 3, *size) and torch.isfinite(out).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_each_depth_is_edited_alike(dtype):
    base = smooth_photo(60, 60)
    top = 1 if dtype == np.float32 else np.iinfo(dtype).max
    pixels = base.pixels if dtype == np.float32 else (base.pixels * top).round().astype(dtype)
    layer = FieldTransform(FIELDS["raster"], crop_at(30, 30, 28))
    assert (render(load(pixels), [layer]) - render(base, [layer])).abs().max() < 1.5 / 255


# --- tiles, determinism, memory


@every_field
@pytest.mark.parametrize("tile", [1, 37, 256])
def test_bits_do_not_depend_on_the_tiles(field, tile):
    height, width = (14, 11) if tile == 1 else (300, 270)
    photo = photo_of(height, width)
    mask = torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    hard = np.random.default_rng(1).random((height, width), np.float32)
    layers = [
        FieldTransform(field, crop_at(width * 0.5, height * 0.4, width * 0.4), mask=mask),
        FieldTransform(field, crop_at(width * 0.6, height * 0.5, width * 0.3, -40.0), hard_mask=hard, strength=0.7),
    ]
    whole = render(photo, layers, tile=4096)
    assert torch.equal(render(photo, layers, tile=tile), whole)
    box = (height // 7, width // 5, height - 3, width - 2)
    part = render(photo, layers, tile=tile, box=box)
    assert torch.equal(part, whole[..., box[0] : box[2], box[1] : box[3]])


@every_field
def test_rendering_twice_gives_the_same_bits_on_any_number_of_threads(field):
    photo = photo_of(80, 90)
    results, before = [], torch.get_num_threads()
    for threads in (1, 2, 2):
        torch.set_num_threads(threads)
        try:
            results.append(render(photo, [FieldTransform(field, crop_at(45, 40, 40))]))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[1], results[2])


def test_a_24_megapixel_photo_renders_within_one_and_a_half_gigabytes(tmp_path):
    child = """
        import resource, sys
        import numpy as np, torch
        from flowedit.face.crop import Crop
        from flowedit.field.hashgrid import HashField
        from flowedit.photo.photo import load, quantize
        from flowedit.transform.transforms import FieldTransform
        from flowedit.transform.render import EditedPhoto, render

        pixels = np.arange(4000 * 6000 * 3, dtype=np.uint32).astype(np.uint8).reshape(4000, 6000, 3)
        photo = load(pixels)
        del pixels
        field = HashField()
        with torch.no_grad():
            for parameter in field.parameters():
                parameter += 0.05
        matrix = [[700.0, -30.0, 3100.0], [30.0, 700.0, 2000.0]]  # over several tiles
        crop = Crop(torch.tensor(matrix, dtype=torch.float64), None)
        out = render(photo, [FieldTransform(field, crop)], tile=1024)
        assert out.shape == (1, 3, 4000, 6000)
        assert np.array_equal(quantize(out[:, :, :600], np.dtype(np.uint8)), photo.pixels[:600])
        edited = quantize(out[:, :, 2000:2100], np.dtype(np.uint8))
        assert not np.array_equal(edited, photo.pixels[2000:2100])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        status = open("/proc/self/status").read() if sys.platform == "linux" else ""
        if "VmHWM" in status:  # of this process alone: the other one begins with its parent's
            peak = int(status.split("VmHWM:")[1].split()[0])
        print(peak * (1 if sys.platform == "darwin" else 1024))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(child)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1.5 * 2**30


# --- errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": math.nan}, "shape and color must be finite; got nan"),
        ({"color": math.inf}, "shape and color must be finite"),
        ({"tile": 0}, "tile must be at least 1 pixel; got 0"),
        (
            {"box": (0, 0, 41, 30)},
            r"box \(top, .* must lie in the 40 x 30 photo; got \(0, 0, 41, 30\)",
        ),
        ({"box": (5, 5, 5, 9)}, "box .* must lie in"),
    ],
)
def test_render_says_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        render(photo_of(40, 30), [], **options)


def test_wrong_masks_are_refused():
    photo = photo_of(40, 30)
    field, crop = FIELDS["raster"], whole_crop(photo)
    with pytest.raises(ValueError, match=r"hard_mask must have the photo's shape \(40, 30\); got \(30, 40\)"):
        render(photo, [FieldTransform(field, crop, hard_mask=np.ones((30, 40), np.float32))])
    with pytest.raises(ValueError, match=r"hard_mask must be an .* float32 array"):
        FieldTransform(field, crop, hard_mask=np.ones((40, 30), np.uint8))
    with pytest.raises(ValueError, match=r"hard_mask must be in \[0, 1\]"):
        FieldTransform(field, crop, hard_mask=np.full((40, 30), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"mask must have shape \(1, 1, m, m\); got Tensor of shape \(1, 1, 3, 4\)"):
        FieldTransform(field, crop, mask=torch.ones(1, 1, 3, 4))
    with pytest.raises(ValueError, match=r"mask must be in \[0, 1\]"):
        FieldTransform(field, crop, mask=torch.full((1, 1, 3, 3), 1.5))
    with pytest.raises(ValueError, match="strength must be finite"):
        FieldTransform(field, crop, strength=math.inf)


# --- alpha


def cut_out(alpha):
    """A gray disc's left half, visible as `alpha` says; what it hides is black."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = 180
    pixels[..., 3] = alpha
    return load(pixels)


def moved_right(pixels=6.0, **rest):
    """A field that reads some pixels to the right in the middle of a 64-pixel photo."""
    field = RasterField(4, 4, max_shift=0.4)
    with torch.no_grad():
        field.coord[0] = 2 * pixels / 64
    return FieldTransform(field, crop_at(32, 32, 64), **rest)


def test_nothing_hidden_is_moved_into_view():
    alpha = np.zeros((64, 64), np.uint8)
    alpha[:, :32] = 255
    photo = cut_out(alpha)
    mask = np.ones((64, 64), np.float32)
    mask[:16] = 0
    edited = EditedPhoto(photo, [moved_right(hard_mask=mask)])
    out = edited.rgba()
    assert (out[out[..., 3] > 0][:, :3] >= 179).all()  # nothing black
    assert (out[28:36, :, 3] > 127).sum(1).max() < 30  # the edge has moved with the colors
    assert np.array_equal(out[:16], np.dstack([photo.pixels, photo.alpha])[:16])
    assert np.array_equal(edited.pixels(), out[..., :3])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opaque_alpha_changes_no_bit(dtype):
    color = photo_of(64, 64, dtype).pixels
    top = np.iinfo(dtype).max
    plain = EditedPhoto(load(color), [moved_right()]).rgba(dtype)
    opaque = EditedPhoto(load(np.dstack([color, np.full((64, 64), top, dtype)])), [moved_right()]).rgba(dtype)
    assert np.array_equal(opaque[..., :3], plain) and (opaque[..., 3] == top).all()
    one_hole = np.full((64, 64), top, dtype)
    one_hole[0, 0] = 0  # far away, in the same tile
    partly = EditedPhoto(load(np.dstack([color, one_hole])), [moved_right()]).rgba(dtype)
    assert np.array_equal(partly[8:, 8:, :3], plain[8:, 8:]) and (partly[8:, 8:, 3] == top).all()


def test_strength_zero_and_a_tint_keep_alpha():
    photo = cut_out(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    assert np.array_equal(EditedPhoto(photo, [moved_right()], 0.0).rgba()[..., 3], photo.alpha)
    field = RasterField(4, 4)
    with torch.no_grad():
        field.color.fill_(0.3)
    tinted = EditedPhoto(photo, [FieldTransform(field, crop_at(32, 32, 64))]).rgba()
    assert np.array_equal(tinted[..., 3], photo.alpha) and not np.array_equal(tinted[..., :3], photo.pixels)


def test_an_edit_is_looked_at_without_kornia(monkeypatch):
    monkeypatch.setitem(sys.modules, "kornia.geometry.transform", None)  # an import raises
    photo = photo_of(30, 40)
    edited = EditedPhoto(photo, (FieldTransform(FIELDS["raster"], whole_crop(photo)),))
    assert not torch.equal(edited.crop_image(edited.crops()[0], 16), edited.unedited(edited.crops()[0], 16))


def test_a_small_crop_is_read_once_for_all_edits_of_a_photo():
    photo = load(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    crop = whole_crop(photo)
    first = EditedPhoto(photo, ()).unedited(crop, 32)
    assert EditedPhoto(photo, ()).unedited(crop, 32) is first and torch.equal(first, extract(photo, crop, 32))
    other = load(photo.pixels[::-1].copy())
    assert not torch.equal(EditedPhoto(other, ()).unedited(crop, 32), first)
    for size in range(33, 33 + KEPT):
        EditedPhoto(photo, ()).unedited(crop, size)
    again = EditedPhoto(photo, ()).unedited(crop, 32)
    assert again is not first and torch.equal(again, first)
    assert EditedPhoto(photo, ()).unedited(crop, 300) is not EditedPhoto(photo, ()).unedited(crop, 300)
