"""Predictors and guides as folders, and as repositories of the Hugging Face hub, by huggingface_hub's model mixin.

`save_pretrained` and `from_pretrained` with a folder need no network; something is sent only by `push_to_hub`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from huggingface_hub import ModelHubMixin, snapshot_download

from flowedit.checks import describe, require
from flowedit.guide.checkpoint import file_digest
from flowedit.guide.clip import ClipEncoder
from flowedit.guide.encoder import SHIPPED, WEIGHTS, load_encoder
from flowedit.photo.files import write_atomically
from flowedit.predict.weights import FILE, Trained, load_predictor, save_predictor

CONFIG = "open_clip_config.json"
GUIDE_FILES = ("*.json", "*.txt", "*.model", "*.md", "*.safetensors")  # of open_clip's layout; no pickle
CARD = """---
{{ card_data }}
---

# A {{ kind }} of flowedit

{{ about }}

```python
{{ use }}
```
"""


class _Folder(ModelHubMixin):
    """What predictors and guides share as folders of the hub; see the two below.

    Attributes:
        files: patterns of the files of a repository that are fetched.
    """

    files: ClassVar[tuple[str, ...]]

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **settings: Any,
    ) -> Any:
        """Open a folder; fetch a repository's files where there is no such folder."""
        require(not settings, f"from_pretrained must be given no other settings; got {', '.join(settings)}", TypeError)
        folder = model_id
        if not os.path.isdir(folder):
            folder = snapshot_download(
                model_id,
                revision=revision,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only,
                token=token,
                allow_patterns=list(cls.files),
            )
        return cls._open(Path(folder))

    @classmethod
    def _open(cls, folder: Path) -> Any:
        raise NotImplementedError


class HubPredictor(_Folder, library_name="flowedit", tags=["image-editing"], model_card_template=CARD):
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


class HubGuide(_Folder, library_name="flowedit", tags=["image-text-embedding"], model_card_template=CARD):
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
