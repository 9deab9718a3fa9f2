"""Corpora: what is read and refused, whose they are, and the subspace they span."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from stand_in import TinyEncoder, picture

import flowedit
from flowedit import config
from flowedit.guide.corpus import (
    FOLDER,
    Corpus,
    find_components,
    find_corpus,
    list_corpora,
    order_prompts,
    read_corpus,
    span_corpus,
)
from flowedit.guide.encoder import load_encoder
from flowedit.guide.targets import text_change

NAMES = ["age", "emotions", "eyes", "face-shape", "hair", "make-up", "mouth"]
COLORS = "red\nblue\nleft\n"
AXES = [f"axis {i}" for i in range(6)]


def changes(n=6, dim=9, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def assert_orthonormal(vectors):
    assert torch.allclose(vectors @ vectors.T, torch.eye(len(vectors)), atol=1e-5)


def write(folder, content, name="mine.txt"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_the_shipped_corpora():
    assert list_corpora() == NAMES
    for name in NAMES:
        prompts = read_corpus(name).prompts
        assert len(prompts) >= 30 and all(prompt == prompt.lower() for prompt in prompts), name
        lines = [line for line in (FOLDER / f"{name}.txt").read_text().splitlines() if line and line[0] != "#"]
        assert list(prompts) == lines, name  # none twice, none unusable
        assert name in Path(config.__file__).read_text()  # the help names them all


def test_a_file_of_the_users_own(tmp_path):
    path = write(tmp_path, b"\xef\xbb\xbf# colors\r\n\r\n  Red \r\n---\r\nblue   sky\r\nred\r\n")
    assert read_corpus(path) == Corpus("mine.txt", ("red", "blue sky"), custom=True)


def test_several_are_joined():
    both = read_corpus("eyes, mouth")
    assert both.name == "eyes,mouth" and not both.custom
    assert both.prompts == read_corpus("eyes").prompts + read_corpus("mouth").prompts


def test_a_name_with_a_comma_may_be_a_file(tmp_path):
    assert read_corpus(write(tmp_path, COLORS, "red,blue.txt")).name == "red,blue.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "one of age, emotions, .*text file that exists; got"),
        (b"", "from 2 to 1000 different prompts; got 0"),
        (b"# red\n# blue\n", "got 0"),
        (b"red\nRED\n", "got 1"),
        (b"\n".join(b"red %d" % i for i in range(1001)), "got 1001"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "UTF-8 text"),
        (b"red\0\nblue\0\n", "UTF-8 text"),
        (b"red\n" * 2**18 + b"blue", "at most 1048576 bytes"),
    ],
)
def test_what_is_no_corpus_is_refused_in_one_line(tmp_path, content, message):
    path = str(tmp_path / "no.txt") if content is None else write(tmp_path, content)
    with pytest.raises(ValueError, match=rf"^corpus must .*{message}") as caught:
        read_corpus(path)
    assert "\n" not in str(caught.value) and (content is not None or "no.txt" in str(caught.value))


@pytest.mark.parametrize("name", ["eye", "", ".", "eyes,", "eyes,nose", "/dev/zero", "x" * 5000])
def test_an_unknown_name_lists_the_names(name):
    with pytest.raises(ValueError, match=f"corpus must be one of {', '.join(NAMES)}"):
        read_corpus(name)


def test_a_basis_of_prompts_spans_them_in_whatever_order_they_come():
    rows, asked = changes(), changes(1, seed=1)[0]
    basis = order_prompts(rows, AXES, asked)
    assert_orthonormal(basis.vectors)
    assert basis.dropped == () and torch.allclose(rows @ basis.vectors.T @ basis.vectors, rows, atol=1e-5)
    turned = order_prompts(rows.flip(0), AXES[::-1], asked)
    assert torch.allclose(turned.vectors, basis.vectors, atol=1e-6)


def test_the_likest_prompt_is_the_first_axis_even_if_it_says_the_opposite():
    rows = changes()
    first = order_prompts(rows, AXES, -rows[4] + 0.01 * rows[0]).vectors[0]
    assert torch.allclose(first, F.normalize(rows[4], dim=0), atol=1e-6)


def test_dependent_prompts_are_dropped_and_named():
    rows = changes(3)
    more = torch.stack([*rows, 2 * rows[0], rows[0] - rows[1], torch.zeros(9), rows[2] + 0.1 * changes(1, seed=2)[0]])
    names = ["one", "two", "three", "one again", "one, not two", "a face", "three, nearly"]
    basis = order_prompts(more, names, rows[0] + 0.1 * rows[2])
    assert_orthonormal(basis.vectors)
    assert len(basis.vectors) == 3 and len(basis.dropped) == 4 and "a face" in basis.dropped
    assert {"one", "one again"} & set(basis.dropped) and {"three", "three, nearly"} & set(basis.dropped)


def test_a_basis_has_no_more_axes_than_there_are_dimensions():
    basis = order_prompts(changes(30, 5), [str(i) for i in range(30)], changes(1, 5, seed=1)[0])
    assert_orthonormal(basis.vectors)
    assert len(basis.vectors) <= 5 and len(basis.vectors) + len(basis.dropped) == 30


def test_components_are_of_the_embeddings_about_their_mean():
    rows = torch.zeros(4, 5)
    rows[:2, 1], rows[2:, 2] = torch.tensor([3.0, -3.0]), torch.tensor([1.0, -1.0])
    for shift in (0.0, 7.0):
        vectors = find_components(rows + shift, 2).vectors
        assert torch.allclose(vectors.abs(), torch.eye(5)[1:3], atol=1e-5)


@pytest.mark.parametrize("n", [0, 3, 100])
def test_more_components_than_there_are_is_refused(n):
    rows = torch.zeros(4, 5)
    rows[0, 1], rows[1, 2] = 1.0, 1.0
    with pytest.raises(ValueError, match=f"components must be from 1 to 2 for this corpus; got {n}"):
        find_components(rows, n)


def test_what_is_left_out_is_said_of_ours_in_the_log_and_of_yours_in_a_warning(caplog):
    judge = TinyEncoder()
    prompts = ("red", "blue", "left", "unheard", "unknown")  # the last two mean the same
    with caplog.at_level(logging.INFO, "flowedit"):
        span_corpus(judge, Corpus("colors", prompts), text_change(judge, {"red": 1.0}))
        span_corpus(judge, Corpus("many", (*prompts, "and", "on", "so")), text_change(judge, {"red": 1.0}))
    few, many = caplog.messages
    assert few == "corpus colors: dropped, as others say the same: 'unknown'"
    assert re.fullmatch(r"corpus many: dropped, as others say the same: '\w+', '\w+', '\w+' and 1 more", many)
    with pytest.warns(UserWarning, match=r"corpus mine.txt: dropped.*'unknown'"):
        span_corpus(judge, Corpus("mine.txt", prompts, custom=True), text_change(judge, {"red": 1.0}))


def test_prompts_beyond_the_encoder_stay_out():
    judge = TinyEncoder()
    judge.knows = lambda prompt: prompt != "left"
    with pytest.warns(UserWarning, match="tiny does not know 'left'; left out"):
        basis = span_corpus(judge, Corpus("mine.txt", ("red", "blue", "left"), custom=True), torch.eye(4)[0])
    assert len(basis.vectors) == 2
    judge.knows = lambda prompt: False
    with pytest.warns(UserWarning), pytest.raises(ValueError, match="must have 2 prompts that tiny knows; got 0"):
        span_corpus(judge, Corpus("mine.txt", ("red", "blue"), custom=True), torch.eye(4)[0])


def test_a_corpus_about_something_else_is_said():
    judge = TinyEncoder()
    with pytest.warns(UserWarning, match="corpus colors holds .* % of what is asked for"):
        span_corpus(judge, Corpus("colors", ("red", "blue")), torch.tensor([0.1, 1.0, 0.0, 0.0]))


PLAIN = {
    "give her a bigger grin": "emotions",
    "make him look furious": "emotions",
    "can you enlarge the eyes a little": "eyes",
    "bring the brows down": "eyes",
    "a bigger mouth": "mouth",
    "thinner lips please": "mouth",
    "a woman in her eighties": "age",
    "add some blush to the cheeks": "make-up",
    "a suntan": "make-up",
    "a nose with a broad base": "face-shape",
    "the jaw a bit more slender": "face-shape",
    "she is a blonde": "hair",
}


def test_each_prompts_corpus_is_found_and_said(caplog):
    with caplog.at_level(logging.INFO, "flowedit"):
        found = find_corpus(load_encoder("faceclip"), dict.fromkeys(PLAIN, -0.5))
    said = {record.args[0]: record.args[1] for record in caplog.records if record.name == "flowedit"}
    assert said == PLAIN
    assert found.name == "emotions,eyes,mouth,age,make-up,face-shape,hair"  # each once, in the prompts' order


def test_an_edit_tells_its_corpus_by_name_without_its_folder(tmp_path):
    path = write(tmp_path, COLORS)
    raster = config.RasterConfig(4, 4)
    settings = {"align": False, "steps": 4, "raster": raster, "target": "projected", "corpus": path}
    edit = flowedit.optimize(picture(), "red", config=flowedit.Config(**settings), encoder=TinyEncoder())
    assert edit.facts["corpus"] == "mine.txt" and edit.facts["target"] == "projected"
    assert edit.history["text"][-1] < edit.history["text"][0]
    wrong = flowedit.Config(**{**settings, "corpus": "no"})
    with pytest.raises(ValueError, match="corpus must be one of"):
        flowedit.optimize(picture(), "red", config=wrong, encoder=TinyEncoder())
