"""Config: what is refused, in one line that names the field and the value."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from fractions import Fraction

import numpy as np
import pytest
import torch

from flowedit.checks import whole_number
from flowedit.config import Augment, Config, HashConfig, Optimizer, RasterConfig, Weights
from flowedit.field.hashgrid import HashField
from flowedit.field.raster import RasterField


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("face", -1),
        ("face", "smallest"),
        ("field", "vector"),
        ("target", "nearest"),
        ("corpus", " "),
        ("components", 0),
        ("alpha", -0.1),
        ("alpha", float("inf")),
        ("region", "ear"),
        ("steps", 0),
        ("views", 0),
        ("views", 9),  # of a pool of 8
        ("max_shift", -0.1),
        ("max_tint", -1.0),
        ("identity", 0.0),
        ("identity", float("nan")),
        ("seed", 10**400),
        ("alpha", 10**400),  # more digits than a float has room for
        ("alpha", Fraction(10**400)),
    ],
)
def test_a_wrong_value_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"^{field} must .*; got ({value!r}|inf)") as caught:
        Config(**{field: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"face": 2},
        {"face": "all"},
        {"identity": None},
        {"views": 8},
        {"max_tint": 0.0},
        {"region": "mouth"},
        {"target": "projected", "corpus": "eyes,mouth"},
        {"components": 1, "alpha": 0.0},
    ],
    ids=str,
)
def test_what_is_allowed(settings):
    config = Config(**settings)
    assert all(getattr(config, name) == value for name, value in settings.items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": "mouth", "align": False}, "region must go with align=True"),
        ({"protect": ("eyes",), "align": False}, "protect must go with align=True"),
        ({"protect": ("eyez",)}, "protect must be of mouth, eyes, .* or a picture's file; got 'eyez'"),
    ],
)
def test_a_part_must_be_of_a_face(settings, message):
    with pytest.raises(ValueError, match=message):
        Config(**settings)


@pytest.mark.parametrize("kind", [Config, Weights, RasterConfig, HashConfig, Optimizer, Augment])
def test_it_cannot_change_and_tells_every_number(kind):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(kind(), dataclasses.fields(kind)[0].name, 1)
    assert kind() == kind()


def test_a_misspelt_field_is_an_error():
    with pytest.raises(TypeError, match="stepps"):
        Config(stepps=3)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"face": True}, "face must be one of ('largest', 'all') or a whole number; got True"),
        ({"steps": 3.0}, "steps must be a whole number or None; got 3.0"),
        ({"alpha": "0.1"}, "alpha must be a number; got '0.1'"),
        ({"align": "no"}, "align must be True or False; got 'no'"),
        ({"weights": {}}, "weights must be a Weights; got {}"),
        ({"mask": 3}, "mask must be a path or None; got 3"),
        ({"protect": "eyes"}, "protect must be a tuple of texts; got 'eyes'"),
        ({"target": 3}, "target must be a text; got 3"),
        ({"seed": torch.ones(2)}, "seed must be a whole number; got Tensor of shape (2,) and torch.float32"),
    ],
)
def test_a_wrong_type_is_named(settings, words):
    with pytest.raises(TypeError) as caught:
        Config(**settings)
    assert str(caught.value) == words


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e308])
@pytest.mark.parametrize(("kind", "name"), [(Weights, "shift"), (Optimizer, "lr"), (Augment, "scale")])
def test_a_groups_number_is_finite_and_within_its_range(kind, name, value):
    with pytest.raises(ValueError, match=f"^{name} must be (finite|at least 0|more than 0|at most)"):
        kind(**{name: value})


def test_coarse_levels_are_levels():
    with pytest.raises(ValueError, match="n_coord_levels must be at most n_levels, 4; got 6"):
        HashConfig(n_levels=4)


def test_any_real_number_is_a_number():
    config = Config(
        steps=np.int64(3), identity=np.float32(0.5), alpha=torch.tensor(0.25), seed=np.uint8(7), align=np.True_
    )
    assert config == Config(steps=3, identity=0.5, alpha=0.25, seed=7, align=True)
    assert {type(value) for value in (config.steps, config.seed)} == {int} and type(config.alpha) is float


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2), torch.tensor(2)])
def test_any_whole_number_is_one(value):
    number = whole_number("n", value, 1, 16)
    assert number == 2 and type(number) is int


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.int64(17), "17"), (0, "0"), (True, "True"), (2.0, "2.0"), (np.float32(2), "2.0"), ("2", "'2'"),
        (None, "None"), (torch.ones(2), "Tensor of shape (2,) and torch.float32"),
    ],
)  # fmt: skip
def test_another_number_is_refused_by_its_value(value, told):
    with pytest.raises(ValueError, match=f"^n must be a whole number from 1 to 16; got {re.escape(told)}$"):
        whole_number("n", value, 1, 16)


def test_settings_go_through_json_and_back(tmp_path):
    config = Config(mask="m.png", protect=("eyes",), steps=7, weights=Weights(fold=2.0), hash=HashConfig(hidden=16))
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert Config.from_dict({"hash": {"hidden": 8}}, config).hash == HashConfig(hidden=8)


def test_a_file_of_differences_is_read(tmp_path):
    path = tmp_path / "calm.toml"
    path.write_text("steps = 30\nprotect = ['eyes']\n[weights]\nbending = 0.05\n")
    config = Config.from_toml(path, Config(seed=4))
    assert config == Config(seed=4, steps=30, protect=("eyes",), weights=Weights(bending=0.05))
    for text, words in (
        ("stepps = 3", "stepps must be one of face, align"),
        ("[weights]\nbend = 1", "weights.bend must be one of bending, shift"),
        ("[augment]\nshift = 9", "augment.shift must be at most 0.5; got 9"),
        ("weights = 3", "weights must be a table; got 3"),
        ("steps = 3.5", "steps must be a whole number"),
        ("steps = ", "Invalid value"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError) as caught:
            Config.from_toml(path)
        assert str(caught.value).startswith(f"{path}: {words}") and "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="config must be a TOML file that exists"):
        Config.from_toml(tmp_path / "none.toml")


@pytest.mark.parametrize(("kind", "group"), [(RasterField, RasterConfig()), (HashField, HashConfig())])
def test_a_fields_defaults_are_those_of_its_group(kind, group):
    parameters, config = inspect.signature(kind).parameters, Config()
    names = [each.name for each in dataclasses.fields(group) if each.name != "backend"]
    assert {name: parameters[name].default for name in names} == {name: getattr(group, name) for name in names}
    for name in ("max_shift", "max_tint", "diffeomorphic"):
        assert parameters[name].default == getattr(config, name)
