"""Mistyped words, and denials without an apostrophe."""

from __future__ import annotations

import pytest
from skimage.data import astronaut

import flowedit
from flowedit.checks import FlowEditWarning
from flowedit.guide.spelling import WORDS, respell
from flowedit.guide.targets import read_prompts


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("a smilling face", "a smiling face"), ("suprised", "surprised"), ("Anrgy man", "Angry man"),
        ("happyy", "happy"), ("red lipstik, bushy eyeborws", "red lipstick, bushy eyebrows"),
        ("dont smile", "don't smile"), ("she isnt smiling", "she isn't smiling"), ("wont frown", "won't frown"),
    ],
)  # fmt: skip
def test_mistyped_words_are_as_they_are_meant(typed, meant):
    assert respell(typed) == meant


@pytest.mark.parametrize(
    "text",
    [
        "a scarred face", "una cara borde", "wieder lächeln", "surpris et content", "un rostro sonriente",
        "widen the eyes", "brown brows", "the want of a hunt", "simile", "smiley", "no-smilling-zone",
        "bluish lips", *sorted(WORDS),
    ],
)  # fmt: skip
def test_other_words_stay(text):
    assert respell(text) == text


def test_what_is_read_is_told_but_for_an_apostrophe(recwarn):
    assert read_prompts({"smilling": 1.0, "smiling": 0.5}) == {"smiling": 1.5}
    assert [str(each.message) for each in recwarn] == ["'smilling' is read as 'smiling'"]
    assert read_prompts("dont smile") == {"don't smile": 1.0} and len(recwarn) == 1


def test_an_edit_has_the_prompt_that_was_read():
    with pytest.warns(FlowEditWarning, match="'a smilling face' is read as 'a smiling face'"):
        edit = flowedit.predict(astronaut()[:280, 80:360], "a smilling face")
    assert dict(edit.prompts) == {"a smiling face": 1.0} and len(edit.messages) == 1
