"""Files that may be larger than memory: .npy, Parquet, Zarr, HDF5 and AnnData's of the last two.

Their rows become a source, which reads blocks; labels are read at once. Nothing is unpickled.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gpulr.datasets.readers.checks import (
    ALWAYS_FINE,
    UnusableError,
    check_expansion,
    checked,
    names_of_parts,
)
from gpulr.datasets.readers.hdf5_heaps import check_heaps
from gpulr.datasets.readers.numpy_files import NAMES, read_npy
from gpulr.datasets.readers.table_columns import LABEL_NAMES, KnownColumns
from gpulr.errors import DataFileError, needs_extra
from gpulr.sources import Blocks, Source
from gpulr.sources.npy_parts import label_file
from gpulr.sources.parquet_parts import row_groups
from gpulr.sources.part_files import ZARR, reading
from gpulr.sources.zarr_parts import no_pickles, zarr_arrays, zarr_store
from gpulr.validation.blocks import read_blocks
from gpulr.validation.conversion import as_csr
from gpulr.validation.label_values import label_array, of_one_type
from gpulr.validation.sources import source_of
from gpulr.validation.tables import order_of
from gpulr.words import listed

Array = Any
SUFFIXES = (".npy", ".parquet", ".zarr", ".h5", ".hdf5", ".h5ad")


class Stored(NamedTuple):
    """Rows as a source, and labels and names where there are any."""

    X: Source
    y: npt.NDArray[Any] | None
    X_test: Source | None = None
    y_test: npt.NDArray[Any] | None = None
    image_shape: tuple[int, ...] | None = None  # of rows with more than one axis
    label_name: str | None = None
    feature_names: tuple[str, ...] | None = None


def kind_of(path: Path) -> str:
    """Return the suffix of a file, or of the parts in a folder; empty where it is none of these."""
    suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
    with suppress(OSError):  # which reading it tells of
        if not suffix and path.is_dir():
            names = [file.name.lower() for file in path.iterdir()]
            if {"zarr.json", ".zgroup", ".zarray"} & {*names}:
                return ".zarr"
            kinds = (s for s in SUFFIXES[:2] if any(name.endswith(s) for name in names))
            suffix = next(kinds, "")
    return suffix


def read_stored(
    path: Path,
    *,
    label: str | int | None = None,
    known: KnownColumns | None = None,
    unlabelled: bool = False,
) -> Stored:
    """Read labels, and find out how to read rows.

    ``label`` names the column, or the array, of labels. Else it is the one that the model remembers
    which the rows are for, the one named label, class, target or y, or the only one of text; there
    may be none where rows may be ``unlabelled``. Of columns with names that the model knows, its
    features are read, in its order.

    Raises DataFileError where files are missing or damaged, or hold no rows and labels.
    """
    kind, name = kind_of(path), None if label is None else str(label)
    try:
        if kind in (".npy", ".zarr"):
            found = _npy(path) if kind == ".npy" else _zarr(path, name, known, unlabelled)
        elif kind == ".parquet":
            found = _parquet(path, name, known, unlabelled)
        else:
            with needs_extra("sources", "Reading HDF5 files needs h5py"):
                import h5py
            with checked(path, "an HDF5 file") as size, ExitStack() as opened:
                check_heaps(path, size)
                file = opened.enter_context(h5py.File(path, "r"))
                if kind == ".h5ad":
                    found = _anndata(file, path, name, known, unlabelled)
                else:
                    found = _hdf5(file, name, unlabelled)
                opened.pop_all()  # it is open as long as its rows are used
    except UnusableError as fault:
        raise DataFileError(path, *fault.args) from fault.__cause__
    if found.y is None and not unlabelled:
        remedy = "Save labels too: name_labels.npy beside name.npy, or y beside X."
        raise DataFileError(path, "holds rows without labels", remedy)
    return found


def _npy(path: Path) -> Stored:
    """Return the rows of a file, as a memory map, or of those in a folder, and labels beside."""
    if not path.is_dir():
        X, labels = read_npy(path), label_file(path)
        rows = Source(lambda a, b: X[a:b], (len(X), X[0].size), X.dtype)
        y = None if labels is None else _values(read_npy(labels, labels=True))
        return Stored(rows, y, image_shape=_image_shape(X))
    blocks = Blocks.from_npy(path)
    loaders: Any = blocks.loaders
    X = {loader.path: read_npy(loader.path) for loader in loaders}[loaders[0].path]
    labelled = [loader for loader in loaders if loader.labels is not None]
    if labelled and len(labelled) < len(loaders):
        bare = next(loader for loader in loaders if loader.labels is None)
        raise UnusableError(
            f"has files with labels beside them, and {bare.path} without",
            "Save labels beside each, or none.",
        )
    y = _joined([read_npy(of.labels, labels=True)[of.start : of.stop] for of in labelled])
    blocks = replace(blocks, loaders=[replace(loader, labels=None) for loader in loaders])
    return Stored(read_blocks(blocks).X, y, image_shape=_image_shape(X))


def _parquet(path: Path, label: str | None, known: KnownColumns | None, unlabelled: bool) -> Stored:
    groups, _ = row_groups(path, None, None)
    columns = {
        field.name: any(word in str(field.type) for word in ("string", "dictionary"))
        for field in groups[0].schema()
    }
    features = () if known is None or known.features is None else known.features
    if known is not None:
        known.check_asked(list(columns), label)
    others = {name: is_text for name, is_text in columns.items() if name not in features}
    label = _label(others, label, known, unlabelled)
    names = [name for name in columns if name != label]
    if features:
        order_of([n for n in names if n in features], features, str(path))  # or raises
        names = list(features)
    y = None
    if label is not None:
        y = _joined([replace(group, features=(label,))().column(0) for group in groups])
    rows = read_blocks(Blocks.from_parquet(path, features=names))
    return Stored(rows.X, y, label_name=label, feature_names=rows.feature_names)


def _zarr(path: Path, label: str | None, known: KnownColumns | None, unlabelled: bool) -> Stored:
    store = zarr_store(path)
    if hasattr(store, "keys") and store.attrs.get("encoding-type") == "anndata":
        with reading(path, ZARR):
            for name in {"obs", "var", "X"} & {*store.keys()}:
                own = store[name]
                arrays = own.members(max_depth=None) if hasattr(own, "keys") else [(name, own)]
                for _, array in arrays:
                    if not hasattr(array, "keys"):
                        no_pickles(array)
            try:
                return _anndata(store, path, label, known, unlabelled)
            except UnusableError as error:
                fault = error
        raise fault
    X, y = zarr_arrays(store, label, None)
    if y is not None:
        with reading(path, ZARR):
            stored = _stored_bytes(y)
        check_expansion(stored, y.nbytes, "its labels")
        with reading(path, ZARR):
            y = _values(y[:])
    return Stored(_source(X), y, image_shape=_image_shape(X), label_name=label)


def _hdf5(file: Any, label: str | None, unlabelled: bool) -> Stored:
    """Return ``X, y[, X_test, y_test]`` or ``x_train, y_train[, x_test, y_test]``."""
    remedy = "Save X and y in it, or name its labels with --label (label= in Python)."
    choices = NAMES if label is None else [(names[0], label) for names in NAMES]
    if unlabelled and not any(names[1] in file for names in choices):
        choices = [(names[0], names[0]) for names in choices]
    names = names_of_parts(choices, list(file), "data sets", remedy)
    arrays = [
        (_source(file[rows]), None if rows == y else _labels_of(file[y]))
        for rows, y in zip(names[::2], names[1::2], strict=True)
    ]
    (X, y), (X_test, y_test) = [*arrays, (None, None)][:2]
    assert X is not None
    return Stored(X, y, X_test, y_test, _image_shape(file[names[0]]), label)


def _anndata(
    file: Any, path: Path, label: str | None, known: KnownColumns | None, unlabelled: bool
) -> Stored:
    """Return AnnData's X, dense or CSR, and a column of its obs; features are named by its var."""
    obs, var, X = file["obs"], file["var"], file["X"]
    index = obs.attrs.get("_index", "_index")
    columns = {
        name: _is_text(obs[name])
        for name in obs.attrs.get("column-order", list(obs))
        if name != index
    }
    label = _label(columns, label, known, unlabelled)
    y = None if label is None else _labels_of(obs[label])
    names = tuple(map(str, _labels_of(var[var.attrs.get("_index", "_index")]).tolist()))
    if known is not None and known.features is not None:
        order_of(names, known.features, str(path))  # other names
        if names != known.features:
            raise UnusableError(
                "holds the model's features in another order",
                "Write it in that order: adata[:, names] of AnnData.",
            )
    rows = _sparse_source(X) if hasattr(X, "keys") else _source(X)
    unique = names if len(set(names)) == len(names) else None
    return Stored(rows, y, label_name=label, feature_names=unique)


