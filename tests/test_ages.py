"""Ages in digits: the words that an encoder reads in their place."""

from __future__ import annotations

import pytest
import torch

from flowedit.guide.ages import spell_ages
from flowedit.guide.doubt import doubt
from flowedit.guide.encoder import load_encoder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a 60 year old man", "an old man"), ("a 25-year-old woman", "a young woman"), ("aged 80", "very old"),
        ("a 70-year-old", "an old person"), ("a twenty-five year old woman", "a young woman"),
        ("a smile, in her 40s", "a smile, middle-aged"), ("make him look 70", "make him look old"),
        ("eine 20-jährige Frau", "eine junge Frau"), ("60 Jahre alt", "alt"),
        ("un hombre de 70 años", "un hombre mayor"),
        ("une femme de 80 ans", "une femme très âgé"), ("10 ans de moins", "plus jeune"), ("20岁的女孩", "年轻的女孩"),
        ("60 साल का आदमी", "बूढ़ा आदमी"), ("20 years younger", "ten years younger"),
    ],
)  # fmt: skip
def test_an_age_is_told_in_words(text, words):
    assert spell_ages(text) == words


@pytest.mark.parametrize("text", ["big eyes 2", "20 % wider", "20 años más joven", "年轻10岁", "mp3", "an old man"])
def test_other_numbers_stay(text):
    assert spell_ages(text) == text


def test_the_shipped_encoder_reads_ages_in_words_and_doubts_those_of_children():
    encoder = load_encoder()
    assert torch.equal(encoder.text(["a 60-year-old man"]), encoder.text(["an old man"]))
    assert doubt(encoder, "in her 60s") is None and doubt(encoder, "18 years old") is None
    assert "a child's age" in doubt(encoder, "a 10 year old boy") and "a child's age" in doubt(encoder, "aged 5")
