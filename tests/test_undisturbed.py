"""An encoder takes nothing from the caller's torch state, and leaves the caller's process as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from stand_in import TinyEncoder, picture
from test_isolation import STATES, deterministic

import flowedit
from flowedit.config import RasterConfig, Weights
from flowedit.guide.encoder import WEIGHTS, _load, load_encoder

ROOT = Path(__file__).parent.parent
IMAGE = torch.rand(2, 3, 140, 140, generator=torch.Generator().manual_seed(0))
PROMPTS = ["a smiling face", "red lips. " * 30]


def embed(encoder):
    return encoder.image(IMAGE), encoder.text(PROMPTS), torch.tensor(float(encoder.knows(PROMPTS[0])), device="cpu")


@pytest.fixture(scope="module")
def expected():
    return embed(load_encoder())


@pytest.mark.parametrize("name", [*STATES, "deterministic"])
def test_the_callers_torch_state_changes_no_bit(name, expected):
    _load.cache_clear()
    with STATES.get(name, deterministic)():
        encoder = load_encoder()
        for got, wanted in zip(embed(encoder), expected, strict=True):
            assert got.device.type == "cpu" and torch.equal(got.float(), wanted.float())
    assert {value.dtype for value in encoder.model.parameters()} == {torch.float32}
    for got, wanted in zip(embed(encoder), expected, strict=True):  # and what was loaded there is as good as any
        assert torch.equal(got, wanted)
    image = IMAGE.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(encoder.image(image).sum(), image)
    assert gradient.abs().sum() > 0


def make_all(folder):
    """Use every part of the API once: rendered bits, the files' bytes, what is told."""
    config = flowedit.Config(align=False, steps=6, raster=RasterConfig(4, 4), weights=Weights(tint=0.5))
    edit = flowedit.optimize(picture(), "red", config=config, encoder=TinyEncoder())
    both = edit + 0.5 * edit.apply(picture())
    path = flowedit.load(edit.save_edit(folder / "a.flowedit")).apply(picture()).save(folder / "a.png")
    undone = (~edit).apply(path)
    names = ("render", "saved", "file", "sum", "undone")
    found = (edit.render(), path.read_bytes(), (folder / "a.flowedit").read_bytes(), both.render(), undone.render())
    return dict(zip(names, found, strict=True)), both.explain()


@pytest.mark.parametrize("name", [*STATES, "deterministic"])
def test_the_callers_torch_state_changes_no_edit(name, tmp_path, monkeypatch):
    monkeypatch.setattr("flowedit.fit.loop.time.perf_counter", lambda: 0.0)  # a file has the seconds that it took
    wanted, told = make_all(tmp_path)
    with STATES.get(name, deterministic)():
        made, said = make_all(tmp_path)
    assert said == told and (wanted["render"] - wanted["undone"]).abs().max() > 0
    for part, value in wanted.items():
        assert torch.equal(made[part], value) if isinstance(value, torch.Tensor) else made[part] == value, part


def test_the_callers_gradient_mode_holds():
    image = IMAGE.clone().requires_grad_()
    assert load_encoder().image(image).requires_grad
    with torch.no_grad():
        assert not load_encoder().image(image).requires_grad


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_an_image_of_another_dtype_is_embedded_in_float32(dtype):
    encoder = load_encoder()
    assert torch.equal(encoder.image(IMAGE.to(dtype)), encoder.image(IMAGE.to(dtype).float()))


SCRIPT = """
import logging, os, random, sys, threading, warnings
import numpy as np
import torch
from concurrent.futures import ThreadPoolExecutor
from flowedit.guide.encoder import WEIGHTS, load_encoder

torch.set_num_threads(1)
torch.manual_seed(7), np.random.seed(7), random.seed(7)
warnings.filterwarnings("ignore", message="the host's own")

def state():
    return (
        torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate(),
        list(logging.root.handlers), logging.root.level, logging.root.manager.disable,
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.empty(0).device, dict(os.environ),
    )

before, filters = state(), list(warnings.filters)
together = threading.Barrier(4)

def load(_):
    together.wait()
    encoder = load_encoder(*sys.argv[1:])
    return encoder, encoder.text(["a smiling face"]), state()[3:6]

with ThreadPoolExecutor(4) as pool:
    results = list(pool.map(load, range(4)))
assert state() == before
assert [each for each in warnings.filters if each in filters] == filters
added = [each for each in warnings.filters if each not in filters]
assert not [each for each in added if each[0] == "ignore" and each[1] is None and each[3] is None], added
assert all(encoder is results[0][0] for encoder, _, _ in results)
assert all(during == before[3:6] for _, _, during in results)

from flowedit.guide import encoder as encoders
encoders._load.cache_clear()
filters = list(warnings.filters)
serial = load_encoder(*sys.argv[1:]).text(["a smiling face"])
assert warnings.filters == filters
assert all(torch.equal(text, serial) for _, text, _ in results)
print("added", added)
"""


@pytest.mark.parametrize("name", [[], [str(WEIGHTS / "faceclip")]], ids=["shipped", "by open_clip"])
def test_first_calls_at_once_leave_the_host_as_it_was(name):
    """Logging, warnings, generators, variables and torch's defaults, in a process of its own."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, *name], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
