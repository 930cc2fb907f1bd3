"""Labels of a matrix that are not known for some rows: each column on the rows that it knows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

import gpulr
from gpulr.backend import to_host
from gpulr.errors import FoldWarning
from gpulr.families.reading import read_inputs
from gpulr.solvers import SOLVERS
from helpers import assert_optimal, stacked

EXACT = {"tol": 1e-9, "dtype": "float64"}


@pytest.fixture
def gaps(rng):
    """X (240, 6) float64 and Y (240, 4) of 0, 1 and NaN, a fifth to nearly all of a column."""
    X = rng.normal(size=(240, 6))
    Y = (X @ rng.normal(size=(6, 4)) + rng.normal(size=(240, 4)) > [0.0, 1.0, -1.0, 0.0]) * 1.0
    Y[rng.random((240, 4)) < [0.0, 0.2, 0.5, 0.9]] = np.nan
    return X, Y


def known(Y, s=1.0):
    """0 and 1, and the weight of each entry."""
    return np.nan_to_num(Y), np.where(np.isnan(Y), 0.0, np.reshape(s, (-1, 1)))


@pytest.mark.parametrize("solver", SOLVERS)
def test_each_column_reaches_scikit_learns_optimum_of_its_rows(put, gaps, solver):
    X, Y = gaps
    model = gpulr.train(put(X), put(Y), solver=solver, tol=1e-6, max_iter=5000, dtype="float64")
    assert model.converged
    filled, s = known(Y)
    assert_optimal(X, filled, stacked(model), 1.0, tol=1e-6, s=s)
    assert model.data["n_unknown"] == np.isnan(Y).sum()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("n", [240, 30_000])
def test_many_rows_and_sparse_ones_with_weights(gaps, rng, dtype, sparse, n):
    X, Y = (np.resize(part, (n, part.shape[1])) for part in gaps)
    X = np.where(X > 0.5, X + rng.random(X.shape), 0.0) if sparse else X + rng.random(X.shape)
    s = rng.exponential(size=n) * (rng.random(n) < 0.8)
    tol, rounding = (1e-8, 1e-12) if dtype == "float64" else (1e-5, 1e-7)
    rows = csr_array(X) if sparse else X
    model = gpulr.train(rows, Y, sample_weight=s, tol=tol, dtype=dtype)
    filled, entries = known(Y, s)
    assert_optimal(X, filled, stacked(model), 1.0, tol=tol, s=entries, rounding=rounding)


def test_models_do_not_depend_on_labels_beside_them(put, gaps):
    X, Y = gaps
    model = gpulr.train(put(X), put(Y), class_weight="balanced", **EXACT)
    for j in (1, 3):
        rows = ~np.isnan(Y[:, j])
        alone = gpulr.train(put(X[rows]), Y[rows, j], class_weight="balanced", **EXACT)
        np.testing.assert_allclose(stacked(alone)[:, 0], stacked(model)[:, j], atol=1e-6)


def test_values_that_are_missing_in_whatever_form(gaps):
    X, Y = gaps
    expected = gpulr.train(X, Y, **EXACT).weights
    forms = [
        Y.astype(np.float16),
        np.where(np.isnan(Y), None, Y),
        np.where(np.isnan(Y), None, Y > 0),
    ]
    forms += [[[None if v != v else int(v) for v in row] for row in Y.tolist()]]
    for form in forms:
        np.testing.assert_array_equal(gpulr.train(X, form, **EXACT).weights, expected)
    indicator = read_inputs(X, Y, None).labels.indicator
    assert indicator.dtype == np.uint8
    np.testing.assert_array_equal(indicator, np.where(np.isnan(Y), 2, Y))


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_missing_values_of_tables(gaps, library):
    module = pytest.importorskip(library)
    X, Y = gaps
    lists = {f"l{j}": [None if v != v else int(v) for v in Y[:, j].tolist()] for j in range(4)}
    flags = {name: [None if v is None else v > 0 for v in column] for name, column in lists.items()}
    if library == "pandas":
        tables = [module.DataFrame(lists, dtype=kind) for kind in ("Int64", "float64", "object")]
        tables += [module.DataFrame(flags, dtype=kind) for kind in ("boolean", "object")]
    else:
        make = module.DataFrame if library == "polars" else module.table
        tables = [make(lists), make(flags)]
    expected = gpulr.train(X, Y, **EXACT)
    for table in tables:
        model = gpulr.train(X, table, **EXACT)
        np.testing.assert_array_equal(model.weights, expected.weights)
        assert model.classes.tolist() == list(lists)


def test_folds_and_replicates_of_what_is_known(put, gaps):
    X, Y = gaps[0], gaps[1][:, :3]
    found = gpulr.search(put(X), put(Y), Cs=[0.1], cv=3, scoring="neg_log_loss", **EXACT)
    assert found.converged.all()
    filled, s = known(Y)
    assert_optimal(X, filled, stacked(found.model), 0.1, tol=1e-9, s=s)
    result = gpulr.bootstrap(put(X), put(Y), n=3, random_state=1, class_weight="balanced", **EXACT)
    for r, seed in enumerate(np.random.default_rng(1).bit_generator.seed_seq.spawn(3)):
        counts = np.random.default_rng(seed).poisson(1.0, 240)
        for j in range(3):
            rows = (counts > 0) & ~np.isnan(Y[:, j])
            model = gpulr.train(
                X[rows], Y[rows, j], sample_weight=counts[rows], class_weight="balanced", **EXACT
            )
            np.testing.assert_allclose(
                to_host(result.coef)[r][:, j], model.weights[:, 0], rtol=1e-5, atol=1e-6
            )


def test_folds_that_know_little_of_a_label(gaps):
    X, Y = gaps[0], gaps[1].copy()
    Y[:, 3] = np.nan
    Y[[0, 100, 200], 3] = [1, 0, 1]
    pairs = [(np.arange(0, 150), np.arange(150, 240)), (np.arange(150, 240), np.arange(0, 150))]
    found = {"Cs": [1.0], "scoring": "neg_log_loss"}
    with pytest.warns(FoldWarning, match=r"1 fold of 2 .* 1 label: \[3\]"):
        gpulr.search(X, Y, cv=pairs, **found)
    with pytest.raises(gpulr.DataError, match=r"Fold 1 trains on no row .* of \[3\]"):
        gpulr.search(X, Y, cv=[pairs[0], (np.arange(201, 240), np.arange(10))], **found)
    s = np.ones(240)
    s[200] = 0
    with pytest.raises(gpulr.DataError, match="Fold 1 trains on no row"):
        gpulr.search(X, Y, cv=pairs, sample_weight=s, **found)


def test_what_says_nothing_of_a_label_is_refused(put, gaps):
    X, Y = gaps
    none = Y.copy()
    none[:, [1, 2]] = np.nan
    with pytest.raises(gpulr.DataError, match=r"nothing of \[1, 2\]: .* missing values throughout"):
        gpulr.train(put(X), put(none))
    with pytest.raises(gpulr.DataError, match=r"nothing of \[3\]: .* rows have weight 0"):
        gpulr.train(put(X), put(Y), sample_weight=np.isnan(Y[:, 3]) * 1.0)
    with pytest.raises(gpulr.DataError, match="y holds NaN"):
        gpulr.train(X, Y[:, 1])
    with pytest.raises(gpulr.DataError, match=r"holds \[2.0"):
        gpulr.train(X, np.where(np.isnan(Y), 2.0, Y))


def test_other_families_take_what_is_known(gaps):
    X, Y = gaps[0], gaps[1][:, :3]
    out = gpulr.cross_val_predict(X, Y, cv=2, method="decision_function", pos_weight=2.0, **EXACT)
    train = np.arange(120, 240)[~np.isnan(Y[120:, 1])]
    model = gpulr.train(X[train], Y[train, 1], pos_weight=2.0, **EXACT)
    np.testing.assert_allclose(out[:120, 1], model.decision_function(X[:120])[:, 0], atol=1e-6)


def test_sizes_that_know_nothing_of_a_label_are_refused(put, gaps):
    X, Y = gaps
    Y[:150, 2] = np.nan
    pairs = [(np.arange(200), np.arange(200, 240))]
    with pytest.raises(gpulr.DataError, match=r"trains on no row that says anything of \[2"):
        gpulr.learning_curve(put(X), put(Y), train_sizes=[1, 200], cv=pairs, random_state=0)
