"""Captions: what they mean follows from how it is said, and they are English, or another language that is taught."""

from __future__ import annotations

import random
import re

import pytest

from examples.faceclip import attributes as attr
from examples.faceclip.captions import CONCEPTS, WHOM, Caption, Concept, describe, end, restrict, shorten, spell
from examples.faceclip.grammar import comparative, gerund, is_gradable, listed, mend, mistype, with_article
from examples.faceclip.languages import LANGUAGES, Tongue
from examples.faceclip.teacher import sentences

TIRED = Concept({"eye_open": -1.0}, ["tired"], ["tired eyes"], ["yawn", "close {the} eyes"])
WRONG = (r"\ba a|\ban? an? |with (with|without)|no no |\ba (a|e|i)[a-z]+ |, ,|\{|\}|  |without no|very very|more more|"
         r"\bi has|they has|she have|\bme to look|more \w+ier\b")  # fmt: skip


def captions(n: int, concepts: tuple[Concept, ...] = CONCEPTS) -> list[tuple[str, dict[str, float]]]:
    rng = random.Random(3)
    return [describe(rng, concepts) for _ in range(n)]


def test_captions_mean_attributes_that_a_tower_knows():
    known = restrict(CONCEPTS, attr.NAMES)
    names = {name for each in known for name in each.meaning} | {"child"}
    assert names - {"child"} <= set(attr.NAMES)
    for text, meaning in captions(2000, known):
        assert text.strip() and set(meaning) <= names and all(abs(value) <= 6 for value in meaning.values())


def test_a_tower_that_knows_little_keeps_the_concepts_it_knows_most_of():
    chubby = Concept({"cheek_fullness": 1.0, "face_width": 0.6}, [], [], [])
    gaunt = Concept({"cheek_fullness": -1.0, "face_width": -0.3}, [], [], [])
    assert restrict([chubby, gaunt], ["face_width"]) == (Concept({"face_width": 0.6}, [], [], []),)


def test_captions_are_english():
    found = [(text, wrong[0]) for text, _ in captions(4000) if (wrong := re.search(WRONG, text.lower()))]
    slips = [pair for pair in found if not re.search("[aeiou]{3}", pair[0])]  # one in sixteen is mistyped on purpose
    assert len(slips) <= 8, slips


def test_captions_are_of_any_number_of_sentences_things_and_forms():
    texts = [text for text, _ in captions(4000)]
    sentences = [len(re.findall(r"[.!?](?: |$)", text)) for text in texts]
    assert max(sentences) >= 4 and min(sentences) == 0
    for form in (
        r"\?$",
        r"^[A-Z]",
        r"\bless\b",
        r"\bnot\b",
        r"\bwithout\b",
        r"(?i)stop \w+ing|don't \w+",
        r"could you",
        r"please",
        r"than",
    ):
        assert sum(bool(re.search(form, text)) for text in texts) > 20, form
    assert sum(text.isupper() for text in texts) > 20
    assert max(len(meaning) for _, meaning in captions(4000)) > 10


def test_a_denial_turns_the_meaning_and_a_degree_scales_it():
    values: dict[str, set[float]] = {}
    for seed in range(3000):
        caption = Caption(random.Random(seed))
        values.setdefault(caption.adjective(TIRED), set()).add(round(caption.meaning["eye_open"], 2))
    assert values["tired"] == {-1.0} and values["very tired"] == {-1.4} and values["slightly tired"] == {-0.5}
    assert values["less tired"] == {0.6} and values["not tired"] == {0.7} and values["much more tired"] == {-1.4}


def test_a_change_may_be_asked_to_stop():
    values: dict[str, set[float]] = {}
    for seed in range(2000):
        caption = Caption(random.Random(seed))
        values.setdefault(caption.change(TIRED, WHOM[0]), set()).add(caption.meaning["eye_open"])
    assert values["stop yawning"] == values["don't yawn"] == {0.7}
    assert values["yawn"] == values["close her eyes"] == {-1.0}


def test_changes_are_filled_for_everybody():
    assert spell("raise {the} brows")[:2] == ["raise her brows", "raise his brows"]
    assert spell("make {her} look as if {she} slept")[1] == "make him look as if he slept"
    assert all("{" not in text for each in CONCEPTS for change in each.changes for text in spell(change))


