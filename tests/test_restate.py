"""Prompts in other words, or another language, that an encoder takes to mean what the tables of parts know."""

import pytest
import torch
import torch.nn.functional as F

from flowedit.guide.encoder import load_encoder
from flowedit.guide.part_looks import said_looks
from flowedit.guide.restate import restate


class Reader:
    """Reads a few words: texts with the same ones mean the same, and all others something of their own."""

    languages = ("English",)
    meanings = (
        {"pelo negro", "raven tresses", "black hair"},
        {"carrot top", "red hair"},
        {"not raven-haired", "blonde hair"},
        {"sin pecas", "no freckles"},
        {"बूढ़ा नहीं", "an old person"},
    )

    def text(self, prompts):
        return torch.stack([self._embed(prompt) for prompt in prompts])

    def knows(self, prompt):
        return prompt != "foreign"

    def _embed(self, prompt):
        if prompt == "a face":
            return torch.zeros(64)
        for k, texts in enumerate(self.meanings):
            if prompt in texts:
                return torch.eye(64)[k]
        own = torch.Generator().manual_seed(sum(prompt.encode()))
        return F.normalize(torch.cat([torch.zeros(8), torch.randn(56, generator=own)]), dim=0)


def test_attributes_in_other_words_are_told_in_the_tables_words():
    prompts = {"raven tresses and a smile": 1.0, "carrot top": 0.5, "pelo negro": -1.0}
    assert restate(Reader(), prompts) == {"black hair, a smile": 1.0, "red hair": 0.5, "black hair": -1.0}


def test_what_is_negated_is_no_color_of_hair_and_not_what_it_denies():
    prompts = {"not raven-haired": 1.0, "sin pecas": 1.0, "बूढ़ा नहीं": 1.0}
    assert list(restate(Reader(), prompts)) == ["not raven-haired", "no freckles", "बूढ़ा नहीं"]


def test_words_that_the_tables_know_or_nothing_is_like_stay():
    prompts = {"auburn hair and big eyes": 1.0, "a smile": 1.0, "foreign": 1.0}
    assert restate(Reader(), prompts) == prompts


def test_an_encoder_of_unknown_teaching_keeps_its_prompts():
    reader = Reader()
    reader.languages = None
    assert restate(reader, {"raven tresses": 1.0}) == {"raven tresses": 1.0}


def test_a_share_stands_before_what_it_is_a_share_of():
    told = restate(Reader(), {"gray hair by half, a smile": 1.0, "freckles (20%)": 1.0, "0% wrinkles": 1.0})
    assert list(told) == ["50 % gray hair, a smile", "20 % freckles", "no wrinkles"]


@pytest.mark.parametrize("prompt", ["an old man, white hair", "white hair, an old man"])
def test_a_color_told_outright_is_not_the_gray_of_an_age(prompt):
    assert said_looks({prompt: 1.0})["hair"] == said_looks({"white hair": 1.0})["hair"]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("get rid of my gray hair", "cover the gray hair"),
        ("sin canas", "cover the gray hair"),
        ("take the red out of her hair", "no red hair"),
        ("iron out the wrinkles", "no wrinkles"),
        ("silver blonde hair", "silver blonde hair"),
        ("make his hair white", "make his hair white"),
        ("cover my grays", "cover my grays"),
    ],
)
def test_what_words_name_is_not_said_where_the_contrary_is_meant(prompt, told):
    assert list(restate(load_encoder(), {prompt: 1.0})) == [told]
