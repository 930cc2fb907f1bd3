"""The check of the site's links finds what is wrong, and nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docs" / "check_links.py"
if not SCRIPT.exists():
    pytest.skip("docs is not beside the tests", allow_module_level=True)


@pytest.fixture
def faults():
    spec = importlib.util.spec_from_file_location("check_links", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.faults


def test_right_links_pass(faults, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "picture.png").touch()
    (tmp_path / "sub" / "other.html").write_text(
        '<h1 id="top">A</h1><a href="../a.html#b%20c">x</a>'
    )
    (tmp_path / "a.html").write_text(
        '<p id="b c">B</p><a href="#b c">x</a><a href="sub/other.html#top">x</a>'
        '<img src="picture.png"><img src="data:image/png;base64,AA"><a href="mailto:a@b.c">x</a>'
        '<a href="https://example.org/page#there">x</a>'
    )
    assert faults(tmp_path) == []


@pytest.mark.parametrize(
    ("html", "fault"),
    [
        ('<a href="none.html">x</a>', "there is no such file"),
        ('<a href="a.html#none">x</a>', "the page has no such anchor"),
        ('<a href="#none">x</a>', "the page has no such anchor"),
        ('<img src="none.png">', "there is no such file"),
        ('<a href="http://example.org">x</a>', "expected https://…"),
        ('<a href="https://localhost">x</a>', "expected https://…"),
        ('<script src="https://example.org/x.js"></script>', "a page loads nothing from elsewhere"),
        (
            '<link rel="stylesheet" href="//example.org/x.css">',
            "a page loads nothing from elsewhere",
        ),
    ],
)
def test_wrong_links_are_told(faults, tmp_path, html, fault):
    (tmp_path / "a.html").write_text(html)
    (found,) = faults(tmp_path)
    assert found.startswith("a.html: ")
    assert found.endswith(fault)
