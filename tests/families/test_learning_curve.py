"""learning_curve(): each size and fold is a training of its own, scored as scikit-learn scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.model_selection import learning_curve as of_scikit_learn
from sklearn.multiclass import OneVsRestClassifier

import gpulr
from gpulr.families.learning_curve import check_sizes
from gpulr.sources import Source

EXACT = {"dtype": "float64", "tol": 1e-9}
SIZES = [0.3, 0.6, 1.0]


def in_the_order_of(pairs, n, seed=0):
    """Folds whose training rows are in the order in which gpulr takes them."""
    order = np.random.default_rng(seed).permutation(n)
    counts = [np.bincount(train, minlength=n)[order] for train, _ in pairs]
    return [(np.repeat(order, c), test) for c, (_, test) in zip(counts, pairs, strict=True)]


@pytest.mark.covering
@pytest.mark.parametrize("kind", ["two", "three", "labels"])
def test_scores_are_scikit_learns_of_the_same_rows(put, rng, kind):
    X = rng.normal(size=(160, 4))
    Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(160, 3)) > 0).astype(np.int64)
    y = {"two": Y[:, 0], "three": Y[:, 0] + Y[:, 1], "labels": Y}[kind]
    pairs = list(KFold(4, shuffle=True, random_state=1).split(X))
    found = gpulr.learning_curve(put(X), y, train_sizes=SIZES, cv=pairs, C=0.5, **EXACT)
    model = OneVsRestClassifier(LogisticRegression(C=0.5, solver="newton-cholesky", tol=1e-9))
    sizes, train, test = of_scikit_learn(
        model, X, y, train_sizes=SIZES, cv=in_the_order_of(pairs, 160)
    )
    assert found.train_sizes.tolist() == sizes.tolist() == [36, 72, 120]
    np.testing.assert_allclose(found.train_scores, train, atol=1e-9)
    np.testing.assert_allclose(found.test_scores, test, atol=1e-9)


def test_weights_and_repeated_rows_count(rng, blobs):
    X, y = blobs
    y, weight = np.minimum(y, 1), rng.uniform(0.5, 3.0, 90)
    pairs = [(rng.integers(0, 60, 70), np.arange(60, 90)), (np.arange(0, 90, 2), np.arange(1, 9))]
    how = {"sample_weight": weight, "class_weight": {1: 2.0}, "C": 0.1}
    found = gpulr.learning_curve(X, y, train_sizes=[20, 45], cv=pairs, **how, **EXACT)
    for f, (train, test) in enumerate(in_the_order_of(pairs, 90)):
        for i, size in enumerate([20, 45]):
            rows, s = train[:size], weight * np.array([1.0, 2.0])[y]
            one = LogisticRegression(C=0.1, tol=1e-7, max_iter=1000)
            one.fit(X[rows], y[rows], s[rows])
            for scores, on in ((found.train_scores, rows), (found.test_scores, test)):
                expected = accuracy_score(y[on], one.predict(X[on]), sample_weight=weight[on])
                assert scores[i, f] == pytest.approx(expected)


def test_a_class_without_rows_is_never_predicted(blobs):
    X, y = blobs
    order = np.argsort(y == 2, kind="stable")  # its rows are the last
    X, y = X[order], y[order]
    pairs = [(np.arange(0, 90, 2), np.arange(1, 90, 2))]
    with pytest.warns(gpulr.FoldWarning, match=r"Folds of train_sizes \[2\] train on"):
        found = gpulr.learning_curve(X, y, train_sizes=[2, 45], cv=pairs)
    few = in_the_order_of(pairs, 90)[0][0][:2]
    assert set(y[few]) < {0, 1, 2}
    assert found.test_scores[0, 0] <= np.mean(np.isin(y[1::2], y[few]))
    assert np.isfinite(found.train_scores).all()


def test_the_order_of_rows_is_that_of_the_random_state(rng, blobs):
    blobs = blobs[0] + 2.0 * rng.normal(size=(90, 4)), blobs[1]
    how = {"train_sizes": [20], "cv": 3}
    first, again = (gpulr.learning_curve(*blobs, **how).test_scores for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = gpulr.learning_curve(*blobs, **how, random_state=np.random.default_rng(5))
    assert (first != other.test_scores).any()
    with pytest.raises(gpulr.ParameterError, match="random_state='no'"):
        gpulr.learning_curve(*blobs, random_state="no")


@pytest.mark.parametrize(
    ("asked", "sizes"),
    [([1.0, 0.1], [12, 120]), ([120, 1, 1], [1, 120]), (np.float32([0.001, 0.5]), [1, 60])],
)
def test_sizes_are_numbers_of_rows_or_shares(asked, sizes):
    assert check_sizes(asked, 120).tolist() == sizes


@pytest.mark.parametrize(
    "sizes", [[], 0.5, [0], [121], [0.0], [1.5], [np.nan], [True], ["a"], [-1]]
)
def test_sizes_that_there_are_not_are_told(sizes):
    with pytest.raises(gpulr.ParameterError, match="whole numbers from 1 to 120"):
        check_sizes(sizes, 120)


def test_what_cannot_be_scored_or_trained_is_told(blobs):
    X, y = blobs
    with pytest.raises(gpulr.ParameterError, match="accuracies"):
        gpulr.learning_curve(X, y, scoring="accuracies")
    weight = np.zeros(90)
    weight[::15] = 1.0
    words = r"Fold 0, with 1 row, trains on no row that says anything of \[0, 1, 2\] and has a"
    with pytest.raises(gpulr.DataError, match=words):
        gpulr.learning_curve(X, y, train_sizes=[1], cv=2, sample_weight=weight)


def test_training_rows_that_lack_a_class_have_no_roc_curve(blobs):
    X, y = blobs
    how = {"train_sizes": [2, 50], "cv": 3, "scoring": "roc_auc_ovr"}
    with pytest.warns(gpulr.FoldWarning), pytest.warns(gpulr.UndefinedScoreWarning, match="3 of 6"):
        found = gpulr.learning_curve(X, y, **how)
    assert np.isnan(found.train_scores).all(axis=1).tolist() == [True, False]
    assert np.isfinite([*found.test_scores, found.train_scores[1]]).all()


def test_labels_that_scores_leave_out_are_told_once(rng):
    X, Y = rng.normal(size=(90, 3)), rng.integers(0, 2, (90, 2))
    Y[:, 1] = np.arange(90) == 40
    how = {"train_sizes": [10, 60], "cv": 3, "scoring": "roc_auc"}
    with pytest.warns(gpulr.GpulrWarning) as told:
        gpulr.learning_curve(X, Y, **how)
    (folds, scores) = (str(warning.message) for warning in told)
    assert "Folds of train_sizes [10, 60] train" in folds
    assert "undefined ([1]): the mean over labels" in scores


@pytest.mark.parametrize("kind", [KeyboardInterrupt, StopIteration])
@pytest.mark.parametrize("sizes_done", [0, 1])
def test_an_interrupt_keeps_the_sizes_that_are_done(blobs, kind, sizes_done):
    begun = []

    def end(progress):
        begun.append(progress.iteration == 0)
        if sum(begun) > sizes_done:
            raise kind

    how = {"train_sizes": [0.5, 1.0], "cv": 3}
    with pytest.raises(gpulr.TrainingInterrupted, match=f"{sizes_done} of 2 sizes") as told:
        gpulr.learning_curve(*blobs, **how, callbacks=[end])
    if not sizes_done:
        assert told.value.result is None
        return
    whole = gpulr.learning_curve(*blobs, **how)
    assert told.value.result.train_sizes.tolist() == whole.train_sizes[:1].tolist()
    np.testing.assert_array_equal(told.value.result.test_scores, whole.test_scores[:1])


@pytest.mark.parametrize("few", [0.0, 1.0])
def test_passes_over_few_rows_lead_to_the_same(put, rng, blobs, monkeypatch, few):
    X, y = blobs
    how = {"train_sizes": [30, 60], "cv": 3, "scoring": "neg_log_loss", "C": [0.1, 1.0, 9.0]}
    how |= {"sample_weight": rng.uniform(0.5, 2.0, 90), "class_weight": "balanced", **EXACT}
    expected = gpulr.learning_curve(put(X), y, **how)
    monkeypatch.setattr("gpulr.families.learning_curve.FEW", few)
    found = gpulr.learning_curve(put(X), y, **how)
    np.testing.assert_allclose(found.test_scores, expected.test_scores, atol=1e-6)
    np.testing.assert_allclose(found.train_scores, expected.train_scores, atol=1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "columns first", "CSR"])
def test_many_of_few_rows_are_gathered_in_each_pass(rng, blobs, monkeypatch, as_if_large, kind):
    X, y = blobs
    X = np.abs(X * 20).astype(kind if hasattr(np, kind) else "float64")
    X = {"columns first": np.asfortranarray, "CSR": csr_array}.get(kind, np.asarray)(X)
    how = {"train_sizes": [0.3, 0.9], "cv": 3, "scoring": "neg_log_loss", "dtype": "float64"}
    copied = gpulr.learning_curve(X, y, **how)
    monkeypatch.setattr("gpulr.backend.cpu.COPIED", 0)
    read: list[int] = []
    of_source = Source.read

    def counted(self, start, stop):
        read.append(stop - start)
        return of_source(self, start, stop)

    monkeypatch.setattr(Source, "read", counted)
    gathered = gpulr.learning_curve(X, y, **how)
    np.testing.assert_allclose(gathered.test_scores, copied.test_scores, rtol=1e-7)
    np.testing.assert_allclose(gathered.train_scores, copied.train_scores, rtol=1e-7)
    assert len(read) > 5


def test_the_table_has_means_and_standard_errors(blobs):
    curve = gpulr.learning_curve(*blobs, train_sizes=[20, 40], cv=3)
    assert curve.table.dtype.names == (
        *("train_size", "train", "train_standard_error", "test", "test_standard_error"),
    )
    assert curve.table["train_size"].tolist() == [20, 40]
    np.testing.assert_allclose(curve.table["test"], curve.test_scores.mean(axis=1))
    errors = curve.test_scores.std(axis=1, ddof=1) / np.sqrt(3)
    np.testing.assert_allclose(curve.table["test_standard_error"], errors)
    assert curve.to_frame()["train"].tolist() == curve.table["train"].tolist()
    assert repr(curve).startswith("<LearningCurve: 2 sizes on 3 folds, held-out accuracy 0.")


def test_the_folds_are_those_of_a_search(digits):
    curve = gpulr.learning_curve(*digits[:2], train_sizes=[1.0])
    found = gpulr.search(*digits[:2], Cs=[1.0], refit=False)
    np.testing.assert_allclose(curve.test_scores[0], found.scores[:, 0], atol=0.01)
    assert curve.train_sizes[0] == len(next(iter(StratifiedKFold(5).split(*digits[:2])))[0])
