"""What is wanted of a text that tells more: complaints and reasons go, and what they name stands for "it", "them"."""

from __future__ import annotations

import pytest
import torch.nn.functional as F

from flowedit.guide.clauses import list_attributes
from flowedit.guide.encoder import load_encoder
from flowedit.guide.targets import read_prompts, text_change
from flowedit.guide.wishes import keep_wishes


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("My nose is too wide, please make it narrower", "please make the nose narrower"),
        ("I look way too serious here. Give me a warm smile.", "Give me a warm smile."),
        ("my forehead has so many lines, could you smooth those?", "could you smooth the lines on the forehead?"),
        ("I have crow's feet around my eyes. Take them away.", "Take the crow's feet around the eyes away."),
        ("please hide the bags under my eyes, I hardly slept", "please hide the bags under my eyes"),
        ("I feel like I look scared, please make me look less afraid", "please make me look less afraid"),
        ("my forehead is so shiny, fix it please", "my forehead is too shiny"),
        ("my skin is so shiny, tone it down", "my skin is too shiny"),
        ("My girlfriend thinks I look sad here, fix that", "less sad"),
        ("don't make her look older, only happier", "happier"),
        ("Not younger, just less tired", "less tired"),
        ("keep my lips but make them fuller", "make the lips fuller"),
        ("fix my bushy eyebrows", "less bushy eyebrows"),
        ("he looks tired, give him some energy", "give him some energy"),
        ("wake me up, I look exhausted", "wake me up"),
        ("add some stubble, girls like that", "add some stubble"),
        ("fuller lips, but not too much", "slightly fuller lips"),
        ("make her look happier, she had just had a fight", "make her look happier"),
        ("make the nose smaller but leave the rest as it is", "make the nose smaller"),
        ("my nose a bit narrower and slightly shorter", "my nose a bit narrower, slightly shorter nose"),
        ("those lines beside my mouth, can you fade them?", "can you fade those lines beside my mouth?"),
        ("thicker brows, and raise them a little", "thicker brows, and raise the brows a little"),
        ("blue eyes instead of brown ones", "blue eyes"),
        ("what would i look like with grey hair", "grey hair"),
        ("show me how I would look at 70", "70 years old"),
        ("take ten years off", "ten years younger"),
        ("make me look like i just woke up", "make me look sleepy"),
        ("big green eyes", "big eyes, green eyes"),
        ("i have such a big nose", "my nose is too big"),
        ("get rid of the grey in my beard", "darker beard"),
        ("i like my beard, just make it darker", "darker beard"),
        ("reduce the puffiness around my eyes", "reduce the bags under the eyes"),
        ("remove the wrinkles, don't make me look younger though", "remove the wrinkles"),
        ("I look angry here even though I wasn't, can you make me look calm", "can you make me look calm"),
        ("idk my eyes look huge here, can u make them smaller", "can u make the eyes smaller"),
        ("My nose is big and my lips are thin, make them fuller", "make the lips fuller"),
        ("I have dark circles and small eyes, make them bigger", "make the eyes bigger"),
        ("my left eye is smaller than my right, make it bigger", "make the left eye bigger"),
        ("My teeth are yellow, please make them whiter", "please make the teeth whiter"),
        ("make my nose smaller because it's huge and my lips fuller", "make my nose smaller and my lips fuller"),
        ("green eyes instead of blue and fuller lips", "green eyes and fuller lips"),
        ("only the chin please, a tad shorter", "a tad shorter chin"),
        ("i look tired in this can you remove the eye bags thanks", "can you remove the eye bags"),
        ("I'm off to a wedding and want to see myself with red lipstick", "want to see myself with red lipstick"),
        ("I don't like my wrinkles, please make them disappear", "please remove the wrinkles"),
    ],
)  # fmt: skip
def test_what_there_is_and_what_stays_are_no_wishes(text, wish):
    assert keep_wishes(text) == wish


@pytest.mark.parametrize(
    "text",
    [
        "a smiling face, her eyes are green",  # without a request all is one
        "she is smiling, her eyes are green",
        "make her eyes bigger and the lips red",
        "her lips are red, fix it",  # says nothing without what there is
        "that red lip is too loud, get rid of it",  # no lips can go
        "he's half asleep here, open him up",
        "lower lip pushed out, she is sulking",
        "the eyes should be larger, give them more area",
        "make my freckles go darker",
        "not only bigger eyes but also fuller lips",
        "make my face slimmer, I also want bigger eyes",
        "my hair has to be red, and make my lips fuller",
        "make my eyes bigger. They are supposed to be blue.",
        "fuller lips, and make it fast",
        "a policeman instead of a policewoman",
        "I think darker skin would look great, can you try that?",
    ],
)
def test_what_may_be_wanted_stays(text):
    assert keep_wishes(text) == text


@pytest.mark.parametrize(
    ("complaint", "wish"),
    [
        ("My nose is too wide in this lens, please make it narrower", "a narrower nose"),
        ("My skin looks really greasy, can you make it matte?", "matte skin"),
        ("His eyebrows are overplucked, could you make them thicker?", "thicker eyebrows"),
    ],
)
def test_a_complaint_is_read_as_its_wish(complaint, wish):
    encoder = load_encoder()
    change, wanted = (text_change(encoder, read_prompts(each)) for each in (complaint, wish))
    assert float(F.cosine_similarity(change, wanted, dim=0)) > 0.9


@pytest.mark.parametrize(
    ("prompt", "left"),
    [
        ("blue hair, red lipstick and a slight smile", {"red lipstick": 1.0, "a smile": 0.5}),
        ("vollere Lippen und weißere Zähne", {"vollere Lippen": 1.0}),
        ("glasses and a hat", {"glasses and a hat": 1.0}),
    ],
)
def test_beside_others_what_cannot_be_made_is_left_out(prompt, left):
    assert list_attributes(load_encoder(), {prompt: 1.0}) == pytest.approx(left, rel=0.05)


def test_what_is_not_known_is_left_out_and_the_rest_keeps_its_degrees():
    encoder = load_encoder()
    assert not encoder.knows("a quarterly report for the board")
    asked = list_attributes(encoder, {"slightly sad, a quarterly report for the board, big eyes": 1.0})
    assert asked == pytest.approx({"sad": 0.5, "big eyes": 1.0})


@pytest.mark.parametrize("text", ["a smile, :)", "a smile, 😀", "😀, a smile"])
def test_a_clause_without_a_word_asks_for_nothing(text):
    encoder = load_encoder()
    change, smile = (text_change(encoder, read_prompts(each)) for each in (text, "a smile"))
    assert float(F.cosine_similarity(change, smile, dim=0)) > 0.8
