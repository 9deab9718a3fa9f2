"""The nodes of examples/comfyui, loaded and called as ComfyUI does."""

from __future__ import annotations

import importlib.util
import inspect
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch

import flowedit
from flowedit.config import Config

EXAMPLE = Path(__file__).parent.parent / "examples" / "comfyui"
PORTRAIT = np.ascontiguousarray(skimage.data.astronaut()[:280, 80:360])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """The classes by name, from a copy of the folder in a place that no import path leads to."""
    folder = tmp_path_factory.mktemp("custom_nodes") / "flowedit-nodes"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    name = str(folder).replace(".", "_x_")  # as ComfyUI names the module
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    assert module.NODE_CLASS_MAPPINGS.keys() == module.NODE_DISPLAY_NAME_MAPPINGS.keys()
    yield module.NODE_CLASS_MAPPINGS
    del sys.modules[name]


def execute(node, **given):
    """Run a node as ComfyUI does: defaults for what is not given, checks by name, no gradients; check the tuple."""
    kinds = node.INPUT_TYPES()
    inputs = {}
    for name, (kind, *options) in {**kinds["required"], **kinds.get("optional", {})}.items():
        default = kind[0] if isinstance(kind, list) else (options[0] if options else {}).get("default")
        inputs[name] = given.pop(name, default)
    assert not given
    wanted = inspect.signature(node.VALIDATE_INPUTS).parameters
    valid = node.VALIDATE_INPUTS(**{name: inputs[name] for name in wanted})
    if valid is not True:
        raise ValueError(valid)
    with torch.inference_mode():
        results = getattr(node(), node.FUNCTION)(**inputs)
    assert isinstance(results, tuple) and len(results) == len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    for kind, result in zip(node.RETURN_TYPES, results, strict=True):
        assert isinstance(result, torch.Tensor if kind == "IMAGE" else str)
    return results


def images(*pictures):
    return torch.from_numpy(np.stack(pictures)).float() / 255


@pytest.fixture(scope="module")
def smile():
    """The edit that the node predicts, by the library itself."""
    return flowedit.predict(PORTRAIT.astype(np.float32) / 255, "a smiling face", config=Config())


def test_the_classes_have_what_comfyui_reads(nodes):
    for node in nodes.values():
        assert node.CATEGORY and callable(getattr(node, node.FUNCTION))
        kinds = node.INPUT_TYPES()
        assert kinds["required"]["image"][0] == "IMAGE" and kinds["required"]["strength"][0] == "FLOAT"
        names = {*kinds["required"], *kinds.get("optional", {})}
        assert names == {*inspect.signature(getattr(node, node.FUNCTION)).parameters} - {"self"}


def test_a_batch_is_edited_picture_by_picture_and_told(nodes, smile, tmp_path):
    batch = images(PORTRAIT, PORTRAIT[:, ::-1])
    before = batch.clone()
    path = tmp_path / "smile.flowedit"
    edited, record = execute(nodes["FlowEditByPrompt"], image=batch, method="predict", save_edit=str(path))
    assert edited.shape == batch.shape and edited.dtype == torch.float32 and torch.equal(batch, before)
    assert edited.min() >= 0 and edited.max() <= 1
    torch.testing.assert_close(edited[0], smile.render()[0].permute(1, 2, 0), rtol=0, atol=1e-6)
    assert not torch.equal(edited[1], batch[1]) and torch.equal(edited[:, :8, :8], batch[:, :8, :8])
    records = json.loads(record)
    assert [each["prompts"] for each in records] == [{"a smiling face": 1.0}] * 2
    assert records[0]["strength"] == pytest.approx(smile.strength) and records[0]["predictor"] == "predictor"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["smile_0001.flowedit", "smile_0002.flowedit"]


def test_strength_zero_is_the_photo_with_its_alpha(nodes):
    alpha = np.linspace(0, 255, 280 * 280).astype(np.uint8).reshape(280, 280, 1)
    batch = images(np.concatenate([PORTRAIT, alpha], 2))
    edited, _ = execute(nodes["FlowEditByPrompt"], image=batch, method="predict", strength=0.0)
    assert torch.equal(edited, batch)


def test_optimizing_goes_on_from_the_prediction(nodes, smile, monkeypatch):
    asked = {}

    def optimize(photo, prompt, *, config, progress):
        asked.update(prompt=prompt, config=config, progress=progress)
        return smile

    monkeypatch.setattr(flowedit, "optimize", optimize)
    execute(nodes["FlowEditByPrompt"], image=images(PORTRAIT), prompt="big eyes", face="all", seed=5, upscaler="a.pth")
    assert asked == {"prompt": "big eyes", "config": Config(face="all", seed=5, upscaler="a.pth"), "progress": False}


def test_a_file_is_applied_and_read_again_when_it_changes(nodes, smile, tmp_path):
    path = smile.save_edit(tmp_path / "smile.flowedit")
    node = nodes["FlowEditApplyFile"]
    image = images(PORTRAIT)
    (whole,) = execute(node, image=image, edit_file=str(path))
    (half,) = execute(node, image=image, edit_file=str(path), strength=0.5)
    change, less = ((each - image).abs().sum() for each in (whole, half))
    assert 0 < less < change and torch.equal(execute(node, image=image, edit_file=str(path), strength=0.0)[0], image)
    first = node.IS_CHANGED(image=image, edit_file=str(path), strength=1.0)
    assert first == node.IS_CHANGED(image=image, edit_file=str(path), strength=1.0)
    (0.5 * smile).save_edit(path)
    assert node.IS_CHANGED(image=image, edit_file=str(path), strength=1.0) != first
    assert node.IS_CHANGED(image=None, edit_file=None, strength=1.0) == ""


@pytest.mark.parametrize(
    ("name", "inputs", "words"),
    [
        ("FlowEditByPrompt", {"prompt": " \n"}, "prompt must have at least one word; got"),
        ("FlowEditByPrompt", {"save_edit": "a.txt"}, r"save_edit must end in \.flowedit; got 'a\.txt'"),
        ("FlowEditApplyFile", {"edit_file": "none.flowedit"}, "edit_file must be a file that exists; got 'none"),
        ("FlowEditByPrompt", {"method": "predict"}, "image 2 of 2: no face"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(nodes, name, inputs, words):
    batch = images(PORTRAIT, np.full_like(PORTRAIT, 90))
    with pytest.raises(ValueError, match=words) as caught:
        execute(nodes[name], image=batch, **inputs)
    assert "\n" not in str(caught.value)
    assert nodes[name].VALIDATE_INPUTS() is True  # all by links
