"""A client of the app's page without a browser: it uploads, calls the page's events and reads what they show."""

from __future__ import annotations

import json
import secrets
from typing import Any

import httpx


class Page:
    """One user's page.

    Args:
        address: of a running app.
    """

    def __init__(self, address: str, timeout: float = 120.0) -> None:
        self.http = httpx.Client(base_url=address, timeout=timeout, trust_env=False)
        self.name = secrets.token_hex(6)
        self.config = self.http.get("config").json()
        names = {each["id"]: each["props"].get("elem_id") for each in self.config["components"]}
        self.events = {
            (names.get(target), event): each
            for each in self.config["dependencies"]
            for target, event in each["targets"]
        }
        self.names = names

    def upload(self, name: str, content: bytes, kind: str = "image/png") -> dict[str, Any] | str:
        """Upload a file as the browser does; return what an event takes for it, or the server's refusal."""
        answer = self.http.post("gradio_api/upload", files={"files": (name, content, kind)})
        if answer.status_code != 200:
            return f"{answer.status_code} {answer.text}"
        return {"path": answer.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    def call(self, element: str, event: str, *data: Any, chosen: Any = None) -> dict[str, Any]:
        """Call an event of an element; return what it shows, by the elements' names, or {"error": ...}."""
        found = self.events[element, event]
        body = {"data": list(data), "fn_index": found["id"], "session_hash": self.name, "event_data": chosen,
                "trigger_id": found["targets"][0][0]}  # fmt: skip
        if found["queue"] is False:
            answer = self.http.post("gradio_api/run/predict", json=body)
            return self._shown(found, answer.json()) if answer.status_code == 200 else {"error": answer.text[:300]}
        joined = self.http.post("gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            return {"error": joined.text[:300]}
        wanted, last = joined.json()["event_id"], None
        with self.http.stream("GET", "gradio_api/queue/data", params={"session_hash": self.name}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("event_id") not in (None, wanted):
                    continue
                if message.get("msg") in ("process_generating", "process_completed") and message.get("output"):
                    last = message["output"]
                if message.get("msg") == "process_completed":
                    ok = message.get("success", True)
                    return self._shown(found, message["output"]) if ok else {"error": str(message["output"])[:300]}
                if message.get("msg") in ("unexpected_error", "close_stream"):
                    break
        return {"error": f"no answer; last {last!r:.100}"}

    def status(self, shown: dict[str, Any]) -> str:
        """Return what the status line says, or the framework's own error."""
        value = shown.get("status", shown.get("error", ""))
        return str(value.get("value", value) if isinstance(value, dict) else value)

    def close(self) -> None:
        """Close the connection."""
        self.http.close()

    def _shown(self, found: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
        names = [self.names.get(identity) or str(identity) for identity in found["outputs"]]
        return dict(zip(names, output.get("data") or [], strict=False))
