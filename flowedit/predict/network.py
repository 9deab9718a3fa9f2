"""The network: an aligned face and a change in the guide's embedding space to the parameters of an edit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

COORD_SIZE, COLOR_SIZE, PARTS = 16, 64, 5
SEEN_PX = 8  # side of the crop as this network sees it


@dataclass(frozen=True)
class Prediction:
    """Parameters of B edits, each of one face.

    Attributes:
        coord: (B, 2, 16, 16) of a raster field before its bound, crop coordinates; of a velocity where the field is
            diffeomorphic.
        color: (B, 3, 64, 64) of a raster field before its bound, image units in full light.
        amounts: (B, 5, 3) of each part's paints, units of paint.
    """

    coord: Tensor
    color: Tensor
    amounts: Tensor


class Predictor(nn.Module):
    """A small perceptron on an 8 px crop; its last layer starts at zero, so an untrained one is the identity.

    Args:
        embed_dim: of the guide.
        noise_dim: numbers that choose between different edits for one prompt.
        hidden: units of the hidden layer.
    """

    def __init__(self, embed_dim: int = 128, noise_dim: int = 8, hidden: int = 16) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {"embed_dim": embed_dim, "noise_dim": noise_dim, "hidden": hidden}
        self.first = nn.Linear(3 * SEEN_PX**2 + embed_dim + noise_dim, hidden)
        self.last = nn.Linear(hidden, 2 * COORD_SIZE**2 + 3 * COLOR_SIZE**2 + 3 * PARTS)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, crops: Tensor, changes: Tensor, noise: Tensor | None = None) -> Prediction:
        """Predict.

        Args:
            crops: (B, 3, 128, 128) in [0, 1].
            changes: (B, embed_dim), see `inputs.target_change`.
            noise: (B, noise_dim) normal numbers, or None for none.
        """
        if noise is None:
            noise = changes.new_zeros(len(changes), self.settings["noise_dim"])
        seen = F.adaptive_avg_pool2d(crops, SEEN_PX).flatten(1)
        out = self.last(torch.tanh(self.first(torch.cat([seen, changes, noise], 1))))
        coord, color, amounts = out.split([2 * COORD_SIZE**2, 3 * COLOR_SIZE**2, 3 * PARTS], 1)
        return Prediction(
            coord.reshape(-1, 2, COORD_SIZE, COORD_SIZE),
            color.reshape(-1, 3, COLOR_SIZE, COLOR_SIZE),
            amounts.reshape(-1, PARTS, 3),
        )
