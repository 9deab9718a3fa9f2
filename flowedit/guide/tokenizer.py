"""CLIP's tokenizer, over the vocabulary in open_clip's package: to import all of open_clip takes seconds and 200 MB."""

from __future__ import annotations

import gzip
import html
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from flowedit.checks import require

VOCABULARY = "bpe_simple_vocab_16e6.txt.gz"  # a line of title, then two parts a line, first to merge first
MERGES = 48_894  # of it that CLIP uses: 49,408 tokens less those of single bytes and the two marks
START, END = "<start_of_text>", "<end_of_text>"
WORDS = rf"{START}|{END}|'s|'t|'re|'ve|'m|'ll|'d|[\p{{L}}]+|[\p{{N}}]|[^\s\p{{L}}\p{{N}}]+"


class Tokenizer:
    """Byte pairs merged as in CLIP (Radford et al. 2021): the tokens of open_clip's `SimpleTokenizer`.

    Args:
        context_length: tokens of each text, both marks included.

    Raises:
        RuntimeError: open_clip is not installed, or has no vocabulary.
    """

    def __init__(self, context_length: int) -> None:
        import regex

        package = find_spec("open_clip")
        path = Path(package.origin).with_name(VOCABULARY) if package is not None and package.origin else None
        found = path is not None and path.is_file()
        require(found, f"encoders must have open_clip's {VOCABULARY}: pip install open_clip_torch", RuntimeError)
        assert path is not None
        self.context_length = context_length
        lines = gzip.decompress(path.read_bytes()).decode().split("\n")[1 : 1 + MERGES]
        merges = [(first, second) for first, _, second in (line.partition(" ") for line in lines)]
        self._letters = _byte_letters()
        single = sorted(self._letters.values())
        words = [*single, *(f"{letter}</w>" for letter in single), *(a + b for a, b in merges), START, END]
        self._ids = {word: k for k, word in enumerate(words)}
        self._ranks = {merge: k for k, merge in enumerate(merges)}
        self._words = regex.compile(WORDS, regex.IGNORECASE)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Turn n texts into (n, context_length) int64 tokens, zeros after the end; a longer text is cut."""
        tokens = torch.zeros(len(texts), self.context_length, dtype=torch.long)
        for row, text in zip(tokens, texts, strict=True):
            own = [self._ids[START], *self.encode(text)[: self.context_length - 2], self._ids[END]]
            row[: len(own)] = torch.tensor(own)
        return tokens

    def encode(self, text: str) -> list[int]:
        """Turn a text into tokens without marks, its case and spaces made alike and wrong characters mended."""
        import ftfy

        text = html.unescape(html.unescape(ftfy.fix_text(text)))
        words = self._words.findall(" ".join(text.split()).lower())
        return [token for word in words for token in self._merge(word)]

    def _merge(self, word: str) -> list[int]:
        """Merge the bytes of a word, in each round the neighbors that come first in the vocabulary."""
        if word in (START, END):
            return [self._ids[word]]
        parts = [self._letters[byte] for byte in word.encode()]
        parts[-1] += "</w>"
        while ranks := {pair: self._ranks[pair] for pair in pairwise(parts) if pair in self._ranks}:
            pair, merged = min(ranks, key=ranks.__getitem__), []
            while parts:
                size = 2 if tuple(parts[:2]) == pair else 1
                merged.append("".join(parts[:size]))
                parts = parts[size:]
            parts = merged
        return [self._ids[part] for part in parts]


def _byte_letters() -> dict[int, str]:
    """Return a visible letter for every byte: its own in Latin-1, or one beyond Latin-1 where that is invisible."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = sorted(set(range(256)) - set(visible))
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + k) for k, byte in enumerate(hidden)}
