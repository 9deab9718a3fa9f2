"""What the app's web server refuses and adds, before the page's own framework sees a request."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# Nothing is fetched from elsewhere, by the browser or by the server in its place.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' blob:; "
    "worker-src 'self' blob:; frame-ancestors 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}
_ELSEWHERE = re.compile(
    r"^(/gradio_api)?/(file[=/](\w+:|//)|proxy=|stream/|monitoring|mcp|vibe|component_server)", re.IGNORECASE
)


class Guard:
    """ASGI middleware: refuses requests for other hosts and for other servers' files, and adds headers to answers.

    A page elsewhere that resolves its own name to this machine (DNS rebinding) is such another host.

    Args:
        app: what it stands before.
        hosts: names that the server goes by, without ports; empty takes any.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], hosts: tuple[str, ...] = ()) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
        name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
        if self.hosts and name.strip("[]").lower() not in self.hosts:
            await _refuse(send, 421, "this server is for its own machine only")
            return
        if _ELSEWHERE.match(scope["path"]):
            await _refuse(send, 403, "this server fetches nothing")
            return

        async def add(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in HEADERS]
                message["headers"] = [*kept, *HEADERS.items()]
            await send(message)

        await self.app(scope, receive, add)


async def _refuse(send: Send, status: int, reason: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": reason.encode()})
