"""Train the network that tells hair: on heads whose hair is sure, dyed, bleached and shaved."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.face.hair_net import HairNet

DYES = (  # image units in full light, and how often
    ((0.08, 0.07, 0.07), 1.0),
    ((0.25, 0.16, 0.11), 1.0),
    ((0.42, 0.28, 0.18), 1.0),
    ((0.50, 0.22, 0.12), 1.0),
    ((0.72, 0.55, 0.36), 2.0),
    ((0.86, 0.75, 0.58), 2.0),
    ((0.55, 0.54, 0.53), 2.0),
    ((0.80, 0.79, 0.78), 2.0),
    ((0.95, 0.94, 0.92), 1.0),
)
OWN, SHAVED, GRAY = 0.25, 0.15, 0.15  # shares of heads that keep their color, are shaved, and are in a gray photo
STEPS, BATCH, RATE = 2500, 24, 2e-3


class Heads:
    """The prepared heads in memory, and one changed batch at a time.

    Args:
        path: of `heads.prepare`.
    """

    def __init__(self, path: Path) -> None:
        data = dict(np.load(path))
        self.image = torch.from_numpy(data["image"])
        self.planes = {name: torch.from_numpy(data[name]) for name in ("inside", "hair", "height", "distance", "skin")}

    def __len__(self) -> int:
        return len(self.image)

    def batch(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return images (B, 3, n, n), where each is in its photo, and where its hair is, (B, 1, n, n)."""

        def draw(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(*(shape or (len(rows), 1, 1, 1)), generator=generator)

        image = self.image[rows].permute(0, 3, 1, 2).float() / 255
        inside, hair, height, distance, skin = (plane[rows][:, None].float() for plane in self.planes.values())
        inside, hair = inside / 255, hair / 255
        # What is neither head nor shoulders goes towards a color of its own, which lets the light fall off.
        n = image.shape[-1]
        behind = ((distance - 0.3) / 0.3).clamp(0, 1) * ((height + 0.9) / 0.3).clamp(0, 1) * (1 - hair)
        slope = draw(-0.15, 0.15) * torch.linspace(-1, 1, n)[:, None] + draw(-0.15, 0.15) * torch.linspace(-1, 1, n)
        wall = draw(0, 1, len(rows), 1, 1, 1) + draw(-0.12, 0.12, len(rows), 3, 1, 1) + slope
        mixed = behind * draw(0, 1) * (draw(0, 1) < 0.6)
        image = image + mixed * (wall - image)
        # Hair of another color, its light and shade kept by a share.
        chances = torch.tensor([often for _, often in DYES])
        dye = torch.tensor([color for color, _ in DYES])[
            torch.multinomial(chances, len(rows), replacement=True, generator=generator)
        ][:, :, None, None]
        dye = dye + draw(-0.08, 0.08, len(rows), 3, 1, 1)
        tone = image.mean(1, keepdim=True)
        weight = hair * inside
        relative = (tone / _mean(tone, weight).clamp_min(0.03)).clamp(0, 2.5)
        dyed = dye * (1 + draw(0.3, 1.0) * (relative - 1))
        keep = draw(0, 1) < OWN
        image = torch.where(keep, image, image + hair * (dyed - image))
        # Shaved: on the whole head, or on top of it.
        shaved = draw(0, 1) < SHAVED
        line = torch.where(draw(0, 1) < 0.5, torch.full_like(shaved.float(), -9.0), draw(0.5, 1.1))
        top = hair * ((height - line) / 0.15).clamp(0, 1) * shaved
        bare = _mean(image, skin * inside) * (1 + draw(-0.1, 0.2)) * (1 + draw(0, 0.2) * (relative - 1))
        image = image + top * (bare - image)
        hair = hair * (1 - ((height - line) / 0.15).clamp(0, 1) * shaved)
        # The photo: its light, its frame, noise, and either way round.
        image = image * draw(0.8, 1.2, len(rows), 3, 1, 1).lerp(draw(0.8, 1.2), 0.7)
        noise = 0.02 * torch.randn(image.shape, generator=generator)
        image = (image.clamp(0, 1) ** draw(0.8, 1.25) + noise).clamp(0, 1)
        gray = draw(0, 1) < GRAY
        image = torch.where(gray, image.mean(1, keepdim=True), image)
        y, x = torch.meshgrid(*[torch.linspace(-1, 1, n)] * 2, indexing="ij")
        frame = ((y > draw(-1.3, -0.5)) & (y < draw(0.5, 1.3)) & (x > draw(-1.3, -0.5)) & (x < draw(0.5, 1.3))).float()
        inside = torch.where(draw(0, 1) < 0.4, inside * frame, inside)
        flip = draw(0, 1) < 0.5
        image, inside, hair = (torch.where(flip, each.flip(3), each) for each in (image * inside, inside, hair))
        return image, inside, hair


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp_min(1e-3)


def train(
    heads: Heads, *, steps: int = STEPS, rate: float = RATE, seed: int = 0, begin: HairNet | None = None
) -> HairNet:
    """Train, from finished weights if there are any, and return the average of the weights' last part."""
    torch.manual_seed(seed)  # a script, not the library
    network, average = HairNet(), HairNet()
    network.load_state_dict((begin or network).state_dict())
    average.load_state_dict(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    begun, running = time.time(), 0.0
    for step in range(steps):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        image, inside, hair = heads.batch(torch.randint(len(heads), (BATCH,), generator=generator), generator)
        loss = F.binary_cross_entropy_with_logits(network(image, inside), hair, reduction="none")
        loss = (loss * inside).sum() / inside.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
            slow.data.lerp_(fast.data, 1 - min(0.998, (step + 1) / (step + 20)))
        running += (float(loss.detach()) - running) * max(0.01, 1 / (step + 1))
        if (step + 1) % 100 == 0:
            pace = (time.time() - begun) / (step + 1)
            print(f"{step + 1}/{steps} loss {running:.4f}, {pace:.2f} s a step", flush=True)
    return average.eval()
