"""The identity budget: the search against a stand-in for dlib whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from flowedit.face.crop import Crop, extract, whole_crop
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.photo import photo as images
from flowedit.photo.kept import KeptWithPhoto
from flowedit.photo.photo import load
from flowedit.transform import bounds as budget
from flowedit.transform.bounds import (
    Bound,
    bound_displacement,
    bound_stretch,
    choose_strength,
    transform_weight,
)
from flowedit.transform.render import EditedPhoto, render
from flowedit.transform.transforms import FieldTransform

SIDE = 256
PHOTO = load(0.3 + 0.02 * torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)))  # rounds evenly


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """The photo of these tests has many faces."""
    monkeypatch.setattr(budget, "_BEFORE", KeptWithPhoto(64))


def tinted(tint=0.1, landmarks=True, matrix=None, **rest):
    field = RasterField(4, 4)
    with torch.no_grad():
        field.color.fill_(tint)
    matrix = whole_crop(PHOTO).matrix if matrix is None else matrix
    return FieldTransform(field, Crop(matrix, torch.zeros(68, 2) if landmarks else None), **rest)


@pytest.fixture
def brightness(monkeypatch):
    """Take the mean brightness for a face's descriptor: it grows in proportion to the strength of a tint."""
    monkeypatch.setattr(budget, "_describe", lambda face: face.mean().reshape(1))


def whole_distance(layer):
    edited = EditedPhoto(PHOTO, [layer])
    before, after = (each.crop_image(layer.crop, budget.MEASURE_PX).mean() for each in (edited.at(0.0), edited))
    return (after - before).item()


def test_within_the_budget_nothing_is_held_back(brightness):
    layer = tinted()
    chosen = choose_strength(EditedPhoto(PHOTO, [layer]), 1.0)
    assert chosen.strength == 1 and chosen.reason.startswith("whole: ")
    assert chosen.distance == pytest.approx(whole_distance(layer), abs=1e-5)


def test_where_the_face_is_lost_the_reason_says_so(monkeypatch):
    lost = float(EditedPhoto(PHOTO, [tinted()]).at(0.3).crop_image(whole_crop(PHOTO), budget.MEASURE_PX).mean())
    monkeypatch.setattr(budget, "_describe", lambda face: None if face.mean() > lost else face.mean().reshape(1))
    chosen = choose_strength(EditedPhoto(PHOTO, [tinted()]), 1.0)
    assert 0.3 - 2 * budget.LESS <= chosen.strength <= 0.3
    assert chosen.reason.startswith("held back: beyond it dlib finds no face, identity distance 0.0")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.83])
def test_held_back_to_the_largest_strength_within(brightness, share):
    layer = tinted()
    limit = share * whole_distance(layer)
    chosen = choose_strength(EditedPhoto(PHOTO, [layer]), limit)
    assert chosen.distance <= limit
    assert share - budget.LESS - 1e-3 <= chosen.strength <= share + 1e-3
    assert chosen.reason.startswith("held back: ") and f"{limit:.3g}" in chosen.reason


def test_the_worst_of_several_faces_counts(brightness):
    left, right = (torch.tensor([[64.0, 0, x], [0, 64, 128]], dtype=torch.float64) for x in (64, 192))
    weak, strong = tinted(0.02, matrix=left), tinted(0.1, matrix=right)
    limit = whole_distance(strong) / 2
    assert choose_strength(EditedPhoto(PHOTO, [weak]), limit).strength == 1
    for layers in ([weak, strong], [strong, weak]):
        assert choose_strength(EditedPhoto(PHOTO, layers), limit).strength == pytest.approx(0.5, abs=0.02)


def test_the_picture_as_it_is_saved_keeps_the_budget_too(monkeypatch):
    seen = []

    def describe(face):
        seen.append(face.mean())
        saved = bool(((face * 255).round() / 255 - face).abs().max() < 1e-3) and len(seen) > 1
        return face.mean().reshape(1) + 0.01 * saved  # a saved picture looks further away

    monkeypatch.setattr(budget, "_describe", describe)
    layer = tinted()
    limit = whole_distance(layer) / 2
    chosen = choose_strength(EditedPhoto(PHOTO, [layer]), limit)
    assert chosen.distance <= limit and 0.25 < chosen.strength < 0.5 - 2 * budget.LESS


