"""Train the image tower: soft labels of measured attributes, causal augmentation, adversarial steps.

The text tower learns afterwards (train_text.py) to put words where this training put their meaning, so the
long part runs once and the vocabulary can grow in minutes.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.guide.faceclip import VIEW_PX, FaceTower

from . import attributes as attr
from .augment import expose, landmark_moves, photograph, recolor, warp_faces

MEAN, STD = 0.5, 0.25  # what open_clip is told in the config


class Directions(nn.Module):
    """One unit vector per attribute, its scale and bias: the words' meaning before there are words."""

    def __init__(self, n: int, embed_dim: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(n, embed_dim))
        self.log_scale = nn.Parameter(torch.full((), 2.0))
        self.bias = nn.Parameter(torch.zeros(n))

    def unit(self) -> Tensor:
        return F.normalize(self.vectors, dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        return self.log_scale.exp() * F.normalize(features.float(), dim=-1) @ self.unit().T + self.bias


class Faces:
    """The prepared faces in memory, and one augmented, re-measured batch at a time."""

    def __init__(self, path: Path) -> None:
        data = np.load(path)
        self.image = torch.from_numpy(data["image"])
        self.masks = torch.from_numpy(data["masks"])
        self.landmarks = torch.from_numpy(data["landmarks"]).float()
        self.colored = torch.from_numpy(data["colored"])
        self.person, self.person_weight = attr.person_labels(
            data["expression"], data["emotion"], data["age"], data["female"]
        )
        self.split = data["split"]
        self.expression = data["expression"]
        self.age = data["age"]
        self.source = data["source"]
        plain = attr.geometry(self.landmarks[self.split == "train"])
        self.geometry_stats = plain.median(0).values, plain.std(0)
        self.color_stats = torch.zeros(7), torch.ones(7)

    def shares(self) -> Tensor:
        """How often each face is drawn: more often where it shows what few others do."""
        share = torch.where(self.colored, 6.0, 1.0)
        share[torch.from_numpy(self.source == "london")] = 12.0  # the only smiles and neutrals known for sure
        rare = np.isin(self.expression, ("sadness", "anger", "surprise", "fear", "disgust"))
        return share * torch.where(torch.from_numpy(rare), 3.0, 1.0)

    def measure_colors(self, indices: Tensor, generator: torch.Generator) -> None:
        """Take the population of color measurements from augmented faces."""
        values = torch.cat([self.colors(i, generator)[1] for i in indices.split(64)])
        self.color_stats = values.median(0).values, values.std(0)

    def colors(self, i: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, S, S) recolored at random, measurements (B, 7) and whether they show color (B,)."""
        image = expose(self.image[i].permute(0, 3, 1, 2).contiguous().float() / 255, generator)
        colored = self.colored[i].float()
        to_gray = (torch.rand(len(i), generator=generator) < 0.25) & self.colored[i]
        shown = torch.where(self.colored[i], ~to_gray, torch.rand(len(i), generator=generator) < 0.5)
        image[to_gray] = image[to_gray].mean(1, keepdim=True)
        image, measured = recolor(image, self.masks[i].float() / 255, 1 - colored, generator)
        image[~shown] = image[~shown].mean(1, keepdim=True)
        return image, measured, shown.float()

    def batch(self, i: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Images (B, 3, S, S) in [0, 1], soft labels (B, K) and weights (B, K)."""
        image, color, shown = self.colors(i, generator)
        landmarks = self.landmarks[i]
        move, touched = landmark_moves(landmarks, generator)
        image, moved = warp_faces(image, landmarks, move, generator)
        image = photograph(image, generator)
        person, weight = self.person[i], self.person_weight[i].clone()
        weight[:, : len(attr.EXPRESSION)] *= (~touched).float()[:, None]
        shape = attr.soft_label(attr.geometry(moved), *self.geometry_stats)
        tint = attr.soft_label(color, *self.color_stats)
        seen = 1.5 * torch.ones(len(i), 7)
        seen[:, [0, 2, 3, 6]] *= shown[:, None]  # a gray photo has no redness to read
        n = len(attr.EXPRESSION)
        labels = torch.cat([person[:, :n], shape, person[:, n:], tint], 1)
        weights = torch.cat([weight[:, :n], 1.5 * torch.ones_like(shape), weight[:, n:], seen], 1)
        return image, labels, weights


def objective(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (loss * weights).sum() / weights.sum()


def auc(score: Tensor, positive: Tensor) -> float:
    """Area under the ROC curve by ranks."""
    rank = score.argsort().argsort().float() + 1
    n, m = positive.sum(), (~positive).sum()
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * m).clamp(min=1))


