"""Several different edits for one prompt, all as strong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from flowedit.checks import require
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.fit.loop import optimize
from flowedit.fit.terms import flatten
from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import check_prompts
from flowedit.isolation import isolated
from flowedit.photo import photo as images
from flowedit.photo.photo import Source
from flowedit.task.finish import bound_effect
from flowedit.task.judge import measure_similarity
from flowedit.task.prepare import resolve_encoder
from flowedit.task.threads import steady
from flowedit.transform.bounds import Bound, choose_strength

LEAST_SHARE = 0.5  # of what the first gains: a variant that does less is tried anew
MOST = 16  # each takes as long as an edit, and finds less that is new
SPREAD_PX = 64  # points along a side of the crop that fields are compared on


@isolated()
@steady
def variants(
    image: Source,
    prompt: str | Mapping[str, float],
    n: int = 4,
    *,
    config: Config | None = None,
    encoder: Encoder | str | None = None,
    progress: bool | None = None,
) -> list[Edit]:
    """Find different edits of a face for one prompt, and bring them to the same effect.

    The first is what `optimize` finds; each further one pays for being like those before it (`steps.alike_term`), and
    starts from another seed. In the end each is held back to what the guide sees in the weakest.

    Args:
        image: as for `optimize`.
        prompt: as for `optimize`.
        n: how many, from 1 to 16.
        config: as for `optimize`; `face="all"` is not allowed.
        encoder: as for `optimize`.
        progress: as for `optimize`.

    Returns:
        n edits, or fewer where no more can be found that do at least half as much as the first. Ctrl-C keeps those
        found so far, and the last one's `stopped` says so.

    Raises:
        TypeError, ValueError: as `optimize`, or n is out of its range.
    """
    config = config or Config()
    require(isinstance(n, int) and 1 <= n <= MOST, f"n must be a whole number from 1 to {MOST}; got {n!r}")
    require(config.face != "all", "variants must be of one face; got face='all'")
    prompts, photo = check_prompts(prompt), images.load(image)
    guide = resolve_encoder(encoder, config)
    found: list[Edit] = []
    shares: list[float] = []
    bounds: list[Bound] = []
    for k in range(2 * n - 1):
        settings = replace(config, seed=config.seed + k)
        try:
            edit = optimize(photo, prompts, config=settings, encoder=guide, unlike=found, progress=progress)
        except KeyboardInterrupt:
            if not found:
                raise
            found[-1] = replace(found[-1], stopped="interrupted")
            break
        bound = bound_effect(guide, prompts, edit.edited, 0.0)
        share = bound.measure(edit.strength)
        if not found or share >= LEAST_SHARE * shares[0] or edit.stopped == "interrupted":
            found, shares, bounds = [*found, edit], [*shares, share], [*bounds, bound]
        if len(found) == n or edit.stopped == "interrupted" or shares[0] <= 0:  # nothing to be as strong as
            break
    least = min(shares)
    return [
        edit if share <= least else _hold_back(edit, bound._replace(limit=least), guide, config.identity)
        for edit, share, bound in zip(found, shares, bounds, strict=True)
    ]


def spread(edits: list[Edit]) -> float:
    """Say how different edits of one face are: the fields' mean distance from the mean field, over its size.

    0 is the same; n fields as large that have nothing in common give sqrt(n - 1).
    """
    crop = edits[0].edited.crops()[0]
    bounds = edits[0].config or Config()
    offsets = [edit.edited.offsets(crop, SPREAD_PX) for edit in edits]
    fields = torch.stack([flatten(each, bounds.max_shift, bounds.max_tint) for each in offsets])
    mean = fields.mean(0)
    return float((fields - mean).norm(dim=1).mean() / mean.norm().clamp_min(1e-9))


def _hold_back(edit: Edit, bound: Bound, guide: Encoder, identity: float | None) -> Edit:
    chosen = choose_strength(edit.edited, identity, [bound])
    if chosen.strength >= edit.strength:  # another bound holds it back already
        return edit
    edit = replace(edit, strength=chosen.strength, strength_reason=chosen.reason)
    distance = None if chosen.distance is None else round(chosen.distance, 4)
    similarity, gain = measure_similarity(edit, guide)
    facts = replace(edit.facts, identity_distance=distance, similarity=similarity, gain=round(gain.share, 4))
    return replace(edit, facts=facts)
