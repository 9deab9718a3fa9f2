"""A step of the loop: what a CUDA graph asks of it, and what is captured when."""

from __future__ import annotations

import contextlib

import pytest
import torch
from stand_in import TinyEncoder
from torch.utils._python_dispatch import TorchDispatchMode

from flowedit.capture import WARM_UP, Captured
from flowedit.config import Config
from flowedit.descent import PlaceAdam
from flowedit.field import HashField, RasterField
from flowedit.steps import Objective, iterate, make_optimizers

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
        if isinstance(optimizer, PlaceAdam):
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
