"""Encoders from weights of every layout, offline: the same embeddings, nothing run, no folder in the name."""

from __future__ import annotations

import copy
import hashlib
import io
import json
import os
import pickle
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import open_clip
import pytest
import torch
from open_clip import pretrained
from safetensors.torch import save_file
from stand_in import picture

import flowedit
from flowedit.config import Config, RasterConfig
from flowedit.guide.checkpoint import guess_architectures, safe_checkpoint
from flowedit.guide.encoder import _published_preprocess, load_encoder

TEXT = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
TINY = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": TEXT,
}
PROMPT = ["a smiling face"]
IMAGE = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module", autouse=True)
def tiny(tmp_path_factory):
    """Two small architectures and a quickgelu twin among open_clip's, and weights of the first."""
    folder = tmp_path_factory.mktemp("configs")
    wide = {**TINY, "vision_cfg": {**TINY["vision_cfg"], "width": 96}}
    for name, config in {"Tiny": TINY, "Wide": wide, "Tiny-quickgelu": {**TINY, "quick_gelu": True}}.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield open_clip.create_model("Tiny", load_weights=False).eval()
    open_clip.factory._MODEL_CONFIG_PATHS.remove(folder)
    for name in ("Tiny", "Wide", "Tiny-quickgelu"):
        del open_clip.factory._MODEL_CONFIGS[name]


@pytest.fixture
def published(monkeypatch):
    """Published weights of Tiny that want other pictures than CLIP; none are fetched."""
    monkeypatch.setitem(pretrained._PRETRAINED, "Tiny", {"one": pretrained._mccfg(), "two": pretrained._mccfg()})


