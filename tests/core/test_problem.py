"""Cost and gradient of a stack of problems in one pass over row blocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit

from gpulr.backend import NumPyBackend, backend_of, threads, to_host
from helpers import assert_close, finite_differences, make_problem, reference, targets

KINDS = {
    "uint8": (0, 256, 1 / 255),
    "int64": (-50, 50, 0.1),
    "bool": (0, 2, 1.0),
    "float32": (-2, 3, 1.0),
    "float64": (-2, 3, 0.5),
}


def sample(rng, dtype, shape):
    low, high, scale = KINDS.get(dtype, (-2, 3, 1.0))
    if dtype.startswith("float"):
        return rng.uniform(low, high, shape).astype(dtype), scale
    return rng.integers(low, high, shape).astype(dtype), scale


def check_against_reference(put, X, y, *, C, scale, dtype, rng, n_classes=3):
    problem = make_problem(put, X, y, C=C, scale=scale, dtype=dtype, n_classes=n_classes)
    theta = rng.normal(size=(X.shape[1] + 1, problem.n_models))
    cost, gradient = problem.evaluate(put(theta))
    X = X * np.float64(scale)
    expected_cost, expected_gradient = reference(X, targets(y, n_classes), theta, C)
    # Each term is rounded in the compute dtype: the error is that of the largest terms.
    size = (1 + np.abs(X).max() * X.shape[1]) * np.abs(theta).max()
    here = {"like": problem.C, "dtype": "float64", "ulps": 0}
    here["atol"] = 8 * np.finfo(dtype).eps * size
    assert_close(cost, expected_cost, **here)
    assert_close(gradient, expected_gradient, **here)


@pytest.mark.parametrize("C", [0.1, np.inf, [0.5, 2.0, np.inf]], ids=["0.1", "inf", "each"])
@pytest.mark.parametrize("compute", ["float32", "float64"])
@pytest.mark.parametrize("dtype", KINDS)
def test_evaluate_against_reference(put, rng, dtype, compute, C):
    X, scale = sample(rng, dtype, (60, 5))
    check_against_reference(put, X, np.arange(60) % 3, C=C, scale=scale, dtype=compute, rng=rng)


@pytest.mark.parametrize("dtype", ["float16", ">f4", "int8", "uint16"])
def test_evaluate_of_numpys_other_dtypes(rng, dtype):
    X = rng.integers(-2 if np.dtype(dtype).kind != "u" else 0, 5, (60, 5)).astype(dtype)
    y = np.arange(60) % 3
    check_against_reference(np.asarray, X, y, C=1.0, scale=0.5, dtype="float32", rng=rng)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (7, 1), (2, 2), (33, 3), (257, 5)], ids=str)
@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("block_bytes", [1, 300, 2**20])
def test_any_shape_in_any_blocks(put, rng, monkeypatch, shape, n_classes, block_bytes):
    X, scale = sample(rng, "uint8", shape)
    y = rng.integers(0, n_classes, len(X))  # a class may have no rows, yet its column exists
    monkeypatch.setattr(type(backend_of(put(X))), "block_bytes", block_bytes)
    check_against_reference(
        put, X, y, C=1.0, scale=scale, dtype="float32", rng=rng, n_classes=n_classes
    )


@pytest.mark.parametrize("answer", [0, 1])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_sure_models_have_left_to_learn_is_exact(put, rng, dtype, answer):
    # No zeros: what the surest rows add, where a feature has nothing else, may be lost to rounding.
    X = rng.integers(1, 3, (50, 27)).astype(dtype)
    theta = np.full((28, 1), 1.0 if answer else -1.0)  # margins of about ±40, exact in float32
    problem = make_problem(put, X, np.full(50, answer), C=np.inf, n_classes=2)
    r = (0.5 - answer) * 2.0 * expit(-np.abs(X.astype(float).sum(axis=1) + 1.0))
    expected = np.append(r @ X, r.sum())[:, np.newaxis] / 50
    like = {"like": problem.C, "dtype": "float64", "ulps": 16 * 2**29}  # of float32
    assert_close(problem.evaluate(put(theta)).gradient, expected, **like)
    half = problem.evaluate_margins(problem.margins(put(theta)), put(theta))
    assert_close(half.gradient, expected, **like)


@pytest.mark.parametrize("C", [0.1, 1.0, np.inf])
def test_gradient_by_finite_differences(put, rng, C):
    X, scale = sample(rng, "uint8", (50, 4))
    problem = make_problem(put, X, np.arange(50) % 3, C=C, scale=scale, dtype="float64")
    theta = rng.normal(size=(5, 3))
    numerical = finite_differences(lambda t: to_host(problem.evaluate(put(t)).cost), theta)
    np.testing.assert_allclose(
        to_host(problem.evaluate(put(theta)).gradient), numerical, rtol=1e-6, atol=1e-8
    )


def test_row_blocks_cover_each_row_once(put):
    backend = backend_of(put([0.0]))
    for n, p, k in [(1, 1, 1), (5, 10**9, 1), (70_000, 784, 10), (3, 2, 10**7), (10**6, 50, 500)]:
        blocks = backend.row_blocks(n, p, k)
        assert blocks[0].start == 0
        assert blocks[-1].stop == n
        assert all(a.stop == b.start for a, b in pairwise(blocks))
        lengths = [block.stop - block.start for block in blocks]
        assert min(lengths) >= 1
        assert max(lengths) - min(lengths) <= 1
        assert max(lengths) == 1 or max(lengths) * 4 * (p + 6 * k) <= 1.1 * backend.block_bytes


def test_the_same_bits_from_run_to_run_and_for_any_number_of_threads(rng, monkeypatch):
    monkeypatch.setattr(NumPyBackend, "block_bytes", 20_000)
    X, scale = sample(rng, "uint8", (3000, 30))
    problem = make_problem(np.asarray, X, np.arange(3000) % 4, scale=scale)
    assert len(problem.rows.blocks(4)) > 8
    theta = rng.normal(size=(31, 4))
    # BLAS itself may round differently on another number of threads: here it always has one.
    with threads.one_blas_thread():
        results = []
        for n_threads in (1, 2, 2, 2, 5, 1):
            monkeypatch.setattr(threads, "thread_count", lambda n=n_threads: n)
            results.append(problem.evaluate(theta))
    for cost, gradient in results:
        np.testing.assert_array_equal(cost, results[0].cost)
        np.testing.assert_array_equal(gradient, results[0].gradient)


def test_a_column_does_not_depend_on_its_neighbours(put, rng):
    X, scale = sample(rng, "uint8", (80, 6))
    C = [0.1, 1.0, 10.0, np.inf]
    problem = make_problem(put, X, np.arange(80) % 4, C=C, scale=scale, dtype="float64")
    theta = rng.normal(size=(7, 4))
    together = [to_host(array) for array in problem.evaluate(put(theta))]
    for models in ([0], [2], [3, 1], [1, 2, 3]):
        part = problem.select(put(np.array(models)))
        assert part.n_models == len(models)
        alone = [to_host(array) for array in part.evaluate(put(theta[:, models]))]
        np.testing.assert_allclose(alone[0], together[0][models], rtol=1e-13)
        np.testing.assert_allclose(alone[1], together[1][:, models], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gram_product(put, rng, dtype):
    X, scale = sample(rng, "uint8", (90, 5))
    problem = make_problem(put, X, np.arange(90) % 3, scale=scale, dtype=dtype)
    V = rng.normal(size=(6, 2))
    X1 = np.hstack([X * scale, np.ones((90, 1))])
    expected = X1.T @ (X1 @ V) / 90
    atol = 8 * np.finfo(dtype).eps * np.abs(expected).max()
    product = problem.gram_product(put(V))
    assert_close(product, expected, like=problem.C, dtype="float64", ulps=0, atol=atol)


def test_start_is_zero_where_the_rows_are(put, rng):
    problem = make_problem(put, rng.normal(size=(9, 2)), np.arange(9) % 3)
    assert_close(problem.start(), np.zeros((3, 3)), like=problem.rows.X, dtype="float64")
    cost = to_host(problem.evaluate(problem.start()).cost)
    np.testing.assert_allclose(cost, np.log(2), rtol=1e-7)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
def test_rows_are_not_modified(put, rng, dtype):
    X, scale = sample(rng, dtype, (40, 4))
    before = X.copy()
    X.flags.writeable = False
    problem = make_problem(put, X, np.arange(40) % 2, scale=scale)
    problem.evaluate(put(rng.normal(size=(5, 1))))
    problem.gram_product(put(rng.normal(size=(5, 2))))
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(to_host(problem.rows.X), before)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_memory_mapped_rows(rng, tmp_path, dtype):
    X, scale = sample(rng, dtype, (40, 4))
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    theta = rng.normal(size=(5, 3))
    here = make_problem(np.asarray, X, np.arange(40) % 3, scale=scale).evaluate(theta)
    there = make_problem(np.asarray, mapped, np.arange(40) % 3, scale=scale).evaluate(theta)
    np.testing.assert_array_equal(here.gradient, there.gradient)
