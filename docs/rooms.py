"""Draw the rooms of the package and what they import, from the imports themselves: python docs/rooms.py

Writes docs/images/rooms.svg, and the list between the marks in docs/architecture.md; a test compares both.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
MARKS = "<!-- rooms -->", "<!-- /rooms -->"
WIDTH, HEIGHT, GAP_X, GAP_Y = 104, 34, 22, 34


def rooms() -> dict[str, set[str]]:
    """Return each room, or file beside the rooms, and the rooms that it imports, type-checking imports too."""
    found: dict[str, set[str]] = {}
    package = ROOT / "flowedit"
    sources = [path for path in package.rglob("*.py") if "kernels" not in path.relative_to(package).parts]
    for path in [*sources, *(ROOT / "kernels").rglob("*.py")]:
        room = _room(path)
        found.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                base = node.module or ""
                names = [f"{base}.{alias.name}" for alias in node.names] if base == "flowedit" else [base]
            found[room] |= {name.split(".")[1] for name in names if name.startswith("flowedit.")} - {room}
    shown = {room for room in found if room[0] != "_"}  # neither the version nor the package's own two files
    return {room: found[room] & shown for room in shown}


def _room(path: Path) -> str:
    if ROOT / "kernels" in path.parents:
        return "kernels"
    inside = path.relative_to(ROOT / "flowedit").parts
    return inside[0] if len(inside) > 1 else path.stem


def levels(uses: dict[str, set[str]]) -> dict[str, int]:
    """Return each room's height: one more than the highest room that it uses."""

    @cache
    def height(room: str) -> int:
        return 1 + max((height(name) for name in uses[room] if name in uses), default=-1)

    return {room: height(room) for room in uses}


def direct(uses: dict[str, set[str]]) -> dict[str, set[str]]:
    """Leave out the arrows that others imply: what is used by what is used."""

    @cache
    def below(room: str) -> frozenset[str]:
        return frozenset(uses[room]).union(*(below(name) for name in uses[room]))

    return {room: names - set().union(*(below(name) for name in names)) for room, names in uses.items()}


def as_text(uses: dict[str, set[str]]) -> str:
    """Return a line for each room, the highest first: what it uses directly, implied arrows left out."""
    height, arrows = levels(uses), direct(uses)
    order = sorted(uses, key=lambda room: (-height[room], room))
    lines = [f"{room:<10} -> {', '.join(sorted(arrows[room]))}" if arrows[room] else room for room in order]
    return "```\n" + "\n".join(lines) + "\n```"


def as_svg(uses: dict[str, set[str]]) -> str:
    """Return the same as a picture, the highest room on top."""
    height, arrows = levels(uses), direct(uses)
    rows = [sorted(room for room in uses if height[room] == k) for k in range(max(height.values()), -1, -1)]
    broad = max(map(len, rows)) * (WIDTH + GAP_X) + GAP_X
    place: dict[str, tuple[float, float]] = {}
    for k, row in enumerate(rows):
        left = (broad - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        place |= {room: (left + i * (WIDTH + GAP_X), GAP_Y + k * (HEIGHT + GAP_Y)) for i, room in enumerate(row)}
    tall = GAP_Y + len(rows) * (HEIGHT + GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {broad} {tall}" font-family="sans-serif"'
        ' font-size="14">',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#667"/></marker></defs>',
        f'<rect width="{broad}" height="{tall}" fill="#fff"/>',
    ]
    for room in sorted(uses):
        x, y = place[room]
        for name in sorted(arrows[room]):
            to_x, to_y = place[name]
            ends = f'x1="{x + WIDTH / 2}" y1="{y + HEIGHT}" x2="{to_x + WIDTH / 2}" y2="{to_y}"'
            parts.append(f'<line {ends} stroke="#667" marker-end="url(#a)"/>')
    for room in sorted(uses):
        x, y = place[room]
        parts.append(f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="#eef3fb" stroke="#446"/>')
        middle = f'x="{x + WIDTH / 2}" y="{y + HEIGHT / 2 + 5}" text-anchor="middle"'
        parts.append(f"<text {middle}>{room}</text>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def filled(page: str, uses: dict[str, set[str]]) -> str:
    """Return the page with the list between its marks."""
    head, rest = page.split(MARKS[0])
    return f"{head}{MARKS[0]}\n{as_text(uses)}\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


if __name__ == "__main__":
    page = ROOT / "docs" / "architecture.md"
    page.write_text(filled(page.read_text(), rooms()))
    (ROOT / "docs" / "images" / "rooms.svg").write_text(as_svg(rooms()))
