"""Where hair is to be expected about a face, as a small network has learned it."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.checks import require
from flowedit.field.offsets import pixel_centers

FILE = Path(__file__).parents[1] / "weights" / "hair" / "hair.safetensors"
WIDTHS = (16, 24, 32, 48)  # channels at 1/2, 1/4, 1/8 and 1/16 of the picture
GROUPS = 4  # of channels that are normalized together


class _Step(nn.Sequential):
    """A 3 x 3 convolution, normalized, with a smooth activation."""

    def __init__(self, width_in: int, width_out: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False)
        super().__init__(convolution, nn.GroupNorm(GROUPS, width_out), nn.SiLU())


class HairNet(nn.Module):
    """A U-Net (Ronneberger et al. 2015) over the square about a face, which always lies in the same place in it.

    It sees the colors, which of them are in the photo, and its own coordinates.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(_Step(before, width, 2), _Step(width, width))
            for before, width in zip((6, *WIDTHS), WIDTHS, strict=False)
        )
        self.up = nn.ModuleList(
            _Step(deep + width, width) for deep, width in zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, image: Tensor, inside: Tensor) -> Tensor:
        """Tell how likely hair is.

        Args:
            image: (B, 3, n, n) in full light, in [0, 1]; n a multiple of 16.
            inside: (B, 1, n, n) 1 where the photo is.

        Returns:
            (B, 1, n, n) logits.
        """
        size = image.shape[-1]
        at = pixel_centers(size, dtype=image.dtype, device=image.device).permute(2, 0, 1)
        x = torch.cat([(image - 0.5) * inside * 4, inside, at.expand(len(image), -1, -1, -1)], 1)
        kept = []
        for down in self.down:
            x = down(x)
            kept.append(x)
        for up, skip in zip(self.up, kept[-2::-1], strict=True):
            x = up(torch.cat([F.interpolate(x, scale_factor=2.0, mode="bilinear"), skip], 1))
        return F.interpolate(self.head(x), size=(size, size), mode="bilinear")


@functools.lru_cache(maxsize=1)
def load_hair_net() -> HairNet:
    """Read the shipped network.

    Raises:
        RuntimeError: its file is missing.
    """
    from safetensors.torch import load_file

    require(FILE.is_file(), f"{FILE} must exist; got no such file: reinstall flowedit", RuntimeError)
    with torch.device("cpu"), torch.random.fork_rng(devices=[]):
        network = HairNet()
        network.load_state_dict({name: value.float() for name, value in load_file(FILE).items()})
    return network.eval()


@torch.no_grad()
def likely_hair(image: Tensor, inside: Tensor) -> Tensor:
    """Return how likely hair is at each place of a square: (n, n) in [0, 1].

    Args:
        image: (1, 3, n, n) in full light.
        inside: (n, n) 1 where the photo is.
    """
    return load_hair_net()(image, inside[None, None])[0, 0].sigmoid()
