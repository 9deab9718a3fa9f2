"""What scales a photo's own light and detail: hair, make-up, beard area and lines, as a layer that moves with it."""

from __future__ import annotations

import gc
from dataclasses import replace
from weakref import ref

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.data import astronaut
from test_transfer import HERE

import flowedit
from flowedit.checks import collect
from flowedit.face.brows import settle_brows
from flowedit.face.colors import Skinlike
from flowedit.face.crop import Crop, extract
from flowedit.face.guided import blur, fit_guided, fit_smooth
from flowedit.face.hair import hair_mask
from flowedit.face.hair_dye import BoundHair
from flowedit.face.hair_places import HAIR_PX
from flowedit.face.landmarks import BOTH_BROWS, BROWS, CHIN, interocular_distance
from flowedit.face.retouch import NEAR, RETOUCHED, Retouch, combine, make_retouch
from flowedit.face.retouch_masks import ON_SKIN, PLACES, RETOUCH_PX, draw_places
from flowedit.face.spots import SPOTTED, spot_weight
from flowedit.field.offsets import pixel_centers
from flowedit.field.raster import RasterField
from flowedit.guide.part_looks import ADDED, GAZE, Look, denies_color, said_looks, says_all, unsaid
from flowedit.guide.part_looks import read_table as read_looks
from flowedit.guide.part_words import named_parts, read_table
from flowedit.photo.photo import Photo
from flowedit.report.describe import describe_details
from flowedit.task.eyes import LIDS
from flowedit.task.hairline import HAIRLINE
from flowedit.task.prepare import prepare
from flowedit.task.reach import warn_of_little
from flowedit.task.retouch import gains_toward, warn_of_missing_hair
from flowedit.transform.file import read_edit, write_edit
from flowedit.transform.render import EditedPhoto, render
from flowedit.transform.transforms import Composition, FieldTransform, Inverse

SIDE = 96


def noise(seed=0, gray=False):
    generator = torch.Generator().manual_seed(seed)
    picture = 0.3 + 0.4 * torch.rand(1 if gray else 3, SIDE, SIDE, generator=generator)
    return Photo((picture.expand(3, -1, -1).permute(1, 2, 0) * 255).byte().numpy().copy())


def crop(side=SIDE):
    return Crop(torch.tensor([[side / 2, 0, side / 2], [0, side / 2, side / 2]], dtype=torch.float64), HERE)


def retouch(parts=("lids", "forehead"), amounts=0.5, colored=True):
    masks = torch.stack([(draw_places([part], HERE)[part] * 255).round().to(torch.uint8) for part in parts])
    made = Retouch(parts, masks, torch.full((len(parts),), 0.05), colored)
    with torch.no_grad():
        made.amounts[:, 0] = amounts
    return made


def leaf(strength=1.0, **rest):
    return FieldTransform(RasterField(4, 4), crop(), strength=strength, retouch=retouch(**rest))


def pixels(photo, *transforms, strength=1.0):
    return render(photo, transforms, shape=strength, color=strength)


def test_nothing_is_retouched_by_nothing():
    photo = noise()
    assert torch.equal(pixels(photo, leaf(), strength=0.0), photo.tensor())
    assert torch.equal(pixels(photo, leaf(amounts=0.0)), photo.tensor())


def test_a_layer_is_linear_in_strength_and_adds():
    photo = noise()
    whole, half = (pixels(photo, leaf(), strength=s) - photo.tensor() for s in (0.5, 0.25))
    assert whole.abs().max() > 0.02 and torch.allclose(whole, 2 * half, atol=1e-6)
    twice = pixels(photo, leaf(0.25), leaf(0.25)) - photo.tensor()
    assert torch.allclose(twice, whole, atol=1e-6)
    assert torch.equal(pixels(photo, leaf(), leaf(-1.0)), photo.tensor())


def test_filters_are_made_of_a_photo_once_whatever_the_amounts(monkeypatch):
    bound, bind = [], Retouch.bind
    monkeypatch.setattr(Retouch, "bind", lambda self, *args: bound.append(self) or bind(self, *args))
    photo, made = noise(), leaf()
    once = pixels(photo, made)
    with torch.no_grad():
        made.retouch.amounts *= 0.5
    assert not torch.equal(pixels(photo, made), once) and bound == [made.retouch]
    other = noise(1)
    expected = pixels(other, leaf(amounts=0.25))
    assert torch.equal(pixels(other, made), expected) and len(bound) == 3
    gone = ref(photo)
    del photo
    gc.collect()
    assert gone() is None  # what is kept of it does not hold it


def test_what_is_taken_is_a_share_of_the_light():
    image = torch.rand(3, 50)
    bound = retouch(("lids",)).bind(crop(), lambda _, size: torch.rand(1, 3, size, size))
    place = draw_places(["lids"], HERE)["lids"]
    row, column = divmod(int(place.argmax()), place.shape[1])
    x, y = (torch.full((50,), 2 * (at + 0.5) / len(place) - 1) for at in (column, row))
    ((up, down),) = bound.carriers(image, x, y)
    weight = down[0, 0] / image[0]
    assert weight.min() > 0.5 and torch.allclose(weight, weight[:1].expand(50), atol=1e-5)
    assert torch.allclose(down.sum(0), weight * image)
    assert torch.allclose(up.sum(0), weight * (image.mean(0) + 0.05) * (1 - image))


