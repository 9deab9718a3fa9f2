"""Encoders: what they see, how long prompts are read, what a wrong name or a damaged file says."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fresh import run_fresh
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut

from flowedit.guide import encoder as encoders
from flowedit.guide.encoder import WEIGHTS, load_encoder
from flowedit.guide.shipped import read_phrases
from flowedit.guide.tokenizer import Tokenizer
from flowedit.guide.traces import Directions

LONG = (  # each of more than half of the context
    "a woman with big round eyes, raised eyebrows, thick red lips, rosy cheeks, a narrow nose, long dark hair, a few "
    "freckles and a smile.",
    "an old man with a slim jaw, a wide nose, small eyes, a very sad mouth, gray hair, deep lines in the forehead, "
    "thin brows and a pointed chin.",
)


@pytest.fixture(scope="module")
def faceclip():
    return load_encoder()


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the shipped weights that may be damaged, in the place of the real ones."""
    folder = tmp_path / "faceclip"
    shutil.copytree(WEIGHTS / "faceclip", folder)
    monkeypatch.setattr(encoders, "WEIGHTS", tmp_path)
    return folder


def test_an_encoder_is_loaded_once(faceclip):
    assert load_encoder("faceclip") is faceclip and faceclip.name == "faceclip"


@pytest.mark.parametrize("prompt", ["a smiling face", "a sad face", "big eyes", "thick lips", "red lipstick"])
def test_faceclip_knows_faces(faceclip, prompt):
    assert faceclip.knows(prompt)


@pytest.mark.parametrize("prompt", ["a red sports car", "a mountain lake at sunset", "a bowl of noodle soup"])
def test_faceclip_does_not_know_other_things(faceclip, prompt):
    assert not faceclip.knows(prompt)


def test_a_picture_is_prepared_as_open_clip_prepares_it(faceclip, monkeypatch):
    from open_clip.transform import PreprocessCfg, image_transform_v2

    process = faceclip.model.visual.preprocess_cfg
    wanted = image_transform_v2(PreprocessCfg(**process), is_train=False)(Image.fromarray(astronaut()))
    seen = []

    def encode(image):
        seen.append(image)
        return torch.ones(1, 4)

    monkeypatch.setattr(faceclip.model, "encode_image", encode)
    faceclip.image(torch.from_numpy(astronaut()).permute(2, 0, 1)[None] / 255)
    # Pillow rounds to 8 bits after rows and after columns: half a level each, in deviations of the color.
    assert (seen[0][0] - wanted).abs().max() <= 1.05 / 255 / min(process["std"])
    assert seen[0].std() > 0.5  # a photo, not a constant


def test_the_gradient_reaches_the_whole_picture(faceclip):
    image = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0), requires_grad=True)
    embedding = faceclip.image(image)
    assert embedding.norm().item() == pytest.approx(1, abs=1e-5)
    (embedding @ faceclip.text(["a smiling face"]).T).sum().backward()
    assert image.grad.isfinite().all() and (F.avg_pool2d(image.grad.abs(), 32) > 0).all()
    assert all(parameter.grad is None for parameter in faceclip.model.parameters())


def test_a_text_is_embedded_once(faceclip, monkeypatch):
    calls, encode = [], faceclip.model.encode_text
    monkeypatch.setattr(faceclip.model, "encode_text", lambda tokens: calls.append(tokens) or encode(tokens))
    first = faceclip.text(["a face that nobody asked for"])
    wanted = first.clone()
    first.zero_()  # the caller's own
    again = faceclip.text(["a face that nobody asked for"] * 2)
    assert len(calls) == 1 and torch.equal(again, wanted.expand(2, -1))


def test_a_long_prompt_is_the_mean_of_its_sentences(faceclip):
    one, two = faceclip.text(LONG)
    both = faceclip.text([" ".join(LONG)])[0]
    assert torch.allclose(both, F.normalize(one + two, dim=-1), atol=1e-5)
    assert not torch.allclose(both, one, atol=1e-2)


