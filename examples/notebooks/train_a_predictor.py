# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Training a predictor on a handful of faces
#
# The shipped predictor has learned from thousands of faces for an hour, by `python -m examples.predictor --data
# FOLDER` ([predictor](../../flowedit/weights/predictor/README.md)). This notebook goes the same way with three
# photos, two prompts and a few steps. What it makes is fit to be looked at and for nothing else: it shows where
# faces, prompts and the objective come in.

# %%
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "docs" / "images").is_dir())
sys.path.insert(0, str(ROOT))  # the recipe is in examples/, which is not installed

import flowedit
from examples.predictor import train as recipe
from examples.predictor.faces import Faces, describe_face
from flowedit.face.crop import extract, face_crop
from flowedit.face.detect import find_faces
from flowedit.guide.corpus import embed_changes
from flowedit.guide.encoder import load_encoder
from flowedit.photo.photo import load, quantize
from flowedit.predict.inputs import CROP_PX
from flowedit.predict.weights import save_predictor

OUT = Path(tempfile.mkdtemp())
torch.set_num_threads(1)

# %% [markdown]
# ## Faces
#
# A face is its aligned crop, 128 pixels wide, with the masks of its parts and the prices of movement and tint
# that the objective needs; the recipe computes these from the landmarks.

# %%
names = ["astronaut.jpg", "london_126.jpg", "london_141.jpg"]
described = []
for name in names:
    picture = Image.open(ROOT / "docs" / "images" / name).convert("RGB")
    photo = load(picture.crop((0, 0, 512, 512)) if name == "astronaut.jpg" else picture)
    crop = face_crop(find_faces(photo)[0].landmarks)
    pixels = quantize(extract(photo, crop, CROP_PX), np.uint8)
    described.append(describe_face({"image": pixels, "landmarks": crop.landmarks.numpy(), "source": "docs"}))
np.savez(OUT / "faces.npz", **{key: np.stack([np.asarray(face[key]) for face in described]) for key in described[0]})
faces = Faces(OUT / "faces.npz")
Image.fromarray(np.hstack([face["image"] for face in described]))

# %% [markdown]
# ## Prompts
#
# The recipe draws prompts from a vocabulary; here are two. What a network is told is not the text, but how the
# guide's embedding is to change; the second number of each pair says whether the prompt is about color.


# %%
class TwoPrompts:
    """Draws changes of the guide's embedding, as `examples.predictor.prompts.Prompts` does."""

    def __init__(self, encoder):
        with torch.no_grad():
            self.changes = embed_changes(encoder, ["big eyes", "a smiling face"])

    def draw(self, count, generator):
        chosen = torch.randint(len(self.changes), (count,), generator=generator)
        return 0.8 * self.changes[chosen], torch.zeros(count, dtype=torch.bool)


# %% [markdown]
# ## Training
#
# Each step shows the network a batch of faces, each with a prompt, and moves it down the loop's own
# objective: the text term and the regularizers of its fields. No field is taught. `Training` has the numbers; the
# rate's warm-up, which is a constant of the recipe, is cut here, for there are few steps.

# %%
recipe.WARM_UP, recipe.LOG_EVERY = 3, 7
encoder = load_encoder()
training = recipe.Training(steps=14, batch=6, rate=5e-3)
source = recipe.Source(faces, TwoPrompts(encoder), encoder, training)
trainer = recipe.Trainer(source, OUT, training)
trainer.run()

# %% [markdown]
# `text` falls from `text before`, what it is without any edit. The weights go into a file with the guide's
# digest, and `predict` takes it; the shipped one is on the right.

# %%
file = save_predictor(trainer.network, OUT, guide=encoder.name, guide_sha256=encoder.digest)
photo = ROOT / "docs" / "images" / "london_126.jpg"
own = flowedit.predict(photo, "big eyes", predictor=file)
shipped = flowedit.predict(photo, "big eyes")
print(f"what the guide sees of the change: own {own.facts.gain:.3f}, shipped {shipped.facts.gain:.3f}")
Image.fromarray(np.hstack([np.asarray(edit.to_pil(strength)) for edit, strength in ((own, 0), (own, 1), (shipped, 1))]))
