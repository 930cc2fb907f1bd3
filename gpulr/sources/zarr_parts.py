"""Loaders of runs of rows of Zarr arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpulr.errors import DataFileError, ParameterError, needs_extra
from gpulr.sources.part_files import ZARR, reading, runs
from gpulr.words import listed

Array = Any


@dataclass(frozen=True, eq=False)
class ZarrRows:
    """Rows of a Zarr array from a first to before a last, and their labels from another."""

    X: Any
    y: Any
    start: int
    stop: int

    def __str__(self) -> str:
        return f"{self.X.store_path}, rows {self.start:,} to {self.stop - 1:,}"

    def __call__(self) -> Array:
        """Return the rows, and their labels if there is an array of these."""
        with reading(str(self.X.store_path), ZARR):
            X = self.X[self.start : self.stop]
            return X if self.y is None else (X, self.y[self.start : self.stop])


def zarr_parts(
    store: Any, label: str | None, features: str | None
) -> tuple[list[ZarrRows], list[int]]:
    """Return loaders of a Zarr array, in runs of whole chunks, and their numbers of rows."""
    X, y = zarr_arrays(store, label, features)
    n, chunk = int(X.shape[0]), int(X.chunks[0])
    if not n:
        raise DataFileError(str(X.store_path), "holds no rows", "Name an array that has some.")
    loaders = [ZarrRows(X, y, a, b) for a, b in runs(n, max(1, X.nbytes // n), chunk)]
    return loaders, [loader.stop - loader.start for loader in loaders]


def zarr_store(store: Any) -> Any:
    """Return a Zarr array or group, opened where it is a path."""
    with needs_extra("sources", "Reading Zarr arrays needs zarr"):
        import zarr
    if isinstance(store, zarr.Array | zarr.Group):
        return store
    path = Path(store).expanduser().absolute()  # as others see it, who load parts
    with reading(path, ZARR):
        return zarr.open(path, mode="r")


def zarr_arrays(store: Any, label: str | None, features: str | None) -> tuple[Any, Any]:
    """Return a Zarr store's rows and labels (or None), as arrays that are read when they are cut.

    An array is the rows; in a group they are the one that is named, else ``X``, and labels the one
    that is named, else ``y``. Arrays of pickled objects are refused.
    """
    store = zarr_store(store)
    if not hasattr(store, "arrays"):
        if label is not None or features is not None:
            raise ParameterError(
                f"{store.store_path} is an array, which has no others in it to be named with "
                "label= (--label) or features=. Leave them out, or name a group."
            )
        return no_pickles(store), None
    with reading(str(store.store_path), ZARR):
        names = sorted(name for name, _ in store.arrays())
    of_labels = label or ("y" if "y" in names else None)
    wanted = [features or "X", *([] if of_labels is None else [of_labels])]
    if missing := [name for name in wanted if name not in names]:
        raise DataFileError(
            str(store.store_path),
            f"holds the arrays {listed(names) or 'none'}, and no {listed(missing)}",
            "Name them with features= and label= (--label).",
        )
    with reading(str(store.store_path), ZARR):
        X, y = (*(no_pickles(store[name]) for name in wanted), None)[:2]
    if y is not None and X.shape[:1] != y.shape[:1]:
        raise DataFileError(
            str(store.store_path),
            f"holds rows of shape {X.shape} and labels of shape {y.shape}",
            "Save one label for each row.",
        )
    return X, y


def no_pickles(array: Any) -> Any:
    """Return an array none of whose codecs runs what is in the file; DataFileError for others."""
    if "pickle" in json.dumps(array.metadata.to_dict(), default=str):
        found = "holds pickled objects, which are not read: they could run anything"
        remedy = "Save it as numbers, or labels as text."
        raise DataFileError(str(array.store_path), found, remedy)
    return array
