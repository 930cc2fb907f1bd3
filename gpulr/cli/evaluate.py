"""`gpulr evaluate`."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from gpulr.cli import figures, inputs, terminal
from gpulr.model.one_vs_all import load


def evaluate(path: Path, data: str | None, label: str | None, *, as_json: bool) -> None:
    """Evaluate a saved model on a data set's test part, or on all of it where it has none."""
    model = load(path)
    dataset = inputs.data_for(model, data, label)
    part, X, y = inputs.test_rows(dataset)
    inputs.say_dataset(dataset)
    result = model.evaluate(X, y)
    if as_json:
        about = {"model": path, "data": dataset.name, "part": part, "n": len(X)}
        terminal.print_json({**about, "classes": model.classes, **figures.record(result)})
        return
    title = f"{dataset.name}, {part} rows: {len(X):,}"
    table = Table(*figures.model_columns(result), title=title)
    for row in figures.model_rows(result):
        table.add_row(*row)
    terminal.show(table, *figures.summary(result))
    if not model.multilabel and len(model.classes) <= 12:
        terminal.show(figures.confusion(result))
