"""The site's pages, without Sphinx: each can be reached, every public name has an entry, links are checked."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import flowedit
import flowedit.config
from flowedit.checks import Group
from flowedit.transform.file import FORMAT

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in DOCS.rglob("*.md")}
PAGES |= {f"notebooks/{path.stem}": path for path in (ROOT / "examples" / "notebooks").glob("*.py")}
TEXT = "\n".join(path.read_text() for path in PAGES.values())


def module(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def below(page):
    """Names of the pages in a page's tables of contents."""
    text = PAGES[page].read_text() if PAGES[page].suffix == ".md" else ""
    entries = [
        line.strip()
        for table in re.findall(r"^```\{toctree\}\n(.*?)^```", text, re.M | re.S)
        for line in table.splitlines()
        if line.strip() and not line.startswith(":")
    ]
    folder = Path(page).parent
    return {(folder / entry).as_posix() for entry in entries}


def test_every_page_is_in_a_table_of_contents():
    reached, waiting = set(), {"index"}
    while waiting:
        page = waiting.pop()
        assert page in PAGES, f"a table of contents must name pages; got {page!r}"
        reached.add(page)
        waiting |= below(page) - reached
    assert reached == set(PAGES)


def test_every_public_name_has_an_entry():
    entries = set(re.findall(r"^\.\. auto\w+:: flowedit\.(\w+)$", TEXT, re.M))
    assert set(flowedit.__all__) - {"__version__"} == entries
    assert "`flowedit.__version__`" in TEXT


def test_every_group_of_settings_has_an_entry():
    groups = [value for value in vars(flowedit.config).values() if isinstance(value, type) and issubclass(value, Group)]
    names = {f"{group.__module__}.{group.__name__}" for group in groups} - {"flowedit.checks.Group"}
    assert names <= set(re.findall(r"^\.\. autoclass:: ([\w.]+)$", TEXT, re.M))


def test_every_format_of_the_edit_file_is_told():
    told = re.findall(r"^\| (\d+) \|", (DOCS / "edit_file.md").read_text().partition("## Formats")[2], re.M)
    assert list(map(int, told)) == list(range(1, FORMAT + 1))


def test_files_that_pages_include_are_there():
    conf = module("conf")
    for file, page in conf.INCLUDED.items():
        assert (ROOT / file).is_file() and page in PAGES
        assert page == "index" or f"{{include}} ../{file}\n" in PAGES[page].read_text()


def test_links_between_files_become_links_between_pages():
    conf = module("conf")
    text = "[a](../benchmarks/README.md#the-loop) [b](edits.md) [c](https://x.org/y.md) [d](nowhere.md)"
    there = conf.point_into_the_site(text, DOCS, DOCS / "howto")
    assert there == "[a](../benchmarks.md#the-loop) [b](../edits.md) [c](https://x.org/y.md) [d](nowhere.md)"
    notebook = "[e](../examples/notebooks/ablations.py)"
    assert conf.point_into_the_site(notebook, DOCS, DOCS / "howto") == "[e](../notebooks/ablations.py)"


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ('<a href="b.html#there">b</a> <a href="https://x.org">x</a> <img src="data:,">', 0),
        ('<a href="c.html">c</a>', 1),
        ('<a href="b.html#elsewhere">b</a>', 1),
        ('<script src="https://x.org/a.js"></script>', 1),
        ('<link rel="stylesheet" href="//x.org/a.css">', 1),
    ],
)
def test_a_link_that_leads_nowhere_and_a_page_that_loads_are_found(tmp_path, body, wrong):
    (tmp_path / "a.html").write_text(body)
    (tmp_path / "b.html").write_text('<p id="there">b</p>')
    (tmp_path / "searchindex.js").touch()
    lines, _ = module("check_site").check(tmp_path)
    assert len(lines) == wrong, lines
