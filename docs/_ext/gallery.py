"""The gallery: which examples run at build time, and the pictures they end in.

An example runs if what it imports is installed; the page of one that did not run says so.
"""

from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

FOLDER = "gallery"  # made by the build, not kept
ORDER = [  # as one learns; what is not named here comes last
    *("digit_weights", "gradient_descent", "preconditioner"),
    *("choosing_c", "weights_along_c", "odds_ratios"),
    *("rare_labels", "calibration", "label_errors", "linear_probe"),
    *("rows_in_parts", "dask_cluster", "interrupted"),
]


def missing(example: Path) -> list[str]:
    """Return the packages that an example imports at its top and that are not installed."""
    tree = ast.parse(example.read_text(encoding="utf-8"))
    named = [
        alias.name for node in tree.body if isinstance(node, ast.Import) for alias in node.names
    ]
    named += [node.module or "" for node in tree.body if isinstance(node, ast.ImportFrom)]
    roots = dict.fromkeys(name.partition(".")[0] for name in named)
    return [root for root in roots if find_spec(root) is None]


def configuration(docs: Path) -> dict[str, Any]:
    """Return what Sphinx-Gallery is told."""
    run = [path.name for path in sorted((docs / "examples").glob("*.py")) if not missing(path)]
    return {
        "examples_dirs": "examples",
        "gallery_dirs": FOLDER,
        "within_subsection_order": "gallery.place",
        "filename_pattern": rf"/(?:{'|'.join(map(re.escape, run))})$",
        "image_scrapers": ("gallery", "matplotlib"),
        "doc_module": ("gpulr",),
        "backreferences_dir": "gallery/backreferences",
        "capture_repr": (),
        "default_thumb_file": str(docs / "_static" / "logo.svg"),
        "download_all_examples": False,
        "min_reported_time": 10**6,
        "write_computation_times": False,
        "show_signature": False,
        "remove_config_comments": True,
    }


def place(name: str) -> tuple[int, str]:
    """Return what the examples of the gallery are sorted by."""
    stem = Path(name).stem
    return (ORDER.index(stem) if stem in ORDER else len(ORDER)), stem


def picture(block: Any, variables: dict[str, Any], conf: dict[str, Any]) -> str:
    """Return the picture that a block of code ends in, of figures that are not pyplot's."""
    ended_in = variables["example_globals"].get("___")
    figure = getattr(ended_in, "figure", ended_in)
    if not hasattr(figure, "savefig"):
        return ""
    path = next(variables["image_path_iterator"])
    figure.savefig(path, format="png", bbox_inches="tight", dpi=144)
    return figure_rst([path], conf["src_dir"])


def _get_sg_image_scraper() -> Any:
    return picture  # Sphinx-Gallery finds it by this module's name, which unlike it can be cached


def say_what_did_not_run(app: Sphinx, docname: str, source: list[str]) -> None:
    """Say below the title of an example that it did not run, and why."""
    folder, _, name = docname.partition("/")
    example = Path(app.srcdir, "examples", f"{name}.py")
    if folder != FOLDER or not example.exists() or not (packages := missing(example)):
        return
    title = re.compile(r"^(=+|-+|~+|#+|\*+)$", re.MULTILINE)
    words = f"This example needs {' and '.join(packages)}, and did not run when this page was made."
    note = f"\n\n.. note::\n\n   {words}\n"
    source[0] = title.sub(lambda found: found[0] + note, source[0], count=1)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the above."""
    app.connect("source-read", say_what_did_not_run)
    return {"parallel_read_safe": True}