def moved(by=0.02):
    """A layer that moves the middle of the crop; the eyes' outer corners are half the crop's side apart."""
    field = RasterField(4, 4, max_shift=0.2)
    with torch.no_grad():
        field.coord[0].fill_(by)
    points = torch.zeros(68, 2)
    points[36, 0], points[45, 0] = -0.5, 0.5
    return FieldTransform(field, Crop(whole_crop(PHOTO).matrix, points))


def test_displacement_is_told_in_percent_of_the_distance_between_the_eyes():
    bound = bound_displacement(EditedPhoto(PHOTO, [moved()]), 1.0)
    assert bound.measure(1.0) == pytest.approx(2.0, rel=0.01) and bound.measure(0.25) == pytest.approx(0.5, rel=0.01)
    both = bound_displacement(EditedPhoto(PHOTO, [moved(0.01), moved(0.03)]), 1.0)  # on one crop they add
    assert both.measure(1.0) == pytest.approx(4.0, rel=0.02)
    with pytest.raises(ValueError, match="displacement must go with a detected face"):
        bound_displacement(EditedPhoto(PHOTO, [FieldTransform(RasterField(4, 4), whole_crop(PHOTO))]), 1.0)


def drawn_out(share, axis):
    """Make the middle of the crop 1 / (1 - share) times as long along an axis: there every slope is 1 - share."""
    place = pixel_centers(64).permute(2, 0, 1)
    coord = -share * place * torch.exp(-place.square().sum(0) / 0.3)
    coord[1 - axis] = 0
    field = RasterField.from_offsets(coord, torch.zeros(3, 4, 4), 0.5, 0.1)
    return EditedPhoto(PHOTO, [FieldTransform(field, whole_crop(PHOTO))])


@pytest.mark.parametrize("axis", [0, 1])
def test_stretch_is_told_in_percent_and_only_where_it_holds_back(axis):
    edited = drawn_out(0.5, axis)
    bound = bound_stretch(edited, 100 / 3)
    assert bound.measure(1.0) == pytest.approx(100, rel=0.03) and bound.measure(0.5) == pytest.approx(100 / 3, rel=0.03)
    held = choose_strength(edited, None, [bound])
    assert held.strength == pytest.approx(0.5, abs=0.03) and held.reason.startswith("held back: stretch 3")
    assert choose_strength(edited, None, [bound_stretch(edited, 150)]).reason == "no identity budget was set"
    assert bound_stretch(drawn_out(-0.2, axis), 1.0).measure(1.0) < 25  # pressed together, and longer beside it alone
    assert bound_stretch(drawn_out(1.5, axis), 1.0).measure(1.0) > 1000  # a fold


def test_of_several_bounds_the_one_that_holds_back_is_named(brightness):
    layer = moved()

    def choose(displacement, other, identity=1.0):
        bounds = [
            bound_displacement(EditedPhoto(PHOTO, [layer]), displacement),
            Bound("other", other, lambda s: 10 * s, " apples"),
        ]
        return choose_strength(EditedPhoto(PHOTO, [layer]), identity, bounds)

    by_displacement = choose(1.0, 8.0)
    assert by_displacement.strength == pytest.approx(0.5, abs=0.02)
    assert by_displacement.reason.startswith("held back: displacement ")
    assert by_displacement.reason.endswith(" of at most 1 % of the distance between the outer eye corners")
    by_other = choose(1.0, 2.5)
    assert by_other.strength == pytest.approx(0.25, abs=0.02) and "other 2.50 of at most 2.5 apples" in by_other.reason
    assert Bound("effect", 0.249, abs).describe(0.2487, "of at most") == "effect 0.249 of at most 0.249"
    whole = choose(3.0, 12.0)
    assert whole.strength == 1 and whole.reason.startswith("whole: identity distance 0.0")
    assert "displacement 2.00 within 3 %" in whole.reason and "other 10.00 within 12 apples" in whole.reason
    alone = choose(1.0, 8.0, identity=None)
    assert alone.distance is None and alone.reason.endswith("; no identity budget was set")


