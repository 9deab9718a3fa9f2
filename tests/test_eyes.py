"""Eyelids: a field that closes eyes by the skin above them, said by a prompt's words."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.data import astronaut
from test_align import drawn_landmarks

import flowedit
from flowedit.checks import FlowEditWarning
from flowedit.face.crop import Crop, extract, whole_crop
from flowedit.face.eyelids import LIT, make_lids
from flowedit.face.landmarks import EYES
from flowedit.face.retouch_masks import draw_places
from flowedit.field.lids import LidField
from flowedit.field.make import make_field
from flowedit.field.offsets import pixel_centers
from flowedit.field.warp import count_folds, warp_by_torch
from flowedit.guide.encoder import load_encoder
from flowedit.guide.part_looks import said_looks
from flowedit.guide.restate import restate
from flowedit.photo.photo import load, quantize
from flowedit.report.strips import frames
from flowedit.task.eyes import LIDS, said_lids
from flowedit.transform.render import EditedPhoto
from flowedit.transform.transforms import Composition, FieldTransform, leaves
from flowedit.video.carry import NOT_CARRIED, CarriedEdit

PORTRAIT = astronaut()[:280, 80:360]
LEFT, RIGHT = (drawn_landmarks()[eye] for eye in EYES)
BOTH, LEFT_ALONE, NARROWED = (torch.tensor(v) for v in ([1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]))


def read_from(field, place):
    """Where a place (2,) of the crop is read from."""
    return place + field.at_points(place[None])[0][0].detach()


def lid_of(outline):
    """A place (2,) on the lid that is drawn over an eye, off its lashes."""
    return outline.mean(0).lerp(outline[1:3].mean(0), 0.9)


def lids_of(edit):
    return [leaf.field for leaf in leaves(edit.transforms) if isinstance(leaf.field, LidField)]


@pytest.fixture(scope="module")
def closed():
    return flowedit.predict(PORTRAIT, "closed eyes")


def test_a_closed_eye_shows_the_skin_above_it():
    field = make_lids(drawn_landmarks(), BOTH)
    for outline in (LEFT, RIGHT):
        middle, upper = outline.mean(0), outline[1:3].mean(0)
        assert read_from(field, middle)[1] < upper[1]
        assert read_from(field, middle)[0] == pytest.approx(float(middle[0]), abs=0.01)
        for still in (outline[0], outline[3], outline[4:].mean(0) + torch.tensor([0.0, 0.15])):
            torch.testing.assert_close(read_from(field, still), still, atol=2e-3, rtol=0)


def test_the_lower_lid_rises_to_meet_the_upper_one_but_where_a_former_version_saved_it():
    now = make_lids(drawn_landmarks(), BOTH)
    before = make_field({key: value for key, value in now.settings().items() if key != "meeting"})
    before.load_state_dict(now.state_dict())
    lower = LEFT[4:].mean(0) - torch.tensor([0.0, 0.005])  # just above the open eye's lower edge
    assert read_from(now, lower)[1] > lower[1] and read_from(before, lower)[1] < LEFT[1, 1]
    assert make_field(now.settings()).settings() == now.settings()


def test_a_lid_read_aside_is_read_along_its_edge():
    points = torch.stack([lid_of(LEFT), LEFT[0], LEFT[1:3].mean(0) - torch.tensor([0.0, 0.3])])
    field = make_lids(drawn_landmarks(), BOTH)
    middle, corner, brow = (field.read_aside(1.0).at_points(points)[0] - field.at_points(points)[0]).detach()
    assert 0.1 < middle[0] / (LEFT[3] - LEFT[0])[0] < 0.2 and middle[1].abs() < 0.2 * middle[0]
    assert not corner.any() and not brow.any()
    assert field.read_aside(0.0).aside == 0 and torch.equal(field.read_aside(1.0).amounts, field.amounts)


def test_skin_that_is_drawn_out_shows_no_stripes():
    side, points = 400, drawn_landmarks()
    stripes = 0.5 + 0.2 * torch.sign(torch.sin(1.0 * torch.arange(side))).expand(3, side, side).clone()
    stripes[:, round((float(LEFT[4:, 1].mean()) + 1) * side / 2) :] = 0.5
    photo = load(stripes)
    crop = Crop(whole_crop(photo).matrix, points)
    drawn = EditedPhoto(photo, [FieldTransform(make_lids(points, BOTH), crop)]).tensor()[0, 0]
    column, row = crop.to_photo(LEFT.mean(0)[None].double())[0].round().int().tolist()
    lid, beside = drawn[row - 3 : row, column - 12 : column + 12], drawn[row - 90, column - 12 : column + 12]
    assert lid.std(1).max() < 0.4 * beside.std() and abs(float(lid.mean()) - 0.5) < 0.05


def test_a_lid_that_comes_out_of_a_deep_socket_is_lit():
    points, side = drawn_landmarks(), 400
    shade = F.interpolate(draw_places(("lids",), points)["lids"][None, None], (side, side), mode="bilinear")[0]
    plain, deep = ((0.6 - depth * shade).expand(3, -1, -1).clone() for depth in (0.0, 0.4))
    even = make_lids(points, BOTH, plain[None])
    assert not even.tint.any() and even.patch.abs().max() < 1e-5
    field = make_lids(points, LEFT_ALONE, deep[None])

    def lid(field, eye):
        """Return what is drawn over the middle of an eye from above."""
        middle = lid_of(eye)[None]
        (shift,), (tint,) = field.at_points(middle)
        shown = F.grid_sample(deep[None], (middle + shift)[None, None], align_corners=False)[0, 0]
        return float(shown) + float(tint[0])

    unlit = make_lids(points, LEFT_ALONE)
    assert lid(unlit, LEFT) < 0.45 and lid(field, LEFT) == pytest.approx(LIT * 0.6, abs=0.06)
    assert lid(field, RIGHT) == lid(unlit, RIGHT)


def test_a_closed_lid_has_the_grain_and_the_hue_of_the_skin_under_the_eye_and_the_light_of_its_place():
    points, side = drawn_landmarks(), 400
    skin = torch.full((3, side, side), 0.5)
    below = round((float(LEFT[4:, 1].mean()) + 1) * side / 2) + 6
    skin[:, below : below + 60] = torch.tensor([0.9, 0.6, 0.3])[:, None, None]
    skin[:, below : below + 60] += 0.05 * torch.randn(60, side, generator=torch.Generator().manual_seed(0))
    photo = load(skin.clamp(0, 1))
    crop = Crop(whole_crop(photo).matrix, points)
    field = make_lids(points, BOTH, skin[None])
    drawn = EditedPhoto(photo, [FieldTransform(field, crop)]).tensor()[0]
    column, row = crop.to_photo(lid_of(LEFT)[None].double())[0].round().int().tolist()
    lid = drawn[:, row - 3 : row + 3, column - 10 : column + 10]
    hue = lid.mean((1, 2)) / lid.mean()
    torch.testing.assert_close(hue, torch.tensor([1.5, 1.0, 0.5]), atol=0.15, rtol=0)
    assert 0.03 < lid.mean(0).std() < 0.07 and 0.5 < lid.mean() < 0.6
    again = make_field(field.settings())
    again.load_state_dict(field.state_dict())
    places = pixel_centers(64).reshape(-1, 2)
    torch.testing.assert_close(again.read_aside(0.0).at_points(places), field.read_aside(0.0).at_points(places))


def test_a_strip_shows_closed_lids_as_they_are_saved(closed):
    crop = closed.edited.crops()[0]
    saved = quantize(closed.edited.at(1.0).saved_crop(crop, 256), np.uint8)
    assert np.array_equal(frames(closed.edited, (1.0,), 256)[0], saved)


def test_a_quick_picture_of_closed_lids_is_near_the_saved_one(closed):
    crop = closed.edited.crops()[0]
    quick, saved = closed.edited.crop_image(crop, 256), closed.edited.saved_crop(crop, 256)
    change = (saved - closed.edited.unedited(crop, 256)).abs().mean(1)[0]
    lids = change > 0.1
    once = warp_by_torch(closed.edited.retouched(crop, 256), closed.edited.offsets(crop, 256)).clamp(0, 1)
    away, once_away = ((each - saved)[0, :, lids].abs().mean() for each in (quick, once))
    assert away < 0.6 * once_away


def test_one_eye_is_closed_alone_and_lids_rise_from_below():
    field = make_lids(drawn_landmarks(), LEFT_ALONE)
    assert read_from(field, LEFT.mean(0))[1] < LEFT[1:3, 1].mean()
    assert torch.equal(read_from(field, RIGHT.mean(0)), RIGHT.mean(0))
    below = LEFT[4:].mean(0)
    assert read_from(make_lids(drawn_landmarks(), NARROWED), below)[1] > below[1] + 0.01


@pytest.mark.parametrize("amounts", [(0, 0, 0), (1, 1, 0), (0.4, 1, 1), (9, -1, 0.5)])
def test_nothing_folds_and_grid_and_points_are_one_function(amounts):
    field = make_lids(drawn_landmarks(), torch.tensor(amounts, dtype=torch.float32))
    grid = field.on_grid(128).coord
    assert count_folds(field.on_grid(256).coord) == 0 and field.amounts.min() >= 0 and field.amounts.max() <= 1
    points, _ = field.at_points(pixel_centers(128).reshape(-1, 2))
    assert torch.equal(grid[0].reshape(2, -1).T, points)
    assert bool(grid.any()) == any(value > 0 for value in amounts)


def test_eyes_without_a_size_stay_finite():
    field = make_lids(torch.zeros(68, 2), BOTH)
    assert field.on_grid(32).coord.isfinite().all()


@pytest.mark.parametrize(
    ("prompt", "amounts"),
    [
        ("closed eyes", (1, 1, 0)),
        ("she should close her eyes", (1, 1, 0)),
        ("slightly closed eyes", (0.5, 0.5, 0)),
        ("half-closed eyes", (0.5, 0.5, 0)),
        ("a cheeky wink", (1, 0, 0.3)),
        ("she winks with her left eye", (0, 1, 0.3)),
        ("ojos cerrados", (1, 1, 0)),
        ("die Augen geschlossen", (1, 1, 0)),
        ("闭着眼睛", (1, 1, 0)),
        ("don't close your eyes", None),
        ("eyes not closed", None),
        ("close-set eyes", None),
        ("a closed mouth", None),
        ("sleepy eyes", (0.45, 0.45, 0)),
        ("blinking", (1, 1, 0)),
        ("she closes her left eye", (0, 1, 0)),
        ("a smiling face", None),
    ],
)
def test_words_say_how_far_lids_are_closed(prompt, amounts):
    said = said_lids(said_looks(restate(load_encoder(), {prompt: 1.0})).get(LIDS))
    assert (None if said is None else tuple(said.tolist())) == (amounts and pytest.approx(amounts))


def test_closed_eyes_are_closed_and_all_else_keeps_its_bits(closed):
    crop = closed.transforms[0].stages[0][0].crop

    def darkest(image):
        """Return the red of the irises, of which skin has much."""
        low, high = crop.landmarks[EYES[1]].amin(0), crop.landmarks[EYES[1]].amax(0)
        places = low + (high - low) * torch.cartesian_prod(*[torch.linspace(0.35, 0.65, 9)] * 2)
        return float(F.grid_sample(extract(load(image), crop, 256)[:, :1], places[None, None]).quantile(0.1))

    assert closed.strength == 1  # their skin is drawn out by more than another's may be
    assert darkest(closed.render(1.0)) > 0.55 > 0.35 > darkest(PORTRAIT)
    changed = (np.asarray(closed.to_pil()) != PORTRAIT).any(-1).nonzero()
    box = crop.to_photo(drawn_eye_box(crop)).numpy()
    assert changed[0].min() > box[0, 1] and changed[0].max() < box[1, 1]
    searched = flowedit.optimize(PORTRAIT, "closed eyes", progress=False)
    assert searched.stopped == "said" and torch.equal(searched.render(1.0), closed.render(1.0))


def drawn_eye_box(crop):
    """Top left and bottom right of the brows and eyes, with half of that height below."""
    points = crop.landmarks[17:48]
    eyes = torch.cat([points[:10], points[19:]])
    low, high = eyes.amin(0), eyes.amax(0)
    return torch.stack([low, high + 0.5 * (high - low)])


def test_a_file_gives_the_same_bits_and_another_face_its_own_lids(closed, tmp_path):
    opened = flowedit.load(closed.save_edit(tmp_path / "closed.flowedit"))
    assert torch.equal(opened.apply(PORTRAIT).render(), closed.render())
    mirrored = np.ascontiguousarray(PORTRAIT[:, ::-1])
    (there,), (here,) = lids_of(opened.apply(mirrored)), lids_of(closed)
    assert torch.equal(there.amounts, here.amounts)
    assert not torch.allclose(there.eyes, here.eyes, atol=1e-3)


def test_what_is_found_beside_closed_eyes_is_done_after_them():
    edit = flowedit.optimize(PORTRAIT, "a smile with closed eyes", config=flowedit.Config(steps=2), progress=False)
    (whole,) = edit.transforms
    assert isinstance(whole, Composition) and isinstance(whole.stages[0][0].field, LidField)
    assert whole.stages[1][0].field.coord.any() and not isinstance(whole.stages[1][0].field, LidField)


def test_a_start_with_closed_eyes_keeps_them_closed(closed):
    edit = flowedit.optimize(PORTRAIT, "a smile", start=closed, config=flowedit.Config(steps=1), progress=False)
    (lids,) = lids_of(edit)
    assert torch.equal(lids.amounts, lids_of(closed)[0].amounts)


def test_there_is_one_variant_of_what_words_say_wholly():
    with pytest.warns(FlowEditWarning, match="the words of 'closed eyes' say the whole edit, so there is one variant"):
        (edit,) = flowedit.variants(PORTRAIT, "closed eyes", n=3, progress=False)
    assert edit.stopped == "said"


def test_another_prompt_of_the_same_call_moves_no_lids():
    first, second = flowedit.predict(PORTRAIT, ["a wink", "a smiling face"])
    assert lids_of(first) and not lids_of(second)


def test_closed_eyes_are_not_opened_again(closed):
    with pytest.warns(FlowEditWarning, match="stay closed: what their lids hid"):
        undone = ~closed
    picture = np.asarray(closed.to_pil())
    assert np.array_equal(np.asarray(undone.apply(picture).to_pil()), picture)
    assert torch.equal((~undone).apply(PORTRAIT).render(), closed.render())  # which warns of nothing


def test_lids_are_closed_by_shares_and_never_further_than_closed(closed):
    photo, whole = closed.render(0.0), closed.render(1.0)
    assert torch.equal(closed.render(0.5), whole) and torch.equal((2 * closed).render(), whole)
    assert torch.equal((closed + closed).render(), whole)
    assert torch.equal((closed - closed).render(), photo) and torch.equal(closed.render(-1.0), photo)
    half = closed.render(0.25)
    assert not torch.equal(half, whole) and not torch.equal(half, photo)


def test_lids_move_before_all_else_in_sums_and_compositions(closed):
    other = flowedit.predict(PORTRAIT, "raised eyebrows")
    in_turn = (other @ closed).render()
    for order in (closed + other, other + closed, closed @ other):
        torch.testing.assert_close(order.render(), in_turn, atol=0.02, rtol=0)


def test_a_video_leaves_the_lids_alone(closed):
    with pytest.warns(FlowEditWarning, match=re.escape(NOT_CARRIED)), pytest.warns(FlowEditWarning, match="nothing of"):
        carried = CarriedEdit(closed.transforms, closed.edited.crops()[0])
    assert not carried.offsets.any()
