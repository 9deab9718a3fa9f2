"""A step of the loop: what a CUDA graph asks of it, and what is captured when."""

from __future__ import annotations

import contextlib

import pytest
import torch
from stand_in import TinyEncoder
from test_align import drawn_landmarks
from torch.utils._python_dispatch import TorchDispatchMode

from flowedit.config import Config
from flowedit.field.base import PARTS_PX
from flowedit.field.hashgrid import HashField
from flowedit.field.raster import RasterField
from flowedit.field.warp import effective
from flowedit.fit.adam_uniform import AdamUniform
from flowedit.fit.cuda_graph import WARM_UP, Captured
from flowedit.fit.iterate import iterate, make_optimizers
from flowedit.fit.objective import Objective
from flowedit.fit.terms import evenness, movement_price, tint_price
from flowedit.fit.views import POOL, Views, soften
from flowedit.guide.targets import make_targets
from flowedit.kernels import PENALTIES
from flowedit.kernels.look.reference import look as look_reference
from flowedit.kernels.penalties.reference import penalties as penalties_reference

SIDE = 32
FIELDS = {"raster": lambda: RasterField(6, 6, n_parts=2), "hash": lambda: HashField(n_levels=4, n_parts=2)}


class NoReading(TorchDispatchMode):
    """Refuse what waits for a device: a tensor read as a number."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "_local_scalar_dense" in str(function) or "nonzero" in str(function):
            raise AssertionError(f"{function} waits for the device")
        return function(*args, **(kwargs or {}))


@pytest.fixture(params=FIELDS)
def setup(request):
    field = FIELDS[request.param]()
    field.draw_parts(torch.full_like(field.parts, 255), field.paints.clone())
    crop = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    arguments = (crop, torch.ones(1, 1, SIDE, SIDE), TinyEncoder(), {"red": 1.0}, Config(field=request.param, steps=5))
    return field, arguments


def test_a_step_reads_nothing_back_from_its_device(setup, monkeypatch):
    field, (crop, *rest) = setup
    objective = Objective(field, crop, *rest, torch.Generator().manual_seed(0))
    monkeypatch.setattr(objective, "_early", False)
    optimizers = make_optimizers(field, rest[-1])
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
    config = Config(views=2, diffeomorphic=diffeomorphic)
    generator = torch.Generator().manual_seed(0)
    field = RasterField(6, 8, diffeomorphic=diffeomorphic, n_parts=2)
    masks = torch.zeros(2, PARTS_PX, PARTS_PX, dtype=torch.uint8)
    masks[0, :40], masks[1, 30:, :50] = 255, 200
    field.draw_parts(masks, torch.eye(3).repeat(2, 1, 1))
    with torch.no_grad():
        for parameter in field.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
    crop, weight = torch.rand(1, 3, 64, 64, generator=generator), torch.rand(1, 1, 64, 64, generator=generator)
    encoder, prompts, marks = TinyEncoder(), {"red": 1.0}, drawn_landmarks().float()
    objective = Objective(field, crop, weight, encoder, prompts, config, torch.Generator().manual_seed(1), marks)
    chosen = torch.tensor([3, 5])
    values = dict(zip(objective.weights, objective(chosen, 0).tolist(), strict=True))
    found = {name: parameter.grad for name, parameter in field.named_parameters()}

    views = Views.draw(POOL, torch.Generator().manual_seed(1), torch.device("cpu"))
    soft = soften(crop, encoder.size)

    def measure_similarity(coord, color, views):
        return encoder.image(look_reference(soft, coord, color, views.theta, views.gain, encoder.size))

    done = effective(field.on_grid(64), weight, diffeomorphic=diffeomorphic)
    parts = (field.part_colors().T @ field.masks(64).flatten(1)).reshape(1, 3, 64, 64)
    price = torch.cat([movement_price(marks, 64, config.around), tint_price(field.parts, marks, 64)])
    costs = penalties_reference(done.coord, done.color - weight * parts, price, *evenness(crop))
    terms = dict(zip(PENALTIES, costs, strict=True))
    terms["palette"] = ((field.palette.square().sum(1) + 1e-4).sqrt() - 1e-2).sum()
    still = torch.zeros(1, 2, 64, 64), torch.zeros(1, 3, 64, 64)
    targets = make_targets(
        encoder, prompts, measure_similarity(*still, views.choose(chosen)), config.target, config.intensity
    )
    terms["text"] = 1 - (measure_similarity(*done, views.choose(chosen)) * targets).sum(1).mean()
    assert values == pytest.approx({name: value.item() for name, value in terms.items()}, rel=1e-3, abs=1e-5)
    total = terms["text"] + sum(getattr(config, name) * terms[name] for name in (*PENALTIES, "palette"))
    wanted = torch.autograd.grad(total, list(field.parameters()))
    for (name, gradient), true in zip(found.items(), wanted, strict=True):
        torch.testing.assert_close(gradient, true, rtol=1e-3, atol=1e-4 * float(true.abs().max()), msg=name)


def test_a_steps_total_is_its_terms_by_their_weights(setup):
    field, (crop, weight, encoder, prompts, config) = setup
    *_, step = iterate(field, crop, weight, encoder, prompts, config, torch.Generator().manual_seed(0))
    priced = sum(getattr(config, name) * step.terms[name] for name in (*PENALTIES, "palette"))
    assert step.total == pytest.approx(step.terms["text"] + priced, rel=1e-6) and priced > 0


def test_a_broken_field_is_told_before_the_encoder_sees_what_it_draws(setup):
    field, (crop, weight, encoder, prompts, config) = setup
    objective = Objective(field, crop, weight, encoder, prompts, config, torch.Generator().manual_seed(0))
    seen = encoder.calls
    with torch.no_grad():
        field.palette[0, 0] = float("nan")
    with pytest.raises(FloatingPointError, match="term 'tint' must be finite; got nan at step 7"):
        objective(torch.tensor([0]), 7)
    assert encoder.calls == seen


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
    field, (crop, weight, encoder, prompts, config) = setup
    before = {name: value.detach().clone() for name, value in field.named_parameters()}
    plain = [torch.optim.SGD([field.palette], 0.1)]
    steps = list(iterate(field, crop, weight, encoder, prompts, config, torch.Generator().manual_seed(0), plain))
    assert [step.number for step in steps] == list(range(5))
    moved = {name for name, value in field.named_parameters() if not torch.equal(value, before[name])}
    assert moved == {"palette"}
