"""Trains the one-pass predictor on the optimizer's own objective, if asked after a short imitation; then its draws."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import kornia.augmentation as K
import torch
from torch import Tensor, nn

from examples.faceclip import ranks
from flowedit.checks import require
from flowedit.face.light import is_gray
from flowedit.fit.adam_uniform import AdamUniform
from flowedit.guide.encoder import Encoder, load_encoder
from flowedit.predict.network import COLOR_SIZE, COORD_SIZE, NOISE_DIM, PARTS, Prediction, Predictor
from flowedit.predict.weights import Trained

from . import losses
from .draws import learn_draws
from .faces import Faces
from .objective import CONFIG, SIZES, Batch, Outcome, bound_fields, evaluate, make_batch
from .prompts import Prompts


@dataclass(frozen=True)
class Training:
    """How a predictor is trained; each number is a flag.

    Attributes:
        minutes: when it ends at the latest; the rate falls to its end by steps or minutes, whichever is first.
        steps: of the objective; 0 leaves a network that is begun with as it is, but for its draws.
        taught: batches that the optimizer finds fields for, to be imitated first; the shipped network has had none.
        teacher_steps: steps of the optimizer for each.
        lessons: steps of imitation.
        draws: steps of learning what noise does, afterwards; see `learn_draws`.
        batch: faces in a step; even.
        rate: of AdamW, at most.
        distillation, triplets: weights of the losses beside the objective; 0 leaves one out.
        mixing: see `Predictor`.
        seed: of everything.
    """

    minutes: float = 60.0
    steps: int = 2900
    taught: int = 0
    teacher_steps: int = 50
    lessons: int = 250
    draws: int = 400
    batch: int = 16
    rate: float = 2e-3
    distillation: float = 0.01
    triplets: float = 0.0
    mixing: str = "multi_axis"
    seed: int = 0


AVERAGED = 0.998  # share of the averaged weights that a step keeps: these are shipped
WARM_UP = 200  # steps
SAVE_EVERY, LOG_EVERY = 250, 50  # steps
FURTHER = 0.8, 1.0, 1.2, 1.4, 1.6, 2.0  # times the change, that are tried
CALIBRATED = 8  # batches to choose from them by
MOST_LOST = 0.02  # share of the objective
MATCHED, MATCHED_STEPS = 6, 30  # batches to scale the amounts of paint by, and steps of the optimizer for each
MOST_SCALED = 3.0


def light_and_noise() -> nn.Module:
    """What photos differ by that no edit should depend on: light down to a sixth, contrast, color, blur, noise."""
    return nn.Sequential(
        K.ColorJitter(brightness=(0.85, 1.1), contrast=(0.85, 1.15), saturation=(0.6, 1.2), hue=(-0.02, 0.02), p=0.5),
        K.RandomGamma(gamma=(0.8, 1.3), p=0.3),
        K.ColorJitter(brightness=(0.15, 1.0), p=0.25),
        K.RandomGaussianBlur((5, 5), (0.4, 1.2), p=0.2),
        K.RandomGaussianNoise(std=0.02, p=0.2),
    )


class Source:
    """Makes batches: faces with a prompt each, with one for two faces where triplets are wanted, or pairs for draws.

    Args:
        faces: drawn from.
        prompts: drawn from.
        encoder: the guide.
        training: its seed, batch and triplets count.
    """

    def __init__(self, faces: Faces, prompts: Prompts, encoder: Encoder, training: Training) -> None:
        self.faces, self.prompts, self.encoder, self.training = faces, prompts, encoder, training
        self.generator = torch.Generator().manual_seed(training.seed)
        self.augmentation = light_and_noise()

    def draw(self) -> Batch:
        """Return a batch; of several processes each gets its share."""
        rows = torch.arange(self.training.batch)
        return self._make(rows, rows // 2 if self.training.triplets else rows)

    def draw_pairs(self) -> tuple[Batch, Tensor]:
        """Return a batch in which every two rows have one face and prompt, and a noise (B, noise_dim) for each row."""
        rows = torch.arange(self.training.batch)
        noise = torch.randn(len(rows), NOISE_DIM, generator=self.generator)
        return self._make(rows // 2, rows // 2), ranks.share(noise)

    def _make(self, face: Tensor, prompt: Tensor) -> Batch:
        """Make a batch of as many faces and prompts as are numbered, one of each in a row."""
        faces = self.faces.draw(int(face.max()) + 1, self.generator)
        asked, colored = self.prompts.draw(int(prompt.max()) + 1, self.generator)
        _, masks, prices, landmarks = (x[face] for x in faces)
        augmented = self.augmentation(faces[0]).clamp(0, 1)
        gray = torch.tensor([is_gray(image) for image in faces[0].split(1)])
        augmented[gray] = augmented[gray].mean(1, keepdim=True).expand_as(augmented[gray])  # noise has colors
        shown = augmented[face], masks, prices, landmarks
        return make_batch(self.encoder, shown, asked[prompt], colored[prompt], self.generator)

    def state(self) -> dict[str, Tensor]:
        """Return what is needed to go on with the same numbers."""
        return {"generator": self.generator.get_state(), "torch": torch.get_rng_state()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Go on from a `state`."""
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])


