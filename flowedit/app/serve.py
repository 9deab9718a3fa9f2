"""The command `app`: a page on this machine, for its own browser."""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from tyro.conf import FlagCreatePairsOff, arg

from flowedit.app.console import say
from flowedit.app.options import base_config
from flowedit.checks import as_device, require
from flowedit.config import Config

if TYPE_CHECKING:
    from flowedit.app.session import Settings

PORT = 7860
MOST_MB = 500
FETCHING = ("ssrf_protected_download", "async_ssrf_protected_download", "save_url_to_cache")  # of gradio
PREFIX, LOCK = "flowedit-app-", "lock"
LOCAL = ("localhost", "127.0.0.1", "::1")
STYLE = Path(__file__).with_name("web.css")


@dataclass(frozen=True)
class AppCommand:
    """Open a page in the browser to edit portraits on: flowedit app"""

    port: int = PORT
    """Of the page, http://127.0.0.1:PORT; 0 takes any free one."""
    no_browser: Annotated[bool, FlagCreatePairsOff] = False
    """Print the address and open no browser."""
    share: Annotated[bool, FlagCreatePairsOff] = False
    """Ask gradio for a public link: photos of whoever opens it then pass through gradio's servers."""
    most_mb: Annotated[int, arg(metavar="INT")] = MOST_MB
    """Megabytes that a file may have that is dropped on the page."""
    encoder: Annotated[str | None, arg(metavar="NAME")] = None
    """As for `flowedit edit`."""
    predictor: Annotated[str | None, arg(metavar="PATH")] = None
    """As for `flowedit edit`: it must go with the encoder."""
    settings: Annotated[Path | None, arg(name="config", metavar="FILE")] = None
    """TOML file of settings that differ from the defaults."""

    def __post_init__(self) -> None:
        require(0 <= self.port < 65_536, f"port must be from 0 to 65535; got {self.port}")
        require(1 <= self.most_mb <= 100_000, f"most_mb must be from 1 to 100000; got {self.most_mb}")

    def run(self) -> int:
        """Serve the page until Ctrl-C."""
        check_gradio()
        with Server(self, base_config.get() or Config()) as server:
            say(f"flowedit: {server.address} (Ctrl-C ends it)")
            if self.share:
                say(f"flowedit: public link {server.public}")
            try:
                while True:
                    time.sleep(3600)
            except KeyboardInterrupt:
                return 0


def check_gradio() -> None:
    """Say what to install where gradio is missing.

    Raises:
        RuntimeError: it is.
    """
    if importlib.util.find_spec("gradio") is None:
        raise RuntimeError("the app needs gradio: pip install 'flowedit[app]', or pip install '.[app]' in a clone")


@dataclass
class Server:
    """The page, served within a `with` block; its folder goes at the end.

    Attributes:
        command: its options.
        config: as for `optimize`.
        address: of the page.
        public: of its public link; None without one.
        root: the folder of all its files, from `with` on.
    """

    command: AppCommand
    config: Config
    address: str = ""
    public: str | None = None
    root: Path = field(init=False)
    _lock: Any = field(default=None, init=False, repr=False)
    _blocks: Any = field(default=None, init=False, repr=False)

    def __enter__(self) -> Server:
        remove_stale_folders()
        self.root = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
        self._lock = open(self.root / LOCK, "w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        prepare_environment(self.root)
        from gradio import processing_utils
        from starlette.middleware import Middleware

        from flowedit.app.guard import Guard
        from flowedit.app.session import Settings
        from flowedit.app.sessions import Sessions
        from flowedit.app.web import Page, theme

        # An event may be sent an address in place of an upload, which gradio would fetch.
        for name in FETCHING:
            require(hasattr(processing_utils, name), f"gradio must have {name}; got another version", RuntimeError)
            setattr(processing_utils, name, refuse_to_fetch)
        command = self.command
        settings = Settings(self.config, command.encoder, command.predictor)
        self.sessions = Sessions(self.root / "sessions", settings)
        self._blocks = Page(self.sessions).blocks
        self._blocks.queue(max_size=64, api_open=False)
        hosts = () if command.share else LOCAL
        try:
            _, self.address, self.public = self._blocks.launch(
                server_name="127.0.0.1",
                server_port=command.port or _free_port(),
                inbrowser=not command.no_browser,
                share=command.share,
                quiet=True,
                prevent_thread_lock=True,
                max_file_size=command.most_mb * 1_000_000,
                footer_links=[],
                ssr_mode=False,
                enable_monitoring=False,
                mcp_server=False,
                run_history=False,
                pwa=False,
                allowed_paths=[],
                app_kwargs={"middleware": [Middleware(Guard, hosts=hosts)], "docs_url": None, "redoc_url": None,
                            "openapi_url": None},
                theme=theme(),
                css_paths=STYLE,
            )  # fmt: skip
        except BaseException:
            self.__exit__()
            raise
        threading.Thread(target=warm_up, args=(settings,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._blocks is not None:
            self._blocks.close(verbose=False)
        self.sessions.close_all()
        shutil.rmtree(self.root, ignore_errors=True)
        self._lock.close()


def refuse_to_fetch(address: str, *_: object, **__: object) -> NoReturn:
    """Stand in for what would download a file; ValueError, always."""
    raise ValueError("a file must be dropped on the page; got an address")


def remove_stale_folders() -> None:
    """Remove the folders of servers that were killed; what is locked, or not ours to remove, stays."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError), open(folder / LOCK, "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def warm_up(settings: Settings) -> None:
    """Load what the first edit needs, so that it need not wait; what is wrong is said by that edit."""
    import numpy as np

    import flowedit
    from flowedit.face.detect import find_faces
    from flowedit.guide.encoder import load_encoder
    from flowedit.photo.photo import Photo

    with contextlib.suppress(Exception):
        find_faces(Photo(np.zeros((64, 64, 3), np.uint8)))
        load_encoder(settings.encoder, as_device(settings.config.device))
        flowedit.load_predictor(settings.predictor)


def prepare_environment(root: Path) -> None:
    """Tell gradio, before it is imported, to keep to a folder and to call nobody."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(root)
    os.environ["GRADIO_EXAMPLES_CACHE"] = str(root / "examples")
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    for name in ("GRADIO_SHARE", "GRADIO_ALLOWED_PATHS", "GRADIO_ROOT_PATH", "GRADIO_SERVER_NAME"):
        os.environ.pop(name, None)
    for name in ("NO_PROXY", "no_proxy"):  # gradio asks its own server whether it is up
        os.environ[name] = ",".join(filter(None, [os.environ.get(name), "localhost", "127.0.0.1"]))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
