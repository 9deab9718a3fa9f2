"""The predictor's recipe: its batches have the loop's own objective, and its losses say what they are for."""

from __future__ import annotations

import copy
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_align import astronaut

from examples.faceclip.captions import MAKEABLE
from examples.predictor import ablate, losses
from examples.predictor import prompts as recipe_prompts
from examples.predictor.draws import learn_draws, likeness
from examples.predictor.faces import Faces, describe_face
from examples.predictor.objective import bound_fields, evaluate, make_batch
from examples.predictor.prompts import SELDOM, Prompts
from examples.predictor.train import FURTHER, Source, Training, calibrate, match_amounts, train
from flowedit.config import Config
from flowedit.face.crop import Crop, extract, face_crop, whole_crop
from flowedit.face.detect import find_faces
from flowedit.fit.objective import Objective
from flowedit.guide.color_words import names_color
from flowedit.guide.encoder import load_encoder
from flowedit.guide.targets import make_settings
from flowedit.kernels import REGULARIZERS
from flowedit.photo.photo import load, quantize
from flowedit.predict.inputs import CROP_PX
from flowedit.predict.network import Prediction, Predictor
from flowedit.predict.place import place
from flowedit.predict.weights import Trained, load_predictor
from flowedit.task.prepare import Task, prepare_face


@pytest.fixture(scope="module")
def face():
    photo = load(astronaut())
    crop = face_crop(find_faces(photo)[0].landmarks)
    row = {
        "image": quantize(extract(photo, crop, CROP_PX), np.uint8),
        "landmarks": crop.landmarks.numpy(),
        "source": "london",
    }
    return photo, crop, row


@pytest.fixture(scope="module")
def faces_file(face, tmp_path_factory):
    described = [describe_face(face[2]) for _ in range(3)]
    path = tmp_path_factory.mktemp("faces") / "faces.npz"
    np.savez(path, **{name: np.stack([np.asarray(each[name]) for each in described]) for name in described[0]})
    return path


def tensors_of(described):
    """The masks, prices and landmarks of a face as of `Faces.draw`."""
    return [torch.from_numpy(described[name])[None].float() for name in ("masks", "prices", "landmarks")]


