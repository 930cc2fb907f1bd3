"""How Sphinx builds the site: ``nox -s docs`` writes it to docs/_build/html.

Nothing is loaded from the network, neither by the build (docs/inventories has the names of other
projects' pages) nor by the site: it works from files. docs/_ext holds what is our own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpydoc.xref

import gpulr

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_ext"))
os.environ.pop("GPULR_DATA_HOME", None)  # examples run on the digits that scikit-learn ships

import gallery  # noqa: E402 - in _ext

project = "gpulr"
author = "The gpulr developers"
copyright = f"{author}, under the BSD 3-clause licence"  # noqa: A001 - Sphinx's name
release = version = gpulr.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    *("gallery", "mathml", "pages"),  # in _ext
]
root_doc = "index"
exclude_patterns = ["_build", "examples", "inventories"]
templates_path = ["_templates"]
nitpicky = True

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # numpydoc's Parameters say more
autodoc_member_order = "bysource"
autosummary_generate = True
autosummary_ignore_module_all = False
# On file systems that do not tell capitals apart, a page must not replace another.
autosummary_filename_map = {
    f"gpulr.{name}": f"gpulr.{name}-class" for name in ("Bootstrap", "Search")
}
numpydoc_show_class_members = False  # the template does
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"  # but for these; int, bool and the like need no link
numpydoc.xref.DEFAULT_LINKS.clear()
numpydoc_xref_aliases = {
    **{name: f"gpulr.{name}" for name in gpulr.__all__ if isinstance(getattr(gpulr, name), type)},
    "Axes": "matplotlib.axes.Axes",
    "Callback": "gpulr.callbacks.Callback",
    "Dataset": "gpulr.datasets.Dataset",
    "Evaluation": "gpulr.model.evaluation.Evaluation",
    "History": "gpulr.model.record.History",
    "MultilabelEvaluation": "gpulr.model.evaluation.MultilabelEvaluation",
}

intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", "inventories/python.inv"),
    "numpy": ("https://numpy.org/doc/stable/", "inventories/numpy.inv"),
    "scipy": ("https://docs.scipy.org/doc/scipy/", "inventories/scipy.inv"),
    "sklearn": ("https://scikit-learn.org/stable/", "inventories/sklearn.inv"),
    "matplotlib": ("https://matplotlib.org/stable/", "inventories/matplotlib.inv"),
}

sphinx_gallery_conf = gallery.configuration(DOCS)

html_math_renderer = "mathml"
html_theme = "pydata_sphinx_theme"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_title = "gpulr"
html_logo = html_favicon = "_static/logo.svg"
html_sidebars = {  # pages that have no pages below them
    page: [] for page in ("index", "start", "performance", "contributing", "changelog", "security")
}
html_show_sourcelink = False
html_show_search_summary = False  # browsers do not let pages that are files read other files
html_theme_options = {
    "footer_end": [],
    "header_links_before_dropdown": 8,
    "logo": {"text": "gpulr", "alt_text": "gpulr"},
    "navbar_align": "left",
    "pygments_dark_style": "github-dark-high-contrast",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": True,
    "show_toc_level": 2,
}