def test_the_end_of_a_long_sentence_counts(faceclip):
    start = "a face with " + "big round open eyes and " * 20
    sad, glad = faceclip.text([start + "a sad mouth", start + "a smiling mouth"])
    assert not torch.allclose(sad, glad, atol=1e-3)
    assert faceclip.text(["ha" * 400]).isfinite().all()  # one word longer than the context


@pytest.mark.parametrize("prompt", ["", "  ", "...", None])
def test_an_empty_prompt_is_refused(faceclip, prompt):
    with pytest.raises((ValueError, TypeError), match="prompt must"):
        faceclip.text(["a face", prompt])


def test_an_unknown_model_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"ViT-B-32.*got 'ViT-B-33'"):
        load_encoder("ViT-B-33:openai")
    with pytest.raises(
        ValueError, match=r"encoder must be 'faceclip', hf-hub:ORG/REPO, MODEL:PRETRAINED.*\(as hf-hub:.* got 'face"
    ):
        load_encoder("facecilp")


def test_an_unknown_tag_lists_the_known():
    with pytest.raises(ValueError, match=r"one of ViT-B-32's tags \(.*openai.* and \d+ more\); got 'nothing'"):
        load_encoder("ViT-B-32:nothing")


def test_openai_weights_without_quickgelu_are_refused():
    with pytest.raises(ValueError, match="must go with ViT-B-32-quickgelu:openai"):
        load_encoder("ViT-B-32:openai")


def test_an_unreachable_hub_names_both_ways_out(monkeypatch):
    def offline(*_, **__):
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", offline)
    with pytest.raises(RuntimeError) as told:
        load_encoder("ViT-B-32:laion2b_s34b_b79k")
    line = str(told.value)
    assert "no route to host" in line and "encoder='faceclip'" in line and "MODEL:FILE" in line
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize("where", [0, 5000, -1])
def test_a_changed_byte_in_the_weights_is_refused(copied, where):
    weights = copied / "open_clip_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[where] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ValueError, match=r"must have SHA-256 .*reinstall flowedit"):
        load_encoder()


def test_missing_weights_are_told(copied):
    (copied / "open_clip_model.safetensors").unlink()
    with pytest.raises(RuntimeError, match=r"must exist.*reinstall flowedit"):
        load_encoder()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256": "0"}'])
def test_a_damaged_card_is_refused(copied, text):
    (copied / "card.json").write_text(text)
    with pytest.raises(ValueError, match=r"card\.json must be as shipped"):
        load_encoder()


def test_a_folder_in_open_clips_layout(faceclip, copied):
    encoder = load_encoder(str(copied))
    assert encoder is not faceclip and encoder.size == faceclip.size
    assert encoder.knows("a red sports car")  # nothing says what it does not know


def test_the_shipped_encoder_is_what_open_clip_builds(faceclip, copied):
    prompts = ["a sad face", *LONG, "big eyes, it's 2 o'clock & more", "ha" * 400]
    embeddings, slopes = [], []
    for encoder in (faceclip, load_encoder(str(copied))):
        image = torch.rand(3, 3, 150, 150, generator=torch.Generator().manual_seed(0), requires_grad=True)
        embedding, text = encoder.image(image), encoder.model.encode_text(encoder.tokenizer(prompts))
        (embedding @ text.T).sum().backward()
        embeddings.append((embedding.detach(), text))
        slopes.append(image.grad)
    assert all(torch.equal(ours, wanted) for ours, wanted in zip(*embeddings, strict=True))
    assert torch.equal(*slopes) and slopes[0].abs().max() > 0


LETTERS = "abc XYZ's 'LL é ü ß Ω 漢字 😀 <>&amp; 12 \n\t .,!?-_ <start_of_text> \u200d\u00a0\ufb01 Ã© â€™ \0"


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(st.text(st.sampled_from(LETTERS), max_size=40) | st.text(max_size=40))
def test_tokens_are_those_of_open_clip(text):
    ours, theirs = tokenizers()
    assert ours.encode(text) == theirs.encode(text)
    assert torch.equal(ours([text, "ha" * 99]), theirs([text, "ha" * 99]))


