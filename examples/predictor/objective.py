"""The loop's objective for a batch of faces, each with a prompt and a view of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from examples.faceclip import ranks
from flowedit.config import Augment, Config
from flowedit.face.light import is_gray, measure_light, without_color
from flowedit.face.parts import mix_paints
from flowedit.field.offsets import pixel_centers
from flowedit.field.warp import pull_back, window
from flowedit.fit.smile import RealSmile
from flowedit.fit.terms import evenness
from flowedit.guide.encoder import Encoder
from flowedit.guide.smile_words import smiling_share
from flowedit.kernels import REGULARIZERS, Interpolation, fused_step, render_views, upsample
from flowedit.predict.inputs import CROP_PX, target_change
from flowedit.predict.network import COLOR_SIZE, COORD_SIZE, PARTS, Prediction
from flowedit.task.views import Views

from .faces import GRID

CONFIG = Config()
SIZES = (2 * COORD_SIZE**2, 3 * COLOR_SIZE**2, 3 * PARTS)  # numbers of a field: movement, tint, amounts of paint
WINDOW = F.interpolate(window(pixel_centers(CROP_PX)).reshape(1, 1, CROP_PX, CROP_PX), (GRID, GRID), mode="area")


@dataclass(frozen=True, eq=False)
class Batch:
    """Faces, what is asked of each, and what stays the same whatever field is tried.

    Attributes:
        images: (B, 3, 128, 128).
        asked: (B, D) changes of the embedding, of prompts.
        changes: (B, D) what the network is told; see `target_change`.
        embeddings: (B, D) of the unedited views.
        targets: (B, D) unit vectors.
        weights: (B, 6) of the regularizers.
        masks: (B, 5, GRID, GRID) of the faces' parts, in [0, 1].
        prices: (B, 2, GRID, GRID) of movement and tint.
        paints: (B, 5, 3, 3) of the parts, in the light there.
        lights: of each face; see `measure_light`.
        hues: (B,) bool, whether a tint may change hues.
        colored: (B,) bool, whether parts take paint.
        smiling: (B,) how far each is asked to smile, in [0, 1].
        smile: what a smile is on each face.
        even: where the faces are even, along x and along y; see `evenness`.
        views: one of each face.
    """

    images: Tensor
    asked: Tensor
    changes: Tensor
    embeddings: Tensor
    targets: Tensor
    weights: Tensor
    masks: Tensor
    prices: Tensor
    paints: Tensor
    lights: list[float]
    hues: Tensor
    colored: Tensor
    smiling: Tensor
    smile: RealSmile
    even: tuple[Tensor, Tensor]
    views: Views


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a batch of fields gives.

    Attributes:
        total: (B,) the loop's objective.
        text: (B,) its text term.
        costs: (B, 6) its regularizers, before weights.
        embeddings: (B, D) of the edited views.
        fields: (B, N) as of `bound_fields`.
    """

    total: Tensor
    text: Tensor
    costs: Tensor
    embeddings: Tensor
    fields: Tensor


@torch.no_grad()
def make_batch(
    encoder: Encoder, faces: Sequence[Tensor], asked: Tensor, colored: Tensor, generator: torch.Generator
) -> Batch:
    """Compute all of a batch that no field changes; every second view is the whole crop, as it is.

    Of several processes each gets its share.

    Args:
        encoder: the guide.
        faces: images, masks, prices and landmarks, see `Faces.draw`.
        asked: (B, D) changes.
        colored: (B,) which are about color.
        generator: of the views.
    """
    count = len(faces[0])
    views = Views.draw(Augment(pool=2 * ((count + 1) // 2)), generator, faces[0].device)
    theta, gain = views.theta[:count].clone(), views.gain[:count].clone()
    theta[::2], gain[::2] = torch.eye(2, 3), 1.0
    images, masks, prices, landmarks, asked, colored, theta, gain = map(
        ranks.share, (*faces, asked, colored, theta, gain)
    )
    count = len(images)
    still = images.new_zeros(1, 2, 1, 1), images.new_zeros(1, 3, 1, 1)
    unedited = [
        render_views(images[i : i + 1], *still, theta[i : i + 1], gain[i : i + 1], CROP_PX) for i in range(count)
    ]
    embeddings = encoder.image(torch.cat(unedited))
    targets = F.normalize(embeddings + asked, dim=1)
    lights, grays, paints = [], [], []
    for image, mask in zip(images.split(1), masks, strict=True):
        lights.append(measure_light(image))
        grays.append(is_gray(image))
        mixed = mix_paints(image, mask)
        paints.append(without_color(mixed) if grays[-1] else mixed)
    weights = torch.tensor([float(getattr(CONFIG.weights, name)) for name in REGULARIZERS]).repeat(count, 1)
    small = F.interpolate(images, (GRID, GRID), mode="area")
    on_grid = F.interpolate(masks.float() / 255, (GRID, GRID), mode="bilinear")
    return Batch(
        images, asked, target_change(embeddings, targets), embeddings, targets, weights, on_grid, prices,
        torch.stack(paints), lights, colored & ~torch.tensor(grays), colored,
        smiling_share(encoder, asked), RealSmile(landmarks), evenness(small), Views(theta, gain),
    )  # fmt: skip


def bound_fields(batch: Batch, prediction: Prediction) -> Tensor:
    """Return fields (B, N): movement and tint in shares of their largest, as the light allows, and amounts of paint."""
    shifts = torch.tanh(prediction.coord / (2 * CONFIG.max_shift))
    color, hues = prediction.color, batch.hues.reshape(-1, 1, 1, 1)
    tints = torch.tanh(torch.where(hues, color, color.mean(1, keepdim=True)) / CONFIG.max_tint)
    amounts = prediction.amounts * batch.colored.reshape(-1, 1, 1)
    return torch.cat([each.flatten(1) for each in (shifts, tints, amounts)], dim=1)


def evaluate(encoder: Encoder, batch: Batch, prediction: Prediction) -> Outcome:
    """Compute the objective of every face's field."""
    config = CONFIG
    fields = bound_fields(batch, prediction)
    parameters = prediction.coord, prediction.color, prediction.amounts
    shares = [x.reshape_as(y) for x, y in zip(fields.split(SIZES, 1), parameters, strict=True)]
    shift, tint = (upsample(x, GRID, GRID, Interpolation.B_SPLINE) for x in shares[:2])
    amounts = shares[2]
    shift = 2 * config.max_shift * WINDOW * shift
    tint = config.max_tint * torch.tensor(batch.lights).reshape(-1, 1, 1, 1) * tint
    views, costs = [], []
    for i in range(len(batch.images)):
        one = slice(i, i + 1)
        masks = pull_back(batch.masks[one], shift[one].detach())[0]  # as in `flowedit.fit.objective`
        step = fused_step(
            batch.images[one], shift[one], tint[one], amounts[i], weight=WINDOW, paints=batch.paints[i],
            masks=masks, price=batch.prices[i], even_x=batch.even[0][one], even_y=batch.even[1][one],
            theta=batch.views.theta[one], gain=batch.views.gain[one], limit=config.max_tint * batch.lights[i],
            size=CROP_PX,
        )  # fmt: skip
        views.append(step.views)
        costs.append(step.costs)
    embeddings, cost = encoder.image(torch.cat(views)), torch.stack(costs)
    text = 1 - (embeddings * batch.targets).sum(1)
    smile = config.weights.smile * batch.smiling * batch.smile.unlike(shift)
    return Outcome(text + (batch.weights * cost).sum(1) + smile, text, cost, embeddings, fields)
