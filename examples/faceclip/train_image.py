"""Train the image tower: soft labels of measured attributes, causal augmentation, adversarial steps.

The text tower learns afterwards (train_text.py) to put words where this training put their meaning, so the
long part runs once and the vocabulary can grow in minutes.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from flowedit.guide.faceclip import VIEW_PX, FaceTower

from . import attributes as attr
from . import ranks
from .faces import Faces, here, seeded

MEAN, STD = 0.5, 0.25  # what open_clip is told in the config
WEIGHTS = "open_clip_model.safetensors"
DIRECTIONS = "directions.npz"  # where attributes, faces and anything else lie in the image tower's space
KEEP = 2.0  # weight of what is no attribute staying where it was
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
    return (loss * weights).sum() / ranks.total(weights.sum())  # its share, where processes share a batch


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
    held = here(np.flatnonzero(faces.split == "val"))
    plain, caused, labels, weights = [], [], [], []
    for k, i in enumerate(held.split(64)):
        plain.append(heads(tower((faces.pixels(i) - MEAN) / STD)))
        if k < 16:
            image, label, weight = faces.batch(held[k::16][:64], seeded(k))
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


def fast_bfloat16(device: torch.device) -> bool:
    """Whether this processor computes in bfloat16; where it does not, emulation is a hundred times slower."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and any(
        getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )


