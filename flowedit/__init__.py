"""Edit a portrait by a sentence: find the small field of movement and tint that does it, not a new picture.

Names load on first use, so that importing the package costs next to nothing and prints nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowedit.config import Config
    from flowedit.diversity import variants
    from flowedit.edit import Edit, load
    from flowedit.loop import optimize

__version__ = "0.1.0"  # the one home of the version; pyproject.toml reads it here
__all__ = ["Config", "Edit", "__version__", "load", "optimize", "variants"]

_HOMES = {"Config": "config", "Edit": "edit", "load": "edit", "optimize": "loop", "variants": "diversity"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"flowedit must be asked for one of {__all__}; got {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
