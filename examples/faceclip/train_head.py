"""Fit the last layers of a finished image tower to photos as they are, beside changed ones, with grain.

All that a tower learns from is changed: exposed, recolored, dyed, warped. It told gray hair of changed faces nearly
always (0.995) and of photos as they are by 0.934, and a slight smile or sadness less well than a laugh. Its trunk
stays as it is here, so every face is read once, and what is fitted are two linear layers and the hidden units between.
Grain as strong as what they read varies itself keeps them from learning faces by heart: in the mean it is Tikhonov's
regularization (Bishop 1995), stronger than weight decay where one place of the face alone would tell.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.guide.faceclip import FaceTower

from . import attributes as attr
from .faces import HAIR, Faces, seeded
from .held import MEASURED, measure_plain, shows_hair
from .train_image import (
    MEAN,
    STD,
    Directions,
    begin_with,
    evaluate,
    fit_scale,
    follow,
    objective,
    read_options,
    save_finished,
)

AIMED = {  # weights of what is to be told better, beside the other attributes
    **dict.fromkeys(("happy", "angry", "surprised", "disgusted", "neutral"), 8.0), "sad": 16.0, "hair_gray": 40.0,
}  # fmt: skip
NATURAL = 0.7  # weight of photos as they are; of changed ones, what is left
GRAIN = 1.2  # deviation, of what varies over faces and places
KEEP_OTHERS = 2.0  # weight of what is along the other attributes' directions staying where it was
KEEP_ELSEWHERE = 20.0  # the same, of what is along no attribute's
UNSURE = (  # of one photo: a landmark's error, how sharp it is, or the color of a few pixels
    *attr.UNEVEN, *attr.STRUCTURE, "liner", "brows_thick", "brow_slant", "gaze_up", "eyes_brown", "eyes_light",
    "eyes_green",
)  # fmt: skip


@dataclass
class Features:
    """What the last layers read of faces, and what is known of these.

    Attributes:
        read: (N, F) half precision, the trunk's features.
        eyes: (N, D) the share of an embedding that the eyes' network has.
        label, weight: (N, K) of `attributes.NAMES`.
        share: (N,) how often each is drawn.
    """

    read: Tensor
    eyes: Tensor
    label: Tensor
    weight: Tensor
    share: Tensor

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.multinomial(self.share, n, replacement=True, generator=generator)


@torch.no_grad()
def read_changed(faces: Faces, tower: FaceTower, n: int, seed: int, batch: int = 64) -> Features:
    """Read n faces, each changed as for the whole tower."""
    chosen, share = faces.learned()
    parts = []
    for k in range(n // batch):
        generator = seeded(1000 * seed + k)
        i = chosen[torch.multinomial(share, min(batch, len(chosen)), generator=generator)]
        image, label, weight = faces.batch(i, generator)
        parts.append((*_read(tower, image), label, weight))
    known = [torch.cat(part) for part in zip(*parts, strict=True)]
    return Features(*known, torch.ones(len(known[0])))


@torch.no_grad()
def read_plain(faces: Faces, tower: FaceTower, batch: int = 64) -> Features:
    """Read every learned face as it was photographed."""
    chosen, share = faces.learned()
    parts, measured = [], []
    for i in chosen.split(batch):
        pixels = faces.pixels(i)
        parts.append(_read(tower, pixels))
        measured.append(measure_plain(faces, i, pixels))
    read, eyes = (torch.cat(part) for part in zip(*parts, strict=True))
    return Features(read, eyes, *label_plain(faces, chosen, torch.cat(measured)), share)


def _read(tower: FaceTower, pixels: Tensor) -> tuple[Tensor, Tensor]:
    image = (pixels - MEAN) / STD
    return tower.read(image).half(), tower.eyes(image)


def label_plain(faces: Faces, i: Tensor, measured: Tensor) -> tuple[Tensor, Tensor]:
    """Label photos as they are: by what their sets say, and by their measurements' place among such photos.

    Args:
        faces: the prepared faces.
        i: (N,) which.
        measured: (N, M) as `held.measure_plain` has it.

    Returns:
        Labels and weights, (N, K) of `attributes.NAMES`.
    """
    label, weight = torch.zeros(2, len(i), len(attr.NAMES))
    labelled = [attr.INDEX[name] for name in attr.LABELLED]
    label[:, labelled], weight[:, labelled] = faces.label[i], faces.weight[i]
    values = dict(zip(MEASURED, measured.unbind(1), strict=True))
    values |= faces.beside_skin(values)
    hair = shows_hair(faces, i)
    for name, value in values.items():
        if name in UNSURE:
            continue
        shown = hair if name in HAIR else faces.colored[i] if name in attr.NEEDS_COLOR else torch.ones_like(hair)
        k = attr.INDEX[name]
        label[:, k] = attr.soft_label(value, value[shown].median(), value[shown].std())
        weight[:, k] = 1.5 * shown
    return label, weight


def fit(
    tower: FaceTower, heads: Directions, changed: Features, plain: Features, *, steps: int, batch: int, lr: float,
    seed: int,
) -> FaceTower:  # fmt: skip
    """Return a tower with its last layers fitted, averaged over the steps.

    Args:
        tower: a finished one, evaluating.
        heads: its directions.
        changed, plain: what the last layers read.
        steps, batch, lr: of AdamW; half of a batch is of either kind.
        seed: of the draws.
    """
    sets = (changed, plain)
    aim = torch.ones(len(attr.NAMES))
    aim[[attr.INDEX[name] for name in AIMED]] = torch.tensor(list(AIMED.values()))
    own = [copy.deepcopy(heads) for _ in sets]  # their scales and biases: the kinds differ in how much shows how often
    former = [_embed(tower, kind) for kind in sets]
    generator = seeded(seed)
    for head, kind, embedded in zip(own, sets, former, strict=True):
        head.vectors.requires_grad_(False)
        i = kind.draw(min(4096, len(embedded)), generator)
        fit_scale(head, embedded[i], kind.label[i], aim * kind.weight[i])
    fitted = copy.deepcopy(tower).requires_grad_(False)
    last = [*fitted.head.parameters(), *fitted.across.parameters()]
    told = [p for head in own for p in (head.log_scale, head.bias)]
    for parameter in last:
        parameter.requires_grad_(True)
    groups = [{"params": last, "lr": lr}, {"params": told, "lr": 1e-3}]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [lr, 1e-3], total_steps=steps, pct_start=0.15)
    directions = heads.unit().detach()
    elsewhere = attr.find_elsewhere(directions)
    others = directions[aim == 1].T
    average = copy.deepcopy(fitted)
    start = time.time()
    for step in range(steps):
        drawn = [kind.draw(batch // 2, generator) for kind in sets]
        read = torch.cat([kind.read[i] for kind, i in zip(sets, drawn, strict=True)]).float()
        eyes = torch.cat([kind.eyes[i] for kind, i in zip(sets, drawn, strict=True)])
        read = read + GRAIN * read.std() * torch.randn(read.shape, generator=generator)
        embedded = F.normalize(fitted.place(read) + eyes, dim=-1)
        losses = [
            objective(head(found), kind.label[i], aim * kind.weight[i])
            for head, kind, i, found in zip(own, sets, drawn, embedded.chunk(2), strict=True)
        ]
        moved = embedded - torch.cat([before[i] for before, i in zip(former, drawn, strict=True)])
        kept = KEEP_OTHERS * (moved @ others).square().sum() + KEEP_ELSEWHERE * (moved @ elsewhere).square().sum()
        loss = (1 - NATURAL) * losses[0] + NATURAL * losses[1] + kept / len(moved)
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        follow(average, fitted, step)
        if (step + 1) % 100 == 0:
            print(f"{step + 1}/{steps} loss {loss.item():.4f}, {time.time() - start:.0f} s", flush=True)
    return average


@torch.no_grad()
def _embed(tower: FaceTower, kind: Features) -> Tensor:
    """Embed what was read, (N, D) unit vectors."""
    parts = zip(kind.read.split(512), kind.eyes.split(512), strict=True)
    return torch.cat([F.normalize(tower.place(read.float()) + eyes, dim=-1) for read, eyes in parts])


def train(
    data: Path,
    begin: Path,
    out: Path,
    *,
    changed: int = 30_720,
    steps: int = 1000,
    batch: int = 512,
    lr: float = 1e-3,
    seed: int = 0,
) -> None:
    """Fit, and write a checkpoint as train_image's; seven minutes on two cores.

    Args:
        data: the prepared faces.
        begin: train_image's or train_eyes' checkpoint, or an encoder's folder.
        out: the checkpoint to write.
        changed: changed faces to learn from, beside all photos as they are.
        steps, batch, lr: of AdamW.
        seed: of everything random.
    """
    faces = Faces(data)
    faces.measure_population()
    tower, heads = FaceTower(), Directions(len(attr.NAMES), 128)
    begin_with(begin, tower, heads)
    tower.eval()
    start = time.time()
    known = read_changed(faces, tower, changed, seed), read_plain(faces, tower)
    print(f"{sum(len(kind.read) for kind in known)} faces read in {time.time() - start:.0f} s", flush=True)
    fitted = fit(tower, heads, *known, steps=steps, batch=batch, lr=lr, seed=seed)
    result = evaluate(fitted, heads, faces)
    print(" ".join(f"{name} {result[name]:.3f}" for name in AIMED if name in result), flush=True)
    save_finished(fitted, heads, result, out)


def main() -> None:
    parser = read_options(train, __doc__, "out/faceclip/image_tower_eyes.pt", "out/faceclip/image_tower_head.pt")
    train(**vars(parser.parse_args()))


if __name__ == "__main__":
    main()
