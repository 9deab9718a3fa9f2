"""The objective's terms, each on a field whose value is known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from stand_in import TinyEncoder

from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.fit.terms import movement_price, text_pull, text_term
from flowedit.fit.views import Views, soften
from flowedit.guide.targets import check_prompts, make_targets, redistribute, text_change
from flowedit.kernels import look

SIDE = 16
POINTS = pixel_centers(SIDE).reshape(SIDE, SIDE, 2).permute(2, 0, 1)[None]
STILL = Offsets(torch.zeros(1, 2, SIDE, SIDE), torch.zeros(1, 3, SIDE, SIDE))


def change(prompts):
    return text_change(TinyEncoder(), prompts)


def test_prompts_are_read():
    assert check_prompts("sad") == {"sad": 1.0} and check_prompts({"sad": -2, "old": 0.5}) == {"sad": -2.0, "old": 0.5}


@pytest.mark.parametrize(
    "prompt", [None, 3, {}, "", " ", {"sad": 0}, {"sad": math.nan}, {"sad": math.inf}, {"sad": "1"}, {"": 1.0}, {1: 1}]
)
def test_bad_prompts_are_refused(prompt):
    with pytest.raises((TypeError, ValueError), match="must"):
        check_prompts(prompt)


def test_a_weight_scales_and_turns_a_prompts_change():
    one = change({"red": 1.0})
    assert one.norm() > 0.1
    assert torch.allclose(change({"red": -0.5}), -0.5 * one)


def test_several_prompts_keep_the_length_of_one():
    red, blue = change({"red": 1.0}), change({"blue": 1.0})
    both = change({"red": 1.0, "blue": 1.0})
    assert torch.allclose(F.normalize(both, dim=0), F.normalize(red + blue, dim=0))
    assert both.norm() == pytest.approx(float((red.norm() + blue.norm()) / 2), rel=1e-5)
    assert change({"red": 1.0, "blue": -1.0}) @ blue < 0


def test_prompts_that_cancel_are_refused():
    with pytest.raises(ValueError, match="cancel"):
        change({"unknown": 1.0, "unheard": -1.0})


def test_a_direction_starts_from_each_view_and_grows_with_intensity():
    views = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    judge, prompts = TinyEncoder(), {"red": 1.0}
    weak, strong = (make_targets(judge, prompts, views, "direction", much) for much in (0.2, 1.0))
    assert torch.allclose(strong, F.normalize(views + change(prompts), dim=-1))
    assert torch.allclose(strong.norm(dim=-1), torch.ones(3))
    assert ((strong * views).sum(-1) < (weak * views).sum(-1)).all()


def test_an_absolute_target_is_the_prompt_itself():
    judge, views = TinyEncoder(), F.normalize(torch.ones(3, 4), dim=-1)
    target = make_targets(judge, {"red": 2.0}, views, "absolute", 0.1)
    assert torch.allclose(target, judge.text(["red"]).expand(3, -1))
    with pytest.raises(ValueError, match="cancel"):
        make_targets(judge, {"unknown": 1.0, "unheard": -1.0}, views, "absolute")


def subspace(n=4, dim=9, seed=0):
    """An orthonormal basis (n, dim), three unit embeddings, and what is asked for: lopsided, none along an axis."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dim, n, generator=generator))[0].T
    views = F.normalize(torch.randn(3, dim, generator=generator), dim=-1)
    return basis, views, torch.randn(dim, generator=generator)


def axes_of(basis, change):
    return basis * torch.where(basis @ change < 0, -1.0, 1.0)[:, None]


