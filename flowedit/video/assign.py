"""Which edit a person gets, and how: the person's own as it is, another's carried over, or predicted in each frame."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from flowedit.checks import describe, require
from flowedit.edit import Edit
from flowedit.face.crop import Crop, crop_key, extract
from flowedit.photo.photo import Photo
from flowedit.transform.transfer import carry_transform
from flowedit.transform.transforms import Transform, find_crops, map_leaves
from flowedit.video.carry import Bent, CarriedEdit
from flowedit.video.track import PORTRAIT_PX, Portrait, TrackedFace

Wish = Edit | str | None
SAME_PERSON = 0.6  # distance of dlib's descriptors up to which a face is the one on an edit's photo: dlib's own


class Follower(Protocol):
    """What edits a person in every frame."""

    def follow(self, frame: np.ndarray, face: TrackedFace, time: float) -> Bent:
        """Return the edit as it lies over the face's crop in a frame."""


def check_wish(edit: Wish, whose: str, per_frame: bool) -> None:
    """Validate what a person is to get.

    Raises:
        TypeError, ValueError: it is no edit, of no aligned face, undoes another, or has no photo but is to go to the
            person on it.
    """
    if edit is None or (per_frame and isinstance(edit, str)):
        return
    require(isinstance(edit, Edit), f"an edit of a video must be an Edit; got {describe(edit)}"
            + (", a prompt, which needs per_frame=True" if isinstance(edit, str) else ""), TypeError)  # fmt: skip
    assert isinstance(edit, Edit)  # for the type checker
    crops = find_crops(edit.transforms)
    aligned = bool(crops) and all(crop.landmarks is not None for crop in crops)
    require(aligned, "an edit of a video must be of an aligned face; got one of a whole picture")
    require(not edit.facts.in_place, "an edit of a video must not undo another, which only its own picture can")
    require(whose == "all" or edit.photo is not None, 'whose="own" must go with an edit that has its photo; got none')


class Assignment:
    """Finds what a new face gets.

    Args:
        whose: see `VideoEditor`; identity and per_frame too.
    """

    def __init__(self, whose: str, identity: float | None, per_frame: bool) -> None:
        self.whose, self.identity, self.per_frame = whose, identity, per_frame
        self._portraits: dict[int, list[Portrait]] = {}  # of the faces on an edit's photo, by the edit's id

    def __call__(self, edit: Wish, frame: np.ndarray, face: TrackedFace, look: Portrait) -> Follower | None:
        """Return what follows a person, or None for nothing.

        Args:
            edit: the wish for this person.
            frame: clear, in which the edit is carried onto the face.
            face: there.
            look: of it.
        """
        if edit is None:
            return None
        if self.per_frame:
            from flowedit.video.per_frame import PredictedEdit  # the predictor is needed for nothing else

            return PredictedEdit(edit, frame, face)
        assert isinstance(edit, Edit)  # check_wish
        crops = _in_order(edit)
        own = self._find_own(edit, crops, look)
        if own is not None:
            return CarriedEdit(edit.transforms, own, edit.strength)
        if edit.photo is not None and (self.whose == "own" or len(crops) > 1):
            return None
        if len(crops) == 1:
            return self._carry(edit, edit.transforms, frame, face)
        if face.id >= len(crops):
            return None
        return self._carry(edit, _over(edit.transforms, crops[face.id]), frame, face)

    def _find_own(self, edit: Edit, crops: list[Crop], look: Portrait) -> Crop | None:
        """Return the crop of the edit's photo that shows the same person, None if none does."""
        if edit.photo is None:
            return None
        if id(edit) not in self._portraits:
            pairs = [(crop, crop.landmarks) for crop in crops if crop.landmarks is not None]  # all, by check_wish
            self._portraits[id(edit)] = [
                Portrait(0.0, extract(edit.photo, crop, PORTRAIT_PX), landmarks) for crop, landmarks in pairs
            ]
        far = [float((each.descriptor - look.descriptor).norm()) for each in self._portraits[id(edit)]]
        return crops[far.index(min(far))] if min(far) < SAME_PERSON else None

    def _carry(
        self, edit: Edit, transforms: tuple[Transform, ...], frame: np.ndarray, face: TrackedFace
    ) -> CarriedEdit:
        photo, crop = Photo(frame), face.crop
        carried = map_leaves(transforms, partial(carry_transform, photo=photo, crop=crop, by="landmarks"))
        strength = edit.strength
        if self.identity is not None and strength:
            within = replace(edit, photo=photo, transforms=carried).within(identity=self.identity)
            strength = min(within.strength, strength, key=abs)
        return CarriedEdit(carried, crop, strength)


def _in_order(edit: Edit) -> list[Crop]:
    """Return an edit's crops from left to right."""
    return sorted(find_crops(edit.transforms), key=lambda crop: float(crop.matrix[0, 2]))


def _over(transforms: tuple[Transform, ...], crop: Crop) -> tuple[Transform, ...]:
    """Return the transforms over one crop.

    Raises:
        ValueError: one is over others too.
    """
    found = [each for each in transforms if crop_key(crop) in map(crop_key, find_crops([each]))]
    alone = all(len(find_crops([each])) == 1 for each in found)
    require(alone, "an edit of several faces in turn must have its photo, to know them by; got none")
    return tuple(found)
