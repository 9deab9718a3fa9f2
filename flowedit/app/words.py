"""What the page says, as HTML in which nothing of a user's is markup."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

from flowedit.app.console import escape

ENDINGS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp", "TIFF": ".tif"}  # of pictures, by what the page calls them


def text(words: str) -> str:
    """Return a text as HTML shows it."""
    return html.escape(escape(words))


def status(words: str, kind: str = "") -> str:
    """Return the status line: kind is "error", "busy" or nothing."""
    role = "alert" if kind == "error" else "status"
    return f'<div class="status {kind}" role="{role}">{text(words)}</div>' if words else ""


def progress(done: int, total: int, picture: bytes | None, words: str) -> str:
    """Return a search's progress, with the face as it is now where there is one (a PNG)."""
    data = "" if picture is None else base64.b64encode(picture).decode()
    image = f'<img alt="the face as it is now" src="data:image/png;base64,{data}">' if data else ""
    bar = f'<progress max="{total}" value="{done}"></progress>'
    return f'<div class="working" role="status">{image}<div>{text(words)}<br>{bar}</div></div>'


def explanation(facts: Mapping[str, Any]) -> str:
    """Return what `Edit.explain` measured as lines for a reader."""
    parts = [f"<p>{text(_prompts(facts['prompts']))}, strength {facts['strength']:.2f} "
             f"({text(facts['strength_reason'])})</p>"]  # fmt: skip
    if facts.get("identity_distance") is not None:
        distance = facts["identity_distance"]
        parts.append(f"<p>Identity: {distance:.2f} away from the photo; 0.6 would be another person.</p>")
    for name, face in facts["faces"].items():
        several = f" ({text(name)})" if len(facts["faces"]) > 1 else ""
        parts.append(_listed(f"What moved{several}", face["points"], "Nothing that has a name."))
        parts.append(_listed(f"What was colored{several}", face["colors"], "Nothing that is seen."))
        if face["changed_share"] is not None:
            share = 100 * face["changed_share"]
            parts.append(f"<p>{share:.0f} % of the pixels around the face changed, and none outside.</p>")
    return f'<div class="why">{"".join(parts)}</div>'


def table(rows: Sequence[tuple[str, float | None, str]], total: int) -> str:
    """Return what became of photos: names, strengths, errors."""
    lines = "".join(
        f"<tr><td>{text(name)}</td><td>{'' if strength is None else f'{strength:.2f}'}</td><td>{text(error)}</td></tr>"
        for name, strength, error in rows
    )
    head = "<tr><th>Photo</th><th>Strength</th><th>What went wrong</th></tr>"
    bar = f'<progress max="{total}" value="{len(rows)}"></progress>'
    failed = sum(bool(error) for _, _, error in rows)
    said = f"{len(rows) - failed} of {total} edited, {failed} failed"
    return f'<div class="rows" role="status"><p>{said}</p>{bar}<table>{head}{lines}</table></div>'


def _prompts(prompts: Mapping[str, float]) -> str:
    shown = (f"“{words}”" + (f" × {weight:g}" if weight != 1 else "") for words, weight in prompts.items())
    return " + ".join(shown)


def _listed(title: str, lines: Sequence[str], none: str) -> str:
    items = "".join(f"<li>{text(line)}</li>" for line in lines) or f"<li>{text(none)}</li>"
    return f"<h4>{text(title)}</h4><ul>{items}</ul>"
