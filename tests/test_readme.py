"""The README's examples print what the README shows."""

from __future__ import annotations

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def examples():
    if not README.exists():
        return []
    blocks = re.findall(r"```pycon\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    parser = doctest.DocTestParser()
    return [parser.get_doctest(block, {}, f"README {i}", None, 0) for i, block in enumerate(blocks)]


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
def test_example(example, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failures: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(example, out=failures.append)
    assert not failures, "".join(failures)
    assert example.examples


def test_there_are_examples():
    assert examples()


@pytest.mark.parametrize("name", ["families.training", "families.search"])
def test_docstring_examples(name):
    result = doctest.testmod(import_module(f"gpulr.{name}"))
    assert result.attempted
    assert not result.failed