def batches(
    faces: Faces, chosen: Tensor, share: Tensor, first: int, steps: int, batch: int, seed: int, at_once: int = 1
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Make the batches of each `at_once` steps by the first one's seed, while the network learns from those before.

    Making them is some thousand small operations, which a GPU is as long at for one batch as for several.
    """
    device = chosen.device

    def make(step: int) -> list[tuple[Tensor, ...]]:
        with device:  # a thread has a default device of its own
            generator = seeded(seed * 1_000_003 + step)
            drawn = chosen[torch.multinomial(share, at_once * batch, replacement=at_once > 1, generator=generator)]
            made = [rows.split(batch) for rows in faces.batch(drawn, generator)]
            # of the half that is hardened, and the other
            return [tuple(ranks.share(rows, parts=2) for rows in each) for each in zip(*made, strict=True)]

    start = first - first % at_once
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, start)
        for step in range(start, steps, at_once):
            made = coming.result()
            if step + at_once < steps:
                coming = pool.submit(make, step + at_once)
            yield from made[max(0, first - step) : steps - step]


def begin_with(path: Path, tower: FaceTower, heads: Directions) -> None:
    """Take a finished run's averaged weights, or an encoder folder's, with the directions that its words have."""
    if path.is_file():
        saved = torch.load(path, map_location=heads.bias.device, weights_only=False)["all"]
        tower.load_state_dict(saved[2])
        heads.load_state_dict(saved[3])
        return
    prefix = "visual.trunk."
    tensors = {n.removeprefix(prefix): v for n, v in load_file(path / WEIGHTS).items() if n.startswith(prefix)}
    missing = tower.load_state_dict(tensors, strict=False).missing_keys
    if others := [name for name in missing if not name.startswith("eyes.")]:  # which begin at zero
        raise ValueError(f"{path / WEIGHTS} must hold an image tower; it lacks {', '.join(others)}")
    with np.load(path / DIRECTIONS) as directions, torch.no_grad():
        heads.vectors.copy_(torch.from_numpy(directions["vectors"]))
    heads.vectors.requires_grad_(False)


def calibrate(tower: FaceTower, heads: Directions, image: Tensor, labels: Tensor, weights: Tensor) -> None:
    """Fit the scale and the biases that belong to a tower's directions, on one large batch."""
    with torch.no_grad():
        features = torch.cat([tower.eval()((part - MEAN) / STD) for part in image.split(256)])
    tower.train()
    fit_scale(heads, features, labels, weights)


def fit_scale(heads: Directions, features: Tensor, labels: Tensor, weights: Tensor) -> None:
    """Fit the scale and the biases by which directions tell labels of embeddings (B, D) of any length."""
    own = [heads.log_scale, heads.bias]
    optimizer = torch.optim.LBFGS(own, max_iter=60, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = objective(heads(features), labels, weights)
        loss.backward()
        return loss

    optimizer.step(closure)


class Anchor:
    """What stays of a tower that learns on: where embeddings lie, but along the attributes' directions."""

    def __init__(self, tower: FaceTower, heads: Directions) -> None:
        self.tower = copy.deepcopy(tower).eval().requires_grad_(False)
        self.elsewhere = attr.find_elsewhere(heads.unit().detach())

    def __call__(self, image: Tensor, features: Tensor, lower: bool) -> Tensor:
        """Return the mean square of how far embeddings (B, D) of images moved; this process's share of it."""
        with torch.no_grad(), torch.autocast(image.device.type, dtype=torch.bfloat16, enabled=lower):
            before = self.tower(image)
        moved = F.normalize(features.float(), dim=-1) - F.normalize(before.float(), dim=-1)
        return (moved @ self.elsewhere).square().sum() / (ranks.count() * len(moved))


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
    at_once: int = 1,
    begin: Path | None = None,
    kept: float = 0.0,
) -> None:
    """Train on torch's default device.

    From the averaged weights of a finished run, if its checkpoint is `begin`. From an encoder, if its folder is: the
    directions of its words stay then, and of an embedding what is about no attribute, so that its text tower serves on.
    A share `kept` of what was begun with stays in the averaged weights (WiSE-FT, Wortsman et al. 2022): a short run of
    small batches gains on what is new in it and loses a little elsewhere.
    """
    torch.manual_seed(seed)  # a script, not the library: the networks' initial weights
    place = torch.get_default_device()
    faces = Faces(data)
    chosen, share = faces.learned()
    faces.measure_population()
    tower = FaceTower(width=width).to(memory_format=torch.channels_last)
    ranks.normalize_together(tower)
    heads = Directions(len(attr.NAMES), 128)
    if begin:
        begin_with(begin, tower, heads)
    anchor: Anchor | None = None
    if not heads.vectors.requires_grad:
        generator = seeded(seed)
        many = chosen[torch.multinomial(share, min(16 * batch, 2048), replacement=True, generator=generator)]
        calibrate(tower, heads, *faces.batch(many, generator))
        anchor = Anchor(tower, heads)
    parameters = [p for p in (*tower.parameters(), *heads.parameters()) if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.12)
    average = copy.deepcopy(tower), copy.deepcopy(heads)
    start_weights = copy.deepcopy(tower.state_dict())
    checkpoint = out / "image_tower.pt"
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=place, weights_only=False)
        if state["steps"] == steps:  # a run that was finished stays as it is
            first = state["step"]
            for thing, saved in zip((tower, heads, *average, optimizer, schedule), state["all"], strict=True):
                thing.load_state_dict(saved)
    start = time.time()
    lower = fast_bfloat16(place)
    print(f"{len(chosen)} faces, {sum(p.numel() for p in parameters)} parameters, bfloat16 {lower}", flush=True)
    known = torch.zeros(len(attr.NAMES))  # of each attribute, running
    every = max(500, steps // 6)
    for step, made in enumerate(batches(faces, chosen, share, first, steps, batch, seed, at_once), first):
        image, labels, weights = made
        image = ((image - MEAN) / STD).contiguous(memory_format=torch.channels_last)
        with torch.autocast(place.type, dtype=torch.bfloat16, enabled=lower):
            image = harden(image, labels, weights, tower, heads, radius, seeded(step))
            features = tower(image)
            logits = heads(features)
        directions = heads.unit()
        off = 1 - torch.eye(len(directions))
        loss = objective(logits, labels, weights)
        if anchor is not None:
            loss = loss + KEEP * anchor(image, features, lower)
        (loss + 0.05 * ((directions @ directions.T * off) ** 2).sum() / len(off) / ranks.count()).backward()
        ranks.add_gradients(parameters)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        for slow, fast in zip(average, (tower, heads), strict=True):
            follow(slow, fast, step)
        if step + 1 == steps:
            blend(average[0], start_weights, kept)
        rows = map(ranks.gather, (logits.detach(), labels, weights))
        known = torch.lerp(known, 1 - excess(*rows).clamp(-1, 1), max(0.02, 1 / (step - first + 1)))
        loss = ranks.total(loss)
        if not ranks.is_first():
            continue
        if (step + 1) % 100 == 0:
            pace = (time.time() - start) / (step + 1 - first)
            shown = " ".join(f"{n} {known[[attr.INDEX[a] for a in f]].mean():.2f}" for n, f in FAMILIES.items())
            left = pace * (steps - step - 1) / 3600
            print(
                f"{step + 1}/{steps} loss {loss.item():.4f} known: {shown}; {pace:.2f} s a step, {left:.2f} h left",
                flush=True,
            )
        if (step + 1) % every == 0 or step + 1 == steps:
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
            save(state, checkpoint)


def save(state: dict[str, Any], checkpoint: Path) -> None:
    """Write a checkpoint whole, or none."""
    torch.save(state, checkpoint.with_suffix(".tmp"))
    checkpoint.with_suffix(".tmp").replace(checkpoint)


def save_finished(tower: FaceTower, heads: Directions, result: dict[str, float], out: Path) -> None:
    """Write a tower that is trained no further as a checkpoint: a run's own weights are its averaged ones."""
    states = [tower.state_dict(), heads.state_dict()]
    save({"width": tower.trunk[0].out_channels, "all": [*states, *states], "auc": result}, out)


def read_options(train: Callable[..., None], description: str | None, begin: str, out: str) -> argparse.ArgumentParser:
    """Make the options of a training that goes on from a checkpoint: of its files, and of its numbers."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, default=Path("out/faceclip/faces.npz"))
    parser.add_argument("--begin", type=Path, default=Path(begin), help="a checkpoint, or an encoder's folder")
    parser.add_argument("--out", type=Path, default=Path(out))
    for name, default in train.__kwdefaults__.items():
        if not isinstance(default, bool):
            parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, step: int) -> None:
    """Let a running average of a model's weights follow a step, the first ones fast."""
    decay = min(0.998, (step + 1) / (step + 20))
    for slow, fast in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
        slow.lerp_(fast, 1 - decay) if slow.is_floating_point() else slow.copy_(fast)


@torch.no_grad()
def blend(model: nn.Module, other: dict[str, Tensor], share: float) -> None:
    """Move a model's weights by a share of the way to others."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.lerp_(other[name], share)


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
    random = ranks.share(torch.rand(ranks.count() * half, 1, 1, 1, generator=generator))
    far = radius * (3 * VIEW_PX**2) ** 0.5 / STD * random**0.5
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
    parser.add_argument(
        "--at-once", type=int, default=defaults["at_once"], help="steps whose batches are made together; on a GPU 4"
    )
    parser.add_argument(
        "--begin", type=Path, help="what to train further in another folder: a run's checkpoint, or an encoder's folder"
    )
    parser.add_argument(
        "--kept", type=float, default=defaults["kept"], help="share of the weights of --begin that stays at the end"
    )
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = vars(parser.parse_args())
    options["out"].mkdir(parents=True, exist_ok=True)
    device = options.pop("device")
    with ranks.joined(device), torch.device(device):
        train(**options)


if __name__ == "__main__":
    main()
