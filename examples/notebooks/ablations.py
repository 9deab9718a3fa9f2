# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Ablations
#
# An experiment is a difference from the defaults, a row of results is an edit, and a table is a list of rows.
# This one has one photo and one prompt and few steps, to be quick; `python -m benchmarks.ablate` does it over
# many people and with measures that the guide does not know ([benchmarks](../../benchmarks/README.md)).

# %%
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

import flowedit
from flowedit.config import RasterConfig, Weights

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "docs" / "images").is_dir())
photo = Image.open(ROOT / "docs" / "images" / "london_141.jpg")
PROMPT = "a smiling face"

base = flowedit.Config(steps=15)
experiments = {
    "default": base,
    "no price of movement": replace(base, weights=Weights(shift=0.0)),
    "ten times as smooth": replace(base, weights=Weights(bending=0.3)),
    "not smooth at all": replace(base, weights=Weights(bending=0.0)),
    "8 control points": replace(base, raster=RasterConfig(coord_size=8)),
    "absolute target": replace(base, target="absolute"),
}

# %% [markdown]
# Every edit starts from nothing and from the same seed, and is shown at the strength that the identity budget
# chose.

# %%
rows, pictures = [], {}
for name, config in experiments.items():
    edit = flowedit.optimize(photo, PROMPT, config=config, start=None)
    face = edit.explain()["faces"]["face 1"]
    row = {
        "experiment": name,
        "strength": edit.strength,
        "gain": edit.facts.gain,
        "identity": edit.facts.identity_distance,
        "moved, px": face["movement"]["largest_px"],
        "bend, px": face["background"]["bend_px"],
    }
    rows.append(row)
    pictures[name] = np.asarray(edit.to_pil())

log = Path(tempfile.mkdtemp()) / "ablations.jsonl"
log.write_text("".join(json.dumps(row) + "\n" for row in rows))
columns = list(rows[0])[1:]
print(f"{'':<21}", *(f"{column:>9}" for column in columns))
for row in rows:
    print(f"{row['experiment']:<21}", *(f"{row[column]:>9.2f}" for column in columns))

# %% [markdown]
# `gain` is the share of the prompt's change that the guide sees, `identity` the distance of dlib's descriptors,
# of at most 0.35, `moved` the longest movement and `bend` how far a straight line beside the face bends at most.

# %%
figure, axes = plt.subplots(2, 3, figsize=(9, 6.4))
for axis, (name, picture) in zip(axes.flat, pictures.items(), strict=True):
    axis.imshow(picture[170:470, 110:450])
    axis.set_title(name, fontsize=9)
    axis.axis("off")
figure.tight_layout()

# %% [markdown]
# The gain is what the guide sees, and a guide can be pleased by what people would not ask for: compare the rows
# with the pictures. That is why the benchmarks measure edited pictures with landmarks and colors instead, on many
# people.
