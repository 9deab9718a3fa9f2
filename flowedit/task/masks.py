"""Where the user's own pictures let a photo change."""

from __future__ import annotations

import numpy as np

from flowedit.checks import require
from flowedit.config import Config
from flowedit.photo import photo as images
from flowedit.photo.photo import Photo


def read_masks(config: Config, photo: Photo) -> tuple[np.ndarray | None, list[list[str]]]:
    """Read the pictures of a config's `mask` and `protect`.

    Returns:
        The weights of the photo's pixels, (H, W) float32 in [0, 1], None without any picture; each picture's name and
        digest.

    Raises:
        OSError, ValueError: a picture cannot be read, or is not of the photo's size.
    """
    pictures = [("mask", config.mask)] if config.mask is not None else []
    pictures += [("protect", path) for path in config.protected_files]
    if not pictures:
        return None, []
    files = []
    weight = np.ones((photo.height, photo.width), np.float32)
    for name, path in pictures:
        try:
            picture = images.load(path)
        except (OSError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from error
        require(
            (picture.height, picture.width) == (photo.height, photo.width),
            f"{name} must have the photo's size {photo.width} x {photo.height}; got {picture.width} x {picture.height}",
        )
        files.append([path.name, picture.sha256])
        gray = picture.tensor()[0].mean(0).numpy()
        weight *= gray if name == "mask" else 1 - gray
    return np.round(weight * 255).astype(np.float32) / 255, files  # the mask as an edit file keeps it
