"""Words that deny: what they deny, that an encoder's reading of them is its contrary, and the end of a smile."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.data import astronaut

import flowedit
from examples.faceclip import denials
from flowedit.guide.corpus import embed_changes
from flowedit.guide.denials import denied
from flowedit.guide.doubt import doubt
from flowedit.guide.encoder import WEIGHTS, load_encoder
from flowedit.guide.smile_words import smile_ended
from flowedit.task import finish
from flowedit.transform.bounds import bound_frown


@pytest.fixture
def portrait():
    return np.ascontiguousarray(astronaut()[:280, 80:360])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("smile less", "smile"), ("make her smile a little less, please", "smile"), ("less stern", "stern"),
        ("not so tired", "tired"), ("she looks too tired.", "tired"), ("she doesn't look angry", "angry"),
        ("a less serious face", "serious"), ("no longer sad", "sad"), ("her chin a bit less pointed", "pointed chin"),
        ("the face should be less round", "round face"), ("her hair is not black", "black hair"),
        ("eyes no longer closed", "closed eyes"), ("less angry eyebrows", "angry eyebrows"),
        ("don't make him look old", "old"), ("lächle nicht", "lächle"), ("weniger ernst", "ernst"),
        ("no tan cansada", "cansada"), ("ne souris pas", "souris"), ("moins sévère", "sévère"),
        ("never smile", "smile"), ("lose the smile", "smile"), ("get rid of that grin", "grin"),
        ("don't raise your eyebrows", "raise your eyebrows"), ("deja de llorar", "llorar"),
        ("hör auf zu lächeln", "lächeln"), ("sie sieht zu alt aus", "alt"), ("arrête de sourire", "sourire"),
        ("不要笑", "笑"), ("她太老了", "老"),
        ("没那么累", "累"), ("不累", "累"), ("मुस्कुराओ मत", "मुस्कुराओ"), ("कम गुस्सा", "गुस्सा"),
    ],
)  # fmt: skip
def test_a_denial_names_what_it_denies(text, what):
    assert denied(text) == what


@pytest.mark.parametrize(
    "text",
    [
        "smile more", "no expression", "not a day over thirty", "too many pies", "a smiling woman who looks less tired",
        "less angry and more tired", "couldn't be happier than this", "regardless", "不安",
        "太阳镜", "never happier", "no smile lines at all",
    ],
)  # fmt: skip
def test_what_says_more_than_one_denied_word_is_left_to_the_encoder(text):
    assert denied(text) is None


def cosine(one, other):
    return float(F.cosine_similarity(*embed_changes(load_encoder(), [one, other]).split(1), dim=1))


@pytest.mark.parametrize(
    ("text", "what"),
    [("smile less", "smile"), ("less approachable", "approachable"), ("别生气", "生气"), ("कम दुखी", "दुखी"),
     ("ne souris pas", "souris"), ("lächle nicht", "lächle")],
)  # fmt: skip
def test_a_denial_is_read_as_the_contrary_of_what_it_denies(text, what):
    assert cosine(text, what) < -0.8


@pytest.mark.parametrize("text", ["not angry", "less stern"])
def test_a_denial_asks_for_no_worry_beside_what_it_ends(text):
    assert cosine(text, "worried eyebrows") < 1e-3
    assert cosine("less angry eyebrows", "worried eyebrows") > 0.5  # nor is it taken where it is what is asked for


def test_a_denial_that_the_encoder_reads_right_keeps_its_own_reading():
    encoder = load_encoder()
    (read,), (face, plain) = embed_changes(encoder, ["not so tired"]), encoder.text(["a face", "not so tired"])
    assert torch.equal(read, plain - face)


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("she looks lonely", "she looks forlorn"), ("Lonely", "forlorn"), ("fröhlich", "glücklich"), ("别哭", "别伤心"),
        ("वह रो रही है", "वह दुखी है"), ("Over the moon!", "overjoyed"), ("be happy", "a happy face"),
        ("smiling with closed lips", "smile without teeth"),
    ],
)  # fmt: skip
def test_words_that_captions_lack_are_read_by_those_that_they_have(text, known):
    encoder = load_encoder()
    assert torch.equal(encoder.text([text]), encoder.text([known])) and doubt(encoder, text) is None


@pytest.mark.parametrize("text", ["दुखद", "a low brow", "a drunkard", "a cool smile"])
def test_a_word_within_another_or_beside_others_stays(text):
    encoder = load_encoder()
    assert encoder.alone.get(text) is None and encoder._synonym.sub("", text) == text


def test_the_card_s_denials_are_read_better_than_by_the_tower_alone(monkeypatch):
    monkeypatch.setattr(denials, "FORMS", {"hi": ("कम {}",)})
    rows = [row for row in denials.adjectives() if row[0] == "hi"]
    monkeypatch.setattr(denials, "adjectives", lambda: rows)
    with np.load(WEIGHTS / "faceclip" / denials.DIRECTIONS) as saved:
        directions = F.normalize(torch.from_numpy(saved["vectors"]), dim=1)
    ((form, n, tower, whole),) = denials.measure_denials(load_encoder(), directions)
    assert form == "कम {}" and 200 < n <= len(rows) and tower < 0.3 < 0.65 < whole


@pytest.mark.parametrize(
    ("prompts", "ended"),
    [
        ({"do not smile": 1.0}, True), ({"stop smiling": 1.0}, True), ({"smile less": 1.0}, True),
        ({"a smiling face": -1.0}, True), ({"sin sonrisa": 1.0}, True), ({"没有笑容": 1.0}, True),
        ({"no smile lines": 1.0}, False), ({"a sad face": 1.0}, False), ({"a smile": 1.0}, False),
        ({"lächle nicht": 1.0}, True), ({"less happy": 1.0}, True), ({"less sad": 1.0}, False),
        ({"do not smile": -1.0}, False), ({"do not smile, red lips": 1.0}, False),
    ],
)  # fmt: skip
def test_the_end_of_a_smile_is_told_from_more_than_that(prompts, ended):
    assert smile_ended(load_encoder(), prompts) == ended


def test_where_no_smile_is_left_to_end_the_face_stays_and_it_is_said(portrait, monkeypatch):
    monkeypatch.setattr(finish, "bound_frown", lambda edited: bound_frown(edited)._replace(limit=0.0))
    edit = flowedit.predict(portrait, "do not smile")
    assert edit.strength == 0 and len(edit.messages) == 1 and "no smile to end" in edit.messages[0]
    assert flowedit.predict(portrait, "a sad face").strength > 0


def test_a_smile_ends_in_a_straight_mouth(portrait):
    edit = flowedit.predict(portrait, "do not smile", config=flowedit.Config(identity=None, stretch=None))
    more = dataclasses.replace(edit, strength=3.0)
    bound = bound_frown(more.edited)
    assert bound.limit > 5 and bound.measure(0.0) == pytest.approx(0, abs=1e-4)
    assert 0 < bound.measure(edit.strength) <= bound.limit < bound.measure(3.0)
