"""`gpulr data`."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Column, Table

from gpulr import datasets
from gpulr.cli import terminal
from gpulr.cli.figures import in_a_cell

_OF_ENTRY = ("available", "location", "size", "description", "note")


def describe(name: str, label: str | None, as_json: bool) -> None:
    """Load a data set and describe it."""
    dataset = datasets.load(name, label=label)
    if dataset.y.ndim == 2:  # a column for each label
        classes, counts = np.arange(dataset.y.shape[1]), dataset.y.sum(axis=0)
    else:
        classes, counts = np.unique(dataset.y, return_counts=True)
    record = {
        "name": dataset.name,
        "source": dataset.source,
        "n_train": len(dataset.X),
        "n_test": 0 if dataset.X_test is None else len(dataset.X_test),
        "n_features": dataset.X.shape[1],
        "dtype": str(dataset.X.dtype),
        "image_shape": dataset.image_shape,
        "classes": classes,
        "counts": counts,
    }
    if as_json:
        terminal.print_json(record)
        return
    table = Table(show_header=False)
    for key, value in record.items():
        table.add_row(key.replace("_", " "), in_a_cell(value))
    terminal.show(table)


def list_all(as_json: bool) -> None:
    """List the named data sets."""
    records: dict[str, Any] = {
        entry.name: {key: getattr(entry, key) for key in _OF_ENTRY} for entry in datasets.describe()
    }
    if as_json:
        terminal.print_json(records)
        return
    table = Table("name", "here", Column("what and where", overflow="fold"))
    for name, entry in records.items():
        where = "\n".join(filter(None, (entry[key] for key in ("description", "location", "note"))))
        table.add_row(name, "yes" if entry["available"] else "no", where)
    terminal.show(table)
