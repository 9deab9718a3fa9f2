"""Where hair is: what the network expects, and what it learns from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.data import astronaut
from test_retouch import HERE, scene

from examples.hair.by_color import ColorShapes, draw_places, find_by_color
from examples.hair.heads import covers, is_dark
from examples.hair.train import Heads, train
from flowedit.face import hair_net
from flowedit.face.crop import extract, widened
from flowedit.face.detect import choose
from flowedit.face.forehead import bare_forehead
from flowedit.face.hair import hair_mask, is_scalp, textured
from flowedit.face.hair_dye import HAIR_REACH
from flowedit.face.hair_net import HairNet, likely_hair
from flowedit.face.hair_places import HAIR_PX, HairShapes, draw_hair_places
from flowedit.face.landmarks import interocular_distance
from flowedit.face.light import measure_light
from flowedit.face.retouch import RETOUCH_PX, inside_photo
from flowedit.field.offsets import pixel_centers
from flowedit.fit.averages import average_names, load_average
from flowedit.photo.photo import Photo, load

EVERYWHERE = torch.ones(HAIR_PX, HAIR_PX)


def square(photo, crop):
    """What `hair_mask` is given of a photo, and the places in it."""
    light = measure_light(extract(photo, crop, RETOUCH_PX))
    points = crop.landmarks.double()
    place = draw_hair_places(points, float(interocular_distance(points)), HAIR_REACH, HairShapes())
    inside = inside_photo(crop, photo.height, photo.width)
    return extract(photo, widened(crop, HAIR_REACH), HAIR_PX), inside, crop.landmarks, HAIR_REACH, light, place


@pytest.fixture(scope="module")
def portrait():
    photo = load(astronaut()[:350, 60:400])
    return square(photo, choose(photo, "largest")[0])


def test_hair_is_found_and_neither_skin_nor_what_is_behind(portrait):
    image, inside, landmarks, reach, light, place = portrait
    mask = hair_mask(image, inside, landmarks, reach, light)
    above = place["above"] * ((place["distance"] > 0.1) & (place["distance"] < 0.3)) * inside
    assert (mask * above).sum() > 0.75 * above.sum()
    for name, bound in (("skin", 0.02), ("forehead", 0.5)):
        assert (mask * place[name]).sum() < bound * place[name].sum()
    away = (place["distance"] > 1.5) & (place["height"] > -0.5)
    assert (mask * away * inside).sum() < 0.05 * (away * inside).sum()


def test_hair_is_found_in_any_light_and_without_color(portrait):
    image, inside, landmarks, reach, light, _ = portrait
    plain = hair_mask(image, inside, landmarks, reach, light)
    dark = hair_mask(0.2 * image, inside, landmarks, reach, 0.2 * light)
    gray = hair_mask(image.mean(1, keepdim=True).expand_as(image), inside, landmarks, reach, light)
    for mask, alike in ((dark, 0.9), (gray, 0.7)):
        assert (mask * plain).sum() > alike * torch.maximum(mask, plain).sum()


@pytest.mark.parametrize("tone", [0.1, 0.5, 0.85], ids=["black", "gray", "white"])
def test_bleached_hair_is_where_dark_hair_was(portrait, tone):
    image, inside, landmarks, reach, light, _ = portrait
    plain = hair_mask(image, inside, landmarks, reach, light)
    shade = image.mean(1, keepdim=True) / ((image.mean(1) * plain).sum() / plain.sum())
    dyed = image + plain * ((tone * (1 + 0.5 * (shade.clamp(0, 2) - 1))).expand_as(image) - image)
    mask = hair_mask(dyed.clamp(0, 1), inside, landmarks, reach, light)
    assert (mask * plain).sum() > 0.75 * torch.maximum(mask, plain).sum()


def test_a_shaved_head_has_none(portrait):
    image, inside, landmarks, reach, light, place = portrait
    hair = hair_mask(image, inside, landmarks, reach, light)
    skin = (image * place["skin"]).sum((2, 3), keepdim=True) / place["skin"].sum()
    shade = 1 + 0.1 * (image.mean(1, keepdim=True) / image.mean() - 1)
    assert hair_mask(image + hair * (skin * shade - image), inside, landmarks, reach, light).mean() < 0.1 * hair.mean()


@pytest.mark.parametrize("hangs", [False, True])
def test_a_brow_is_no_hair_unless_hair_hangs_over_it(portrait, monkeypatch, hangs):
    _, _, landmarks, reach, _, place = portrait
    away, high = place["distance"], place["height"]
    cap = ((away > 0) & (away < 0.6) & (high > 0)) | ((away < 0.2) & (high > 0.2) if hangs else away > 9)
    sure = torch.maximum(cap.float(), place["brows"])
    monkeypatch.setattr("flowedit.face.hair.likely_hair", lambda *_: sure)
    skin, dark, wall = (torch.tensor(color)[:, None, None] for color in ((0.8, 0.6, 0.5), (0.15,) * 3, (0.4, 0.5, 0.6)))
    image = torch.where(sure > 0, dark, torch.where(away < 0, skin, wall))[None]
    mask = hair_mask(image, EVERYWHERE, landmarks, reach, 1.0)
    brows = place["brows"] * place["allowed"] * (place["across"].abs() < 0.6)
    assert mask[cap & (high > 0.6)].mean() > 0.7
    share = float((mask * brows).sum() / brows.sum())
    assert share > 0.7 if hangs else share < 0.1


@pytest.mark.parametrize("name", average_names())
def test_every_average_face_has_its_hair(name):
    average = load_average(name)
    photo = Photo((255 * average.pictures[0].permute(1, 2, 0)).byte().numpy())
    image, inside, landmarks, reach, light, place = square(photo, choose(photo, "largest")[0])
    mask = hair_mask(image, inside, landmarks, reach, light)
    above = (place["distance"] > 0.3) & (place["distance"] < 0.5) & (place["across"].abs() < 0.7) & (inside > 0)
    skin = (image[0] * place["skin"]).sum((1, 2)) / place["skin"].sum()
    hair = above & (place["above"] > 0) & ((image[0] - skin[:, None, None]).norm(dim=0) > 0.4 * light)
    assert mask[hair].mean() > 0.85 and (mask * place["skin"]).sum() < 0.02 * place["skin"].sum()


def high_forehead(lock=None, hair=(0.25, 0.18, 0.14)):
    """Hair down to row 40, and the skin of a forehead below it, darker towards the hair; a lock hangs over it."""
    image = torch.empty(3, HAIR_PX, HAIR_PX)
    image[:] = torch.tensor(hair)[:, None, None]
    shade = 1 - 0.2 * torch.linspace(1, 0, HAIR_PX - 40)[:, None]
    image[:, 40:] = torch.tensor([0.85, 0.6, 0.5])[:, None, None] * shade
    if lock is not None:
        image[:, 40:60, 60:70] = torch.tensor(lock)[:, None, None]
    rows = torch.arange(HAIR_PX)[:, None].expand(HAIR_PX, HAIR_PX)
    mask, skin = (rows < 60).float(), (rows > 90).float()  # the mask reaches 20 places too low
    return image, mask, skin, (rows > 20).float()


def test_a_forehead_that_was_taken_for_hair_is_bare_up_to_the_hairline():
    image, mask, skin, forehead = high_forehead()
    bare = bare_forehead(image, mask, skin, forehead, 48.0)
    assert bare[43:60].min() > 0.9 and bare[:37].max() < 0.1
    assert bare_forehead(image, mask, skin, forehead, 12.0)[41:46].max() < 0.1  # no further than FAR


def test_a_bright_lock_over_a_forehead_is_hair():
    image, mask, skin, forehead = high_forehead(lock=(0.75, 0.62, 0.42))
    bare = bare_forehead(image, mask, skin, forehead, 48.0)
    assert bare[42:58, 62:68].max() < 0.1 and bare[43:60, 20:50].min() > 0.9


def test_of_hair_in_the_color_of_skin_no_forehead_is_told():
    image, mask, skin, forehead = high_forehead(hair=(0.75, 0.55, 0.45))
    assert not bare_forehead(image, mask, skin, forehead, 48.0).any()


@pytest.mark.parametrize("hair", [(0.35, 0.22, 0.12), (0.75, 0.74, 0.73)])
def test_a_drawn_head_is_told_by_its_color_alone(hair):
    image, cap = scene(hair, (0.3, 0.45, 0.6), hairline=0.85)
    mask = find_by_color(image, EVERYWHERE, HERE, 2.0, 1.0)
    assert (mask * cap).sum() > 0.6 * cap.sum() and (mask * (1 - cap)).sum() < 0.25 * cap.sum()


def test_by_its_color_a_fringe_is_hair_and_no_skin():
    image, cap = scene((0.1, 0.08, 0.07), (0.6, 0.7, 0.8))
    grid = 2 * pixel_centers(HAIR_PX)
    fringe = (grid[..., 0].abs() < 0.25) & (grid[..., 1] < HERE[19:25, 1].mean()) & (grid[..., 1] > -1) & (cap == 0)
    image[0][:, fringe] = torch.tensor([0.1, 0.08, 0.07])[:, None]
    mask = find_by_color(image, EVERYWHERE, HERE, 2.0, 1.0)
    assert (mask * fringe).sum() > 0.6 * fringe.sum()


def test_what_is_outside_the_photo_is_not_looked_at():
    image, _ = scene((0.2, 0.15, 0.1), (0.6, 0.7, 0.8))
    inside = EVERYWHERE.clone()
    inside[:30] = 0
    other = torch.where(inside > 0, image, torch.rand(image.shape, generator=torch.Generator().manual_seed(1)))
    assert torch.equal(likely_hair(image, inside), likely_hair(other, inside))


def test_missing_weights_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(hair_net, "FILE", tmp_path / "hair.safetensors")
    hair_net.load_hair_net.cache_clear()
    with pytest.raises(RuntimeError, match=r"hair\.safetensors must exist; got no such file: reinstall flowedit"):
        hair_net.load_hair_net()
    hair_net.load_hair_net.cache_clear()


@pytest.fixture
def heads(tmp_path):
    columns = {name: [] for name in ("image", "inside", "hair", "height", "distance", "skin")}
    points = HERE.double()
    place = draw_hair_places(points, float(interocular_distance(points)), HAIR_REACH, HairShapes())
    for hair, wall in (((0.1, 0.08, 0.07), (0.6, 0.7, 0.8)), ((0.3, 0.2, 0.1), (0.8, 0.8, 0.8))):
        image, cap = scene(hair, wall)
        columns["image"].append((255 * image[0].permute(1, 2, 0)).byte().numpy())
        columns["inside"].append(np.full((HAIR_PX, HAIR_PX), 255, np.uint8))
        columns["hair"].append((255 * cap).byte().numpy())
        for name in ("height", "distance", "skin"):
            columns[name].append(place[name].half().numpy())
    np.savez(tmp_path / "heads.npz", **{name: np.stack(rows) for name, rows in columns.items()})
    return Heads(tmp_path / "heads.npz")


def test_heads_are_dyed_where_their_hair_is_and_some_are_shaved(heads):
    rows = torch.zeros(64, dtype=torch.long)
    image, inside, hair = heads.batch(rows, torch.Generator().manual_seed(0))
    again = heads.batch(rows, torch.Generator().manual_seed(0))
    assert all(torch.equal(one, other) for one, other in zip((image, inside, hair), again, strict=True))
    assert image.shape == (64, 3, HAIR_PX, HAIR_PX) and image.min() >= 0 and image.max() <= 1
    left = hair.mean((1, 2, 3)) / heads.planes["hair"][0].float().div(255).mean()
    shaved = left < 0.9
    assert 3 <= shaved.sum() <= 20 and (left[~shaved] > 0.99).all()
    tones = torch.stack([image[k].mean(0)[hair[k, 0] > 0.9].mean() for k in range(64) if not shaved[k]])
    assert tones.min() < 0.25 and tones.max() > 0.75 and (image * (1 - inside)).abs().max() == 0


def test_the_training_repeats(heads):
    first, second = train(heads, steps=2), train(heads, steps=2)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    network = HairNet()
    network.load_state_dict(first.state_dict())
    assert network(torch.rand(1, 3, 32, 32), torch.ones(1, 1, 32, 32)).shape == (1, 1, 32, 32)


def test_heads_are_believed_whose_hair_is_dark_and_hangs_over_all_of_them():
    points = HERE.double()
    place = draw_places(points, float(interocular_distance(points)), HAIR_REACH, ColorShapes())
    dark, cap = scene((0.1, 0.08, 0.07), (0.6, 0.7, 0.8), hairline=0.2)
    light, _ = scene((0.9, 0.85, 0.7), (0.6, 0.7, 0.8), hairline=0.2)
    speckled = cap * (torch.arange(HAIR_PX) % 3 == 0)
    assert covers(cap, place, EVERYWHERE) and not covers(speckled, place, EVERYWHERE)
    assert not covers(cap * (torch.arange(HAIR_PX) < HAIR_PX * 0.4), place, EVERYWHERE)
    assert is_dark(dark, cap, place, EVERYWHERE) and not is_dark(light, cap, place, EVERYWHERE)


@pytest.mark.parametrize(
    ("color", "sure", "scalp"),
    [((0.8, 0.6, 0.5), 0.7, True), ((0.8, 0.6, 0.5), 0.9, False), ((0.4, 0.3, 0.2), 0.7, False),
     ((0.7, 0.65, 0.65), 0.7, False)],
)  # fmt: skip
def test_what_has_the_skins_color_and_was_hardly_expected_is_a_bald_heads_side(color, sure, scalp):
    found, skin = torch.zeros(8, 8), torch.zeros(8, 8)
    found[:3], skin[4:] = 1, 1
    image = torch.tensor((0.85, 0.64, 0.53)).reshape(3, 1, 1).repeat(1, 8, 8)
    image[:, :3] = torch.tensor(color).reshape(3, 1, 1)
    assert is_scalp(image, found, skin, sure * found) is scalp
    assert not is_scalp(image, torch.zeros(8, 8), skin, found)


def test_what_has_no_structure_is_told_from_what_has_the_skins():
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    image = torch.cat([noise, torch.full((3, 64, 64), 0.1)], dim=2)
    skin = torch.zeros(64, 128)
    skin[:, :20] = 1
    seen = textured(image, skin)
    assert seen[:, :50].min() > 0.95 and seen[:, 80:].max() < 0.05


def test_of_a_tightly_cut_picture_what_is_blurred_beside_the_head_is_hardly_hair(portrait, monkeypatch):
    """Its upper part is skin, as where a border was filled, and all around the face is blurred."""
    image, inside, landmarks, reach, light, place = portrait
    skin = (image * place["skin"]).sum((2, 3), keepdim=True) / place["skin"].sum()
    cut = torch.where((place["height"] > 0.9) & (place["across"].abs() < 1.2), skin, image)
    blurred = F.avg_pool2d(cut, 15, 1, 7, count_include_pad=False)
    around = torch.where((place["distance"] > 0.1) & (place["height"] < 0.9), blurred, cut)

    def beside():
        mask = hair_mask(around, inside, landmarks, reach, light)
        return float(mask[(place["distance"] > 0.3) & (place["height"] < 0.9)].sum())

    least = beside()
    monkeypatch.setattr("flowedit.face.hair.textured", lambda image, skin: torch.ones_like(skin))
    assert least < 0.75 * beside()
