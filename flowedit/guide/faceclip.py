"""The two towers of `faceclip`: a small convolutional network whose gradient moves features, and a transformer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

INPUT_PX = 128  # the whole aligned crop
TOP_PX, LEFT_PX, VIEW_PX = 14, 8, 112  # the part the network looks at: brows to chin, ear to ear
HIDDEN = 64  # units that see the whole face
EYES_TOP, EYES_PX = 40, 32  # rows of the crop with both eyes and brows
EYE_LEFT, EYE_PX = 28, 36  # columns of the one left in the crop; the other's are their mirror image


class Residual(nn.Module):
    """Two 3 x 3 convolutions around a skip, with activations whose gradient is smooth."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x))))))


class Down(nn.Module):
    """A 3 x 3 convolution, then the mean of 2 x 2 pixels; a stride would alias, which shows in the gradient."""

    def __init__(self, width_in: int, width_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width_out, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width_out)

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(F.silu(self.norm(self.conv(x))), 2)


class Eyes(nn.Module):
    """Both eyes and brows of the crop without a stride: a turned iris is one to three pixels, a wink four.

    One network reads either eye, the right one mirrored; linear layers then compare what it found. Starts at zero.
    """

    def __init__(self, embed_dim: int, width: int = 20, found: int = 24) -> None:
        super().__init__()
        self.trunk = nn.Sequential(Down(3, width), Residual(width), Down(width, 2 * width), Residual(2 * width))
        self.each = nn.Linear(2 * width * (EYES_PX // 4) * (EYE_PX // 4), found)
        last = nn.Linear(HIDDEN, embed_dim)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.both = nn.Sequential(nn.SiLU(), nn.Linear(2 * found, HIDDEN), nn.SiLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        return self.compare(self.read_strip(x[:, :, EYES_TOP : EYES_TOP + EYES_PX]))

    def read_strip(self, strip: Tensor) -> Tensor:
        """Find what there is in each eye of a crop's rows (B, 3, EYES_PX, 128): (2 B, found), left eyes first."""
        left, right = strip[..., EYE_LEFT : EYE_LEFT + EYE_PX], strip.flip(-1)[..., EYE_LEFT : EYE_LEFT + EYE_PX]
        return self.each(self.trunk(torch.cat([left, right])).flatten(1))

    def compare(self, found: Tensor) -> Tensor:
        """Map what was found in both eyes, (2 B, found), to (B, embed_dim)."""
        return self.both(torch.cat(found.chunk(2), 1))


class FaceTower(nn.Module):
    """Maps aligned face crops, (B, 3, 128, 128) normalized to [-2, 2], to (B, embed_dim) of any length.

    The features keep their 7 x 7 places up to the last linear layer, since a place in an aligned crop is always the
    same part of the face. A few hidden units beside that layer see all places at once: a wink, one raised brow and a
    crooked mouth are differences of two sides without a sign, which no linear layer tells.
    """

    def __init__(self, embed_dim: int = 128, width: int = 24) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            Down(width, 2 * width),
            Residual(2 * width),
            Down(2 * width, 4 * width),
            Residual(4 * width),
            Down(4 * width, 8 * width),
            Residual(8 * width),
        )
        features = 8 * width * (VIEW_PX // 16) ** 2
        self.head = nn.Linear(features, embed_dim)
        self.across = nn.Sequential(nn.Linear(features, HIDDEN), nn.SiLU(), nn.Linear(HIDDEN, embed_dim))
        self.eyes = Eyes(embed_dim)
        self.to(memory_format=torch.channels_last)  # a fifth off a call on a CPU: oneDNN reads it without reordering

    def forward(self, x: Tensor) -> Tensor:
        return self.without_eyes(x) + self.eyes(x)

    def without_eyes(self, x: Tensor) -> Tensor:
        """Map crops to what the embedding is without the eyes' network: (B, embed_dim)."""
        return self.place(self.read(x))

    def read(self, x: Tensor) -> Tensor:
        """Return what the trunk finds in crops, place by place, for the last layers: (B, F)."""
        return self.trunk(x[:, :, TOP_PX : TOP_PX + VIEW_PX, LEFT_PX : LEFT_PX + VIEW_PX]).flatten(1)

    def place(self, features: Tensor) -> Tensor:
        """Map what `read` found, (B, F), to (B, embed_dim) of any length."""
        return self.head(features) + self.across(features)


class Block(nn.Module):
    """Self-attention and two linear layers, each around a skip and after a normalization."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        own = self.ln_1(x)
        x = x + self.attn(own, own, own, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class Transformer(nn.Module):
    """Blocks in which a token sees those before it: (n, length, width) to the same."""

    def __init__(self, width: int, heads: int, layers: int) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.full((x.shape[1], x.shape[1]), float("-inf"), device=x.device).triu(1)
        for block in self.resblocks:
            x = block(x, hidden)
        return x


class Visual(nn.Module):
    """The image tower, and how its pictures are prepared, where open_clip has them."""

    def __init__(self, embed_dim: int, preprocess_cfg: dict[str, object]) -> None:
        super().__init__()
        self.trunk = FaceTower(embed_dim)
        self.preprocess_cfg = {"size": INPUT_PX, **preprocess_cfg}


class FaceClip(nn.Module):
    """Both towers under the names of open_clip's checkpoints: what open_clip builds from the same config, bit for bit.

    The text tower is CLIP's (Radford et al. 2021), smaller: a token sees those before it, and the last is the text.

    Args:
        embed_dim: numbers of an embedding.
        context_length: tokens of a text.
        vocab_size: how many tokens there are.
        width: numbers of a token.
        heads: of attention.
        layers: of the text tower.
        preprocess_cfg: mean, std and interpolation of the pictures.
    """

    def __init__(
        self,
        embed_dim: int,
        context_length: int,
        vocab_size: int,
        width: int,
        heads: int,
        layers: int,
        preprocess_cfg: dict[str, object],
    ) -> None:
        super().__init__()
        self.visual = Visual(embed_dim, preprocess_cfg)
        self.token_embedding = nn.Embedding(vocab_size, width)
        self.positional_embedding = nn.Parameter(torch.zeros(context_length, width))
        self.transformer = Transformer(width, heads, layers)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, embed_dim))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def encode_image(self, image: Tensor) -> Tensor:
        """Map aligned crops, (B, 3, 128, 128) normalized, to (B, embed_dim) of any length."""
        return self.visual.trunk(image)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Map (n, context_length) tokens to (n, embed_dim) of any length."""
        x = self.token_embedding(tokens) + self.positional_embedding
        x = self.ln_final(self.transformer(x))
        last = tokens.argmax(-1)  # the mark of the end is the highest token
        return x[torch.arange(len(x), device=x.device), last] @ self.text_projection


def faceclip_tower(pretrained: bool = False, **_: object) -> FaceTower:
    """Make the tower for timm's registry, through which open_clip builds it from `faceclip.json`."""
    return FaceTower()
