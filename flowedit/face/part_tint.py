"""One color for each part of a face, beside the offsets of a field."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.checks import describe, require
from flowedit.face.parts import PARTS
from flowedit.kernels import Interpolation, mix, sample


class PartTint(nn.Module):
    """The colors that the parts of a face take, each as a whole: lips, skin, cheeks, brows and irises.

    They are painted on the face that is there: a place that is read from another takes the color of that one, so that
    lips stay red to their corners in a smile. Convention: crop coordinates in [-1, 1] edge to edge, x before y
    (docs/conventions.md). A new one is colorless.

    Args:
        masks: (n, m, m) uint8 over the crop; 255 takes the whole color.
        paints: (n, 3, 3) each part's three paints, image units per unit of paint.
        limit: bound of each channel, image units: of a part's color, smoothly, and of its sum with a pixel's own tint.
        follows: whether the colors go where the face's pixels go; in edits of old files they stay where parts were.

    Attributes:
        amounts: (n, 3) how much of each of its paints a part takes; the parameter.

    Raises:
        ValueError: a shape, a dtype or the limit is not as above.
    """

    masks: Tensor
    paints: Tensor

    def __init__(self, masks: Tensor, paints: Tensor, limit: float, follows: bool = True) -> None:
        super().__init__()
        square = masks.ndim == 3 and masks.dtype == torch.uint8 and masks.shape[1] == masks.shape[2] > 0
        require(square, f"masks must be uint8 of shape (n, m, m); got {describe(masks)}")
        shape = (len(masks), 3, 3)
        require(paints.shape == shape, f"paints must have shape {shape}; got {describe(paints)}")
        require(0 <= limit <= 1, f"limit must be in [0, 1] image units; got {limit!r}")
        self.limit, self.follows = float(limit), follows
        self.amounts = nn.Parameter(torch.zeros(len(masks), 3, dtype=torch.float32, device=paints.device))
        self.register_buffer("masks", masks.clone())
        self.register_buffer("paints", paints.detach().to(torch.float32, copy=True))

    def colors(self) -> Tensor:
        """Mix each part's paints: (n, 3) image units, within the limit."""
        return mix(self.amounts, self.paints, self.limit)

    @torch.no_grad()
    def clear(self, parts: Iterable[str]) -> None:
        """Take the colors of parts away; names that are none of `PARTS` have none."""
        self.amounts[[PARTS.index(part) for part in parts if part in PARTS]] = 0

    def masks_on(self, size: int) -> Tensor:
        """Return how much of each part's color each point of a size x size grid takes: (n, size, size) in [0, 1]."""
        masks = self.masks[None].to(self.paints) / 255
        if size == masks.shape[-1]:
            return masks[0]
        return F.interpolate(masks, (size, size), mode="bilinear")[0]

    def add(self, color: Tensor, points: Tensor) -> Tensor:
        """Add the colors that parts have at (N, 2) crop coordinates to a tint (N, 3), and cut the sum at the limit."""
        if not torch.is_grad_enabled() and not self.amounts.any():
            return color.clamp(-self.limit, self.limit)
        x, y = (points.T.to(color).clamp(-1, 1) + 1) * (self.masks.shape[-1] / 2) - 0.5
        masks = sample(self.masks.to(color) / 255, x, y, Interpolation.LINEAR)
        planes = color.T  # as fields give them: each color's points together
        for part_color, mask in zip(self.colors(), masks, strict=True):
            planes = planes + mask * part_color[:, None]  # part by part: the bits of a point are its own
        return planes.clamp(-self.limit, self.limit).T
