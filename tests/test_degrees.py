"""Words that ask for little of an attribute, or for much."""

from __future__ import annotations

import pytest
import torch
from skimage.data import astronaut

import flowedit
from flowedit.field.lids import LidField
from flowedit.guide.clauses import list_attributes
from flowedit.guide.degrees import LEAST, LITTLE, MUCH, TRACE, read_degree
from flowedit.guide.doubt import doubt
from flowedit.guide.encoder import load_encoder
from flowedit.transform.transforms import leaves


@pytest.mark.parametrize(
    ("text", "attribute", "degree"),
    [
        ("slightly surprised", "surprised", LITTLE), ("a slight smile", "a smile", LITTLE),
        ("smiling a little bit", "smiling", LITTLE), ("a bit less tired", "less tired", LITTLE),
        ("make her look a bit more friendly", "make her look more friendly", LITTLE),
        ("a very slight smile", "a smile", TRACE), ("hardly smiling", "smiling", TRACE),
        ("a hint of a smile", "a smile", TRACE), ("sehr leicht lächelnd", "lächelnd", TRACE),
        ("a really tiny bit sad", "sad", TRACE), ("very, very old", "old", MUCH),
        ("much bigger eyes", "bigger eyes", MUCH),
        ("Very angry", "angry", MUCH), ("smiling a lot", "smiling", MUCH), ("a lot less tired", "less tired", MUCH),
        ("un poco triste", "triste", LITTLE), ("muy enfadada", "enfadada", MUCH),
        ("ein leichtes Lächeln", "ein Lächeln", LITTLE), ("viel größere Augen", "größere Augen", MUCH),
        ("un léger sourire", "un sourire", LITTLE), ("très fatigué", "fatigué", MUCH),
        ("有点难过", "难过", LITTLE), ("非常开心", "开心", MUCH),
        ("थोड़ा उदास", "उदास", LITTLE), ("बहुत खुश", "खुश", MUCH),
        ("a 30 % smile", "a smile", 0.3), ("smiling at 25%", "smiling", 0.25), ("30 percent less sad", "less sad", 0.3),
        ("200 % happier", "happier", MUCH), ("1% older", "older", LEAST), ("half as sad", "sad", LITTLE),
        ("twice as happy", "happy", MUCH), ("a 12.5% smile", "a smile", 0.125),
        ("a 30-percent smile", "a smile", 0.3), ("doppelt so glücklich", "glücklich", MUCH),
        ("thirty percent happier", "happier", 0.3), ("a smile (50%)", "a smile", 0.5),
        ("smile by a third", "smile", 0.33), ("a quarter less sad", "less sad", 0.25),
        ("twenty-five percent sad", "sad", 0.25), ("30％的微笑", "微笑", 0.3),
        ("reduce the smile by half", "reduce the smile", 0.5), ("a 0 % smile", "no smile", 1.0),
        ("0 % bigger eyes", "bigger eyes", LEAST), ("wrinkles -50%", "less wrinkles", 0.5),
        ("one hundred and fifty percent happier", "happier", MUCH), ("twelve per cent sad", "sad", 0.12),
        ("by a quarter less sad", "less sad", 0.25), ("less sad by a third", "less sad", 0.33),
        ("remove 50% of the wrinkles", "reduce the wrinkles", 0.5), ("20-30 % smile", "smile", 0.25),
        ("½ smile", "smile", 0.5), ("1/4 happier", "happier", 0.25), ("about 40 % sad", "sad", 0.4),
        ("um ein Drittel glücklicher", "glücklicher", 0.33), ("treinta por ciento feliz", "feliz", 0.3),
        ("百分之二十五的微笑", "微笑", 0.25), ("微笑50%", "微笑", 0.5), ("double the smile", "the smile", MUCH),
        ("half the wrinkles", "fewer wrinkles", 0.5), ("half gray hair", "gray hair", 0.5),
        ("(a smile:0.4)", "a smile", 0.4), ("smile x0.5", "smile", 0.5), ("smile: 0.7", "smile", 0.7),
        ("a half-strength smile", "smile", 0.5), ("sad at full intensity", "sad", 1.0),
        ("a smile (half)", "a smile", 0.5),
        ("50 % no makeup", "no makeup", 0.5), ("eyes half as big", "eyes small", 1.0),
        ("make her wrinkles half as deep", "reduce her wrinkles", 0.5),
        ("half as wrinkled as now", "less wrinkled", 1.0), ("by a third happier", "happier", 0.33),
    ],
)  # fmt: skip
def test_a_degree_is_read_apart(text, attribute, degree):
    assert read_degree(text) == (attribute, degree)


