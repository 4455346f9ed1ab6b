"""Settings of Sphinx: `sphinx-build -W -b html docs OUT`. Generated pages come from `_ext`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from mnistzoo import __version__

project = "mnistzoo"
author = "the authors of mnistzoo"
version = release = __version__
html_title = f"mnistzoo {__version__}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generate"]
exclude_patterns = [
    "_build",
    "_generated/parts",
    "_generated/root",
    "results",
    "development/adding",
]
html_extra_path = ["_generated/root"]
default_role = "code"

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_inline"]  # the classes of images

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
