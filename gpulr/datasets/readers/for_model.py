"""Reading a text table for a trained model, which knows its columns."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from gpulr.datasets.readers import arrays_of, expanded, short_name
from gpulr.datasets.readers.arrays import to_dataset
from gpulr.datasets.readers.delimited import Table, read_delimited
from gpulr.datasets.readers.table_columns import KnownColumns
from gpulr.datasets.record import Dataset
from gpulr.validation.feature_names import order_of

__all__ = ["KnownColumns", "read_labelled", "read_rows"]


def read_labelled(
    path: str | os.PathLike[str], known: KnownColumns, *, label: str | None = None
) -> Dataset:
    """Read a table with labels, features in the model's order.

    The label column is `label`, else the one of the model's label's name, else the only one that is
    not among its features' names, else as `gpulr.datasets.read` finds it.

    Raises
    ------
    DataFileError
        As `gpulr.datasets.read`.
    DataError
        The features have other names than the model's.
    """
    path = expanded(path)
    table = _in_order(read_delimited(path, label=label, known=known), known, path)
    return to_dataset(arrays_of(table), path, short_name(path))


def read_rows(
    path: str | os.PathLike[str], known: KnownColumns, *, label: str | None = None
) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """Read the features of a table, in the model's order, and its labels where it has them.

    It has none if it has as many columns as the model has features, and neither `label` nor the
    model's label names one of them. Raises as :func:`read_labelled`.
    """
    path = expanded(path)
    table = read_delimited(path, label=label, known=known, unlabelled=True)
    table = _in_order(table, known, path)
    return table.X, table.y


def _in_order(table: Table, known: KnownColumns, path: Path) -> Table:
    if table.feature_names is None or known.features is None:
        return table
    order = order_of(table.feature_names, known.features, str(path))
    if order is None:
        return table
    return replace(table, X=table.X[:, order], feature_names=known.features)
