"""Teaches a trained predictor what noise does: several edits for one prompt, each as good as the one without noise.

Only the weights behind the noise are learned, so that the edit without noise stays what it is, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from examples.faceclip import ranks
from flowedit.guide.encoder import Encoder
from flowedit.predict.network import Predictor
from flowedit.predict.variety import flatten_face, set_apart

from .objective import Batch, evaluate

ALIKE = 0.02  # weight of two draws' likeness beside the objective
UNEVEN = 2.0  # of how far their text terms are from that of the edit without noise
RATE, WARM_UP, LOG_EVERY = 2e-3, 50, 50


def noise_weights(network: Predictor) -> list[tuple[nn.Parameter, slice]]:
    """Return the layers' weights that the noise goes through, and which of their columns are its own."""
    begin = network.settings["embed_dim"]
    columns = slice(begin, begin + network.settings["noise_dim"])
    first = network.ask[0]
    assert isinstance(first, nn.Linear)
    return [(first.weight, columns), (network.common.weight, columns)]


def forget_noise(network: Predictor, generator: torch.Generator) -> None:
    """Let noise say something else to the prompt's vector than before, and nothing to the prompt's own field."""
    (ask, columns), (common, _) = noise_weights(network)
    with torch.no_grad():
        ask[:, columns] = torch.randn(ask[:, columns].shape, generator=generator) * math.sqrt(2 / ask.shape[1])
        common[:, columns] = 0.0


def likeness(differences: Tensor) -> Tensor:
    """Return how far the differences of pairs (2 n, N), one after the other, lie along one line: squares of cosines."""
    return F.cosine_similarity(differences[::2], differences[1::2], dim=1, eps=1e-4).square().mean()


class Pairs(Protocol):
    """What draws are learned from; see `Source.draw_pairs`."""

    encoder: Encoder
    generator: torch.Generator

    def draw_pairs(self) -> tuple[Batch, Tensor]: ...


def learn_draws(
    network: Predictor, source: Pairs, further: float, steps: int, tell: Callable[[dict[str, float]], None]
) -> None:
    """Learn fields that lie as far from the edit without noise as it is large, and serve the objective as well.

    Args:
        network: changed in place, in the columns of `noise_weights` alone.
        source: of pairs.
        further: times the change that the network is told; see `Trained`.
        steps: of AdamW.
        tell: is given the numbers of every 50 steps.
    """
    if steps == 0:
        return
    network.eval()
    forget_noise(network, source.generator)
    network.requires_grad_(False)
    weights = [learned_alone(weight, columns) for weight, columns in noise_weights(network)]
    optimizer = torch.optim.AdamW(weights, RATE, weight_decay=0.0)
    sums: dict[str, float] = {}
    for step in range(steps):
        batch, noise = source.draw_pairs()
        changes = further * batch.changes
        with torch.no_grad():
            best = network(batch.images, changes)
            before = evaluate(source.encoder, batch, best)
        drawn = set_apart(best, network(batch.images, changes, noise), batch.colored)
        outcome = evaluate(source.encoder, batch, drawn)
        apart = flatten_face(drawn, batch.colored) - flatten_face(best, batch.colored)
        terms = {
            "objective": outcome.total.mean(),
            "alike": ALIKE * likeness(apart),
            "uneven": UNEVEN * (outcome.text - before.text).abs().mean(),
        }
        optimizer.zero_grad()
        (torch.stack(list(terms.values())).sum() / ranks.count()).backward()
        ranks.add_gradients(weights)
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (step + 1) / WARM_UP) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        optimizer.step()
        terms |= {"without noise": before.total.mean(), "text": outcome.text.mean(), "its text": before.text.mean()}
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach()) / LOG_EVERY
        if (step + 1) % LOG_EVERY == 0:
            tell({"draws": step + 1, **sums})
            sums = {}
    network.requires_grad_(True)


def learned_alone(weight: nn.Parameter, columns: slice) -> nn.Parameter:
    """Let some columns of a weight be learned, and no others."""
    mask = torch.zeros_like(weight)
    mask[:, columns] = 1
    weight.requires_grad_(True).register_hook(mask.mul)
    return weight
