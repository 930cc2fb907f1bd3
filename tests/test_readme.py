"""The README's examples print what it shows, and what it and the docs point at is there."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (README, *sorted((ROOT / "docs").glob("*.md")))
    if path.exists()
}
EXAMPLES = {  # the blocks of a page are one session
    path: "\n".join(re.findall(r"```pycon\n(.*?)```", text, re.DOTALL))
    for path, text in PAGES.items()
    if "```pycon" in text
}


@pytest.mark.parametrize("page", EXAMPLES, ids=lambda page: page.stem)
def test_examples(page, tmp_path, monkeypatch):
    code = EXAMPLES[page]
    named = re.findall(r"^>>> (?:import|from) (\w+)", code, re.MULTILINE)
    for package in {*named, *(["pandas"] if "as_frame=True" in code else [])}:
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    example = doctest.DocTestParser().get_doctest(code, {}, page.stem, None, 0)
    failures: list[str] = []
    doctest.DocTestRunner(verbose=False).run(example, out=failures.append)
    assert not failures, "".join(failures)
    assert example.examples


@pytest.mark.skipif(not README.exists(), reason="README.md is not beside the tests")
def test_the_readme_is_short_and_has_examples():
    assert len(PAGES[README].splitlines()) <= 150
    assert EXAMPLES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", PAGES[page])
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize(
    "name",
    [
        *("families.training", "families.search", "families.out_of_fold"),
        *("families.learning_curve", "families.permutation_test", "model.comparison"),
        "sources.blocks",
    ],
)
def test_docstring_examples(name):
    result = doctest.testmod(import_module(f"gpulr.{name}"))
    assert result.attempted
    assert not result.failed
