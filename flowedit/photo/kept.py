"""What is made of a photo once, and kept while it lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from flowedit.photo.photo import Photo

T = TypeVar("T")


class KeptWithPhoto(Generic[T]):
    """The last few values that were made of each photo, by their keys. Threads may ask at once.

    Args:
        most: values kept of a photo. None of them may hold the photo itself, which would never go.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: WeakKeyDictionary[Photo, dict[Hashable, T]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def get(self, photo: Photo, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key, which is made where it is not there; two threads may both make it."""
        with self._lock:
            kept = self._kept.setdefault(photo, {})
            if key in kept:
                return kept[key]
        value = make()
        with self._lock:
            while len(kept) >= self._most:
                kept.pop(next(iter(kept)))
            kept[key] = value
        return value