def find_fields(encoder: Encoder, batch: Batch, steps: int) -> Tensor:
    """Optimize every face's field from zero, as the loop does, and return them (B, N) as of `Outcome.fields`."""
    count, rate, config = len(batch.images), CONFIG.optimizer.lr, CONFIG.optimizer
    coords, colors, amounts = (
        [torch.zeros(*shape, requires_grad=True) for _ in range(count)]
        for shape in ((2, COORD_SIZE, COORD_SIZE), (3, COLOR_SIZE, COLOR_SIZE), (PARTS, 3))
    )
    groups = [{"params": [each], "lr": rate} for each in coords]
    groups += [{"params": [each], "lr": config.color_rate * rate} for each in colors]
    groups += [{"params": [each], "lr": config.part_rate * rate} for each in amounts]
    optimizer = AdamUniform(groups, rate)
    rates = [group["lr"] for group in groups]
    for step in range(steps):
        for group, each in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = each * min(1.0, (step + 1) / config.warm_up, 1 + config.cool_down - step / steps)
        fields = Prediction(torch.stack(coords), torch.stack(colors), torch.stack(amounts))
        for leaf in (*coords, *colors, *amounts):
            leaf.grad = None
        evaluate(encoder, batch, fields).total.sum().backward()
        optimizer.step()
    with torch.no_grad():
        return evaluate(encoder, batch, fields).fields


def gather(batch: Batch, outcome: Outcome) -> tuple[Batch, Outcome]:
    """Gather of all processes' rows what losses are computed from."""
    names = "total", "text", "embeddings", "fields"
    rows = {name: ranks.gather(getattr(outcome, name)) for name in names}
    asked, embeddings, targets = map(ranks.gather, (batch.asked, batch.embeddings, batch.targets))
    return replace(batch, asked=asked, embeddings=embeddings, targets=targets), replace(outcome, **rows)


def objective(batch: Batch, outcome: Outcome, mean: Tensor | None, training: Training) -> dict[str, Tensor]:
    """Compute the losses of a batch by name, weighted."""
    terms = {"objective": outcome.total.mean()}
    if training.distillation:
        moved = outcome.embeddings - batch.embeddings
        terms["distillation"] = training.distillation * losses.distillation(moved, batch.asked)
    if training.triplets and mean is not None:
        fields = outcome.fields
        right = fields.detach().reshape(-1, 2, fields.shape[1]).flip(1).reshape_as(fields)  # the prompt's other face
        wrong = fields.roll(2, 0)
        terms["triplets"] = training.triplets * losses.diverse_triplets(fields, right, wrong, mean)
    return terms


