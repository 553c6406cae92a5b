"""How Sphinx builds the documentation: ``tox -e docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from lab_storage import __version__

project = "lab_storage"
author = "The lab_storage developers"
project_copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx_click",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"lab_storage {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]

# A name in single backquotes is one of ours, or else the build fails.
default_role = "py:obj"
nitpicky = True
nitpick_ignore_regex = [
    # Python's own names and those of others, whose documentation is not at hand without a
    # network.
    (r"py:.*", r"(datetime|collections|typing|kubernetes|responses|os|types|click)\..*"),
    (r"py:.*", r"(str|int|float|bool|bytes|dict|list|tuple|frozenset|object|None|self|optional)"),
    (r"py:.*", r"(Any|Callable|Collection|Generator|Iterable|Mapping|PathLike|Sequence|Self)"),
    (r"py:.*", r"(datetime|timedelta|TimeoutError|TypeError|ValueError|RuntimeError|ApiClient)"),
    (r"py:.*", r"V1\w+"),
    # The protocol of a logger, which its docstring and the tutorial describe.
    (r"py:.*", r"Logger"),
    # Of lab_storage.testing, which gives no names for them.
    (r"py:.*", r"(Effect|RequestMatch)"),
    (r"py:.*", r"(TracebackType|BaseException|Exception|AssertionError|collections)"),
]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
# Members are documented where they are, and attributes by their class.
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

myst_heading_anchors = 3
copybutton_prompt_text = "$ "
