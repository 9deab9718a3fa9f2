"""How many denials of the vocabulary's adjectives are read right: python -m examples.faceclip.denials

By the text tower alone, and as flowedit reads them (`flowedit.guide.denials`). Of the shipped encoder; needs no faces.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.corpus import NEUTRAL, embed_changes
from flowedit.guide.encoder import WEIGHTS, Encoder, load_encoder

from .alone import adjectives
from .attributes import NAMES
from .train_image import DIRECTIONS

FORMS = {
    "en": ("less {}", "not {}", "not so {}", "too {}"), "de": ("nicht {}", "weniger {}"),
    "es": ("no tan {}", "menos {}"), "fr": ("pas {}", "moins {}"),
    "zh": ("别{}", "没那么{}", "不那么{}"), "hi": ("कम {}", "{} मत हो"),
}  # fmt: skip
RIGHT = 0.2  # cosine with the contrary of what the adjective means, from which on a denial is read right


@torch.no_grad()
def measure_denials(encoder: Encoder, directions: Tensor) -> Iterator[tuple[str, int, float, float]]:
    """Yield of each form: it, how many adjectives of one word it denies, and the shares read right, without and with.

    Args:
        encoder: reads them.
        directions: (K, D) unit vectors of the attributes, in the order of NAMES.
    """
    known: dict[str, dict[str, Tensor]] = {code: {} for code in FORMS}
    for code, word, _, meaning in adjectives():
        if " " not in word:
            known[code][word] = sum((v * directions[NAMES.index(n)] for n, v in meaning.items()), torch.zeros(()))
    for code, forms in FORMS.items():
        meant = -torch.stack(list(known[code].values()))
        for form in forms:
            texts = [form.format(word) for word in known[code]]
            face, *read = encoder.text([NEUTRAL, *texts])
            pair = torch.stack(read) - face, embed_changes(encoder, texts)
            shares = [float((F.cosine_similarity(each, meant, dim=1) > RIGHT).float().mean()) for each in pair]
            yield form, len(texts), shares[0], shares[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    with np.load(WEIGHTS / "faceclip" / DIRECTIONS) as saved:
        directions = F.normalize(torch.from_numpy(saved["vectors"]), dim=1)
    print("form          n  tower  flowedit")
    for form, n, tower, whole in measure_denials(load_encoder(), directions):
        print(f"{form:10s} {n:4d}  {100 * tower:4.0f}%  {100 * whole:7.0f}%", flush=True)


if __name__ == "__main__":
    main()
