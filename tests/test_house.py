"""How the package is built: what stands where, and that imports go down only."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
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


def names() -> dict[str, Path]:
    """Return every module of the package, by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, modules: dict[str, Path]) -> set[str]:
    """Return the modules that a file imports: in functions, and for types alone, too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            each = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in modules else node.module for name in each}
    return found & modules.keys()


def test_imports_make_no_circle():
    modules = names()
    graph = {name: imports(path, modules) - {name} for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_modules_are_imported_by_name_in_two_places_only():
    by_name = {
        name
        for name, path in names().items()
        if "import_module" in path.read_text(encoding="utf-8")
    }
    assert by_name <= {"gpulr", "gpulr.backend.selection"}
