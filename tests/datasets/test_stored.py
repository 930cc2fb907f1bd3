"""Files that may be larger than memory: the same rows and labels as from memory, in blocks."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse

from gpulr import datasets
from gpulr.datasets.readers.table_columns import KnownColumns
from gpulr.datasets.reading import read_labelled, read_rows
from gpulr.errors import DataError, DataFileError
from gpulr.sources import Source
from stored_files import (
    NAMES,
    NEEDS,
    SAVED,
    save_h5ad,
    save_hdf5,
    save_npy,
    save_parquet,
    save_zarr,
)


@pytest.fixture
def rows(rng):
    X = rng.normal(size=(60, 5)).astype(np.float32)
    return X, rng.integers(0, 3, 60)


saved = pytest.mark.parametrize("save", SAVED, ids=lambda save: save.__name__[5:])


def dense(X):
    X = X[:, :]
    return X.toarray() if sparse.issparse(X) else X


@saved
def test_rows_and_labels(tmp_path, rows, save):
    X, y = rows
    path = save(tmp_path, X, y)
    data = datasets.load(str(path))
    assert isinstance(data.X, Source)
    assert data.X.dtype == X.dtype
    assert data.source == str(path)
    np.testing.assert_array_equal(dense(data.X), X)
    np.testing.assert_array_equal(data.y, y)
    assert data.y.dtype == np.int64
    assert data.feature_names == (
        NAMES if {"parquet", "h5ad"} & {*save.__name__.split("_")} else None
    )


@saved
def test_a_split_has_the_rows_that_one_in_memory_has(tmp_path, rows, save):
    X, y = rows
    stored = datasets.load(save(tmp_path, X, y)).split(0.3, seed=4)
    expected = datasets.Dataset(X, y).split(0.3, seed=4)
    for part in ("", "_test"):
        own, other = getattr(stored, f"X{part}"), getattr(expected, f"X{part}")
        assert isinstance(own, Source)
        order = np.lexsort(other.T)
        place = np.lexsort(dense(own).T)
        np.testing.assert_array_equal(dense(own)[place], other[order])
        y_own, y_other = getattr(stored, f"y{part}"), getattr(expected, f"y{part}")
        np.testing.assert_array_equal(y_own[place], y_other[order])


@saved
def test_labels_may_be_text(tmp_path, rows, save):
    X, y = rows
    words = np.array(["ä", "bee", "c"])[y]
    path = save(tmp_path, X, words)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = datasets.load(path)
    np.testing.assert_array_equal(data.y, words)
    assert data.y.dtype.kind == "U"


def test_labels_are_chosen_by_name(tmp_path, rows):
    X, y = rows
    path = save_parquet(tmp_path, X, y, other=1 - y)
    assert datasets.load(path).label_name == "label"
    data = datasets.load(path, label="other")
    np.testing.assert_array_equal(data.y, 1 - y)
    assert data.feature_names == ("label", *NAMES)
    with pytest.raises(DataFileError, match=r"has no column 'z'; it has label, other, f0"):
        datasets.load(path, label="z")


def test_the_only_column_of_text_is_the_label(tmp_path, rows):
    pa = pytest.importorskip("pyarrow", reason=NEEDS)
    from pyarrow import parquet

    X, y = rows
    words = np.array(["a", "b", "c"])[y]
    parquet.write_table(pa.table({"f0": X[:, 0], "kind": words}), tmp_path / "t.parquet")
    np.testing.assert_array_equal(datasets.load(tmp_path / "t.parquet").y, words)
    parquet.write_table(pa.table({"f0": X[:, 0], "f1": y}), tmp_path / "t.parquet")
    with pytest.raises(DataFileError, match=r"has no column named label, class.*f0, f1.*--label"):
        datasets.load(tmp_path / "t.parquet")


@pytest.mark.parametrize("save", [save_parquet, save_h5ad], ids=["parquet", "h5ad"])
def test_a_models_features_are_read_in_its_order(tmp_path, rows, save):
    X, y = rows
    path = save(tmp_path, X, y)
    known = KnownColumns(5, "label", NAMES)
    np.testing.assert_array_equal(read_rows(path, known)[0][:, :], X)
    np.testing.assert_array_equal(read_labelled(path, known).y, y)
    other = KnownColumns(5, "label", (*NAMES[::-1],))
    if save is save_parquet:
        np.testing.assert_array_equal(read_labelled(path, other).X[:, :], X[:, ::-1])
        fewer = KnownColumns(4, "label", NAMES[:4])  # columns that the model does not know are left
        np.testing.assert_array_equal(read_labelled(path, fewer).X[:, :], X[:, :4])
    else:
        with pytest.raises(DataFileError, match="in another order"):
            read_labelled(path, other)
    with pytest.raises(DataError, match="lacks 'g'"):
        read_labelled(path, KnownColumns(5, "label", (*NAMES[:4], "g")))


def test_rows_to_predict_need_no_labels(tmp_path, rows):
    X, _ = rows
    np.save(tmp_path / "a.npy", X)
    found, y = read_rows(tmp_path / "a.npy", KnownColumns(5))
    np.testing.assert_array_equal(found[:, :], X)
    assert y is None
    with pytest.raises(DataFileError, match=r"holds rows without labels.*labels"):
        datasets.load(tmp_path / "a.npy")


def test_images_keep_their_shape(tmp_path, rng):
    images = rng.integers(0, 256, (20, 6, 4)).astype(np.uint8)
    data = datasets.load(save_npy(tmp_path, images, np.arange(20) % 2))
    assert data.image_shape == (6, 4)
    np.testing.assert_array_equal(data.X[3:5, :], images[3:5].reshape(2, 24))
    square = datasets.load(save_npy(tmp_path, images[:, :4].reshape(20, 16), np.arange(20) % 2))
    assert square.image_shape == (4, 4)


def test_hdf5_has_test_parts_too(tmp_path, rows):
    h5py = pytest.importorskip("h5py", reason=NEEDS)
    X, y = rows
    with h5py.File(tmp_path / "f.h5", "w") as file:
        for name, values in {"x_train": X, "y_train": y, "x_test": X[:9], "y_test": y[:9]}.items():
            file[name] = values
        file["alone"] = X
    data = datasets.load(tmp_path / "f.h5")
    np.testing.assert_array_equal(data.X_test[:, :], X[:9])
    np.testing.assert_array_equal(data.y_test, y[:9])


def test_what_claims_too_much_is_refused(tmp_path, rows):
    h5py = pytest.importorskip("h5py", reason=NEEDS)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["X"] = rows[0]
        file.create_dataset("y", shape=(10**12,), dtype="i8", chunks=(10**4,))
    with pytest.raises(DataFileError, match="its labels would expand"):
        datasets.load(tmp_path / "f.h5")
    for name, n, chunks in ("a row", 10**9, (1, 100)), ("a chunk", 5, (10**8, 5)):
        with h5py.File(tmp_path / "f.h5", "w") as file:
            file.create_dataset("X", shape=(10**8, n), dtype="f4", chunks=chunks)
            file["y"] = rows[1]
        with pytest.raises(DataFileError, match=f"{name} of X would expand from 0 bytes"):
            datasets.load(tmp_path / "f.h5")


def test_a_heap_that_never_ends_is_refused(tmp_path, rows):
    """HDF5's library would step over an object of no bytes for ever."""
    path = save_hdf5(tmp_path, rows[0], rows[1].astype(str))
    content = path.read_bytes()
    heap = content.index(b"GCOL\1\0\0\0")
    first = (0).to_bytes(2, "little") + bytes(14)
    path.write_bytes(content[: heap + 16] + first + content[heap + 32 :])
    with pytest.raises(DataFileError, match=r"a heap's object at byte .* claims 0 bytes"):
        datasets.load(path)