@pytest.mark.parametrize(("amount", "least", "most"), [(-0.5, 0.1, 0.9), (-9.0, 0.7, 1.0)])
def test_brows_hairs_are_given_the_light_of_the_skin_about_them_and_no_more(amount, least, most):
    skin = np.full((SIDE, SIDE, 3), 180, np.uint8)
    edit = FieldTransform(RasterField(4, 4), crop(), retouch=retouch(("brows",), amount))
    assert torch.allclose(pixels(Photo(skin), edit), Photo(skin).tensor(), atol=1e-5)
    hair = skin.copy()
    hair[: SIDE // 2 : 4] = 60
    change = (pixels(Photo(hair), edit) - Photo(hair).tensor()) * 255 / (180 - 60)  # shares of the way to the skin
    assert least < change.max() <= most and change[..., 1::4, :].abs().max() < 1e-4


def test_a_fringe_over_the_brows_is_no_brow():
    photo = np.full((SIDE, SIDE, 3), 180, np.uint8)
    photo[: int(SIDE * 0.42)] = 60  # all above the eyes
    edit = FieldTransform(RasterField(4, 4), crop(), retouch=retouch(("brows",), -9.0))
    assert (pixels(Photo(photo), edit) - Photo(photo).tensor()).max() < 0.1


def shown(skin, places, amount):
    """A face of one color in which places have others, matte or shiny: (3, n), and what it had been there."""
    photo = np.tile(np.array(skin, np.uint8), (SIDE, SIDE, 1))
    row, column = int((float(HERE[30, 1]) + 1) * SIDE / 2), int((float(HERE[30, 0]) + 1) * SIDE / 2)
    photo[row, column : column + len(places)] = places
    edit = FieldTransform(RasterField(4, 4), crop(), retouch=retouch(("shine",), amount))
    now, before = pixels(Photo(photo), edit)[0], Photo(photo).tensor()[0]
    others = torch.ones(SIDE, SIDE, dtype=torch.bool)
    others[row, column : column + len(places)] = False
    assert torch.allclose(now[:, others], before[:, others], atol=1e-5) or amount > 0
    return now[:, row, column : column + len(places)], before[:, row, column : column + len(places)]


def test_matte_skin_loses_what_it_mirrors_and_gets_its_hue():
    skin = (180, 130, 105)
    after, before = shown(skin, [(255, 250, 245), (120, 85, 70)], -1.0)
    far, near = (each[:, 0] / each[:, 0].mean() - torch.tensor(skin) * 3 / sum(skin) for each in (before, after))
    assert before[:, 0].mean() - after[:, 0].mean() > 0.2 and after[:, 0].mean() > 0.55
    assert near.norm() < 0.5 * far.norm() and torch.equal(after[:, 1], before[:, 1])


def test_shiny_skin_shines_where_it_is_lighter():
    after, before = shown((180, 130, 105), [(230, 180, 155), (120, 85, 70)], 0.5)
    assert (after - before)[:, 0].min() > 0.02 and torch.equal(after[:, 1], before[:, 1])


def test_gray_skin_stays_gray_when_it_is_matte():
    after, before = shown((130, 130, 130), [(240, 240, 240)], -1.0)
    assert after[0, 0] < before[0, 0] - 0.1 and torch.allclose(after, after[:1].expand(3, 1), atol=1e-5)


@pytest.mark.parametrize("above", [-0.10, 0.0, 0.06])  # interocular distances
def test_brows_are_where_their_hairs_are(above):
    unit, grid = float(interocular_distance(HERE)), pixel_centers(RETOUCH_PX)
    image = torch.full((3, RETOUCH_PX, RETOUCH_PX), 0.7)
    for brow in BROWS:
        line = HERE[brow] - torch.tensor([0.0, above * unit])
        image[:, torch.cdist(grid.reshape(-1, 2), line).amin(1).reshape(grid.shape[:2]) < 0.04 * unit] = 0.2
    moved = (HERE - settle_brows(image, HERE))[:, 1] / unit
    brows = torch.zeros(68, dtype=torch.bool)
    brows[BOTH_BROWS] = True
    assert (moved[brows] - above).abs().max() < 0.03 and not moved[~brows].any()
    assert torch.equal(settle_brows(torch.full_like(image, 0.7), HERE), HERE)


def test_a_share_of_a_look_is_read_as_a_number():
    half, whole, third = (said_looks({text: 1.0}) for text in ("50 % gray hair", "gray hair", "30% freckles, red lips"))
    assert half["hair"].share == pytest.approx(0.5 * whole["hair"].share) and says_all({"50 % gray hair": 1.0})
    freckles = said_looks({"freckles": 1.0})["freckles"].gains
    assert third["freckles"].gains == pytest.approx([0.3 * gain for gain in freckles])
    assert said_looks({"a 50 year old with gray hair": 1.0})["hair"] == whole["hair"]
    less, none = said_looks({"30 % reduce the wrinkles": 1.0}), said_looks({"no wrinkles": 1.0})
    assert less["forehead"].gains == pytest.approx([0.3 * gain for gain in none["forehead"].gains])


@pytest.mark.parametrize(
    "text", ["minimize the wrinkles", "wrinkles should be gone", "zero wrinkles", "wrinkles halved"]
)
def test_words_that_lessen_take_away(text):
    assert said_looks({text: 1.0}) == said_looks({"no wrinkles": 1.0})


def test_a_double_chin_lies_under_the_jaw_on_skin_alone():
    parts, chin = ("chin fold", "chin bulge"), HERE[CHIN]
    cheeks = torch.tensor([0.8, 0.6, 0.5])[:, None, None]
    bound = retouch(parts).bind(crop(), lambda _, size: cheeks.expand(1, 3, size, size))
    under = 0.27 * float(interocular_distance(HERE))
    x, y = chin[0].expand(3).float(), (chin[1] + torch.tensor([-0.5, 0.0, 0.52]) * under).float()
    skin, wall = (torch.tensor(color)[:, None].expand(3, 3) for color in ([0.4, 0.3, 0.25], [0.3, 0.4, 0.6]))
    (_, fold), (bulge, _) = bound.carriers(skin, x, y)
    above, edge, middle = zip(fold[0, 0].tolist(), bulge[0, 0].tolist(), strict=True)
    assert edge[0] > 3 * edge[1] and middle[1] > 3 * middle[0] and max(above) < 0.2 * edge[0]
    assert max(float(each.abs().max()) for pair in bound.carriers(wall, x, y) for each in pair) < 0.02 * edge[0]


@pytest.mark.parametrize(
    ("prompt", "fold"),
    [("a double chin", -0.46), ("a slight double chin", -0.23), ("doppelkinn", -0.46), ("no double chin", None)],
)
def test_words_say_a_double_chin_beside_what_is_searched_for(prompt, fold):
    looks = said_looks({prompt: 1.0})
    assert looks["chin bulge"].gains[0] * (-1 if fold is None else 1) > 0 and not says_all({prompt: 1.0})
    assert fold is None or looks["chin fold"].gains[0] == pytest.approx(fold)


@pytest.mark.parametrize("part", SPOTTED)
def test_spots_are_in_the_same_places_of_a_face_at_any_size_and_fade_where_pixels_are_coarse(part):
    at = 2 * torch.rand(2, 4000, generator=torch.Generator().manual_seed(0)) - 1
    fine, finer, coarse = (spot_weight(part, *at, 0.5, side) for side in (600.0, 3000.0, 20.0))
    assert torch.equal(fine, finer) and 0 <= fine.min() < 0.01 and 0.7 < fine.max() <= 1
    assert coarse.std() < 1e-6 and float(coarse[0]) == pytest.approx(float(fine.mean()), rel=0.3)


@pytest.mark.parametrize(
    ("prompt", "spots"),
    [
        ("freckles", {"freckles"}), ("a man with acne", {"pimples"}), ("no freckles", set()), ("no acne", set()),
        ("get rid of her pimples", set()), ("freckle-free", set()), ("cover up the acne", set()),
        ("the freckles are gone", set()), ("skin clear of acne", set()), ("pop the pimples", set()),
        ("freckles, but fewer", set()), ("a face covered in freckles", {"freckles"}),
        ("cleanly shaven, with freckles", {"freckles"}), ("freckles, less tired", {"freckles"}),
        ({"freckles": -1.0}, set()),
    ],
)  # fmt: skip
def test_spots_are_drawn_where_they_are_asked_for_and_never_taken_away(prompt, spots):
    looks = said_looks(prompt if isinstance(prompt, dict) else {prompt: 1.0})
    assert looks.keys() & ADDED == spots and (looks["cheek skin"].gains[2] > 0) == bool(spots)


def test_detail_is_nothing_where_a_photo_is_even():
    photo = Photo(np.full((SIDE, SIDE, 3), 140, np.uint8))
    flat = pixels(photo, leaf(parts=ON_SKIN, amounts=1.0))
    assert torch.allclose(flat, photo.tensor(), atol=2e-6)


@pytest.mark.parametrize("amount", [-2.0, 2.0])
def test_detail_is_smoothed_or_deepened_where_asked_alone(amount):
    photo = noise()
    made = pixels(photo, leaf(parts=("cheek skin",), amounts=amount))
    changed = (made - photo.tensor()).abs().amax(1)[0]
    inside = torch.nn.functional.interpolate(draw_places(["cheek skin"], HERE)["cheek skin"][None, None], (SIDE, SIDE))[
        0, 0
    ]
    before, after = (blur(x[0], 1.0).sub(x[0]).square().mean(0)[inside > 0.9].mean() for x in (photo.tensor(), made))
    assert (after > 1.5 * before) if amount > 0 else (after < 0.6 * before)
    assert (changed[inside == 0] < 0.01).all()


def test_a_gray_photo_stays_gray():
    made = pixels(noise(gray=True), leaf(parts=("lids", "forehead", "cheek skin"), amounts=0.8, colored=False))
    assert (made.amax(1) - made.amin(1)).max() < 1e-6


def test_gains_stay_within_their_bounds():
    made = retouch(tuple(part for part in PLACES if part in RETOUCHED), 0.0)
    for sign, end in ((-1, "least"), (1, "most")):
        with torch.no_grad():
            made.amounts.copy_(100.0 * sign * torch.eye(3)[[0] * len(made.parts)])
        limits = torch.tensor([[kind.least, kind.most] for kind in map(RETOUCHED.get, made.parts)])
        assert (made.gains() >= limits[:, :1] - 1e-6).all() and (made.gains() <= limits[:, 1:] + 1e-6).all(), end


def test_tiles_do_not_matter():
    photo = noise()
    assert torch.equal(render(photo, (leaf(),), tile=17), render(photo, (leaf(),)))


def test_a_layer_moves_with_the_photo():
    photo, field = noise(), RasterField(4, 4)
    with torch.no_grad():
        field.coord[0] += 0.4
    moved = FieldTransform(field, crop())
    shift = pixels(photo, moved)
    together = pixels(photo, moved, leaf())
    layered = Photo((pixels(photo, leaf())[0].permute(1, 2, 0)).numpy().copy())
    assert torch.allclose(together, pixels(layered, moved), atol=2e-3) and not torch.allclose(
        together, shift, atol=1e-2
    )


def test_an_inverse_gives_the_light_back():
    photo = noise()
    made = Photo(pixels(photo, leaf())[0].permute(1, 2, 0).numpy().copy())
    back = pixels(made, Inverse((leaf(),)))
    before, after = ((x - photo.tensor()).abs().mean() for x in (made.tensor(), back))
    assert after < 0.2 * before


def test_stages_of_a_composition_add():
    photo, both = noise(), (leaf(0.5), leaf(0.25, parts=("rings",)))
    chain = Composition(tuple((each,) for each in both))
    assert torch.allclose(pixels(photo, chain), pixels(photo, *both), atol=1e-6)


def test_a_file_keeps_a_retouch(tmp_path):
    path, made = tmp_path / "a.flowedit", leaf(colored=False)
    write_edit(path, {}, [made])
    (read,) = read_edit(path, lambda head, transforms: transforms)
    assert read.retouch.parts == made.retouch.parts and not read.retouch.colored
    assert torch.equal(pixels(noise(), read), pixels(noise(), made))


def test_a_file_of_an_unknown_part_is_refused(tmp_path):
    made = leaf()
    made.retouch.parts = ("lids", "elbow")
    with pytest.raises(ValueError, match="retouch must be of"):
        write_edit(tmp_path / "a.flowedit", {}, [made])


def test_parts_of_the_skin_share_it():
    drawn = draw_places(ON_SKIN, HERE)
    total = torch.stack(list(drawn.values())).sum(0)
    assert total.max() <= 1 + 1e-5 and total.max() > 0.99


def test_a_guided_fit_finds_the_edge_of_the_guide():
    guide = torch.zeros(3, 32, 32)
    guide[:, :, 13:] = 0.8
    rough = torch.zeros(32, 32)
    rough[:, 16:] = 1.0
    fitted = fit_guided(guide, rough, 3.0, 0.02)
    value = (fitted[:3] * guide).sum(0) + fitted[3]
    assert value[16, 14] - value[16, 11] > 0.4


def test_a_smooth_fit_keeps_edges_and_loses_lines():
    image = torch.full((1, 32, 64), 0.2)
    image[..., 32:] = 0.9
    image[..., 10] = 0.17
    slope, offset = fit_smooth(image, 3.0, 0.1)
    smooth = slope * image + offset
    assert abs(float(smooth[0, 16, 10]) - 0.2) < 0.02 and float(smooth[0, 16, 33] - smooth[0, 16, 30]) > 0.6


def scene(hair, background, skin=(0.75, 0.55, 0.45), hairline=0.75):
    """A head with hair of a color: the square that `hair_mask` looks at, and where the cap of hair is.

    The background is a color, or one at the top and one at the bottom; the hairline is above the eyes.
    """
    grid = 2 * pixel_centers(HAIR_PX)
    eyes = HERE[36:48].mean(0)
    unit = float((HERE[42:48].mean(0) - HERE[36:42].mean(0)).norm())
    to = (grid - eyes) / unit
    head = ((to[..., 0] / 1.25).square() + ((to[..., 1] - 0.3) / 1.75).square()) < 1
    cap = ((to[..., 0] / 1.45).square() + ((to[..., 1] - 0.1) / 1.9).square() < 1) & (to[..., 1] < -hairline)
    top, bottom = torch.tensor(background).expand(2, 3) if len(background) == 3 else torch.tensor(background)
    image = top.lerp(bottom, torch.linspace(0, 1, HAIR_PX)[:, None]).T[:, :, None].repeat(1, 1, HAIR_PX)
    for area, color in ((head, skin), (cap, hair)):
        image[:, area] = torch.tensor(color)[:, None]
    generator = torch.Generator().manual_seed(0)
    return (image + 0.02 * torch.randn(image.shape, generator=generator)).clamp(0, 1)[None], cap.float()


@pytest.mark.parametrize("hair", [(0.1, 0.08, 0.07), (0.35, 0.22, 0.12), (0.75, 0.62, 0.35)])
def test_hair_is_found_by_its_color(hair):
    image, cap = scene(hair, (0.6, 0.7, 0.8))
    mask = hair_mask(image, torch.ones(HAIR_PX, HAIR_PX), HERE, 2.0, 1.0)
    assert (mask * cap).sum() > 0.6 * cap.sum() and (mask * (1 - cap)).sum() < 0.25 * cap.sum()


def test_a_wall_that_is_lit_unevenly_is_not_taken_for_hair():
    inside = torch.zeros(HAIR_PX, HAIR_PX)
    inside[24:104, 24:104] = 1  # the photo ends close to the head
    image, cap = scene((0.5, 0.5, 0.55), ((0.3, 0.3, 0.4), (0.8, 0.8, 0.85)), hairline=0.8)
    assert (hair_mask(image, inside, HERE, 2.0, 1.0) * (1 - cap)).sum() < 0.25 * cap.sum()


def test_there_is_no_hair_on_a_bald_head():
    image, _ = scene((0.75, 0.55, 0.45), (0.6, 0.7, 0.8))
    assert not hair_mask(image, torch.ones(HAIR_PX, HAIR_PX), HERE, 2.0, 1.0).any()


def test_hair_reaches_beyond_the_crop():
    big = Photo((255 * scene((0.1, 0.08, 0.07), (0.6, 0.7, 0.8))[0][0].permute(1, 2, 0)).byte().numpy())
    frame = Crop(
        torch.tensor([[HAIR_PX / 4, 0, HAIR_PX / 2], [0, HAIR_PX / 4, HAIR_PX / 2]], dtype=torch.float64), HERE
    )
    found = make_retouch(("hair",), frame, lambda c, n: extract(big, c, n), torch.ones(HAIR_PX, HAIR_PX))
    with torch.no_grad():
        found.amounts[0, 0] = -1.0
    edited = EditedPhoto(big, (FieldTransform(RasterField(4, 4), frame, retouch=found),))
    changed = (edited.tensor() - big.tensor()).abs().amax(1)[0] > 0.05
    assert changed.any() and torch.equal(edited.at(0.0).tensor(), big.tensor())
    held = EditedPhoto(big, (replace(edited.transforms[0], hard_mask=np.zeros((HAIR_PX, HAIR_PX), np.float32)),))
    assert torch.equal(held.tensor(), big.tensor())


@pytest.mark.parametrize(
    "prompt, parts",
    [
        ("blonde hair", ("hair",)),
        ("a man with Stubble", ("beard",)),
        ("facial hair", ("beard",)),
        ("eye shadow", ("lids",)),
        ("bushy eyebrows", ("brows",)),
        ("smooth skin", tuple(sorted(ON_SKIN))),
        ("a smiling face", ()),
        ("a chair", ()),
        ("red lipstick", ()),
    ],
)
def test_words_name_parts(prompt, parts):
    assert named_parts([prompt]) == parts


def test_the_table_names_only_what_can_be_retouched():
    assert {part for _, parts in read_table() for part in parts} <= set(RETOUCHED)


def test_details_are_told_with_sign_and_amount():
    told = describe_details(
        {"lines on the forehead": 0.4, "fine structure of the cheeks": -0.6, "lines at the eyes' corners": 0.01}
    )
    assert told == ["fine structure of the cheeks 60 % smoother", "lines on the forehead 40 % deeper"]


@pytest.mark.parametrize(
    ("prompt", "part", "sign"),
    [
        ("dark circles", "rings", -1),
        ("get rid of my dark circles", "rings", 1),
        ("take my eye bags away", "rings", 1),
        ("lose the stubble and smile", "beard", 1),
        ("make the wrinkles on the forehead vanish", "forehead", -1),
        ("take away the wrinkles for smooth skin", "forehead", -1),
        ("no shine", "shine", -1),
        ("a shiny face", "shine", 1),
    ],
)
def test_what_people_want_to_be_rid_of_goes(prompt, part, sign):
    assert all(gain * sign > 0 for gain in said_looks({prompt: 1.0})[part].gains)


def test_rings_get_the_color_of_the_cheek_below_and_no_lighter():
    skin = np.full((SIDE, SIDE, 3), 180, np.uint8)
    dark = skin.copy()
    dark[: int((float(HERE[41, 1]) + 1) * SIDE / 2) + 6] = 120
    edit = FieldTransform(RasterField(4, 4), crop(), retouch=retouch(("rings",), -9.0))
    assert torch.allclose(pixels(Photo(skin), edit), Photo(skin).tensor(), atol=1e-5)
    after = pixels(Photo(dark), edit)
    assert (after - Photo(dark).tensor()).max() > 0.1
    assert after.max() <= 180 / 255 + 1e-5


@pytest.mark.parametrize("colored", [True, False])
def test_gains_that_are_set_are_had(colored):
    made = retouch(("lids", "forehead"), 0.0, colored)
    wanted = torch.tensor([[-0.4, -0.3, 0.1], [0.8, 0.3, 0.2]])
    for part, gains in zip(made.parts, wanted, strict=True):
        made.set_gains(part, gains)
    if not colored:  # light alone, and no color of lines
        wanted = torch.tensor([[-0.20] * 3, [0.8, 0.3, 0.0]])
    assert torch.allclose(made.gains(), wanted, atol=0.02)
    made.set_gains("lids", torch.tensor([-9.0, -9.0, -9.0]))
    if colored:
        assert torch.allclose(made.gains()[0], torch.full((3,), NEAR * RETOUCHED["lids"].least), atol=1e-4)


@pytest.mark.parametrize(
    "look",
    [Look((0.10, 0.09, 0.09), most=True), Look((0.38, 0.19, 0.12)), Look((0.30, 0.25, 0.2), least=True, share=0.5)],
)
def test_hair_takes_the_color_that_is_said(look):
    has = torch.tensor([0.2, 0.15, 0.12])
    gains = gains_toward(has, look, 1.0, 0.2)
    up, down = torch.diag((has.mean() + 0.2) * (1 - has))[..., None], torch.diag(has)[..., None]
    made = has + combine(gains[None], [(up, down)])[:, 0]
    assert torch.allclose(made, has.lerp(torch.tensor(look.color), look.share), atol=1e-5)


@pytest.mark.parametrize(("prompt", "strongest"), [("amber eyes", 0), ("green eyes", 1), ("ojos azules", 2)])
def test_irises_take_the_color_that_is_said(prompt, strongest):
    photo = astronaut()[:350, 60:400]
    edit = flowedit.predict(photo, prompt)
    (crop,) = edit.edited.crops()
    before, after = edit.edited.unedited(crop, 256), edit.edited.crop_image(crop, 256)
    mask = edit.transforms[0].retouch.mask_on_crop("irises", 256)
    change = (after - before)[0]
    iris, pupil = (mask > 0.7) & (before[0].mean(0) > 0.12), (mask > 0.7) & (before[0].mean(0) < 0.05)
    assert int(change[:, iris].mean(1).argmax()) == strongest and change[strongest, iris].mean() > 0.05
    assert not pupil.any() or change[:, pupil].max() < 0.1
    assert change[:, mask == 0].abs().max() < 0.01


def test_each_lock_loses_its_own_hue_when_hair_turns_gray():
    hair = torch.tensor([0.63, 0.42, 0.28])
    bound = object.__new__(BoundHair)
    bound.light, bound.skin = 1.0, Skinlike(hair, torch.tensor([0.8, 0.6, 0.5]), 1.0)
    locks = torch.stack([hair, hair + 0.4 * (hair - hair.mean()), torch.tensor([0.5, 0.5, 0.5])], 1)
    gains = torch.tensor([-0.205, 0.254, 0.62])

    def dyed(pixels):
        step = gains[:, None] * torch.where(gains[:, None] > 0, pixels.mean(0) * (1 - pixels), pixels)
        return step, pixels + step + bound.even_hue(pixels, step, gains, 0.0)

    step, after = dyed(locks)
    plain = locks + step
    assert (after.amax(0) - after.amin(0)).max() < 0.06 < 0.1 < (plain.amax(0) - plain.amin(0)).max()
    assert not bound.even_hue(locks, torch.zeros(3, 3), torch.zeros(3), 0.0).any()


def test_hair_that_is_lighter_than_blonde_stays_as_light():
    has = torch.tensor([0.8, 0.78, 0.74])
    blonde, black = Look((0.6, 0.5, 0.4), least=True), Look((0.3, 0.3, 0.3), most=True)
    for look, color in ((blonde, has), (black, has / 8)):
        gains = gains_toward(color, look, 1.0, 0.0)
        up, down = torch.diag(color.mean() * (1 - color))[..., None], torch.diag(color)[..., None]
        assert torch.isclose(combine(gains[None], [(up, down)]).mean(), torch.tensor(0.0), atol=1e-5)


def test_a_color_out_of_reach_keeps_its_hue():
    has = torch.tensor([0.05, 0.05, 0.05])
    gains = gains_toward(has, Look((0.9, 0.7, 0.4), least=True), 1.0, 0.27)
    assert gains.max() <= RETOUCHED["hair"].most and torch.isclose(gains[0] / gains[2], torch.tensor(0.85 / 0.35))


@pytest.mark.parametrize(
    "prompt, said, whole",
    [
        ("blonde hair", {"hair"}, True),
        ("a man with long, black hair", {"hair"}, True),
        ("make her hair gray", {"hair"}, True),
        ("grey-haired", {"hair"}, True),
        ("a smiling woman with red hair", {"hair"}, False),
        ("black eyebrows and brown hair", {"hair"}, False),
        ("her hair in a black dress", set(), False),
        ("curly hair", set(), False),
        ("a beard shadow and black hair", {"beard", "hair"}, True),
        ("an old woman", {*ON_SKIN, "hair", "rings"}, False),
        ("not blonde", set(), False),
        ("red lipstick", set(), False),
        ("a woman wearing dark plum lipstick", {"lips"}, True),
        ("pink cheeks and thick lips", set(), False),
        ("brown eyes red lips", {"irises"}, False),
        ("golden hair and bright green eyes", {"hair", "irises"}, False),
        ("blue eye shadow and big eyes", {"lids"}, False),
        ("a black woman wearing red lipstick", set(), False),
        ("soft matte pink lipstick", {"lips"}, False),
        ("a smiling face", set(), False),
    ],
)
def test_words_say_how_a_part_looks(prompt, said, whole):
    assert set(said_looks({prompt: 1.0})) == said and says_all({prompt: 1.0}) == whole


@pytest.mark.parametrize(
    ("prompts", "rest"),
    [
        ({"auburn hair and a gentle smile": 1.0}, {"a gentle smile": 1.0}),
        ({"a woman with black hair, big eyes and red lips": 0.5}, {"a woman, big eyes, red lips": 0.5}),
        ({"a smile and red hair": 1.0, "a woman with gray hair": 1.0}, {"a smile": 1.0}),
        ({"blonde hair": 1.0, "a wide nose": -1.0}, {"a wide nose": -1.0}),
        ({"blonde hair and big eyes": 1.0, "big eyes": -1.0}, {}),
        ({"a smiling face with thick lips": 1.0}, {"a smiling face with thick lips": 1.0}),
    ],
)
def test_what_words_say_is_left_out_of_what_is_to_be_found(prompts, rest):
    assert unsaid(prompts) == rest


def test_skin_that_is_smoothed_twice_keeps_some_of_its_lines():
    young, smooth = (said_looks({text: 1.0})["forehead"].gains for text in ("younger", "smooth skin"))
    both = said_looks({"younger, smooth skin": 1.0})["forehead"].gains
    for one, other, together in zip(young, smooth, both, strict=True):
        assert -1 < together < min(one, other)
    assert said_looks({"dark circles, tired": 1.0})["rings"].gains[0] == pytest.approx(-0.19 - 0.15)


@pytest.mark.parametrize(("prompt", "paints"), [("auburn hair and a smile", False), ("auburn hair, red lips", True)])
def test_the_color_of_hair_is_no_color_of_the_face(prompt, paints):
    task = prepare(astronaut()[:280, 90:350], prompt)
    assert (task.paints, task.hues, task.said, task.told) == (paints, paints, ("hair",), False)


def test_lips_take_the_lipstick_that_is_said_and_nothing_else_does(monkeypatch):
    monkeypatch.setattr("flowedit.task.finish.warn_of_little", warn_of_little)  # tests/conftest.py silences it
    edit = flowedit.predict(astronaut()[:280, 90:350], "plum lipstick")
    assert not edit.messages  # the guide need not know the color
    (crop,) = edit.edited.crops()
    change = (edit.edited.crop_image(crop, RETOUCH_PX) - edit.edited.unedited(crop, RETOUCH_PX))[0]
    lips = draw_places(["lips"], crop.landmarks)["lips"]
    red, green, blue = change[:, lips > 0.7].mean(1)
    assert green < -0.1 and green < min(red, blue) - 0.05
    assert change[:, F.max_pool2d(lips[None], 9, 1, 4)[0] == 0].abs().max() < 2e-3


@pytest.mark.parametrize("gains", [(0.0, -0.6, -0.4), (-0.8, -0.8, -0.8), (0.4, -0.6, -0.4)])
def test_lipstick_evens_a_pale_lower_lip_and_a_dark_upper_one(gains):
    made = retouch(["lips"], 0.0)
    made.set_gains("lips", torch.tensor(gains))
    lips = draw_places(["lips"], HERE)["lips"]
    inside = F.interpolate(lips[None, None], (SIDE, SIDE), mode="area")[0, 0] > 0.3
    rows = torch.arange(SIDE)
    upper = rows < rows[inside.any(1)].float().mean()  # dark above the line between the lips, pale below it
    picture = torch.where(upper[:, None, None], torch.tensor([0.25, 0.15, 0.13]), torch.tensor([0.5, 0.3, 0.26]))
    photo = Photo((picture.expand(-1, SIDE, -1) * 255).round().byte().numpy().copy())
    after = render(photo, [FieldTransform(RasterField(4, 4), crop(), retouch=made)])[0]
    dark, pale = (after[:, inside & half].mean(1) for half in (upper[:, None], ~upper[:, None]))
    assert (pale / dark).min() > 1.0 and (pale / dark).max() < 1.75  # as photographed 2


def test_the_dark_corners_of_a_mouth_take_no_light_from_lipstick():
    made = retouch(["lips"], 0.0)
    made.set_gains("lips", torch.tensor([0.1, 0.8, 0.8]))
    picture = torch.tensor([0.5, 0.3, 0.26]).expand(SIDE, SIDE, -1).clone()
    corner = slice(0, int(0.42 * SIDE))
    picture[:, corner] = 0.02
    photo = Photo((picture * 255).round().byte().numpy().copy())
    after = render(photo, [FieldTransform(RasterField(4, 4), crop(), retouch=made)])[0]
    added = (after - photo.tensor()[0]).mean(0)
    assert 0 < added[:, corner].max() < 0.4 * added.max()


@pytest.mark.parametrize(("hair", "deepened"), [((0.85, 0.84, 0.82), True), ((0.25, 0.18, 0.12), False)])
def test_white_hair_that_is_dyed_dark_has_deeper_shadows_and_dark_hair_the_same(hair, deepened):
    image, cap = scene(hair, (0.4, 0.5, 0.6))
    image = image.clone()
    image[..., ::2] *= torch.where(cap > 0.5, 0.9, 1.0)[:, ::2]  # strands in the shadow of others
    photo = Photo((255 * image[0].permute(1, 2, 0)).round().byte().numpy())
    frame = Crop(
        torch.tensor([[HAIR_PX / 4, 0, HAIR_PX / 2], [0, HAIR_PX / 4, HAIR_PX / 2]], dtype=torch.float64), HERE
    )
    made = make_retouch(("hair",), frame, lambda c, n: extract(photo, c, n), torch.ones(HAIR_PX, HAIR_PX))
    made.set_gains("hair", torch.full((3,), -0.7))
    after = EditedPhoto(photo, (FieldTransform(RasterField(4, 4), frame, retouch=made),)).tensor()[0].mean(0)
    rows = slice(36, 40)  # well within the cap
    shadow = after[rows, 60:80:2].mean() / after[rows, 61:80:2].mean()
    assert shadow < 0.87 if deepened else shadow == pytest.approx(0.9, abs=0.01)


def test_degrees_weights_and_negations_scale_what_is_said():
    def gain(prompt, weight=1.0, part="beard"):
        return said_looks({prompt: weight})[part].gains[0]

    plain = gain("stubble")
    assert plain < 0 and gain("a bit of stubble") == plain / 2 and gain("stubble", 0.5) == plain / 2
    assert gain("heavy stubble") < plain and gain("no stubble") == -plain
    assert gain("fewer wrinkles", part="forehead") == -gain("wrinkles", part="forehead") < 0
    assert said_looks({"slightly blonde hair": 1.0})["hair"].share == 0.5


def test_what_is_said_is_of_what_can_be_retouched():
    assert {part for entry in read_looks() for part, _, _ in entry.looks} <= {*RETOUCHED, LIDS, GAZE, HAIRLINE}


def test_skin_beside_the_hair_is_told_by_its_color():
    hair, skin = torch.tensor([0.2, 0.15, 0.1]), torch.tensor([0.7, 0.5, 0.4])
    seen = Skinlike(hair, skin, 1.0)(torch.stack([hair, hair.lerp(skin, 0.5), skin, 1.1 * skin], 1))
    assert seen[0] == 0 and 0 < seen[1] < 1 and (seen[2:] == 1).all()
    assert not Skinlike(hair, 1.2 * hair, 1.0)(skin[:, None]).any()


def test_a_lightened_hairline_is_no_lighter_than_hair_and_skin():
    image, cap = scene((0.1, 0.08, 0.07), (0.3, 0.35, 0.4))
    soft = F.avg_pool2d(F.pad(image, (3, 3, 3, 3), mode="replicate"), 7, 1)[0]
    big = Photo((255 * soft.permute(1, 2, 0)).byte().numpy())
    half = HAIR_PX / 4
    frame = Crop(torch.tensor([[half, 0, 2 * half], [0, half, 2 * half]], dtype=torch.float64), HERE)
    found = make_retouch(("hair",), frame, lambda c, n: extract(big, c, n), torch.ones(HAIR_PX, HAIR_PX))
    with torch.no_grad():
        found.set_gains("hair", torch.tensor([1.4, 1.3, 1.2]))
    made = EditedPhoto(big, (FieldTransform(RasterField(4, 4), frame, retouch=found),)).tensor()[0].mean(0)
    column = slice(HAIR_PX // 2 - 8, HAIR_PX // 2 + 8)  # from the cap down over the forehead
    hair = made[cap.bool()].quantile(0.5)
    skin, hairline = float(soft[:, 64, column].mean()), made[20:66, column].mean(1)
    assert hair > 0.25 and float(hairline.max()) < max(float(hair), skin) + 0.03


@pytest.mark.parametrize(("share", "line"), [(0.0, "no hair is found"), (0.005, "hardly any hair is"), (0.02, None)])
def test_hair_that_is_named_and_not_to_be_seen_is_told(share, line):
    mask = torch.zeros(1, 100, 100, dtype=torch.uint8)
    mask.flatten()[: round(share * 10_000)] = 255
    with collect() as messages:
        warn_of_missing_hair([(crop(), Retouch(["hair"], mask, torch.zeros(1)))])
    assert [message[: len(line or "")] for message in messages] == ([] if line is None else [line])


@pytest.mark.parametrize("prompt", ["hair less gray", "her hair is too blonde", "hair not red", "no gray hair"])
def test_a_color_that_is_denied_within_its_words_is_not_painted(prompt):
    assert said_looks({prompt: 1.0}) == {} and denies_color({prompt: 1.0})
    assert not denies_color({"gray hair": 1.0, "not too tired": 1.0}) and denies_color({"gray hair": -1.0})


def test_too_much_of_what_is_retouched_is_less_of_it():
    assert said_looks({"too tired": 1.0})["rings"] == said_looks({"less tired": 1.0})["rings"]
    assert said_looks({"not too tired": 1.0})["rings"] == said_looks({"not tired": 1.0})["rings"]
