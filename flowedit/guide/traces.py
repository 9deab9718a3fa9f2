"""What an embedded text names, without the traces in it of attributes that it does not name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

TRACE = 0.1  # share of the attribute that a text names most, below which another one is a trace


class Directions:
    """Where an encoder was taught that attributes lie, a face, and what is no face.

    A text tower is not exact: where a caption names one attribute, the 67 others have 0.03 each, of 0.7. Faces vary far
    more in some of them than in what is named, so that thick brows of photos were told by an AUC of 0.965, and are by
    0.974. As few attributes are named at once, what is small beside the largest can go (hard thresholding in a
    dictionary, Donoho and Johnstone 1994; ours is known). By TRACE captions come nearest to their meaning.

    Args:
        attributes: (K, D) unit vectors.
        others: (R, D) unit vectors: what is no attribute, of which any amount stays.
    """

    def __init__(self, attributes: Tensor, others: Tensor) -> None:
        self._named = len(attributes)
        self._directions = torch.cat([F.normalize(attributes, dim=-1), others]).double()
        self._read = torch.linalg.pinv(self._directions)

    @classmethod
    def from_file(cls, path: Path) -> Directions:
        """Read what the recipe writes: arrays `vectors` (K, D), `face` and `foreign` (D,).

        Raises:
            OSError, ValueError, KeyError: no such file, or not one of directions.
        """
        with np.load(path) as kept:
            attributes, face, foreign = (torch.from_numpy(kept[name]) for name in ("vectors", "face", "foreign"))
        return cls(attributes, torch.stack([face, foreign]))

    def without_traces(self, texts: Tensor) -> Tensor:
        """Return embedded texts (n, D) as the sums of what they name; unit vectors.

        What is along none of the directions, a hundredth of a text, goes too.
        """
        amounts = texts.double().cpu() @ self._read
        named, others = amounts[:, : self._named], amounts[:, self._named :]
        named = torch.where(named.abs() < TRACE * named.abs().amax(-1, keepdim=True), 0.0, named)
        return F.normalize(torch.cat([named, others], -1) @ self._directions, dim=-1).to(texts)
