"""`gpulr data`; and the data of any command: read, split, found again for a model, told of."""

from __future__ import annotations

import csv
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Column

from gpulr import datasets
from gpulr.cli import terminal
from gpulr.cli.tables import table
from gpulr.cli.terminal import on_one_line
from gpulr.datasets.readers.table_columns import KnownColumns
from gpulr.datasets.reading import is_stored, is_table, read_labelled
from gpulr.errors import DataError, ParameterError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import SplitRecord
from gpulr.words import counted


def describe(
    *,
    name: str | None = None,
    label: str | None = None,
    features: str | None = None,
    json: bool,
) -> None:
    """Load a data set and describe it; without a name, list those that have one."""
    if name is None:
        _list_all(json)
        return
    dataset = datasets.load(name, label=label, features=names_in(features))
    if dataset.y.ndim == 2:  # a column for each label
        classes, counts = np.arange(dataset.y.shape[1]), (dataset.y == 1).sum(axis=0)
    else:
        classes, counts = np.unique(dataset.y, return_counts=True)
    about = record_of(dataset)
    record = {
        "name": about.pop("data"),
        **about,
        "n_features": dataset.X.shape[1],
        "dtype": str(dataset.X.dtype),
        "image_shape": dataset.image_shape,
        "classes": classes,
        "counts": counts,
    }
    if json:
        terminal.print_json(record)
    else:
        rows = ([key.replace("_", " "), in_a_cell(value)] for key, value in record.items())
        terminal.show(table(["", Column("", overflow="fold")], rows, show_header=False))


def _list_all(json: bool) -> None:
    entries = datasets.describe()
    if json:
        own = ("available", "location", "size", "description", "note")
        terminal.print_json({it.name: {key: getattr(it, key) for key in own} for it in entries})
        return
    rows = (
        [
            *(it.name, "yes" if it.available else "no"),
            "\n".join(filter(None, (it.description, it.location, it.note))),
        ]
        for it in entries
    )
    where = Column("what and where", overflow="fold")
    terminal.show(table(["name", "here", where], rows))


def in_a_cell(value: Any) -> str:
    """Return a value, or the first of many, as a table shows it."""
    if not isinstance(value, np.ndarray):
        return on_one_line(value)
    return ", ".join(map(on_one_line, value[:20])) + (", …" if len(value) > 20 else "")


def read_data(
    data: str | None,
    label: str | None,
    test_size: float,
    seed: int,
    features: list[str] | None = None,
) -> tuple[datasets.Dataset, SplitRecord | None]:
    """Load a data set, hold rows out where it has no test part, and return how that was done."""
    terminal.say(f"Loading {'the default data' if data is None else data} …")
    columns: Any = {"label": label, "features": features}
    dataset = datasets.load_default() if data is None else datasets.load(data, **columns)
    if dataset.X_test is not None or not test_size:
        return dataset, None
    split: SplitRecord = {"test_size": test_size, "seed": seed}
    return dataset.split(**split), split


def data_for(model: OneVsAll, data: str | None, label: str | None) -> datasets.Dataset:
    """Load the named data, or those that the model's file names, with the same rows held out.

    A table's columns are found by the names that the model knows.
    """
    if data is not None:
        if is_table(data) or is_stored(data):
            return read_labelled(data, known_columns(model), label=label)
        return datasets.load(data, label=label)
    name, source = model.data.get("name", ""), model.data.get("source", "")
    if name in datasets.NAMES:
        dataset = datasets.load(name)
    elif os.path.exists(source):  # noqa: PTH110 (False for names that are none)
        label = label or model.data.get("label")  # type: ignore[assignment]
        if model.data.get("chosen_features"):
            dataset = read_labelled(source, known_columns(model), label=label)
        else:
            dataset = datasets.load(source, label=label)
    else:
        raise DataError(
            f"This model was trained on {name or 'unnamed data'} ({source or 'unknown source'}), "
            "which cannot be loaded from here. Name the data with --data."
        )
    split = model.data.get("split")
    return dataset.split(**split) if split and dataset.X_test is None else dataset


def known_columns(model: OneVsAll) -> KnownColumns:
    """Return what a model knows of the columns of the table that it was trained on."""
    label, names = model.data.get("label"), model.data.get("feature_names")
    return KnownColumns(
        model.n_features,
        None if label is None else str(label),
        None if names is None else tuple(map(str, names)),
        chosen=bool(model.data.get("chosen_features")),
    )


def names_in(features: str | None) -> list[str] | None:
    """Return the columns that --features names, with commas between them."""
    if features is None:
        return None
    try:
        rows = list(csv.reader([features], skipinitialspace=True))
    except csv.Error:  # of a line break outside quotes
        rows = []
    names = [name.strip() for row in rows for name in row]
    if not names or not all(names):
        raise ParameterError(
            f"--features {features!r}; expected columns' names with commas between them, such as "
            "age,height. A name that has a comma goes in double quotes."
        )
    return names


def record_source(
    model: OneVsAll,
    split: SplitRecord | None,
    label: str | None,
    features: list[str] | None = None,
) -> None:
    """Keep in the model what finds its data, and the rows held out, again for `evaluate`."""
    if features is not None:
        model.data["chosen_features"] = True
    if split is not None:
        model.data["split"] = split
    if label is not None:
        model.data.setdefault("label", label)  # an index; the name goes before it
    source = Path(str(model.data.get("source", "")))
    with suppress(OSError):  # the working folder is gone
        if source.exists():
            model.data["source"] = str(source.absolute())


def record_of(dataset: datasets.Dataset) -> dict[str, Any]:
    """Return what the data are, for JSON."""
    return {
        "data": dataset.name,
        "source": dataset.source,
        "n_train": len(dataset.X),
        "n_test": 0 if dataset.X_test is None else len(dataset.X_test),
    }


def say_dataset(dataset: datasets.Dataset) -> None:
    """Tell what the data are: the first line of a command."""
    rows, features = counted(dataset.n_samples, "row"), counted(dataset.n_features, "feature")
    if dataset.X_test is not None:
        rows += f" to train on, {len(dataset.X_test):,} to test on"
    parts = [rows, f"{features} ({dataset.X.dtype})"]
    if dataset.image_shape is not None:
        parts.append(f"images of {'×'.join(map(str, dataset.image_shape))}")
    if dataset.label_name is not None:
        parts.append(f"label {dataset.label_name!r}")
    terminal.say(f"{dataset.name}: {', '.join(parts)}; from {dataset.source}")


def say_data(dataset: datasets.Dataset, settings: dict[str, Any]) -> None:
    """Tell what the data are, and what a table of whole numbers is taken for."""
    say_dataset(dataset)
    if dataset.image_shape is None or not is_table(dataset.source):
        return
    words = f"taken for {'×'.join(map(str, dataset.image_shape))} pixels"
    if settings["scale"] == "auto" and not settings["standardize"]:
        words += ", divided by 255; --scale 1 leaves them as they are"
    terminal.say(f"{dataset.source}: whole numbers from 0 to 255, {words}")


def say_refinements(model: OneVsAll) -> None:
    """Tell of a model's thresholds and calibration, where it has any."""
    if model.refinements:
        terminal.say(f"The model has {' and '.join(model.refinements)}")
