"""Film a still photo with a camera that drifts, turns and zooms, and let one edit follow the face through the film.

Run with no arguments: needs no network, no model hub and no PyAV. The photo is the NASA portrait of the astronaut
Eileen Collins (public domain).
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

import flowedit
from flowedit.video.animations import at_rate, save_animation

PROMPT = "a surprised face"
OUT = Path("out")
FRAMES, RATE, SIDE = 24, 10, 240  # a second; pixels


def film(photo: Image.Image, number: int) -> np.ndarray:
    """Return one frame, (SIDE, SIDE, 3): the camera comes back to where it began."""
    phase = 2 * math.pi * number / FRAMES
    scale = 0.8 + 0.06 * math.cos(phase)  # photo pixels in one of the frame's
    angle = math.radians(5) * math.sin(phase)
    x, y = 222 + 14 * math.sin(phase), 122 + 6 * math.sin(2 * phase)  # what is in the middle
    a, b = scale * math.cos(angle), scale * math.sin(angle)
    half = SIDE / 2
    matrix = (a, b, x - (a + b) * half, -b, a, y - (a - b) * half)
    return np.asarray(photo.transform((SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC))


def main() -> None:
    OUT.mkdir(exist_ok=True)
    photo = Image.fromarray(skimage.data.astronaut())
    clip = save_animation(OUT / "filmed.webp", at_rate([film(photo, k) for k in range(FRAMES)], RATE))

    start = time.perf_counter()
    edit = flowedit.predict(skimage.data.astronaut(), PROMPT)  # of the photo; it is carried to the film
    result = flowedit.edit_video(clip, edit, OUT / "filmed_surprised.gif", progress=False)
    seconds = time.perf_counter() - start

    print(f'Edited {result.edited} of {result.frames} frames into "{PROMPT}" in {seconds:.1f} s. Look at:')
    print(f"  {OUT}/filmed.webp           the film of a still photo")
    print(f"  {OUT}/filmed_surprised.gif  the same with the edit")
    print('Next: .venv/bin/flowedit video YOUR_CLIP.mp4 "a smiling face"')


if __name__ == "__main__":
    main()
