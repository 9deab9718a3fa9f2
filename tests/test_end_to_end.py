"""The shipped encoder on a real portrait: edits mean what they say, and touch nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.color import rgb2lab
from skimage.data import astronaut

import flowedit
from flowedit.app.cli import main
from flowedit.config import Weights
from flowedit.face.crop import extract
from flowedit.face.detect import landmarks
from flowedit.face.measures import measure
from flowedit.face.parts import PARTS, part_masks
from flowedit.face.regions import region_mask
from flowedit.photo.photo import load, read_note

PORTRAIT = astronaut()[:280, 80:360]


def edit(prompt, image=PORTRAIT, **options):
    return flowedit.optimize(image, prompt, config=flowedit.Config(**{"steps": 10, "identity": None, **options}))


def shape_of(image, crop):
    """Measurements of the face in a picture, found afresh."""
    points = landmarks(extract(load(image), crop, 256))
    assert points is not None
    return measure(points)


def change(made, name):
    crop = made.transforms[0].crop
    return float(shape_of(made.render(1.0), crop)[name] - shape_of(PORTRAIT, crop)[name])


def outside(made, height, width):
    """True where no crop's box reaches."""
    away = np.ones((height, width), bool)
    for layer in made.transforms:
        top, left, bottom, right = layer.crop.box(height, width)
        away[top:bottom, left:right] = False
    return away


def pixels(made, strength=1.0):
    return np.asarray(made.to_pil(strength))


@pytest.fixture(scope="module")
def sad():
    return edit("a sad face")


def test_a_sad_face_lowers_the_mouth_corners_and_a_negative_weight_lifts_them(sad):
    assert change(sad, "mouth_curvature") < -0.005
    assert change(edit({"a sad face": -1.0}), "mouth_curvature") > 0


def test_big_eyes_are_bigger():
    assert change(edit("big eyes"), "eye_area") > 0.002


@pytest.mark.parametrize("method", ["optimize", "predict"])
def test_lips_without_lipstick_are_not_green(method):
    made = edit("no lipstick") if method == "optimize" else flowedit.predict(PORTRAIT, "no lipstick")
    crop = made.transforms[0].crop
    before, after = (extract(load(each), crop, 128) for each in (PORTRAIT, made.render(1.0)))
    lips, skin = (part_masks(before, crop.landmarks)[PARTS.index(name)] > 127 for name in ("lips", "skin"))

    def red(image, mask):
        color = image[0, :, mask].mean(1)
        return float((color[0] - color[1]) / color.sum())

    assert red(before, skin) < red(after, lips) < red(before, lips)


@pytest.fixture(scope="module")
def lipstick():
    return edit("red lipstick")


@pytest.fixture(scope="module")
def smile():
    return edit("a smiling face")


def color_change(made, picture, name):
    """Mean change of L, a, b in one part of the first face of a picture."""
    crop = made.transforms[0].crop
    masks = part_masks(extract(load(picture), crop, 256), crop.landmarks)
    mask = torch.nn.functional.interpolate(masks[None].float() / 255, 256, mode="bilinear")[0, PARTS.index(name)]
    before, after = (
        rgb2lab(extract(load(each), crop, 256)[0].permute(1, 2, 0).numpy()) for each in (picture, made.render(1.0))
    )
    return ((after - before) * mask.numpy()[..., None]).sum((0, 1)) / float(mask.sum())


def test_red_lipstick_reddens_the_lips_and_says_so(lipstick):
    assert color_change(lipstick, PORTRAIT, "lips")[1] > 3 * abs(color_change(lipstick, PORTRAIT, "skin")).max()
    red, green, _ = lipstick.explain()["faces"]["face 1"]["parts"]["lips"]
    assert red > green < -0.01


def test_lipstick_goes_to_the_lips_of_another_photo(lipstick):
    smaller = np.asarray(Image.fromarray(PORTRAIT[20:, ::-1]).resize((250, 238)))
    other = lipstick.apply(smaller)
    assert color_change(other, smaller, "lips")[1] > 0.6 * color_change(lipstick, PORTRAIT, "lips")[1] > 1


