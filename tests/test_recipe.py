"""The encoder's recipe: the lists it is judged by are not those it learns from, and its faces stay labelled truly."""

from __future__ import annotations

import csv
import functools
import io
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_align import drawn_landmarks

from examples.faceclip import alone, train_image
from examples.faceclip import attributes as attr
from examples.faceclip.captions import CONCEPTS, PEOPLE, describe, foreign, phrase_bank, spell
from examples.faceclip.evaluate import Held
from examples.faceclip.languages import LANGUAGES, LEARNED, Tongue
from examples.faceclip.shapes import draw_moves
from examples.faceclip.sources import web_faces
from flowedit.guide.encoder import load_encoder
from flowedit.guide.shipped import read_phrases
from tests.faceclip_faces import drawn_faces
from tests.test_measure import face

DATA = Path(__file__).parents[1] / "examples" / "faceclip" / "data"
NAMES = {name for each in CONCEPTS for name in each.meaning}


def pack(path: Path, n: int, **columns: Any) -> Path:
    """Write n small pictures as the sets' files hold them."""
    picture = io.BytesIO()
    Image.new("RGB", (128, 128), (180, 120, 100)).save(picture, "JPEG")
    jpeg = np.frombuffer(picture.getvalue(), np.uint8)
    marks = np.tile((drawn_landmarks().numpy()[None] + 1) * 64, (n, 1, 1))
    offset = len(jpeg) * np.arange(n + 1)
    np.savez(path, jpeg=np.tile(jpeg, n), offset=offset, landmarks=marks, **columns)
    return path


def test_each_array_of_the_faces_is_read_once(tmp_path, monkeypatch):
    n = 3
    columns = {"person": np.arange(n), "expression": np.array(["sad"] * n), "emotion": np.zeros((n, 7))}
    path = pack(tmp_path / "faces.npz", n, age=np.full(n, 30), female_probability=np.ones(n), **columns)
    reads, read = Counter(), np.lib.npyio.NpzFile.__getitem__

    def counting(file, key):
        reads[key] += 1
        return read(file, key)

    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", counting)
    assert len(list(web_faces(path))) == n
    assert reads["jpeg"] == 1 and set(reads.values()) == {1}


OLD = {*attr.EXPRESSION, *attr.GEOMETRY, *attr.PERSON, *attr.COLOR}  # what the first two lists are about


def rows(name: str) -> list[dict[str, str]]:
    with open(DATA / name, newline="") as file:
        return list(csv.DictReader(file))


@functools.lru_cache(maxsize=1)
def learned() -> set[str]:
    """Every phrase of the captions, about anyone, and many whole captions."""
    rng = random.Random(0)
    people = {f"{adjective} {word}" for word, _ in PEOPLE for each in CONCEPTS for adjective in each.adjectives}
    phrases = {f"{article} {words}" for article in ("a", "an", "the") for words in people}
    phrases |= set(phrase_bank()[0]) | {word for word, _ in PEOPLE}
    phrases |= {text for each in CONCEPTS for change in each.changes for text in spell(change)}
    phrases |= {saying.lower() for each in CONCEPTS for saying in each.sayings}
    captions = {describe(rng)[0].lower() for _ in range(20000)} | {foreign(rng) for _ in range(20000)}
    spoken = {phrase.lower() for code in LANGUAGES for phrase in Tongue(code, NAMES).phrases()}
    return {text.strip(" .?!") for text in phrases | captions | spoken}


def test_a_face_that_is_said_to_smile_is_not_surely_sad_but_may_be_surprised():
    held = object.__new__(Held)
    held.said = np.array(["happiness", "neutral", "sadness", "happiness"])
    held.person, held.weight = torch.zeros(4, len(attr.LABELLED)), torch.ones(4, len(attr.LABELLED))
    for name in ("happy", "sad", "surprised"):
        held.person[:3, attr.LABELLED.index(name)] = 1.0
    everyone = torch.ones(4, dtype=torch.bool)
    for name, counted in (("sad", [0, 1, 1, 1]), ("surprised", [1, 1, 1, 1]), ("happy", [1, 1, 1, 1])):
        positive, sure = held.truth(name, everyone)
        assert positive.tolist() == [1, 1, 1, 0]
        assert sure.tolist() == counted, name


