"""Products of sparse rows feature by feature: what those by blocks of rows are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from gpulr.backend import backend_of
from gpulr.core import rows as core_rows
from helpers import make_problem


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("centred", [False, True])
def test_gradients_are_the_same(monkeypatch, rng, dtype, weighted, centred):
    X = sparse.random_array((90, 70), density=0.1, random_state=rng, format="csr") * 3.0
    settings = {"scale": rng.uniform(0.5, 2.0, 70), "center": rng.normal(size=70)}
    s = rng.exponential(size=90) if weighted else None
    problem = make_problem(
        np.asarray, X, np.arange(90) % 3, dtype=dtype, weights=s, **(settings if centred else {})
    )
    theta = rng.normal(size=(71, problem.n_models))
    found = problem.evaluate_margins(problem.margins(theta), theta)
    assert problem.rows.by_feature is not None
    monkeypatch.setattr(core_rows, "ENTRIES", 0)
    plain = replace(problem, rows=replace(problem.rows))
    assert plain.rows.by_feature is None
    expected = plain.evaluate_margins(plain.margins(theta), theta)
    rtol = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(found.gradient, expected.gradient, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(found.cost, expected.cost, rtol=rtol)


@pytest.mark.parametrize(("density", "few"), [(0.04, True), (0.5, False)])
def test_only_where_features_have_few_entries(rng, density, few):
    X = sparse.random_array((1000, 20), density=density, random_state=rng, format="csr")
    backend = backend_of(None)
    assert (core_rows.Rows(X, 1.0, None, backend, np.float32).by_feature is not None) == few
    assert core_rows.Rows(X.toarray(), 1.0, None, backend, np.float32).by_feature is None


def test_bits_do_not_depend_on_other_columns(rng):
    X = sparse.random_array((400, 3000), density=0.01, random_state=rng, format="csr")
    rows = core_rows.Rows(X.astype(np.float32), 1.0, None, backend_of(None), np.float32)
    R = rng.standard_normal((400, 40)).astype(np.float32)
    every = rows.products_by_feature(R)
    np.testing.assert_allclose(every, X.astype(np.float32).T @ np.float64(R), atol=1e-5)
    for columns in (slice(3, 4), slice(0, 17)):
        found = rows.products_by_feature(np.ascontiguousarray(R[:, columns]))
        np.testing.assert_array_equal(found, every[:, columns])