def random_fields(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (2, 16, 16), (3, 64, 64), (5, 3)
    return Prediction(*(0.03 * torch.randn(count, *shape, generator=generator) for shape in shapes))


@pytest.mark.parametrize("prompt", ["a smiling face", "red lipstick"])
def test_a_batch_has_the_objective_of_the_loop(face, prompt):
    photo, _, row = face
    encoder, config, generator = load_encoder(), Config(), torch.Generator().manual_seed(0)
    image = torch.from_numpy(row["image"]).permute(2, 0, 1)[None].float() / 255
    described = describe_face(row)
    faces = (image, *tensors_of(described))
    asked = config.intensity * (encoder.text([prompt]) - encoder.text(["a face"]))
    colored = names_color(encoder, {prompt: 1.0})
    batch = make_batch(encoder, faces, asked, torch.tensor([colored]), generator)
    fields = random_fields(1)
    outcome = evaluate(encoder, batch, fields)

    task_face = prepare_face(load(row["image"]), crop_of(row), None, CROP_PX, config, generator)
    settings = make_settings(encoder, {prompt: 1.0}, "direction", intensity=config.intensity)
    task = Task(photo, (task_face,), {prompt: 1.0}, encoder, config, settings, generator, colored, colored)
    start = place(fields, 0, task, task_face)
    objective = Objective(task, replace(task_face, start=start), {})
    values = dict(zip(objective.weights, objective(torch.tensor([0]), 0).tolist(), strict=True))
    for k, name in enumerate(REGULARIZERS):
        assert float(outcome.costs[0, k]) == pytest.approx(values[name], rel=0.01, abs=1e-6), name
        assert float(batch.weights[0, k]) == pytest.approx(objective.weights[name]), name
    assert float(outcome.text) == pytest.approx(values["text"], abs=2e-3)
    smile = objective.weights.get("smile", 0.0) * values.get("smile", 0.0)
    costs = float((batch.weights * outcome.costs).sum() + outcome.text)
    assert float(outcome.total) == pytest.approx(costs + smile, rel=1e-3) and ("smile" in values) == ("smil" in prompt)


def crop_of(row):
    """The crop of a picture that is one aligned face."""
    return Crop(whole_crop(load(row["image"])).matrix, torch.from_numpy(row["landmarks"]))


def test_gray_faces_are_tinted_by_light_alone(face):
    gray = torch.full((1, 3, CROP_PX, CROP_PX), 0.5)
    described = describe_face(face[2])
    faces = (gray, *tensors_of(described))
    encoder = load_encoder()
    batch = make_batch(encoder, faces, torch.zeros(1, 128), torch.tensor([True]), torch.Generator().manual_seed(0))
    fields = bound_fields(batch, random_fields(1))[0]
    assert fields[: 2 * 16**2].abs().min() > 0
    red, green, blue = fields[2 * 16**2 : 2 * 16**2 + 3 * 64**2].reshape(3, -1)
    assert torch.equal(red, green) and torch.equal(green, blue) and red.abs().max() > 0.01
    assert torch.equal(batch.paints, batch.paints[..., :1].expand_as(batch.paints))


def test_distillation_is_least_where_each_face_does_what_its_own_prompt_asks():
    asked = torch.eye(4, 16)
    tried = asked, 2 * asked, 0 * asked, asked.roll(1, 0)
    exact, more, still, turned = (float(losses.distillation(moved, asked)) for moved in tried)
    assert exact == pytest.approx(0, abs=1e-6) and exact < more < still < turned
    assert losses.distillation(1e-4 * asked, asked) == pytest.approx(still, rel=0.01)  # no more is asked of a little


def test_triplets_punish_fields_that_are_all_the_mean():
    generator = torch.Generator().manual_seed(0)
    right, mean = torch.randn(6, 50, generator=generator), torch.randn(50, generator=generator)
    wrong = right.roll(1, 0)
    own, shuffled = (
        losses.diverse_triplets(right, right, wrong, mean),
        losses.diverse_triplets(wrong, right, right, mean),
    )
    average = losses.diverse_triplets(mean.expand_as(right), right, wrong, mean)
    assert own == 0 and shuffled > 0.5 and average > 1


def test_every_meaning_is_asked_as_often_as_it_is_hard_and_some_avoided(monkeypatch):
    monkeypatch.setattr(recipe_prompts, "PHRASES", 1)
    monkeypatch.setattr(recipe_prompts, "COMBINATIONS", 5)
    encoder = load_encoder()
    prompts = Prompts(encoder)
    changes, colored = prompts.draw(800, torch.Generator().manual_seed(0))
    known = F.normalize(prompts._changes, dim=1)
    likeness = F.normalize(changes, dim=1) @ known.T
    nearest = likeness.abs().argmax(1)
    assert torch.allclose(likeness.abs().amax(1), torch.ones(800), atol=1e-5)
    counts = torch.bincount(nearest, minlength=len(known))[: len(MAKEABLE)]
    assert (counts > 0).sum() >= 100  # a few meanings have a phrase that is nearly another's
    times = prompts._times
    seldom, once, often = (float(counts[: len(times)][times == each].float().mean()) for each in (SELDOM, 1.0, 4.0))
    assert 1.5 * seldom < once < 0.5 * often
    avoided = likeness.gather(1, nearest[:, None])[:, 0] < 0
    assert 0.03 < avoided.float().mean() < 0.12
    assert 0 < colored.float().mean() < 1


@pytest.fixture
def few_prompts(monkeypatch):
    """Prompts that are embedded in a moment."""
    monkeypatch.setattr(recipe_prompts, "PHRASES", 1)
    monkeypatch.setattr(recipe_prompts, "COMBINATIONS", 3)


def test_training_goes_on_where_it_was_stopped(faces_file, tmp_path, few_prompts, monkeypatch):
    monkeypatch.setattr("examples.predictor.train.calibrate", lambda network, source: 1.0)
    monkeypatch.setattr("examples.predictor.train.match_amounts", lambda network, source, further: None)
    learned = []
    monkeypatch.setattr("examples.predictor.train.learn_draws", lambda *arguments: learned.append(arguments[2:4]))
    short = {"taught": 1, "teacher_steps": 2, "lessons": 2, "batch": 4, "triplets": 0.02, "minutes": 60.0, "draws": 7}
    whole, _, _ = train(faces_file, tmp_path / "whole", Training(steps=3, **short))
    log = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    assert log[0]["imitation"] > 0
    assert any(parameter.abs().max() > 0 for parameter in whole.coord.parameters())

    with monkeypatch.context() as stopped:
        stopped.setattr("examples.predictor.train.SAVE_EVERY", 2)
        stopped.setattr(Source, "draw", stop_at(Source.draw, 1 + 3))
        with pytest.raises(KeyboardInterrupt):
            train(faces_file, tmp_path / "stopped", Training(steps=3, **short))
    again, _, _ = train(faces_file, tmp_path / "stopped", Training(steps=3, **short))
    assert learned == [(1.0, 7)] * 2  # not where it was stopped
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)

    one_step = Training(steps=1, **{**short, "taught": 0})  # of a rate of 1e-5
    further, _, _ = train(faces_file, tmp_path / "further", one_step, begin=Trained(whole))
    for one, other in zip(whole.parameters(), further.parameters(), strict=True):
        assert torch.allclose(one, other, atol=2e-5)


