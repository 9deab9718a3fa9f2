"""The site: make docs. Pages are the Markdown of this folder; their pictures and notebooks are run by the build."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path

import flowedit
from flowedit.checks import Group
from flowedit.config import Config
from flowedit.predict.one_pass import predict

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "examples" / "notebooks"  # copied to docs/notebooks: pages must lie in one folder

project = "flowedit"
author = "The flowedit authors"
copyright = "The flowedit authors, MIT license"
version = release = flowedit.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["*.py"]  # of this folder: only the notebooks' scripts are pages
source_suffix = {".md": "myst-nb"}

# Notebooks are plain scripts with cells, and pages that show pictures have cells too.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"  # pictures are those of the code as it is
nb_execution_raise_on_error = True
nb_execution_timeout = -1  # seconds of a cell are no sign of an error on a busy machine
nb_execution_show_tb = True
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block", "attrs_inline"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "py:obj"  # `name` in a docstring links where that name has an entry, and is code where it has none

html_theme = "furo"
html_title = f"flowedit {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}

# Files outside of this folder that are pages of the site, by the page that includes each.
INCLUDED = {
    "benchmarks/README.md": "benchmarks",
    "flowedit/weights/faceclip/README.md": "faceclip",
    "flowedit/weights/predictor/README.md": "predictor",
    "flowedit/weights/hair/README.md": "hair",
    "flowedit/weights/average_faces/README.md": "average_faces",
    "flowedit/weights/expressions/README.md": "expressions",
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "SECURITY.md": "security",
    "README.md": "index",
}


def point_into_the_site(text: str, folder: Path, page: Path) -> str:
    """Turn links between the repository's files into links between the pages that hold them.

    Args:
        text: Markdown.
        folder: of the file that the text is of.
        page: folder of the page that shows it.
    """

    def change(match: re.Match[str]) -> str:
        path, mark, anchor = match[1].partition("#")
        target = Path(os.path.normpath(folder / path))
        if not path or not target.exists():
            return match[0]
        name = target.relative_to(ROOT).as_posix()
        shown = ROOT / "docs" / f"{INCLUDED[name]}.md" if name in INCLUDED else target
        if target.parent == NOTEBOOKS:
            shown = ROOT / "docs" / NOTEBOOKS.name / target.name
        return f"]({os.path.relpath(shown, page)}{mark}{anchor})"

    return re.sub(r"\]\(((?![a-z]+:)[^)\s]+)\)", change, text)


def read_page(app, docname, source):
    """Mend the links of a page."""
    page = (ROOT / "docs" / docname).parent
    source[0] = point_into_the_site(source[0], NOTEBOOKS if page.name == NOTEBOOKS.name else page, page)


def read_included(app, path, docname, source):
    """Mend the links of a file that a page includes."""
    folder = (ROOT / "docs" / docname).parent
    source[0] = point_into_the_site(source[0], (folder / path).resolve().parent, folder)


def leave_out_settings(app, what, name, value, options, signature, returns):
    """Show no signature of a group of settings: its fields are listed below it."""
    if what == "class" and (value is Config or issubclass(value, Group)):
        return "", None
    return None


def keep_colons(app, what, name, value, options, lines):
    """Keep napoleon from taking what stands before a colon for a type, in a setting's text and below `Returns:`."""
    firsts = [0] if what == "attribute" and lines else []
    firsts += [number + 1 for number, line in enumerate(lines[:-1]) if line.strip() == "Returns:"]
    for first in firsts:
        text = lines[first].lstrip()
        lines[first] = f"{' ' * (len(lines[first]) - len(text))}: {text}"


def add_range(app, what, name, value, options, lines):
    """Add to a setting what it may be, which its `number` holds."""
    module, _, field = name.rpartition(".")
    group = getattr(flowedit.config, module.rpartition(".")[2], None) if what == "attribute" else None
    for each in dataclasses.fields(group) if dataclasses.is_dataclass(group) else ():
        if each.name == field and "most" in each.metadata:
            least, above, most = (each.metadata[name] for name in ("least", "above", "most"))
            low = f"more than {above:g}" if above is not None else f"at least {least:g}" if least is not None else ""
            low, high = low if (least or 0) > -1e6 else "", f"at most {most:g}" if most < 1e6 else ""
            lines += ["", f"Must be {' and '.join(filter(None, (low, high)))}.", ""] if low or high else []


def prepare_kernels():
    """Give the notebooks' kernels one thread, nobody's own profile of IPython, and nothing to tell."""
    profile = Path(tempfile.mkdtemp()) / "profile_default"
    profile.mkdir()
    (profile / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 'CRITICAL'\n")
    os.environ["IPYTHONDIR"] = str(profile.parent)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.getLogger("traitlets").setLevel(logging.ERROR)


def setup(app):
    """Connect the above."""
    shutil.rmtree(ROOT / "docs" / NOTEBOOKS.name, ignore_errors=True)
    shutil.copytree(NOTEBOOKS, ROOT / "docs" / NOTEBOOKS.name, ignore=lambda *_: ["__pycache__"])
    prepare_kernels()
    flowedit.predict = predict  # the name is also the room's, whose signature says nothing
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    app.connect("autodoc-process-signature", leave_out_settings)
    app.connect("autodoc-process-docstring", keep_colons, priority=400)  # napoleon's is 500
    app.connect("autodoc-process-docstring", add_range)
