"""A predictor as a folder, and as a repository of the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowedit.checks import describe, require
from flowedit.hub.folder import CARD, HubFolder
from flowedit.predict.weights import FILE, Trained, load_predictor, save_predictor


class HubPredictor(HubFolder, library_name="flowedit", tags=["image-editing"], model_card_template=CARD):
    """A trained predictor that can be saved, loaded and published as huggingface_hub's models are.

    `save_pretrained(folder)` writes predictor.safetensors, which `flowedit.predict(predictor=folder)` reads too, with
    config.json, which tells what is in it, and a card. `from_pretrained` takes such a folder or a repository's name.
    `push_to_hub` publishes it. What else they take, huggingface_hub says.

    Args:
        trained: as of `flowedit.load_predictor`: its guide must be known.

    Raises:
        TypeError: it is something else, or a network alone.
    """

    files = (FILE, "config.json")

    def __init__(self, trained: Trained) -> None:
        known = isinstance(trained, Trained) and trained.guide is not None
        require(known, f"trained must be a predictor of load_predictor, with its guide; got {describe(trained)}",
                TypeError)  # fmt: skip
        self.trained = trained
        self._hub_mixin_config = {
            "kind": "predictor",
            "guide": trained.guide,
            "guide_sha256": trained.guide_sha256,
            "further": trained.further,
            "settings": dict(trained.network.settings),
        }

    def _save_pretrained(self, save_directory: Path) -> None:
        trained = self.trained
        assert trained.guide is not None  # __init__
        save_predictor(
            trained.network, save_directory, guide=trained.guide, guide_sha256=trained.guide_sha256,
            further=trained.further,
        )  # fmt: skip

    @classmethod
    def _open(cls, folder: Path) -> HubPredictor:
        return cls(load_predictor(folder))

    def generate_model_card(self, *arguments: Any, **options: Any) -> Any:
        """Return the card: what it is, which guide it goes with, and how it is used."""
        trained = self.trained
        about = f"It goes with the guide {trained.guide} (SHA-256 of its weights {trained.guide_sha256}) and no other."
        use = "from flowedit.hub import HubPredictor\n\n"
        use += 'trained = HubPredictor.from_pretrained("FOLDER or ORG/REPO").trained\n'
        use += 'edit = flowedit.predict("face.jpg", "a smiling face", predictor=trained)'
        return super().generate_model_card(*arguments, **{"kind": "predictor", "about": about, "use": use, **options})
