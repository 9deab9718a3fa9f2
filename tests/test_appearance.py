"""Measures of hair, lines and darkness that no guide says."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from test_transfer import HERE

from benchmarks.appearance import SIZE_PX, darkness, hair_change, hair_effect, line_energy
from flowedit.face.retouch_masks import draw_places


def face():
    return 0.55 + 0.02 * torch.randn(1, 3, SIZE_PX, SIZE_PX, generator=torch.Generator().manual_seed(0))


def place(name):
    return F.interpolate(draw_places([name], HERE)[name][None, None], (SIZE_PX, SIZE_PX), mode="bilinear")


def test_hair_that_alone_is_lighter_leaks_nowhere():
    hair = torch.zeros(SIZE_PX, SIZE_PX)
    hair[:40] = 1.0
    before = face()
    change = hair_change(before, before + hair * torch.tensor([0.2, 0.15, 0.0])[:, None, None], HERE, hair)
    assert hair_effect(change, "blonde hair") > 10 and hair_effect(change, "black hair") < -10
    assert change.skin < 0.01 and change.around < 0.01
    leaking = hair_change(before, before + 0.2, HERE, hair)
    assert leaking.skin > 0.5
    assert hair_change(before, before, HERE, 0 * hair) is None


def test_lines_have_more_energy_where_they_are_drawn():
    before, lined = face(), face()
    stripes = torch.zeros(SIZE_PX)
    stripes[::6] = 0.2
    lined = lined - stripes[:, None] * place("cheek skin")
    plain, drawn = line_energy(before, HERE), line_energy(lined, HERE)
    more = {name: drawn[name] / plain[name] for name in plain}
    assert more["cheek skin"] > 2 and all(more[name] < more["cheek skin"] for name in more if name != "cheek skin")


def test_a_shadow_is_darker_than_the_cheeks():
    before, shaded = face(), face() * (1 - 0.4 * place("beard"))
    plain, dark = darkness(before, HERE), darkness(shaded, HERE)
    assert dark["beard"] > plain["beard"] + 10 and abs(dark["lids"] - plain["lids"]) < 3
