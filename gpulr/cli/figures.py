"""How good a model is, for people and for programs, whichever kind of model it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from rich.table import Table

from gpulr.cli.wording import on_one_line
from gpulr.model.scores import Evaluation, MultilabelEvaluation

Figures = Evaluation | MultilabelEvaluation


def record(figures: Figures) -> dict[str, Any]:
    """Return the figures by name, for JSON."""
    if isinstance(figures, MultilabelEvaluation):
        names = [name for name in figures.__dataclass_fields__ if name != "labels"]
    else:
        names = ["accuracy", "binary_accuracy", "mean_binary_accuracy", "confusion"]
    return {name: getattr(figures, name) for name in names}


def model_columns(figures: Figures, part: str = "") -> list[str]:
    """Return the headings of :func:`model_rows`; the part is on a line of its own."""
    where = f"\n({part})" if part else ""
    if isinstance(figures, MultilabelEvaluation):
        return ["label", f"rows{where}", f"accuracy{where}", f"F1{where}"]
    return ["class", f"binary accuracy{where}"]


def model_rows(figures: Figures) -> Iterable[list[str]]:
    """Yield the name and the figures of each model, in words."""
    if isinstance(figures, MultilabelEvaluation):
        own = (figures.positives, figures.label_accuracy, figures.label_f1)
        for name, rows, accuracy, f1 in zip(figures.labels, *own, strict=True):
            yield [on_one_line(name), f"{rows:,}", f"{accuracy:.4f}", f"{f1:.4f}"]
        return
    names = figures.classes if len(figures.classes) > 2 else figures.classes[1:]
    for name, accuracy in zip(names, figures.binary_accuracy, strict=True):
        yield [on_one_line(name), f"{accuracy:.4f}"]


def summary(figures: Figures, part: str = "") -> list[str]:
    """Return the figures of all models together, a line each, best known last."""
    where = f" ({part})" if part else ""
    if isinstance(figures, MultilabelEvaluation):
        lines = {
            "mean of the label accuracies": figures.mean_label_accuracy,
            "micro F1": figures.micro_f1,
            "macro F1": figures.macro_f1,
            "all labels of a row right": figures.subset_accuracy,
        }
    else:
        lines = {
            "mean of the binary accuracies": figures.mean_binary_accuracy,
            "multiclass accuracy": figures.accuracy,
        }
    width = max(len(name) for name in lines) + (len(" (train)") if part else 0)
    return [f"{name + where:{width}}  {value:.4f}" for name, value in lines.items()]


def confusion(figures: Evaluation) -> Table:
    """Return the confusion matrix as a table."""
    classes = [on_one_line(name) for name in figures.classes]
    table = Table("true \\ predicted", *classes, title="Confusion matrix")
    for name, row in zip(classes, figures.confusion, strict=True):
        table.add_row(name, *(str(count) if count else "·" for count in row))
    return table


def in_a_cell(value: Any) -> str:
    """Return a value, or the first of many, as a table shows it."""
    if not isinstance(value, np.ndarray):
        return on_one_line(value)
    return ", ".join(map(on_one_line, value[:20])) + (", …" if len(value) > 20 else "")