def test_forms_of_words():
    assert [comparative(word) for word in ("sad", "friendly", "sleepy", "tired")] == [
        "sadder",
        "friendlier",
        "sleepier",
        "more tired",
    ]
    assert [gerund(verb) for verb in ("smile", "grin", "pout", "yawn", "kiss")] == [
        "smiling",
        "grinning",
        "pouting",
        "yawning",
        "kissing",
    ]
    assert [with_article(words) for words in ("old man", "one-eyed man", "blond boy")] == [
        "an old man",
        "a one-eyed man",
        "a blond boy",
    ]
    assert not is_gradable("smiling") and not is_gradable("in love") and is_gradable("tired")
    assert (
        listed(["a", "b", "c"]) == "a, b and c" and listed(["a"]) == "a" and end("go") == "go." and end("go?") == "go?"
    )


def test_what_frame_and_phrase_leave_apart_is_mended():
    assert mend("i'd like you to do not pout") == "i'd like you not to pout"
    assert mend("could you please don't frown?") == "could you please not frown?"
    assert (
        mend("i want me to look rested") == "i want to look rested"
        and mend("please don't frown") == "please don't frown"
    )


def test_a_slip_changes_one_letter_of_a_long_word():
    slips = {mistype("so friendly", random.Random(seed)) for seed in range(200)}
    assert all(slip.startswith("so f") and abs(len(slip) - 11) <= 1 for slip in slips)
    assert "so freindly" in slips and mistype("so sad", random.Random(0)) == "so sad"


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_language_says_what_it_means(code):
    rng, tongue = random.Random(0), Tongue(code, attr.NAMES)
    said = [tongue.say(rng) for _ in range(1000)]
    assert len({text for text, _ in said}) > 200
    assert all(text.strip() and not re.search(r"[{}|]|  ", text) for text, _ in said)
    assert all(meaning and set(meaning) <= set(attr.NAMES) for _, meaning in said)
    assert tongue.elsewhere(rng) not in {text for text, _ in said}


@pytest.mark.parametrize(
    ("code", "phrases", "denied"),
    [
        ("zh", {"adjectives": [["老", "老"]], "nouns": ["皱纹"], "changes": ["微笑"]}, {"不老", "没有皱纹", "别微笑"}),
        ("hi", {"adjectives": [["बूढ़ा", "बूढ़ी"]], "alone": ["झुर्रियाँ"], "changes": ["मुस्कुराओ"]},
         {"बूढ़ा नहीं", "बिना झुर्रियाँ के", "मत मुस्कुराओ"}),
        ("zh", {"nouns": ["没有皱纹"]}, set()),
    ],
)  # fmt: skip
def test_what_is_denied_in_a_language_means_the_contrary(code, phrases, denied):
    rng, tongue = random.Random(0), Tongue(code, attr.NAMES)
    tongue.concepts = [{"meaning": {"old": 1.0}, **phrases}]
    said = {text: meaning["old"] for text, meaning in (tongue.say(rng) for _ in range(3000)) if len(meaning) == 1}
    assert denied <= {text for text, share in said.items() if share == -0.7}
    assert denied or all(share > 0 for share in said.values())


def test_german_adjectives_bend():
    rng, tongue = random.Random(0), Tongue("de", attr.NAMES)
    wanted = [["fröhlich", "fröhlich"], ["müde", "müde"]]
    tongue.concepts = [
        {**each, "alone": [], "changes": [], "adjectives": [a for a in wanted if a in each["adjectives"]]}
        for each in tongue.concepts
        if any(a in each.get("adjectives", []) for a in wanted)
    ]
    texts = " | ".join(tongue.say(rng)[0].lower() for _ in range(3000))
    assert "ein fröhlicher mann" in texts and "eine fröhliche frau" in texts and "ein fröhliches gesicht" in texts
    assert "müdeer" not in texts


def test_a_shorter_saying_keeps_what_turns_it_around():
    short = {shorten("she does not look tired at all any more", random.Random(k)) for k in range(200)}
    assert len(short) > 10 and all("not" in text.split() and "more" in text.split() for text in short)


def test_free_sentences_take_their_form_from_sayings_too():
    made = sentences(["one"], ["one"], ["the cat has the cream"], 300, random.Random(0))
    like = [text for text in made if len(set(text.split()) & {"cat", "has", "cream"}) >= 1]
    assert 60 < len(like) < 140 and all("one" in text.split() and len(text.split()) == 5 for text in like)
