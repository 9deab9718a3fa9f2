"""Pixels that the edge of a lid goes through, which show both sides of it: what is done at fractions of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flowedit.transform.evaluate import Evaluator, read_all
from flowedit.transform.transforms import Box

FRACTIONS = 4  # along a side of a pixel


def read_fractions(cut: Tensor, box: Box, evaluators: Sequence[Evaluator]) -> list[Tensor]:
    """Return what transforms do at fractions of pixels; their average is what a pixel shows.

    One read alone would make a step of an edge, and dashes of lashes that are thinner than a pixel.

    Args:
        cut: (h, w) bool, which pixels.
        box: of the photo that they lie in.
        evaluators: of all that is done there; each gives 0 outside of its crops.

    Returns:
        (5, N) each, shift from the pixel's center and tint; none where no pixel is cut.
    """
    y, x = cut.nonzero().T.double()
    if not len(x):
        return []
    steps = [(number + 0.5) / FRACTIONS - 0.5 for number in range(FRACTIONS)]
    found = []
    for away in torch.cartesian_prod(torch.tensor(steps), torch.tensor(steps)):
        reading = read_all(evaluators, x + (box[1] + 0.5 + float(away[0])), y + (box[0] + 0.5 + float(away[1])))
        found.append(torch.cat([reading.shift + away[:, None], reading.tint(reading.shift)]))
    return found
