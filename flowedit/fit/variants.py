"""Several different edits for one prompt, all as strong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from flowedit.checks import no_warnings, require, warn, whole_number
from flowedit.config import Config, Variants
from flowedit.edit import Edit
from flowedit.face.detect import refit
from flowedit.face.measures import SPREADS, measure
from flowedit.fit.accents import LEANING, WEIGHT, find_accents
from flowedit.fit.loop import optimize
from flowedit.fit.terms import flatten
from flowedit.guide.color_words import names_color
from flowedit.guide.encoder import Encoder
from flowedit.guide.targets import read_prompts
from flowedit.isolation import isolated
from flowedit.photo import photo as images
from flowedit.photo.photo import Source
from flowedit.provenance import StopReason
from flowedit.task.finish import bound_effect
from flowedit.task.judge import look_at, measure_similarity
from flowedit.task.prepare import check_config, resolve_encoder
from flowedit.task.reach import measure_reach
from flowedit.task.threads import steady
from flowedit.transform.bounds import Bound, choose_strength

MOST = 16  # each takes as long as an edit, and finds less that is new
ROUNDS = 5  # of a fixed point that halves its error or better in each
SEEN_PX = 256  # side of a crop in which landmarks are found
_EASED = 0.5  # what the next try pays for likeness, after one that does too little, in shares
ALIKE = 0.98  # cosine of two fields above which hardly anybody sees a difference
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

    The first is what `optimize` finds from nothing; each further one pays for being like those before it where the
    first works, less after each that does too little, and for what it does elsewhere (`terms.Likeness`), and starts
    from another seed. Once a jaw or a nose comes out like another all the same, it is left out, and the next ones lean
    to something near in the face, a slim jaw to a pointed chin (`accents`; it stands in `Edit.prompts`). In the end
    each is held back to what the guide sees in the weakest. Kept are those that do enough (`Config.variants`) of what
    the guide sees, and, where no prompt is about color, of what the first does most to the face's shape, with little of
    what the first leaves: by the landmarks as the edit moves them, and by those found in the edited picture.

    Args:
        image: as for `optimize`.
        prompt: as for `optimize`.
        n: how many, from 1 to 16.
        config: as for `optimize`; `face="all"` is not allowed.
        encoder: as for `optimize`.
        progress: as for `optimize`.

    Returns:
        n edits, or, with a warning, fewer where 2 n - 1 tries find no more that do enough. Where the first does not do
        enough itself, it is left out if others do, or else a warning says so. Where the prompt's words say all of it
        ("blonde hair", "closed eyes") it is the only one. Ctrl-C keeps those found so far, and the last one's
        `stopped` says so.

    Raises:
        TypeError, ValueError: as `optimize`, or n is out of its range.
    """
    config = check_config(config)
    n = whole_number("n", n, 1, MOST)
    require(config.face != "all", "variants must be of one face; got face='all'")
    prompts, photo = read_prompts(prompt), images.load(image)
    guide = resolve_encoder(encoder, config)
    shaped = not names_color(guide, prompts)
    found: list[Edit] = []
    shares: list[float] = []
    bounds: list[Bound] = []
    changes: list[Tensor | None] = []
    enough: list[bool] = []
    likeness = config.weights.likeness
    accents: list[str] = []
    leaning: str | None = None
    for k in range(2 * n - 1):
        weights = replace(config.weights, likeness=likeness * (LEANING if leaning else 1.0))
        settings = replace(config, seed=config.seed + k, weights=weights)
        asked = {leaning: WEIGHT} | prompts if leaning else prompts
        try:
            with no_warnings():
                edit = optimize(
                    photo, asked, config=settings, encoder=guide, start=None, unlike=found, progress=progress
                )
        except KeyboardInterrupt:
            if not found:
                raise
            found[-1] = replace(found[-1], stopped="interrupted")
            break
        if edit.stopped == StopReason.SAID and not found:
            warn(f"the words of {', '.join(map(repr, prompts))} say the whole edit, so there is one variant")
            _warn_of([edit])
            return [edit]
        change = shape_change(edit) if shaped else None
        if not found and change is not None:
            accents = find_accents(guide, prompts, change)
        bound = bound_effect(guide, prompts, edit.edited, 0.0)
        share = bound.measure(edit.strength)
        together = [*shares, share], [*changes, change]
        judged = are_enough(*together, config.variants)
        alike = is_alike(edit, found)
        if not found or edit.stopped == "interrupted" or (all(judged[1:]) and not (alike and accents)):
            found, bounds, (shares, changes), enough = [*found, edit], [*bounds, bound], together, judged
        elif not alike:  # how unlike an edit can be that does enough differs from face to face and prompt to prompt
            likeness *= _EASED
        leaning = accents.pop(0) if accents and (alike or leaning) else None
        if sum(enough) == n or edit.stopped == "interrupted" or shares[0] <= 0:  # nothing to be as strong as
            break
    if not enough[0] and len(found) > 1 and found[-1].stopped != "interrupted":
        found, bounds, shares = found[1:], bounds[1:], shares[1:]
    elif not enough[0]:
        warn("the edit itself, as measured on the face, does too little of what is asked, or too much else")
    _warn_of(found)
    if len(found) < n and found[-1].stopped != "interrupted":
        warn(f"{len(found)} of {n} variants: others would do too little of what is asked, or too much else")
    least = min(shares)
    return [
        edit if share <= least else _hold_back(edit, bound._replace(limit=least), guide, config.identity)
        for edit, share, bound in zip(found, shares, bounds, strict=True)
    ]


