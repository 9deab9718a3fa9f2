"""Where a face is does not depend on the caller's torch state, nor on other threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.transform import resize
from test_isolation import STATES

from flowedit.config import Config
from flowedit.face import detect
from flowedit.face.crop import Crop, extract, whole_crop
from flowedit.face.parts import mix_paints, part_masks
from flowedit.face.regions import REGIONS, face_distance, mask_regions
from flowedit.field.offsets import pixel_centers
from flowedit.fit.loop import optimize
from flowedit.photo.photo import load


def measure_face(photo):
    """Everything that a photo's face is known by."""
    (crop,) = detect.choose(photo, "largest")
    image = extract(photo, crop, 128)
    masks = part_masks(image, crop.landmarks)
    return {
        "matrix": crop.matrix,
        "landmarks": crop.landmarks,
        "state": Crop.from_state(crop.state()).matrix,
        "whole": whole_crop(photo).matrix,
        "box": torch.tensor(crop.box(photo.height, photo.width), dtype=torch.int64, device="cpu"),
        "image": image,
        "shrunk": extract(photo, crop, 40),
        "parts": masks,
        "paints": mix_paints(image, masks),
        "regions": mask_regions("skin", ["mouth"], crop.landmarks),
        "protected": mask_regions(None, REGIONS, crop.landmarks),
        "distance": face_distance(pixel_centers(16, dtype=torch.float64), crop.landmarks),
        "found again": detect.landmarks(image),
        "fitted again": detect.refit(image, crop.landmarks),
        "descriptor": detect.descriptor(image, crop.landmarks),
    }


@pytest.fixture(scope="module")
def photo():
    return load(astronaut()[:280, 90:350].copy())


@pytest.fixture(scope="module")
def expected(photo):
    return measure_face(photo)


@pytest.mark.parametrize("name", [name for name in STATES if name != "autocast"])
def test_the_callers_torch_state_changes_no_bit_of_a_face(name, photo, expected):
    with STATES[name]():
        measured = measure_face(photo)
    for what, wanted in expected.items():
        got = measured[what]
        assert got.dtype == wanted.dtype and got.device == wanted.device and torch.equal(got, wanted), what


def test_edits_in_four_threads_are_those_of_one():
    sizes = (250, 290, 330, 410)
    photos = [(resize(astronaut(), (size, size)) * 255).round().astype(np.uint8) for size in sizes]

    def edit(photo):
        return optimize(photo, "a smiling face", config=Config(steps=1), progress=False).render()

    detect._models.cache_clear()  # dlib's models are loaded by the first of the four
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(edit, photos))
    for one, alone in zip(together, map(edit, photos), strict=True):
        assert torch.equal(one, alone)
