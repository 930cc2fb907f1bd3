"""What other libraries call an array: it trains as NumPy's do, or the error says what to pass.

Libraries that the extra ``test`` does not bring are tested where they are installed.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import to_host
from helpers import python

X = np.round(np.random.default_rng(5).normal(size=(60, 3)) + 1.5 * np.eye(3)[np.arange(60) % 3], 1)
y = np.arange(60) % 3
WHOLE = np.abs(np.round(X)).astype(int)


def assert_trains_as(rows, numbers):
    """Everything takes ``rows``, and gives what it gives for a NumPy array of the numbers."""
    numbers = np.asarray(numbers, dtype=np.float64)
    settings = {"scale": None, "tol": 1e-6}
    model, expected = gpulr.train(rows, y, **settings), gpulr.train(numbers, y, **settings)
    np.testing.assert_allclose(to_host(model.weights), expected.weights, rtol=1e-3, atol=1e-4)
    proba = model.predict_proba(rows, normalize=True)
    expected_proba = expected.predict_proba(numbers, normalize=True)
    np.testing.assert_allclose(to_host(proba), expected_proba, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(to_host(model.predict(rows)), expected.predict(numbers))
    assert model.evaluate(rows, y).accuracy == expected.evaluate(numbers, y).accuracy
    gpulr.search(rows, y, Cs=[1, 10], cv=2)
    gpulr.bootstrap(rows, y, n=2, random_state=0)
    estimator = gpulr.OneVsAllLogisticRegression().fit(rows, y)
    np.testing.assert_allclose(to_host(estimator.coef_).T, expected.weights, rtol=0.05, atol=0.02)
    assert estimator.score(rows, y) == expected.score(numbers, y)
    return estimator


def assert_refused(rows, message):
    """Everything refuses ``rows`` by a DataError."""
    model = gpulr.train(X, y)
    estimator = gpulr.OneVsAllLogisticRegression()
    fitted = gpulr.OneVsAllLogisticRegression().fit(X, y)
    for call in (
        lambda: gpulr.train(rows, y),
        lambda: gpulr.search(rows, y),
        lambda: gpulr.bootstrap(rows, y, n=2),
        lambda: model.predict(rows),
        lambda: model.predict_proba(rows),
        lambda: model.evaluate(rows, y),
        lambda: estimator.fit(rows, y),
        lambda: fitted.predict(rows),
    ):
        with pytest.raises(gpulr.DataError, match=f"(?s){message}"):
            call()


# ---- NumPy and Python -------------------------------------------------------------------------


NUMBERS = {
    "bits": WHOLE > 0,
    "int16": WHOLE.astype(np.int16),
    "uint64": WHOLE.astype(np.uint64),
    "big-endian": X.astype(">f4"),
    "longdouble": X.astype(np.longdouble),
    "objects": X.astype(object),
    "objects and None": np.where(WHOLE > 9, None, X.astype(object)),
    "lists": X.tolist(),
    "rows": list(X),
    "an array of arrays": np.array([*X, None], dtype=object)[:-1],
    "a matrix": X.view(np.matrix),
    "nothing masked": np.ma.array(X, mask=False),
    "Fortran order": np.asfortranarray(X),
    "every other": np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2],
    "reversed": X[::-1].copy()[::-1],
    "read-only": np.frombuffer(X.tobytes()).reshape(X.shape),
    "memory-mapped": X,
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_numbers_of_any_kind(kind, tmp_path):
    rows = NUMBERS[kind]
    if kind == "memory-mapped":
        np.save(tmp_path / "X.npy", rows)
        rows = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_trains_as(rows, np.array([list(row) for row in rows], dtype=np.float64))


OTHERS = {
    "a dict": (
        {"a": X[:, 0], "b": X[:, 1]},
        r"dict.*'a', 'b'.*X\['a'\], or pandas\.DataFrame\(X\)",
    ),
    "a generator": ((row for row in X), "object of type generator; expected an array"),
    "an object": (object(), "object of type object; expected an array"),
    "masked rows": ([np.ma.array(row, mask=[i == 3, 0, 0]) for i, row in enumerate(X)], "masked"),
    "dates": (np.full((60, 2), np.datetime64("2020")), r"datetime64\[Y\].*as numbers"),
    "durations": (np.full((60, 2), np.timedelta64(3, "s")), r"timedelta64\[s\].*as numbers"),
    "a list of dicts": ([{"a": 1.0}] * 60, "objects of type dict"),
    "rows of several lengths": (np.array([[1, 2], [3]] * 30, dtype=object), "equal length"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_array_of_numbers(kind):
    rows, message = OTHERS[kind]
    assert_refused(rows, message)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4"])
@pytest.mark.parametrize("standardize", [False, True])
def test_numpy_arrays_of_ml_dtypes(name, standardize):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    rows = np.minimum(WHOLE, 7).astype(getattr(ml_dtypes, name))
    estimator = assert_trains_as(rows, rows.astype(np.float64))
    assert estimator.coef_.dtype == np.float32
    model = gpulr.train(rows, y, standardize=standardize, tol=1e-6)
    expected = gpulr.train(rows.astype(np.float32), y, standardize=standardize, tol=1e-6)
    np.testing.assert_allclose(model.weights, expected.weights, rtol=1e-3, atol=1e-4)
    if name == "bfloat16":
        assert model.data["dtype"] == "bfloat16"
        rows[7, 1] = np.nan
        with pytest.raises(gpulr.DataError, match=r"NaN or infinity \(first in row 7\)"):
            gpulr.train(rows, y)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint16", "float16", "bfloat16", ">f4"]
)
def test_estimators_compute_in_float32_what_float32_holds(dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    estimator = gpulr.OneVsAllLogisticRegression().fit(WHOLE.astype(dtype), y)
    assert estimator.coef_.dtype == np.float32
    for wider in ("int32", "int64", "float64", ">f8"):
        estimator = gpulr.OneVsAllLogisticRegression().fit(WHOLE.astype(wider), y)
        assert estimator.coef_.dtype == np.float64


def test_labels_and_weights_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed")
    labels, weight = y.astype(ml_dtypes.bfloat16), (1 + y).astype(ml_dtypes.bfloat16)
    model = gpulr.train(X, labels, sample_weight=weight)
    np.testing.assert_array_equal(model.weights, gpulr.train(X, y, sample_weight=1 + y).weights)
    assert model.evaluate(X, labels).accuracy == model.score(X, y)
    assert gpulr.OneVsAllLogisticRegression().fit(X, labels).score(X, labels, weight) > 0.5
    indicator = np.eye(3)[y]
    model = gpulr.train(X, indicator.astype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(model.weights, gpulr.train(X, indicator).weights)


def test_sparse_columns_of_labels():
    column = sparse.csr_array(y[:, np.newaxis])
    model = gpulr.train(X, column)
    assert model.evaluate(X, column).accuracy == model.score(X, y)
    column.indices[3] = 10**6
    with pytest.raises(gpulr.DataError, match="y is a sparse matrix that cannot be read"):
        gpulr.train(X, column)


# ---- libraries that follow the array API standard -----------------------------------------------


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not installed")


TENSORS = (
    *("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("int16", "uint16", "uint32", "bool"),
)


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_of_any_dtype(torch, name):
    rows = torch.tensor(WHOLE).to(getattr(torch, name))
    estimator = assert_trains_as(rows, rows.to(torch.float64).numpy())
    assert estimator.coef_.dtype == (torch.float64 if name == "uint32" else torch.float32)


def test_models_are_trained_without_the_gradient_that_tensors_require(torch):
    rows = torch.tensor(X, requires_grad=True)
    assert_trains_as(rows, X)
    assert_trains_as(torch.nn.Parameter(torch.tensor(X, dtype=torch.float32)), X)
    assert_trains_as(list(rows), X)
    assert_trains_as(torch.complex(-rows, -rows).conj().imag, X)
    model = gpulr.train(rows, torch.tensor(y), sample_weight=torch.ones(60, requires_grad=True))
    assert not model.weights.requires_grad
    assert model.predict_proba(rows).requires_grad
    assert rows.requires_grad


@pytest.mark.filterwarnings("ignore")  # PyTorch's, of what it makes here
def test_tensors_without_numbers_in_rows_are_refused(torch):
    dense = torch.tensor(X)
    for rows, message in (
        (dense.to_sparse(), r"torch.*Pass X\.to_dense\(\)"),
        (dense.to_sparse_csr(), r"torch.*Pass X\.to_dense\(\)"),
        (torch.empty((60, 3), device="meta"), "torch.*no data"),
        (torch.nested.nested_tensor(list(dense)), r"torch.*Pass X\.to_dense\(\)"),
        (torch.quantize_per_tensor(dense.float(), 0.1, 0, torch.qint8), r"X\.dequantize\(\)"),
        (torch.masked.masked_tensor(dense, dense > 0), "masked"),
        (dense + 1j, "complex128; expected real numbers"),
    ):
        assert_refused(rows, message)


def test_labels_that_a_tensor_cannot_be_taken_from(torch):
    labels = np.array([0, 5, 2**64 - 1], dtype=np.uint64)[y]
    model = gpulr.train(torch.tensor(X), labels)
    np.testing.assert_array_equal(model.predict(torch.tensor(X)), gpulr.train(X, labels).predict(X))


JAX = """
import warnings
warnings.simplefilter("error")
import jax.numpy as jnp
import numpy as np
import gpulr
rng = np.random.default_rng(0)
y = np.arange(3000) % 3
X = (rng.normal(size=(3000, 4)) + np.eye(3, 4)[y]).astype(np.float32)
for kind in ("float32", "bfloat16", "float16", "int8", "bool"):
    rows = jnp.asarray(X).astype(getattr(jnp, kind))
    host = np.asarray(rows).astype(np.float32)
    for labels in (y, y > 0, np.array([2**40, 2, 3])[y]):
        model = gpulr.train(rows, labels, standardize=True)
        expected = gpulr.train(host, labels, standardize=True)
        assert "float64" in model.fallback_reason, model.fallback_reason
        np.testing.assert_allclose(np.asarray(model.weights), expected.weights, 2e-2, 1e-3)
        predicted = np.asarray(model.predict(rows))
        assert np.mean(predicted == expected.predict(host)) > 0.999
    assert isinstance(model.predict_proba(rows, normalize=True), jnp.ndarray)
    assert isinstance(model.weights, jnp.ndarray)
    gpulr.search(rows, jnp.asarray(y), Cs=[1, 10], cv=2)
    gpulr.bootstrap(rows, y, n=2, random_state=0).proba_interval(rows)
    estimator = gpulr.OneVsAllLogisticRegression().fit(rows, jnp.asarray(y))
    estimator.predict_log_proba(rows), estimator.score(rows, y)
    assert estimator.coef_.dtype == np.float32