@pytest.mark.parametrize("name", ["unheard.csv", "far.csv"])
def test_two_hundred_unheard_wordings_or_more_were_never_learned(name):
    unheard = rows(name)
    prompts = [row["prompt"].lower().strip(" .?!") for row in unheard]
    assert len(set(prompts)) == len(prompts) >= 200
    assert {row["end"] for row in unheard} == {"+", "-"}
    first = {*attr.EXPRESSION, *attr.GEOMETRY, *attr.PERSON, *attr.COLOR}
    assert {row["attribute"] for row in unheard} == first - {"neutral", "skin_warm"}
    assert learned().isdisjoint(prompts)


def test_unheard_wordings_of_every_other_attribute_and_language_were_never_learned():
    unheard = rows("unheard2.csv")
    prompts = [row["prompt"].lower().strip(" .?!") for row in unheard]
    assert len(set(prompts)) == len(prompts) and learned().isdisjoint(prompts)
    assert {row["attribute"] for row in unheard} >= NAMES - OLD
    assert {row["language"] for row in unheard} == {"en", *LEARNED}


def test_no_prompt_of_a_list_is_looked_up():
    looked_up = load_encoder().look_up
    for name in ("unheard.csv", "far.csv", "unheard2.csv", "prompts.csv", "can.csv", "cannot.csv"):
        assert [row["prompt"] for row in rows(name) if looked_up(row["prompt"])] == [], name


def test_prompts_that_can_and_cannot_be_done_were_never_learned():
    for name in ("can.csv", "cannot.csv"):
        assert learned().isdisjoint(row["prompt"].lower().strip(" .?!") for row in rows(name))


def test_prompts_for_knowing_nothing_are_two_hundred_of_each_and_never_learned():
    prompts = rows("prompts.csv")
    assert Counter(row["about"] for row in prompts) == {"face": 200, "other": 200}
    texts = [row["prompt"].lower().strip(" .?!") for row in prompts]
    assert len(set(texts)) == 400 and learned().isdisjoint(texts)


def test_expression_labels_survive_only_where_the_expression_is_untouched():
    landmarks = face().float().expand(400, 68, 2)
    moves = draw_moves(landmarks, torch.Generator().manual_seed(0))
    move, touched = moves.landmarks, moves.touched
    assert 0.4 < touched.float().mean() < 0.6
    for part in (slice(48, 68), slice(17, 27)):  # mouth and brows, up and down
        assert (move[~touched, part, 1] == 0).all()
        assert move[touched, part, 1].abs().max() > 0.02
    assert (moves.closed[~touched] == 0).all() and (moves.squint[~touched] == 0).all()


def test_a_training_goes_on_where_it_was_stopped_and_a_finished_one_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(train_image, "Faces", lambda path: drawn_faces())
    train = partial(train_image.train, tmp_path / "faces.npz", tmp_path, steps=2, width=2, batch=4)
    train()
    written = tmp_path / "image_tower.pt"
    finished = torch.load(written, weights_only=False)
    assert finished["step"] == 2 and all(0 <= value <= 1 for value in finished["auc"].values())
    age = written.stat().st_mtime_ns
    train()
    assert written.stat().st_mtime_ns == age
    *others, schedule = finished["all"]
    torch.save({**finished, "step": 1, "all": [*others, {**schedule, "last_epoch": 1}]}, written)
    train()
    again = torch.load(written, weights_only=False)
    assert again["step"] == 2
    assert any(not torch.equal(a, b) for a, b in zip(*(s["all"][0].values() for s in (finished, again)), strict=True))


def test_what_a_tower_misreads_of_other_languages_is_listed_with_what_it_reads(monkeypatch, tmp_path):
    smile, old = {"happy": 1.0}, {"old": 1.0}
    texts = [
        ("en", "a smile", smile), ("en", "a broad smile", smile), ("es", "Sonrisita, por favor", smile),
        ("en", "aged", old), ("en", "cheese", smile), ("en", "cheese", old), ("en", "grin, aged", smile),
    ]  # fmt: skip
    monkeypatch.setattr(alone, "wordings", lambda: iter(texts))
    face, happy, aged, other = torch.eye(4)

    def read(texts):
        return torch.stack([face + (happy if "smile" in text else aged if "aged" in text else other) for text in texts])

    def mean(meanings):
        return torch.stack([face + (happy if "happy" in meaning else aged) for meaning in meanings])

    found = alone.find_misread(read, mean, face)
    assert found == {"sonrisita": "a smile"}
    alone.write_phrases(found, tmp_path / "phrases.json")
    assert read_phrases(tmp_path / "phrases.json") == found
