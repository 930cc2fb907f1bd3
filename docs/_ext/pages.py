"""What makes a page of Markdown, which reads well where the repository is browsed, one of the site.

A page that links to ``../gpulr/logistic.py`` works where the repository is browsed; here the link
leads to that module's source as Sphinx shows it (viewcode), a package's to its ``__init__.py``,
whose docstring says what belongs in it, and others to the page that has the file's text.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.transforms.post_transforms import SphinxPostTransform

ROOT = Path(__file__).parents[2]
PAGES = {
    "CHANGELOG.md": "changelog",
    "CONTRIBUTING.md": "contributing",
    "README.md": "index",
    "SECURITY.md": "security",
    "bench/RESULTS.md": "performance",
}


def module_of(path: Path) -> str | None:
    """Return the name of the module that a file or a folder is; None for others."""
    path = path.parent if path.name == "__init__.py" else path
    file = path / "__init__.py" if path.is_dir() else path
    if file.suffix != ".py" or not file.exists() or not path.is_relative_to(ROOT / "gpulr"):
        return None
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


class SourceLinks(SphinxPostTransform):
    """Makes them references."""

    default_priority = 8  # before MyST resolves what it knows

    def run(self, **_: Any) -> None:
        """Replace the links of one page."""
        for node in list(self.document.findall(addnodes.download_reference)):
            self.replace(node)
        for node in list(self.document.findall(addnodes.pending_xref)):
            if node["reftype"] == "myst":
                self.replace(node)

    def replace(self, node: nodes.Element) -> None:
        """Replace one, if it leads out of docs/."""
        target, _, anchor = node["reftarget"].partition("#")
        path = (Path(self.env.doc2path(self.env.docname)).parent / target).resolve()
        if not path.exists():  # a page that includes a file of the root has its links
            path = (ROOT / target).resolve()
        if not path.is_relative_to(ROOT):
            return
        suffix = ".md" if node.get("refdomain") == "doc" else ""  # which MyST cuts off
        page = PAGES.get(f"{path.relative_to(ROOT)}{suffix}")
        if page is None:
            name = module_of(path)
            if name is None:
                return
            page = f"_modules/{name.replace('.', '/')}"
        uri = self.app.builder.get_relative_uri(self.env.docname, page)
        uri += f"#{anchor}" if anchor else ""
        node.replace_self(nodes.reference("", "", *node.children, refuri=uri, internal=True))


def show_linked_modules(app: Sphinx, env: Any) -> None:
    """Have viewcode show every module that a page may link to, not only what the reference has."""
    shown = env.__dict__.setdefault("_viewcode_modules", {})
    for path in sorted((ROOT / "gpulr").rglob("*.py")):
        name = module_of(path)
        if name and not shown.get(name):
            analyzer = ModuleAnalyzer.for_file(path, name)
            analyzer.find_tags()
            shown[name] = (analyzer.code, analyzer.tags, {}, name)


def without_last_blank_lines(app: Sphinx, docname: str, source: list[str]) -> None:
    """Drop the blank line that ends an example for doctest, and would be shown."""
    source[0] = source[0].replace("\n\n```\n", "\n```\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the above."""
    app.connect("source-read", without_last_blank_lines)
    app.add_post_transform(SourceLinks)
    app.connect("env-check-consistency", show_linked_modules)
    return {"parallel_read_safe": True}