def test_draws_are_learned_and_the_edit_without_noise_stays(faces_file, few_prompts, monkeypatch):
    monkeypatch.setattr("examples.predictor.draws.LOG_EVERY", 2)
    encoder, told = load_encoder(), []
    source = Source(Faces(faces_file), Prompts(encoder), encoder, Training(batch=4, rate=0.01))
    trained = load_predictor()
    network = copy.deepcopy(trained.network)
    batch, noise = source.draw_pairs()
    assert torch.equal(batch.images[::2], batch.images[1::2]) and torch.equal(batch.asked[::2], batch.asked[1::2])
    assert not torch.equal(noise[::2], noise[1::2])
    learn_draws(network, source, trained.further, 4, told.append)
    told_changes = trained.further * batch.changes
    with torch.no_grad():
        before, after = (each(batch.images, told_changes) for each in (trained.network, network))
        forgotten, drawn = (each(batch.images, told_changes, noise) for each in (trained.network, network))
    assert torch.equal(before.coord, after.coord) and torch.equal(before.amounts, after.amounts)
    assert not torch.allclose(forgotten.coord, drawn.coord, atol=1e-3)
    assert [line["draws"] for line in told] == [2, 4] and all(
        parameter.requires_grad for parameter in network.parameters()
    )


def test_differences_of_two_draws_along_one_line_cost():
    one, other = torch.eye(2, 8)
    assert likeness(torch.stack([one, 3 * one, one, -one])) == pytest.approx(1)
    assert likeness(torch.stack([one, other])) == 0


def test_each_form_is_trained_and_compared_on_the_same_faces(face, faces_file, few_prompts, monkeypatch, capsys):
    described = describe_face(face[2])
    image = torch.from_numpy(described["image"]).permute(2, 0, 1)[None].float() / 255
    monkeypatch.setattr(ablate, "unseen_faces", lambda raw: (image, *tensors_of(described)))
    monkeypatch.setattr(ablate, "PROMPTS", ("a smiling face",))
    monkeypatch.setattr(ablate, "ROWS", {"shipped form": {"batch": 2}, ablate.WITHOUT_COMMON: {"batch": 2}})
    out = str(faces_file.parent)
    monkeypatch.setattr("sys.argv", ["ablate", "--data", "raw", "--out", out, "--steps", "1"])
    ablate.main()
    (*rows, shipped) = capsys.readouterr().out.splitlines()[-3:]
    assert rows[0].startswith("shipped form ") and rows[1].startswith("without the prompt's own field ")
    assert shipped.startswith("shipped weights ") and float(shipped.split()[-1].rstrip("%")) > 5
    weights = [
        torch.load(faces_file.parent / "ablation_1" / str(k) / "predictor.ckpt", weights_only=True)["network"]
        for k in range(2)
    ]
    assert [bool(each["common.weight"].any()) for each in weights] == [True, False]
    with pytest.raises(ValueError, match="--steps must be at least 1 without --begin"):
        train(faces_file, faces_file.parent / "none", Training(steps=0))


