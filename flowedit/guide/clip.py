"""Any open_clip model as an encoder: frozen, fed as it was trained, blind to the caller's torch state."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import check_image, describe, require
from flowedit.guide.ages import spell_ages
from flowedit.guide.traces import Directions
from flowedit.isolation import isolated

_LETTER = r"[\w\u0900-\u097f]"  # Devanagari's vowel signs are no letters to `re`
_SIGN = re.compile(r"[\u4e00-\u9fff]")  # Chinese has no spaces
_ENDS = " .!?,;~…。！？，；～।"  # of a text that is looked up
_COURTESY = re.compile(  # before it and after it
    r"^(?:(?:please|pls|plz|can you|could you|por favor|puedes|podrías|bitte|kannst du|könntest du|"
    r"s'il (?:te|vous) pla[iî]t|tu peux|peux-tu|कृपया|प्लीज़?|ज़रा|भाई|bhai|yaar|zara|kripya)[ ,]+|"
    r"(?:请|麻烦|帮我|帮忙|给我|能不能|可以|可不可以|想要|我想要|我想|我要)+)+|"
    r"(?:[ ,]+(?:please|pls|plz|thanks|thx|por favor|gracias|bitte|danke|s'il (?:te|vous) pla[iî]t|stp|svp|merci|"
    r"कृपया|प्लीज़?|यार|भाई|ना|जी|yaar|bhai|na|ji)|[，,]?(?:吧|一下|谢谢|可以吗|好吗|行吗|呗|哦))+$",
    re.I,
)
MOST_TEXTS = 4096  # that an encoder remembers the embeddings of


class ClipEncoder:
    """Any open_clip model, frozen, in evaluation mode and float32.

    Args:
        model: an open_clip model.
        tokenizer: its tokenizer.
        name: shown to users and kept in edits and pictures; holds no folder.
        foreign: direction (D,) of prompts outside its world and the cosine from which on one is, or None.
        digest: SHA-256 of the weights' file, hexadecimal, or None.
        languages: English names of those it was taught, or None where nobody knows.
        alone: texts, in lower case, that it misreads, each with the phrase that is read in its place where it is all of
            a prompt but for courtesies.
        synonyms: words, in lower case, that it does not know, each with those that are read in its place anywhere; with
            any, ages in digits are read in words.
        directions: where it was taught that attributes lie, by which texts are rid of traces, or None.

    Attributes:
        size: pixels along one side of the model's input.
        mean: (3, 1, 1) of the pictures that the model was trained on, by channel.
        std: (3, 1, 1) their deviation.
    """

    @isolated()
    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        name: str,
        foreign: tuple[Tensor, float] | None = None,
        digest: str | None = None,
        languages: tuple[str, ...] | None = None,
        alone: Mapping[str, str] | None = None,
        synonyms: Mapping[str, str] | None = None,
        directions: Directions | None = None,
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.name = name
        self.foreign = foreign
        self.digest = digest
        self.languages = languages
        self.alone = dict(alone or {})
        self.synonyms = dict(synonyms or {})
        self.directions = directions
        longest_first = sorted(self.synonyms, key=len, reverse=True)
        words = "|".join(word if _SIGN.match(word) else rf"(?<!{_LETTER}){word}(?!{_LETTER})" for word in longest_first)
        self._synonym = re.compile(words, re.I) if words else None
        self.device = next(model.parameters()).device
        process = model.visual.preprocess_cfg
        size = process["size"]
        sizes = {size} if isinstance(size, int) else set(size)
        require(len(sizes) == 1, f"an encoder's input must be square; got {size}")
        self.size: int = sizes.pop()
        self._mode = "bilinear" if process.get("interpolation") == "bilinear" else "bicubic"
        self.mean = torch.tensor(process["mean"], device=self.device)[:, None, None]
        self.std = torch.tensor(process["std"], device=self.device)[:, None, None]
        self._texts: dict[str, Tensor] = {}

    @isolated(grad=False)
    def image(self, image: Tensor) -> Tensor:
        """Embed square images.

        Resized to the model's size with antialiasing and normalized with its own mean and deviation.

        Args:
            image: (B, 3, S, S) RGB in [0, 1].

        Returns:
            (B, D) float32 unit vectors, differentiable in the image.

        Raises:
            TypeError, ValueError: not a finite floating tensor of that shape.
        """
        check_image(image)
        image = image.to(self.device, torch.float32)
        if image.shape[-2:] != (self.size, self.size):
            image = F.interpolate(image, (self.size, self.size), mode=self._mode, antialias=True, align_corners=False)
        half = torch.autocast("cuda", torch.float16) if self.device.type == "cuda" else nullcontext()
        with half:
            features = self.model.encode_image((image - self.mean) / self.std)
        return F.normalize(features.float(), dim=-1)

    @isolated()
    @torch.no_grad()
    def text(self, prompts: Sequence[str]) -> Tensor:
        """Embed prompts of any length.

        What is longer than the model's context is split into sentences, and those into runs of words; the result is
        the mean of the parts' embeddings. Nothing is cut. Embeddings are remembered: each edit asks for many again.

        Args:
            prompts: at least one, none empty.

        Returns:
            (n, D) float32 unit vectors.

        Raises:
            ValueError: a prompt is empty or not text.
        """
        return torch.stack([self._text(prompt) for prompt in prompts])

    def look_up(self, prompt: str) -> str | None:
        """Return the phrase that is read in place of a prompt that the encoder misreads; None for any other."""
        return self.alone.get(prompt.strip(_ENDS).lower()) or self.alone.get(without_courtesy(prompt))

    def _text(self, prompt: str) -> Tensor:
        check_prompt(prompt)
        row = self._texts.get(prompt)
        if row is None:
            read = prompt if self._synonym is None else spell_ages(prompt)
            read = self.look_up(read) or read
            if self._synonym is not None:
                read = self._synonym.sub(lambda found: self.synonyms[found[0].lower()], read)
            tokens = self.tokenizer(self._parts(read)).to(self.device)
            parts = F.normalize(self.model.encode_text(tokens).float(), dim=-1)
            if self.directions is not None:
                parts = self.directions.without_traces(parts)
            row = F.normalize(parts.mean(0), dim=-1)
            if len(self._texts) >= MOST_TEXTS:
                self._texts.clear()
            self._texts[prompt] = row
        return row

    @isolated(grad=False)
    def knows(self, prompt: str) -> bool:
        """Return whether a prompt is about faces, if the encoder was trained to tell; else True."""
        if self.foreign is None:
            return True
        direction, threshold = self.foreign
        return float(self.text([prompt])[0].cpu() @ direction) < threshold

    def _parts(self, prompt: str) -> list[str]:
        room = self.tokenizer.context_length - 2  # the start and end marks
        parts: list[str] = []
        for sentence in re.split(r"(?<=[.!?;\n])\s+", prompt.strip()):
            run: list[str] = []
            for word in (piece for whole in sentence.split() for piece in self._pieces(whole, room)):
                if run and self._count(" ".join([*run, word])) > room:
                    parts.append(" ".join(run))
                    run = []
                run.append(word)
            if run:
                parts.append(" ".join(run))
        whole = " ".join(prompt.split())
        return [whole] if self._count(whole) <= room else parts

    def _pieces(self, word: str, room: int) -> list[str]:
        """Halve a word until it fits, as a sentence of a language without spaces may not."""
        if self._count(word) <= room or len(word) == 1:
            return [word]
        half = len(word) // 2
        return [*self._pieces(word[:half], room), *self._pieces(word[half:], room)]

    def _count(self, text: str) -> int:
        if hasattr(self.tokenizer, "encode"):
            return len(self.tokenizer.encode(text))
        return len(self.tokenizer.tokenizer.encode(text, add_special_tokens=False))


def without_courtesy(text: str) -> str:
    """Return a text in lower case without "please" and the like about it, in the languages of the shipped encoder."""
    return _COURTESY.sub("", text.strip(_ENDS).lower()).strip(_ENDS)


def check_prompt(prompt: object) -> None:
    """Validate that a prompt is text with at least one letter or digit."""
    require(isinstance(prompt, str), f"prompt must be text; got {describe(prompt)}", TypeError)
    require(any(c.isalnum() for c in str(prompt)), f"prompt must have at least one word; got {describe(prompt)}")