def write_folder(model, folder, weights="open_clip_model.safetensors"):
    folder.mkdir(parents=True)
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear"}
    config = {"model_cfg": TINY, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    if weights.endswith(".safetensors"):
        save_file(model.state_dict(), folder / weights)
    else:
        torch.save(model.state_dict(), folder / weights)
    return folder


def write_script(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(model).save(path)


def write_hub(model, folder, monkeypatch):
    """A repository in a local cache of the hub, without network."""
    repo = folder / "models--someone--tiny-clip"
    write_folder(model, repo / "snapshots" / "0123abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("0123abc")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.mark.parametrize(
    "layout",
    ["file.pt", "file.safetensors", "nested.pt", "script.pt", "~", "Path", "folder", "local-dir", "bin", "hf-hub"],
)
def test_every_layout_gives_the_models_own_embeddings(tiny, layout, tmp_path, monkeypatch, published):
    weights, folder = tmp_path / layout, tmp_path / "clip"
    name: object = f"Tiny:{weights}"
    mean, std = (0.0, 1.0) if layout.endswith((".pt", ".safetensors")) or layout == "~" else (0.5, 0.25)
    match layout:
        case "file.safetensors":
            save_file(tiny.state_dict(), weights)
        case "nested.pt":
            torch.save({"state_dict": {f"module.{k}": v for k, v in tiny.state_dict().items()}, "epoch": 3}, weights)
        case "script.pt":
            write_script(tiny, weights)
        case "~":
            monkeypatch.setenv("HOME", str(tmp_path))
            name = "Tiny:~/weights.pt"
            torch.save(tiny.state_dict(), tmp_path / "weights.pt")
        case "Path":
            name = write_folder(tiny, folder)
        case "folder":
            name = str(write_folder(tiny, folder))
        case "local-dir":
            name = f"local-dir:{write_folder(tiny, folder)}"
        case "bin":
            name = f"local-dir:{write_folder(tiny, folder, 'open_clip_pytorch_model.bin')}"
        case "hf-hub":
            write_hub(tiny, tmp_path, monkeypatch)
            name = "hf-hub:someone/tiny-clip"
        case _:
            torch.save(tiny.state_dict(), weights)
    encoder = load_encoder(name)
    with torch.no_grad():
        image = tiny.encode_image((IMAGE - mean) / std)
        text = tiny.encode_text(encoder.tokenizer(PROMPT))
    torch.testing.assert_close(encoder.image(IMAGE), torch.nn.functional.normalize(image, dim=-1))
    torch.testing.assert_close(encoder.text(PROMPT), torch.nn.functional.normalize(text, dim=-1))
    assert load_encoder(name) is encoder
    assert str(tmp_path) not in encoder.name and len(encoder.digest) == 64


def test_the_real_vit_b_32_is_loaded_from_a_file(tmp_path):
    path = tmp_path / "vit.pt"
    with torch.random.fork_rng(devices=[]):
        model = open_clip.create_model("ViT-B-32", load_weights=False).eval()
    torch.save({name: value.half() for name, value in model.state_dict().items()}, path)
    encoder = load_encoder(f"ViT-B-32:{path}")
    assert encoder.size == 224 and encoder.image(torch.zeros(1, 3, 224, 224)).shape == (1, 512)
    assert torch.equal(encoder.model.visual.proj, model.visual.proj.half().float())
    path.unlink()


def test_a_name_has_the_files_name_and_digest_and_no_folder(tiny, tmp_path, published):
    path = tmp_path / "secret" / "vit.pt"
    path.parent.mkdir()
    torch.save(tiny.state_dict(), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    encoder = load_encoder(f"Tiny:{path}")
    assert encoder.name == f"Tiny:vit.pt@{digest[:12]}" and encoder.digest == digest
    folder = write_folder(tiny, tmp_path / "secret" / "clip")
    assert load_encoder(folder).name.startswith("local-dir:clip@")


def test_what_an_edit_saves_tells_nothing_of_the_folder(tiny, tmp_path, published):
    path = tmp_path / "secret" / "vit.pt"
    path.parent.mkdir()
    torch.save(tiny.state_dict(), path)
    config = Config(align=False, steps=1, raster=RasterConfig(4, 4))
    edit = flowedit.optimize(picture(), "red", config=config, encoder=f"Tiny:{path}", judge=f"Tiny:{path}")
    edit.save(tmp_path / "out.png")
    edit.save_edit(tmp_path / "out.flowedit")
    for name in ("out.png", "out.flowedit"):
        assert b"secret" not in (tmp_path / name).read_bytes()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert edit.facts["encoder_sha256"] == digest and edit.facts["judge"]["name"] == f"Tiny:vit.pt@{digest[:12]}"


def test_a_file_that_changes_is_loaded_anew(tiny, tmp_path, published):
    path = tmp_path / "vit.pt"
    torch.save(tiny.state_dict(), path)
    first = load_encoder(f"Tiny:{path}")
    torch.save({name: 2 * value for name, value in tiny.state_dict().items()}, path)
    os.utime(path, ns=(1, 1))
    assert load_encoder(f"Tiny:{path}").digest != first.digest


@pytest.mark.parametrize(
    ("model", "mean", "interpolation"),
    [("MobileCLIP-S1", 0.0, "bilinear"), ("PE-Core-B-16", 0.5, "bilinear"), ("ViT-B-16-SigLIP", 0.5, "bicubic")],
)
def test_published_weights_say_how_a_picture_is_prepared(model, mean, interpolation):
    preprocess = _published_preprocess(model)
    assert preprocess["mean"] == (mean,) * 3 and preprocess["interpolation"] == interpolation


@pytest.mark.parametrize("known", [False, True])
def test_a_preparation_that_is_not_agreed_on_is_warned_of(tiny, known, tmp_path, monkeypatch):
    path = tmp_path / "vit.pt"
    torch.save(tiny.state_dict(), path)
    if known:
        monkeypatch.setitem(pretrained._PRETRAINED, "Tiny", {"one": pretrained._mccfg(), "two": pretrained._pcfg()})
    for _ in range(2):
        with pytest.warns(
            UserWarning, match=r"^Tiny:vit.pt@.* is fed with mean 0.481, 0.458, 0.408 and .*\S$"
        ) as caught:
            encoder = load_encoder(f"Tiny:{path}")
        assert len(caught) == 1 and encoder.mean.flatten().tolist() == pytest.approx(open_clip.OPENAI_DATASET_MEAN)


def test_a_file_of_another_model_is_told_by_its_shapes(tiny, tmp_path, published):
    path = tmp_path / "vit.pt"
    torch.save(tiny.state_dict(), path)
    with pytest.raises(ValueError, match=r"vit.pt must be a checkpoint of Wide; got the shapes of Tiny$"):
        load_encoder(f"Wide:{path}")
    state = tiny.state_dict()
    del state["visual.proj"]
    torch.save(state, path)
    with pytest.raises(ValueError, match=r'must be a checkpoint of Tiny; got RuntimeError: Missing key.*"visual.proj"'):
        load_encoder(f"Tiny:{path}")


@pytest.mark.parametrize("name", ["ViT-B-16", "ViT-L-14-336", "RN50", "coca_ViT-B-32"])
def test_architectures_are_told_apart(name):
    config = open_clip.get_model_config(name)
    with torch.device("meta"):
        kind = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CLIP
        config.pop("custom_text", None)
        shapes = {key: tuple(value.shape) for key, value in kind(**config).state_dict().items()}
    configs = {each: open_clip.get_model_config(each) for each in open_clip.list_models()}
    guesses = guess_architectures(shapes, configs)
    assert guesses == [name], guesses
    assert guess_architectures({"weight": (3, 3)}, configs) == []


@pytest.mark.parametrize("scripted", [False, True])
def test_openais_weights_must_go_with_quickgelu(tiny, scripted, tmp_path, published):
    path, numbers = tmp_path / "vit.pt", {"input_resolution": 32, "context_length": 16, "vocab_size": 49408}
    if scripted:
        model = copy.deepcopy(tiny)
        for key, value in numbers.items():
            vars(model).pop(key, None)
            model.register_buffer(key, torch.tensor(value))
        write_script(model, path)
    else:
        torch.save({**tiny.state_dict(), **{key: torch.tensor(value) for key, value in numbers.items()}}, path)
    with pytest.raises(ValueError, match=r"OpenAI's weights must go with Tiny-quickgelu:.*vit.pt; got Tiny$"):
        load_encoder(f"Tiny:{path}")
    if scripted:
        with pytest.warns(UserWarning, match="is fed with"):
            assert load_encoder(f"Tiny-quickgelu:{path}").image(IMAGE).isfinite().all()


class Run:
    """Makes a folder when it is unpickled by an unsafe reader."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


class Trip:
    """Makes torch's safe reader raise a TypeError."""

    def __reduce__(self):
        return OrderedDict, (5,)


def write_tar(content, path):
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def write_archive(content, path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("vit/constants.pkl", pickle.dumps(()))
        archive.writestr("vit/data.pkl", pickle.dumps(content, protocol=2))


WRITERS = {
    "zip": torch.save,
    "legacy": lambda content, path: torch.save(content, path, _use_new_zipfile_serialization=False),
    "plain pickle": lambda content, path: Path(path).write_bytes(pickle.dumps(content, protocol=2)),
    "tar": write_tar,
    "script": write_archive,
}


@pytest.mark.parametrize("trip", [False, True])
@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("folder", [False, True])
def test_what_is_in_a_checkpoint_never_runs(tiny, writer, trip, folder, tmp_path, monkeypatch, published):
    """Also with a torch whose default is unsafe, as before 2.6, and where open_clip would try again unsafely."""
    load = torch.load
    monkeypatch.setattr(torch, "load", lambda *a, weights_only=False, **k: load(*a, weights_only=weights_only, **k))
    marker = tmp_path / "ran"
    content = {"state_dict": [*([Trip()] if trip else []), Run(marker)]}
    path = write_folder(tiny, tmp_path / "clip") / "open_clip_model.bin" if folder else tmp_path / "vit.pt"
    WRITERS[writer](content, path)
    if folder:
        (path.parent / "open_clip_model.safetensors").unlink()
    with pytest.raises(ValueError, match="must be a checkpoint of") as caught:
        load_encoder(path.parent if folder else f"Tiny:{path}")
    assert not marker.exists() and len(str(caught.value).splitlines()) == 1
    assert ("must not be a tar archive" in str(caught.value)) == (writer == "tar")  # torch refuses one since 2.6 only


def test_the_marker_would_be_made(tmp_path):
    pickle.loads(pickle.dumps(Run(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": 3}, {}, b"no pickle"])
def test_what_holds_no_weights_is_refused(content, tmp_path, published):
    path = tmp_path / "vit.pt"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match="must be a checkpoint of Tiny; got"):
        load_encoder(f"Tiny:{path}")


def test_a_device_is_no_checkpoint():
    with pytest.raises(ValueError, match="weights must be a regular file"), safe_checkpoint(Path("/dev/zero")):
        pass


@pytest.mark.parametrize(
    "name", ["hf-hub:", "hf-hub:no-owner", "hf-hub:a/b/c", "local-dir:", "local-dir:/none", "Tiny:"]
)
def test_half_a_name_is_refused(name):
    with pytest.raises(ValueError, match=r"^encoder must be"):
        load_encoder(name)


def test_a_repository_that_is_not_in_the_cache_names_the_ways_out(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RuntimeError, match=r"cannot fetch the weights of hf-hub:a/b .*use encoder='faceclip'"):
        load_encoder("hf-hub:a/b")
