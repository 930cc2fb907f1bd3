"""Loaders of row groups of Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulr.errors import DataFileError, ParameterError, needs_extra
from gpulr.sources.part_files import PARQUET, Paths, files_of, first_of, reading
from gpulr.words import listed

Array = Any


@dataclass(frozen=True)
class RowGroup:
    """A row group of a Parquet file, which is opened anew: two threads must not share one."""

    path: Path
    number: int
    features: tuple[str, ...]
    labels: tuple[str, ...]  # none, one, or the columns of a matrix of labels

    def __str__(self) -> str:
        return f"{self.path}, row group {self.number}"

    def schema(self) -> Any:
        """Return Arrow's fields of the file."""
        from pyarrow.parquet import read_schema

        with reading(self.path, PARQUET):
            return read_schema(self.path)

    def __call__(self) -> Array:
        """Return the rows as an Arrow table, and their labels if there are columns of these."""
        from pyarrow.parquet import ParquetFile

        names = [*self.features, *self.labels]
        with reading(self.path, PARQUET), ParquetFile(self.path) as file:
            table = file.read_row_group(self.number, columns=names)
        X = table.select(self.features)
        if not self.labels:
            return X
        return X, table.select(self.labels) if self.labels[1:] else table.column(self.labels[0])


def row_groups(
    paths: Paths, label: str | Sequence[str] | None, features: Sequence[str] | None
) -> tuple[list[RowGroup], list[int]]:
    """Return loaders of the row groups of Parquet files, and their numbers of rows.

    Groups without rows are left out. Raises DataFileError for what is no such file or lacks a
    column.
    """
    with needs_extra("sources", "Reading Parquet files needs pyarrow"):
        from pyarrow.parquet import ParquetFile

    if isinstance(features, str):
        raise ParameterError(f"features={features!r}; expected a list of names, [{features!r}].")
    labels = (label,) if isinstance(label, str) else tuple(label or ())
    loaders, lengths = [], []
    for path in files_of(paths, ".parquet"):
        with reading(path, PARQUET), ParquetFile(path) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith("__index")]
            groups = range(file.metadata.num_row_groups)
            rows = [file.metadata.row_group(i).num_rows for i in groups]
        wanted = [*(features or ()), *labels]
        if missing := [name for name in wanted if name not in names]:
            raise DataFileError(
                path,
                f"has no column {listed(missing)}; it has {listed(names)}",
                "Name columns that are there.",
            )
        if features is None:  # of the first file, for all
            features = [name for name in names if name not in labels]
        for i, n in enumerate(rows):
            if n:
                loaders.append(RowGroup(path, i, tuple(features), labels))
                lengths.append(n)
    if not loaders:
        raise DataFileError(first_of(paths), "holds no rows", "Name files that have some.")
    return loaders, lengths


def check_numbers(group: RowGroup) -> None:
    """Raise DataFileError for features that are text or dates, by what the file says of them."""
    kinds = {field.name: field.type for field in group.schema()}
    if other := [
        f"{name} ({kinds[name]})" for name in group.features if _is_no_number(kinds[name])
    ]:
        raise DataFileError(
            group.path,
            f"has columns that hold no numbers: {listed(other)}",
            "Name the labels' column with label= (--label), and those to train on with features= "
            "(--features); or leave them out of the files.",
        )


def _is_no_number(kind: Any) -> bool:
    """Whether an Arrow type is one of text, bytes or dates, or of categories of these."""
    from pyarrow import types

    kind = kind.value_type if types.is_dictionary(kind) else kind
    text = types.is_string, types.is_large_string, types.is_binary, types.is_large_binary
    return any(is_kind(kind) for is_kind in (*text, types.is_temporal))
