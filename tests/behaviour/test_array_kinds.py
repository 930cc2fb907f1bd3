"""What is particular to kinds of arrays; that each trains, or is refused, is a table of its own.

See ``test_kinds_of_X_and_y.py``. Libraries that the extra ``test`` does not bring are tested where
they are installed.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

import gpulr
from gpulr.backend import to_host

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


# ---- NumPy ------------------------------------------------------------------------------------


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


def test_labels_that_a_tensor_cannot_be_taken_from(torch):
    labels = np.array([0, 5, 2**64 - 1], dtype=np.uint64)[y]
    model = gpulr.train(torch.tensor(X), labels)
    np.testing.assert_array_equal(model.predict(torch.tensor(X)), gpulr.train(X, labels).predict(X))
