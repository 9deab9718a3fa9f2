"""Config: what is refused, in one line that names the field and the value."""

from __future__ import annotations

import dataclasses

import pytest

from flowedit.config import Config, HashConfig
from flowedit.fit.views import POOL


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("face", -1),
        ("face", True),
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
        ("views", POOL + 1),
        ("lr", 0.0),
        ("lr", float("nan")),
        ("lr", float("inf")),
        ("max_shift", -0.1),
        ("max_tint", -1.0),
        ("smooth", float("nan")),
        ("small", -1.0),
        ("tint", float("inf")),
        ("fold", -0.5),
        ("identity", 0.0),
        ("identity", float("nan")),
    ],
)
def test_a_wrong_value_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=rf"^{field} must .*{value!r}") as caught:
        Config(**{field: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"face": 2},
        {"face": "all"},
        {"identity": None},
        {"views": POOL},
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


def test_a_region_needs_a_face():
    with pytest.raises(ValueError, match="region must go with align=True"):
        Config(region="mouth", align=False)


@pytest.mark.parametrize("kind", [Config, HashConfig])
def test_it_cannot_change_and_tells_every_number(kind):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(kind(), dataclasses.fields(kind)[0].name, 1)
    assert kind() == kind()


def test_a_misspelt_field_is_an_error():
    with pytest.raises(TypeError, match="stepps"):
        Config(stepps=3)