@functools.cache
def tokenizers():
    import open_clip

    return Tokenizer(32), open_clip.SimpleTokenizer(context_length=32)


def test_the_shipped_encoder_loads_without_open_clip():
    code = "import sys, os\nbefore = dict(os.environ)\nfrom flowedit.guide.encoder import load_encoder\n"
    code += "load_encoder().text(['a face'])\nassert before == os.environ\n"
    code += "print({'open_clip', 'timm', 'torchvision', 'torch._dynamo'} & sys.modules.keys())"
    done = run_fresh(code)
    assert (done.returncode, done.stdout) == (0, "set()\n")


def test_without_open_clips_vocabulary_the_package_is_named(monkeypatch):
    monkeypatch.setattr("flowedit.guide.tokenizer.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"must have open_clip's bpe.*: pip install open_clip_torch"):
        Tokenizer(32)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"model_cfg": {"embed_dim": 128, "text_cfg": {"wide": 1}}}'])
def test_a_damaged_config_is_refused(copied, text):
    (copied / "open_clip_config.json").write_text(text)
    with pytest.raises(ValueError, match=r"open_clip_config\.json must be as shipped"):
        load_encoder()


def test_a_folder_that_holds_no_model_is_refused(copied):
    (copied / "open_clip_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"must be a checkpoint of the model in its open_clip_config\.json") as caught:
        load_encoder(str(copied))
    assert len(str(caught.value).splitlines()) == 1
    (copied / "open_clip_model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"encoder folder must hold weights \(open_clip_model.safetensors"):
        load_encoder(str(copied))
    (copied / "open_clip_config.json").unlink()
    with pytest.raises(ValueError, match=r"must hold open_clip_config\.json"):
        load_encoder(str(copied))


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:900])])
def test_damaged_directions_are_refused(copied, change):
    change(copied / "directions.npz")
    with pytest.raises(ValueError, match=r"directions\.npz must be as shipped"):
        load_encoder()


def test_a_text_is_rid_of_traces_and_keeps_what_it_names():
    attributes, others = torch.eye(6)[:4], torch.eye(6)[4:]
    directions = Directions(attributes, others)
    texts = F.normalize(torch.tensor([[0.7, 0.06, -0.2, 0.0, 0.6, 0.02], [0.0, 0.01, 0.0, 0.0, 0.1, 0.9]]), dim=-1)
    named = texts.clone()
    named[0, 1] = 0.0
    assert torch.allclose(directions.without_traces(texts), F.normalize(named, dim=-1), atol=1e-6)


def test_the_card_describes_the_weights():
    card = json.loads((WEIGHTS / "faceclip" / "card.json").read_text())
    assert len(card["sha256"]) == 64 and np.linalg.norm(card["foreign"]["direction"]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("祛皱", "no wrinkles"), ("请帮我祛皱吧", "no wrinkles"), ("满脸皱纹", "wrinkles"), ("सफेद बाल", "white hair")],
)
def test_what_the_tower_misreads_is_looked_up_but_for_courtesies(text, meant):
    faceclip = load_encoder()
    face, change, wanted = faceclip.text(["a face", text, meant])
    assert F.cosine_similarity(change - face, wanted - face, dim=0) > 0.8
    assert faceclip.look_up(meant) is None and faceclip.look_up(f"{text} x") is None


def test_a_damaged_list_of_phrases_is_told(tmp_path):
    path = tmp_path / "phrases.json"
    assert read_phrases(path) == {}
    path.write_text('["a face"]')
    with pytest.raises(ValueError, match="damaged"):
        read_phrases(path)


def test_a_word_that_is_read_only_beside_others_is_read_in_its_phrase():
    faceclip = load_encoder()
    word, phrase = "feliz", faceclip.alone["feliz"]
    assert word in phrase and len(phrase.split()) > 1
    assert torch.equal(faceclip.text([f" {word.upper()} "]), faceclip.text([phrase]))
    assert not torch.equal(faceclip.text([f"{word} y viejo"]), faceclip.text([phrase]))
