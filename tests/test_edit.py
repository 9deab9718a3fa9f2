"""Edits of edits: the laws of their algebra, and what is known of them."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Config, RasterConfig
from flowedit.edit import Edit
from flowedit.photo.photo import load as load_photo
from flowedit.photo.photo import quantize, read_note
from flowedit.transform.transforms import leaves

QUICK = Config(align=False, steps=3, raster=RasterConfig(4, 4))


SMOOTH = np.stack(
    [np.outer(np.sin(np.arange(64) / a) + 1, np.cos(np.arange(80) / b) + 1) for a, b in ((5, 9), (8, 6), (11, 7))], -1
)
SMOOTH = quantize(torch.from_numpy(40 + 45 * SMOOTH).permute(2, 0, 1)[None].float() / 255, np.uint8)


def wavy(seed, photo=SMOOTH, **settings):
    """An edit of a smooth picture that moves it by some pixels, without folds, and tints it."""
    made = flowedit.optimize(photo, "red", config=replace(QUICK, **settings), encoder=TinyEncoder())
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        made.transforms[0].field.coord.copy_(0.04 * torch.randn(2, 4, 4, generator=source))
        made.transforms[0].field.color.copy_(0.05 * torch.randn(3, 4, 4, generator=source))
    return replace(made, prompts={f"prompt {seed}": 1.0})


A, B, C = wavy(1), wavy(2), wavy(3)
PHOTO = load_photo(SMOOTH)


def apart(one, other):
    """The largest difference of two renderings."""
    return float((one.render() - other.render()).abs().max())


def test_laws_that_hold_to_the_bit():
    assert apart(A, B) > 0.05
    for one, other in (
        (A + B, B + A),
        (A + 0 * B, A),
        ((A @ B) @ C, A @ (B @ C)),
        (~~(0.5 * A), 0.5 * A),
        (A.blend(B, 0), A),
        (A.blend(B, 1), B),
        (2 * (0.5 * A), A),
        (0.5 * (A + B), 0.5 * A + 0.5 * B),
    ):
        assert torch.equal(one.render(), other.render())
    assert torch.equal((A - A).render(), PHOTO.tensor())
    assert torch.equal((0 * (A @ B)).render(), PHOTO.tensor())


def test_laws_that_hold_nearly():
    assert apart((A + B) + C, A + (B + C)) < 1e-5
    assert apart(~A @ A, 0 * A) < 2e-3 and apart(~(A @ B) @ (A @ B), 0 * A) < 2e-3
    assert apart(A @ B, B @ A) > 0.01  # order matters, and a sum is neither
    assert apart(A @ B, A + B) > 0.01


def test_half_a_blend_lies_between():
    half = A.blend(B, 0.5)
    assert torch.allclose(half.render(), (0.5 * A + 0.5 * B).render())
    assert half.prompts == {"prompt 1": 1.0, "prompt 2": 1.0} and half.strength == 1


@pytest.mark.parametrize("size", [(80, 64), (160, 128)], ids=["own size", "twice"])
def test_an_edit_is_undone_on_the_saved_picture(tmp_path, size):
    from PIL import Image

    saved = A.save(tmp_path / "edited.png")
    seen, wanted = (np.asarray(Image.fromarray(p).resize(size, 3)) for p in (np.asarray(Image.open(saved)), SMOOTH))
    inverse = flowedit.load((~A).save_edit(tmp_path / "undo.flowedit"))
    back = np.asarray(inverse.apply(seen).to_pil()).astype(int)
    error = np.abs(back - wanted)
    assert np.abs(seen.astype(int) - wanted).mean() > 4 and error.mean() < 0.6
    with pytest.raises(ValueError, match="what is undone must be the edited picture, 80 x 64 or scaled; got 64 x 80"):
        inverse.apply(SMOOTH.transpose(1, 0, 2))


def test_what_is_undone_twice_is_the_edit():
    assert (~~A).photo is A.photo and (~~A).transforms[0].field is A.transforms[0].field
    small = np.asarray(A.to_pil().resize((40, 32)))
    once = (~A).apply(small)
    for again in (once.apply(small), (~once).apply(SMOOTH)):  # what is scaled once is not scaled twice
        assert torch.equal(
            again.transforms[0].transforms[0].crop.matrix
            if again.facts.get("in_place")
            else again.transforms[0].crop.matrix,
            0.5 * A.transforms[0].crop.matrix,
        )
    forgetful = replace(A, photo=None, facts={"photo_sha256": PHOTO.sha256})
    with pytest.raises(ValueError, match="an edit must know its photo's size to be undone"):
        (~forgetful).apply(small)


def test_an_undoing_edit_is_not_added_to_one_of_the_photo():
    for combine in (lambda: ~A + B, lambda: B - ~A):
        with pytest.raises(ValueError, match="edits must be of one picture to be added"):
            combine()


def test_within_keeps_the_sign_and_nothing():
    assert (-A).within(identity=None).strength == -1 and (0 * A).within(identity=None).strength == 0
    assert (3 * A).within(identity=None).strength == 3 and (0.5 * A).within(identity=None).strength == 1
    for bounds in ({"identity": -1}, {"identity": "a"}, {"displacement": 0}, {"identity": math.nan}):
        with pytest.raises(ValueError, match="must be positive; got"):
            A.within(**bounds)


def test_what_was_measured_is_forgotten_where_it_no_longer_holds():
    measured = replace(A, facts={**A.facts, "similarity": {"red": [0, 1]}, "identity_distance": 0.2})
    assert (1 * measured).facts["similarity"] and measured.within(identity=None).facts["similarity"]
    for other in (2 * measured, -measured, (0.5 * measured).within(identity=None), measured.without()):
        assert other.facts["similarity"] is None and other.facts["identity_distance"] is None


def test_what_is_not_known_is_none_and_not_recorded(tmp_path):
    assert A.facts["identity_distance"] is None and A.facts.get("judge", 3) is None and A.facts["seed"] == 0
    with pytest.raises(KeyError):
        A.facts["identity"]
    assert dict(A.facts).keys() >= {"identity_distance", "judge", "in_place", "files"}
    written = read_note(A.save(tmp_path / "a.png")).keys() | (2 * A).provenance().keys()
    assert not written & {"identity_distance", "judge", "in_place", "files", "others"} and "seed" in written
    loaded = flowedit.load(A.save_edit(tmp_path / "a.flowedit")).facts
    assert dict(loaded) == dict(A.facts)


@pytest.mark.parametrize("half", [np.float32(0.5), np.float64(0.5), np.array(0.5), torch.tensor(0.5), Fraction(1, 2)])
def test_any_real_number_scales_an_edit(half, tmp_path):
    plain = (0.5 * A).render()
    assert torch.equal((half * A).render(), plain) and torch.equal((A * half).render(), plain)
    assert torch.equal(A.render(strength=half), plain) and torch.equal(replace(A, strength=half).render(), plain)
    A.save(tmp_path / "a.png", strength=half, shape=half, color=half)
    assert read_note(tmp_path / "a.png")["shape"] == 0.5
    (half * A).save_edit(tmp_path / "a.flowedit")
    assert flowedit.load(tmp_path / "a.flowedit").strength == 0.5
    assert A.within(identity=half).strength == 1
    for name in ("strength", "shape", "color"):
        with pytest.raises(ValueError, match=f"{name} must be finite; got"):
            A.render(**{name: np.float32(math.nan)})
    with pytest.raises(TypeError, match="must be multiplied by a finite number"):
        A * np.array([0.5, 0.5])


def test_a_record_leaves_out_what_has_no_room(tmp_path):
    name = "x" * 11_000
    long = replace(A, prompts={name: 1.0}, facts=replace(A.facts, similarity={name: [0.1, 0.2]}))
    assert "similarity" in read_note(long.save(tmp_path / "a.png"))
    both = replace(long, prompts={name: 1.0, name + "y": 1.0})
    note = read_note((long + 2 * both + B).save(tmp_path / "b.png"))
    assert note["prompts"].keys() == {name, name + "y", "prompt 2"} and "made_of" not in note
    assert "made_of" in read_note((A + B).save(tmp_path / "c.png"))


def test_undoing_takes_the_edits_strength():
    undone = (~(0.5 * A)).apply((0.5 * A).to_pil())
    assert (undone.render() - PHOTO.tensor()).abs().mean() < 0.004
    assert undone.prompts == {"prompt 1": -1.0}
    assert (~A).photo is None


def test_what_is_made_of_edits_is_saved(tmp_path):
    for k, made in enumerate((A + 0.5 * B, A @ B, ~A @ (B + C))):
        loaded = flowedit.load(made.save_edit(tmp_path / f"{k}.flowedit"))
        again = loaded.apply(SMOOTH)
        assert torch.equal(again.render(), made.render())
        assert again.prompts == made.prompts and again.facts["made_of"] == made.facts["made_of"]
    assert [layer.strength for layer in leaves((A + 0.5 * B).transforms)] == [1.0, 0.5]


def test_what_is_made_of_edits_is_told():
    made = A + 0.5 * B
    told = made.provenance()
    assert told["prompts"] == {"prompt 1": 1.0, "prompt 2": 1.0} and told["encoder"] == "tiny"
    assert [part["strength"] for part in told["made_of"]] == [1.0, 0.5]
    assert made.explain()["faces"]["face 1"]["movement"]["largest_px"] > 1
    assert (-A).strength == -1


def test_a_saved_picture_tells_what_holds_for_it(tmp_path):
    measured = replace(A, facts={**A.facts, "gain": 0.3, "identity_distance": 0.2}, strength=0.5)
    own, other, pale = (tmp_path / name for name in ("own.png", "other.png", "pale.png"))
    measured.save(own)
    measured.save(other, strength=1.0)
    measured.save(pale, color=0.5)
    assert read_note(own)["identity_distance"] == 0.2 and read_note(own)["gain"] == 0.3
    for path in (other, pale):
        assert not {"identity_distance", "gain", "similarity"} & set(read_note(path))


def test_an_edit_says_in_a_line_what_it_is():
    assert repr(A) == f"<Edit 'prompt 1': strength 1.00 ({A.strength_reason}), 80 x 64 photo>"
    assert repr(0.5 * A + -2 * B).startswith("<Edit 'prompt 1' + 'prompt 2': strength 1.00 (the sum of two edits")
    assert "no photo" in repr(~A) and "-1 * 'prompt 1'" in repr(~A)


def test_only_edits_of_one_photo_are_combined():
    other = wavy(1, picture())
    for combine in (lambda: A + other, lambda: A @ other, lambda: A.blend(other, 0.5)):
        with pytest.raises(ValueError, match="edits must be of one photo to be combined"):
            combine()
    for combine in (lambda: A + 1, lambda: A @ "smile", lambda: A - None):
        with pytest.raises(TypeError, match="an edit must be combined with an edit; got"):
            combine()


@pytest.mark.parametrize("diffeomorphic", [False, True])
def test_laws_of_sums_hold_for_shifts_and_for_velocities(diffeomorphic):
    one, two = (wavy(seed, diffeomorphic=diffeomorphic) for seed in (1, 2))
    assert torch.equal((one - one).render(), PHOTO.tensor())
    assert apart(one, 0 * one) > 0.05 and apart((one + two) - two, one) < 1e-5
    assert torch.equal((one + two).render(), (two + one).render()) and apart(one + 0 * two, one) == 0
    assert apart(0.5 * (one + two), 0.5 * one + 0.5 * two) == 0


def test_undoing_within_undoing_ends():
    deep = ~(~A @ B + C)
    with pytest.raises(ValueError, match=r"an edit must take at most 10000 evaluations of fields for a pixel; got"):
        for _ in range(3):
            deep = ~(deep + deep)
    assert isinstance(~(~A), Edit)


def test_without_a_face_within_says_so_and_a_photo_is_needed():
    told = A.within(identity=0.35)
    assert told.strength == 1 and "identity not measured: no aligned face" in told.strength_reason
    with pytest.raises(ValueError, match="displacement must go with a detected face"):
        A.within(displacement=3.0)
    with pytest.raises(ValueError, match="must get one by apply"):
        replace(A, photo=None).within()
    assert isinstance(told, Edit)
