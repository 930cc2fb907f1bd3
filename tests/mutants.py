"""How many small mistakes the tests of a room find: seeded mutants of gpulr, each on its own.

Each changes one expression of one file. It meets the quick tests of its own room (tests/ROOM, or
for a file outside the rooms tests/test_FILE.py), which have half a minute to fail::

    python tests/mutants.py --seed 0 --count 60
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 30
SWAPPED = {
    **{ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult},
}


class Mutant(NamedTuple):
    """``old`` at a place of a file becomes ``new``."""

    path: Path
    line: int
    column: int
    old: str
    new: str


def changed(node: ast.expr) -> ast.expr | None:
    """Return the mistaken form of an expression, or None if it has none."""
    match node:
        case ast.Compare(left, [operator], comparators):
            return ast.Compare(left, [SWAPPED[type(operator)]()], comparators)
        case ast.BinOp(left, operator, right) if type(operator) in SWAPPED:
            return ast.BinOp(left, SWAPPED[type(operator)](), right)
        case ast.BoolOp(operator, values):
            return ast.BoolOp(SWAPPED[type(operator)](), values)
        case ast.UnaryOp(ast.Not(), operand):
            return operand
        case ast.IfExp(test, body, other):
            return ast.IfExp(test, other, body)
        case ast.Constant(bool(value)):
            return ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            return ast.Constant(value + 1)
    return None


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of a file; annotations, docstrings and constants of modules stay."""
    text = path.read_text(encoding="utf-8")
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    lines = text.encode().split(b"\n")
    for statement in (statement for function in functions for statement in function.body):
        for node in ast.walk(statement):
            if not isinstance(node, ast.expr) or node.lineno != node.end_lineno:
                continue
            if (new := changed(node)) is not None:
                old = lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()
                yield Mutant(path, node.lineno, node.col_offset, old, f"({ast.unparse(new)})")


def tests_of(path: Path) -> str:
    """Return the tests of the room that a file stands in."""
    room = path.relative_to(ROOT / "gpulr").parts[0]
    own = f"tests/{room}" if not room.endswith(".py") else f"tests/test_{room}"
    return own if (ROOT / own).exists() else "tests/behaviour"


def is_killed(mutant: Mutant) -> bool:
    """Whether the tests of the room fail where the mistake is made."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "results"))
        target = copy / mutant.path.relative_to(ROOT)
        lines = target.read_bytes().split(b"\n")
        line, end = lines[mutant.line - 1], mutant.column + len(mutant.old.encode())
        lines[mutant.line - 1] = line[: mutant.column] + mutant.new.encode() + line[end:]
        target.write_bytes(b"\n".join(lines))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-m", "not (browser or slow or nightly)", tests_of(mutant.path)]
        environment = os.environ | {"GPULR_TEST_BACKENDS": "numpy", "PYTHONPATH": str(copy)}
        how = {"cwd": copy, "env": environment, "timeout": SECONDS, "capture_output": True}
        try:
            return subprocess.run(command, check=False, **how).returncode != 0
        except subprocess.TimeoutExpired:
            return False


def main() -> None:
    """Try the mutants, two at a time, and print which of them live."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60)
    options = parser.parse_args()
    files = sorted((ROOT / "gpulr").rglob("*.py"))
    every = [mutant for path in files for mutant in mutants_of(path)]
    chosen = random.Random(options.seed).sample(every, options.count)
    with ThreadPoolExecutor(2) as pool:
        killed = list(pool.map(is_killed, chosen))
    for mutant, dead in zip(chosen, killed, strict=True):
        if not dead:
            where = f"{mutant.path.relative_to(ROOT)}:{mutant.line}"
            print(f"lives: {where}: {mutant.old} → {mutant.new}")
    print(f"{sum(killed)} of {len(killed)} mutants were found (seed {options.seed})")


if __name__ == "__main__":
    main()
