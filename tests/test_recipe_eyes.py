"""The encoder's recipe for the network of the eyes: what it is told of a gaze, and that all else of a tower stays."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_align import drawn_landmarks

from examples.faceclip import train_eyes, train_image
from examples.faceclip.faces import WINKING, seeded
from examples.faceclip.shapes import draw_moves
from flowedit.face.landmarks import EYES
from flowedit.guide.encoder import SHIPPED, WEIGHTS
from flowedit.guide.faceclip import EYE_LEFT, EYE_PX, EYES_PX, INPUT_PX, Eyes
from tests.faceclip_faces import drawn_faces


def test_each_eye_is_told_its_own_gaze_in_a_mirrored_face_too():
    faces, i = drawn_faces(), torch.arange(8)
    moves = draw_moves(faces.landmarks[i], seeded(0))
    plain = dataclasses.replace(moves, similarity=torch.eye(2, 3).repeat(8, 1, 1))
    mirror = dataclasses.replace(moves, similarity=torch.eye(2, 3) * torch.tensor([[-1.0], [1.0]]).repeat(8, 1, 1))
    left, right = eyes = train_eyes.turned(faces, i, plain)
    other_left, other_right = others = train_eyes.turned(faces, i, mirror)
    torch.testing.assert_close(left[:, 0], faces.gaze[i, 0].float() + moves.gaze[:, 0])  # to the right is inward there
    assert torch.equal(left, other_right) and torch.equal(right, other_left)
    assert torch.equal(eyes[..., 2], others[..., 2].flip(0)) and (left[:, 0] == -right[:, 0]).all()


def draw_turned(n: int) -> train_eyes.Strips:
    """Strips with a dark iris in each eye, and a label that says whether it is turned to either side."""
    side = (0.4 * torch.rand(n, generator=seeded(1)) - 0.2) * (torch.rand(n, generator=seeded(2)) < 0.7)
    columns, rows = torch.arange(INPUT_PX), torch.arange(EYES_PX)[:, None]
    light = torch.full((n, EYES_PX, INPUT_PX), 200.0)
    for middle in (EYE_LEFT + EYE_PX / 2, INPUT_PX - EYE_LEFT - EYE_PX / 2):
        away = (columns - middle - 17 * side[:, None, None]).square() + (rows - EYES_PX / 2).square()
        light = light - 160 * (away < 10)
    signed = torch.zeros(2, n, train_eyes.SIGNED)
    signed[0, :, 0], signed[1, :, 0] = side, -side
    label, weight = torch.zeros(n, len(train_eyes.TAUGHT)), torch.zeros(n, len(train_eyes.TAUGHT))
    label[:, 0], weight[:, 0] = (side.abs() > 0.08).float(), 1.0
    pixels = light.byte()[:, None].expand(-1, 3, -1, -1)
    return train_eyes.Strips(pixels, torch.randn(n, 128, generator=seeded(3)), label, weight, signed)


def test_a_gaze_to_either_side_is_learned_and_all_but_the_eyes_stays(tmp_path, monkeypatch):
    monkeypatch.setattr(train_eyes, "Faces", lambda path: drawn_faces())
    monkeypatch.setattr(train_eyes, "evaluate", lambda *_: {"happy": 0.5})
    monkeypatch.setattr(train_eyes, "draw_strips", lambda faces, tower, n, seed: draw_turned(n))
    torch.manual_seed(0)
    before = train_image.FaceTower(), train_image.Directions(len(train_image.attr.NAMES), 128)
    train_image.begin_with(WEIGHTS / SHIPPED, *before)
    out = tmp_path / "eyes.pt"
    train_eyes.train(tmp_path, WEIGHTS / SHIPPED, out, strips=512, steps=120, batch=32)
    states = torch.load(out, weights_only=False)["all"]
    tower, heads = (each.eval() for each in before)
    changed = {name for name, value in states[2].items() if not torch.equal(value, tower.state_dict()[name])}
    assert changed and all(name.startswith("eyes.") for name in changed)
    assert torch.equal(states[3]["vectors"], heads.vectors)

    fresh = draw_turned(800)

    def accuracy(eyes: Eyes) -> float:
        with torch.no_grad():
            embedding = 0.1 * fresh.rest + eyes.eval().compare(eyes.read_strip(train_eyes.to_input(fresh.rows)))
        score = embedding @ heads.unit()[train_image.attr.INDEX["gaze_side"]]
        return train_image.auc(score, fresh.label[:, 0] > 0.5)

    former = accuracy(tower.eyes)
    tower.load_state_dict(states[2])
    assert accuracy(tower.eyes) > max(0.9, former)


@pytest.mark.parametrize("rest", [0, 3])
def test_every_strip_comes_once_before_any_comes_again(rest):
    strips = draw_turned(12 + rest)
    drawn = list(strips.batches(4, 6, seeded(0)))
    assert all(len(set(torch.cat(drawn[k : k + 3]).tolist())) == 12 for k in (0, 3))


def test_a_network_is_taught_further_from_what_it_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(train_eyes, "Faces", lambda path: drawn_faces())
    monkeypatch.setattr(train_eyes, "evaluate", lambda *_: {})
    monkeypatch.setattr(train_eyes, "draw_strips", lambda faces, tower, n, seed: draw_turned(n))
    before = train_image.FaceTower(), train_image.Directions(len(train_image.attr.NAMES), 128)
    train_image.begin_with(WEIGHTS / SHIPPED, *before)
    train_eyes.train(
        tmp_path, WEIGHTS / SHIPPED, tmp_path / "eyes.pt", strips=64, steps=2, batch=32, lr=1e-6, further=True
    )
    after = torch.load(tmp_path / "eyes.pt", weights_only=False)["all"][2]
    names = [name for name, _ in before[0].named_parameters() if name.startswith("eyes.")]
    assert all((after[name] - before[0].state_dict()[name]).abs().max() < 1e-3 for name in names)


def test_a_wink_is_told_by_the_lid_that_was_closed_alone():
    faces = drawn_faces()
    _, label, weight, moves = faces.changed(torch.arange(8).repeat(32), seeded(0))
    apart = (moves.closed[:, 0] - moves.closed[:, 1]).abs()
    k = train_image.attr.INDEX["wink"]
    assert 0 < (apart > 0).sum() < len(apart)
    assert torch.equal(label[:, k] > 0.5, apart > 0)
    assert (weight[:, k][apart > WINKING] > weight[:, k][apart == 0].max()).any()
    assert not weight[:, k][(apart > 0) & (apart <= WINKING)].any()


def test_a_turned_head_is_no_wink():
    landmarks = drawn_landmarks()[None].clone()
    left = landmarks[:, EYES[0]]
    landmarks[:, EYES[0], 0] = left[..., 0].mean() + 0.6 * (left[..., 0] - left[..., 0].mean())
    assert float(train_image.attr.measure_more(landmarks)["wink"]) < 0.01
