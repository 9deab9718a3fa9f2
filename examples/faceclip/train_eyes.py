"""Train the eyes' network of a finished image tower, which is told where each eye looks and which is closed alone.

Of 68 attributes two are about gazes, and "to the side" is a value without a sign: a network that is told only that
hardly finds the iris, and trained with the whole tower it came to a four hundredth of an embedding's length. Here each
eye's features also tell how far its iris is turned inward and up and its lid closed, as it was caused; what compares
both eyes then finds the rest. A wink is told by what was closed: measured by landmarks, turned heads had winked. All
else of the tower stays, and of an embedding what is about neither.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flowedit.guide.faceclip import EYES_PX, EYES_TOP, Eyes, FaceTower

from . import attributes as attr
from .faces import Faces, seeded
from .shapes import Moves
from .train_image import (
    MEAN,
    STD,
    Directions,
    begin_with,
    calibrate,
    evaluate,
    fast_bfloat16,
    follow,
    objective,
    read_options,
    save_finished,
)

TAUGHT = ("gaze_side", "gaze_up", "wink")  # one raised brow is told worse by it than by the rest of the tower
WEIGHT = 4.0  # of them, beside what is told of each eye
KEEP = 10.0  # weight of what is about anything else staying where it was
SIGNED = 3  # of each eye: inward, up, closed
UNIT = 0.1  # eye widths: about the deviation of a gaze
SHUT = 0.2  # what a closed lid is told as, in eye widths
LENGTH = 100.0  # of an embedding beside the network's first outputs, about: its last layer learns in this unit
NOISE, LIGHT = 0.05, 0.1  # deviations: of a pixel at most, of the logarithm of the contrast
SHIFT = 1  # pixels that the strip is moved at most


@dataclass
class Strips:
    """What the eyes' network sees of changed faces, and what is known of them.

    Attributes:
        rows: (N, 3, EYES_PX, INPUT_PX) uint8.
        rest: (N, D) the embedding without the network's share.
        label, weight: (N, K) of TAUGHT.
        signed: (2, N, SIGNED) of the left and the mirrored right eye, eye widths.
    """

    rows: Tensor
    rest: Tensor
    label: Tensor
    weight: Tensor
    signed: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
        """Yield indices, every strip once before any comes again."""
        order, at = torch.empty(0, dtype=torch.long), 0
        for _ in range(steps):
            if at + batch > len(order):
                order, at = torch.randperm(len(self), generator=generator), 0
            yield order[at : at + batch]
            at += batch


def to_input(rows: Tensor) -> Tensor:
    return ((rows.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def turned(faces: Faces, i: Tensor, moves: Moves) -> Tensor:
    """Return where each eye looks and how far it is closed, (2, B, SIGNED)."""
    side, up = (faces.gaze[i] + moves.gaze).unbind(1)
    side = torch.where(moves.flipped, -side, side)
    closed = torch.where(moves.flipped[:, None], moves.closed.flip(1), moves.closed).T
    inward = torch.stack([side, -side])  # to the right is inward of the left eye and outward of the other
    return torch.stack([inward, up.expand(2, -1), SHUT * closed], -1)


@torch.no_grad()
def draw_strips(faces: Faces, tower: FaceTower, n: int, seed: int, batch: int = 128) -> Strips:
    """Change n faces as they are changed for the whole tower."""
    chosen, share = faces.learned()
    generator = seeded(seed)
    taught = [attr.INDEX[name] for name in TAUGHT]
    parts = []
    for start in range(0, n, batch):
        size = min(batch, n - start)
        i = chosen[torch.multinomial(share, size, replacement=True, generator=generator)]
        image, label, weight, moves = faces.changed(i, generator)
        rest = tower.without_eyes((image - MEAN) / STD)
        rows = (255 * image[:, :, EYES_TOP : EYES_TOP + EYES_PX]).round().clamp(0, 255).byte()
        signed = turned(faces, i, moves).transpose(0, 1)
        parts.append((rows, rest, label[:, taught], weight[:, taught], signed))
    *known, signed = (torch.cat(part) for part in zip(*parts, strict=True))
    return Strips(*known, signed.transpose(0, 1))


class Teacher(nn.Module):
    """The eyes' network while it learns: its embedding, and what each eye's features tell.

    Args:
        eyes: the network; its last layer is in units of LENGTH until `finished`.
        heads: the tower's directions, scale and biases.
        further: whether the network goes on from what it knows.
    """

    def __init__(self, eyes: Eyes, heads: Directions, further: bool = False) -> None:
        super().__init__()
        self.eyes = eyes
        if further:
            self.last.weight.data.div_(LENGTH)
            self.last.bias.data.div_(LENGTH)
        else:
            nn.init.normal_(self.last.weight, std=0.02)
            nn.init.zeros_(self.last.bias)
        self.signed = nn.Linear(eyes.each.out_features, SIGNED)
        taught = [attr.INDEX[name] for name in TAUGHT]
        self.register_buffer("directions", heads.unit().detach()[taught])
        self.bias = nn.Parameter(heads.bias.detach()[taught].clone())
        self.log_scale = nn.Parameter(heads.log_scale.detach().clone())

    @property
    def last(self) -> nn.Linear:
        layer = self.eyes.both[-1]
        assert isinstance(layer, nn.Linear)
        return layer

    def forward(self, rows: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Return embeddings (B, D) and what is told of each eye (2, B, SIGNED)."""
        found = self.eyes.read_strip(rows)
        embedding = rest + LENGTH * self.eyes.compare(found).float()
        return embedding, UNIT * self.signed(found.float()).unflatten(0, (2, -1))

    def logits(self, embedding: Tensor) -> Tensor:
        return self.log_scale.exp() * F.normalize(embedding, dim=-1) @ self.directions.T + self.bias

    @torch.no_grad()
    def finished(self) -> Eyes:
        """Return the network with its last layer in an embedding's own unit."""
        self.last.weight.mul_(LENGTH)
        self.last.bias.mul_(LENGTH)
        return self.eyes


