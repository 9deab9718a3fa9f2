"""Edit the NASA portrait of the astronaut Eileen Collins (public domain) and say what was done.

Run with no arguments: needs no network and no model hub. `make demo` runs this.
"""

from __future__ import annotations

import time
from pathlib import Path

import skimage.data
import torch

import flowedit
from flowedit.photo import photo as image

PROMPT = "a surprised face"
OUT = Path("out")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    photo = image.load(skimage.data.astronaut())  # 512 x 512, packaged with scikit-image
    image.save(OUT / "astronaut.png", photo.tensor())

    start = time.perf_counter()
    edit = flowedit.optimize(OUT / "astronaut.png", PROMPT)
    seconds = time.perf_counter() - start

    edit.save(OUT / "astronaut_surprised.png")
    image.save(OUT / "before_after.png", torch.cat([photo.tensor(), edit.render()], dim=3))
    edit.plot(OUT / "why.png")

    print(f'Edited the astronaut photo into "{PROMPT}" in {seconds:.1f} s, at strength {edit.strength:.2f}')
    print(f"({edit.strength_reason}). Look at:")
    print(f"  {OUT}/before_after.png         the photo and the edit, side by side")
    print(f"  {OUT}/astronaut_surprised.png  the edit; every pixel outside the face is the photo's own")
    print(f"  {OUT}/why.png                  what moved, what was tinted, and where")
    print('Next: .venv/bin/flowedit edit YOUR_PHOTO.jpg "big eyes"')


if __name__ == "__main__":
    main()
