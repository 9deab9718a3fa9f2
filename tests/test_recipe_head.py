"""The encoder's recipe for the last layers: what is told of photos as they are, and what of a tower stays."""

from __future__ import annotations

import pytest
import torch

from examples.faceclip import attributes as attr
from examples.faceclip import train_head, train_image
from examples.faceclip.faces import seeded
from examples.faceclip.held import measure_plain
from flowedit.guide.encoder import SHIPPED, WEIGHTS
from flowedit.guide.faceclip import FaceTower
from tests.faceclip_faces import drawn_faces

GRAY, THICK = attr.INDEX["hair_gray"], attr.INDEX["brows_thick"]


@pytest.fixture(scope="module")
def shipped() -> tuple[FaceTower, train_image.Directions]:
    tower, heads = FaceTower(), train_image.Directions(len(attr.NAMES), 128)
    train_image.begin_with(WEIGHTS / SHIPPED, tower, heads)
    return tower.eval(), heads


def draw_features(tower: FaceTower, heads: train_image.Directions, n: int, seed: int) -> train_head.Features:
    """Features that say faintly whether hair is gray, and the eyes' share is nothing."""
    with torch.no_grad():
        face = tower.read(torch.zeros(1, 3, 128, 128))
        gray = torch.rand(n, generator=seeded(seed + 100)) < 0.5
        read = face + 0.2 * face.std() * torch.randn(n, face.shape[1], generator=seeded(seed))
        read[gray, :400] += 0.07 * face.std() * (heads.unit()[GRAY] @ tower.head.weight[:, :400]).sign()
    label, weight = torch.zeros(2, n, len(attr.NAMES))
    label[:, GRAY], weight[:, GRAY] = gray.float(), 1.0
    return train_head.Features(read.half(), torch.zeros(n, 128), label, weight, torch.ones(n))


def test_what_photos_show_is_learned_and_other_attributes_are_held(shipped, monkeypatch):
    tower, heads = shipped
    kinds, fresh = [draw_features(tower, heads, 1500, seed) for seed in (1, 2)], draw_features(tower, heads, 800, 3)
    truth = fresh.label[:, GRAY] > 0.5

    def scores(tower: FaceTower) -> torch.Tensor:
        return train_head._embed(tower, fresh) @ heads.unit().T

    before, moved = scores(tower), []
    for kept in (train_head.KEEP_OTHERS, 0.0):
        monkeypatch.setattr(train_head, "KEEP_OTHERS", kept)
        after = scores(train_head.fit(tower, heads, *kinds, steps=60, batch=64, lr=1e-3, seed=0))
        assert train_image.auc(after[:, GRAY], truth) > train_image.auc(before[:, GRAY], truth) + 0.04
        moved.append(float((after - before)[:, THICK].square().mean().sqrt()))
    assert moved[0] < 0.8 * moved[1]


def test_photos_are_labelled_by_what_they_show_surely():
    faces = drawn_faces()
    i = torch.arange(len(faces.image))
    label, weight = train_head.label_plain(faces, i, measure_plain(faces, i, faces.pixels(i)))
    assert not weight[~faces.colored, GRAY].any() and (weight[faces.colored, GRAY] == 1.5).any()
    assert not weight[:, THICK].any() and (weight[:, attr.INDEX["face_width"]] == 1.5).all()
    assert torch.equal(label[:, attr.INDEX["happy"]], faces.label[:, attr.LABELLED.index("happy")])


def test_the_trunk_the_eyes_and_the_directions_stay(tmp_path, monkeypatch, shipped):
    monkeypatch.setattr(train_head, "Faces", lambda path: drawn_faces())
    monkeypatch.setattr(train_head, "evaluate", lambda *_: {"happy": 0.5})
    tower, heads = shipped
    out = tmp_path / "head.pt"
    train_head.train(tmp_path, WEIGHTS / SHIPPED, out, changed=64, steps=3, batch=16)
    saved = torch.load(out, weights_only=False)
    changed = {name for name, value in saved["all"][2].items() if not torch.equal(value, tower.state_dict()[name])}
    assert changed and all(name.startswith(("head.", "across.")) for name in changed)
    assert torch.equal(saved["all"][3]["vectors"], heads.vectors) and saved["auc"] == {"happy": 0.5}
