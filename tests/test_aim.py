"""Where the optimizer aims: at what a prompt asks for, and at all of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from stand_in import TinyEncoder

from flowedit.config import Config
from flowedit.fit.aim import Aim
from flowedit.guide.targets import TargetSettings, make_targets

VIEWS = F.normalize(torch.tensor([[0.1, 0.3, -0.2, 0.9], [0.2, 0.1, 0.1, 0.8], [-0.1, 0.2, 0.3, 0.7]]), dim=-1)
SETTINGS = TargetSettings(2.0)
CHOSEN = torch.tensor([2, 0])


class Colors(TinyEncoder):
    """Red cheeks and a big nose go along axes of their own."""

    def text(self, prompts):
        axes = {"red cheeks": (1.0, 0.0, 0.0), "a big nose": (0.0, 0.0, 1.0)}
        whole = (1.0, 0.0, 0.1)  # read in one, next to nothing of the second
        rows = [(*axes.get(each, whole if "and" in each else (0.0, 0.0, 0.0)), 1.0) for each in prompts]
        return F.normalize(torch.tensor(rows), dim=-1)


def aim(prompt, guide=None, **settings):
    config = Config(**settings)
    asked = {prompt: 1.0}
    task = SimpleNamespace(
        config=config,
        guide=guide or Colors(),
        prompts=asked,
        restated=asked,
        settings=SETTINGS,
        told=False,
        faces=(),
        little=(),
    )
    return Aim(task, VIEWS)


def targets(prompt, guide=None, target="direction"):
    return make_targets(target, guide or Colors(), {prompt: 1.0}, VIEWS, SETTINGS)[CHOSEN]


def test_one_attribute_is_aimed_at_however_far_the_face_is():
    near = F.normalize(VIEWS + torch.tensor([3.0, 0, 0, 0]), dim=-1)[CHOSEN]
    for embeddings in (VIEWS[CHOSEN], near):
        assert torch.equal(aim("red cheeks")(embeddings, CHOSEN), targets("red cheeks"))


def test_several_attributes_count_alike_at_the_start():
    both = "red cheeks and a big nose"
    torch.testing.assert_close(aim(both)(VIEWS[CHOSEN], CHOSEN), targets(both))


@pytest.mark.parametrize(("reached", "missing"), [("red cheeks", "a big nose"), ("a big nose", "red cheeks")])
def test_what_is_missing_counts_more(reached, missing):
    both = "red cheeks and a big nose"
    found = F.normalize(VIEWS[CHOSEN] + 0.3 * targets(reached), dim=-1)
    leaning = aim(both)(found, CHOSEN)
    gained, lost = ((leaning - targets(both)) * targets(each) for each in (missing, reached))
    assert (gained.sum(-1) > 0.01).all() and (lost.sum(-1) < -0.01).all()
    torch.testing.assert_close(leaning.norm(dim=-1), torch.ones(2))


def test_no_gradient_goes_through_the_aim():
    embeddings = VIEWS[CHOSEN].clone().requires_grad_()
    assert not aim("red cheeks and a big nose")(embeddings, CHOSEN).requires_grad


@pytest.mark.parametrize(
    ("guide", "target"), [(Colors(known=False), "direction"), (Colors(), "absolute")], ids=["unknown", "absolute"]
)
def test_what_cannot_be_parted_is_aimed_at_as_a_whole(guide, target):
    prompt = "red cheeks and a big nose"
    assert torch.equal(aim(prompt, guide, target=target)(VIEWS[CHOSEN], CHOSEN), targets(prompt, guide, target))
