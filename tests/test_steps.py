"""A step of the loop: what a CUDA graph asks of it, and what is captured when."""

from __future__ import annotations

import contextlib

import pytest
import torch
from stand_in import TinyEncoder, picture
from test_align import drawn_landmarks
from torch.utils._python_dispatch import TorchDispatchMode

from flowedit.config import Config
from flowedit.face.crop import Crop
from flowedit.face.part_tint import PartTint
from flowedit.field.hashgrid import HashField
from flowedit.field.offsets import Offsets, pixel_centers
from flowedit.field.raster import RasterField
from flowedit.field.warp import effective, pull_back, warp
from flowedit.fit.adam_uniform import AdamUniform
from flowedit.fit.cuda_graph import WARM_UP, Captured
from flowedit.fit.iterate import iterate, make_optimizers
from flowedit.fit.objective import Objective
from flowedit.fit.smile import RealSmile
from flowedit.fit.terms import TERMS, FitState, evenness, movement_price, tint_price
from flowedit.guide.smile_words import smiling_share
from flowedit.guide.targets import TargetSettings, make_targets, text_change
from flowedit.kernels import render_views
from flowedit.photo.photo import load
from flowedit.task.prepare import FaceTask, Task
from flowedit.task.views import Views, soften
from flowedit.transform.transforms import FieldTransform

SIDE = 32
FIELDS = {"raster": lambda: RasterField(6, 6), "hash": lambda: HashField(n_levels=4, n_coord_levels=3)}


def part_tint(masks):
    return PartTint(masks, torch.eye(3).repeat(len(masks), 1, 1), 0.15)


def task_of(transform, pixels, weight, config, seed=0):
    """A task of one face, guided by the stand-in."""
    face = FaceTask(transform, pixels, weight)
    generator = torch.Generator().manual_seed(seed)
    task = Task(
        load(picture()), (face,), {"red": 1.0}, TinyEncoder(), config, TargetSettings(config.intensity), generator
    )
    return task, face