@pytest.mark.parametrize("size", [16, 40, 90])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("place", [(128, 100), (20, 240)])  # and one that hangs over the corner
def test_a_crop_is_rendered_as_it_is_in_the_whole_picture(place, dtype, size):
    turned = torch.tensor([[50.0, 9, place[0]], [-9, 50, place[1]]], dtype=torch.float64)
    layers = [tinted(matrix=turned), tinted(-0.1)]
    whole = load(images.quantize(render(PHOTO, layers, shape=0.7, color=0.7), dtype))
    crop = layers[0].crop
    assert torch.equal(EditedPhoto(PHOTO, layers, 0.7).saved_crop(crop, size, dtype), extract(whole, crop, size))


def test_a_face_that_is_lost_has_lost_its_identity(monkeypatch):
    before = float(extract(PHOTO, tinted().crop, budget.MEASURE_PX).mean())
    monkeypatch.setattr(budget, "_describe", lambda face: torch.zeros(1) if face.mean() < before + 0.02 else None)
    chosen = choose_strength(EditedPhoto(PHOTO, [tinted()]), 0.35)
    assert 0 < chosen.strength < 0.5 and chosen.distance == 0


@pytest.mark.parametrize("limit", [0.02, 0.1, 0.35, 0.6, 0.999])
@pytest.mark.parametrize("power", [0.5, 1.0, 1.7])
def test_the_search_ends_where_bisection_does_and_looks_less(limit, power):
    seen = []

    def measure(strength):
        seen.append(strength)
        return strength**power * (1 + 0.2 * strength) / 1.2

    found, beyond = budget._search(Bound("any", limit, measure), 1.0, 1.0)
    grid = [k * budget.LESS for k in range(65)]
    assert found == max(s for s in grid if s == 0 or measure(s) <= limit) and beyond > limit
    assert len(seen) - len(grid) + 1 <= 4


def test_the_search_survives_jumps_and_lost_faces():
    def measure(strength):
        return float("inf") if strength > 0.6 else 0.0 if strength < 0.2 else 0.4

    for limit, least, most in ((0.5, 0.58, 0.6), (0.1, 0.18, 0.2), (0.0, 0.18, 0.2), (-1.0, 0, 0)):
        found, beyond = budget._search(Bound("any", limit, measure), 1.0, measure(1.0))
        assert least <= found <= most and beyond > limit and (found == 0 or measure(found) <= limit)


@pytest.mark.parametrize(
    ("layer", "limit", "reason"),
    [
        (tinted(), None, "no identity budget was set"),
        (tinted(landmarks=False), 0.35, "identity not measured: no aligned face"),
        (tinted(), 0.35, "identity not measured: dlib finds no face in the crop"),
    ],
)
def test_what_cannot_be_measured_is_said(monkeypatch, layer, limit, reason):
    monkeypatch.setattr(budget, "_describe", lambda face: None)
    assert choose_strength(EditedPhoto(PHOTO, [layer]), limit) == (1.0, None, reason)


def test_weight_is_window_times_masks():
    plain = transform_weight(tinted(), SIDE)
    assert plain[0, 0, SIDE // 2, SIDE // 2] == 1 and plain[0, 0, 0].max() < 0.1
    half = torch.ones(1, 1, SIDE, SIDE)
    half[..., : SIDE // 2] = 0
    assert torch.allclose(transform_weight(tinted(mask=half), SIDE), plain * half)
    hard = torch.full((SIDE, SIDE), 0.5)
    hard[: SIDE // 2] = 0
    weighed = transform_weight(tinted(hard_mask=hard.numpy()), SIDE)
    assert torch.allclose(weighed, plain * hard, atol=1e-6)


def test_a_crop_at_nothing_is_the_photos_and_in_range():
    edited, crop = EditedPhoto(PHOTO, [tinted(0.15)]), tinted().crop
    before, at = edited.unedited(crop, 16), lambda strength: edited.at(strength).crop_image(crop, 16)
    assert torch.equal(at(0.0), before) and edited.at(0.5).unedited(crop, 16) is before
    assert at(100.0).max() == 1 and at(-100.0).min() == 0
    middle = at(0.5)[0, 0, 8, 8] - before[0, 0, 8, 8]
    assert middle.item() == pytest.approx((at(1.0) - before)[0, 0, 8, 8].item() / 2, abs=1e-6)