def test_tanned_skin_is_darker_and_warmer():
    light, _, yellow = color_change(edit("tanned skin"), PORTRAIT, "skin")
    assert light < -2 and yellow > 0.5


def test_the_same_seed_gives_the_same_bits(sad):
    again = edit("a sad face")
    assert torch.equal(again.render(1.0), sad.render(1.0)) and again.history == sad.history


def test_outside_the_crop_every_bit_stays(sad):
    away = outside(sad, *PORTRAIT.shape[:2])
    after = pixels(sad)
    assert away.sum() > 1000 and np.array_equal(after[away], PORTRAIT[away])
    assert not np.array_equal(after, PORTRAIT) and np.array_equal(pixels(sad, 0.0), PORTRAIT)


def test_outside_a_hard_mask_every_bit_stays(tmp_path):
    mask = np.zeros(PORTRAIT.shape[:2], np.uint8)
    mask[:, :145] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    after = pixels(edit("a sad face", mask=tmp_path / "mask.png"))
    assert np.array_equal(after[mask == 0], PORTRAIT[mask == 0])
    assert not np.array_equal(after[mask > 0], PORTRAIT[mask > 0])


def coverage(made, name):
    """How much of a part of the face covers each pixel of the portrait: (H, W) in [0, 1]."""
    crop = made.transforms[0].crop
    height, width = PORTRAIT.shape[:2]
    rows, columns = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    points = crop.to_crop(torch.stack([columns, rows], -1).double()).float()[None]
    mask = region_mask(name, crop.landmarks, 256)
    return torch.nn.functional.grid_sample(mask, points, padding_mode="zeros", align_corners=False)[0, 0]


def test_a_region_keeps_the_rest():
    made = edit("a sad face", region="mouth")
    reach = torch.nn.functional.max_pool2d(coverage(made, "mouth")[None], 5, 1, 2)[0].numpy()  # the mask's own pixels
    after = pixels(made)
    assert np.array_equal(after[reach == 0], PORTRAIT[reach == 0])
    assert not np.array_equal(after[reach > 0], PORTRAIT[reach > 0])


@pytest.mark.parametrize("diffeomorphic", [False, True])
def test_what_is_protected_keeps_every_bit_here_and_on_another_photo(diffeomorphic, tmp_path):
    made = edit("a surprised face", protect=("eyes", "mouth"), diffeomorphic=diffeomorphic, max_shift=0.1)
    loaded = flowedit.load(made.save_edit(tmp_path / "made.flowedit")).apply(PORTRAIT)
    elsewhere = flowedit.load(tmp_path / "made.flowedit").apply(np.ascontiguousarray(PORTRAIT[:, ::-1]))
    for each, photo in ((made, PORTRAIT), (loaded, PORTRAIT), (elsewhere, PORTRAIT[:, ::-1])):
        after = pixels(each)
        for name in ("eyes", "mouth"):
            kept = coverage(each, name).numpy() > 1 - 1e-6
            assert kept.sum() > 100 and np.array_equal(after[kept], photo[kept])
        assert np.abs(after.astype(int) - photo).max() > 20


def test_a_region_and_what_is_protected_in_it_combine():
    made = edit("a sad face", region="mouth", protect=("nose",))
    changed = (pixels(made) != PORTRAIT).any(-1)
    assert changed.any() and not changed[coverage(made, "nose").numpy() > 1 - 1e-6].any()
    assert not changed[torch.nn.functional.max_pool2d(coverage(made, "mouth")[None], 5, 1, 2)[0].numpy() == 0].any()


def test_all_faces_are_edited():
    twice = np.concatenate([PORTRAIT, PORTRAIT], axis=1)
    made = edit("a sad face", image=twice, face="all", steps=6)
    assert len(made.transforms) == 2
    after, half = pixels(made), PORTRAIT.shape[1]
    assert not np.array_equal(after[:, :half], PORTRAIT) and not np.array_equal(after[:, half:], PORTRAIT)


