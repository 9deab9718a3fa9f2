"""The image tower of `faceclip`: a small convolutional network whose gradient moves features and adds no noise."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

INPUT_PX = 128  # the whole aligned crop
TOP_PX, LEFT_PX, VIEW_PX = 14, 8, 112  # the part the network looks at: brows to chin, ear to ear


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


class FaceTower(nn.Module):
    """Maps aligned face crops, (B, 3, 128, 128) normalized to [-2, 2], to (B, embed_dim) of any length.

    The features keep their 7 x 7 places up to the last linear layer, since a place in an aligned crop is always the
    same part of the face.
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
        self.head = nn.Linear(8 * width * (VIEW_PX // 16) ** 2, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        view = x[:, :, TOP_PX : TOP_PX + VIEW_PX, LEFT_PX : LEFT_PX + VIEW_PX]
        return self.head(self.trunk(view).flatten(1))


def faceclip_tower(pretrained: bool = False, **_: object) -> FaceTower:
    """Make the tower for timm's registry, through which open_clip builds it from `faceclip.json`."""
    return FaceTower()
