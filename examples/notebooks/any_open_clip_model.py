# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Any open_clip model
#
# The guide can be any model that open_clip knows, by name or from a file. With a network, that is one line:
#
# ```python
# flowedit.optimize(photo, "a smiling face", encoder="hf-hub:chs20/FARE4-ViT-B-32-laion2B-s34B-b79K")
# flowedit.optimize(photo, "a smiling face", encoder="ViT-B-32:laion2b_s34b_b79k")
# flowedit.optimize(photo, "a smiling face", encoder="ViT-B-32:~/vit.pt")  # a checkpoint on disk
# ```
#
# This notebook needs no network, so it makes a model of its own: a small vision transformer and a small text
# transformer **with random weights**. It goes every way that a real one goes, and knows nothing; what it asks for
# is no smile.

# %%
import json
import tempfile
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file

import flowedit
from flowedit.guide.encoder import load_encoder

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "docs" / "images").is_dir())
photo = ROOT / "docs" / "images" / "astronaut.jpg"

# %% [markdown]
# ## The model's folder
#
# `local-dir:FOLDER` is a folder in the layout of open_clip's hub repositories: `open_clip_config.json`, which
# says what the model is and how a picture is prepared for it, and the weights.

# %%
config = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 64, "head_width": 32, "patch_size": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28], "interpolation": "bicubic"}
folder = Path(tempfile.mkdtemp()) / "small"
folder.mkdir()
(folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
torch.manual_seed(0)
model = open_clip.CLIP(config["embed_dim"], open_clip.CLIPVisionCfg(**config["vision_cfg"]),
                       open_clip.CLIPTextCfg(**config["text_cfg"]))  # fmt: skip
save_file(model.state_dict(), folder / "open_clip_model.safetensors")

encoder = load_encoder(f"local-dir:{folder}")
print(encoder.name, encoder.size, "px;", encoder.text(["a face"]).shape)

# %% [markdown]
# ## An edit under it
#
# An edit names its guide and the digest of the guide's weights. Where the guide is not the shipped one, the
# search starts from nothing, since the shipped predictor belongs to the shipped guide.

# %%
edit = flowedit.optimize(photo, "a smiling face", encoder=encoder, config=flowedit.Config(steps=10, views=1))
print(edit.facts.encoder, edit.facts.encoder_sha256[:12], edit.stopped)

# %% [markdown]
# ## A judge
#
# `judge=` is a second encoder, which only looks at the result. It says what share of the prompt's change it sees;
# that the shipped encoder sees none of what a random model asked for is told in a warning.

# %%
judged = flowedit.optimize(
    photo, "a smiling face", encoder=encoder, judge="faceclip", config=flowedit.Config(steps=10, views=1)
)
print(judged.messages)
print({name: judged.facts.judge[name] for name in ("name", "gain", "guide_gain", "fooled")})
