"""One pass: from a photo and a prompt to an edit, by a network that has learned what the optimizer would find."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """The room, which Python also names `flowedit.predict`; called, it is the function `one_pass.predict`."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from flowedit.predict.one_pass import predict

        return predict(*arguments, **options)


sys.modules[__name__].__class__ = _Room
