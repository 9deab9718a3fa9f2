"""The encoder's recipe on a finished encoder: its image tower learns on, and its words still say the same."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from examples.faceclip import attributes as attr
from examples.faceclip import train_image, train_text
from examples.faceclip.faces import seeded
from examples.faceclip.held import beside_own
from flowedit.guide.encoder import SHIPPED, WEIGHTS
from flowedit.guide.faceclip import FaceTower
from tests.faceclip_faces import drawn_faces

ENCODER = WEIGHTS / SHIPPED
PREFIX = "visual.trunk."


@pytest.fixture
def crops() -> torch.Tensor:
    return torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 4 - 2


@pytest.fixture
def tower() -> FaceTower:
    torch.manual_seed(0)
    tower = FaceTower(width=2).eval()
    torch.nn.init.normal_(tower.eyes.both[-1].weight)
    return tower


def test_one_network_reads_both_eyes_the_right_one_mirrored(tower, crops):
    found = []
    tower.eyes.each.register_forward_hook(lambda module, given, out: found.append(out))
    tower(crops)
    tower(crops.flip(-1))
    (left, right), (other_left, other_right) = (each.detach().chunk(2) for each in found)
    torch.testing.assert_close((left, right), (other_right, other_left))
    assert (left - right).abs().max() > 1e-3


def test_the_eyes_see_what_moves_by_a_pixel_and_nothing_below_them(tower, crops):
    moved, below = crops.clone(), crops.clone()
    moved[:, :, 56:66, 40:60] = crops[:, :, 56:66, 41:61]
    below[:, :, 80:] = 0
    before = tower.eyes(crops)
    assert (tower.eyes(moved) - before).abs().max() > 1e-4
    assert torch.equal(tower.eyes(below), before)


def test_a_new_tower_has_no_say_by_the_eyes(crops):
    assert FaceTower(width=2).eyes(crops).abs().max() == 0


def test_further_training_of_an_encoder_leaves_its_directions_and_moves_its_tower(tmp_path, monkeypatch):
    monkeypatch.setattr(train_image, "Faces", lambda path: drawn_faces())
    monkeypatch.setattr(train_image, "evaluate", lambda *_: {"happy": 0.5})
    train_image.train(tmp_path / "faces.npz", tmp_path, steps=2, batch=4, at_once=2, begin=ENCODER)
    image = tmp_path / "image_tower.pt"
    *_, heads = torch.load(image, weights_only=False)["all"][:4]
    with np.load(ENCODER / train_image.DIRECTIONS) as directions:
        assert np.array_equal(heads["vectors"].numpy(), directions["vectors"])
    assert heads["bias"].abs().max() > 0.1  # fitted before the first step, which is of a tiny rate
    out = tmp_path / "encoder"
    monkeypatch.setattr(train_text, "find_misread", lambda *_: {})  # of 70,000 texts, which takes a minute
    train_text.train_further(ENCODER, out, image, train_text.Fit(steps=0))
    before, after = (load_file(folder / train_image.WEIGHTS) for folder in (ENCODER, out))
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed and all(name.startswith(PREFIX) for name in changed)
    card, shipped = (json.loads((folder / "card.json").read_text()) for folder in (out, ENCODER))
    assert card["image_auc"] == {"happy": 0.5} and card["alone"] == shipped["alone"]


def test_an_encoder_of_an_earlier_tower_begins_with_eyes_that_say_nothing(tmp_path):
    tensors = load_file(ENCODER / train_image.WEIGHTS)
    save_file({n: v for n, v in tensors.items() if ".eyes." not in n}, tmp_path / train_image.WEIGHTS)
    shutil.copy(ENCODER / train_image.DIRECTIONS, tmp_path)
    tower, heads = FaceTower(), train_image.Directions(len(train_image.attr.NAMES), 128)
    train_image.begin_with(tmp_path, tower, heads)
    assert torch.equal(tower.head.bias, tensors[PREFIX + "head.bias"])
    assert not heads.vectors.requires_grad and tower.eyes.both[-1].weight.abs().max() == 0
    save_file({n: v for n, v in tensors.items() if ".head." not in n}, tmp_path / train_image.WEIGHTS)
    with pytest.raises(ValueError, match=r"must hold an image tower; it lacks head\.weight, head\.bias"):
        train_image.begin_with(tmp_path, tower, heads)


def test_an_anchor_lets_embeddings_move_along_attributes_alone(tower, crops):
    heads = train_image.Directions(3, 128)
    anchor = train_image.Anchor(tower, heads)
    features = tower(crops).detach()
    unit = torch.nn.functional.normalize(features, dim=-1)
    assert anchor(crops, features, lower=False) == 0
    along, across = unit + 0.1 * heads.unit()[0].detach(), unit + 0.1 * torch.randn_like(unit)
    moved = [
        float(anchor(crops, each * unit.norm(dim=-1, keepdim=True), lower=False).detach()) for each in (along, across)
    ]
    assert moved[0] < 0.05 * moved[1]


def test_lines_are_told_beside_a_faces_own_set():
    values, source = torch.tensor([1.0, 2.0, 3.0, 11.0, 12.0, 13.0]), np.array(["soft"] * 3 + ["sharp"] * 3)
    assert beside_own(values, source).tolist() == [-1, 0, 1, -1, 0, 1]


@pytest.mark.parametrize("first", [0, 3])
def test_batches_made_together_are_those_that_follow_each_other(first):
    faces = drawn_faces()
    chosen, share = faces.learned()
    faces.measure_population()
    made = list(train_image.batches(faces, chosen, share, first, 5, 4, 0, at_once=2))
    assert len(made) == 5 - first and all(len(rows) == 4 for each in made for rows in each)
    generator = seeded(2)
    drawn = chosen[torch.multinomial(share, 8, replacement=True, generator=generator)]
    image, _, _ = faces.batch(drawn, generator)
    torch.testing.assert_close(made[3 - first][0], image[4:])


def test_a_batch_of_captions_is_drawn_by_its_own_seed_whoever_draws_it():
    words = train_text.Words(seed=0)
    directions = torch.nn.functional.normalize(torch.randn(len(attr.NAMES) + 2, 8), dim=-1)
    meanings = train_text.Meanings(directions[:-2], directions[-2], directions[-1])
    batches = train_text.Batches(words, meanings, train_text.Fit(steps=3, batch=5))
    rows, targets = batches[1]
    others, _ = batches[0]
    for again in (batches[1], train_text.Batches(train_text.Words(seed=0), meanings, batches.plan)[1]):
        assert torch.equal(again[0], rows) and torch.equal(again[1], targets)
    assert not torch.equal(others, rows)


def test_of_a_token_table_twice_the_share_is_kept():
    model = torch.nn.ModuleDict({"token_embedding": torch.nn.Embedding(2, 2), "head": torch.nn.Linear(2, 2)})
    before = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    for value in model.parameters():
        torch.nn.init.ones_(value)
    train_text.keep(model, before, 0.3)
    assert {name: round(float(v.mean()), 5) for name, v in model.state_dict().items()} == {
        "token_embedding.weight": 0.4, "head.weight": 0.7, "head.bias": 0.7,
    }  # fmt: skip