@pytest.mark.parametrize("alpha", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("n", [1, 4, 8])
def test_a_projected_target_keeps_the_residual_and_the_sum_of_coefficients(n, alpha):
    basis, views, change = subspace(n)
    moved = redistribute(views, change, basis, alpha)
    outside = torch.eye(9) - basis.T @ basis
    assert torch.allclose((moved - views) @ outside, torch.zeros(3, 9), atol=1e-6)
    axes = axes_of(basis, change)
    assert torch.allclose((moved @ axes.T).sum(1), (views @ axes.T).sum(1), atol=1e-5)
    assert n == 1 or not torch.allclose(moved, views, atol=0.01)  # along one axis alone nothing can be given


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_a_projected_target_is_the_formula_written_out(alpha):
    basis, views, change = subspace()
    axes = axes_of(basis, change)
    for view, moved in zip(views, redistribute(views, change, basis, alpha), strict=True):
        w, d = sum((view @ b) * b for b in axes), sum((change @ b) * b for b in axes)
        kept = sum(((w @ b) - alpha * (w @ b).abs()) * b for b in axes)
        given = alpha * sum((w @ b).abs() for b in axes) / sum(d @ b for b in axes) * d
        assert torch.allclose(moved, kept + given + (view - w), atol=1e-5)


def test_no_alpha_is_no_change():
    basis, views, change = subspace()
    assert torch.equal(redistribute(views, change, basis, 0.0), views)
    target = make_targets(TinyEncoder(), {"red": 1.0}, views[:, :4], "projected", basis=torch.eye(4)[:3], alpha=0.0)
    assert torch.allclose(target, F.normalize(views[:, :4], dim=-1))


@pytest.mark.parametrize("asked", ["all", "one axis"])
def test_order_and_signs_of_the_axes_do_not_matter(asked):
    basis, views, change = subspace()
    if asked == "one axis":  # the others hold rounding errors of it, whose sign means nothing
        change = 3 * basis[2] + 1e-8 * change
    signs = torch.tensor([1.0, -1.0, -1.0, 1.0])[:, None]
    moved = redistribute(views, change, basis, 0.5)
    assert torch.allclose(redistribute(views, change, (signs * basis)[[2, 0, 3, 1]], 0.5), moved, atol=1e-6)
    assert torch.allclose(redistribute(views, 7 * change, basis, 0.5), moved, atol=1e-6)


def test_what_is_along_one_axis_takes_from_the_others():
    basis, views = torch.eye(3)[:2], torch.tensor([[0.6, -0.4, 0.5]])
    assert torch.allclose(
        redistribute(views, torch.tensor([0.0, 2.0, 9.0]), basis, 0.5),
        torch.tensor([[0.3, -0.4 - 0.2 + 0.5, 0.5]]),  # 0.6 and 0.4 give half, the second axis gets it
    )


def test_a_prompt_that_its_corpus_has_nothing_of_is_refused():
    basis, views, change = subspace()
    elsewhere = change - change @ basis.T @ basis
    with pytest.raises(ValueError, match="next to nothing of it: choose another by corpus="):
        redistribute(views, elsewhere, basis, 0.5)


def test_a_projected_target_turns_with_the_sign_of_its_prompts_and_grows_with_their_weight():
    basis, views = torch.eye(4)[:3], F.normalize(torch.tensor([[0.3, 0.4, 0.2, 0.5]]), dim=-1)

    def target(prompts, alpha=0.4):
        return make_targets(TinyEncoder(), prompts, views, "projected", basis=basis, alpha=alpha)

    assert torch.allclose(target({"red": 0.5}), target({"red": 1.0}, alpha=0.2))
    assert target({"red": -1.0})[0, 0] < views[0, 0] < target({"red": 1.0})[0, 0]
    both = target({"red": 1.0, "blue": 1.0})[0]
    assert (both[[0, 2]] > views[0, [0, 2]]).all() and both[1] < views[0, 1]


def test_the_text_term_is_a_mean_of_one_minus_cosine():
    rows = torch.eye(2)
    assert text_term(rows, rows).item() == 0 and text_term(rows, rows.flip(0)).item() == 1
    assert text_term(rows, -rows).item() == 2


def test_the_text_terms_pull_is_its_gradient():
    rows, targets = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0))
    rows.requires_grad_()
    torch.testing.assert_close(torch.autograd.grad(text_term(rows, targets), rows)[0], text_pull(targets))


def measure_similarity(picture, offsets, views):
    return look(picture, *offsets, views.theta, views.gain, SIDE)


def test_the_first_view_is_the_picture_itself():
    views = Views.draw(4, torch.Generator().manual_seed(0), torch.device("cpu"))
    picture = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    seen = measure_similarity(picture, STILL, views.choose(torch.tensor([0, 1, 2])))
    assert torch.allclose(seen[0], picture[0], atol=1e-5)
    assert not torch.allclose(seen[2], picture[0], atol=0.05)
    assert (seen[1].flip(-1) - picture[0]).abs().mean() < (seen[1] - picture[0]).abs().mean()  # odd ones are mirrored


def test_a_view_shows_what_the_field_does():
    views = Views.draw(2, torch.Generator().manual_seed(0), torch.device("cpu"))
    picture = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    one_to_the_right = Offsets(STILL.coord + torch.tensor([2 / SIDE, 0])[:, None, None], STILL.color + 0.1)
    seen = measure_similarity(picture, one_to_the_right, views.choose(torch.tensor([0])))
    assert torch.allclose(seen[..., :-1], picture[..., 1:] + 0.1, atol=1e-5)


def test_a_picture_is_softened_for_smaller_views_only():
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(soften(picture, 64), picture) and torch.equal(soften(picture, 224), picture)
    stripes = torch.tensor([0.0, 1.0]).repeat(32).expand(1, 3, 64, 64)
    soft = soften(stripes, 32)
    assert soft.shape == stripes.shape and torch.allclose(soft[..., 1:-1], torch.tensor(0.5))
    flat = torch.full_like(stripes, 0.3)
    assert torch.allclose(soften(flat, 16), flat)


def test_movement_off_the_face_is_dear():
    angle = torch.linspace(0, math.pi, 17)  # a round jaw; eyes 0.5 apart, a mouth below them
    marks = torch.zeros(68, 2)
    marks[:17] = 0.5 * torch.stack([-angle.cos(), angle.sin()], -1)
    marks[36:42], marks[42:48] = torch.tensor([-0.25, 0.0]), torch.tensor([0.25, 0.0])
    marks[48:68] = torch.tensor([0.0, 0.3])
    price = movement_price(marks, 64, 3.0)[0]
    at = {name: float(price[int(32 * (y + 1)), int(32 * (x + 1))]) for name, (x, y) in PLACES.items()}
    assert at["nose"] == at["chin"] == 1 and at["corner"] == at["beside"] == 3
    assert 1 < at["near"] < 3
    assert torch.equal(movement_price(marks, 8, 1.0), torch.ones(1, 8, 8))


PLACES = {"nose": (0.0, 0.1), "chin": (0.0, 0.45), "corner": (-0.95, -0.95), "beside": (0.8, 0.0), "near": (0.6, 0.0)}
