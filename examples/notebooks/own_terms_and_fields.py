# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Terms and fields of your own
#
# The objective is a sum of named terms, and a field is any smooth function from places in the face's square to
# movements and tints. Both are open: this adds a term and a field, and looks at what they change. More kinds of
# extension, with all that each must have, are in the [architecture](../../docs/architecture.md).

# %%
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import flowedit
from flowedit.field.base import Field
from flowedit.field.make import FIELDS
from flowedit.field.offsets import Offsets
from flowedit.field.raster import RasterField

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "docs" / "images").is_dir())
photo = ROOT / "docs" / "images" / "london_126.jpg"
config = flowedit.Config(steps=15, identity=None)


def side_by_side(*pictures, box=(90, 70, 470, 500)):
    """Put the same part of Pillow images beside each other; box is left, top, right, bottom in pixels."""
    return Image.fromarray(np.hstack([np.asarray(picture.convert("RGB").crop(box)) for picture in pictures]))


# %% [markdown]
# ## A term
#
# A term is a function of the optimizer's state that returns one number as a tensor, differentiable in the field.
# This one is the mean squared movement of the left half of the picture: with it, an edit shall happen on the
# right half of the face. A whole objective is about 0.1 to 0.3, so its weight is chosen to bring it to a few
# hundredths.


# %%
def still_left(state):
    """Mean squared movement left of the crop's middle, crop coordinates squared."""
    coord = state.offsets.coord  # (1, 2, h, w)
    return coord[..., : coord.shape[-1] // 2].square().mean()


free = flowedit.optimize(photo, "raised eyebrows", config=config, start=None)
held = flowedit.optimize(
    photo, "raised eyebrows", config=config, start=None, terms={"still_left": (still_left, 2000.0)}
)
side_by_side(free.to_pil(0), free.to_pil(1), held.to_pil(1))

# %% [markdown]
# The photo, the edit, and the edit with the term: the brow on the left of the picture stays down. The term is in
# the history like the built-in ones, before its weight:

# %%
print(*(f"{name:<16} {values[0]:10.6f} -> {values[-1]:10.6f}" for name, values in held.history.items()), sep="\n")

# %% [markdown]
# ## A field
#
# A kind of field is entered under a name and then asked for by it. This one is symmetric by construction: it is
# the mean of a raster field and its mirror image, so both sides of the face do the same.


# %%
class SymmetricField(Field):
    """A raster field, made the same on both sides of the crop's middle."""

    def __init__(self, max_shift=0.045, max_tint=0.15, diffeomorphic=False):
        super().__init__(max_shift, max_tint, diffeomorphic)
        self.raster = RasterField(max_shift=max_shift, max_tint=max_tint, diffeomorphic=diffeomorphic)

    @property
    def detail(self):
        return self.raster.detail

    def _at_points(self, points):  # (N, 2) crop coordinates -> coord (N, 2), color (N, 3)
        mirror = points.new_tensor([-1.0, 1.0])
        (coord, color), (coord_there, color_there) = map(self.raster.at_points, (points, points * mirror))
        return (coord + coord_there * mirror) / 2, (color + color_there) / 2

    def on_grid(self, size):
        coord, color = self.raster.on_grid(size)
        mirror = coord.new_tensor([-1.0, 1.0])[:, None, None]
        return Offsets((coord + coord.flip(-1) * mirror) / 2, (color + color.flip(-1)) / 2)

    def param_groups(self):
        return self.raster.param_groups()

    def settings(self):
        return {"kind": "symmetric", **self._common_settings()}


FIELDS["symmetric"] = SymmetricField
symmetric = flowedit.optimize(photo, "raised eyebrows", config=replace(config, field="symmetric"), start=None)
side_by_side(free.to_pil(0), free.to_pil(1), symmetric.to_pil(1))

# %% [markdown]
# The photo, the edit by the default field, and by the symmetric one. How much of each movement is not the same on
# both sides, as a share of its length:


# %%
def asymmetry(edit):
    """Length of the movement's antisymmetric part over the length of the movement."""
    coord = edit.edited.offsets(edit.edited.crops()[0], 128).coord
    mirrored = coord.flip(-1) * coord.new_tensor([-1.0, 1.0])[:, None, None]
    return float((coord - mirrored).norm() / 2 / coord.norm())


print(f"default {asymmetry(free):.2f}, symmetric {asymmetry(symmetric):.2f}")
print(f"what the guide sees of the change: default {free.facts.gain:.2f}, symmetric {symmetric.facts.gain:.2f}")
