# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # A first edit
#
# The whole way of one edit, to be run with a photo of your own: put its path in place of `photo`. Opened in
# Jupyter with [jupytext](https://jupytext.readthedocs.io), this script is a notebook; `python
# examples/notebooks/first_edit.py` runs it too.

# %%
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import flowedit

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "docs" / "images").is_dir())
OUT = Path(tempfile.mkdtemp())
photo = ROOT / "docs" / "images" / "london_141.jpg"


def side_by_side(*pictures, box=(90, 70, 470, 500)):
    """Put the same part of Pillow images beside each other; box is left, top, right, bottom in pixels."""
    return Image.fromarray(np.hstack([np.asarray(picture.convert("RGB").crop(box)) for picture in pictures]))


# %% [markdown]
# `optimize` finds the face, starts from what the shipped network predicts, and searches on for 10 steps. What it
# returns holds no picture, but the field that makes one.

# %%
edit = flowedit.optimize(photo, "a smiling face")
edit

# %%
side_by_side(edit.to_pil(0), edit.to_pil())

# %% [markdown]
# Strength 0 is the photo, bit for bit. What the strength is by itself was chosen by the identity budget:

# %%
same = np.array_equal(np.asarray(edit.to_pil(0)), np.asarray(Image.open(photo)))
print(f"strength {edit.strength:.2f}: {edit.strength_reason}")
print(f"at strength 0 every pixel is the photo's: {same}")

# %% [markdown]
# Half of it, all of it, and too much of it:

# %%
side_by_side(*(edit.to_pil(strength) for strength in (0.5, 1.0, 1.5)))

# %% [markdown]
# `explain` measures what was done, in words and numbers; `plot` draws it.

# %%
face = edit.explain()["faces"]["face 1"]
print(*face["points"], *face["colors"], sep="\n")
print(f"{100 * face['changed_share']:.0f} % of the pixels in the face's square changed")

# %%
Image.open(edit.plot(OUT / "why.png"))

# %% [markdown]
# The picture is written with the photo's own metadata and a record of how it was edited; the edit itself goes
# into a small file without the photo, and does the same again.

# %%
picture = edit.save(OUT / "smiling.png")
file = edit.save_edit(OUT / "smile.flowedit")
again = flowedit.load(file).apply(photo)
print(f"{file.stat().st_size / 1024:.0f} KiB; the same bits: {bool((again.render() == edit.render()).all())}")