class NoReading(TorchDispatchMode):
    """Refuse what waits for a device: a tensor read as a number."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "_local_scalar_dense" in str(function) or "nonzero" in str(function):
            raise AssertionError(f"{function} waits for the device")
        return function(*args, **(kwargs or {}))


@pytest.fixture(params=FIELDS)
def setup(request):
    pixels = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    crop = Crop(torch.tensor([[20.0, 0, 24], [0, 20, 20]], dtype=torch.float64))
    parts = part_tint(torch.full((2, 16, 16), 255, dtype=torch.uint8))
    transform = FieldTransform(FIELDS[request.param](), crop, part_tint=parts)
    return task_of(transform, pixels, torch.ones(1, 1, SIDE, SIDE), Config(field=request.param, steps=5))


def test_a_step_reads_nothing_back_from_its_device(setup, monkeypatch):
    objective = Objective(*setup, {})
    monkeypatch.setattr(objective, "_early", False)
    optimizers = make_optimizers(setup[1].start, setup[0].config)
    for optimizer in optimizers:
        if isinstance(optimizer, AdamUniform):
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(group["lr"])  # as make_optimizers does on CUDA
    for number in range(3):
        with NoReading() if number else contextlib.nullcontext():  # the first warms up, and may
            values = objective(torch.tensor([0, 3]), number)
            for optimizer in optimizers:
                optimizer.step()
    assert values.shape == (len(objective.weights),)
    with pytest.raises(AssertionError, match="waits"), NoReading():
        values[0].item()


@pytest.mark.parametrize("diffeomorphic", [False, True])
def test_a_step_shows_and_prices_what_would_be_done_to_the_photo(diffeomorphic):
    """The fused operation against `TERMS`, plain torch, with the gradients of their weighted sum."""
    config = Config(views=2, diffeomorphic=diffeomorphic)
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(2, 128, 128, dtype=torch.uint8)
    masks[0, :40], masks[1, 30:, :50] = 255, 200
    field, parts = RasterField(6, 8, diffeomorphic=diffeomorphic), part_tint(masks)
    parameters = [*field.parameters(), parts.amounts]
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    pixels, weight = torch.rand(1, 3, 64, 64, generator=generator), torch.rand(1, 1, 64, 64, generator=generator)
    marks = drawn_landmarks().float()
    crop = Crop(torch.tensor([[20.0, 0, 24], [0, 20, 20]], dtype=torch.float64), marks)
    task, face = task_of(FieldTransform(field, crop, part_tint=parts), pixels, weight, config, seed=1)
    objective = Objective(task, face, {})
    chosen = torch.tensor([3, 5])
    values = dict(zip(objective.weights, objective(chosen, 0).tolist(), strict=True))
    gradients = [parameter.grad for parameter in parameters]

    views = Views.draw(config.augment, torch.Generator().manual_seed(1), torch.device("cpu")).choose(chosen)
    soft = soften(pixels, task.guide.size)

    def seen(coord, color):
        return render_views(soft, coord, color, views.theta, views.gain, task.guide.size)

    raw = field.on_grid(64)
    moved = effective(raw, weight, diffeomorphic=diffeomorphic).coord.detach()  # a part's edge of paint moves nothing
    painted = (parts.colors().T @ pull_back(parts.masks_on(64)[None], moved)[0].flatten(1)).reshape(1, 3, 64, 64)
    done = effective(raw._replace(color=(raw.color + painted).clamp(-0.15, 0.15)), weight, diffeomorphic=diffeomorphic)
    still = torch.zeros(1, 2, 64, 64), torch.zeros(1, 3, 64, 64)
    targets = make_targets("direction", task.guide, task.prompts, task.guide.image(seen(*still)), task.settings)
    shown = seen(*done)
    prices = torch.cat([movement_price(marks, 64, 3.0), tint_price(parts.masks, marks, 64, 40.0)])
    state = FitState(
        0, done, done.color - weight * painted, parts.amounts, shown, task.guide.image(shown), targets, soft,
        prices, evenness(pixels), marks,
    )  # fmt: skip
    terms = {name: term(state) for name, term in TERMS.items()} | {"smile": RealSmile(marks[None])(state)}
    assert values == pytest.approx({name: value.item() for name, value in terms.items()}, rel=1e-3, abs=1e-5)
    smiling = float(smiling_share(task.guide, text_change(task.guide, task.prompts)[None]))
    weights = {name: getattr(config.weights, name) for name in TERMS if name != "text"}
    assert objective.weights == {**weights, "smile": smiling * config.weights.smile, "text": 1} and smiling > 0
    total = sum(objective.weights[name] * value for name, value in terms.items())
    for gradient, true in zip(gradients, torch.autograd.grad(total, parameters), strict=True):
        torch.testing.assert_close(gradient, true, rtol=1e-3, atol=1e-4 * float(true.abs().max()))


def test_a_steps_total_is_its_terms_by_their_weights(setup):
    *_, step = iterate(*setup)
    priced = sum(getattr(setup[0].config.weights, name) * step.terms[name] for name in TERMS if name != "text")
    assert step.total == pytest.approx(step.terms["text"] + priced, rel=1e-6) and priced > 0


def test_a_broken_field_is_told_before_the_encoder_sees_what_it_draws(setup):
    objective = Objective(*setup, {})
    calls = setup[0].guide.calls
    with torch.no_grad():
        setup[1].start.part_tint.amounts[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="term 'tint' must be finite; got nan at step 7"):
        objective(torch.tensor([0]), 7)
    assert setup[0].guide.calls == calls


class FakeGraphs:
    """Stands in for torch.cuda: what is captured is kept, and run when it is replayed."""

    def __init__(self, monkeypatch, fails=False):
        self.captured, self.replayed, self.fails = [], 0, fails
        for name in ("Stream", "stream", "graph", "current_stream", "CUDAGraph"):
            monkeypatch.setattr(f"torch.cuda.{name}", getattr(self, name), raising=False)

    def Stream(self):
        return self

    current_stream = Stream

    def wait_stream(self, stream):
        pass

    def stream(self, stream):
        return contextlib.nullcontext()

    def CUDAGraph(self):
        return self

    def pool(self):
        return None

    def replay(self):
        self.replayed += 1

    @contextlib.contextmanager
    def graph(self, graph, pool=None):
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        self.captured.append(graph)
        yield


def run(steps):
    calls = []

    def look(chosen, number):
        calls.append(("look", chosen.tolist()))
        return chosen * 2

    captured = Captured(look, lambda: calls.append(("move", None)))
    found = []
    for number in range(steps):
        found.append(captured.look(torch.tensor([number]), number))
        captured.move()
    return calls, found


def test_steps_are_captured_after_the_warm_up_and_replayed(monkeypatch):
    graphs = FakeGraphs(monkeypatch)
    calls, found = run(WARM_UP + 3)
    assert len(calls) == 2 * (WARM_UP + 1)  # in the last pair, run by the capture
    assert len(graphs.captured) == 2 and graphs.replayed == 6
    assert found[-1] is found[-2]  # the graph's own values


def test_what_cannot_be_captured_is_called_for_good_and_the_log_says_so(monkeypatch, caplog):
    graphs = FakeGraphs(monkeypatch, fails=True)
    with caplog.at_level("INFO"):
        calls, found = run(WARM_UP + 3)
    assert [chosen for name, chosen in calls if name == "look"] == [[k] for k in range(WARM_UP + 3)]
    assert [value.item() for value in found] == [2 * k for k in range(WARM_UP + 3)] and not graphs.replayed
    assert "cannot be captured as a CUDA graph: operation not permitted" in caplog.text


def test_other_optimizers_may_take_the_steps(setup):
    transform = setup[1].start
    before = {name: value.detach().clone() for name, value in transform.field.named_parameters()}
    steps = list(iterate(*setup, optimizers=[torch.optim.SGD([transform.part_tint.amounts], 0.1)]))
    assert [step.number for step in steps] == list(range(5)) and transform.part_tint.amounts.any()
    assert all(torch.equal(value, before[name]) for name, value in transform.field.named_parameters())


def test_a_preview_is_the_face_as_it_is(setup):
    *_, step = iterate(*setup)
    assert step.preview().shape == (1, 3, SIDE, SIDE) and step.preview(16).shape == (1, 3, 16, 16)
    transform, pixels = setup[1].start, setup[1].pixels
    points = pixel_centers(SIDE).reshape(-1, 2)
    coord, color = transform.field.at_points(points)
    color = transform.part_tint.add(color, points)
    coord, color = coord.T.reshape(1, 2, SIDE, SIDE), color.T.reshape(1, 3, SIDE, SIDE)
    torch.testing.assert_close(step.preview(), warp(pixels, Offsets(coord, color)).clamp(0, 1), rtol=0, atol=2e-3)
    assert not torch.equal(step.preview(), pixels)