@pytest.mark.parametrize(
    ("others", "match"),
    [
        (np.ones((3, 1)), r"labels of shapes \(4,\), \(3, 1\)"),
        (np.array(["a", "b", "a"]), "numbers and others that are text"),
    ],
)
def test_labels_of_parts_that_do_not_go_together(tmp_path, others, match):
    for name, y in ("a", np.arange(4) % 2), ("b", others):
        np.save(tmp_path / f"{name}.npy", np.ones((len(y), 2)))
        np.save(tmp_path / f"{name}_labels.npy", y)
    with pytest.raises(DataFileError, match=match):
        datasets.read(tmp_path)


def test_damaged_labels_in_zarr(tmp_path, rows):
    path = save_zarr(tmp_path, *rows)
    (path / "y" / "c" / "0").write_bytes(b"no chunk")
    with pytest.raises(DataFileError, match="cannot be read as a Zarr array or group"):
        datasets.load(path)


@pytest.mark.parametrize("save", [save_npy, save_parquet, save_hdf5, save_h5ad])
def test_damaged_files_give_one_error(tmp_path, rows, save):
    path = save(tmp_path, *rows)
    content = path.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"\x93NUMPY" + content[6:40]):
        path.write_bytes(damaged)
        with pytest.raises(DataFileError, match=path.name):
            datasets.load(path)
    path.unlink()
    with pytest.raises(DataFileError, match="does not exist"):
        datasets.load(path)


def test_columns_stored_first_are_refused(tmp_path, rows):
    path = save_h5ad(tmp_path, sparse.csc_matrix(rows[0]), rows[1])
    with pytest.raises(DataFileError, match=r"csc_matrix.*as CSR"):
        datasets.load(path)