def train(
    data: Path,
    begin: Path,
    out: Path,
    *,
    strips: int = 80_000,
    steps: int = 5000,
    batch: int = 128,
    lr: float = 2e-3,
    seed: int = 0,
    further: bool = False,
) -> None:
    """Train on torch's default device, and write a checkpoint as train_image's.

    Args:
        data: the prepared faces.
        begin: train_image's checkpoint, or an encoder's folder.
        out: the checkpoint to write.
        strips: changed faces to learn from.
        steps, batch, lr: of AdamW.
        seed: of everything random.
        further: go on from the eyes' network of `begin`, which is otherwise made anew.
    """
    torch.manual_seed(seed)  # a script, not the library: the network's initial weights
    place = torch.get_default_device()
    faces = Faces(data)
    faces.measure_population()
    tower, heads = FaceTower(), Directions(len(attr.NAMES), 128)
    begin_with(begin, tower, heads)
    chosen, share = faces.learned()
    many = chosen[torch.multinomial(share, min(2048, len(chosen)), generator=seeded(seed))]
    calibrate(tower, heads, *faces.batch(many, seeded(seed)))
    tower.eval().requires_grad_(False)
    start = time.time()
    known = draw_strips(faces, tower, strips, seed + 1)
    print(f"{strips} strips in {time.time() - start:.0f} s", flush=True)

    former = copy.deepcopy(tower.eyes)
    eyes = copy.deepcopy(tower.eyes).requires_grad_() if further else Eyes(heads.vectors.shape[1])
    teacher = Teacher(eyes, heads, further).train()
    elsewhere = attr.find_elsewhere(teacher.directions)
    own = [p for name, p in teacher.named_parameters() if name not in ("bias", "log_scale")]
    fitted = [{"params": own}, {"params": [teacher.bias, teacher.log_scale], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(fitted, lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps, pct_start=0.1)
    average = copy.deepcopy(teacher)
    lower = fast_bfloat16(place)
    start = time.time()
    for step, i in enumerate(known.batches(batch, steps, seeded(seed))):
        rows, rest = vary(to_input(known.rows[i])), known.rest[i]
        label, weight = known.label[i], WEIGHT * known.weight[i]
        with torch.autocast(place.type, dtype=torch.bfloat16, enabled=lower):
            embedding, told = teacher(rows, rest)
            with torch.no_grad():
                before = rest + former.compare(former.read_strip(rows)).float()
        moved = (F.normalize(embedding, dim=-1) - F.normalize(before, dim=-1)) @ elsewhere
        truth = known.signed[:, i]
        opened = 1 - truth[..., 2] / SHUT  # a closed eye looks nowhere
        sure = torch.stack([opened, opened, torch.ones_like(opened)], -1)
        error = F.smooth_l1_loss(told / UNIT, truth / UNIT, beta=0.5, reduction="none")
        signed = (error * sure).sum() / sure.sum()
        kept = moved.square().sum() / len(i)
        loss = objective(teacher.logits(embedding), label, weight) + KEEP * kept + signed
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        follow(average, teacher, step)
        if (step + 1) % 500 == 0:
            pace = (time.time() - start) / (step + 1)
            print(
                f"{step + 1}/{steps} loss {loss.item():.4f} gaze {signed.item():.4f}, {pace:.2f} s a step", flush=True
            )
    tower.eyes.load_state_dict(average.finished().state_dict())
    result = evaluate(tower, heads, faces)
    print(" ".join(f"{name} {result[name]:.3f}" for name in TAUGHT if name in result), flush=True)
    save_finished(tower, heads, result, out)


def vary(rows: Tensor) -> Tensor:
    """Shift, light and grain strips at random, so that none is learned by heart."""
    down, across = (int(torch.randint(-SHIFT, SHIFT + 1, ())) for _ in range(2))
    rows = rows.roll((down, across), (2, 3)) * torch.exp(LIGHT * torch.randn(len(rows), 1, 1, 1))
    grain = NOISE * torch.rand(len(rows), 1, 1, 1) * torch.randn_like(rows)
    return (rows + grain).contiguous(memory_format=torch.channels_last)


def main() -> None:
    parser = read_options(train, __doc__, "out/faceclip/image_tower.pt", "out/faceclip/image_tower_eyes.pt")
    parser.add_argument("--further", action="store_true", help="go on from the eyes' network that is there")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    options = vars(parser.parse_args())
    with torch.device(options.pop("device")):
        train(**options)


if __name__ == "__main__":
    main()
