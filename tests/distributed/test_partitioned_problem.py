"""Problems whose rows lie in parts are those of all rows, to the tolerance and to rounding."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest
from scipy import sparse

from gpulr.solvers import LBFGS, GradientDescent, Nesterov, groups_of, minimize, minimize_in_groups
from gpulr.solvers.gradient_descent import largest_eigenvalue
from gpulr.sources import Source
from parted import Parted

SMALL = LBFGS(sample=400)  # so that there are more than twice as many rows


def classes(rng, n=1500, n_features=8, n_classes=4):
    X = rng.normal(size=(n, n_features)).astype(np.float32)
    return X, np.argmax(X[:, :n_classes] + rng.normal(size=(n, n_classes)), axis=1)


def labels(rng, n=1500):
    X, _ = classes(rng, n)
    Y = (X[:, :3] + rng.normal(size=(n, 3)) > [0.0, 1.0, 2.0]).astype(np.uint8)
    return X, Y


def unknown_labels(rng):
    X, Y = labels(rng)
    Y[::7, 1] = 2
    return X, Y


def uneven_scales(rng):
    X, y = classes(rng)
    return X * np.float32(2.0) ** np.array([0, 12, -14, 0, 3, 0, 0, 0], np.float32), y


def sparse_rows(rng):
    X = sparse.random_array((1500, 40), density=0.2, random_state=rng, format="csr")
    return X.astype(np.float32), rng.integers(0, 3, 1500)


def text(rng):
    X = sparse.random_array((1500, 2000), density=5e-3, random_state=rng, format="csr")
    return X.astype(np.float32), rng.integers(0, 3, 1500)


def sparse_labels(rng):
    X, Y = labels(rng)
    return X, sparse.csr_array(Y)


def pixels(rng):
    X, y = classes(rng)
    return np.clip(100 * X + 100, 0, 255).astype(np.uint8), y


def sorted_classes(rng):
    X, y = classes(rng)
    return X[np.argsort(y)], np.sort(y)


def offset(rng):
    X, y = classes(rng)
    return X + np.float32(300.0), y


EDGES = [1, 400, 420, 1300]  # uneven parts, of which one has a single row


def random_weights(rng):
    return rng.uniform(0.0, 2.0, 1500) * (rng.random(1500) > 0.2)


CASES = {
    "classes": (classes, {}, {}),
    "weights": (classes, {"weight": random_weights}, {}),
    "pos_weight": (classes, {}, {"pos_weight": np.array([1.0, 2.0, 5.0, 0.5])}),
    "balanced": (classes, {"weight": random_weights}, {"balanced": True}),
    "labels": (labels, {}, {}),
    "sparse labels": (sparse_labels, {}, {}),
    "unknown labels": (unknown_labels, {}, {"unknown": True, "balanced": True}),
    "sparse": (sparse_rows, {}, {}),
    "standardised sparse": (sparse_rows, {"weight": random_weights, "standardize": True}, {}),
    "text": (text, {"weight": random_weights}, {}),
    "standardised": (offset, {"standardize": True}, {}),
    "bytes": (pixels, {"standardize": True}, {}),
    "equilibrated": (uneven_scales, {"largest_C": 1500.0}, {}),
    "no intercept": (classes, {}, {"intercept": False}),
    "float64": (classes, {"dtype": np.float64}, {}),
    "a class in one part only": (sorted_classes, {}, {}),
}


def parted(case, rng, **more):
    make, data, how = CASES[case]
    data = {name: v(rng) if name == "weight" else v for name, v in data.items()}
    return Parted(*make(rng), EDGES, **data, **more), how


@pytest.mark.parametrize("case", CASES)
def test_sums_over_parts_are_those_over_all_rows(rng, case):
    data, how = parted(case, rng)
    whole, parts = data.problems(2.0, **how)
    assert parts.n_models == whole.n_models
    np.testing.assert_allclose(parts.m, whole.m, rtol=1e-12)
    np.testing.assert_allclose(parts.mass, whole.mass, rtol=1e-12)
    np.testing.assert_allclose(parts.C, whole.C, rtol=1e-12)
    size = np.sqrt(np.maximum(np.vstack([whole.rows.reach, [[1.0]]]), 1e-3))
    theta, other = (0.1 * rng.normal(size=whole.start().shape) / size for _ in range(2))
    if not whole.intercept:
        theta[-1] = other[-1] = 0.0
    close = {"rtol": 2e-5, "atol": 2e-6}
    for one in (lambda p: p.evaluate(theta), lambda p: p.evaluate_margins(p.margins(theta), theta)):
        for found, expected in zip(one(parts), one(whole), strict=True):
            np.testing.assert_allclose(found, expected, **close)
    t = np.linspace(0.5, 2.0, whole.n_models)
    flags = np.arange(whole.n_models) % 2 == 0
    keep = np.array([whole.n_models - 1, 0])
    for one in (
        lambda p: p.derivatives_along(p.margins(theta), p.margins(other), 1.0),
        lambda p: p.evaluate_margins(
            p.margins(theta).along(p.margins(other), t), theta + t * other
        ),
        lambda p: p.evaluate_margins(p.margins(theta).where(flags, p.margins(other)), theta),
        lambda p: p.select(keep).evaluate_margins(p.margins(theta).take(keep), theta[:, keep]),
        lambda p: (p.gram_product(theta),),
        lambda p: p.class_counts(),
        lambda p: p.answer_sums(),
        lambda p: p.exact_gradient(theta, True),
        lambda p: p.select(keep).exact_gradient(theta[:, keep], False)[:1],
    ):
        for found, expected in zip(one(parts), one(whole), strict=True):
            size = np.abs(expected).max()
            np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6 * size)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("solver", [SMALL, Nesterov()], ids=["lbfgs", "nesterov"])
def test_models_are_those_of_all_rows(rng, case, solver):
    data, how = parted(case, rng)
    whole, parts = data.problems(1.0, **how)
    tol, most = (1e-5, 500) if solver is SMALL else (0.0, 10)
    a, b = (minimize(solver, p, max_iter=most, tol=tol) for p in (whole, parts))
    assert a.result == b.result
    np.testing.assert_allclose(b.cost[-1], a.cost[-1], rtol=1e-6)
    np.testing.assert_allclose(b.theta, a.theta, rtol=1e-3, atol=2e-3 * np.abs(a.theta).max())


def test_gradient_descent_takes_the_same_steps(rng):
    data, how = parted("pos_weight", rng)
    whole, parts = data.problems(1.0, **how)
    np.testing.assert_allclose(largest_eigenvalue(parts), largest_eigenvalue(whole), rtol=1e-6)
    a, b = (minimize(GradientDescent(), p, max_iter=30, tol=0.0) for p in (whole, parts))
    np.testing.assert_allclose(b.theta, a.theta, rtol=1e-5, atol=1e-6)


def test_without_a_penalty(rng):
    data, _ = parted("classes", rng)
    whole, parts = data.problems(np.inf)
    a, b = (minimize(SMALL, p, max_iter=500, tol=1e-6) for p in (whole, parts))
    assert a.converged.all()
    assert b.converged.all()
    np.testing.assert_allclose(b.theta, a.theta, rtol=1e-3, atol=1e-3)


def test_many_features_are_sketched_from_the_sample(rng):
    X = rng.normal(size=(2500, 1100)).astype(np.float32)
    y = (X[:, :5].sum(axis=1) + rng.normal(size=2500) > 0).astype(int)
    whole, parts = Parted(X, y, [1000, 1200]).problems(1e-2)
    a, b = (minimize(LBFGS(sample=1000), p, max_iter=200, tol=1e-4) for p in (whole, parts))
    assert b.converged.all()
    np.testing.assert_allclose(b.cost[-1], a.cost[-1], rtol=1e-5)


def test_few_rows_are_the_sample(rng):
    data, _ = parted("weights", rng)
    whole, parts = data.problems(1.0)
    a, b = (minimize(LBFGS(), p, max_iter=100, tol=1e-5) for p in (whole, parts))
    assert b.converged.all()
    np.testing.assert_allclose(b.theta, a.theta, atol=1e-3)
    np.testing.assert_array_equal(parts.sample(parts.draw(12_000)).mass, whole.mass)


def test_the_sample_is_the_one_of_all_rows(rng):
    data, _ = parted("weights", rng)
    whole, parts = data.problems(1.0)
    of_whole, of_parts = (p.sample(p.draw(400)) for p in (whole, parts))
    np.testing.assert_array_equal(of_parts.rows.X, of_whole.rows.X)
    np.testing.assert_array_equal(of_parts.targets.codes, of_whole.targets.codes)
    np.testing.assert_array_equal(of_parts.weights.base, of_whole.weights.base)
    np.testing.assert_allclose(of_parts.C, of_whole.C, rtol=1e-12)


def test_groups_of_columns(rng):
    data, _ = parted("classes", rng)
    _, parts = data.problems(1.0)
    assert len(groups_of(SMALL, parts)) == 1
    how = {"max_iter": 100, "tol": 1e-5}
    one = minimize_in_groups(SMALL, parts, [np.arange(4)], **how)
    two = minimize_in_groups(SMALL, parts, [np.array([0, 2]), np.array([1, 3])], **how)
    np.testing.assert_allclose(two.theta, one.theta, atol=1e-3)


def test_rows_go_with_the_last_problem(rng):
    data, _ = parted("weights", rng)
    _, parts = data.problems(1.0)
    minimize(SMALL, parts, max_iter=3, tol=0.0)
    engine = weakref.ref(data.engine)
    gc.disable()  # none of them is part of a circle
    try:
        del data, parts
        assert engine() is None
    finally:
        gc.enable()


class Reads:
    """What a source reads by, which can be pickled."""

    def __init__(self, X):
        self.X = X

    def __call__(self, start, stop):
        return self.X[start:stop]


def test_parts_may_hold_rows_that_are_read(rng):
    X, y = classes(rng)
    _, arrays = Parted(X, y, EDGES).problems(1.0)
    data = Parted(
        X,
        y,
        EDGES,
        source=lambda X: Source(Reads(X), X.shape, X.dtype),
        loses=lambda trip, part: trip % 5 == part,
    )
    a, b = (minimize(SMALL, p, max_iter=9, tol=1e-5) for p in (arrays, data.problems(1.0)[1]))
    np.testing.assert_array_equal(b.theta, a.theta)
    assert data.engine.lost


def test_parts_are_as_large_as_their_rows(rng):
    for case, most in (("classes", 4), ("sparse", 3), ("bytes", 1)):
        data, _ = parted(case, rng)
        X = data.rows.X
        numbers = X.nnz * most if case == "sparse" else X.size * most
        sizes = sum(sys.getsizeof(part) for part in data.engine.parts)
        assert numbers <= sizes <= 3 * numbers + 1000


@pytest.mark.parametrize("case", [classes, sparse_rows])
def test_rows_come_home_in_messages_that_are_small(rng, monkeypatch, case):
    parts = Parted(*case(rng), EDGES).problems(1.0)[1].parts
    index = np.sort(rng.choice(1500, 400, replace=False))
    whole, engine = parts.take(index), parts.engine
    monkeypatch.setattr("gpulr.distributed.parts.MESSAGE_BYTES", 1000)
    parts._taken, trips = None, engine.counts.trips
    X, targets, _ = parts.take(index)
    assert engine.counts.trips > trips + 3
    dense = [rows.toarray() if sparse.issparse(rows) else rows for rows in (whole[0], X)]
    np.testing.assert_array_equal(*dense)
    np.testing.assert_array_equal(whole[1].codes, targets.codes)
