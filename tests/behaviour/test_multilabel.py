"""Rows with any number of labels: each column as if alone, and figures under their right names."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multiclass import OneVsRestClassifier

import gpulr
from gpulr.backend import to_host
from gpulr.core.targets import LabelTargets
from helpers import assert_close, assert_optimal, stacked

EXACT = {"tol": 1e-9, "dtype": "float64"}
FEW = {"max_iter": 5, "tol": 0}


@pytest.fixture
def tagged(rng):
    """X (240, 6) float64 and four overlapping labels, one of them rare; rows with none, and all."""
    X = rng.normal(size=(240, 6))
    noise = rng.normal(size=(240, 4))
    Y = (X @ rng.normal(size=(6, 4)) + noise > [0.0, 1.0, -1.0, 3.5]).astype(np.uint8)
    assert {0, 4} <= set(Y.sum(axis=1))
    return X, Y


@pytest.mark.parametrize("C", [1.0, [0.01, 1.0, 100.0, 10.0]], ids=str)
def test_each_column_reaches_scikit_learns_optimum(put, tagged, C):
    X, Y = tagged
    model = gpulr.train(put(X), put(Y), C=C, **EXACT)
    assert model.converged
    assert model.multilabel
    assert model.classes.tolist() == [0, 1, 2, 3]
    assert_optimal(X, Y, stacked(model), C, tol=1e-9)


def test_predictions_are_those_of_one_vs_rest(tagged):
    X, Y = tagged
    theirs = OneVsRestClassifier(LogisticRegression(tol=1e-10, max_iter=1000)).fit(X, Y)
    model = gpulr.train(X, Y, **EXACT)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), atol=1e-6)
    np.testing.assert_array_equal(model.predict(X), theirs.predict(X))
    assert model.score(X, Y) == theirs.score(X, Y)


@pytest.mark.parametrize(
    ("solver", "batched"), [("lbfgs", True), ("lbfgs", False), ("nesterov", True), ("gd", False)]
)
def test_every_solver(tagged, solver, batched):
    X, Y = tagged
    model = gpulr.train(X, Y, solver=solver, batched=batched, max_iter=5000)
    assert model.converged
    expected = gpulr.train(X, Y, **EXACT)
    np.testing.assert_allclose(model.predict_proba(X), expected.predict_proba(X), atol=0.02)


FORMS = {
    "bool": lambda Y: Y.astype(bool),
    "int64": lambda Y: Y.astype(np.int64),
    "float32": lambda Y: Y.astype(np.float32),
    "objects": lambda Y: Y.astype(object),
    "list": lambda Y: Y.tolist(),
    "Fortran": np.asfortranarray,
    "csr": sparse.csr_array,
    "csc matrix": sparse.csc_matrix,
    "coo bool": lambda Y: sparse.coo_array(Y.astype(bool)),
    "lil float": lambda Y: sparse.lil_array(Y.astype(float)),
}


@pytest.mark.parametrize("form", FORMS)
def test_indicators_of_every_form(tagged, form):
    X, Y = tagged
    expected = gpulr.train(X, Y, **FEW)
    given = FORMS[form](Y)
    model = gpulr.train(X, given, **FEW)
    np.testing.assert_array_equal(model.weights, expected.weights)
    assert model.evaluate(X, given).micro_f1 == expected.evaluate(X, Y).micro_f1


@pytest.mark.parametrize("form", ["csr", "host", "uint8", "int8", "float32", "bool"])
def test_rows_on_a_device_and_labels_anywhere(put, tagged, form):
    X, Y = tagged
    here = put(X)
    given = {"csr": sparse.csr_array(Y), "host": Y}.get(form)
    if given is None:
        given = put(Y.astype(form))
        if form != "bool":
            with pytest.raises(gpulr.DataError, match="expected 0 and 1 only"):
                gpulr.train(here, given * 2)
    model, expected = gpulr.train(here, given, **FEW), gpulr.train(X, Y, **FEW)
    assert_close(model.weights, expected.weights, like=here, dtype="float32", atol=1e-5)
    predicted = model.predict(here)
    assert type(predicted) is type(here)
    np.testing.assert_array_equal(to_host(predicted), expected.predict(X))
    assert model.evaluate(here, given).subset_accuracy == expected.score(X, Y)


def test_sparse_rows_and_labels_which_are_not_modified(tagged):
    X, Y = tagged
    both = gpulr.train(sparse.csr_array(X), sparse.csr_array(Y), **FEW)
    np.testing.assert_allclose(both.weights, gpulr.train(X, Y, **FEW).weights, atol=1e-5)
    doubled = sparse.csr_array(Y)
    doubled.indices[: doubled.indptr[1]] = doubled.indices[: doubled.indptr[1]][::-1].copy()
    before = doubled.indices.copy()
    doubled.has_sorted_indices = doubled.has_canonical_format = False
    gpulr.train(X, doubled, **FEW)
    np.testing.assert_array_equal(doubled.indices, before)
    Y.flags.writeable = False
    gpulr.train(X, Y, **FEW)


def test_columns_of_a_frame_name_the_labels(tagged):
    pandas = pytest.importorskip("pandas")
    X, Y = tagged
    names = ["red", "green", "blue", "Ærø"]
    frame = pandas.DataFrame(Y, columns=names)
    model = gpulr.train(pandas.DataFrame(X), frame, **FEW)
    assert model.classes.tolist() == names
    np.testing.assert_array_equal(model.weights, gpulr.train(X, Y, **FEW).weights)
    assert model.score(X, frame) == model.score(X, Y)
    with pytest.raises(gpulr.DataError, match=r"columns \['green', 'red'.*in that order"):
        model.evaluate(X, frame[["green", "red", "blue", "Ærø"]])
    with pytest.raises(gpulr.DataError, match="several columns of one name"):
        gpulr.train(X, pandas.DataFrame(Y, columns=list("abca")))
    nullable = pandas.DataFrame({7: pandas.array([1, 0] * 120, "Int64"), 9: [True, False] * 120})
    assert gpulr.train(X, nullable, **FEW).classes.tolist() == [7, 9]
    one = gpulr.train(X, frame[["red"]], **FEW)
    assert not one.multilabel
    assert one.classes.tolist() == [0, 1]


def test_one_column_is_two_classes_and_two_are_two_models(tagged):
    X, Y = tagged
    for column in (Y[:, :1], sparse.csr_array(Y[:, :1])):
        model = gpulr.train(X, column, **FEW)
        assert not model.multilabel
        assert model.n_models == 1
        np.testing.assert_array_equal(model.weights, gpulr.train(X, Y[:, 0], **FEW).weights)
    model = gpulr.train(X, Y[:, :2], **FEW)
    assert model.n_models == 2
    assert model.predict(X).shape == (240, 2)
    np.testing.assert_allclose(model.weights, gpulr.train(X, Y, **FEW).weights[:, :2], atol=1e-6)


@pytest.mark.parametrize("tol", [1e-4, 1e-9])
def test_a_label_of_no_row_or_of_every_row_is_learnt_as_a_constant(put, tagged, tol):
    X, Y = tagged
    Y = Y.copy()
    Y[:, 1], Y[:, 2] = 0, 1
    model = gpulr.train(put(X), Y, tol=tol, dtype="float64")
    assert model.converged
    P, predicted = to_host(model.predict_proba(put(X))), to_host(model.predict(put(X)))
    assert np.all(predicted[:, 1] == 0)
    assert np.all(predicted[:, 2] == 1)
    assert P[:, 1].mean() < 2 * tol
    assert 1 - P[:, 2].mean() < 2 * tol
    assert_optimal(X, Y[:, [0, 3]], stacked(model)[:, [0, 3]], 1.0, tol=tol)


def test_sample_weights(put, tagged, rng):
    X, Y = tagged
    s = rng.exponential(size=240) * (rng.random(240) < 0.8)
    model = gpulr.train(put(X), put(Y), sample_weight=put(s), **EXACT)
    assert_optimal(X, Y, stacked(model), 1.0, tol=1e-9, s=s)
    with pytest.raises(gpulr.DataError, match="All rows have weight 0"):
        gpulr.train(X, Y, sample_weight=np.zeros(240))
    with pytest.raises(gpulr.DataError, match=r"sample_weight has shape \(3,\)"):
        gpulr.train(X, Y, sample_weight=[1, 2, 3])
    with pytest.raises(gpulr.ParameterError, match="one class; rows of an indicator matrix"):
        gpulr.train(X, Y, class_weight={7: 1.0})
    with pytest.raises(gpulr.ParameterError, match=r"pos_weight=2\.5 for models"):
        gpulr.train(X, Y, class_weight={0: 2.0, 1: 5.0})


def cells(Y):
    """The indices and row starts of a sparse matrix that stores every cell of Y."""
    n, k = Y.shape
    return np.tile(np.arange(k), n), np.arange(0, n * k + 1, k)


BAD = {
    "two": (lambda Y: 2 * Y, r"holds \[2\]; expected 0 and 1 only"),
    "minus one": (lambda Y: 2.0 * Y - 1, r"holds \[-1.0\]"),
    "infinite": (lambda Y: np.where(Y, np.inf, 0), r"holds \[inf\]"),
    "shares": (lambda Y: Y / 2, r"holds \[0.5\]"),
    "sparse two": (lambda Y: 2 * sparse.csr_array(Y), r"holds \[2\]"),
    "sparse nan": (lambda Y: np.nan * sparse.csr_array(Y), r"holds \[nan\]"),
    "complex": (lambda Y: Y + 0j, "dtype complex128; expected zeros and ones"),
    "sparse complex": (lambda Y: sparse.csr_array(Y + 0j), "dtype complex128"),
    "text": (lambda Y: Y.astype(str), r"dtype <U\d+; .*MultiLabelBinarizer"),
    "names": (lambda Y: [["a", "b"]] * 240, r"dtype <U\d+; .*MultiLabelBinarizer"),
    "objects": (lambda Y: np.where(Y, "a", None), "dtype object"),
    "sparse objects": (
        lambda Y: sparse.csr_array((Y.ravel().astype(object), *cells(Y)), shape=Y.shape),
        "y is a matrix of dtype object; expected zeros and ones",
    ),
    "too few": (lambda Y: Y[:-1], r"shape \(239, 4\); expected \(240, n_labels\)"),
    "transposed": (lambda Y: Y.T, r"shape \(4, 240\); expected \(240, n_labels\)"),
    "masked": (lambda Y: np.ma.masked_equal(Y, 1), "masked array"),
    "lists": (lambda Y: [[0], [0, 1]] * 120, "cannot be made into an array.*MultiLabelBinarizer"),
}


@pytest.mark.parametrize("case", BAD)
def test_matrices_that_are_no_indicators(tagged, case):
    X, Y = tagged
    broken, message = BAD[case]
    with pytest.raises(gpulr.DataError, match=f"(?s){message}"):
        gpulr.train(X, broken(Y))


def test_probabilities_are_each_labels_own(put, tagged):
    X, Y = tagged
    model = gpulr.train(put(X), put(Y), dtype="float64")
    Z = to_host(model.decision_function(put(X)))
    np.testing.assert_allclose(to_host(model.predict_proba(put(X))), expit(Z), rtol=1e-12)
    np.testing.assert_array_equal(to_host(model.predict(put(X))), Z > 0)
    with pytest.raises(gpulr.ParameterError, match="do not exclude each other"):
        model.predict_proba(put(X), normalize=True)
    assert "4 models of 6 features for 4 labels, converged" in repr(model)


def test_figures_are_scikit_learns(put, tagged):
    X, Y = tagged
    Y = Y.copy()
    Y[:, 3] = 0  # neither there nor predicted: F1 is 0 by convention
    model = gpulr.train(put(X), put(Y))
    with pytest.warns(gpulr.UndefinedScoreWarning, match="label 3"):
        result = model.evaluate(put(X), put(Y))
    predicted = to_host(model.predict(put(X)))
    pairs = list(zip(Y.T, predicted.T, strict=True))
    f1 = [f1_score(*pair, zero_division=0) for pair in pairs]
    expected = {
        "subset_accuracy": accuracy_score(Y, predicted),
        "label_accuracy": [accuracy_score(*pair) for pair in pairs],
        "mean_label_accuracy": np.mean(predicted == Y),
        "label_f1": f1,
        "macro_f1": np.mean(f1),
        "micro_f1": f1_score(Y.ravel(), predicted.ravel()),
        "positives": Y.sum(axis=0),
        "predicted_positives": predicted.sum(axis=0),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(result, name), value, err_msg=name)
    assert model.score(put(X), put(Y)) == result.subset_accuracy
    assert result.label_f1[3] == 0
    assert result.labels is model.classes


def test_labels_that_cannot_be_evaluated(tagged):
    X, Y = tagged
    model = gpulr.train(X, Y, **FEW)
    for wrong, message in (
        (Y[:, 0], r"shape \(240,\); expected \(240, 4\)"),
        (Y[:, :2], r"shape \(240, 2\); expected \(240, 4\)"),
        (Y[:5], r"shape \(5, 4\); expected \(240, 4\)"),
        (Y * 3, r"holds \[3\]"),
    ):
        with pytest.raises(gpulr.DataError, match=message):
            model.evaluate(X, wrong)
    single = gpulr.train(X, Y[:, 0], **FEW)
    with pytest.raises(gpulr.DataError, match="expected one label per row"):
        single.evaluate(X, Y)


def test_sparse_targets_make_only_the_columns_in_training(rng, monkeypatch):
    Y = sparse.random_array(
        (50, 1000), density=0.01, random_state=rng, format="csr", dtype=np.float64
    )
    Y.data[:] = 1
    label = np.array([3, 700])
    targets = LabelTargets(Y, label, gpulr.backend.backend_of(label), np.dtype(np.float32))
    made = []
    toarray = sparse.csr_array.toarray
    monkeypatch.setattr(
        sparse.csr_array, "toarray", lambda part: made.append(part.shape) or toarray(part)
    )
    block = targets.block(slice(10, 30))
    assert made == [(20, 2)]
    assert block.dtype == np.float32
    np.testing.assert_array_equal(block, toarray(Y)[10:30][:, label])
