"""Edit a portrait by a sentence: find the small field of movement and tint that does it, not a new picture.

Names load on first use, so that importing the package costs next to nothing and prints nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flowedit._version import __version__

if TYPE_CHECKING:
    from flowedit.config import Config
    from flowedit.edit import Edit, load
    from flowedit.field.offsets import Offsets
    from flowedit.field.warp import warp
    from flowedit.fit.imagine import imagine
    from flowedit.fit.loop import optimize
    from flowedit.fit.variants import variants
    from flowedit.fit.video import edit_video
    from flowedit.predict.one_pass import predict
    from flowedit.predict.several import predict_all
    from flowedit.predict.weights import load_predictor
    from flowedit.video.editor import VideoEditor

__all__ = [
    "Config",
    "Edit",
    "Offsets",
    "VideoEditor",
    "__version__",
    "edit_video",
    "imagine",
    "load",
    "load_predictor",
    "optimize",
    "predict",
    "predict_all",
    "variants",
    "warp",
]

_HOMES = {
    "Config": "config",
    "Edit": "edit",
    "Offsets": "field.offsets",
    "VideoEditor": "video.editor",
    "edit_video": "fit.video",
    "imagine": "fit.imagine",
    "load": "edit",
    "load_predictor": "predict.weights",
    "optimize": "fit.loop",
    "predict": "predict",  # the room, which can be called
    "predict_all": "predict.several",
    "variants": "fit.variants",
    "warp": "field.warp",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"flowedit must be asked for one of {__all__}; got {name!r}")
    home = import_module(f"{__name__}.{_HOMES[name]}")
    value = getattr(home, name, home)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
