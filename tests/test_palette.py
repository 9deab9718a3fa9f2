"""Parts of a face that carry one color each."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from test_align import drawn_landmarks

from flowedit.face.light import DARKEST
from flowedit.face.part_tint import PartTint
from flowedit.face.parts import (
    DARK_SKIN,
    LEAST_ROUGE,
    PARTS,
    PARTS_PX,
    PIGMENTS,
    Paints,
    PartShapes,
    bound_paint,
    mix_paints,
    part_masks,
)
from flowedit.field.offsets import pixel_centers
from flowedit.fit.terms import tint_price
from flowedit.kernels.step.reference import tint

LANDMARKS = drawn_landmarks()
SKIN = torch.tensor([0.8, 0.6, 0.5])


def plain(color=SKIN, size=96):
    return color[None, :, None, None].expand(1, 3, size, size).clone()


def masks(image=None, landmarks=LANDMARKS):
    drawn = part_masks(plain() if image is None else image, landmarks)
    return dict(zip(PARTS, drawn.float() / 255, strict=True))


def at(mask, point):
    column, row = ((point + 1) / 2 * PARTS_PX).long().clamp(0, PARTS_PX - 1)
    return float(mask[row, column])


def middle(*indices):
    return LANDMARKS[list(indices)].mean(0)


def test_each_part_lies_where_its_landmarks_are():
    drawn = masks()
    places = {
        "lips": middle(57, 66),
        "skin": middle(27, 30),
        "cheeks": middle(41, 48, 2, 31),
        "brows": LANDMARKS[19],
        "irises": middle(*range(36, 42)),
    }
    for name, place in places.items():
        assert at(drawn[name], place) > 0.5, name
        for other in set(PARTS) - {name, "skin"}:
            assert at(drawn[other], place) < 0.1, (name, other)
    assert at(drawn["skin"], places["cheeks"]) > 0.9  # cheeks are skin; brows are what does not look like it
    for name in ("lips", "irises"):
        assert at(drawn["skin"], places[name]) < 0.3


def test_an_open_mouth_is_no_lip():
    landmarks = LANDMARKS.clone()
    landmarks[48:60, 1] += 1.5 * (landmarks[48:60, 1] - 0.35)
    ring = torch.pi - torch.arange(8) * torch.pi / 4
    landmarks[60:68] = torch.stack([0.15 * ring.cos(), 0.35 - 0.1 * ring.sin()], -1)
    lips = masks(landmarks=landmarks)["lips"]
    assert at(lips, torch.tensor([0.0, 0.35])) == 0 < 0.9 < at(lips, torch.tensor([0.0, 0.485]))


def test_a_tooth_is_no_lip_wherever_the_landmarks_lie():
    image = plain(torch.tensor([0.7, 0.4, 0.4]))
    place = middle(57, 66)  # within the lower lip's outline
    column, row = ((place + 1) / 2 * 96).long()
    image[:, :, row - 1 : row + 2, column : column + 3] = torch.tensor([0.85, 0.83, 0.78])[None, :, None, None]
    image[:, :, row - 1 : row + 2, column - 6 : column - 3] = torch.tensor([0.88, 0.5, 0.5])[None, :, None, None]
    lips, beside = masks(image)["lips"], torch.tensor([-9 / 96, 0.0])
    assert at(lips, place + torch.tensor([2 / 96, 0.0])) < 0.1
    assert at(lips, place + beside) > 0.8  # a gloss is lighter, but as red


def test_an_iris_is_where_the_eye_looks_and_its_white_stays_white():
    image = plain()
    size = image.shape[-1]
    look = 0.03  # to the right
    for eye in (slice(36, 42), slice(42, 48)):
        low, high = ((LANDMARKS[eye].amin(0), LANDMARKS[eye].amax(0))[k] for k in (0, 1))
        (x0, y0), (x1, y1) = (((corner + 1) / 2 * size).round().long().tolist() for corner in (low, high))
        image[:, :, y0 : y1 + 1, x0 : x1 + 1] = 0.8
        x = round(float((LANDMARKS[eye].mean(0)[0] + look + 1) / 2 * size))
        image[:, :, y0 : y1 + 1, x - 2 : x + 3] = 0.2
    drawn, straight = masks(image)["irises"], masks()["irises"]
    for eye in (slice(36, 42), slice(42, 48)):
        centre = LANDMARKS[eye].mean(0)
        assert at(drawn, centre + torch.tensor([look, 0.0])) > 0.9
        assert at(drawn, centre - torch.tensor([0.05, 0.0])) == 0 < at(straight, centre - torch.tensor([0.05, 0.0]))


def test_rouge_is_longer_along_the_cheekbone():
    left = masks()["cheeks"][:, : PARTS_PX // 2].double()
    places = left.nonzero().double()
    spread, axes = torch.linalg.eigh(places.T.cov(aweights=left[left > 0]))
    assert spread[1] > 2 * spread[0]
    assert axes[0, 1] / axes[1, 1] > 0.2  # and rises towards the ear, which is on the left


def test_what_has_another_color_is_no_skin():
    image = plain()
    image[:, :, :, :48] = torch.tensor([0.1, 0.2, 0.8])[None, :, None, None]  # half of the face is painted blue
    landmarks = LANDMARKS + torch.tensor([0.08, 0.0])  # most of what lies between eyes and mouth is not
    drawn = masks(image, landmarks)
    side = PARTS_PX // 2
    for name in ("skin", "cheeks"):
        assert drawn[name][:, : side - 4].max() == 0 and drawn[name][:, side + 4 :].max() > 0.9


@pytest.mark.parametrize("color", [(0.95, 0.85, 0.8), (0.3, 0.2, 0.15), (0.5, 0.5, 0.5)])
def test_skin_is_found_in_any_tone_and_in_a_gray_photo(color):
    assert at(masks(plain(torch.tensor(color)))["skin"], middle(27, 30)) == 1


def test_a_pigment_goes_further_than_any_other_hue_for_the_same_paint():
    drawn = part_masks(plain(torch.ones(3)), LANDMARKS)
    mixes = mix_paints(plain(torch.ones(3)), drawn)
    assert mixes.shape == (len(PARTS), 3, 3)
    for mix, (part, pigment) in zip(mixes, PIGMENTS.items(), strict=True):
        axis, strength = torch.tensor(pigment) / torch.tensor(pigment).norm(), getattr(Paints(), part)
        torch.testing.assert_close(mix[0], strength * axis)
        torch.testing.assert_close(mix[1:] @ axis, torch.zeros(2), rtol=0, atol=1e-6)
        assert strength > 5 * mix[1:].norm(dim=1).max() > 0
    dark, black = (mix_paints(plain(value * torch.ones(3)), drawn) for value in (0.45, 0.0))
    torch.testing.assert_close(dark, mixes * 0.75)  # as much as there is light
    least = torch.tensor([0.65 if part == "skin" else 0.5 for part in PARTS])[:, None, None]
    rest = [i for i, part in enumerate(PARTS) if part != "skin"]
    torch.testing.assert_close(black[rest], (mixes * least * DARKEST)[rest])
    skin = PARTS.index("skin")  # has another pigment in the dark, as strong
    torch.testing.assert_close(black[skin].norm(dim=1), (mixes * least * DARKEST)[skin].norm(dim=1))
    torch.testing.assert_close(F.normalize(black[skin, 0], dim=0), F.normalize(torch.tensor(DARK_SKIN), dim=0))


def test_a_dark_part_takes_less_paint_than_a_light_one():
    drawn = part_masks(plain(), LANDMARKS)
    image = plain(torch.ones(3))
    light = mix_paints(image, drawn)
    image[..., :48, :] = 0.3  # brows and eyes
    share = mix_paints(image, drawn) / light
    parts = dict(zip(PARTS, share[:, 0].nanmean(-1).tolist(), strict=True))
    assert parts["brows"] == pytest.approx(0.5, abs=0.02) and parts["lips"] == pytest.approx(1)


@pytest.mark.parametrize("light", [1.0, 0.3])
def test_lips_and_cheeks_lose_no_more_pigment_than_tells_them_from_the_skin(light):
    drawn = part_masks(plain(), LANDMARKS)
    lips, cheeks = torch.tensor([0.7, 0.35, 0.35]), torch.tensor([0.85, 0.55, 0.5])
    picture = plain(SKIN, PARTS_PX)
    for row, color in ((0, lips), (2, cheeks)):
        picture = torch.where(drawn[row] > 127, color[:, None, None], picture)
    picture = light * picture
    paints = mix_paints(picture, drawn)
    most = bound_paint(picture, drawn, paints)[1]
    assert most.isfinite().nonzero().tolist() == [[0, 0], [2, 0]]

    def red(color):
        return float((color[0] - color[1]) / color.sum())

    bare = light * lips + most[0, 0] * paints[0, 0]
    assert red(SKIN) < red(bare) < red(SKIN) + 0.6 * (red(lips) - red(SKIN))
    assert red(light * cheeks + most[2, 0] * paints[2, 0]) == pytest.approx(red(SKIN), abs=0.02)
    assert bound_paint(plain(SKIN, PARTS_PX), drawn, paints)[1, 0, 0] < 1e-9  # lips that are like skin lose none


def test_cheeks_that_are_red_take_less_rouge_and_some_all_the_same():
    drawn = part_masks(plain(), LANDMARKS)
    least = []
    for cheeks in ((0.85, 0.68, 0.6), (0.87, 0.6, 0.54), (0.9, 0.45, 0.45)):
        picture = torch.where(drawn[2] > 127, torch.tensor(cheeks)[:, None, None], plain(SKIN, PARTS_PX))
        bounds = bound_paint(picture, drawn, mix_paints(picture, drawn))
        least.append(float(bounds[0, 2, 0]))
    assert least[0] < least[1] < least[2] == pytest.approx(-LEAST_ROUGE)
    assert bounds[0].isfinite().nonzero().tolist() == [[2, 0]]


def test_parts_are_where_their_settings_say():
    lips = part_masks(plain(), LANDMARKS)[PARTS.index("lips")].float().mean()
    wide = part_masks(plain(), LANDMARKS, PartShapes(lips=(0.1, 0.2)))[PARTS.index("lips")].float().mean()
    assert wide > 1.5 * lips
    drawn = part_masks(plain(), LANDMARKS)
    twice = mix_paints(plain(), drawn, Paints(lips=6.0)) / mix_paints(plain(), drawn)
    torch.testing.assert_close(twice[0, 0], torch.full((3,), 2.0))
    torch.testing.assert_close(twice[1:, 0], torch.ones(4, 3))


def test_parts_lie_in_dim_light_where_they_lie_in_full_light():
    image = plain()
    image[:, :, :, :48] = torch.tensor([0.8, 0.75, 0.7])[None, :, None, None]  # grayish: no skin
    bright, dim = (part_masks(share * image, LANDMARKS).int() for share in (0.7, 0.07))
    assert (bright - dim).abs().max() <= 1


def test_own_tint_costs_more_where_a_part_has_a_color_for_it():
    masks = torch.zeros(2, PARTS_PX, PARTS_PX, dtype=torch.uint8)
    masks[1, :, : PARTS_PX // 2] = 255
    price = tint_price(masks, None, 32, 40.0)
    assert price[0, :, :15].min() == price.max() == 40 > 1 == price[0, :, 17:].max()
    color = torch.zeros(1, 3, 32, 32)
    color[..., :8] = 0.1
    covered, free = (tint(c, price) for c in (color, color.flip(-1)))
    assert covered.item() == pytest.approx(40 * free.item())


def test_own_tint_costs_as_much_on_teeth_and_the_whites_of_the_eyes():
    nothing = torch.zeros(1, PARTS_PX, PARTS_PX, dtype=torch.uint8)
    price = tint_price(nothing, LANDMARKS, PARTS_PX, 40.0)[0]
    for name, place in {
        "mouth": middle(62, 66),
        "eye": middle(*range(36, 42)),
        "the other": middle(*range(42, 48)),
    }.items():
        assert at(price, place) == 40, name
    assert at(price, LANDMARKS[30]) == 1 == tint_price(nothing, None, PARTS_PX, 40.0).max()


def part_tint(n, seed=0, limit=0.15):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, 256, (n, 40, 40), generator=generator).byte()
    made = PartTint(masks, torch.rand(n, 3, 3, generator=generator), limit)
    with torch.no_grad():
        made.amounts.add_(0.05 * torch.randn(n, 3, generator=generator))
    return made


def test_parts_are_tinted_where_they_are_and_never_beyond_the_bound():
    masks = torch.zeros(2, PARTS_PX, PARTS_PX, dtype=torch.uint8)
    masks[0, : PARTS_PX // 2], masks[1] = 255, 255
    parts = PartTint(masks, torch.eye(3).repeat(2, 1, 1), 0.1)
    with torch.no_grad():
        parts.amounts[0], parts.amounts[1, 2] = torch.tensor([0.03, 0.0, 5.0]), 5.0
    color = parts.add(torch.zeros(32 * 32, 3), pixel_centers(32).reshape(-1, 2)).detach().T.reshape(3, 32, 32)
    assert color[0, :15].min() == color[0, :15].max() == pytest.approx(0.1 * torch.tanh(torch.tensor(0.3)).item())
    assert color[0, 17:].abs().max() == 0
    assert color[2].max() == pytest.approx(0.1)


def test_colors_at_points_and_on_a_grid_are_one_function():
    parts, color = part_tint(3), 0.02 * torch.randn(25 * 25, 3, generator=torch.Generator().manual_seed(1))
    at_points = parts.add(color, pixel_centers(25).reshape(-1, 2))
    on_grid = (color + torch.einsum("nhw,nc->hwc", parts.masks_on(25), parts.colors()).reshape(-1, 3)).clamp(
        -0.15, 0.15
    )
    torch.testing.assert_close(at_points, on_grid, rtol=0, atol=1e-6)
    assert (at_points - color).abs().max() > 0.01


@pytest.mark.parametrize("wrong", [torch.zeros(1, 8, 8), torch.zeros(1, 8, 9, dtype=torch.uint8)])
def test_masks_of_another_shape_or_type_are_refused(wrong):
    with pytest.raises(ValueError, match="masks must be uint8 of shape"):
        PartTint(wrong, torch.zeros(1, 3, 3), 0.1)


def test_paints_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="paints must have shape"):
        PartTint(torch.zeros(1, 8, 8, dtype=torch.uint8), torch.eye(3), 0.1)
