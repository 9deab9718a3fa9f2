"""Check a built site: links within it lead somewhere, and no page loads anything from elsewhere.

python docs/check_site.py FOLDER [--external]: --external asks for the links that lead out of it as well, where there is
a network.
"""

from __future__ import annotations

import argparse
import sys
import urllib.request
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "source": "src", "iframe": "src", "video": "src"}  # and style sheets
TIMEOUT_S = 20


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.add(values["href"])
        elif tag == "link" and values.get("rel") in ("stylesheet", "icon", "preload", "preconnect"):
            self.loaded.add(values["href"])
        elif tag in LOADED and LOADED[tag] in values:
            self.loaded.add(values[LOADED[tag]])


def check(folder: Path) -> tuple[list[str], set[str]]:
    """Return what is wrong, a line each, and the links that lead out of the site."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.html"))}
    wrong, outside = [], set()
    for path, page in pages.items():
        name = path.relative_to(folder.resolve())
        for link in sorted(page.links | page.loaded):
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if link in page.loaded:
                    wrong.append(f"{name} loads {link}")
                outside.add(link)
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                wrong.append(f"{name} links to {link}, which is not there")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                wrong.append(f"{name} links to {link}, an anchor that is not there")
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        if any(mark in text for mark in ('@import "http', "@import url(http", "url(http", 'url("http', "url(//")):
            wrong.append(f"{path.relative_to(folder)} loads something from elsewhere")
    if not (folder / "searchindex.js").is_file():
        wrong.append("searchindex.js, which the search reads, is not there")
    return wrong, outside


def answers(link: str) -> bool:
    """Return whether a page out of the site is there."""
    request = urllib.request.Request(link, headers={"User-Agent": "Mozilla/5.0"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return True
    except OSError:
        return False


def main() -> None:
    """Say what is wrong; exit with 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--external", action="store_true")
    options = parser.parse_args()
    wrong, outside = check(options.folder)
    if options.external:
        wrong += [f"{link} does not answer" for link in sorted(outside) if not answers(link)]
    for line in wrong:
        print(line, file=sys.stderr)
    asked = "asked for" if options.external else "not asked for"
    print(f"{options.folder}: {len(wrong)} broken links; {len(outside)} links out of the site, {asked}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
