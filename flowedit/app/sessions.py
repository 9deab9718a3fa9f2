"""The sessions of all who have the page open: each with a folder of its own, and an end."""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from pathlib import Path

from flowedit.app.session import Session, Settings
from flowedit.checks import require

MOST = 32  # at once: the one that has not been used for longest is closed for the next
IDLE_S = 3600.0


class Sessions:
    """Sessions by the names that the page gives them; any thread.

    Args:
        root: a folder for their files, which is removed at the end; uploads lie beside it.
        settings: of the app.
        most: sessions at once.
        idle_s: seconds without use after which one is closed.
    """

    def __init__(self, root: Path, settings: Settings, most: int = MOST, idle_s: float = IDLE_S) -> None:
        self.root, self.settings, self.most, self.idle_s = root, settings, most, idle_s
        self._open: dict[str, Session] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Session:
        """Return a session by its name, a new one if there is none; others that are left alone are closed."""
        now = time.monotonic()
        with self._lock:
            if name not in self._open:
                self._open[name] = Session(self.root / secrets.token_hex(16), self.settings)
            self._open[name].used = now
            idle = [key for key, session in self._open.items() if now - session.used > self.idle_s]
            others = sorted(
                (key for key in self._open if key != name and key not in idle),
                key=lambda key: (self._open[key].photo is not None, self._open[key].used),
            )
            idle += others[: max(0, len(others) + 1 - self.most)]
            closing = [self._open.pop(key) for key in idle]
            session = self._open[name]
        for each in closing:
            each.close()
        return session

    def uploaded(self, path: str) -> Path:
        """Return an upload's path; ValueError for any other path that an event names.

        Uploads lie beside the sessions' folder, each in a folder of its own.
        """
        upload = Path(path)
        good = upload.parent.parent == self.root.parent and upload.parent != self.root and upload.is_file()
        require(good and not upload.is_symlink(), "this file is not there any more: drop it again")
        return upload

    def close(self, name: str) -> None:
        """End a session and remove its files; one that is not known is let be."""
        with self._lock:
            session = self._open.pop(name, None)
        if session is not None:
            session.close()

    def close_all(self) -> None:
        """End all sessions and remove the folder."""
        with self._lock:
            sessions, self._open = list(self._open.values()), {}
        for session in sessions:
            session.close()
        shutil.rmtree(self.root, ignore_errors=True)

    def __len__(self) -> int:
        return len(self._open)