def test_an_edit_of_several_faces_goes_to_as_many_from_left_to_right():
    twice = np.concatenate([PORTRAIT, PORTRAIT], axis=1)
    right, left = edit("red lipstick", twice, face=1, steps=4), edit("a smiling face", twice, face=0, steps=4)
    both, half = right + left, PORTRAIT.shape[1]
    places = [float(move.crop.matrix[0, 2]) for move in both.transforms]
    assert places[0] > half > places[1]
    carried = both.apply(np.ascontiguousarray(twice[:, 2:]))
    assert [float(move.crop.matrix[0, 2]) for move in carried.transforms] == pytest.approx(
        [p - 2 for p in places], abs=3
    )
    with pytest.raises(ValueError, match="the photo must have the 2 faces of the edit; got 1"):
        both.apply(PORTRAIT[:, 1:])


def test_without_alignment_the_whole_picture_is_edited():
    made = edit("a sad face", align=False, steps=3)
    assert made.transforms[0].crop.landmarks is None and not np.array_equal(pixels(made), PORTRAIT)


def test_no_face_names_the_way_out():
    with pytest.raises(ValueError, match="align=False"):
        edit("a sad face", image=np.full((64, 64, 3), 90, np.uint8))


def test_the_identity_budget_holds():
    made = edit("a sad face", identity=0.15)
    assert 0 < made.strength < 1 and made.facts["identity_distance"] <= 0.15
    assert made.strength_reason.startswith("held back")


def test_alpha_is_kept(tmp_path):
    alpha = np.tile(np.arange(280, dtype=np.uint8), (280, 1))
    made = edit("a sad face", image=np.dstack([PORTRAIT, alpha]), steps=3)
    written = np.asarray(Image.open(made.save(tmp_path / "out.png", strength=1.0)))
    assert np.array_equal(written[:9, :, 3], alpha[:9]) and not np.array_equal(written[..., :3], PORTRAIT)


@pytest.mark.parametrize("field", ["hash", "raster"])
def test_a_diffeomorphic_edit_has_no_folds(field):
    free = Weights(shift=0.0, bending=0.0, fold=0.0)
    made = edit("a sad face", field=field, diffeomorphic=True, max_shift=0.2, weights=free, steps=20)
    told = made.explain()
    assert all(face["folds"] == 0 for face in told["faces"].values())
    assert np.abs(pixels(made).astype(int) - PORTRAIT).max() > 5