try:
    gpulr.train(jnp.asarray(X), y, dtype="float64")
except gpulr.ParameterError as error:
    assert "no float64" in str(error), error
else:
    raise AssertionError("float32 weights of a model that says float64")
print("done")
"""


def test_jax_as_it_comes_warns_of_nothing():
    pytest.importorskip("jax", reason="JAX is not installed")
    assert python(JAX).strip() == "done"


def test_lazy_arrays_are_told_to_be_computed():
    dask = pytest.importorskip("dask.array", reason="Dask is not installed")
    rows = dask.from_array(X, chunks=(20, 3))
    message = r"lazy array of dask.*Pass X\.compute\(\)"
    for lazy in (rows, rows[rows[:, 0] > -9]):  # of unknown length
        assert_refused(lazy, message)
    expected = gpulr.train(X, y).weights
    np.testing.assert_array_equal(gpulr.train(X, dask.from_array(y)).weights, expected)


def test_sparse_arrays_of_pydata():
    pydata = pytest.importorskip("sparse", reason="pydata's sparse is not installed")
    for made in (pydata.COO, pydata.GCXS):
        assert_trains_as(made.from_numpy(WHOLE.astype(float)), WHOLE)
        indicator = np.eye(3)[y]
        model = gpulr.train(X, made.from_numpy(indicator))
        np.testing.assert_allclose(model.weights, gpulr.train(X, indicator).weights)
    assert_refused(pydata.DOK.from_numpy(X), r"Pass a NumPy array, e\.g\. X\.todense\(\)")
    assert_refused(pydata.COO.from_numpy(X, fill_value=1.0), "fill_value")


# ---- files and labelled arrays -----------------------------------------------------------------


def test_hdf5(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["X"] = X
        assert_trains_as(file["X"], X)
        assert_refused(file, r"h5py's File with the keys 'X'; expected an array.*X\['X'\]")
        assert_refused(file.create_group("parts"), r"h5py's Group")


def test_zarr():
    zarr = pytest.importorskip("zarr", reason="zarr is not installed")
    group = zarr.group()
    group["X"] = X
    assert_trains_as(group["X"], X)
    assert_refused(group, r"zarr's Group with the keys 'X'.*Pass what it holds: X\['X'\]")


def test_archives_of_numpy(tmp_path):
    np.savez(tmp_path / "x.npz", X=X)
    with np.load(tmp_path / "x.npz") as archive:
        assert_refused(archive, r"NpzFile with the keys 'X'.*X\['X'\]")


def test_xarray():
    xarray = pytest.importorskip("xarray", reason="xarray is not installed")
    assert_trains_as(xarray.DataArray(X, dims=("row", "feature")), X)
    whole = xarray.Dataset({name: ("row", X[:, i]) for i, name in enumerate("abc")})
    assert_refused(whole, r"Dataset with the keys 'a', 'b', 'c'.*X\.to_pandas\(\)")
    assert_trains_as(whole.to_pandas(), X)


class OnDevice:
    """A DataFrame as cuDF's: it does not come to the host unless it is told to."""

    columns, dtypes, shape = list("abc"), [X.dtype] * 3, X.shape

    def __array__(self, *arguments, **settings):
        raise TypeError("Implicit conversion to a host NumPy array is not allowed")

    def to_numpy(self):
        return X


def test_tables_that_do_not_come_to_the_host():
    assert_refused(OnDevice(), r"Implicit conversion.*Pass a NumPy array, e\.g\. X\.to_numpy\(\)")
