"""Edits in one pass: what goes in, what comes out, files of weights, and the loop that goes on from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import torch.nn.functional as F
from fresh import run_fresh
from PIL import Image
from stand_in import TinyEncoder
from test_isolation import STATES

import flowedit
from flowedit.app.cli import main
from flowedit.config import Augment, Config, Optimizer, RasterConfig, Weights
from flowedit.fit.adam_uniform import AdamUniform
from flowedit.guide.encoder import load_encoder
from flowedit.predict import weights
from flowedit.predict.inputs import target_change
from flowedit.predict.network import Prediction, Predictor
from flowedit.predict.one_pass import predict_again
from flowedit.predict.variety import APART, flatten_face, set_apart
from flowedit.predict.weights import FILE, load_predictor, save_predictor
from flowedit.task import prepare
from flowedit.task.degree import split_prompts
from flowedit.transform.bounds import bound_displacement
from flowedit.transform.transforms import leaves

PORTRAIT = np.ascontiguousarray(skimage.data.astronaut()[:280, 80:360])
FREE = Config(identity=None, stretch=None, tilt=None)


def stand_in(seed=0, embed_dim=4):
    """A network whose zeros are small random numbers: what it predicts depends on all that it is shown."""
    with torch.random.fork_rng():  # whatever other tests drew before
        torch.manual_seed(seed)
        network = Predictor(embed_dim=embed_dim)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))
    return network


NETWORK = stand_in()


def predict(prompt="red", photo=PORTRAIT, config=FREE, predictor=NETWORK, **rest):
    return flowedit.predict(photo, prompt, config=config, predictor=predictor, **{"encoder": TinyEncoder(), **rest})


@pytest.fixture(scope="module")
def edit():
    return predict()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with a photo and a saved network, and an encoder whatever its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder())
    Image.fromarray(PORTRAIT).save("face.png")
    save_predictor(NETWORK, "net", guide="tiny", guide_sha256=None)
    return tmp_path


@pytest.fixture
def unshipped(tmp_path, monkeypatch):
    """An install without a trained network."""
    monkeypatch.setattr("flowedit.predict.weights.WEIGHTS", tmp_path)


def parameters(edit):
    return torch.cat([value.flatten() for leaf in leaves(edit.transforms)
                      for part in (leaf.field, leaf.part_tint) for value in part.parameters()])  # fmt: skip


def changed(edit):
    """Where the picture is another: (H, W)."""
    return (edit.render(1.0) != edit.render(0.0)).any(1)[0]


def test_an_untrained_network_changes_no_bit():
    edit = predict(predictor=Predictor(embed_dim=4), config=Config())
    assert not changed(edit).any() and not parameters(edit).any()
    assert edit.strength == 1 and edit.stopped == "predicted" and edit.facts["steps"] == 0
    assert edit.facts["identity_distance"] == 0 and edit.facts["gain"] == 0 and edit.history == {}


def test_a_prediction_is_an_edit(edit):
    assert isinstance(edit, flowedit.Edit) and changed(edit).any() and edit.facts["encoder_calls"] == 1
    assert torch.equal((0.5 * edit).render(), edit.render(0.5)) and not changed(edit - edit).any()
    assert edit.explain()["stopped"] == "predicted" and edit.explain()["faces"]["face 1"]
    other = np.ascontiguousarray(PORTRAIT[:, ::-1])
    assert changed(edit.apply(other)).any() and (~edit).apply(edit.to_pil()).render().shape == (1, 3, 280, 280)


def test_prompts_weights_and_intensity_change_what_is_predicted(edit):
    others = [
        predict("blue"),
        predict({"red": 0.25}),
        predict({"red": 1.0, "blue": -0.5}),
        predict(config=replace(FREE, intensity=0.4)),
        predict(config=replace(FREE, target="absolute")),
    ]
    found = torch.stack([parameters(each) for each in (edit, *others)])
    assert torch.pdist(found).min() > 1e-4
    assert torch.equal(found[0], parameters(predict({"red": 1.0})))


def test_region_protect_and_mask_keep_every_other_bit(edit, tmp_path):
    mask = np.zeros((280, 280), np.uint8)
    mask[:, :140] = 255
    Image.fromarray(mask).save(tmp_path / "left.png")
    whole = changed(edit)
    left = changed(predict(config=replace(FREE, mask=tmp_path / "left.png")))
    assert whole[:, 140:].any() and left[:, :140].any() and not left[:, 140:].any()
    mouth = predict(config=replace(FREE, region="mouth"))
    assert torch.equal(mouth.render(), edit.only("mouth").render()) and 0 < changed(mouth).sum() < 0.3 * whole.sum()
    still = predict(config=replace(FREE, protect=("eyes",)))
    assert torch.equal(still.render(), edit.without("eyes").render()) and not torch.equal(still.render(), edit.render())


def test_budgets_choose_the_strength():
    bound = bound_displacement(predict(config=replace(FREE, displacement=0.2)).edited, 0.2)
    assert predict(config=replace(FREE, displacement=0.2)).strength < 1 < bound.measure(1.0) / 0.2
    held = predict(config=replace(FREE, stretch=50))
    assert held.strength < 1 and held.strength_reason.startswith("held back: stretch 4")
    held = predict(config=Config(identity=0.05))
    assert held.strength < 1 and held.facts["identity_distance"] <= 0.05 and "identity" in held.strength_reason


def test_a_gray_photo_stays_gray_and_a_dark_one_takes_less_tint():
    gray = np.repeat(PORTRAIT.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    picture = predict(photo=gray).render(1.0)
    assert (picture.amax(1) - picture.amin(1)).max() < 1e-6
    gentle = replace(FREE, intensity=0.8)  # more, and the bound of a tint evens them out
    dark, light = (predict(photo=pixels, config=gentle) for pixels in ((PORTRAIT * 0.3).astype(np.uint8), PORTRAIT))
    tints = [each.transforms[0].field.on_grid(64).color.abs().mean() for each in (dark, light)]
    assert 0.1 * tints[1] < tints[0] < 0.6 * tints[1]


def test_every_face_is_predicted():
    pair = np.concatenate([PORTRAIT, PORTRAIT[:, ::-1]], 1)
    edit = predict(photo=pair, config=replace(FREE, face="all"))
    first, second = edit.transforms
    assert edit.facts["batch"] == [0, 2] and not torch.equal(first.field.coord, second.field.coord)
    assert changed(edit)[:, :280].any() and changed(edit)[:, 280:].any()
    assert len(predict(photo=pair, config=replace(FREE, face=1)).transforms) == 1


def test_a_list_of_prompts_is_its_prompts_one_by_one(edit, monkeypatch):
    seen = []
    choose = prepare.choose
    monkeypatch.setattr(prepare, "choose", lambda *a: seen.append(a) or choose(*a))
    edits = predict(["red", {"blue": 0.5, "left": -1.0}, "red"])
    assert len(seen) == 1 and [each.facts["batch"] for each in edits] == [[0, 4], [1, 4], [3, 4]]
    assert [dict(each.prompts) for each in edits] == [{"red": 1.0}, {"blue": 0.5, "left": -1.0}, {"red": 1.0}]
    for each, alone in zip(edits, (edit, predict({"blue": 0.5, "left": -1.0}), edit), strict=True):
        torch.testing.assert_close(parameters(each), parameters(alone), rtol=1e-4, atol=1e-7)
    assert len(predict(["red"])) == 1


def test_attributes_that_are_named_side_by_side_are_predicted_alone_and_added():
    names = "a slim jaw and red lips", "a slim jaw", "red lips"
    whole, jaw, lips = flowedit.predict(PORTRAIT, list(names), config=Config(identity=None))
    (whole,), (jaw,), (lips,) = whole.transforms, jaw.transforms, lips.transforms
    assert jaw.field.coord.abs().max() > 0.01 and lips.part_tint.amounts.abs().max() > 0.01
    assert torch.allclose(whole.field.coord, jaw.field.coord + lips.field.coord, atol=1e-5)
    assert torch.allclose(whole.field.color, jaw.field.color + lips.field.color, atol=1e-5)
    assert torch.allclose(whole.part_tint.amounts, lips.part_tint.amounts, atol=1e-5)


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("a slim jaw and red lips", ["a slim jaw", "red lips"]),
        ("red hair and a slim jaw", ["a slim jaw"]),
        ("a slim jaw and the stock market", ["a slim jaw"]),
        ({"a slim jaw and red lips": 1.0, "big eyes": -1.0}, ["a slim jaw", "red lips", "big eyes"]),
    ],
)
def test_a_prompt_is_split_where_the_guide_knows_its_parts(prompt, asked):
    task = prepare.prepare(PORTRAIT, prompt)
    assert [text for prompts in split_prompts(task) for text in prompts] == asked


def test_attributes_that_mean_the_same_share_their_weight():
    weights = [*split_prompts(prepare.prepare(PORTRAIT, "a happy face, a smiling face and a wide nose"))]
    happy, smiling, nose = [weight for prompts in weights for weight in prompts.values()]
    assert happy == pytest.approx(0.5, abs=0.02) and smiling == pytest.approx(happy) and nose == pytest.approx(1)


def test_messages_are_those_of_the_prompt():
    class Knows(TinyEncoder):
        def knows(self, prompt):
            return prompt == "red"

    with pytest.warns(UserWarning, match="does not know 'blue'"):
        red, blue = predict(["red", "blue"], encoder=Knows())
    assert not any("does not know" in text for text in red.messages)
    assert sum("does not know 'blue'" in text for text in blue.messages) == 1


def test_different_edits_for_one_prompt_are_drawn_by_the_seed(edit):
    three, two = predict(n=3), predict(n=np.int64(2))
    found = torch.stack([parameters(each) for each in (edit, *three)])
    assert torch.pdist(found).min() > 1e-3 and [each.facts["draw"] for each in three] == [0, 1, 2]
    torch.testing.assert_close(parameters(two[1]), found[2], rtol=1e-4, atol=1e-7)
    assert not torch.allclose(parameters(predict(n=2, config=replace(FREE, seed=1))[1]), found[2])
    pairs = predict(["red", "blue"], n=2)
    assert [[dict(each.prompts) for each in pair] for pair in pairs] == [[{"red": 1.0}] * 2, [{"blue": 1.0}] * 2]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_draws_are_held_back_to_what_the_guide_sees_in_the_weakest():
    face = skimage.data.astronaut()
    smile, eyes = flowedit.predict(face, ["a smiling face", "big eyes"], n=3)
    for draws in (smile, eyes):
        gains, effects = [edit.facts.gain for edit in draws], [edit.config.effect for edit in draws]
        assert max(gains) < 1.05 * min(gains) and effects.count(None) == 1
        weakest = gains[effects.index(None)]  # the others end at its gain or a little below
        assert [effect for effect in effects if effect] == [pytest.approx(weakest, abs=1e-3)] * 2
    again = predict_again(face, "big eyes", eyes[0].facts, config=eyes[0].config)
    assert again.strength == eyes[0].strength and torch.equal(again.render(), eyes[0].render())


def test_several_edits_that_words_say_wholly_are_told_to_be_the_same():
    with pytest.warns(UserWarning, match="the words of 'black hair' say the whole edit: all 2 are the same"):
        one, other = flowedit.predict(skimage.data.astronaut(), "black hair", n=2)
    assert torch.equal(one.render(), other.render()) and any("are the same" in text for text in one.messages)


def test_draws_lie_as_far_from_the_edit_without_noise_as_it_is_large():
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 16, 16), (3, 64, 64), (5, 3)
    best, drawn = (
        Prediction(*(size * torch.randn(3, *shape, generator=generator) for shape in shapes)) for size in (1.0, 0.1)
    )
    painted = torch.tensor([True, False, True])
    found = set_apart(best, drawn, painted)
    own, other = (flatten_face(each, painted) for each in (best, found))
    torch.testing.assert_close((other - own).norm(dim=1), APART * own.norm(dim=1))
    assert torch.equal(found.color, best.color)
    beyond = replace(drawn, coord=drawn.coord.clone())
    beyond.coord[:, :, 0] += 9.0  # the border, where no face is
    torch.testing.assert_close(set_apart(best, beyond, painted).amounts, found.amounts)


@pytest.mark.parametrize("diffeomorphic", [False, True])
def test_lattices_of_other_sizes_do_the_same(diffeomorphic):
    config = replace(FREE, diffeomorphic=diffeomorphic)
    one, other = (predict(config=each) for each in (config, replace(config, raster=RasterConfig(24, 96))))
    field = other.transforms[0].field
    assert (field.coord_size, field.color_size, field.diffeomorphic) == (24, 96, diffeomorphic)
    crop = one.edited.crops()[0]
    for a, b in zip(one.edited.offsets(crop, 48), other.edited.offsets(crop, 48), strict=True):
        assert a.abs().mean() > 1e-4 and (a - b).abs().mean() < 0.1 * a.abs().mean()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"config": replace(FREE, field="hash")}, "a prediction must have field='raster'; got field='hash'"),
        ({"config": replace(FREE, align=False)}, "a prediction must be of an aligned face; got align=False"),
        ({"n": 0}, "n must be a whole number from 1 to 16; got 0"),
        ({"n": True}, "n must be a whole number from 1 to 16; got True"),
        ({"prompt": []}, "prompt must be at least one; got an empty list"),
        ({"predictor": stand_in(embed_dim=5)}, "the encoder's embeddings must have 5 numbers"),
        (
            {"predictor": "nowhere"},
            "predictor must be 'predictor', or a file or folder of save_predictor; got 'nowhere'",
        ),
        ({"predictor": 3}, "predictor must be a name or a path; got 3"),
    ],
)
def test_what_cannot_be_predicted_is_refused(options, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        predict(**options)
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"config": replace(FREE, field="hash")}, "field='raster'; got field='hash'"),
        ({"predictor": "nowhere"}, "got 'nowhere'"),
        ({"config": False}, "config must be a flowedit.Config; got False"),
    ],
)
def test_it_is_refused_before_the_photo_is_read(options, words):
    how = {"config": FREE, "predictor": NETWORK, "encoder": TinyEncoder(), **options}
    with pytest.raises((TypeError, ValueError), match=words):
        flowedit.predict("no.png", "red", **how)
    start = how.pop("predictor")
    if not isinstance(start, str):
        with pytest.raises((TypeError, ValueError), match=words):
            flowedit.optimize("no.png", "red", start=start, **how)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", None, 1.5])
def test_a_device_that_is_not_here_is_named(device, folder):
    with pytest.raises(ValueError, match=f"device must be auto or one that torch has here; got {device!r}"):
        load_predictor("net", device)
    with pytest.raises(ValueError, match=f"device must be auto or one that torch has here; got {device!r}"):
        load_encoder(device=device)


def test_without_shipped_weights_the_error_names_the_training(monkeypatch, tmp_path):
    monkeypatch.setattr("flowedit.predict.weights.WEIGHTS", tmp_path)
    with pytest.raises(RuntimeError, match=r"no predictor is shipped .* python -m examples.predictor --data FOLDER"):
        predict(predictor=None)


@pytest.mark.parametrize("name", [None, "predictor"])
def test_the_shipped_network_is_loaded_whatever_the_folder_holds(name, folder):
    save_predictor(NETWORK, "predictor", guide="tiny", guide_sha256=None)
    assert load_predictor(name).name == "predictor" and load_predictor("./predictor").name != "predictor"


def test_a_target_is_seen_from_the_face():
    generator = torch.Generator().manual_seed(0)
    faces = F.normalize(torch.randn(5, 8, generator=generator), dim=1)
    change = 0.3 * torch.randn(5, 8, generator=generator)
    seen = target_change(faces, F.normalize(faces + change, dim=1))
    along = (change * faces).sum(1, keepdim=True)
    torch.testing.assert_close(seen, (change - along * faces) / (1 + along))
    away = target_change(faces, -faces)
    torch.testing.assert_close(away, -6 * faces)  # 1 / LEAST_COSINE, and the face itself


def test_weights_come_back_from_their_file(folder):
    trained = load_predictor("net")
    assert trained is load_predictor(Path("net") / FILE) is flowedit.load_predictor("net")
    assert trained.name == f"net@{trained.sha256[:12]}" and trained.guide == "tiny" and not trained.network.training
    for name, value in trained.network.state_dict().items():
        torch.testing.assert_close(value, NETWORK.state_dict()[name], rtol=1e-3, atol=1e-6)
        assert not value.requires_grad
    save_predictor(stand_in(1), "net", guide="tiny", guide_sha256=None)
    state = torch.get_rng_state()
    assert load_predictor("net").sha256 != trained.sha256 and torch.equal(torch.get_rng_state(), state)


def test_a_network_is_told_as_much_further_as_its_file_says(folder, monkeypatch):
    told = []
    forward = Predictor.forward
    monkeypatch.setattr(Predictor, "forward", lambda self, *given: told.append(given[1]) or forward(self, *given))
    save_predictor(NETWORK, "further", guide="tiny", guide_sha256=None, further=2)
    assert (load_predictor("net").further, load_predictor("further").further) == (1.0, 2.0)
    predict(predictor="net"), predict(predictor="further")
    assert torch.equal(told[1], 2 * told[0])
    for further in (0.4, float("nan"), "2", None):
        with pytest.raises(ValueError, match=r"further must be a number from 0\.5 to 3; got"):
            save_predictor(NETWORK, "net", guide="tiny", guide_sha256=None, further=further)
    assert load_predictor("net").further == 1.0


def test_the_callers_torch_state_changes_no_bit(folder):
    expected = parameters(predict(predictor="net"))
    for name in STATES:
        weights._load.cache_clear()
        with STATES[name]():
            edit = flowedit.predict(PORTRAIT, "red", config=FREE, encoder=TinyEncoder(), predictor="net")
        assert torch.equal(parameters(edit), expected), name


def test_another_guide_is_refused_with_the_training_command(folder):
    class Digested(TinyEncoder):
        digest = "f" * 64

    save_predictor(NETWORK, "other", guide="faceclip", guide_sha256="a" * 64)
    for predictor, encoder, told in (("other", TinyEncoder(), "got tiny:"), ("net", Digested(), "got tiny (ffffffff")):
        with pytest.raises(ValueError, match="trained under") as caught:
            predict(predictor=predictor, encoder=encoder)
        text = str(caught.value)
        assert told in text and text.endswith("python -m examples.predictor --data FOLDER") and "\n" not in text
    save_predictor(NETWORK, "same", guide="another name", guide_sha256="f" * 64)
    assert predict(predictor="same", encoder=Digested()).facts["predictor"].startswith("same@")


def test_damaged_and_hostile_weights_are_refused_in_one_line(folder):
    from safetensors.torch import load_file, save_file

    from flowedit.transform.file import content_digest

    file = Path("net") / FILE
    good, tensors = file.read_bytes(), load_file(file)

    def sign(text, tensors):
        save_file(tensors, file, {"predictor": f"{content_digest(text, tensors, tensors.__getitem__)} {text}"})

    def head(settings, guide='"tiny"'):
        return f'{{"settings": {settings}, "guide": {guide}, "guide_sha256": null}}'

    fine = '{"embed_dim": 4, "noise_dim": 8}'
    broken = {**tensors, next(iter(tensors)): next(iter(tensors.values())) * np.nan}
    cases = [
        (lambda: file.write_bytes(b""), "must be"),
        (lambda: file.write_bytes(good[:-100]), "must be"),
        (lambda: file.write_bytes(good[:-1] + bytes([good[-1] ^ 1])), "changed content"),
        (lambda: file.write_bytes(b"\xff" * 8 + good[8:]), "head must have at most"),
        (lambda: save_file(tensors, file), "must have a head"),
        (lambda: save_file({"a": torch.zeros(2, dtype=torch.float64)}, file, {"predictor": "x y"}), "must be of F16"),
        (lambda: sign("[]", tensors), "head must be a table"),
        (lambda: sign(head("3"), tensors), "settings must be a table"),
        (lambda: sign(head('{"embed_dim": 4, "what": 1}'), tensors), "unexpected keyword"),
        (lambda: sign(head('{"embed_dim": 1e9}'), tensors), "numbers up to 4096"),
        (lambda: sign(head('{"embed_dim": 1000}'), tensors), "shapes of its settings"),
        (lambda: sign(head('{"embed_dim": 4, "noise_dim": 7}'), tensors), "shapes of its settings"),
        (lambda: sign(head('{"embed_dim": {"a": 1}}'), tensors), "names and numbers"),
        (lambda: sign(head('{"embed_dim": 4, "depths": [1]}'), tensors), r"depths must be 5 whole numbers; got \[1\]"),
        (lambda: sign(head('{"embed_dim": 4, "depths": [1, 2, 2, 2, -1]}'), tensors), "depths must be a whole number"),
        (lambda: sign(head('{"embed_dim": 4, "widths": "abc"}'), tensors), "widths must be 3 whole numbers; got 'abc'"),
        (lambda: sign(head('{"embed_dim": 4, "widths": [8, 8, 8]}'), tensors), "widths must be a whole number from 16"),
        (lambda: sign(head('{"embed_dim": 4, "widths": [32, 80, 168]}'), tensors), "widths must be multiples of 16"),
        (lambda: sign(head('{"embed_dim": true}'), tensors), "embed_dim must be a whole number from 1 .*got True"),
        (lambda: sign(head('{"embed_dim": 4, "noise_dim": null}'), tensors), "noise_dim must be .* got None"),
        (lambda: sign(head('{"embed_dim": 4, "mixing": 3}'), tensors), "mixing must be one of .*; got 3"),
        (lambda: sign(head(fine, "7"), tensors), "guide must be a name"),
        (
            lambda: sign(head(fine, '"tiny", "further": 3.5'), tensors),
            "further must be a number from 0.5 to 3; got 3.5",
        ),
        (
            lambda: sign(head(fine, '"tiny", "further": "2"'), tensors),
            "further must be a number from 0.5 to 3; got '2'",
        ),
        (
            lambda: sign(head(fine, '"tiny", "further": NaN'), tensors),
            "further must be a number from 0.5 to 3; got nan",
        ),
        (lambda: sign(head(fine, r'"a\u001b[2J"'), tensors), "guide must be a name"),
        (lambda: sign(head(fine, f'"{"x" * 9999}"'), tensors), "guide must be a name"),
        (lambda: sign(head(fine), broken), "must be finite"),
        (lambda: sign(head(fine), {}), "shapes of its settings"),
        (lambda: sign("{" * 100_000, tensors), "must be"),
    ]
    for k, (write, words) in enumerate(cases):
        write()
        with pytest.raises(ValueError, match=words) as caught:
            load_predictor("net")
        text = str(caught.value)
        assert text.startswith(f"{file.absolute()} must be a predictor made by save_predictor: "), k
        assert "\n" not in text and len(text) < 600, k


def test_steps_from_a_prediction_begin_at_the_whole_rate(monkeypatch):
    rates, memories = [], []

    class Watched(AdamUniform):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            memories.append(self._betas[0])

        def step(self):
            rates.append(self.param_groups[0]["lr"])
            super().step()

    monkeypatch.setattr("flowedit.fit.iterate.AdamUniform", Watched)
    settings = Optimizer(lr=0.002, warm_up=4, momentum=0.8, momentum_predicted=0.6, cool_down=10.0)
    config = replace(FREE, steps=2, views=1, augment=Augment(pool=1), optimizer=settings)
    for start in (NETWORK, None):
        flowedit.optimize(PORTRAIT, "red", config=config, encoder=TinyEncoder(), start=start)
    assert rates == pytest.approx([0.002, 0.002, 0.0005, 0.001]) and memories == [0.6, 0.8]


def test_weights_beyond_half_precision_are_not_saved(tmp_path):
    network = stand_in()
    with torch.no_grad():
        next(network.parameters()).fill_(1e6)
    with pytest.raises(ValueError, match="must be finite in half precision"):
        save_predictor(network, tmp_path / "net", guide="tiny", guide_sha256=None)
    assert not (tmp_path / "net" / FILE).exists()


@pytest.mark.parametrize("which", ["alone", "several attributes", "drawn", "start"])
def test_an_edit_file_is_made_again_bit_for_bit(which, folder, capsys):
    predictor = load_predictor("net")
    if which == "alone":
        edit = predict(predictor=predictor)
    elif which == "several attributes":
        edit = predict(["blue", "a red nose and a blue chin"], predictor=predictor)[1]
        assert edit.facts["batch"] == [1, 3]
    elif which == "drawn":
        edit = predict(["blue", {"red": 0.7}], predictor=predictor, n=3)[1][1]
        assert edit.facts["batch"] == [4, 6] and edit.facts["draw"] == 1
    else:
        config = replace(FREE, steps=2, views=1, augment=Augment(pool=1))
        edit = flowedit.optimize(PORTRAIT, "red", config=config, encoder=TinyEncoder(), start=predictor)
    edit.save_edit("one.flowedit")
    assert torch.equal(parameters(flowedit.load("one.flowedit")), parameters(edit))
    assert main(["remake", "one.flowedit", "face.png", "--predictor", "net", "--save-edit", "two.flowedit"]) == 0
    assert capsys.readouterr().err == ""
    again = flowedit.load("two.flowedit")
    assert torch.equal(parameters(again), parameters(edit)) and again.stopped == edit.stopped
    names = ("predictor", "predictor_sha256", "batch", "draw", "steps", "encoder_calls")
    assert [again.facts.get(name) for name in names] == [edit.facts.get(name) for name in names]


@pytest.mark.parametrize(("start", "steps", "most"), [(NETWORK, None, 10), (None, None, 60), (NETWORK, 3, 3)])
def test_fewer_steps_are_taken_from_a_prediction(start, steps, most):
    config = replace(FREE, steps=steps, views=1, augment=Augment(pool=1), optimizer=Optimizer(patience=1000))
    edit = flowedit.optimize(PORTRAIT, "red", config=config, encoder=TinyEncoder(), start=start)
    assert edit.facts["steps"] == most and edit.stopped == "steps"


SHORT = replace(FREE, steps=1, views=1)


@pytest.mark.parametrize(
    ("config", "options", "predicted"),
    [
        (replace(SHORT, seed=3, region="mouth", hues="free"), {}, True),
        (SHORT, {"start": None}, False),
        (SHORT, {"terms": {"still": (lambda state: state.offsets.coord.square().mean(), 1.0)}}, False),
        (replace(SHORT, weights=Weights(shift=1.0)), {}, False),
        (replace(SHORT, field="hash"), {}, False),
        (replace(SHORT, align=False), {}, False),
    ],
)
def test_the_default_starts_from_a_prediction_of_what_was_learned(config, options, predicted, monkeypatch, tmp_path):
    encoder = TinyEncoder()
    save_predictor(NETWORK, tmp_path / weights.SHIPPED, guide=encoder.name, guide_sha256=None)
    monkeypatch.setattr("flowedit.predict.weights.WEIGHTS", tmp_path)
    edit = flowedit.optimize(PORTRAIT, "red", config=config, encoder=encoder, **options)
    assert edit.facts["predictor"] == (weights.SHIPPED if predicted else None)


def test_the_default_starts_from_nothing_under_another_guide_and_where_no_network_is(unshipped, tmp_path):
    assert flowedit.optimize(PORTRAIT, "red", config=SHORT, encoder=TinyEncoder()).facts["predictor"] is None
    save_predictor(NETWORK, tmp_path / weights.SHIPPED, guide="another", guide_sha256=None)
    assert flowedit.optimize(PORTRAIT, "red", config=SHORT, encoder=TinyEncoder()).facts["predictor"] is None


def test_remake_asks_where_the_network_is_and_names_another(folder, capsys):
    predict(predictor="net").save_edit("one.flowedit")
    assert main(["remake", "one.flowedit", "face.png"]) == 1
    assert "--predictor must say where the network that predicted the edit is, net@" in capsys.readouterr().err
    save_predictor(stand_in(1), "other", guide="tiny", guide_sha256=None)
    assert main(["remake", "one.flowedit", "face.png", "--predictor", "other"]) == 0
    assert "it has another predictor (then " in capsys.readouterr().err


def test_the_loop_starts_from_the_prediction(edit, unshipped):
    config = replace(FREE, steps=1, views=1, augment=Augment(pool=1))
    how = {"config": config, "encoder": TinyEncoder()}
    first = flowedit.optimize(PORTRAIT, "red", start=NETWORK, **how)  # what is kept is the first step's
    assert torch.equal(parameters(first), parameters(edit)) and first.facts["predictor"] == "network"
    assert first.facts["encoder_calls"] == 1 + 1 + 1 and first.facts["steps"] == 1 and first.stopped == "steps"
    assert flowedit.optimize(PORTRAIT, "red", start=edit, **how).history == first.history
    assert flowedit.optimize(PORTRAIT, "red", **how).history["total"] != first.history["total"]
    with pytest.raises(RuntimeError, match="no predictor is shipped"):
        flowedit.optimize(PORTRAIT, "red", start="predict", **how)


@pytest.mark.parametrize("order", ["flowedit.predict.network", "flowedit.fit.loop"])
def test_the_room_is_the_function_whatever_was_imported_first(order):
    done = run_fresh(f"import {order}, flowedit; flowedit.predict('no.png', 'sad', n=0)")
    assert done.stderr.strip().endswith("ValueError: n must be a whole number from 1 to 16; got 0")


def test_the_command_line_predicts(folder, capsys):
    words = [
        "edit",
        "face.png",
        "red",
        "--identity",
        "None",
        "--stretch",
        "None",
        "--tilt",
        "None",
        "--save-edit",
        "e.flowedit",
        "--predictor",
        "net",
    ]
    assert main([*words, "--fast", "-o", "fast.png"]) == 0
    assert "fast.png: strength 1.00" in capsys.readouterr().out
    fast = flowedit.load("e.flowedit")
    assert torch.equal(parameters(fast), parameters(predict(predictor="net"))) and fast.stopped == "predicted"
    assert main([*words, "--start", "predict", "--steps", "1", "-o", "first.png"]) == 0
    first = flowedit.load("e.flowedit")
    assert first.stopped == "steps" and first.facts["predictor"] == fast.facts["predictor"]


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (["--fast", "--start", "predict"], 2, "--fast must go without --start"),
        (["--predictor", "net"], 2, "--predictor must go with --fast or --start predict; got neither"),
        (["--fast"], 1, "no predictor is shipped"),
        (["--fast", "--predictor", "gone"], 1, "predictor must be 'predictor', or a file or folder"),
        (["--fast", "--predictor", "net", "--save-edit", f"net/{FILE}"], 2, "--save-edit must end in"),
        (["--fast", "--predictor", "net", "--no-align"], 1, "a prediction must be of an aligned face"),
    ],
)
def test_the_command_line_refuses(words, code, reason, folder, unshipped, capsys):
    assert main(["edit", "face.png", "red", *words]) == code
    said = capsys.readouterr().err
    assert reason in said and len(said.splitlines()) == 1 and not Path("face_edited.png").exists()


def test_the_shipped_network_does_what_is_asked():
    path = weights.WEIGHTS / weights.SHIPPED / FILE
    assert path.stat().st_size <= 10 << 20 and load_predictor().guide_sha256 == load_encoder().digest
    sad, lipstick = flowedit.predict(PORTRAIT, ["a sad face", "red lipstick"])
    assert sad.facts["gain"] > 0.02 and sad.facts["predictor"] == "predictor"
    assert ["shows teeth" in line for line in sad.messages] == [True] and lipstick.messages == ()
    color = lipstick.edited.offsets(lipstick.edited.crops()[0], 64).color[0]
    lips = (
        torch.nn.functional.interpolate(lipstick.transforms[0].part_tint.masks[None, :1].float(), (64, 64))[0, 0] > 200
    )
    assert (color[0] - color[1])[lips].mean() > 0.03 > 10 * (color[0] - color[1])[~lips].abs().mean()


def test_what_words_say_of_hair_is_done_by_both_alike():
    one = predict("black hair")
    other = flowedit.optimize(PORTRAIT, "black hair", config=FREE, encoder=TinyEncoder(), progress=False)
    assert other.stopped == "said" and np.array_equal(one.edited.pixels(), other.edited.pixels())
    (leaf,) = leaves(one.transforms)
    assert leaf.retouch.amounts.any() and not any(parameter.any() for parameter in leaf.field.parameters())


def test_several_prompts_retouch_each_its_own():
    plain, hair, lids = predict(["red", "black hair", "blue eye shadow and a smile"])
    assert [each.retouch and each.retouch.parts for (each,) in (edit.transforms for edit in (plain, hair, lids))] == [
        None, ("hair",), ("lids",)
    ]  # fmt: skip
    (leaf,) = lids.transforms
    assert leaf.retouch.amounts.any() and any(parameter.any() for parameter in leaf.field.parameters())
