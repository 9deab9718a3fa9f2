"""What is asked for in training: every meaning that can be made, slowly learned ones more often, and combinations."""

from __future__ import annotations

import copy
import random
import re
from itertools import islice

import torch
from torch import Tensor

from examples.faceclip.captions import MAKEABLE, Meaning, describe, spell
from flowedit.config import Config
from flowedit.guide.color_words import about_color
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import Encoder
from flowedit.guide.part_looks import says_all

PHRASES = 60  # of a meaning, drawn from all
COMBINATIONS = 1500  # captions with degrees, denials, and up to five attributes
CHUNK = 64
COMBINED = 0.35  # share of what is asked that is one of these
ANOTHER_DEGREE, DEGREES = 0.35, (0.4, 1.5)  # share of what is asked more or less strongly, and how strongly
AVOIDED = 0.07  # share of what is to be avoided
# How often a meaning is drawn, by what it is most about; others once. By what one pass of a network that was drawn all
# alike had of the objective that 40 steps of search have: a tenth of a gaze, a sixth of lips, half of the rest.
OFTEN = {
    "gaze_side": 4.0, "gaze_up": 3.0, "lip_thickness": 4.0, "chin_length": 2.0, "face_length": 2.0, "mouth_open": 2.0,
    "eye_area": 2.0, "eye_open": 2.0, "female": 2.0, "brow_tilt": 2.0, "cheeks_red": 2.0,
}  # fmt: skip
RETOUCHED = re.compile("hair_|lines_|freckles|liner|lid_|beard_|moustache_|under_eye_|shine|skin_smooth")
SELDOM = 0.3  # what is retouched in most wordings, without the network
INTENSITY = Config().intensity  # the middle of what is asked for


def how_often(meaning: Meaning) -> float:
    """Return how often a meaning is drawn, to others' once."""
    most = max(meaning, key=lambda name: abs(meaning[name]))
    return SELDOM if RETOUCHED.match(most) else OFTEN.get(most, 1.0)


class Prompts:
    """Changes of the guide's embedding that prompts ask for, drawn at random; none whose words alone say the edit.

    Args:
        encoder: the guide.
        seed: of the combinations.
    """

    def __init__(self, encoder: Encoder, seed: int = 0) -> None:
        rng = random.Random(seed)
        texts: list[str] = []
        self._bounds: list[tuple[int, int]] = []  # of each meaning's phrases
        times: list[float] = []
        for concept in MAKEABLE:
            phrases = [form.format(word) for word in concept.adjectives for form in ("a {} face", "a {} person")]
            phrases += [form.format(word) for word in concept.nouns for form in ("{}", "a face with {}")]
            phrases += [text for change in concept.changes for text in spell(change)]
            rng.shuffle(phrases)
            makeable = (text for text in phrases if not says_all({text: 1.0}))  # else its words decide, not the network
            begin = len(texts)
            texts += islice(makeable, PHRASES)
            if len(texts) > begin:
                self._bounds.append((begin, len(texts)))
                times.append(how_often(concept.meaning))
        self._times = torch.tensor(times)
        self._alone = len(texts)
        texts += [describe(rng, MAKEABLE)[0] for _ in range(COMBINATIONS)]
        with torch.no_grad():
            changes = [embed_changes(encoder, texts[i : i + CHUNK]) for i in range(0, len(texts), CHUNK)]
        self._changes = torch.cat(changes)
        self._colored = about_color(encoder, self._changes)

    def about_color(self) -> Prompts:
        """Return the same without what is not about color."""
        other = copy.copy(self)
        colored = [bool(self._colored[begin:end].all()) for begin, end in self._bounds]
        other._bounds = [bounds for bounds, kept in zip(self._bounds, colored, strict=True) if kept]
        other._times = self._times[torch.tensor(colored)]
        combined = torch.arange(self._alone, len(self._changes))
        kept = torch.cat([torch.arange(self._alone), combined[self._colored[combined]]])
        other._changes, other._colored = self._changes[kept], self._colored[kept]
        return other

    def draw(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return changes (count, D), as strong as a direction takes them, and (count,) which are about color."""
        chosen = []
        for combined in (torch.rand(count, generator=generator) < COMBINED).tolist():
            begin, end = self._alone, len(self._changes)
            if not combined or begin == end:
                begin, end = self._bounds[int(torch.multinomial(self._times, 1, generator=generator))]
            chosen.append(int(torch.randint(begin, end, (), generator=generator)))
        least, most = DEGREES
        degree = least + (most - least) * torch.rand(count, generator=generator)
        degree = torch.where(torch.rand(count, generator=generator) < ANOTHER_DEGREE, degree, 1.0)
        degree = torch.where(torch.rand(count, generator=generator) < AVOIDED, -degree, degree)
        return INTENSITY * degree[:, None] * self._changes[chosen], self._colored[chosen]
