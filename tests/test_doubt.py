"""What is said of a prompt that may be in vain: what cannot be made, what language is unknown, and nothing else."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from stand_in import TinyEncoder, picture

import flowedit
from examples.faceclip.captions import MAKEABLE, spell
from examples.faceclip.languages import LANGUAGES, LEARNED
from flowedit.guide.doubt import doubt, find_doubts
from flowedit.guide.encoder import load_encoder
from flowedit.guide.impossible import FILE, describe_impossible, find_impossible
from flowedit.guide.language import unknown_language

DATA = Path(__file__).parents[1] / "examples" / "faceclip" / "data"
SIX = ("English", *dict.fromkeys(LANGUAGES[code]["name"] for code in LEARNED))


def prompts(name: str) -> list[str]:
    with open(DATA / name, newline="", encoding="utf-8") as file:
        return [row["prompt"] for row in csv.DictReader(file)]


def test_of_a_hundred_prompts_that_cannot_be_done_ninety_are_found():
    asked = prompts("cannot.csv")
    assert len(set(asked)) == 100
    assert sum(bool(find_impossible(prompt)) for prompt in asked) >= 90


def test_of_two_hundred_prompts_that_can_be_done_five_are_doubted_at_most():
    asked = prompts("can.csv")
    assert len(set(asked)) == 200
    assert sum(bool(find_impossible(prompt)) for prompt in asked) <= 5


def test_no_wording_of_what_can_be_made_is_doubted():
    phrases = [
        p for c in MAKEABLE for p in (*c.adjectives, *c.nouns, *(q for change in c.changes for q in spell(change)))
    ]
    assert [phrase for phrase in phrases if find_impossible(phrase)] == []


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("take her glasses off", "glasses"),
        ("a man without a beard", "a beard"),
        ("Eine Frau mit Brille", "glasses"),
        ("戴眼镜的女人", "glasses"),
        ("make him look like Joe Bloggs", "another person"),
        ("in the style of van Gogh", "a style of art"),
        ("ONCE MORE WITH A HAT", "a hat"),
        ("three eyes", "more or fewer features"),
        ("a gay man", "who somebody is"),
        ("down syndrome", "who somebody is"),
        ("make him black", "another ancestry"),
        ("asian eyes", "another ancestry"),
        ("a nerd", "glasses"),
        ("make her hair lighter and shorter", "another hairstyle"),
        ("black and white", "another look of the photo"),
        ("a tilted head", "another pose"),
        ("skin as green as grass", "skin in a color that no skin has"),
        ("A ROUND‑FACED LADY IN HORN‑RIMMED SPECS", "glasses"),
    ],
)
def test_the_impossible_is_named_whatever_its_form(prompt, name):
    assert name in [each.name for each in find_impossible(prompt)]


@pytest.mark.parametrize(
    "prompt",
    [
        "five o'clock shadow",
        "a hint of a beard",
        "two shades lighter",
        "chat",
        "मुस्कान",
        "fair skin green eyes",
        "another eye color",
        "no eyes closed",
        "almost no lips",
        "keep the glasses but smile",  # what stays as it is need not be made
        "bigger eyes, same hairstyle",
        "with my hat on, make me smile",
        "sie hat die Augen offen",
        "que le brille la piel",
        "肉嘟嘟的婴儿肥",
    ],
)
def test_like_words_about_something_else_are_possible(prompt):
    assert find_impossible(prompt) == ()


def test_a_line_says_what_why_and_what_comes_nearest():
    assert describe_impossible("a man with a beard") == (
        "'a man with a beard' asks for what cannot be made: a beard (no beard is grown or taken off; only its shadow "
        "is tinted; 'a beard shadow' comes nearest)"
    )
    assert describe_impossible("a smiling man") is None


def test_what_comes_nearest_can_be_made():
    for entry in json.loads(FILE.read_text(encoding="utf-8")):
        assert not find_impossible(entry.get("nearest", "a smile")), entry["name"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("眼鏡をかけた女性", "Japanese"),
        ("улыбающаяся женщина", "Russian or another language in Cyrillic"),
        ("امرأة مبتسمة", "Arabic, Persian or Urdu"),
        ("nainen jolla on vihreät silmät", "Finnish"),
        ("una donna con i capelli biondi", "Italian"),
        ("a smiling woman", None),
        ("a portrait of Дарья, smiling with big green eyes", None),  # a name is no language
        ("x = y ** 2", None),
        ("meri aankhen badi kar do", "Hindi in Latin letters"),
        *((LANGUAGES[code]["concepts"][0]["alone"][0], None) for code in LEARNED),
    ],
)
def test_a_language_that_is_not_known_is_named(text, language):
    assert unknown_language(text, SIX) == language


def test_no_english_prompt_of_the_lists_is_taken_for_another_language():
    for name in ("unheard.csv", "far.csv", "prompts.csv", "can.csv", "cannot.csv"):
        assert [prompt for prompt in prompts(name) if unknown_language(prompt, SIX)] == []


def test_a_text_that_is_looked_up_is_known_in_a_language_that_is_not():
    faceclip = load_encoder()
    assert "Hindi in Latin letters" in doubt(faceclip, "meri aankhen badi kar do")
    assert faceclip.look_up("gaal gulabi karo") is not None and doubt(faceclip, "gaal gulabi karo") is None


def test_the_surest_doubt_is_said_in_one_line():
    faceclip = load_encoder()
    assert doubt(faceclip, "a smiling face") is None
    assert "cannot be made: glasses" in doubt(faceclip, "a bowl of soup with glasses")
    assert "the language of 'hymyilevä nainen', Finnish" in doubt(faceclip, "hymyilevä nainen")
    assert "does not know 'a red sports car'" in doubt(faceclip, "a red sports car")
    assert "does not know 'a red sports car' and leaves it out" in doubt(
        faceclip, "big eyes, a red sports car, a smile"
    )
    shadow = "the stubble of the wheat field"  # stubble is painted by its word
    assert not faceclip.knows(shadow) and doubt(faceclip, shadow) is None


@pytest.mark.parametrize("word", ["happy", "Happy ", "old", "viejo", "feliz", "快乐", "सुंदर", "sad"])
def test_a_word_that_is_read_only_beside_others_is_no_doubt_by_itself(word):
    assert doubt(load_encoder(), word) is None


@pytest.mark.parametrize("word", ["banana", "football", "loud", "broken", "frozen"])
def test_a_word_about_something_else_is_one(word):
    assert doubt(load_encoder(), word) is not None


@pytest.mark.parametrize(
    ("prompts", "told"),
    [
        ({"closed eyes and open eyes": 1.0}, ["'closed eyes' and 'open eyes' ask for the contrary"]),
        ({"blonde hair": 1.0, "black hair": 1.0}, ["'blonde hair' and 'black hair' ask for the contrary"]),
        ({"old and young": 1.0}, ["'old' and 'young' ask for the contrary"]),
        ({"red hair and black hair": 1.0}, ["several colors are asked for the hair"]),
        ({"old man, white hair": 1.0}, []),
        ({"black hair with red highlights": 1.0}, []), ({"a woman with a masculine jaw": 1.0}, []),
        ({"blonde hair": 1.0, "black hair": -1.0}, []), ({"exhausted but happy": 1.0}, []),
        ({"a smile": 1.0, "tears": 1.0}, []), ({"closed eyes": 1.0}, []),
    ],
)  # fmt: skip
def test_two_attributes_that_undo_each_other_are_told(prompts, told):
    found = find_doubts(load_encoder(), prompts)
    assert len(found) == len(told) and all(line.startswith(start) for line, start in zip(found, told, strict=True))


def test_an_edit_carries_the_doubt():
    config = flowedit.Config(align=False, steps=1)
    with pytest.warns(UserWarning, match="cannot be made: a hat"):
        edit = flowedit.optimize(picture(), "red hat", encoder=TinyEncoder(), config=config)
    assert len(edit.messages) == 1 and "a hat" in edit.messages[0]


def test_attributes_that_are_known_one_by_one_are_known_together():
    encoder = load_encoder()
    assert not encoder.knows("happy but tired") and doubt(encoder, "happy but tired") is None
    told = doubt(encoder, "happy but a banana")
    assert told is not None and "'happy but a banana'" in told


@pytest.mark.parametrize("text", ["hello", "Good morning!", "asdfghjkl", "edit this photo", "make it better", "你好"])
def test_words_that_name_nothing_of_a_face_are_told(text):
    assert doubt(load_encoder(), text) == f"{text!r} names nothing that a face may have; 'a smile' does"


@pytest.mark.parametrize("text", ["no make-up", "make her smile", "lol", "a good mood", "pout", "wry", "brows down"])
def test_short_words_about_a_face_are_not_taken_for_nothing(text):
    told = doubt(load_encoder(), text)
    assert told is None or "names nothing" not in told