@pytest.mark.parametrize(
    "text",
    [
        "very little smile", "très peu triste", "非常轻微的微笑", "isn’t very sad", "anything but very sad",
        "far upper lip", "much under eye bags", "deep frown lines", "more than a little sad", "(slightly) sad",
        "a little.",
        "smiling", "a little girl", "a little nose", "light eyes", "too much makeup", "not very sad", "very", "微笑",
        "hardly any lines", "barely visible eyebrows", "er hat kaum Falten", "a hint of a moustache", "年轻一点",
        "很伤心", "every trace of her years", "a far away look", "a tiny little chin", "faint, pale brows",
        "she is 100 % sure", "not 50 % sad", "half a smile", "a 40 year old", "a quarter turn", "no less than a third",
        "surprised by half the room", "by half past ten she looks tired", "a double chin", "half-closed eyes",
    ],
)  # fmt: skip
def test_other_words_are_no_degrees(text):
    assert read_degree(text) == (text, 1.0)


def test_a_degree_weighs_its_own_attribute_of_several():
    weights = list_attributes(load_encoder(), {"slightly surprised, a slim jaw": 2})
    assert weights == pytest.approx({"surprised": 2 * LITTLE, "a slim jaw": 2.0})


@pytest.mark.parametrize(
    "text",
    ["happy, 20% surprised", "happy (100 %) and surprised (20 %)", "happy 100%, surprised by a fifth", "开心，20%惊讶"],
)
def test_a_share_is_of_its_own_attribute_alone(text):
    assert list(list_attributes(load_encoder(), {text: 1.0}).values()) == pytest.approx([1.0, 0.2])


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("a smile and big eyes, 50 % each", {"a smile": 0.5, "big eyes": 0.5}),
        ("a smile, big eyes, both at 30%", {"a smile": 0.3, "big eyes": 0.3}),
        ("a smile and big eyes (a quarter each)", {"a smile": 0.25, "big eyes": 0.25}),
        ("(smile:0.3), (big eyes:0.6)", {"smile": 0.3, "big eyes": 0.6}),
        ("reduce the frown and the smile by half", {"reduce the frown": 0.5, "reduce the smile": 0.5}),
    ],
)
def test_a_share_told_of_several_is_each_ones(text, shares):
    assert list_attributes(load_encoder(), {text: 1.0}) == pytest.approx(shares)


def test_a_degree_before_the_second_of_two_words_is_of_that_alone():
    encoder = load_encoder()
    assert list_attributes(encoder, {"happy and slightly surprised": 1.0}) == pytest.approx(
        {"happy": 1.0, "surprised": LITTLE}
    )
    assert list(list_attributes(encoder, {"slightly sad and angry": 1.0})) == ["sad and angry"]


@pytest.mark.parametrize("text", ["half as sad", "50% sad", "100 % sad"])
def test_a_number_is_a_degree_whatever_the_encoder_takes_it_for(text):
    encoder = load_encoder()
    assert list(list_attributes(encoder, {text: 1.0})) == ["sad"] and doubt(encoder, text) is None


def test_a_text_that_means_something_else_without_its_degree_is_kept():
    text = "strongly coloured eyebrows"  # dark ones
    assert read_degree(text)[1] == MUCH and list_attributes(load_encoder(), {text: 1.0}) == {text: 1.0}


@pytest.fixture(scope="module")
def portrait():
    return astronaut()[:300, 100:360]


def movement(edit):
    (transform,) = edit.transforms
    return edit.edited.offsets(transform.crop, 64).coord


@pytest.mark.parametrize("attribute", ["{}sad", "{}bigger eyes"])  # the first is held back by the identity budget
def test_little_is_about_half_of_the_usual_edit_and_much_no_less(portrait, attribute):
    words = [("slightly ", "", "very "), ("slightly ", "", "much ")]["eyes" in attribute]
    little, usual, much = (movement(flowedit.predict(portrait, attribute.format(each))) for each in words)
    assert 0.4 < float((little * usual).sum() / usual.square().sum()) < 0.7
    assert float((much * usual).sum() / usual.square().sum()) > (1.2 if "eyes" in attribute else 0.9)


