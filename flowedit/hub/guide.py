"""A guide as a folder, and as a repository of the Hugging Face hub."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO

from flowedit.checks import require
from flowedit.guide.checkpoint import file_digest
from flowedit.guide.clip import ClipEncoder
from flowedit.guide.encoder import SHIPPED, WEIGHTS, load_encoder
from flowedit.hub.folder import CARD, HubFolder
from flowedit.photo.files import write_atomically

CONFIG = "open_clip_config.json"
GUIDE_FILES = ("*.json", "*.txt", "*.model", "*.md", "*.npz", "*.safetensors")  # of open_clip's layout; no pickle


class HubGuide(HubFolder, library_name="flowedit", tags=["image-text-embedding"], model_card_template=CARD):
    """A guide that can be saved, loaded and published as huggingface_hub's models are, in open_clip's layout.

    The folder is what `encoder="local-dir:FOLDER"` reads too, and open_clip itself where the architecture is its own.
    Models that open_clip knows by name are on the hub already.

    Args:
        folder: with open_clip_config.json and weights in safetensors; None is that of the shipped guide.

    Attributes:
        encoder: the guide, for `encoder=`.

    Raises:
        ValueError: the folder is no such thing; one line that names it.
    """

    files = GUIDE_FILES

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        shipped = folder is None
        self.folder = WEIGHTS / SHIPPED if folder is None else Path(folder).expanduser()
        held = all(any(self.folder.glob(pattern)) for pattern in (CONFIG, "*.safetensors"))
        require(held, f"folder must hold {CONFIG} and weights in .safetensors; got {self.folder} without them")
        self.encoder: ClipEncoder = load_encoder(None if shipped else f"local-dir:{self.folder}")
        self._hub_mixin_config = {"kind": "guide", "sha256": self.encoder.digest, "size": self.encoder.size}

    def _save_pretrained(self, save_directory: Path) -> None:
        weights = [path for path in self.folder.glob("*.safetensors") if file_digest(path) == self.encoder.digest]
        require(bool(weights), f"the weights in {self.folder} must be as they were loaded; got changed ones")
        others = {path for pattern in GUIDE_FILES[:-1] for path in self.folder.glob(pattern)}
        for path in (weights[0], *sorted(others)):
            target = save_directory / path.name
            if path.name != "config.json" and target.resolve() != path.resolve():  # config.json is the mixin's own
                _copy(path, target)

    @classmethod
    def _open(cls, folder: Path) -> HubGuide:
        return cls(folder)

    def generate_model_card(self, *arguments: Any, **options: Any) -> Any:
        """Return the card: what it is, and how it is used."""
        about = f"An encoder of pictures and texts; SHA-256 of its weights {self.encoder.digest}."
        use = "from flowedit.hub import HubGuide\n\n"
        use += 'guide = HubGuide.from_pretrained("FOLDER or ORG/REPO").encoder\n'
        use += 'edit = flowedit.optimize("face.jpg", "a smiling face", encoder=guide)'
        return super().generate_model_card(*arguments, **{"kind": "guide", "about": about, "use": use, **options})


def _copy(source: Path, target: Path) -> None:
    def write(file: BinaryIO) -> None:
        with source.open("rb") as given:
            shutil.copyfileobj(given, file)

    write_atomically(target, write)
