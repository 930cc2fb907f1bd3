"""How many small mistakes the tests of a room find: seeded mutants of gpulr, each on its own.

Each changes one expression of one file. It meets the tests of its own room (tests/ROOM, or for a
file outside the rooms tests/test_FILE.py), which have half a minute to fail::

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
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 30
COMPARISONS = {
    **{ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt},
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In},
}
OPERATORS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}


@dataclass(frozen=True)
class Mutant:
    """``old`` at a place of a file becomes ``new``."""

    path: Path
    line: int
    column: int
    old: str
    new: str


def changed(node: ast.expr) -> ast.expr | None:
    """Return the mistaken form of an expression, or None if it has none."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        operator = COMPARISONS[type(node.ops[0])]()
        return ast.Compare(node.left, [operator], node.comparators)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
    if isinstance(node, ast.BoolOp):
        return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand
    if isinstance(node, ast.IfExp):
        return ast.IfExp(node.test, node.orelse, node.body)
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        return ast.Constant(not node.value)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return ast.Constant(node.value + 1)
    return None


def mutants_of(path: Path) -> Iterator[Mutant]:
    """Yield every mutant of a file; annotations, docstrings and constants of modules stay."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for statement in function.body:
            for node in ast.walk(statement):
                if not isinstance(node, ast.expr) or node.lineno != node.end_lineno:
                    continue
                new, old = changed(node), ast.get_source_segment(text, node)
                if new is not None and old:
                    yield Mutant(path, node.lineno, node.col_offset, old, f"({ast.unparse(new)})")


def tests_of(path: Path) -> list[str]:
    """Return the tests of the room that a file stands in."""
    room = path.relative_to(ROOT / "gpulr").parts[0]
    own = ROOT / "tests" / (room if not room.endswith(".py") else f"test_{room}")
    return [str(own.relative_to(ROOT))] if own.exists() else ["tests/behaviour"]


def is_killed(mutant: Mutant) -> bool:
    """Whether the tests of the room fail where the mistake is made."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "results"))
        target = copy / mutant.path.relative_to(ROOT)
        lines = target.read_bytes().split(b"\n")
        line = lines[mutant.line - 1]
        end = mutant.column + len(mutant.old.encode())
        lines[mutant.line - 1] = line[: mutant.column] + mutant.new.encode() + line[end:]
        target.write_bytes(b"\n".join(lines))
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-m", "not browser and not slow", *tests_of(mutant.path)]
        environment = os.environ | {"GPULR_TEST_BACKENDS": "numpy", "PYTHONPATH": str(copy)}
        try:
            done = subprocess.run(
                command,
                cwd=copy,
                env=environment,
                timeout=SECONDS,
                capture_output=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return done.returncode != 0


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