def test_a_search_is_scaled_too(portrait):
    words, config = ("slightly bigger eyes", "bigger eyes"), flowedit.Config(steps=2)
    little, usual = (movement(flowedit.optimize(portrait, each, config=config)) for each in words)
    assert 0.4 < float((little * usual).sum() / usual.square().sum()) < 0.7


def control(edit):
    (transform,) = edit.transforms
    return transform.field.coord.detach()


def test_of_several_each_is_predicted_by_its_own_degree(portrait):
    jaw, eyes, both = (
        control(flowedit.predict(portrait, words))
        for words in ("a slimmer jaw", "bigger eyes", "a slimmer jaw and slightly bigger eyes")
    )
    torch.testing.assert_close(both, jaw + LITTLE * eyes, atol=2e-3, rtol=0)


@pytest.mark.parametrize(
    ("words", "usual"),
    [(("a slightly slimmer jaw", "bigger eyes"), "a slimmer jaw"), (("50 % surprised", "a smile"), "surprised")],
)
def test_what_little_is_asked_of_is_predicted_beside_what_is_searched_for(portrait, words, usual):
    config = flowedit.Config(steps=3)
    seen = []
    together = flowedit.optimize(portrait, " and ".join(words), config=config, callback=seen.append)
    alone = flowedit.optimize(portrait, words[1], config=config)
    beside = control(flowedit.predict(portrait, usual))
    torch.testing.assert_close(control(together), control(alone) + LITTLE * beside, atol=4e-3, rtol=0)
    assert len(seen) == 3 and list(together.prompts) == [" and ".join(words)]


def test_of_a_neural_field_the_strength_is_scaled(portrait):
    config = flowedit.Config(field="hash", steps=1)
    edits = (flowedit.optimize(portrait, each, config=config) for each in ("slightly bigger eyes", "much bigger eyes"))
    assert [edit.transforms[0].strength for edit in edits] == [LITTLE, MUCH]


@pytest.mark.parametrize("words", ["slightly closed eyes", "eyes slightly closed", "ojos ligeramente cerrados"])
def test_what_words_say_has_its_degree_wherever_that_stands(portrait, words):
    fields = [leaf.field for leaf in leaves(flowedit.predict(portrait, words).transforms)]
    (lids,) = (field.amounts for field in fields if isinstance(field, LidField))
    torch.testing.assert_close(lids, torch.tensor([0.5, 0.5, 0.0]))


def test_a_target_within_a_corpus_and_a_bound_of_the_effect_know_degrees(portrait):
    config = flowedit.Config(target="projected", steps=16)
    little, usual = (movement(flowedit.optimize(portrait, f"{each}bigger eyes", config=config)).norm()
                     for each in ("slightly ", ""))  # fmt: skip
    assert little < 0.8 * usual
    bounded = flowedit.predict(portrait, "slightly smiling", config=flowedit.Config(effect=0.02))
    assert bounded.facts.gain == pytest.approx(0.02, abs=0.005)  # of what is asked, and not half of that


def test_much_holds_back_nothing_that_words_say_beside_it(portrait):
    plain, much = (flowedit.predict(portrait, f"red hair, {each}sad").strength for each in ("", "very "))
    assert plain < 1 and much == plain


def test_degrees_of_one_attribute_add(portrait):
    assert list_attributes(load_encoder(), {"slightly sad": 1.0, "sad": -1.0}) == {"sad": LITTLE - 1}
    assert float(movement(flowedit.predict(portrait, {"slightly sad": 1.0, "sad": -1.0})).norm()) > 0.05


def test_what_goes_on_from_an_edit_is_not_scaled(portrait):
    begun = flowedit.predict(portrait, "bigger eyes")
    further = flowedit.optimize(portrait, "much bigger eyes", start=begun, config=flowedit.Config(steps=1))
    assert float((movement(further) * movement(begun)).sum() / movement(begun).square().sum()) < 1.2


def test_what_words_say_has_its_own_degree_once(portrait):
    half, whole = (
        flowedit.predict(portrait, words) for words in ("slightly gray hair, slightly sad", "gray hair, sad")
    )
    amounts = [edit.transforms[0].retouch.amounts for edit in (half, whole)]
    alone = flowedit.predict(portrait, "slightly gray hair").transforms[0].retouch.amounts
    assert amounts[0].allclose(alone) and not amounts[0].allclose(amounts[1])
