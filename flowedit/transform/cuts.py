"""Pixels of which one reading is not enough: at the edge of a closed lid they show both sides, above it stripes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from flowedit.face.crop import Crop
from flowedit.transform.evaluate import Evaluator, EyesFirst, read_all
from flowedit.transform.transforms import Box

FRACTIONS = 4  # along a side of a pixel
READINGS = 6  # of a lid in a quick picture
ORDER = 7  # of the places along a lid, among those fractions: each row and column of them has places from everywhere


def spread_lids(bound: Sequence[tuple[Evaluator, list[Crop]]]) -> list[list[tuple[Evaluator, list[Crop]]]]:
    """Return what transforms do, bound, as often as it has to be read; the mean of what is read is a picture of it.

    Once where no lid is drawn over an eye, else at READINGS places along it: of whole pixels, so its edge is a step.
    """
    if not any(isinstance(each, EyesFirst) and each.draws_lids for each, _ in bound):
        return [list(bound)]
    shares = [(2 * k + 1) / READINGS - 1 for k in range(READINGS)]
    return [
        [(each.aside(share) if isinstance(each, EyesFirst) else each, crops) for each, crops in bound]
        for share in shares
    ]


def read_fractions(cut: Tensor, box: Box, evaluators: Sequence[Evaluator]) -> list[Tensor]:
    """Return what transforms do at fractions of pixels; their average is what a pixel shows.

    One read alone would make a step of an edge, dashes of lashes that are thinner than a pixel, and stripes of a lid's
    skin that is drawn out.

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
    for k, away in enumerate(torch.cartesian_prod(torch.tensor(steps), torch.tensor(steps))):
        share = 2 * (ORDER * k % FRACTIONS**2 + 0.5) / FRACTIONS**2 - 1
        aside = [each.aside(share) if isinstance(each, EyesFirst) else each for each in evaluators]
        reading = read_all(aside, x + (box[1] + 0.5 + float(away[0])), y + (box[0] + 0.5 + float(away[1])))
        found.append(torch.cat([reading.shift + away[:, None], reading.tint(reading.shift)]))
    return found