class Scaled(torch.nn.Module):
    """Predicts a random field, times the length of the change that it is told."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, crops, changes, noise=None):
        fields = random_fields(len(crops))
        lengths = self.scale * changes.norm(dim=1).reshape(-1, 1, 1, 1)
        return Prediction(lengths * fields.coord, lengths * fields.color, lengths[..., 0] * fields.amounts)


@pytest.mark.parametrize(("scale", "further"), [(0.0, FURTHER[-1]), (3.0, FURTHER[0])])
def test_a_network_is_told_as_much_more_as_costs_nothing(faces_file, few_prompts, monkeypatch, scale, further):
    monkeypatch.setattr("examples.predictor.train.CALIBRATED", 2)
    encoder = load_encoder()
    source = Source(Faces(faces_file), Prompts(encoder), encoder, Training(batch=4))
    assert calibrate(Scaled(scale), source) == further


def test_amounts_of_paint_are_scaled_to_what_the_optimizer_finds(faces_file, few_prompts, monkeypatch):
    encoder, seen = load_encoder(), []
    source = Source(Faces(faces_file), Prompts(encoder), encoder, Training(batch=4))
    network = Predictor()
    torch.nn.init.normal_(network.amounts.weight, generator=torch.Generator().manual_seed(0))
    before = network.amounts.weight.detach().clone()

    def find(encoder, batch, steps):
        seen.append(batch.colored)
        with torch.no_grad():
            amounts = network(batch.images, 1.5 * batch.changes).amounts
        times = torch.tensor([2.0, 0.5, 9.0, 1.5, 1.0]).reshape(1, -1, 1)
        return torch.cat([torch.zeros(len(amounts), 7), (times * amounts).flatten(1)], dim=1)

    monkeypatch.setattr("examples.predictor.train.MATCHED", 3)
    monkeypatch.setattr("examples.predictor.train.find_fields", find)
    assert match_amounts(network, source, 1.5) == pytest.approx([2.0, 1.0, 3.0, 1.5, 1.0], rel=1e-3)
    assert torch.allclose(network.amounts.weight[6:9], 3 * before[6:9], rtol=1e-3) and torch.cat(seen).all()


def stop_at(draw, number):
    """A method that is interrupted at a call, by its number."""
    calls = itertools.count(1)

    def stopped(self):
        if next(calls) == number:
            raise KeyboardInterrupt
        return draw(self)

    return stopped


def test_a_half_of_the_faces_is_mirrored_with_all_that_is_known_of_them(faces_file):
    faces = Faces(faces_file)
    images, masks, prices, landmarks = faces.draw(40, torch.Generator().manual_seed(0))
    plain = images[0] if torch.equal(images[0], faces.draw(40, torch.Generator().manual_seed(0))[0][0]) else None
    mirrored = torch.tensor([not torch.equal(image, images[0]) for image in images])
    assert plain is not None and 8 < mirrored.sum() < 32
    assert torch.equal(images[mirrored][0], images[~mirrored][0].flip(-1))
    assert torch.equal(masks[mirrored][0], masks[~mirrored][0].flip(-1))
    assert torch.equal(prices[mirrored][0], prices[~mirrored][0].flip(-1))
    left, right = landmarks[mirrored][0], landmarks[~mirrored][0]
    assert torch.equal(left[[0, 36, 48, 8]], right[[16, 45, 54, 8]] * torch.tensor([-1.0, 1.0]))
