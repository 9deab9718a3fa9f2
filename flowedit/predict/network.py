"""The network of the one-pass predictor: a face and what is asked of it to the parameters of a raster field."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.checks import describe, require, whole_number
from flowedit.predict.inputs import CROP_PX

COORD_SIZE, COLOR_SIZE, PARTS = 16, 64, 5  # control points along a side for each lattice, and the face's parts
WINDOW = 8  # tokens along a side of a block, and blocks along a side of the grid
TEXT_TOKENS = 8
NOISE_DIM = 8  # numbers that tell several edits for one prompt apart
SCALE = 0.02  # field units for an output of 1: a step of Adam moves a head of many inputs far, and noise is dear
MOST_WIDTH, MOST_DEPTH = 4096, 64  # of a network, and of its guide's embeddings
GAIN = 16.0  # brings changes, of length 0.7 in 128 dimensions, to about 1 a dimension


@dataclass(frozen=True, eq=False)
class Prediction:
    """The parameters of a batch of raster fields and part tints, before their bounds.

    Attributes:
        coord: (B, 2, 16, 16) of `RasterField.coord`, crop coordinates.
        color: (B, 3, 64, 64) of `RasterField.color`, image units in full light.
        amounts: (B, 5, 3) of `PartTint.amounts`, units of paint.
    """

    coord: Tensor
    color: Tensor
    amounts: Tensor


class FullAttention(nn.Module):
    """Self-attention of every place to every other.

    Args:
        width: channels; a multiple of heads.
        heads: an even number.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape."""
        return self.out(attend(self.qkv(x), self.heads))


class MultiAxisAttention(FullAttention):
    """Self-attention with half of the heads within blocks, and half across blocks at the same place.

    The arrangement of HiT (Zhao et al. 2021, Sec. 3.2), on the partitions of MaxViT (Tu et al. 2022). Arguments as of
    `FullAttention`.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape; H and W are multiples of WINDOW."""
        b, h, w, c = x.shape
        p, c = WINDOW, c // 2
        within, across = self.qkv(x).chunk(2, dim=-1)  # each has the queries, keys and values of its own heads
        within = within.reshape(b, h // p, p, w // p, p, 3 * c).permute(0, 1, 3, 2, 4, 5)  # its last two: in a block
        across = across.reshape(b, p, h // p, p, w // p, 3 * c).permute(0, 2, 4, 1, 3, 5)  # its last two: the blocks
        blocks, grids = (
            attend(each.reshape(-1, p, p, 3 * c), self.heads // 2).reshape(b, h // p, w // p, p, p, c)
            for each in (within, across)
        )
        blocks, grids = blocks.permute(0, 1, 3, 2, 4, 5), grids.permute(0, 3, 1, 4, 2, 5)
        return self.out(torch.cat([blocks.reshape(b, h, w, c), grids.reshape(b, h, w, c)], dim=-1))


def attend(qkv: Tensor, heads: int) -> Tensor:
    """Let all places of each picture attend to each other: queries, keys and values (B, H, W, 3 C) to (B, H, W, C)."""
    b, h, w, channels = qkv.shape
    q, k, v = qkv.reshape(b, h * w, 3, heads, -1).permute(2, 0, 3, 1, 4)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h, w, channels // 3)


class Convolution(nn.Module):
    """Two 3 x 3 convolutions where a transformer has its attention; arguments and shapes as of `FullAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return on_planes(lambda planes: self.second(F.silu(self.first(planes))), x)


class Block(nn.Module):
    """Mixing of places, then an MLP, each behind a norm that the prompt modulates (Perez et al. 2018)."""

    def __init__(self, width: int, condition: int, mixing: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, elementwise_affine=False) for _ in range(2))
        self.mixing = mixing(width, width // 16 // 2 * 2 or 2)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, 3 * width), act=nn.GELU(), fc2=nn.Linear(3 * width, width))
        )
        self.modulation = nn.Linear(condition, 4 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape, by (B, condition)."""
        gain1, bias1, gain2, bias2 = self.modulation(condition)[:, None, None].chunk(4, dim=-1)
        x = x + self.mixing(self.norm1(x) * (1 + gain1) + bias1)
        return x + self.mlp(self.norm2(x) * (1 + gain2) + bias2)


class CrossAttention(nn.Module):
    """Attention of every place to a few tokens made of the prompt."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = width // 16 // 2 * 2 or 2
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.tokens = nn.Linear(condition, TEXT_TOKENS * 2 * width)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map (B, H, W, C) to the same shape, by (B, condition)."""
        b, h, w, c = x.shape
        q = self.query(self.norm(x)).reshape(b, h * w, self.heads, -1).transpose(1, 2)
        k, v = self.tokens(condition).reshape(b, TEXT_TOKENS, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, h, w, c))


class Aggregate(nn.Module):
    """Join four blocks of tokens into one: convolution, norm, maximum over 2 x 2 (NesT, Zhang et al. 2022)."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1)
        self.norm = nn.LayerNorm(width_out)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(on_planes(self.conv, x))
        return on_planes(lambda planes: F.max_pool2d(planes, 3, stride=2, padding=1), x)


class Expand(nn.Module):
    """Split every token into four, and add what the encoder saw there."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width_in), nn.Linear(width_in, 4 * width_out)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return on_planes(lambda planes: F.pixel_shuffle(planes, 2), self.linear(self.norm(x))) + skip


class Stage(nn.Module):
    """Blocks of one resolution with learned positions; a decoder's begins with the prompt's tokens."""

    def __init__(
        self, side: int, width: int, depth: int, condition: int, mixing: Callable[[int, int], nn.Module], asks: bool
    ) -> None:
        super().__init__()
        self.position = nn.Parameter(0.02 * torch.randn(side, side, width))
        self.ask = CrossAttention(width, condition) if asks else None
        self.blocks = nn.ModuleList(Block(width, condition, mixing) for _ in range(depth))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        x = x + self.position
        if self.ask is not None:
            x = self.ask(x, condition)
        for block in self.blocks:
            x = block(x, condition)
        return x


MIXINGS: dict[str, Callable[[int, int], nn.Module]] = {
    "multi_axis": MultiAxisAttention,
    "convolution": Convolution,
    "full": FullAttention,
}


class Predictor(nn.Module):
    """Predicts the field of an edit from a face and a change of its embedding, in one pass.

    A nested encoder and decoder on 32, 16 and 8 tokens along a side. The movement comes from the coarser decoder stage
    and the tint from the finer one, as detail is the tint's; the parts' amounts of paint come from the middle. The last
    layers start at zero: an untrained predictor changes nothing.

    A field of the prompt alone, the same on every face, is added to the movement and, on 16 x 16 points, to the tint:
    crops are aligned, so most of an edit is common to all faces, and learned through attention it came ten times later.

    Args:
        embed_dim: D, of the guide.
        noise_dim: numbers that tell several edits for one prompt apart.
        widths: channels of the three resolutions, multiples of 16.
        depths: blocks of the encoder's two stages, the middle, and the decoder's two.
        condition: width of the prompt's vector.
        mixing: of places in a block: "multi_axis", "convolution", "full" (at 16 and 8 tokens a side only; "convolution"
            at 32).

    Raises:
        ValueError: mixing is unknown, or another setting out of its range.
    """

    places: Tensor

    def __init__(
        self,
        embed_dim: int = 128,
        noise_dim: int = NOISE_DIM,
        widths: Sequence[int] = (32, 80, 160),
        depths: Sequence[int] = (1, 2, 2, 2, 1),
        condition: int = 128,
        mixing: str = "multi_axis",
    ) -> None:
        super().__init__()
        known = isinstance(mixing, str) and mixing in MIXINGS
        require(known, f"mixing must be one of {', '.join(MIXINGS)}; got {describe(mixing)}")
        embed_dim, noise_dim, condition = (
            whole_number(name, value, 1, MOST_WIDTH)
            for name, value in (("embed_dim", embed_dim), ("noise_dim", noise_dim), ("condition", condition))
        )
        widths = _several("widths", widths, 3, 16, MOST_WIDTH)
        require(all(width % 16 == 0 for width in widths), f"widths must be multiples of 16; got {widths}")
        depths = _several("depths", depths, 5, 0, MOST_DEPTH)
        self.settings: dict[str, Any] = {
            "embed_dim": embed_dim, "noise_dim": noise_dim, "widths": widths, "depths": depths,
            "condition": condition, "mixing": mixing,
        }  # fmt: skip
        fine, middle, coarse = widths
        mix = MIXINGS[mixing]
        mix_fine = Convolution if mixing == "full" else mix  # all places with all others are too many there
        ask = nn.Linear(embed_dim + noise_dim, condition), nn.Linear(condition, condition)
        for layer in ask:  # as torch begins, the prompt's vector would be ten times as small, and hardly heard
            nn.init.kaiming_normal_(layer.weight)
        self.ask = nn.Sequential(ask[0], nn.SiLU(), ask[1])
        self.stem = nn.Sequential(
            nn.Conv2d(5, fine // 2, 5, stride=2, padding=2),
            nn.SiLU(),
            nn.Conv2d(fine // 2, fine, 3, stride=2, padding=1),
        )
        side = CROP_PX // 4
        self.down = nn.ModuleList([Aggregate(fine, middle), Aggregate(middle, coarse)])
        self.encoder = nn.ModuleList(
            [
                Stage(side, fine, depths[0], condition, mix_fine, asks=False),
                Stage(side // 2, middle, depths[1], condition, mix, asks=False),
            ]
        )
        self.middle = Stage(side // 4, coarse, depths[2], condition, mix, asks=True)
        self.up = nn.ModuleList([Expand(coarse, middle), Expand(middle, fine)])
        self.decoder = nn.ModuleList(
            [
                Stage(side // 2, middle, depths[3], condition, mix, asks=True),
                Stage(side, fine, depths[4], condition, mix_fine, asks=True),
            ]
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in (coarse, middle, fine))
        self.amounts = nn.Linear(coarse + condition, PARTS * 3)
        self.coord = nn.Conv2d(middle, 2, 3, padding=1)
        self.color = nn.Conv2d(fine, 3 * 4, 3, padding=1)
        self.common = nn.Linear(embed_dim + noise_dim + condition, (2 + 3) * COORD_SIZE**2)
        for head in (self.amounts, self.coord, self.color, self.common):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)  # type: ignore[arg-type]
        line = (2 * torch.arange(CROP_PX, dtype=torch.float32) + 1) / CROP_PX - 1
        self.register_buffer("places", torch.stack(torch.meshgrid(line, line, indexing="xy")), persistent=False)

    def forward(self, crops: Tensor, changes: Tensor, noise: Tensor | None = None) -> Prediction:
        """Predict.

        Args:
            crops: (B, 3, 128, 128) aligned faces, in [0, 1].
            changes: (B, D) where the targets lie, as seen from the faces' embeddings; see `target_change`.
            noise: (B, noise_dim) standard normal, or None for the one edit that serves best: zeros.
        """
        if noise is None:
            noise = changes.new_zeros(len(changes), self.settings["noise_dim"])
        asked = torch.cat([GAIN * changes, noise], dim=1)
        condition = self.ask(asked)
        places = self.places.expand(len(crops), -1, -1, -1)
        fine = on_tokens(self.stem(torch.cat([4 * crops - 2, places], dim=1)))
        fine = self.encoder[0](fine, condition)
        medium = self.encoder[1](self.down[0](fine), condition)
        coarse = self.norms[0](self.middle(self.down[1](medium), condition))
        medium = self.decoder[0](self.up[0](coarse, medium), condition)
        fine = self.decoder[1](self.up[1](medium, fine), condition)
        amounts = self.amounts(torch.cat([coarse.mean((1, 2)), condition], dim=1)).reshape(-1, PARTS, 3)
        coord = self.coord(self.norms[1](medium).permute(0, 3, 1, 2))
        color = F.pixel_shuffle(self.color(self.norms[2](fine).permute(0, 3, 1, 2)), 2)
        common = self.common(torch.cat([asked, condition], dim=1)).reshape(-1, 2 + 3, COORD_SIZE, COORD_SIZE)
        coord = coord + common[:, :2]
        color = color + F.interpolate(common[:, 2:], (COLOR_SIZE, COLOR_SIZE), mode="bilinear")
        return Prediction(SCALE * coord, SCALE * color, SCALE * amounts)


def _several(name: str, values: Any, count: int, least: int, most: int) -> list[int]:
    """Return whole numbers within a range, so many."""
    good = isinstance(values, (list, tuple)) and len(values) == count
    require(good, f"{name} must be {count} whole numbers; got {describe(values)}")
    return [whole_number(name, value, least, most) for value in values]


def on_planes(function: Callable[[Tensor], Tensor], tokens: Tensor) -> Tensor:
    """Apply a function of (B, C, H, W) to (B, H, W, C)."""
    return on_tokens(function(tokens.permute(0, 3, 1, 2)))


def on_tokens(planes: Tensor) -> Tensor:
    """Return (B, C, H, W) as (B, H, W, C)."""
    return planes.permute(0, 2, 3, 1)
