"""The data of a command: read, split, found again for a model, and told of in words."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpulr import datasets
from gpulr.cli import terminal
from gpulr.datasets.readers.table_columns import KnownColumns
from gpulr.datasets.reading import is_table, read_labelled
from gpulr.errors import DataError
from gpulr.model.one_vs_all import OneVsAll
from gpulr.model.record import SplitRecord
from gpulr.words import counted


def read_data(
    data: str | None, label: str | None, test_size: float, seed: int
) -> tuple[datasets.Dataset, SplitRecord | None]:
    """Load a data set, hold rows out where it has no test part, and return how that was done."""
    dataset = datasets.load_default() if data is None else datasets.load(data, label=label)
    if dataset.X_test is not None or not test_size:
        return dataset, None
    split: SplitRecord = {"test_size": test_size, "seed": seed}
    return dataset.split(**split), split


def data_for(model: OneVsAll, data: str | None, label: str | None) -> datasets.Dataset:
    """Load the named data, or those that the model's file names, with the same rows held out.

    A table's columns are found by the names that the model knows.
    """
    if data is not None:
        if is_table(data):
            return read_labelled(data, known_columns(model), label=label)
        return datasets.load(data, label=label)
    name, source = model.data.get("name", ""), model.data.get("source", "")
    if name in datasets.NAMES:
        dataset = datasets.load(name)
    elif os.path.exists(source):  # noqa: PTH110 (False for names that are none)
        dataset = datasets.load(source, label=label or model.data.get("label"))
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
    )


def test_rows(dataset: datasets.Dataset) -> tuple[str, Any, Any]:
    """Return "test" and the rows of the test part; where there is none, "all" and all rows."""
    if dataset.X_test is not None and dataset.y_test is not None:
        return "test", dataset.X_test, dataset.y_test
    return "all", dataset.X, dataset.y


def record_source(model: OneVsAll, split: SplitRecord | None, label: str | None) -> None:
    """Keep in the model what finds its data, and the rows held out, again for `evaluate`."""
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
        parts.append(f"images of {_times(dataset.image_shape)}")
    if dataset.label_name is not None:
        parts.append(f"label {dataset.label_name!r}")
    terminal.say(f"{dataset.name}: {', '.join(parts)}; from {dataset.source}")


def say_data(dataset: datasets.Dataset, settings: dict[str, Any]) -> None:
    """Tell what the data are, and what a table of whole numbers is taken for."""
    say_dataset(dataset)
    if dataset.image_shape is None or not is_table(dataset.source):
        return
    scaled = settings["scale"] == "auto" and not settings["standardize"]
    terminal.say(
        f"{dataset.source}: whole numbers from 0 to 255, taken for {_times(dataset.image_shape)} "
        "pixels" + (", divided by 255; --scale 1 leaves them as they are" if scaled else "")
    )


def _times(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
