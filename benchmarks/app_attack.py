"""Attack the app over HTTP, as a user or a page elsewhere could: python -m benchmarks.app_attack [photos paths ...]

Each line is an attack, what came back, and whether the app held: nothing leaks, nothing crashes, each gets an answer.
Without a name it runs them all: photos, paths, edit_files, values, elsewhere and crowd.
"""

from __future__ import annotations

import io
import os
import resource
import secrets
import socket
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from benchmarks.app_client import Page
from flowedit.app.serve import AppCommand, Server
from flowedit.config import Config

SECRET = "root:"  # of /etc/passwd
CALLERS = 50
EVIL = "<img src=x onerror=alert(1)>"
Found = tuple[str, str, bool]  # the attack, the answer, whether the app held


def portrait() -> bytes:
    """Return a portrait as PNG: NASA's of Eileen Collins, in the public domain."""
    import skimage.data

    return png(skimage.data.astronaut()[:280, 80:360])


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def bomb(side: int) -> bytes:
    """Return a small PNG of side x side black pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    deflate = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    data = b"".join(deflate.compress(row) for _ in range(side)) + deflate.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../../evil.txt", "x")
    return out.getvalue()


def photos(server: Server, face: bytes) -> Iterator[Found]:
    """Files that are no portraits, or more than one."""
    page = Page(server.address)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script><text>{EVIL}</text></svg>'.encode()
    html = f"<html><script>alert(1)</script>{EVIL}</html>".encode()
    files = {
        "a bomb of 20,000 x 20,000": ("bomb.png", bomb(20_000)),
        "a bomb of 9,900 x 9,900, within the limit": ("near.png", bomb(9_900)),
        "an SVG": ("x.svg", svg),
        "an SVG by the name of a PNG": ("x.png", svg),
        "a page by the name of a PNG": ("page.png", html),
        "an empty file": ("empty.png", b""),
        "half a PNG": ("half.png", face[: len(face) // 2]),
        "PostScript": ("x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"),
        "a name of HTML": (f"{EVIL}.png", b"no picture"),
        "a name of 5,000 letters": ("x" * 5000 + ".png", b"no picture"),
    }
    for name, (own_name, content) in files.items():
        sent = page.upload(own_name, content)
        said = sent if isinstance(sent, str) else page.status(page.call("drop", "upload", sent))
        held = bool(said) and "<img" not in said and str(server.root) not in said and "Traceback" not in said
        yield f"photo: {name}", said, held
    for name, content in {"PNG and page": face + html, "PNG and zip": face + zipped()}.items():
        sent = page.upload("both.png", content)
        shown = page.call("drop", "upload", sent)
        said = page.status(shown)
        served = b""
        if shown.get("compare"):
            picture = page.http.get(shown["compare"]["value"][1]["url"]).content
            served = picture
        held = "pixels" in said and b"<script" not in served and b"PK\x03\x04" not in served
        yield f"photo: {name} in one", f"{said} (served without the rest)", held
    page.close()


def paths(server: Server, face: bytes) -> Iterator[Found]:
    """Paths of the server, in requests, uploads and events."""
    page = Page(server.address)
    sent = page.upload("me.png", face)
    assert isinstance(sent, dict)
    folder = Path(sent["path"]).parent
    targets = ["/etc/passwd", "../../../../etc/passwd", f"{folder}/../../../etc/passwd", "/proc/self/environ"]
    targets += ["..%2f..%2f..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "file:///etc/passwd", "\\etc\\passwd"]
    targets += [str(server.root), f"{server.root}/sessions/", __file__, "http://127.0.0.1:1/x", "//example.org/x"]
    for prefix in ("gradio_api/file=", "file=", "gradio_api/file/", "static/", "assets/", "gradio_api/proxy="):
        worst = ""
        for target in targets:
            answer = page.http.get(prefix + target)
            leak = answer.status_code == 200 and (
                SECRET in answer.text or "PATH=" in answer.text or "def " in answer.text
            )
            worst = f"{target}: {answer.text[:60]!r}" if leak else worst
        yield f"path: {prefix} with {len(targets)} paths", worst or "all refused", not worst
    link = folder / "link.png"
    link.symlink_to("/etc/passwd")
    answer = page.http.get(f"gradio_api/file={link}")
    held = SECRET not in answer.text
    yield "path: a symlink among the uploads, which no upload can make", f"{answer.status_code}", held
    link.unlink()
    for own_name in ("../../../../tmp/flowedit-evil.png", "/tmp/flowedit-evil.png", "..\\..\\evil.png", "a\0b.png"):
        sent = page.upload(own_name, b"evil")
        inside = isinstance(sent, str) or Path(sent["path"]).resolve().is_relative_to(server.root.resolve())
        held = inside and not Path("/tmp/flowedit-evil.png").exists()
        yield f"path: an upload by the name {own_name!r}", str(sent if isinstance(sent, str) else "kept inside"), held
    other = Page(server.address)
    for path in ("/etc/passwd", __file__, "https://example.org/x.png", "../../../etc/passwd", str(server.root)):
        payload = {"path": path, "meta": {"_type": "gradio.FileData"}}
        for element in ("drop", "open", "transfer"):
            said = other.status(other.call(element, "upload", payload))
            if SECRET in said or (path in said.replace(server.address, "") and path.startswith("/etc")):
                yield f"path: an event of {element} with {path}", said, False
    yield "path: events with paths that were not uploaded", "all refused", True
    page.close(), other.close()


def edit_files(server: Server, face: bytes) -> Iterator[Found]:
    """Edit files that are none."""
    page = Page(server.address)
    page.call("drop", "upload", page.upload("me.png", face))
    head = b'{"__metadata__":{"flowedit":"' + b"0" * 64 + b' {}"}}'
    files = {
        "noise": os.urandom(4096),
        "a pickle": b"\x80\x04cos\nsystem\n(S'touch /tmp/flowedit-evil'\ntR.",
        "a zip with ../": zipped(),
        "a head of 2^60 bytes": struct.pack("<Q", 1 << 60) + b"{}",
        "a head that names no tensors": struct.pack("<Q", len(head)) + head,
        "deep JSON": struct.pack("<Q", 100_000) + b"[" * 100_000,
        "nothing": b"",
    }
    for name, content in files.items():
        sent = page.upload("../../x.flowedit", content, "application/octet-stream")
        said = sent if isinstance(sent, str) else page.status(page.call("open", "upload", sent))
        held = "must be a file made by save_edit" in said and str(server.root) not in said
        yield f"edit file: {name}", said, held and not Path("/tmp/flowedit-evil").exists()
    page.close()


def values(server: Server, face: bytes) -> Iterator[Found]:
    """Prompts, numbers and places that no page sends."""
    page = Page(server.address)
    page.call("drop", "upload", page.upload("me.png", face))
    prompts = {"10,000 letters": "a" * 10_000, "HTML": EVIL, "nothing": "", "a null character": "a\0b"}
    prompts |= {"turned text": "a \u202e face", "no text": {"a": [1]}, "a number": 5}
    for name, prompt in prompts.items():
        shown = page.call("add", "click", prompt)
        said = page.status(shown)
        yield f"prompt: {name}", said, bool(said) and "<img" not in said and "\u202e" not in said
    for value in (1e9, -1.0, None, "x", [1], 1e308):
        said = page.status(page.call("shape", "input", value)) or "taken"
        yield f"slider: {value!r}", said, said != "taken"
    for place in ([1e9, 1e9], [-5, 3], None, "x", [None, None]):
        said = page.status(page.call("map", "select", "protect", chosen={"index": place, "value": None})) or "taken"
        yield f"click: {place!r}", said, said != "taken"
    page.close()


def crowd(server: Server, face: bytes) -> Iterator[Found]:
    """Fifty users at once, and one file that is too large."""

    def one(_: int) -> str:
        page = Page(server.address, timeout=600)
        try:
            sent = page.upload(f"{secrets.token_hex(3)}.png", face)
            if isinstance(sent, str):
                return sent
            said = page.status(page.call("drop", "upload", sent))
            return said if "pixels" not in said else page.status(page.call("add", "click", "a smiling face"))
        finally:
            page.close()

    start = time.perf_counter()
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(one, range(CALLERS)))
    edited = sum("a smiling face" in answer for answer in answers)
    others = sorted({answer[:90] for answer in answers if "a smiling face" not in answer})
    said = f"{edited} of {CALLERS} edited in {time.perf_counter() - start:.0f} s; others: {others}"
    yield "50 users at once, each a photo and a prompt", said, all(answers)
    page = Page(server.address)
    sent = page.upload("large.png", bytes((server.command.most_mb + 1) * 1_000_000))
    yield "an upload beyond the limit", str(sent)[:90], isinstance(sent, str) and sent.startswith("413")
    page.close()


def elsewhere(server: Server, face: bytes) -> Iterator[Found]:
    """Requests from pages elsewhere, and of ways that the app has no use for."""
    http = httpx.Client(base_url=server.address, trust_env=False)
    for host in ("evil.example", "127.0.0.1.evil.example"):
        answer = http.get("config", headers={"Host": host})
        yield f"a request for the host {host}", f"{answer.status_code} {answer.text}", answer.status_code == 421
    answer = http.post("gradio_api/queue/join", json={}, headers={"Origin": "https://evil.example"})
    allowed = answer.headers.get("access-control-allow-origin")
    yield "a call from a page elsewhere", f"{answer.status_code}, allowed origin {allowed}", allowed in (None, "null")
    for path in (
        "monitoring",
        "monitoring/summary",
        "docs",
        "openapi.json",
        "gradio_api/mcp/sse",
        "gradio_api/startup-events",
    ):
        answer = http.get(path)
        page = "gradio_config" in answer.text
        held = answer.status_code >= 400 or page or answer.text in ("true", "false")
        yield f"GET /{path}", f"{answer.status_code}", held
    info = http.get("gradio_api/info").json()
    named = len(info.get("named_endpoints", {}))
    yield "named endpoints for programs", f"{named}", named == 0
    answer = http.get("gradio_api/file=" + str(server.root), headers={"Range": "bytes=1-2-3"})
    yield "a broken range", f"{answer.status_code}", answer.status_code >= 400
    http.close()


ATTACKS: tuple[Callable[[Server, bytes], Iterator[Found]], ...] = (photos, paths, edit_files, values, elsewhere, crowd)


def listen_to_lookups() -> set[str]:
    """Return a set that gets the name of every host that this process looks up from now on, but its own."""
    asked: set[str] = set()
    look_up = socket.getaddrinfo

    def listen(host: Any, *rest: Any, **how: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host)
        if name not in ("127.0.0.1", "localhost", "::1", "None", socket.gethostname()):
            asked.add(name)
        return look_up(host, *rest, **how)

    socket.getaddrinfo = listen  # type: ignore[assignment]
    return asked


def main() -> int:
    """Run all; return 1 if the app did not hold."""
    chosen = [attack for attack in ATTACKS if attack.__name__ in sys.argv[1:]] or ATTACKS
    failed, face = 0, portrait()
    asked = listen_to_lookups()
    with Server(AppCommand(port=0, no_browser=True, most_mb=200), Config(steps=2)) as server:
        time.sleep(1)
        for attack in chosen:
            for name, answer, held in attack(server, face):
                failed += not held
                print(f"{'held  ' if held else 'BROKEN'} {name}: {' '.join(answer.split())[:200]}", flush=True)
        alive = httpx.get(server.address, trust_env=False).status_code == 200
        left = [path for path in server.root.rglob("*") if path.is_file()]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"alive: {alive}; {len(server.sessions)} sessions; {len(left)} files; peak {peak:.0f} MiB")
        root = server.root
    failed += bool(asked)
    print(f"other hosts looked up: {sorted(asked) or 'none'}")
    print(f"folder removed: {not root.exists()}; {failed} broken")
    return int(failed > 0 or not alive or root.exists())


if __name__ == "__main__":
    sys.exit(main())
