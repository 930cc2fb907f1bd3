"""`gpulr evaluate`; and how good a model of any kind is, for people and for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text

from gpulr.cli import terminal
from gpulr.cli.data import data_for, say_dataset, say_refinements
from gpulr.cli.tables import Cell, table
from gpulr.cli.terminal import on_one_line
from gpulr.datasets.dataset import test_rows
from gpulr.model.evaluation import Evaluation, MultilabelEvaluation
from gpulr.model.one_vs_all import load

Figures = Evaluation | MultilabelEvaluation

MOST_CLASSES = 30  # of a confusion matrix
MOST_CONFUSIONS = 10  # of those listed
LOWEST = 10  # classes that are listed of more than MOST_CLASSES


def evaluate(*, path: Path, data: str | None = None, label: str | None = None, json: bool) -> None:
    """Evaluate a saved model on a data set's test part, or on all of it where it has none."""
    model = load(path)
    dataset = data_for(model, data, label)
    part, X, y = test_rows(dataset)
    say_dataset(dataset)
    say_refinements(model)
    result = model.evaluate(X, y)
    if json:
        about = {"model": path, "data": dataset.name, "part": part, "n": len(X)}
        about |= {"refinements": model.refinements, "thresholds": model.thresholds}
        terminal.print_json({**about, "classes": model.classes, **record(result)})
        return
    title = f"{dataset.name}, {part} rows: {len(X):,}"
    headings, rows = result.cells()
    shown, which = lowest(result)
    rows = [rows[j] for j in shown] + rows[len(result.table) :]
    rows = [[on_one_line(name), *figures] for name, *figures in rows]
    others = {name: x for name, x in result.together().items() if name[:8] != "accuracy"}
    width = max(map(len, others))
    terminal.show(
        Text(title, "bold"),
        *summary(result),
        *(f"{name:{width}}  {x:.4f}" for name, x in others.items()),
        table(headings, rows, boxed=False, title=which),
    )
    if isinstance(result, Evaluation):
        terminal.show(*confusion(result))


def lowest(figures: Figures) -> tuple[list[int], str | None]:
    """Return which classes a table has a row for, and words for it where these are not all.

    Of many on a screen, those with the lowest F1: what is of all together would leave it.
    """
    f1 = figures.table["f1"]
    if len(f1) <= MOST_CLASSES or not terminal.is_screen():
        return list(range(len(f1))), None
    kind = (figures.table.dtype.names or ("class",))[0]
    several = "labels" if kind == "label" else "classes"
    words = f"The {LOWEST} of {len(f1):,} {several} with the lowest F1 (in a file or pipe: all)"
    return np.argsort(f1, kind="stable")[:LOWEST].tolist(), words


def confusion(figures: Evaluation) -> list[RenderableType]:
    """Return the confusion matrix; of many classes, or in a narrow terminal, what is confused."""
    names = [on_one_line(name) for name in figures.classes]
    commonest = _commonest(figures, names)
    if len(names) > MOST_CLASSES:
        return commonest
    rows: list[list[Cell]] = [
        [name, *(_count(n, right=i == j) for j, n in enumerate(row))]
        for i, (name, row) in enumerate(zip(names, figures.confusion, strict=True))
    ]
    title = "Confusion matrix: true down, predicted across"
    how: dict[str, Any] = {"title": title, "named": True, "instead": Group(*commonest)}
    return [table(["", *names], rows, **how)]


def _count(n: Any, *, right: bool) -> Text:
    return Text(f"{n:,}", "bold green" if right else "") if n else Text("·", "dim")


def _commonest(figures: Evaluation, names: list[str]) -> list[RenderableType]:
    """Return a list of the classes that are most often taken for others."""
    wrong = figures.confusion - np.diag(np.diag(figures.confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    cells = zip(*np.unravel_index(order, wrong.shape), strict=True)
    pairs = [(i, j) for i, j in cells if wrong[i, j]]
    if not pairs:
        return ["No class is taken for another."]
    total = figures.confusion.sum(axis=1)
    rows = [[names[i], names[j], f"{wrong[i, j]:,}", f"{total[i]:,}"] for i, j in pairs]
    title = f"The commonest confusions of {len(names):,} classes"
    return [table(["true", "predicted", "rows", "of"], rows, title=title)]


def record(figures: Figures) -> dict[str, Any]:
    """Return the figures by name, for JSON."""
    apart = ("classes", "labels", "table")
    names = [name for name in figures.__dataclass_fields__ if name not in apart]
    columns = {name: figures.table[name] for name in figures.table.dtype.names or ()}
    return {"scores": columns, **{name: getattr(figures, name) for name in names}}


def by_model(figures: Figures, part: str = "") -> tuple[list[str], list[list[str]]]:
    """Return headings, with the part on a line of its own, and a row of figures for each model."""
    where = f"\n({part})" if part else ""
    if isinstance(figures, MultilabelEvaluation):
        headings = ["label", f"rows{where}", f"accuracy{where}", f"F1{where}"]
        own = (figures.positives, figures.label_accuracy, figures.label_f1)
        return headings, [
            [on_one_line(name), f"{rows:,}", f"{accuracy:.4f}", f"{f1:.4f}"]
            for name, rows, accuracy, f1 in zip(figures.labels, *own, strict=True)
        ]
    accuracies = figures.binary_accuracy
    names = figures.classes[-len(accuracies) :]
    rows = [[on_one_line(name), f"{a:.4f}"] for name, a in zip(names, accuracies, strict=True)]
    return ["class", f"binary accuracy{where}"], rows


def summary(figures: Figures, part: str = "") -> list[str]:
    """Return the figures of all models together, a line each, best known first."""
    where = f" ({part})" if part else ""
    if isinstance(figures, MultilabelEvaluation):
        lines = {
            "all labels of a row right": figures.subset_accuracy,
            "micro F1": figures.micro_f1,
            "macro F1": figures.macro_f1,
            "mean of the label accuracies": figures.mean_label_accuracy,
        }
    else:
        lines = {
            "multiclass accuracy": figures.accuracy,
            "mean of the binary accuracies": figures.mean_binary_accuracy,
        }
    width = max(map(len, lines)) + (len(" (train)") if part else 0)
    return [f"{name + where:{width}}  {value:.4f}" for name, value in lines.items()]
