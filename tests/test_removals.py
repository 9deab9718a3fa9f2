"""What is to go, to stay, or to take another's place, told one by one."""

from __future__ import annotations

import pytest

from flowedit.guide.color_changes import say_color_changes
from flowedit.guide.removals import say_removals
from flowedit.guide.targets import read_prompts


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("remove wrinkles and dark circles", "no wrinkles, no dark circles"),
        ("make my wrinkles and dark circles disappear", "no wrinkles, no dark circles"),
        ("no dark circles, wrinkles or freckles", "no dark circles, no wrinkles, no freckles"),
        ("reduce wrinkles and shine", "less wrinkles, less shine"),
        ("big eyes, remove stubble and freckles please", "big eyes, no stubble, no freckles, please"),
        ("enlever les rides du front", "no forehead wrinkles"),
        ("quita arrugas y ojeras", "no wrinkles, no dark circles"),
        ("Falten und Augenringe weg", "no wrinkles, no dark circles"),
        ("去掉皱纹和黑眼圈", "no wrinkles, no dark circles"),
        ("झुर्रियां और काले घेरे हटाओ", "no wrinkles, no dark circles"),
        ("remove the smile", "no smile"),
        ("I hate my wrinkles", "no wrinkles"),
        ("my skin looks greasy", "matte skin"),
        ("smooth skin but keep my freckles", "smooth skin"),
        ("sonríe pero deja mis pecas", "sonríe"),
        ("keep the wrinkles just smile", "smile"),
        ("tan me a bit but don't change my hair color", "tan me a bit"),
        ("keep my eye colour but make my eyes bigger", "make my eyes bigger"),
        ("darker hair, same skin", "darker hair"),
        ("etwas gebräunter, aber die Haare bitte nicht ändern", "etwas gebräunter"),
        ("labios rojos pero no cambies el pelo", "labios rojos"),
        ("lèvres rouges sans toucher aux cheveux", "lèvres rouges"),
        ("嘴唇红一点,但不要改头发", "嘴唇红一点"),
        ("去痘痘", "no pimples"),
        ("keep my wrinkles, I earned them, but make me smile", "make me smile"),
        ("I want the smile but not the crow's feet", "I want the smile, no crow's feet"),
        ("don't change anything except the dark circles", "no dark circles"),
        ("I don't wear lipstick, remove it", "no lipstick"),
        ("keep my nose and lips, make my eyes bigger", "make my eyes bigger"),
        ("don't remove the freckles, just the wrinkles", "no wrinkles"),
    ],
)
def test_each_thing_that_is_to_go_is_told_and_what_stays_is_not(text, told):
    assert say_removals(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "freckles and wrinkles",
        "remove wrinkles and add freckles",
        "smooth skin, no wrinkles",
        "la piel sin pecas",  # the shipped encoder knows it whole
        "keep the lips but shorten them",
        "keep eyes closed and smile",
        "I love freckles",
        "remove wrinkles & smile",  # which is to have
        "no makeup and freckles",
        "remove wrinkles, red lipstick",
        "red hair, freckles, makeup off",
        "my smile is too small",
        "light travels at 300,000 km per second",
    ],
)
def test_any_other_text_stays(text):
    assert say_removals(text) == text


def test_a_prompt_that_only_says_what_stays_is_refused():
    with pytest.raises(ValueError, match="must ask for a change; got 'keep my freckles', which only says what stays"):
        read_prompts("keep my freckles")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("change my hair from black to blonde", "blonde hair"),
        ("blonde to brunette", "brown hair"),
        ("make me a blonde from a brunette", "blonde hair"),
        ("turn the blonde hair dark", "dark hair"),
        ("make my brown eyes green and a smile", "green eyes and a smile"),
        ("i have brown eyes i want them green", "green eyes"),
        ("cambia mi pelo de negro a rubio", "blonde hair"),
        ("Haare schwarz statt blond", "black hair"),
        ("yeux verts au lieu de bleus", "green eyes"),
        ("把金发变成黑发", "black hair"),
        ("सफेद बाल काले करो", "black hair"),
    ],
)
def test_of_two_colors_the_one_that_is_to_come_is_told(text, told):
    assert say_color_changes(text) == told


@pytest.mark.parametrize(
    "text",
    [
        "make my hair dark brown",
        "brown hair with blonde highlights",
        "silver blonde hair",
        "black hair and red lips",
        "make the eyebrows blonde and the hair black",
        "brown hair to the shoulders under a black hat",
        "make my hair brown on a white background",
        "make the eyes blue or at least light",
    ],
)
def test_colors_that_stand_side_by_side_stay(text):
    assert say_color_changes(text) == text