def _warn_of(edits: Sequence[Edit]) -> None:
    """Warn of what those edits warned of that were not left out, once."""
    for message in dict.fromkeys(message for edit in edits for message in edit.messages):
        warn(message)


def are_enough(shares: Sequence[float], changes: Sequence[Tensor | None], limits: Variants) -> list[bool]:
    """Return of each edit whether it may stand beside the others, once all are as strong as the weakest.

    Args:
        shares: of the prompt's change, that the guide sees in each.
        changes: of each as `shape_change`, every row of which must do; None where shapes do not matter.
        limits: of `Config`.
    """
    seen = [share >= limits.least_share * shares[0] for share in shares]
    if any(change is None for change in changes):
        return seen
    shapes = torch.stack([change for change in changes if change is not None]).clamp(-limits.far, limits.far)
    leading = shapes[0].abs() >= limits.leading * shapes[0].abs().amax(-1, keepdim=True)
    most = (shapes * shapes[0].sign()).where(leading, -limits.far).amax(-1)
    elsewhere = shapes.abs().where(~leading, 0.0).sum(-1) / (~leading).sum(-1).clamp_min(1)
    moved = most * min(shares) >= limits.least_effect * torch.tensor(shares)[:, None]
    alone = elsewhere <= limits.most_elsewhere * most
    return [enough and fit for enough, fit in zip(seen, (moved & alone).all(1).tolist(), strict=True)]


@torch.no_grad()
def shape_change(edit: Edit) -> Tensor | None:
    """Measure how an edit changes the shape of its face, at its own strength.

    Returns:
        (2, 12) the moves of `face.measures.measure`, in its SPREADS: by the movement alone, and by the landmarks that
        are found in the picture, where not all comes out as it is moved; None without a face.
    """
    crop = edit.edited.crops()[0]
    if crop.landmarks is None:
        return None
    before = crop.landmarks.float()
    coord, after = edit.edited.offsets(crop, SPREAD_PX).coord, before
    for _ in range(ROUNDS):  # a place p shows what was at p + coord(p)
        after = before - F.grid_sample(coord, after[None, None], align_corners=False)[0, :, 0].T
    pictures = (edit.edited.unedited(crop, SEEN_PX), edit.edited.crop_image(crop, SEEN_PX))
    seen = [refit(picture, crop.landmarks) for picture in pictures]
    return torch.stack([_moves(before, after), _moves(*seen)])


def _moves(before: Tensor, after: Tensor) -> Tensor:
    """Return how the measures of landmarks (68, 2) differ: (12,), in SPREADS."""
    measures = measure(after)
    return torch.stack([(measures[name] - value) / SPREADS[name] for name, value in measure(before).items()])


def spread(edits: list[Edit]) -> float:
    """Say how different edits of one face are: the fields' mean distance from the mean field, over its size.

    0 is the same; n fields as large that have nothing in common give sqrt(n - 1).
    """
    fields = _fields(edits)
    mean = fields.mean(0)
    return float((fields - mean).norm(dim=1).mean() / mean.norm().clamp_min(1e-9))


def is_alike(edit: Edit, others: Sequence[Edit]) -> bool:
    """Return whether, as strong, an edit would be all but the same as one of the others of the face."""
    field, *fields = _fields([edit, *others])
    return any(float(F.cosine_similarity(field, each, dim=0)) > ALIKE for each in fields)


def _fields(edits: Sequence[Edit]) -> Tensor:
    """Return the offsets of each in shares of what is allowed: (n, values)."""
    crop = edits[0].edited.crops()[0]
    bounds = edits[0].config or Config()
    offsets = [edit.edited.offsets(crop, SPREAD_PX) for edit in edits]
    return torch.stack([flatten(each, bounds.max_shift, bounds.max_tint) for each in offsets])


def _hold_back(edit: Edit, bound: Bound, guide: Encoder, identity: float | None) -> Edit:
    chosen = choose_strength(edit.edited, identity, [bound])
    if chosen.strength >= edit.strength:  # another bound holds it back already
        return edit
    edit = replace(edit, strength=chosen.strength, strength_reason=chosen.reason)
    distance = None if chosen.distance is None else round(chosen.distance, 4)
    pictures = look_at(edit, guide)
    similarity, gain = measure_similarity(edit, guide, pictures)
    reached = str(measure_reach(edit.edited, gain.share, pictures))
    facts = replace(
        edit.facts, identity_distance=distance, similarity=similarity, gain=round(gain.share, 4), reached=reached
    )
    return replace(edit, facts=facts)
