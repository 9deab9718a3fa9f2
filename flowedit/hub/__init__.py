"""Predictors and guides as folders, and as repositories of the Hugging Face hub, by huggingface_hub's model mixin.

`save_pretrained` and `from_pretrained` with a folder need no network; something is sent only by `push_to_hub`.
"""

from .guide import HubGuide
from .predictor import HubPredictor

__all__ = ["HubGuide", "HubPredictor"]
