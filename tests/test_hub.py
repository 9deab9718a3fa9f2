"""Predictors and guides as huggingface_hub's models are: folders without network, and sent only when asked."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import torch
from test_predict import NETWORK

import flowedit
from flowedit.guide.encoder import load_encoder
from flowedit.hub import HubGuide, HubPredictor
from flowedit.predict.weights import Trained, load_predictor, save_predictor

SAVED = ["README.md", "config.json", "predictor.safetensors"]


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No network, an empty folder, and a saved network in it."""

    def refuse(*_):
        raise AssertionError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    save_predictor(NETWORK, "net", guide="tiny", guide_sha256="a" * 64, further=1.5)


@pytest.fixture
def sent(monkeypatch):
    """What is asked of the hub's API."""
    asked = []

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **options):
            asked.append(("create", repo_id))
            return type("Repo", (), {"repo_id": repo_id})

        def upload_folder(self, repo_id, folder_path, **options):
            asked.append(("upload", repo_id, sorted(path.name for path in Path(folder_path).iterdir())))
            return "done"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    return asked


def test_a_predictor_comes_back_from_its_folder(sent):
    trained = load_predictor("net")
    HubPredictor(trained).save_pretrained("saved")
    assert sorted(path.name for path in Path("saved").iterdir()) == SAVED
    again = HubPredictor.from_pretrained("saved").trained
    assert (again.sha256, again.guide, again.guide_sha256, again.further) == (trained.sha256, "tiny", "a" * 64, 1.5)
    for name, value in trained.network.state_dict().items():
        assert torch.equal(again.network.state_dict()[name], value)
    assert flowedit.load_predictor("saved") is again  # what predictor="saved" takes
    config = json.loads(Path("saved/config.json").read_text())
    assert config["kind"] == "predictor" and config["settings"] == NETWORK.settings
    card = Path("saved/README.md").read_text()
    assert card.startswith("---\n") and "library_name: flowedit" in card and "a" * 64 in card
    HubPredictor.from_pretrained("saved").save_pretrained("saved")  # over itself
    assert load_predictor("saved").sha256 == trained.sha256 and sent == []


def test_it_is_sent_when_asked(sent):
    assert HubPredictor(load_predictor("net")).push_to_hub("me/net") == "done"
    assert sent == [("create", "me/net"), ("upload", "me/net", SAVED)]


def test_a_repository_is_fetched_by_its_name(monkeypatch):
    asked = {}

    def fetch(name, **options):
        asked.update(options, name=name)
        return "net"

    monkeypatch.setattr("flowedit.hub.folder.snapshot_download", fetch)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", lambda **options: None)
    found = HubPredictor.from_pretrained("me/network", revision="abc", local_files_only=True)
    assert found.trained is load_predictor("net")
    assert (asked["name"], asked["revision"], asked["local_files_only"]) == ("me/network", "abc", True)
    assert asked["allow_patterns"] == ["predictor.safetensors", "config.json"]


def test_a_guide_comes_back_from_its_folder(sent):
    HubGuide().save_pretrained("guide")
    again, shipped = HubGuide.from_pretrained("guide").encoder, load_encoder()
    assert again.digest == shipped.digest and again.name.startswith("local-dir:guide@")
    assert torch.equal(again.text(["a smiling face"]), shipped.text(["a smiling face"]))
    files = {path.name for path in Path("guide").iterdir()}
    assert {"open_clip_config.json", "open_clip_model.safetensors", "config.json", "README.md"} <= files
    assert json.loads(Path("guide/config.json").read_text())["sha256"] == shipped.digest
    saved = HubGuide("guide")
    weights = Path("guide/open_clip_model.safetensors")
    weights.write_bytes(weights.read_bytes()[:-1] + b"\0")
    with pytest.raises(ValueError, match="the weights in guide must be as they were loaded; got changed ones"):
        saved.save_pretrained("another")
    assert sent == []


def test_what_is_no_predictor_and_no_guide_is_refused():
    for wrong in (NETWORK, Trained(NETWORK), "net"):
        with pytest.raises(TypeError, match="trained must be a predictor of load_predictor, with its guide; got "):
            HubPredictor(wrong)
    with pytest.raises(ValueError, match=r"folder must hold open_clip_config\.json and weights"):
        HubGuide("net")
    with pytest.raises(TypeError, match="from_pretrained must be given no other settings; got speed"):
        HubPredictor.from_pretrained("net", speed=3)