def _is_text(column: Any) -> bool:
    if not hasattr(column, "keys"):
        return bool(column.dtype.kind in "OST")
    return "categories" in column or _is_text(column["values"])


def _sparse_source(group: Any) -> Source:
    """Return a CSR matrix in AnnData's layout as a source."""
    from scipy.sparse import csr_array

    if group.attrs.get("encoding-type") != "csr_matrix":
        raise UnusableError(
            f"holds X as {group.attrs.get('encoding-type')}, of which rows cannot be read alone",
            "Write it as CSR: adata.X = scipy.sparse.csr_matrix(adata.X).",
        )
    n_rows, n_features = map(int, group.attrs["shape"])
    data, indices, starts = group["data"], group["indices"], group["indptr"]
    check_expansion(_stored_bytes(starts), starts.nbytes, "its index")
    ends = starts[:]
    if len(ends) != n_rows + 1 or ends[0] != 0 or ends[-1] != data.shape[0]:
        raise UnusableError("holds a CSR matrix whose parts do not fit", "Write it again.")

    def read(start: int, stop: int) -> Array:
        own = ends[start : stop + 1]
        some = slice(int(own[0]), int(own[-1]))
        parts = data[some], indices[some], own - own[0]
        return as_csr(csr_array(parts, shape=(stop - start, n_features)), "X")

    return Source(read, (n_rows, n_features), data.dtype, nnz=data.shape[0])


