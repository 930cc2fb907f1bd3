"""Check the links of the built site: ``python docs/check_links.py docs/_build/html``.

Each link, picture, script and style inside has to be there, and its anchor too. Nothing that a page
loads may be elsewhere. Links to elsewhere are not followed; those that are no https are told.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("source", "src"), ("video", "src"), ("iframe", "src")}
# Pages that Sphinx makes for other programs, or that hold nothing of ours.
LEFT_OUT = ("_static/",)


class Page(HTMLParser):
    """A page's anchors, and what it links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[tuple[str, bool]] = []  # where to, and whether it is loaded
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element's."""
        named = {name: value for name, value in attrs if value}
        self.anchors |= {named[name] for name in ("id", "name") if name in named}
        for name, value in named.items():
            if name in ("href", "src") and (tag, named.get("rel")) != ("link", "canonical"):
                self.links.append((value, (tag, name) in LOADED or tag == "link"))


def faults(site: Path) -> list[str]:
    """Return what is wrong with the links of a site, a line each."""
    paths = sorted(site.rglob("*.html"))
    found = {path: Page(path.read_text(encoding="utf-8")) for path in paths}
    shown = {
        p: page for p, page in found.items() if not str(p.relative_to(site)).startswith(LEFT_OUT)
    }
    wrong = []
    for path, page in shown.items():
        for link, is_loaded in dict.fromkeys(page.links):
            if fault := fault_of(path, link, is_loaded, found):
                wrong.append(f"{path.relative_to(site)}: {link}: {fault}")
    return wrong


def fault_of(path: Path, link: str, is_loaded: bool, pages: dict[Path, Page]) -> str | None:
    """Return what is wrong with one link of a page; None if nothing is."""
    parts = urlsplit(link)
    if parts.scheme == "data":
        return None
    if parts.scheme or parts.netloc:
        if is_loaded:
            return "a page loads nothing from elsewhere"
        well_formed = parts.scheme == "https" and "." in parts.netloc
        return None if well_formed or parts.scheme == "mailto" else "expected https://…"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "there is no such file"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return "the page has no such anchor"
    return None


def main() -> int:
    """Print what is wrong; return 1 if anything is."""
    wrong = faults(Path(sys.argv[1]).resolve())
    print("\n".join(wrong) or "Links lead somewhere.")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
