"""Whatever comes in is refused in one line that names it, or works; the cases are those of `benchmarks.attack`."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage.data import astronaut
from stand_in import TinyEncoder

import flowedit
from benchmarks.attack import forge
from benchmarks.attack.laws import laws, random_edit
from benchmarks.attack.outcome import SMALL, Fault, check_refusal
from benchmarks.attack.pictures import attempt_arrays
from benchmarks.attack.settings import names_of, plain, toml
from benchmarks.attack.settings import settings as wild_settings

RANDOM = st.randoms(use_true_random=False)


def seeded(examples: int):
    """Make a test of so many examples, the same in every run."""
    checks = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(max_examples=examples, derandomize=True, deadline=None, database=None, suppress_health_check=checks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A photo, and an edit of it, in a folder."""
    folder = tmp_path_factory.mktemp("genuine")
    Image.fromarray(astronaut()[:256, 96:352]).save(folder / "face.png")
    config = flowedit.Config.from_dict({**SMALL, "steps": 1})
    edit = flowedit.optimize(folder / "face.png", "red", config=config, encoder=TinyEncoder())
    edit.save_edit(folder / "smile.flowedit")
    return folder


def test_an_edit_file_packed_anew_is_the_genuine_one(folder):
    head, tensors = forge.unpack((folder / "smile.flowedit").read_bytes())
    (folder / "same.flowedit").write_bytes(forge.pack(json.dumps(head), tensors))
    assert flowedit.load(folder / "same.flowedit").prompts == {"red": 1.0}


@pytest.mark.parametrize("mutation", forge.MUTATIONS)
@seeded(10)
@given(rng=RANDOM)
def test_a_forged_edit_file_is_refused_by_name_or_works(folder, mutation, rng):
    path = folder / "forged.flowedit"
    path.write_bytes(forge.forge(rng, (folder / "smile.flowedit").read_bytes(), (mutation,)))
    try:
        edit = flowedit.load(path)
    except Exception as error:
        check_refusal(error, path.name)
        return
    assert repr(edit)


@seeded(100)
@given(rng=RANDOM)
def test_a_wrong_setting_is_named(rng):
    chosen = wild_settings(rng)
    try:
        flowedit.Config.from_dict(chosen)
    except Exception as error:
        check_refusal(error, *names_of(chosen))


@seeded(60)
@given(rng=RANDOM)
def test_a_wrong_file_of_settings_is_named(folder, rng):
    path = folder / "settings.toml"
    path.write_text(toml(rng, wild_settings(rng, plain)), encoding="utf-8", errors="replace")
    try:
        flowedit.Config.from_toml(path)
    except Exception as error:
        check_refusal(error, path.name)


@seeded(60)
@given(rng=RANDOM)
def test_a_picture_is_refused_or_keeps_its_bits(folder, rng):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowedit.task.prepare.load_encoder", lambda name, device: TinyEncoder())
        assert attempt_arrays(rng, folder, folder, []) in ("refused", "worked")


@seeded(4)
@given(rng=RANDOM)
def test_edits_of_one_photo_obey_the_laws(folder, rng):
    a, b, c = (random_edit(rng, folder, folder / "smile.flowedit", folder / "face.png") for _ in range(3))
    broken = [law for law, holds in laws(rng, a, b, c, folder) if not holds]
    assert not broken


def test_a_random_edit_moves_the_photo(folder):
    edit = random_edit(random.Random(0), folder, folder / "smile.flowedit", folder / "face.png")
    assert (edit.render() - edit.render(0.0)).abs().max() > 0.05


def test_what_names_nothing_is_a_fault():
    with pytest.raises(Fault, match="names none"):
        check_refusal(ValueError("'int' object is not subscriptable"), "photo.flowedit")
    with pytest.raises(KeyError):
        check_refusal(KeyError("strength"))