def _source(array: Any) -> Source:
    """Return an HDF5 data set, or a Zarr array, as a source, if its rows can be true."""
    for what, shape in ("a row", array.shape[1:]), ("a chunk", array.chunks or ()):
        if (claimed := math.prod(shape) * array.dtype.itemsize) > ALWAYS_FINE:
            check_expansion(_stored_bytes(array), claimed, f"{what} of X")
    rows = source_of(array, "X")
    if not isinstance(rows, Source) or array.ndim < 2:
        raise UnusableError(
            f"holds X of shape {array.shape}; expected (n_samples, n_features)",
            "Save a row for each sample.",
        )
    return rows


def _stored_bytes(array: Any) -> int:
    """Return how many bytes HDF5 or Zarr stores of an array."""
    own = array.nbytes_stored if hasattr(array, "nbytes_stored") else array.id.get_storage_size
    return int(own())


def _image_shape(X: Any) -> tuple[int, ...] | None:
    return tuple(X.shape[1:]) if X.ndim > 2 else None


def _labels_of(column: Any) -> npt.NDArray[Any]:
    """Return a data set of labels, or what AnnData writes of values that may be missing."""
    lacks = False
    if hasattr(column, "keys") and "values" in column:
        lacks, column = column["mask"][:].any(), column["values"]
    elif hasattr(column, "keys"):
        codes = column["codes"][:]
        if not (lacks := codes.min(initial=0) < 0):
            labels: npt.NDArray[Any] = _labels_of(column["categories"])[codes]
            return labels
    if lacks:
        raise UnusableError(
            "holds rows without a label", "Leave them out: adata[adata.obs[label].notna()]."
        )
    check_expansion(_stored_bytes(column), column.nbytes, "its labels")
    text = column.dtype.kind == "O" and hasattr(column, "asstr")
    return _values(column.asstr()[:] if text else column[:])


def _values(y: Any) -> npt.NDArray[Any]:
    """Return labels of any kind as NumPy's numbers or text."""
    array = label_array(y)
    return of_one_type(array.astype(object)) if array.dtype.kind in "OT" else array


def _joined(y: Sequence[Any]) -> npt.NDArray[Any] | None:
    """Return the labels of all parts."""
    arrays = [_values(part) for part in y]
    if len({array.dtype.kind in "biuf" for array in arrays}) > 1:
        raise UnusableError(
            "holds labels that are numbers and others that are text", "Save all as one of them."
        )
    shapes = {array.shape[1:]: array.shape for array in arrays}
    if len(shapes) > 1:
        raise UnusableError(
            f"holds labels of shapes {listed([*shapes.values()])}, which do not go together",
            "Save all as one label a row, or all as matrices of as many columns.",
        )
    return np.concatenate(arrays) if arrays else None


def _label(
    columns: Mapping[str, bool], label: str | None, known: KnownColumns | None, unlabelled: bool
) -> str | None:
    """Return which column holds the labels, of those by name that are text or not."""
    if label is not None:
        if label not in columns:
            raise UnusableError(
                f"has no column {label!r}; it has {listed(list(columns))}",
                "Name one of these with --label (label= in Python).",
            )
        return label
    if known is not None and known.label in columns:
        return known.label
    for name in LABEL_NAMES:
        if found := [column for column in columns if column.casefold() == name]:
            return found[0]
    texts = [column for column, is_text in columns.items() if is_text]
    if len(texts) == 1:
        return texts[0]
    if unlabelled:
        return None
    raise UnusableError(
        f"has no column named {', '.join(LABEL_NAMES)}, and not one of text; it has "
        f"{listed(list(columns))}",
        "Name the label column with --label (label= in Python).",
    )