def test_the_command_leaves_picture_edit_file_plot_and_record(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PORTRAIT).save("face.png")
    command = ["edit", "face.png", "a surprised face", "-o", "out.png", "--steps", "4"]
    assert main([*command, "--save-edit", "face.flowedit", "--plot", "why.png"]) == 0
    assert capsys.readouterr().err == ""
    assert sorted(p.name for p in Path().iterdir()) == ["face.flowedit", "face.png", "out.png", "why.png"]
    note = read_note("out.png")
    assert note is not None and note["prompts"] == {"a surprised face": 1.0} and note["encoder"] == "faceclip"
    assert Image.open("why.png").size[0] > 300
    assert main(["apply", "face.flowedit", "face.png", "-o", "again.png", "--quiet"]) == 0
    assert np.array_equal(np.asarray(Image.open("again.png")), np.asarray(Image.open("out.png")))
    assert main(["explain", "face.flowedit", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["encoder"] == "faceclip" and told["prompts"] == {"a surprised face": 1.0}


def test_an_edit_is_multiplied(sad):
    assert torch.equal((1 * sad).render(), sad.render()) and torch.equal((sad * 0.5).render(), sad.render(0.5))
    assert torch.equal((0.5 * (0.5 * sad)).render(), (0.25 * sad).render())
    assert np.array_equal(np.asarray((0 * sad).to_pil()), PORTRAIT)
    assert (0.5 * sad).strength_reason == "0.5 times 1.00" and sad.strength == 1
    up, down = (
        change(replace(sad, transforms=(replace(sad.transforms[0], strength=s),)), "mouth_curvature") for s in (-1, 1)
    )
    assert down < 0 < up and torch.equal((-1 * sad).render(), sad.render(-1.0))
    with pytest.raises(TypeError, match="must be multiplied by a finite number; got 'two'"):
        "two" * sad


def test_parts_are_taken_and_left_out(sad, tmp_path):
    mouth = sad.only("mouth")
    changed = (pixels(mouth) != PORTRAIT).any(-1)
    reach = torch.nn.functional.max_pool2d(coverage(sad, "mouth")[None], 5, 1, 2)[0].numpy() > 0
    assert changed.any() and not changed[~reach].any()
    assert torch.equal(mouth.only("mouth").render(), mouth.render())
    again = flowedit.load(mouth.save_edit(tmp_path / "mouth.flowedit"))
    assert torch.equal(again.apply(PORTRAIT).render(), mouth.render()) and again.transforms[0].region == "mouth"
    rest = sad.without("mouth", "brows")
    for name in ("mouth", "brows"):
        kept = coverage(sad, name).numpy() > 1 - 1e-6
        assert np.array_equal(pixels(rest)[kept], PORTRAIT[kept])
    assert (pixels(rest) != PORTRAIT).any()
    assert torch.equal(sad.without("brows").without("mouth").render(), rest.render())
    loaded = flowedit.load(rest.save_edit(tmp_path / "rest.flowedit")).apply(PORTRAIT)
    assert loaded.transforms[0].protect == ("mouth", "brows") and torch.equal(loaded.render(), rest.render())
    with pytest.raises(ValueError, match="only must name the one part that the edit changes, mouth; got 'eyes'"):
        mouth.only("eyes")
    with pytest.raises(ValueError, match="region must be one of"):
        sad.without("ears")


def test_a_bound_on_movement_holds_in_the_field(smile):
    held = edit("a smiling face", displacement=2.0)
    percent = [
        made.explain()["faces"]["face 1"]["movement"]["largest_percent_of_eye_distance"] for made in (smile, held)
    ]
    assert percent[0] > 2.5 and 1.5 < percent[1] <= 2.01
    eyes = held.transforms[0].crop.outer_canthal_distance
    assert held.transforms[0].field.max_shift == pytest.approx(0.02 * eyes / 2) and held.strength > 0.7
    assert change(held, "mouth_curvature") > 0


def test_the_loop_ends_where_the_face_becomes_another():
    made = edit("a wide nose", steps=60, identity=0.1)
    assert made.stopped == "budget" and len(made.history["text"]) < 60
    assert "held back: identity distance" in made.strength_reason and made.facts["identity_distance"] <= 0.1


def test_straight_lines_beside_the_face_stay_straight():
    dear, cheap = (edit("a slim jaw", weights=Weights(background=price), steps=20).explain() for price in (3.0, 1.0))
    bends = [told["faces"]["face 1"]["background"]["bend_px"] for told in (dear, cheap)]
    assert 0 < bends[0] < 0.8 * bends[1]


def test_an_edit_is_carried_to_another_face_by_its_features(smile):
    made, other = smile, np.ascontiguousarray(PORTRAIT[:, ::-1])
    for by in ("landmarks", "frame"):
        carried = made.apply(other, by=by)
        assert change(carried, "mouth_curvature") > 0.5 * change(made, "mouth_curvature") > 0
        assert carried.facts["similarity"] is None and carried.within(identity=0.3).facts["identity_distance"] <= 0.3
    with pytest.raises(ValueError, match='by must be "landmarks" or "frame"; got'):
        made.apply(other, by="eye")


def test_an_edit_is_undone_on_the_picture_it_made(smile, lipstick, tmp_path):
    made = smile + lipstick
    path = made.save(tmp_path / "both.png")
    made.save_edit(tmp_path / "both.flowedit")
    assert main(["apply", str(tmp_path / "both.flowedit"), str(path), "--undo", "-o", str(tmp_path / "back.png")]) == 0
    errors = [np.abs(np.asarray(Image.open(p)).astype(int) - PORTRAIT) for p in (path, tmp_path / "back.png")]
    box = made.transforms[0].crop.box(*PORTRAIT.shape[:2])
    inside = [error[box[0] : box[2], box[1] : box[3]].mean() for error in errors]
    assert inside[1] < 0.8 and inside[1] < 0.4 * inside[0]
    told = read_note(tmp_path / "back.png")
    assert told["prompts"] == {"a smiling face": -1.0, "red lipstick": -1.0}


def test_the_page_says_what_was_done(smile, lipstick, tmp_path):
    from flowedit.report.explain import analyze
    from flowedit.report.figure import _columns

    made = smile + lipstick
    moved, colored, kept = _columns(analyze(made.edited)[0], made.facts, 1)
    assert "mouth corners" in moved and " px (" in moved
    assert "distance between the outer eye corners" in moved.splitlines()[0]
    assert "lips redder" in colored and "bend by" in kept and "nothing is folded over" in kept
    made.plot(tmp_path / "page.png")
    assert Image.open(tmp_path / "page.png").size[0] > 1500


def in_light(image, share):
    """The picture as in so much of its light."""
    x = image / 255
    linear = np.where(x > 0.04045, ((x + 0.055) / 1.055) ** 2.4, x / 12.92) * share
    return np.round(255 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)).astype(
        np.uint8
    )


@pytest.mark.parametrize("light", [1.0, 0.3, 0.08])
def test_a_prompt_about_shape_leaves_hues_alone_in_any_light(light):
    (face,) = edit("a smiling face", in_light(PORTRAIT, light)).explain()["faces"].values()
    assert max(np.hypot(*region["lab"][1:]) for region in face["regions"].values()) < 1
    assert max((abs(value) for color in face["parts"].values() for value in color), default=0) < 0.02


@pytest.mark.parametrize(
    ("prompt", "options", "hues"),
    [
        ("a smiling face", {}, False),
        ("a smiling face", {"hues": "free", "steps": 8}, True),
        ("red lipstick", {"steps": 8}, True),
        ("red lipstick", {"hues": "kept", "steps": 8}, False),
    ],
)
def test_a_tint_changes_hue_only_where_color_is_asked_for(prompt, options, hues):
    made = edit(prompt, **options)
    (crop,) = made.edited.crops()
    color = made.edited.offsets(crop, 64).color
    uneven = float((color - color[:, :1]).abs().max())
    assert color.abs().max() > 1e-4 and (uneven > 1e-3 if hues else uneven == 0)
    assert hues or prompt != "a smiling face" or made.transforms[0].part_tint.amounts.abs().max() == 0


def test_a_smile_after_lipstick_leaves_the_lipstick_as_it_is():
    red = edit("red lipstick", steps=8)
    both = edit_from(red, "a smiling face")
    before, after = (each.transforms[0] for each in (red, both))
    amounts, added = before.part_tint.amounts.detach(), (after.field.color - before.field.color).detach()
    assert torch.equal(amounts, after.part_tint.amounts) and amounts[0, 0].abs() > 0.01
    assert torch.equal(before.part_tint.paints, after.part_tint.paints)
    assert float((added - added.mean(0)).abs().max()) < 0.02 * float(added.abs().max()) > 0
    after = edit_from(edit("a smiling face", steps=4), "red lipstick").transforms[0].part_tint
    assert float(after.colors()[0, 0] - after.colors()[0, 1]) > 0.01


def edit_from(start, prompt):
    config = flowedit.Config(steps=8, identity=None)
    return flowedit.optimize(PORTRAIT, prompt, config=config, start=start)


@pytest.mark.parametrize("prompt", ["big eyes", "red lipstick"])
def test_a_gray_photo_stays_gray(prompt, recwarn):
    gray = np.repeat(PORTRAIT.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    made = np.asarray(edit(prompt, gray).to_pil())
    assert (made.max(-1) == made.min(-1)).all() and (made != gray).any()
    assert any("stays gray" in str(each.message) for each in recwarn) == (prompt == "red lipstick")
