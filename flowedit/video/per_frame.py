"""An edit predicted anew in every frame, its fields smoothed over time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from flowedit.checks import warn
from flowedit.config import Config
from flowedit.edit import Edit
from flowedit.photo.photo import Photo
from flowedit.predict.fields import find_fields
from flowedit.predict.one_pass import ready
from flowedit.predict.weights import resolve_predictor
from flowedit.task.prepare import prepare, prepare_face
from flowedit.task.shading import shade
from flowedit.task.views import crop_side
from flowedit.transform.render import EditedPhoto
from flowedit.transform.retouching import is_retouched
from flowedit.video.carry import COARSE, NODES, NOT_CARRIED, Bent
from flowedit.video.one_euro import OneEuro
from flowedit.video.track import TrackedFace

SMOOTH_HZ = 1.0  # cutoff of the fields' filter


class PredictedEdit:
    """A person's edit by `flowedit.predict`'s network, which sees every frame.

    No strength is searched for: an edit's own is taken, and 1 for a prompt.

    Args:
        wish: an edit, whose prompts, config and strength are used, or a prompt.
        frame: (H, W, 3) the first frame.
        face: there.

    Raises:
        TypeError, ValueError, RuntimeError: as `flowedit.predict`.
    """

    def __init__(self, wish: Edit | str, frame: np.ndarray, face: TrackedFace) -> None:
        prompts, config, self.strength = (wish, None, 1.0) if isinstance(wish, str) else _parts(wish)
        network = ready(None, config)
        self.task = prepare(Photo(frame), prompts, config, crops=[face.crop])
        if any(face.eyes or is_retouched([face.start]) for face in self.task.faces):
            warn(NOT_CARRIED)
        self.trained = resolve_predictor(network, self.task.guide)
        self.smooth = OneEuro(SMOOTH_HZ, 0.0)

    def follow(self, frame: np.ndarray, face: TrackedFace, time: float) -> Bent:
        """Predict what is done in a frame, and smooth it in the face's own coordinates."""
        photo, task = Photo(frame), self.task
        side = crop_side(task.guide)
        start = prepare_face(photo, face.crop, None, side, task.config, task.generator)
        task = replace(task, photo=photo, faces=(start,))
        ((transforms, _),) = find_fields(self.trained, [(task, None)])
        lit = [shade(each, start.pixels, task.expressions) for each in transforms]
        offsets = EditedPhoto(photo, lit, self.strength).offsets(face.crop, NODES)
        values = torch.cat([offsets.coord, offsets.color], 1)[0]
        smoothed = torch.from_numpy(self.smooth(values.numpy(), time)).float()
        return Bent(smoothed, torch.zeros(2, COARSE, COARSE))


def _parts(edit: Edit) -> tuple[dict[str, float], Config | None, float]:
    return dict(edit.prompts), edit.config, edit.strength
