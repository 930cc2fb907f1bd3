"""Predictions of Dask arrays and tables are Dask arrays, which equal those of all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

import gpulr
from gpulr.errors import DataError, RechunkWarning
from gpulr.sources.dask_arrays import dask_of

da = pytest.importorskip("dask.array", reason="of Dask's arrays")
CLASSES = np.array(["ash", "elm", "oak"])
METHODS = {
    "margins": lambda model, X: model.decision_function(X),
    "probabilities": lambda model, X: model.predict_proba(X),
    "normalised": lambda model, X: model.predict_proba(X, normalize=True),
    "classes": lambda model, X: model.predict(X),
}


@pytest.fixture(scope="module")
def rows():
    return np.random.default_rng(5).normal(size=(90, 4))


@pytest.fixture(scope="module")
def model(rows):
    return gpulr.train(rows, CLASSES[np.arange(90) % 3], max_iter=5, tol=1.0)


@pytest.fixture(scope="module")
def of_two(rows):
    return gpulr.train(rows, np.arange(90) % 2 == 0, max_iter=5, tol=1.0)


@pytest.fixture(scope="module")
def of_labels(rows):
    return gpulr.train(rows, (rows[:, :2] > 0).astype(np.uint8), max_iter=5, tol=1.0)


def agree(found, expected, n=90):
    assert isinstance(found, da.Array)
    assert found.shape[0] == n or np.isnan(found.shape[0])
    assert (found.dtype, found.shape[1:]) == (expected.dtype, expected.shape[1:])
    here = found.compute(scheduler="sync")
    assert here.dtype == expected.dtype
    np.testing.assert_array_equal(here, expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["model", "of_two"])
def test_equal_to_all_rows_at_once(method, kind, rows, request):
    model, predict = request.getfixturevalue(kind), METHODS[method]
    lazy = predict(model, da.from_array(rows, chunks=((40, 0, 1, 49), 4)))
    assert lazy.chunks[0] == (40, 0, 1, 49)
    agree(lazy, predict(model, rows))


@pytest.mark.parametrize("method", ["margins", "probabilities", "classes"])
def test_of_several_labels(method, rows, of_labels):
    predict = METHODS[method]
    agree(predict(of_labels, da.from_array(rows, chunks=(50, 4))), predict(of_labels, rows))


@pytest.mark.parametrize("method", METHODS)
def test_of_images_and_of_unknown_lengths(method, rows, model):
    predict, images = METHODS[method], rows.reshape(90, 2, 2)
    agree(predict(model, da.from_array(images, chunks=(50, 2, 2))), predict(model, rows))
    X = da.from_array(rows, chunks=(30, 4))
    some = predict(model, X[X[:, 0] > 1.0])  # of some blocks, nothing is left
    agree(some, predict(model, rows[rows[:, 0] > 1.0]))
    assert predict(model, X[X[:, 0] > 99.0]).compute().shape[0] == 0


def test_columns_are_joined_after_a_warning(rows, model):
    with pytest.warns(RechunkWarning, match=r"2 chunks .*X\.rechunk\(\{1: -1\}\)"):
        lazy = model.predict(da.from_array(rows, chunks=(40, 3)))
    agree(lazy, model.predict(rows))


@pytest.mark.parametrize("method", METHODS)
def test_frames_go_by_the_names_of_their_columns(method, rows):
    pandas = pytest.importorskip("pandas", reason="of its DataFrames")
    frames = pytest.importorskip("dask.dataframe", reason="of Dask's DataFrames")
    table, predict = pandas.DataFrame(rows, columns=list("abcd")), METHODS[method]
    model = gpulr.train(table, CLASSES[np.arange(90) % 3], max_iter=5, tol=1.0)
    lazy = frames.from_pandas(table, npartitions=3)
    agree(predict(model, lazy[list("dcab")]), predict(model, table))
    with pytest.raises(DataError, match="lacks 'd'"):
        predict(model, lazy[list("abc")])


def test_nothing_is_computed_before_it_is_asked_for(rows, model):
    def fail(block):
        raise RuntimeError("computed")

    lazy = da.from_array(rows, chunks=(50, 4)).map_blocks(fail, dtype=np.float64, meta=rows[:0])
    margins = model.decision_function(lazy)
    with pytest.raises(RuntimeError, match="computed"):
        margins.compute(scheduler="sync")


def test_what_cannot_be_predicted(rows, model):
    with pytest.raises(DataError, match=r"trained on 4 features"):
        model.predict(da.from_array(rows[:, :3], chunks=40))
    with pytest.raises(DataError, match=r"trained on 4 features"):
        model.predict(da.from_array(rows[:, 0], chunks=40))
    holed = rows.copy()
    holed[77, 2] = np.nan
    lazy = model.predict(da.from_array(holed, chunks=(40, 4)))
    with pytest.raises(DataError, match=r"NaN"):
        lazy.compute(scheduler="sync")


def test_arrays_of_xarray_are_lazy_where_dasks_are_in_them(rows, model):
    xarray = pytest.importorskip("xarray", reason="of its arrays")
    inside = xarray.DataArray(da.from_array(rows, chunks=(40, 4)), dims=("row", "feature"))
    agree(model.predict(inside), model.predict(rows))
    assert dask_of(xarray.DataArray(rows, dims=("row", "feature"))) is None

    class Unread(xarray.backends.BackendArray):
        """Rows in a file, none of which is to be read."""

        shape, dtype = rows.shape, rows.dtype

        def __getitem__(self, key):
            raise AssertionError("read")

    unread = xarray.core.indexing.LazilyIndexedArray(Unread())
    assert dask_of(xarray.DataArray(xarray.Variable(("row", "feature"), unread))) is None
