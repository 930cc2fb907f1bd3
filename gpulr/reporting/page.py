"""The page itself: template, styles, script and data, in one file under one policy."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from gpulr._version import __version__
from gpulr.datasets import Dataset
from gpulr.errors import DataError, ParameterError, needs_extra
from gpulr.families.intervals import Bootstrap
from gpulr.families.search_result import Search, search_record
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.storage import is_model
from gpulr.output_files import check_folder, path_of, replace_file
from gpulr.show.predictions import labelled_rows
from gpulr.sources import Blocks

STYLES = "page.css", "draw.css", "charts.css", "media.css"
# What shows the data that a page may have.
SCRIPTS = {
    "model": ("ink", "answer", "canvas"),
    "trial": ("answer", "trial"),
    "behind": ("behind",),
    "thresholds": ("thresholds",),
}


def report(
    model: OneVsAll | Search | Bootstrap, path: str | Path, X: Any = None, y: Any = None
) -> None:
    """Write a report on a model: one HTML file that needs nothing else, not even a network.

    It shows the accuracies on the rows passed here, the worst mistakes, the course of training, the
    weights, settings, versions and a command that trains the model again. For models of grey images
    it has a canvas: draw a digit (or whatever the classes are), and see the probabilities change.

    Parameters
    ----------
    model : OneVsAll, Search or Bootstrap
        What to report on. For a search, it is the model that was refitted, with the scores that
        chose its C; for a bootstrap, the model of all rows, with the intervals of its weights.
    path : path-like
        The file to write, whose name ends in .html; a file that is there is replaced.
    X, y : labelled rows as for :meth:`OneVsAll.evaluate`, or a Dataset as X; optional
        Rows to evaluate the model on; without them, the page has no accuracies. A Dataset gives its
        test part, if it has one. Blocks bring their labels, or these are passed as y. Blocks of a
        Dask array are scored where they are, and only the worst mistakes come here.

    Raises
    ------
    DataError
        X, y do not fit the model.
    ModelFileError
        The file could not be written; what was there before is untouched.
    MissingExtraError
        Jinja2 or Pillow is not installed (the extra ``plot``).
    ParameterError
        No page can be written to the path, or the search has no model.

    Examples
    --------
    >>> import gpulr
    >>> data = gpulr.datasets.load_digits()
    >>> gpulr.report(gpulr.train(data), "report.html", data)  # doctest: +SKIP
    """
    search: Mapping[str, Any] | None = None
    if isinstance(model, Search):
        if model.model is None:
            raise ParameterError("This search has no model to report on; search with refit=True.")
        search, model = search_record(model), model.model
    replicates = None
    if isinstance(model, Bootstrap):
        replicates, model = model, model.model
    if not isinstance(model, OneVsAll):
        raise ParameterError(
            f"model is of type {type(model).__name__}; expected a trained model, as gpulr.train "
            "and gpulr.load return it, a search with a refitted one, or a bootstrap."
        )
    path = check_output(path)
    labelled_rows(X, y)  # refuses a Dataset with y
    if not isinstance(X, Dataset | Blocks) and (X is None) != (y is None):
        raise DataError("Pass both X and y to be evaluated on, or neither.")
    absent = "No labelled rows were passed to report()." if X is None else ""
    write(model, path, X, y, search=search, replicates=replicates, absent=absent)


def check_output(path: str | Path, name: str = "path") -> Path:
    """Return the path; ParameterError if no page must be written there.

    It has to end in .html, be in a folder that there is, and not be a folder or a model's file.
    """
    path = path_of(name, path)
    check_folder(path, f"{name} {path}", "report.html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise ParameterError(f"{name} {path}; expected a file name that ends in .html.")
    if path.is_file() and path.stat().st_size and is_model(path):
        raise ParameterError(f"{name} {path} is a model, which would be lost. Choose another path.")
    return path


def write(
    model: OneVsAll,
    path: Path,
    X: Any,
    y: Any,
    *,
    search: Mapping[str, Any] | None = None,
    replicates: Bootstrap | None = None,
    absent: str = "",
) -> None:
    """Write the page; the arguments are those of :func:`facts_of`, and checked."""
    with needs_extra("plot", "Writing a report needs Jinja2 and Pillow"):
        from gpulr.reporting.facts import facts_of

    put_together("page.html.j2", facts_of(model, X, y, search, replicates, absent), path)


def put_together(template: str, facts: Mapping[str, Any], path: Path) -> None:
    """Write a page of a template, what it says, styles, and the scripts of the parts that it has.

    Everything that is inserted is escaped, and the page's policy allows no other code.
    """
    with needs_extra("plot", "Writing a report needs Jinja2 and Pillow"):
        from jinja2 import Environment, PackageLoader, StrictUndefined
        from markupsafe import Markup

        from gpulr.reporting.words import FILTERS

    css = "\n".join(map(_lean, STYLES))
    environment = Environment(
        loader=PackageLoader("gpulr.reporting", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    js = _script([name for name, content in facts["data"].items() if content])
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(css)}; script-src {_hash(js)}; "
        "base-uri 'none'; form-action 'none'"
    )
    inserted = {
        "policy": Markup(policy),
        "css": Markup(css),
        "js": Markup(js),
        "version": __version__,
        "written": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    }
    page = environment.get_template(template).render(**facts, **inserted)
    # A path that is not Unicode has surrogates, which UTF-8 cannot hold.
    replace_file(path, page.encode("utf-8", "backslashreplace"), what="report")


def _script(data: Iterable[str]) -> str:
    """Return the script of a page that has these data: tables are in all of them."""
    names = ["tables", *(name for each in data for name in SCRIPTS[each])]
    texts = (_lean(f"{name}.js") for name in names)
    return '"use strict";\n(() => {\n' + "\n".join(texts) + "})();"


def _lean(name: str) -> str:
    """Return a file of styles or scripts without indentation and lines of comments."""
    text = (files("gpulr.reporting") / name).read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//"))


def _hash(text: str) -> str:
    """Return how a policy names a block of this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
