"""Targets by name and the user's own: what is accepted, what a function must return, and the corpus, read once."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from stand_in import TinyEncoder, picture

import flowedit
from flowedit.config import Config, RasterConfig
from flowedit.guide import targets
from flowedit.guide.clauses import list_attributes
from flowedit.guide.corpus import Basis
from flowedit.guide.targets import (
    TARGETS,
    TargetSettings,
    check_prompts,
    make_settings,
    make_targets,
    redistribute,
    resolve_target,
    target_name,
    text_change,
)

PROMPTS = {"red": 1.0}
VIEWS = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
DOC = Path(__file__).parent.parent / "docs" / "targets.md"


def along_red(encoder, prompts, embeddings, settings):
    return embeddings + 5 * settings.intensity * torch.eye(4)[0] * prompts["red"]


class Along:
    def __call__(self, *arguments):
        return along_red(*arguments)


@pytest.mark.parametrize("target", [along_red, Along()])
def test_a_users_own_target_is_called_and_normalized(target):
    wanted = F.normalize(VIEWS + 10 * torch.eye(4)[0], dim=-1)
    assert torch.allclose(make_targets(target, TinyEncoder(), PROMPTS, VIEWS, TargetSettings(2.0)), wanted)
    assert target_name(target) in ("along_red", "Along")


def test_a_registered_target_has_a_name(monkeypatch):
    monkeypatch.setitem(TARGETS, "along", along_red)
    assert resolve_target("along") is along_red and target_name("along") == "along"


def test_what_is_no_target_is_refused():
    with pytest.raises(
        ValueError, match="target must be one of direction, absolute, projected, or a function; got 'no'"
    ):
        resolve_target("no")
    with pytest.raises(TypeError, match="target must be a name or a function; got 3"):
        resolve_target(3)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (None, TypeError, r"target wrong must return a tensor \(3, 4\); got None"),
        (VIEWS[0], ValueError, r"target wrong must return \(3, 4\); got \(4,\)"),
        (VIEWS * math.nan, ValueError, "target wrong must return finite vectors other than 0; got lengths"),
        (VIEWS * 0, ValueError, "other than 0"),
    ],
)
def test_a_wrong_result_is_refused_by_name(result, error, message):
    def wrong(*_):
        return result

    with pytest.raises(error, match=message):
        make_targets(wrong, TinyEncoder(), PROMPTS, VIEWS)


def test_a_projected_target_without_a_corpus_is_refused():
    with pytest.raises(ValueError, match="projected target must have a basis in its settings; got None"):
        make_targets("projected", TinyEncoder(), PROMPTS, VIEWS)


def test_the_recipe_in_the_documentation_works():
    (code,) = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.S)
    assert len(code.splitlines()) < 30
    names: dict[str, object] = {}
    exec(code, names)
    moved = make_targets(names["great_circle"], TinyEncoder(), PROMPTS, VIEWS, TargetSettings(1.0))
    change = text_change(TinyEncoder(), PROMPTS)
    assert torch.allclose((moved * VIEWS).sum(1), change.norm().cos().expand(3), atol=1e-6)
    assert (moved @ change > VIEWS @ change).all()


@pytest.mark.parametrize("target", ["projected", TARGETS["projected"]])
def test_the_corpus_is_read_once(target, tmp_path, monkeypatch):
    path, calls = tmp_path / "colors.txt", []
    path.write_text("red\nblue\nleft\n")
    read = targets.read_corpus
    monkeypatch.setattr(targets, "read_corpus", lambda name: calls.append(name) or read(name))
    encoder = TinyEncoder()
    settings = make_settings(encoder, PROMPTS, target, corpus=str(path), alpha=0.5)
    assert settings.corpus.name == "colors.txt" and len(settings.basis.vectors) == 3
    encoder.text_calls, encoder.text = (
        [],
        lambda prompts, text=encoder.text: encoder.text_calls.append(prompts) or text(prompts),
    )
    for _ in range(2):  # two faces
        make_targets(target, encoder, PROMPTS, VIEWS, settings)
    assert calls == [str(path)] and encoder.text_calls == [["a face", "red"]] * 2


def test_a_corpus_goes_to_a_function_and_not_to_a_direction(tmp_path):
    path = tmp_path / "colors.txt"
    path.write_text("red\nblue\nleft\n")
    assert make_settings(TinyEncoder(), PROMPTS, "direction", corpus=str(path)).corpus is None
    assert make_settings(TinyEncoder(), PROMPTS, along_red).corpus is None
    assert make_settings(TinyEncoder(), PROMPTS, along_red, corpus=str(path)).corpus.prompts == ("red", "blue", "left")


def change(prompts):
    return text_change(TinyEncoder(), prompts)


class Colors(TinyEncoder):
    """Takes the last word of a prompt for it."""

    def text(self, prompts):
        return super().text([each if each == "a face" else each.split()[-1] for each in prompts])


def test_a_prompt_that_names_attributes_is_as_good_as_a_prompt_for_each():
    both = {"bright red and far left": -0.5}
    apart = {"bright red": -0.5, "far left": -0.5}
    assert list_attributes(Colors(), both) == list_attributes(Colors(), apart)
    assert list(list_attributes(Colors(), both)) == list(apart)
    torch.testing.assert_close(text_change(Colors(), both), text_change(Colors(), apart))
    assert list_attributes(Colors(known=False), both) == both


def test_an_attribute_that_another_prompt_takes_back_is_none():
    assert list_attributes(Colors(), {"bright red and far left": 1.0, "far left": -1.0}) == {"bright red": 1.0}


def test_attributes_that_mean_the_same_share_the_larger_weight():
    shares = list_attributes(Colors(), {"bright red": 1.0, "deep red": 0.25})
    assert shares == pytest.approx({"bright red": 0.8, "deep red": 0.05})
    assert list_attributes(Colors(), {"bright red": 1.0, "deep red": -0.25}) == {"bright red": 1.0, "deep red": -0.25}


def test_prompts_are_read():
    assert check_prompts("sad") == {"sad": 1.0} and check_prompts({"sad": -2, "old": 0.5}) == {"sad": -2.0, "old": 0.5}


@pytest.mark.parametrize(
    "prompt", [None, 3, {}, "", " ", {"sad": 0}, {"sad": math.nan}, {"sad": math.inf}, {"sad": "1"}, {"": 1.0}, {1: 1}]
)
def test_bad_prompts_are_refused(prompt):
    with pytest.raises((TypeError, ValueError), match="must"):
        check_prompts(prompt)


def test_any_real_number_is_a_weight():
    read = check_prompts({"sad": np.float32(-0.5), "old": torch.tensor(2)})
    assert read == {"sad": -0.5, "old": 2.0} and all(type(weight) is float for weight in read.values())


@pytest.mark.parametrize("prompt", ["x" * 12_000, "顔" * 3000, {f"a face {k}": 1.0 for k in range(1000)}], ids=len)
def test_prompts_too_long_for_a_record_are_refused_before_any_work(prompt, monkeypatch):
    monkeypatch.setattr("flowedit.task.prepare.images.load", lambda image: pytest.fail("the photo was read"))
    with pytest.raises(ValueError, match=r"prompts must take at most 12000 bytes in a picture's record; got [12]\d{4}"):
        flowedit.optimize(picture(), prompt, encoder=TinyEncoder())


def test_a_weight_scales_and_turns_a_prompts_change():
    one = change({"red": 1.0})
    assert one.norm() > 0.1
    assert torch.allclose(change({"red": -0.5}), -0.5 * one)


def test_the_change_of_several_prompts_is_their_sum():
    red, left = change({"red": 1.0}), change({"left": 1.0})
    shares = list_attributes(TinyEncoder(), {"red": 1.0, "left": 0.5})
    assert torch.allclose(change({"red": 1.0, "left": 0.5}), shares["red"] * red + shares["left"] * left)
    assert change({"red": 1.0, "blue": -1.0}) @ change({"blue": 1.0}) < 0


def test_prompts_that_cancel_are_refused():
    with pytest.raises(ValueError, match="cancel"):
        change({"unknown": 1.0, "unheard": -1.0})
    with pytest.raises(ValueError, match="more than a face; got 'a face'"):
        change({"a face": 1.0})


def test_a_direction_starts_from_each_view_and_grows_with_intensity():
    views = F.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=-1)
    judge, prompts = TinyEncoder(), {"red": 1.0}
    weak, strong = (make_targets("direction", judge, prompts, views, TargetSettings(much)) for much in (0.2, 1.0))
    assert torch.allclose(strong, F.normalize(views + change(prompts), dim=-1))
    assert torch.allclose(strong.norm(dim=-1), torch.ones(3))
    assert ((strong * views).sum(-1) < (weak * views).sum(-1)).all()


def test_an_absolute_target_is_the_prompt_itself():
    judge, views = TinyEncoder(), F.normalize(torch.ones(3, 4), dim=-1)
    target = make_targets("absolute", judge, {"red": 2.0}, views, TargetSettings(0.1))
    assert torch.allclose(target, judge.text(["red"]).expand(3, -1))
    with pytest.raises(ValueError, match="cancel"):
        make_targets("absolute", judge, {"unknown": 1.0, "unheard": -1.0}, views)


def subspace(n=4, dim=9, seed=0):
    """An orthonormal basis (n, dim), three unit embeddings, and what is asked for: lopsided, none along an axis."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(dim, n, generator=generator))[0].T
    views = F.normalize(torch.randn(3, dim, generator=generator), dim=-1)
    return basis, views, torch.randn(dim, generator=generator)


def subject(alpha):
    """Settings whose subspace is the first three of TinyEncoder's dimensions."""
    return TargetSettings(alpha=alpha, basis=Basis(torch.eye(4)[:3]))


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
    target = make_targets("projected", TinyEncoder(), {"red": 1.0}, views[:, :4], subject(0.0))
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
    views = F.normalize(torch.tensor([[0.3, 0.4, 0.2, 0.5]]), dim=-1)

    def target(prompts, alpha=0.4):
        return make_targets("projected", TinyEncoder(), prompts, views, subject(alpha))

    assert torch.allclose(target({"red": 0.5}), target({"red": 1.0}, alpha=0.2))
    assert target({"red": -1.0})[0, 0] < views[0, 0] < target({"red": 1.0})[0, 0]
    both = target({"red": 1.0, "blue": 1.0})[0]
    assert (both[[0, 2]] > views[0, [0, 2]]).all() and both[1] < views[0, 1]


def test_an_edit_by_a_users_own_target_is_recorded_by_its_name():
    config = Config(align=False, steps=2, raster=RasterConfig(4, 4), target=along_red)
    edit = flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder())
    assert edit.facts["target"] == "along_red" and edit.history["text"][1] < edit.history["text"][0]
