"""The mathematics, on every library: against float64 references, finite differences, repetition."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_expit

from gpulr import logistic
from gpulr.backend import to_host
from helpers import assert_close, finite_differences, reference

DTYPES = ("float32", "float64")
MARGINS = np.array(
    [0.0, -0.0, 1e-30, 1e-7, 0.5, 1, 5, 17, 20, 40, 87, 88.7, 89, 100, 103, 104, 710, 745, 1e4]
)
MARGINS = np.concatenate([MARGINS, -MARGINS])


@pytest.fixture
def loud():
    """NumPy's floating-point faults raise; only underflow to the nearest number is right."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        yield


@pytest.fixture
def rows(rng):
    """X (40, 3), Y (40, 4) and theta (4, 4), in float64."""
    return (
        rng.normal(size=(40, 3)),
        (rng.random((40, 4)) < 0.4).astype(float),
        rng.normal(size=(4, 4)),
    )


def weights_of_rows(shape, rng):
    return None if shape is None else rng.integers(0, 4, size=shape).astype(np.float64)


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("dtype", DTYPES)
def test_sigmoid_is_exact_in_both_tails_symmetric_and_reaches_its_ends(put, dtype):
    Z = put(MARGINS, dtype)
    exact = expit(MARGINS.astype(dtype).astype(np.float64))
    assert_close(logistic.sigmoid(Z), exact, like=Z, dtype=dtype, ulps=4, atol=np.finfo(dtype).tiny)

    P = to_host(logistic.sigmoid(put([0.0, -0.0, 1e4, -1e4], dtype)))
    assert P.tolist() == [0.5, 0.5, 1.0, 0.0]
    total = to_host(logistic.sigmoid(Z) + logistic.sigmoid(-Z))
    np.testing.assert_allclose(total, 1, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.usefixtures("loud")
def test_sigmoid_keeps_float32_subnormals():
    P = logistic.sigmoid(np.float32([-88, -95, -100]))
    assert np.all(P > 0)
    np.testing.assert_allclose(P, expit([-88.0, -95, -100]), rtol=2e-2)


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("y", [0.0, 1.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_log_loss_is_exact_at_any_margin(put, dtype, y):
    Z = put(MARGINS, dtype)
    exact_Z = MARGINS.astype(dtype).astype(np.float64)
    exact = -log_expit(exact_Z if y else -exact_Z)
    loss = logistic.log_loss(Z, put(np.full(len(MARGINS), y), dtype))
    assert_close(loss, exact, like=Z, dtype=dtype, ulps=4, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize("y", [0.0, 1.0])
def test_derivative_of_log_loss_is_the_residual(put, y):
    Z = np.linspace(-30, 30, 121)
    Y = put(np.full(Z.shape, y))

    def loss(z):
        return to_host(logistic.log_loss(put(z[0]), Y))

    numerical = finite_differences(loss, Z[np.newaxis])[0]
    np.testing.assert_allclose(to_host(logistic.sigmoid(put(Z)) - Y), numerical, atol=1e-8)


def each_answer(Z):
    """Return margins twice, and 0 for each of them, then 1."""
    Z = np.concatenate([Z, Z])
    return Z, np.repeat([0.0, 1.0], len(Z) // 2)


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize(("dtype", "most"), [("float32", 87.0), ("float64", 700.0)])
def test_residuals_and_slopes_are_exact_however_sure_a_model_is(put, dtype, most):
    Z, Y = each_answer(np.concatenate([np.linspace(-most, most, 999), MARGINS]))
    Z, Y = Z[np.abs(Z) <= most].astype(dtype), Y[np.abs(Z) <= most].astype(dtype)
    wide = Z.astype(np.float64)
    exact = np.where(Y == 1.0, -expit(-wide), expit(wide))
    slope = expit(wide) * expit(-wide)
    here = [put(a[np.newaxis, :]) for a in (Z, Y, np.full_like(Z, -3.0))]
    R, _ = logistic.activate(here[0], here[1])
    assert_close(R, exact[np.newaxis, :], like=here[0], dtype=dtype, ulps=4)
    first, second, spread = logistic.derivatives_along(here[0], here[2], here[1])
    like = {"like": here[0], "dtype": "float64", "ulps": 4 * np.finfo(dtype).eps * 2.0**52}
    assert_close(first, -3.0 * exact, **like)
    assert_close(second, 9.0 * slope, **like)
    assert_close(spread, slope, **like)


@pytest.mark.usefixtures("loud")
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_loss_of_a_pass_is_the_log_loss(put, dtype):
    Z, Y = each_answer(MARGINS)
    here = [put(a[np.newaxis, :], dtype) for a in (Z, Y)]
    _, loss = logistic.activate(*here)
    exact = to_host(logistic.log_loss(*here))[0].astype(np.float64)
    ulps = 4 * np.finfo(dtype).eps * 2.0**52
    tiny = float(np.finfo(dtype).tiny)
    assert_close(loss, exact, like=here[0], dtype="float64", ulps=ulps, atol=tiny)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [None, (40, 1), (40, 4)], ids=["none", "column", "full"])
def test_forward_and_backward_against_plain_numpy(put, rows, rng, dtype, shape):
    X, Y, theta = rows
    s = weights_of_rows(shape, rng)
    X_here, Y_here, W, b = (put(a, dtype) for a in (X, Y, theta[:-1], theta[-1]))
    s_here = None if s is None else put(s, dtype)
    Z, R, loss = logistic.forward(X_here, W, b, Y_here, s_here)
    dW, db = logistic.backward(X_here, R, s_here)

    s = np.ones((40, 1)) if s is None else s
    exact_Z = X @ theta[:-1] + theta[-1]
    exact_R = expit(exact_Z) - Y
    losses = s * -log_expit(np.where(Y == 1, exact_Z, -exact_Z))
    # Sums of 40 terms of size 1 to 10: rounding of the terms, not of the result.
    atol = 200 * np.finfo(dtype).eps
    for actual, exact, kind in (
        (Z, exact_Z, dtype),
        (R, exact_R, dtype),
        (loss, losses.sum(axis=0), "float64"),
        (dW, X.T @ (s * exact_R), dtype),
        (db, (s * exact_R).sum(axis=0), "float64"),
    ):
        assert_close(actual, exact, like=X_here, dtype=kind, atol=atol)


def test_sums_over_rows_are_float64(put):
    n = 2**18
    Y = put(np.zeros((n, 1)), "float32")
    X, W, b = (put(np.zeros(shape), "float32") for shape in ((n, 1), (1, 1), (1,)))
    _, R, loss = logistic.forward(X, W, b, Y)
    _, db = logistic.backward(X, R)
    # Every term is the same float32; adding them in float32 would round at each step.
    assert float(loss[0]) == n * float(np.float32(np.log(2)))
    assert float(db[0]) == n / 2


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0, np.inf])
@pytest.mark.parametrize("shape", [None, (40, 1), (40, 4)], ids=["none", "column", "full"])
def test_cost_and_gradient_against_reference_and_finite_differences(put, rows, rng, C, shape):
    X, Y, theta = rows
    s = weights_of_rows(shape, rng)
    s_here = None if s is None else put(s)
    s = np.ones((40, 1)) if s is None else s
    m, C_here = put(np.broadcast_to(s, Y.shape).sum(axis=0)), put(np.full(4, C))
    X_here, Y_here = put(X), put(Y)

    def sums(theta):
        W, b = put(theta[:-1]), put(theta[-1])
        _, R, loss = logistic.forward(X_here, W, b, Y_here, s_here)
        return loss, W, R

    def cost(theta):
        loss, W, _ = sums(theta)
        return to_host(logistic.cost(loss, W, C_here, m))

    loss, W, R = sums(theta)
    dW, db = logistic.gradient(*logistic.backward(X_here, R, s_here), W, C_here, m)
    expected_cost, expected_gradient = reference(X, Y, theta, C, s)
    here = {"like": X_here, "dtype": "float64", "ulps": 100}
    assert_close(logistic.cost(loss, W, C_here, m), expected_cost, **here)
    assert_close(dW, expected_gradient[:-1], **here, atol=1e-15)
    assert_close(db, expected_gradient[-1], **here, atol=1e-15)
    gradient = np.vstack([to_host(dW), to_host(db)])
    np.testing.assert_allclose(gradient, finite_differences(cost, theta), rtol=1e-6, atol=1e-8)


def test_the_intercept_is_not_penalised(put):
    W, b = put(np.zeros((2, 1))), put([3.0])
    X, Y, C, m = put(np.zeros((1, 2))), put([[1.0]]), put([1e-6]), put([1.0])
    _, R, loss = logistic.forward(X, W, b, Y)
    _, db = logistic.gradient(*logistic.backward(X, R), W, C, m)
    assert float(logistic.cost(loss, W, C, m)[0]) == float(loss[0])
    np.testing.assert_allclose(float(db[0]), -expit(-3.0))


def test_sample_weights_equal_repetition_of_rows(put, rows, rng):
    X, Y, theta = rows
    s = rng.integers(0, 4, size=40)

    def run(X, Y, s):
        X, Y, W, b = put(X), put(Y), put(theta[:-1]), put(theta[-1])
        _, R, loss = logistic.forward(X, W, b, Y, s)
        return [to_host(array) for array in (loss, *logistic.backward(X, R, s))]

    weighted = run(X, Y, put(s[:, np.newaxis].astype(float)))
    repeated = run(np.repeat(X, s, axis=0), np.repeat(Y, s, axis=0), None)
    for a, b in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("margin", [1e4, -1e4])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_a_pass_at_extreme_margins_is_finite_in_float32(put, margin, y):
    X, W, b, Y = (put(a, "float32") for a in ([[1.0]], [[margin]], [0.0], [[y]]))
    with np.errstate(all="raise", under="ignore"):
        _, R, loss = logistic.forward(X, W, b, Y)
        dW, db = logistic.backward(X, R)
    wrong = (margin > 0) != bool(y)
    assert float(loss[0]) == (1e4 if wrong else 0.0)
    assert abs(float(dW[0, 0])) == abs(float(db[0])) == float(wrong)


def test_numbers_and_lists_are_taken_as_numpys_arrays():
    assert logistic.sigmoid(0.0) == 0.5
    assert isinstance(logistic.sigmoid(0), np.floating | np.ndarray)
    np.testing.assert_allclose(logistic.sigmoid([-1, 0, 2]), expit([-1.0, 0.0, 2.0]))
    np.testing.assert_allclose(logistic.log_loss([1, 2], [0, 1]), -log_expit(np.array([-1.0, 2.0])))
    assert logistic.log_loss(0.0, 1) == np.log(2.0)
    np.testing.assert_allclose(logistic.log_normalized([[3]]), log_expit(np.array([[-3.0, 3.0]])))
    X, W, b, Y, s = [[1, 2], [3, 4]], [[0.1], [-0.2]], [0.5], [[1], [0]], [[1], [2]]
    arrays = [np.asarray(part, dtype=float) for part in (X, W, b, Y)]
    for found, expected in zip(
        logistic.forward(X, W, b, Y), logistic.forward(*arrays), strict=True
    ):
        np.testing.assert_allclose(found, expected)
    Z, R, loss = logistic.forward(*arrays)
    np.testing.assert_allclose(logistic.activate(Z, Y)[0], R)  # arrays and lists
    np.testing.assert_allclose(logistic.backward(X, R, s)[0], arrays[0].T @ (np.asarray(s) * R))
    np.testing.assert_allclose(logistic.cost(loss, W, 2.0, 2), loss / 2 + 0.05 / 8)
    np.testing.assert_allclose(logistic.gradient(W, b, W, 1, 2)[0], arrays[1])
    assert logistic.derivatives_along([[1]], [[1]], [[0]])[0].shape == (1,)


def test_a_device_reduces_rows_and_multiplies_nothing(monkeypatch):
    """Products in float64 are slow there, and need a wide copy."""
    strict = pytest.importorskip("array_api_strict")
    monkeypatch.delattr(type(strict.ones(1)), "__matmul__")
    A = strict.asarray(np.arange(6, dtype=np.float32).reshape(3, 2))
    (sums,) = logistic.row_sums(A)
    assert sums.dtype == strict.float64
    np.testing.assert_array_equal(to_host(sums), [6.0, 9.0])
