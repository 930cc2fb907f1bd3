"""`gpulr compare`: two saved models on the same rows, in the terminal and on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.text import Text

from gpulr.cli import terminal
from gpulr.cli.data import data_for, say_dataset
from gpulr.cli.tables import Cell, table
from gpulr.cli.terminal import on_one_line
from gpulr.datasets.dataset import test_rows
from gpulr.errors import needs_extra
from gpulr.model.comparison import Comparison, check_alike
from gpulr.model.comparison import compare as compared
from gpulr.model.one_vs_all import load
from gpulr.reporting import page

ROWS = 10  # of those that a model alone gets right


def compare(
    *,
    a: Path,
    b: Path,
    data: str | None = None,
    label: str | None = None,
    level: float,
    seed: int,
    report: Path | None = None,
    json: bool,
) -> None:
    """Compare two models on the test part of the first one's data, or on other data."""
    if report is not None:
        page.check_output(report, "--report")
        with needs_extra("plot", "Writing a report needs Jinja2 and Pillow"):
            from gpulr.reporting import comparing
    models = load(a), load(b)
    check_alike(*models, level=level, names=(on_one_line(a), on_one_line(b)))
    dataset = data_for(models[0], data, label)
    part, X, y = test_rows(dataset)
    say_dataset(dataset)
    found = compared(*models, X, y, level=level, random_state=seed)
    if report is not None:
        where = f"{part} rows of {dataset.name}"
        comparing.write(found, report, models, (a.name, b.name), X, y, where=where)
        terminal.say_written(report)
    if json:
        about = {"a": a, "b": b, "data": dataset.name, "part": part, "report": report}
        terminal.print_json(about | record(found))
    else:
        _show(found, (a, b), f"{dataset.name}, {part} rows: {found.n_rows:,}")


def record(found: Comparison) -> dict[str, Any]:
    """Return a comparison for JSON."""

    def columns(table: Any) -> dict[str, Any]:
        return {name: table[name] for name in table.dtype.names}

    return {
        "n": found.n_rows,
        "level": found.level,
        "scores": columns(found.scores),
        "labels" if found.multilabel else "classes": found.table["name"],
        "each": columns(found.table),
        "only_a": len(found.rows_a),
        "only_b": len(found.rows_b),
        "rows_a": found.rows_a,
        "rows_b": found.rows_b,
        "p_value": found.p_value,
    }


def _show(found: Comparison, paths: tuple[Path, Path], title: str) -> None:
    percent = f"{100 * found.level:.4g} %"
    headings = ["", "a", "b", "b − a", f"{percent}\nfrom", f"{percent}\nto"]
    rows: list[list[Cell]] = [
        [each["name"], *_figures(each)] for each in found.scores if np.isfinite(each["a"])
    ]
    kind, several = "label" if found.multilabel else "class", len(found.table) > 1
    own = [*headings, "only\na", "only\nb", "p"]
    each_model: list[list[Cell]] = [
        [on_one_line(it["name"]), *_figures(it), *_tested(it)] for it in found.table
    ]
    alone = len(found.rows_a), len(found.rows_b)
    terminal.show(
        Text(title, "bold"),
        *(f"{which}: {on_one_line(path)}" for which, path in zip("ab", paths, strict=True)),
        table(headings, rows),
        f"{'All labels' if found.multilabel else 'Right'} in a alone: {alone[0]:,} rows, in b "
        f"alone: {alone[1]:,}",
        f"McNemar's test: p = {in_words(found.p_value)}",
        *(f"{which} alone: {_some(rows)}" for which, rows in _alone(found) if len(rows)),
        *(
            [
                table(
                    own,
                    each_model,
                    title=f"Each {kind}'s own yes or no, and where only one is right",
                )
            ]
            if several
            else []
        ),
    )


def _alone(found: Comparison) -> list[tuple[str, Any]]:
    return [("a", found.rows_a), ("b", found.rows_b)]


def _some(rows: Any) -> str:
    more = len(rows) - ROWS
    return f"rows {', '.join(map(str, rows[:ROWS]))}{f' and {more:,} more' if more > 0 else ''}"


def _figures(each: Any) -> list[str]:
    if not np.isfinite(each["a"]):
        return ["–"] * 5
    signed = (f"{each[name]:+.4f}" for name in ("difference", "low", "high"))
    return [f"{each['a']:.4f}", f"{each['b']:.4f}", *signed]


def _tested(each: Any) -> list[str]:
    return [f"{each['only_a']:,}", f"{each['only_b']:,}", in_words(each["p_value"])]


def in_words(p: float) -> str:
    """Return a p-value as a table shows it."""
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"