@torch.no_grad()
def evaluate(tower: FaceTower, heads: Directions, faces: Faces) -> dict[str, float]:
    """AUC of every labelled attribute on untouched held-out faces; measured ones between their outer 30 percents."""
    tower.eval()
    held = torch.from_numpy(np.flatnonzero(faces.split == "val"))
    logits = []
    for i in held.split(128):
        image = faces.image[i].permute(0, 3, 1, 2).float() / 255
        logits.append(heads(tower((image - MEAN) / STD)))
    scores = torch.cat(logits)
    tower.train()
    everyone = torch.ones(len(held), dtype=torch.bool)
    values, labels = attr.geometry(faces.landmarks[held]), faces.person[held]
    shown = {name: attr.ends(values[:, k], everyone) for k, name in enumerate(attr.GEOMETRY)}
    shown |= {name: attr.sure(labels[:, k], everyone) for k, name in enumerate(attr.EXPRESSION + attr.PERSON)}
    return {name: auc(scores[counted, attr.INDEX[name]], up[counted]) for name, (up, counted) in shown.items()}


def train(
    data: Path,
    out: Path,
    *,
    steps: int = 7000,
    width: int = 24,
    radius: float = 0.003,
    batch: int = 64,
    lr: float = 2e-3,
    seed: int = 0,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # a script, not the library: the networks' initial weights
    faces = Faces(data)
    chosen = torch.from_numpy(np.flatnonzero(faces.split == "train"))
    share = faces.shares()[chosen]
    faces.measure_colors(chosen[torch.randint(len(chosen), (1024,), generator=generator)], generator)
    tower = FaceTower(width=width).to(memory_format=torch.channels_last)
    heads = Directions(len(attr.NAMES), 128)
    parameters = [*tower.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.12)
    average = copy.deepcopy(tower), copy.deepcopy(heads)
    checkpoint = out / "image_tower.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        if state["steps"] == steps:  # a run that was finished stays as it is
            first = state["step"]
            for thing, saved in zip((tower, heads, *average, optimizer, schedule), state["all"], strict=True):
                thing.load_state_dict(saved)
            generator.set_state(state["generator"])
    start = time.time()
    off = 1 - torch.eye(len(attr.NAMES))
    reach = radius * (3 * VIEW_PX**2) ** 0.5
    for step in range(first, steps):
        i = chosen[torch.multinomial(share, batch, generator=generator)]
        image, labels, weights = faces.batch(i, generator)
        image = ((image - MEAN) / STD).contiguous(memory_format=torch.channels_last).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = objective(heads(tower(image)), labels, weights)
        gradient = torch.autograd.grad(loss, image)[0].float()
        length = gradient.flatten(1).norm(dim=1)[:, None, None, None] + 1e-12
        far = reach / STD * torch.rand(len(i), 1, 1, 1, generator=generator) ** 0.5
        image = (image.detach() + far * gradient / length).clamp(-MEAN / STD, (1 - MEAN) / STD)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = heads(tower(image.contiguous(memory_format=torch.channels_last)))
        directions = heads.unit()
        loss = objective(logits, labels, weights)
        (loss + 0.05 * ((directions @ directions.T * off) ** 2).sum() / len(off)).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        decay = min(0.998, (step + 1) / (step + 20))
        for slow, fast in zip(average, (tower, heads), strict=True):
            for a, b in zip(slow.state_dict().values(), fast.state_dict().values(), strict=True):
                a.lerp_(b, 1 - decay) if a.is_floating_point() else a.copy_(b)
        if (step + 1) % 100 == 0:
            print(f"{step + 1}/{steps} loss {loss.item():.4f} {time.time() - start:.0f} s", flush=True)
        if (step + 1) % 500 == 0 or step + 1 == steps:
            result = evaluate(*average, faces)
            print(" ".join(f"{k} {v:.3f}" for k, v in result.items()), flush=True)
            state = {
                "step": step + 1,
                "steps": steps,
                "width": width,
                "all": [t.state_dict() for t in (tower, heads, *average, optimizer, schedule)],
                "generator": generator.get_state(),
                "stats": (faces.geometry_stats, faces.color_stats),
                "auc": result,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)


def main() -> None:
    defaults = train.__kwdefaults__
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("out/faceclip/faces.npz"))
    parser.add_argument("--out", type=Path, default=Path("out/faceclip"))
    parser.add_argument("--steps", type=int, default=defaults["steps"])
    parser.add_argument("--width", type=int, default=defaults["width"])
    parser.add_argument(
        "--radius", type=float, default=defaults["radius"], help="RMS of the adversarial step, image units"
    )
    parser.add_argument("--batch", type=int, default=defaults["batch"])
    parser.add_argument("--lr", type=float, default=defaults["lr"])
    parser.add_argument("--seed", type=int, default=defaults["seed"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    train(**vars(options))


if __name__ == "__main__":
    main()
