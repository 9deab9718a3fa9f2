"""What encoders see of an edit: the guide's similarity and gain, and a second encoder's word on it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from flowedit.checks import warn
from flowedit.edit import Edit
from flowedit.guide.encoder import Encoder
from flowedit.guide.gain import Gain, measure_gain
from flowedit.guide.targets import text_change
from flowedit.task.views import crop_side

LEAST_SHARE = 0.15  # of the guide's gain, that a judge must see too


def is_fooled(guide: Gain, judge: Gain) -> bool:
    """Say whether the guide gained what the judge does not see: next to nothing, or no more than by chance."""
    return guide.share > 0 and (judge.share < LEAST_SHARE * guide.share or judge.cosine < judge.chance)


@torch.no_grad()
def look_at(edit: Edit, encoder: Encoder) -> tuple[Tensor, Tensor]:
    """Return an edit's first face as an encoder is shown it, before and at the edit's strength: (1, 3, S, S) each."""
    crop, side = edit.edited.crops()[0], crop_side(encoder)
    return edit.edited.unedited(crop, side), edit.edited.crop_image(crop, side)


@torch.no_grad()
def measure_similarity(
    edit: Edit, encoder: Encoder, pictures: tuple[Tensor, Tensor] | None = None
) -> tuple[dict[str, list[float]], Gain]:
    """Let an encoder look at an edit's first face, before and at the edit's strength.

    Args:
        edit: has a photo.
        encoder: any.
        pictures: of `look_at`, where they are at hand.

    Returns:
        Cosines to each prompt, before and after; and the gain.
    """
    texts = encoder.text(list(edit.prompts))
    seen = encoder.image(torch.cat(pictures or look_at(edit, encoder)).to(texts.device))
    cosines = seen @ texts.T
    similarity = {text: [round(float(c), 4) for c in cosines[:, k]] for k, text in enumerate(edit.prompts)}
    return similarity, measure_gain(text_change(encoder, edit.prompts), *seen)


def judge_edit(edit: Edit, guide: Encoder, second: Encoder) -> dict[str, Any]:
    """Let a judge look at an edit's first face, and warn if it sees nothing of the guide's gain.

    Args:
        edit: has a photo.
        guide: the encoder that it was made with.
        second: the judge.

    Returns:
        What `explain` tells of a judge.
    """
    (_, gained), (similarity, judged) = (measure_similarity(edit, encoder) for encoder in (guide, second))
    fooled = is_fooled(gained, judged)
    if fooled:
        warn(
            f"the guide was fooled: {guide.name} gained {gained.share:.2f} of what the prompt asks for, and "
            f"{second.name} sees {judged.share:.2f} of it"
        )
    shares = {"gain": round(judged.share, 4), "guide_gain": round(gained.share, 4)}
    return {"name": second.name, "similarity": similarity, **shares, "fooled": fooled}
