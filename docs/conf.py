"""The site: make docs. Pages are the Markdown of this folder; their pictures and notebooks are run by the build."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import tempfile
from pathlib import Path

import flowedit
from flowedit.checks import Group
from flowedit.config import Config
from flowedit.predict.one_pass import predict

ROOT = Path(__file__).resolve().parent.parent

project = "flowedit"
author = "The flowedit authors"
copyright = "The flowedit authors, MIT license"
version = release = flowedit.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["*.py"]  # of this folder: only the notebooks' scripts are pages
source_suffix = {".md": "myst-nb"}

# Notebooks are plain scripts with cells, and pages that show pictures have cells too.
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "force"  # pictures are those of the code as it is
nb_execution_raise_on_error = True
nb_execution_timeout = 600  # seconds of a cell, on a busy machine
nb_execution_show_tb = True
nb_merge_streams = True
myst_enable_extensions = ["colon_fence", "deflist", "attrs_block", "attrs_inline"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "separated"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_ivar = True
default_role = "py:obj"  # `name` in a docstring links where that name has an entry, and is code where it has none
viewcode_line_numbers = True

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
        return f"]({os.path.relpath(shown, page)}{mark}{anchor})"

    return re.sub(r"\]\(((?![a-z]+:)[^)\s]+)\)", change, text)


def read_page(app, docname, source):
    """Mend the links of a page."""
    folder = (ROOT / "docs" / docname).parent
    source[0] = point_into_the_site(source[0], folder, folder)


def read_included(app, path, docname, source):
    """Mend the links of a file that a page includes."""
    folder = (ROOT / "docs" / docname).parent
    source[0] = point_into_the_site(source[0], (folder / path).resolve().parent, folder)


def leave_out_settings(app, what, name, value, options, signature, returns):
    """Show no signature of a group of settings: its fields are listed below it."""
    if what == "class" and (value is Config or issubclass(value, Group)):
        return "", None
    return None


def add_range(app, what, name, value, options, lines):
    """Add to a setting what it may be, which its `number` holds."""
    module, _, field = name.rpartition(".")
    group = getattr(flowedit.config, module.rpartition(".")[2], None) if what == "attribute" else None
    for each in dataclasses.fields(group) if dataclasses.is_dataclass(group) else ():
        if each.name == field and "most" in each.metadata:
            least, above, most = (each.metadata[name] for name in ("least", "above", "most"))
            low = f"more than {above:g}" if above is not None else f"at least {least:g}" if least is not None else ""
            high = f"at most {most:g}" if most < 1e6 else ""
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
    prepare_kernels()
    flowedit.predict = predict  # the name is also the room's, whose signature says nothing
    app.connect("source-read", read_page)
    app.connect("include-read", read_included)
    app.connect("autodoc-process-signature", leave_out_settings)
    app.connect("autodoc-process-docstring", add_range)
