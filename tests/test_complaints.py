"""Complaints in other languages than English, and the requests after them."""

from __future__ import annotations

import pytest
import torch.nn.functional as F

from flowedit.guide.complaints import answer_complaints
from flowedit.guide.encoder import load_encoder
from flowedit.guide.targets import read_prompts, text_change


@pytest.mark.parametrize(
    ("complaint", "wish"),
    [
        ("Meine Nase ist zu breit, mach sie schmaler", "a narrower nose"),
        ("Mes yeux sont trop petits, agrandis-les", "bigger eyes"),
        ("Tengo los labios demasiado finos", "thicker lips"),
        ("我的脸太圆了，帮我瘦一点", "a slimmer face"),
        ("मेरी नाक बहुत चौड़ी है, उसे पतला कर दो", "a narrower nose"),
    ],
)
def test_what_is_too_much_is_read_as_its_contrary(complaint, wish):
    encoder = load_encoder()
    change, wanted = (text_change(encoder, read_prompts(each)) for each in (complaint, wish))
    assert float(F.cosine_similarity(change, wanted, dim=0)) > 0.9


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("Ich sehe so müde aus, entferne bitte die Augenringe", "entferne bitte die Augenringe"),
        ("J'ai l'air fatiguée, enlève les cernes", "enlève les cernes"),
        ("Parezco cansada, quita las ojeras", "quita las ojeras"),
        ("我看起来很累，去掉黑眼圈", "去掉黑眼圈"),
        ("脸颊太红了", "less red cheeks"),
        ("meine Lippen sind zu dünn, entferne die Falten", "thicker lips, entferne die Falten"),
        ("j'ai une sale tête avec ces cernes, enleve les", "no dark circles"),
        ("आँखों के नीचे काले घेरे हैं, हटा दो", "no dark circles"),
        ("Die Krähenfüße sind echt schlimm, bitte wegmachen", "no crow's feet"),
    ],
)
def test_how_somebody_looks_is_no_part_of_the_request_after_it(text, wish):
    assert answer_complaints(text) == wish


@pytest.mark.parametrize(
    "text",
    [
        "Sie sieht müde aus", "eine breite Nase", "ses yeux sont très grands", "mis labios son muy finos",
        "我的眼睛很大", "她的眼睛很大", "i am sad", "मेरे होंठ बहुत पतले हैं",
        "die Nase ist schmal, die Augen sind groß", "a nose that is too wide",
        "she looks tired", "i look happy", "ich bin müde", "I'm tired of my nose",
    ],
)  # fmt: skip
def test_a_description_may_be_what_is_wanted(text):
    assert answer_complaints(text) == text


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("i look so tired", "less tired"),
        ("i look older than i am, fix it", "younger"),
        ("my face looks puffy in this photo", "slimmer face"),
        ("my face is so red, calm it down", "less red face"),
        ("i overdid the blush", "less blush"),
        ("parezco cansada, arréglalo", "less tired"),
        ("Ich sehe so müde aus", "less tired"),
        ("ich bin so blass", "less pale"),
        ("j'ai l'air fatiguée", "less tired"),
        ("je suis trop pâle", "less pale"),
        ("मैं थका हुआ लग रहा हूँ", "less tired"),
        ("我看起来好累", "less tired"),
    ],
)
def test_what_people_say_of_how_they_look_is_what_they_want_less_of(text, wish):
    assert answer_complaints(text) == wish


@pytest.mark.parametrize(
    ("text", "wish"),
    [
        ("my nose is very big", "smaller nose"),
        ("my hair is too dark and my skin too pale", "lighter hair, darker skin"),
        ("tengo la nariz muy grande", "smaller nose"),
        ("my nose is red, fix it", "less red nose"),
        ("meine Lippen sind zu dünn und meine Nase ist zu groß", "thicker lips, smaller nose"),
    ],
)
def test_several_complaints_and_strong_ones_are_answered(text, wish):
    assert answer_complaints(text) == wish
