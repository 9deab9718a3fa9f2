"""What the app's server refuses before the page sees it."""

from __future__ import annotations

import asyncio

import pytest

from flowedit.app.guard import HEADERS, Guard


def ask(path, host="127.0.0.1:7860", hosts=("localhost", "127.0.0.1", "::1")):
    """Return the status and the headers of the answer to a request."""
    sent = []

    async def page(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"Referrer-Policy", b"unsafe-url")]})
        await send({"type": "http.response.body", "body": b"page"})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": path, "headers": [(b"host", host.encode())]}
    asyncio.run(Guard(page, hosts)(scope, None, send))
    return sent[0]["status"], dict(sent[0]["headers"])


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost", "LOCALHOST:1", "[::1]:7860"])
def test_its_own_names_pass_and_nothing_is_loaded_from_elsewhere(host):
    status, headers = ask("/", host)
    assert status == 200 and headers.items() >= HEADERS.items() and b"Referrer-Policy" not in headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:7860", "", "localhost:80:x"])
def test_other_names_are_refused(host):
    assert ask("/", host)[0] == 421 and ask("/", host, hosts=())[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=http://127.0.0.1/x",
        "/file=HTTPS://example.org/x",
        "/gradio_api/file=//example.org/x",
        "/gradio_api/file/file:///etc/passwd",
        "/gradio_api/proxy=https://example.hf.space/x",
        "/gradio_api/stream/x",
    ],
)
def test_it_fetches_nothing_for_anyone(path):
    assert ask(path)[0] == 403
