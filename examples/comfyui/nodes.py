"""A face edited by a prompt, and a saved edit applied, as ComfyUI's nodes.

Convention: ComfyUI's IMAGE is (B, H, W, C) float32 RGB, or RGBA, in [0, 1]; a batch is edited picture by picture, and
what an edit does not change keeps its bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

IMAGE = ("IMAGE", {"tooltip": "Photos with a face; each of a batch is edited by itself."})
STRENGTH = {
    "default": 1.0,
    "min": 0.0,
    "max": 2.0,
    "step": 0.05,
    "tooltip": "0 is the photo, 1 what the bounds on identity and movement allow; more goes beyond them.",
}


class EditByPrompt:
    """Edits a face by a sentence: optimized, or predicted in one pass."""

    CATEGORY = "image/flowedit"
    FUNCTION = "edit"
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("image", "record")
    DESCRIPTION = "Moves and tints the pixels of a face towards what a sentence asks for. No picture is generated."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What ComfyUI asks for."""
        return {
            "required": {
                "image": IMAGE,
                "prompt": ("STRING", {"default": "a smiling face", "multiline": True}),
                "strength": ("FLOAT", STRENGTH),
                "method": (["optimize", "predict"], {"tooltip": "predict takes one pass, optimize searches on."}),
                "face": (["largest", "all"],),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**63 - 1}),
            },
            "optional": {
                "upscaler": ("STRING", {"default": "", "tooltip": "Real-ESRGAN's weights, for small faces."}),
                "save_edit": ("STRING", {"default": "", "tooltip": "A .flowedit file to keep the edit in."}),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, prompt: str | None = None, save_edit: str | None = None) -> bool | str:
        """Say in a line what is wrong before anything runs; what comes by a link is not known yet."""
        if prompt is not None and not any(letter.isalnum() for letter in prompt):
            return f"prompt must have at least one word; got {prompt!r}"
        if save_edit and Path(save_edit).suffix != ".flowedit":
            return f"save_edit must end in .flowedit; got {save_edit!r}"
        return True

    def edit(
        self,
        image: Tensor,
        prompt: str,
        strength: float,
        method: str,
        face: str,
        seed: int,
        upscaler: str = "",
        save_edit: str = "",
    ) -> tuple[Tensor, str]:
        """Return the edited pictures, and a record in JSON: a list with each one's strength and how it was made."""
        import flowedit

        config = flowedit.Config(face=face, seed=seed, upscaler=Path(upscaler) if upscaler else None)
        records = []

        def make(photo: np.ndarray) -> np.ndarray:
            if method == "predict":
                edit = flowedit.predict(photo, prompt, config=config)
            else:
                edit = flowedit.optimize(photo, prompt, config=config, progress=False)
            edit = strength * edit
            if save_edit:
                edit.save_edit(_numbered(Path(save_edit), len(records), len(image)))
            told = {"strength": edit.strength, "strength_reason": edit.strength_reason, "messages": edit.messages}
            records.append({**edit.provenance(), **told})
            return edit.edited.rgba(np.float32)

        return _each(image, make), json.dumps(records, indent=1)


class ApplyEditFile:
    """Applies an edit that was saved by `flowedit edit --save-edit` or by the node above to other faces."""

    CATEGORY = "image/flowedit"
    FUNCTION = "apply"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("image",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """What ComfyUI asks for."""
        return {
            "required": {
                "image": IMAGE,
                "edit_file": ("STRING", {"default": "", "tooltip": "A .flowedit file."}),
                "strength": ("FLOAT", STRENGTH),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, edit_file: str | None = None) -> bool | str:
        """Say in a line what is wrong before anything runs; a path that comes by a link is not known yet."""
        if edit_file is None or Path(edit_file).is_file():
            return True
        return f"edit_file must be a file that exists; got {edit_file!r}"

    @classmethod
    def IS_CHANGED(cls, edit_file: str | None = None, **inputs: Any) -> str:
        """The file's digest: ComfyUI runs the node again when another edit lies there, under the same name."""
        path = Path(edit_file or "")
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""

    def apply(self, image: Tensor, edit_file: str, strength: float) -> tuple[Tensor]:
        """Return the pictures with the edit carried to their faces, within the default bound on identity."""
        import flowedit

        saved = flowedit.load(edit_file)
        return (_each(image, lambda photo: (strength * saved.apply(photo).within()).edited.rgba(np.float32)),)


def _each(image: Tensor, make: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """Edit (B, H, W, C) picture by picture, whatever torch's state; an error says which of several it is about."""
    from flowedit.isolation import isolated

    edited = []
    for number, photo in enumerate(image.detach().float().clamp(0, 1).cpu().numpy(), 1):
        try:
            with isolated():
                edited.append(torch.from_numpy(make(photo)))
        except (TypeError, ValueError) as error:
            raise type(error)(f"image {number} of {len(image)}: {error}") from error
    return torch.stack(edited)


def _numbered(path: Path, index: int, count: int) -> Path:
    """Return the path for one of several edits: a.flowedit, or a_0001.flowedit."""
    return path if count == 1 else path.with_name(f"{path.stem}_{index + 1:04d}{path.suffix}")
