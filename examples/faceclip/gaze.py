"""Where a photo's eyes look, told by two eyes together.

Of one eye's irises what is measured is mostly not gaze: a landmark's error, a shadow, a closing lid (between the two
eyes of a FairFace photo it correlates by 0.23). These errors are each eye's own, and both eyes look the same way; a
network that sees one eye and is to tell the *other's* measurement can only learn what they share. It needs no labels,
and no changed eyes, which it would know by their edges instead of their irises.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.face.landmarks import EYES

from .tones import luma, measure_gaze

HIGH, WIDE = 16, 28  # samples of an eye's patch
ACROSS = 1.5  # eye widths that they span
MARGIN = 2  # samples around it, so that a patch can lie beside where the landmarks say
MOST = 0.3  # eye widths: a larger measurement is an error
UNIT = 0.1  # eye widths: about the deviation of what is learned
EPOCHS, BATCH, RATE = 6, 256, 3e-3
INWARD = torch.tensor([-1.0, 1.0])  # the right eye is read mirrored, so that one network serves both


class OneEye(nn.Module):
    """Tells from patches of one eye, (B, 1, HIGH, WIDE), where the other looks: to this one's nose and up, (B, 2)."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()

        def convolve(width_in: int, width_out: int) -> list[nn.Module]:
            return [nn.Conv2d(width_in, width_out, 3, padding=1, bias=False), nn.BatchNorm2d(width_out), nn.SiLU()]

        self.layers = nn.Sequential(
            *convolve(1, width), *convolve(width, width), nn.AvgPool2d(2),
            *convolve(width, 2 * width), *convolve(2 * width, 2 * width), nn.AvgPool2d(2),
            *convolve(2 * width, 2 * width), *convolve(2 * width, 2 * width),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(2 * width * (HIGH // 4) * (WIDE // 4), 48), nn.SiLU(),
            nn.Linear(48, 2),
        )  # fmt: skip

    def forward(self, patch: Tensor) -> Tensor:
        return UNIT * self.layers(patch)


def eye_patches(light: Tensor, landmarks: Tensor) -> Tensor:
    """Cut out both eyes, the right one mirrored, free of light and contrast.

    Args:
        light: (B, 1, H, W).
        landmarks: (B, 68, 2) crop coordinates.

    Returns:
        (B, 2, HIGH + 2 MARGIN, WIDE + 2 MARGIN).
    """
    columns, rows = (torch.arange(n + 2 * MARGIN) - MARGIN + 0.5 - n / 2 for n in (WIDE, HIGH))
    steps = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1) * (ACROSS / WIDE)
    patches = []
    for eye, mirrored in zip(EYES, (1.0, -1.0), strict=True):
        low, high = landmarks[:, eye].amin(1), landmarks[:, eye].amax(1)
        width = (high - low)[:, 0, None, None, None]
        at = ((low + high) / 2)[:, None, None] + width * steps * torch.tensor([mirrored, 1.0])
        patches.append(F.grid_sample(light, at, padding_mode="border", align_corners=False))
    eyes = torch.cat(patches, 1)
    return (eyes - eyes.mean((2, 3), keepdim=True)) / (eyes.std((2, 3), keepdim=True) + 2)


def read_eyes(image: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor]:
    """Patches of both eyes, and what is measured of each, inward and up: (B, 2, ...) and (B, 2, 2)."""
    light = luma(image)
    measured = measure_gaze(light, landmarks)
    measured[:, 1] *= INWARD
    return eye_patches(light, landmarks), measured.clamp(-MOST, MOST)


def learn_gaze(patches: Tensor, measured: Tensor, learned: Tensor, *, seed: int = 0) -> Tensor:
    """Learn from some faces what both eyes share, and tell it of all.

    Args:
        patches, measured: of N faces, as `read_eyes` gives them.
        learned: indices of the faces to learn from.

    Returns:
        (N, 2) how far the irises lie right of and above where they mostly do, in eye widths.
    """
    torch.manual_seed(seed)  # a script, not the library: the network's initial weights
    usual = measured[learned].flatten(0, 1).median(0).values
    other = ((measured - usual) * INWARD).flip(1)  # what looks inward here looks outward there
    network = OneEye()
    steps = max(1, EPOCHS * 2 * len(learned) // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        face, eye = learned[torch.randint(len(learned), (BATCH,))], torch.randint(2, (BATCH,))
        top, left = torch.randint(2 * MARGIN + 1, (2,)).tolist()
        seen = patches[face, eye, None, top : top + HIGH, left : left + WIDE]
        seen = seen * torch.exp(0.15 * torch.randn(BATCH, 1, 1, 1))
        seen = seen + 0.15 * torch.rand(BATCH, 1, 1, 1) * torch.randn(seen.shape)
        error = (network(seen) - other[face, eye]) / UNIT
        loss = F.smooth_l1_loss(error, torch.zeros_like(error), beta=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval()
    middle = patches[..., MARGIN : MARGIN + HIGH, MARGIN : MARGIN + WIDE].flatten(0, 1)[:, None]
    with torch.no_grad():
        told = torch.cat([network(part) for part in middle.split(1024)]).unflatten(0, (-1, 2))
    # To the right is inward of the left eye and outward of the right one.
    return (told[:, 0] + told[:, 1] * INWARD) / 2
