"""Train the image tower: soft labels of measured attributes, causal augmentation, adversarial steps.

The text tower learns afterwards (train_text.py) to put words where this training put their meaning, so the
long part runs once and the vocabulary can grow in minutes.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.guide.faceclip import VIEW_PX, FaceTower

from . import attributes as attr
from .faces import Faces

MEAN, STD = 0.5, 0.25  # what open_clip is told in the config
FAMILIES = {
    "expression": attr.EXPRESSION, "geometry": attr.GEOMETRY, "person": attr.PERSON, "color": attr.COLOR,
    "shape": attr.SHAPE, "tint": attr.TINT, "structure": attr.STRUCTURE, "thing": attr.THING,
}  # fmt: skip


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


def objective(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return (loss * weights).sum() / weights.sum()


def excess(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """How much worse than the soft labels themselves, and than saying the mean: 0 is perfect, 1 knows nothing. (K,)"""
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    mean = (labels * weights).sum(0) / weights.sum(0).clamp(min=1e-6)
    own, plain = (F.binary_cross_entropy(p, labels, reduction="none") for p in (labels, mean.expand_as(labels)))
    own, plain, loss = ((value * weights).sum(0) for value in (own, plain, loss))
    return (loss - own) / (plain - own).clamp(min=1e-3)


def auc(score: Tensor, positive: Tensor) -> float:
    """Area under the ROC curve by ranks."""
    rank = score.argsort().argsort().float() + 1
    n, m = positive.sum(), (~positive).sum()
    return float((rank[positive].sum() - n * (n + 1) / 2) / (n * m).clamp(min=1))


@torch.no_grad()
def evaluate(tower: FaceTower, heads: Directions, faces: Faces) -> dict[str, float]:
    """AUC of every attribute on held-out faces.

    Labelled ones and the twelve first shapes on faces as they are, all that is caused on augmented ones; measured ones
    between their outer 30 percents. An attribute that fewer than five faces show has no number.
    """
    tower.eval()
    held = torch.from_numpy(np.flatnonzero(faces.split == "val"))
    plain, caused, labels, weights = [], [], [], []
    for k, i in enumerate(held.split(64)):
        plain.append(heads(tower((faces.pixels(i) - MEAN) / STD)))
        if k < 16:
            image, label, weight = faces.batch(held[k::16][:64], torch.Generator().manual_seed(k))
            caused.append(heads(tower((image - MEAN) / STD)))
            labels.append(label)
            weights.append(weight)
    tower.train()
    score, changed, label, weight = (torch.cat(values) for values in (plain, caused, labels, weights))
    everyone = torch.ones(len(held), dtype=torch.bool)
    values = attr.shapes(faces.landmarks[held], torch.zeros(len(held), 2))
    sides = {n: (score[:, attr.INDEX[n]], *attr.ends(values[:, k], everyone)) for k, n in enumerate(attr.GEOMETRY)}
    for k, name in enumerate(attr.LABELLED):
        known = faces.weight[held, k] >= 0.3
        sides[name] = score[:, attr.INDEX[name]], *attr.sure(faces.label[held, k], known)
    for name in attr.SHAPE + attr.MEASURED_TONES:
        k = attr.INDEX[name]
        sides[name] = changed[:, k], *attr.sure(label[:, k], weight[:, k] > 0.2)
    few = 5
    return {
        name: auc(value[counted], up[counted])
        for name, (value, up, counted) in sides.items()
        if min((up & counted).sum(), (~up & counted).sum()) >= few
    }


def fast_bfloat16() -> bool:
    """Whether this processor computes in bfloat16; where it does not, emulation is a hundred times slower."""
    return any(getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))


def batches(
    faces: Faces, chosen: Tensor, share: Tensor, first: int, steps: int, batch: int, seed: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Make each step's batch by the step's own seed, the next one while the network learns from this one."""

    def make(step: int) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        return faces.batch(chosen[torch.multinomial(share, batch, generator=generator)], generator)

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, first)
        for step in range(first, steps):
            made = coming.result()
            if step + 1 < steps:
                coming = pool.submit(make, step + 1)
            yield made


def train(
    data: Path,
    out: Path,
    *,
    steps: int = 5000,
    width: int = 24,
    radius: float = 0.003,
    batch: int = 64,
    lr: float = 2e-3,
    seed: int = 0,
) -> None:
    torch.manual_seed(seed)  # a script, not the library: the networks' initial weights
    faces = Faces(data)
    chosen, share = faces.learned()
    faces.measure_population()
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
    start = time.time()
    lower = fast_bfloat16()
    print(f"{len(chosen)} faces, {sum(p.numel() for p in parameters)} parameters, bfloat16 {lower}", flush=True)
    known = torch.zeros(len(attr.NAMES))  # of each attribute, running
    for step, made in enumerate(batches(faces, chosen, share, first, steps, batch, seed), first):
        image, labels, weights = made
        image = ((image - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=lower):
            image = harden(image, labels, weights, tower, heads, radius, torch.Generator().manual_seed(step))
            logits = heads(tower(image))
        directions = heads.unit()
        off = 1 - torch.eye(len(directions))
        loss = objective(logits, labels, weights)
        (loss + 0.05 * ((directions @ directions.T * off) ** 2).sum() / len(off)).backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        decay = min(0.998, (step + 1) / (step + 20))
        for slow, fast in zip(average, (tower, heads), strict=True):
            for a, b in zip(slow.state_dict().values(), fast.state_dict().values(), strict=True):
                a.lerp_(b, 1 - decay) if a.is_floating_point() else a.copy_(b)
        known = torch.lerp(
            known, 1 - excess(logits.detach(), labels, weights).clamp(-1, 1), max(0.02, 1 / (step - first + 1))
        )
        if (step + 1) % 100 == 0:
            pace = (time.time() - start) / (step + 1 - first)
            shown = " ".join(f"{n} {known[[attr.INDEX[a] for a in f]].mean():.2f}" for n, f in FAMILIES.items())
            left = pace * (steps - step - 1) / 3600
            print(
                f"{step + 1}/{steps} loss {loss.item():.4f} known: {shown}; {pace:.2f} s a step, {left:.2f} h left",
                flush=True,
            )
        if (step + 1) % 500 == 0 or step + 1 == steps:
            result = evaluate(*average, faces)
            print(" ".join(f"{k} {v:.3f}" for k, v in result.items()), flush=True)
            state = {
                "step": step + 1,
                "steps": steps,
                "width": width,
                "all": [t.state_dict() for t in (tower, heads, *average, optimizer, schedule)],
                "names": attr.NAMES,
                "stats": faces.stats,
                "auc": result,
            }
            torch.save(state, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)


def harden(
    image: Tensor,
    labels: Tensor,
    weights: Tensor,
    tower: FaceTower,
    heads: Directions,
    radius: float,
    generator: torch.Generator,
) -> Tensor:
    """Move half of a batch a random way up the loss's gradient, at most `radius` RMS of the image's range."""
    half = len(image) // 2
    start = image[:half].contiguous(memory_format=torch.channels_last).requires_grad_()
    loss = objective(heads(tower(start)), labels[:half], weights[:half])
    gradient = torch.autograd.grad(loss, start)[0].float()
    length = gradient.flatten(1).norm(dim=1)[:, None, None, None] + 1e-12
    far = radius * (3 * VIEW_PX**2) ** 0.5 / STD * torch.rand(half, 1, 1, 1, generator=generator) ** 0.5
    moved = (start.detach() + far * gradient / length).clamp(-MEAN / STD, (1 - MEAN) / STD)
    return torch.cat([moved, image[half:]]).contiguous(memory_format=torch.channels_last)


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