class Trainer:
    """A predictor in training, which can be stopped and gone on with.

    Args:
        source: of batches.
        folder: for the checkpoint and the log.
        training: the numbers.
        begin: a network to begin with, whose settings count; None is a new one.
    """

    def __init__(self, source: Source, folder: Path, training: Training, begin: Predictor | None = None) -> None:
        torch.manual_seed(training.seed)
        self.source, self.training, self.folder = source, training, folder
        self.network = Predictor(mixing=training.mixing) if begin is None else Predictor(**begin.settings)
        if begin is not None:
            self.network.load_state_dict(begin.state_dict())
        self.averaged = copy.deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), training.rate, weight_decay=1e-3, betas=(0.9, 0.98)
        )
        self.step, self.seconds = 0, 0.0
        self.mean: Tensor | None = None
        self.checkpoint, self.log = folder / "predictor.ckpt", folder / "log.jsonl"

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint.is_file():  # which all processes read
            state = torch.load(self.checkpoint, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.averaged.load_state_dict(state["averaged"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.source.load(state["source"])
            self.step, self.seconds, self.mean = state["step"], state["seconds"], state["mean"]
            if ranks.is_first():
                print(f"goes on from step {self.step}")

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        if not ranks.is_first():
            return
        state = {"network": self.network.state_dict(), "averaged": self.averaged.state_dict(),
                 "optimizer": self.optimizer.state_dict(), "source": self.source.state(), "step": self.step,
                 "seconds": self.seconds, "mean": self.mean}  # fmt: skip
        part = self.checkpoint.with_suffix(".part")
        torch.save(state, part)
        part.replace(self.checkpoint)

    def lessons(self) -> Iterator[tuple[Batch, Tensor]]:
        """Yield batches with the fields that the optimizer finds for them, found once, again and again."""
        training, drawn = self.training, self.source
        source = Source(drawn.faces, drawn.prompts, drawn.encoder, training)
        taught = []
        for _ in range(training.taught):
            batch = source.draw()
            taught.append((batch, ranks.gather(find_fields(source.encoder, batch, training.teacher_steps))))
        while True:
            yield from taught

    def move(self, terms: dict[str, Tensor], share: float) -> None:
        """Make a step down the sum of the losses, at a share of the rate."""
        self.optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        ranks.add_gradients(self.network.parameters())
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.training.rate * share
        self.optimizer.step()
        with torch.no_grad():
            keep = min(AVERAGED, (self.step + 1) / (self.step + 10))
            for slow, fast in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                slow.lerp_(fast, 1 - keep)

    def warm_up(self) -> None:
        """Imitate the optimizer."""
        training = self.training
        if not training.taught or not training.lessons:
            return
        begun = time.perf_counter()
        for number, (batch, found) in zip(range(training.lessons), self.lessons(), strict=False):
            prediction = self.network(batch.images, batch.changes)
            fields = ranks.gather(bound_fields(batch, prediction))
            self.mean = losses.running_mean(self.mean, found)
            parts = zip(fields.split(SIZES, dim=1), found.split(SIZES, dim=1), strict=True)
            terms = {"imitation": torch.stack([losses.imitation(*part) for part in parts]).mean()}
            if training.triplets:
                wrong = fields.roll(2, 0)
                terms["triplets"] = losses.diverse_triplets(fields, found, wrong, self.mean)
            self.move(terms, min(1.0, (number + 1) / 50))
            if number % LOG_EVERY == 0:
                self.tell({"lesson": number, **{name: float(value.detach()) for name, value in terms.items()}})
        self.seconds += time.perf_counter() - begun

    def run(self) -> None:
        """Train to the end."""
        training, encoder = self.training, self.source.encoder
        if self.step == 0 and self.seconds == 0:
            self.warm_up()
        sums: dict[str, float] = {}
        begun = time.perf_counter()
        while (done := self.progress(time.perf_counter() - begun)) < 1:
            batch = self.source.draw()
            outcome = evaluate(encoder, batch, self.network(batch.images, batch.changes))
            batch, outcome = gather(batch, outcome)
            terms = objective(batch, outcome, self.mean, training)
            self.mean = losses.running_mean(self.mean, outcome.fields)
            share = min(1.0, (self.step + 1) / WARM_UP) * (0.03 + 0.97 * (0.5 + 0.5 * math.cos(math.pi * done)))
            self.move(terms, share)
            untouched = 1 - (batch.embeddings * batch.targets).sum(1).mean()
            terms |= {"text": outcome.text.mean(), "text before": untouched}
            numbers = {name: float(value.detach()) for name, value in terms.items()}
            for name, value in numbers.items():
                sums[name] = sums.get(name, 0.0) + value / LOG_EVERY
            self.step += 1
            if self.step % LOG_EVERY == 0:
                self.tell({"step": self.step, "minutes": (self.seconds + time.perf_counter() - begun) / 60, **sums})
                sums = {}
            if self.step % SAVE_EVERY == 0:
                self.seconds, begun = self.seconds + time.perf_counter() - begun, time.perf_counter()
                self.save()
        self.seconds += time.perf_counter() - begun
        self.save()

    def progress(self, seconds: float) -> float:
        """Return the share of the training that is done."""
        training = self.training
        return ranks.agree(max(self.step / training.steps, (self.seconds + seconds) / 60 / training.minutes))

    def tell(self, numbers: dict[str, Any]) -> None:
        """Write a line to the log."""
        if not ranks.is_first():
            return
        line = json.dumps({name: round(value, 4) for name, value in numbers.items()})
        print(line, flush=True)
        with open(self.log, "a") as log:
            log.write(line + "\n")


@torch.no_grad()
def calibrate(network: Predictor, source: Source) -> float:
    """Return how many times their changes a network is to be told of prompts: it falls short of what it is told.

    The most that costs next to nothing of the objective.
    """
    network.eval()
    sums = dict.fromkeys(FURTHER, 0.0)
    for _ in range(CALIBRATED):
        batch = source.draw()
        for further in FURTHER:
            prediction = network(batch.images, further * batch.changes)
            sums[further] += float(ranks.total(evaluate(source.encoder, batch, prediction).total.sum()))
    if ranks.is_first():
        print("objective, told so many times the change:", {k: round(v / sums[1.0], 4) for k, v in sums.items()})
    return max(further for further in FURTHER if sums[further] <= (1 + MOST_LOST) * min(sums.values()))


def match_amounts(network: Predictor, source: Source, further: float) -> list[float]:
    """Scale a network's amounts of paint to what the optimizer finds, part by part; return the scales.

    A mean over faces falls short where too little paint costs more than it gains: of rouge by three quarters.

    Args:
        network: changed in place.
        source: of faces and prompts; those about color count.
        further: of `calibrate`.
    """
    network.eval()
    colored = Source(source.faces, source.prompts.about_color(), source.encoder, source.training)
    found, predicted = [], []
    for _ in range(MATCHED):
        batch = colored.draw()
        rows = ranks.gather(batch.colored)
        with torch.no_grad():
            amounts = network(batch.images, further * batch.changes).amounts
        predicted.append(ranks.gather(amounts)[rows])
        amounts = ranks.gather(find_fields(source.encoder, batch, MATCHED_STEPS))[:, -3 * PARTS :]
        found.append(amounts.reshape(-1, PARTS, 3)[rows])
    own, wanted = torch.cat(predicted), torch.cat(found)
    scales = ((own * wanted).sum((0, 2)) / own.square().sum((0, 2)).clamp_min(1e-8)).clamp(1.0, MOST_SCALED)
    with torch.no_grad():
        network.amounts.weight.mul_(scales.repeat_interleave(3)[:, None])
        network.amounts.bias.mul_(scales.repeat_interleave(3))
    if ranks.is_first():
        print("amounts of paint, times:", [round(scale, 2) for scale in scales.tolist()])
    return scales.tolist()


def train(
    faces: Path, folder: Path, training: Training, guide: str | None = None, begin: Trained | None = None
) -> tuple[Predictor, Encoder, float]:
    """Train, or go on with, a predictor for a guide; return its averaged weights, the guide, and its `calibrate`.

    The weights' amounts of paint are those of `match_amounts`.

    Args:
        faces: what `faces.prepare` wrote.
        folder: for the checkpoint and the log; one that is there is gone on with.
        training: the numbers.
        guide: name of an encoder; None is the shipped one.
        begin: what to begin with, trained under a guide whose space is nearly this one's.

    Raises:
        ValueError: there are no steps, and nothing to begin with.
    """
    require(training.steps > 0 or begin is not None, "--steps must be at least 1 without --begin; got 0")
    if ranks.is_first():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "training.json").write_text(json.dumps(asdict(training), indent=1) + "\n")
    encoder = load_encoder(guide)
    torch.manual_seed(training.seed)
    source = Source(Faces(faces), Prompts(encoder), encoder, training)
    trainer = Trainer(source, folder, training, None if begin is None else begin.network)
    further = 1.0 if begin is None else begin.further
    if training.steps:
        trainer.resume()
        trainer.run()
        further = calibrate(trainer.averaged, source)
        match_amounts(trainer.averaged, source, further)
    learn_draws(trainer.averaged, source, further, training.draws, trainer.tell)
    return trainer.averaged, encoder, further
