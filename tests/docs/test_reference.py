"""The reference in docs/api has every public name, and no other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import gpulr

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "api"
MODULES = ("callbacks", "datasets", "errors", "logistic", "show", "video")

if not REFERENCE.exists():
    pytest.skip("docs/api is not beside the tests", allow_module_level=True)


def listed() -> list[str]:
    """Return the names that autosummary makes pages of, and those that stand there themselves."""
    pages = sorted(REFERENCE.glob("*.md"))
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    themselves = re.findall(r"^\.\. py:data:: gpulr\.([\w.]+)$", text, re.MULTILINE)
    return [*re.findall(r"^   (?!:)([\w.]+)$", text, re.MULTILINE), *themselves]


def public() -> set[str]:
    """Return what gpulr and its submodules have in ``__all__``, without gpulr."""
    names = {name for name in gpulr.__all__ if name not in (*MODULES, "__version__")}
    for module in MODULES:
        for name in getattr(gpulr, module).__all__:
            if name not in names or getattr(gpulr, name) is not getattr(
                getattr(gpulr, module), name
            ):
                names.add(f"{module}.{name}")
    return names


def test_every_public_name_is_in_the_reference():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    pytest.importorskip("av", reason="PyAV is not installed")
    # Beside them are the types of what functions return.
    names = listed()
    assert public() - set(names) == set()
    assert {name for name in set(names) - public() if not name.startswith("model.")} == set()
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_no_page_replaces_another_where_capitals_are_not_told_apart():
    pages = re.findall(r"for name in \((.*?)\)", (DOCS / "conf.py").read_text(encoding="utf-8"))
    renamed = {f"gpulr.{name}" for name in re.findall(r'"(\w+)"', pages[0])}
    files = [f"gpulr.{name}" + "-class" * (f"gpulr.{name}" in renamed) for name in listed()]
    lower = Counter(name.lower() for name in files)
    assert [name for name, count in lower.items() if count > 1] == []
