"""The views of a face that are shown to the encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.config import Augment
from flowedit.guide.encoder import Encoder


@dataclass(frozen=True, eq=False)
class Views:
    """Ways to look at the crop, fixed before the loop: small similarities with flips, and light.

    Attributes:
        theta: (n, 2, 3) from view coordinates to crop coordinates; the first is the identity.
        gain: (n,) contrast about middle gray; the first is 1.
    """

    theta: Tensor
    gain: Tensor

    @classmethod
    def draw(cls, augment: Augment, generator: torch.Generator, device: torch.device) -> Views:
        """Draw a pool of views. No elastic ones: an encoder made blind to small warps cannot guide one."""
        n = augment.pool

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")

        scale, angle = 1 + augment.scale * normal(n), augment.rotation * normal(n)
        shift, gain = augment.shift * normal(n, 2), torch.exp(augment.contrast * normal(n))
        scale[0], angle[0], shift[0], gain[0] = 1, 0, 0, 1
        flip = torch.where(torch.arange(n, device="cpu") % 2 == 1, -1.0, 1.0)
        cos, sin = scale * angle.cos(), scale * angle.sin()
        rows = [
            torch.stack([flip * cos, -flip * sin, shift[:, 0]], -1),
            torch.stack([sin, cos, shift[:, 1]], -1),
        ]
        return cls(torch.stack(rows, 1).to(device), gain.to(device))

    def choose(self, chosen: Tensor) -> Views:
        """Return the chosen ones, (k,)."""
        return Views(self.theta.index_select(0, chosen), self.gain.index_select(0, chosen))


def soften(image: Tensor, size: int) -> Tensor:
    """Smooth (1, 3, S, S) as views of `size` pixels ask for: what is finer than their pixels would alias."""
    r = max(1, image.shape[-1] // size)
    padded = F.pad(image, [r - 1] * 4, mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, r, stride=1), r, stride=1)


def crop_side(guide: Encoder) -> int:
    """Pixels along the crop in the loop: a small encoder's crop is warped at twice its size, for fine parts."""
    return guide.size * (2 if guide.size <= 128 else 1)
