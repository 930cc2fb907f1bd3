"""How the package is built: what stands where, and that imports go down only."""

from __future__ import annotations

import ast
from pathlib import Path

import gpulr

PACKAGE = Path(gpulr.__file__).parent
LOOSE_FILES = 9


def test_few_files_stand_outside_the_rooms():
    loose = [path.name for path in PACKAGE.glob("*.py")]
    assert len(loose) <= LOOSE_FILES, sorted(loose)


def test_no_room_is_called_like_a_public_function():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    functions = {name for name in gpulr.__all__ if callable(getattr(gpulr, name))}
    assert not rooms & functions


def test_every_room_says_what_it_is_for():
    for path in PACKAGE.glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path
