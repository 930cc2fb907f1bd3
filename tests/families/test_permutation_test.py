"""permutation_test(): scores of permuted labels are those of searches on these, and the p-value."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, permutation_test_score

import gpulr
from gpulr.families.permutation_test import Orders, PermutationTest
from gpulr.families.seeds import seeds_of

EXACT = {"dtype": "float64", "tol": 1e-7}


def orders_of(n_samples, n, seed=0, groups=None):
    orders = Orders(n_samples, seeds_of(seed, n), groups)
    return [orders.of(i) for i in range(n + 1)]


def searched(X, y, cv, **how):
    """The mean score of a search's only C."""
    return gpulr.search(X, y, Cs=[1.0], cv=cv, refit=False, **how).mean_scores[0]


@pytest.mark.covering(2)
@pytest.mark.parametrize("kind", ["two", "three", "labels"])
@pytest.mark.parametrize("scoring", ["accuracy", "neg_log_loss"])
def test_each_permutation_is_a_cross_validation_of_its_own(put, rng, kind, scoring):
    X = rng.normal(size=(120, 4))
    Y = (X @ rng.normal(size=(4, 3)) + rng.normal(size=(120, 3)) > 0).astype(np.int64)
    y = {"two": Y[:, 0], "three": np.array(["a", "b", "c"])[Y[:, 0] + Y[:, 1]], "labels": Y}[kind]
    found = gpulr.permutation_test(put(X), y, n=3, cv=4, scoring=scoring, **EXACT)
    own, *permuted = (
        searched(X, y[order], 4, scoring=scoring, **EXACT) for order in orders_of(120, 3)
    )
    assert found.score == pytest.approx(own, abs=1e-6)
    np.testing.assert_allclose(found.scores, permuted, atol=1e-6)
    assert found.scoring == scoring


@pytest.mark.parametrize("fold_kind", ["number", "splitter", "pairs", "generator"])
def test_permutations_are_split_by_every_kind_of_cv(blobs, fold_kind):
    X, y = blobs
    kfold = KFold(3, shuffle=True, random_state=0)
    pairs = list(kfold.split(X))
    cv = {"number": 3, "splitter": kfold, "pairs": pairs, "generator": iter(pairs)}[fold_kind]
    found = gpulr.permutation_test(X, y, n=2, cv=cv, **EXACT)
    again = 3 if fold_kind == "number" else pairs
    expected = [searched(X, y[order], again, **EXACT) for order in orders_of(90, 2)]
    np.testing.assert_allclose([found.score, *found.scores], expected)


def test_weights_go_with_rows_and_those_of_classes_with_labels(rng, blobs):
    X, y = blobs
    X, weight = X + rng.normal(size=X.shape), rng.uniform(0.2, 3.0, 90)
    how = {"sample_weight": weight, "class_weight": {1: 5.0, 2: 0.3}, **EXACT}
    found = gpulr.permutation_test(X, y, n=3, cv=3, scoring="neg_log_loss", **how)
    expected = [
        searched(X, y[order], 3, scoring="neg_log_loss", **how) for order in orders_of(90, 3)
    ]
    np.testing.assert_allclose([found.score, *found.scores], expected, atol=1e-6)


@pytest.mark.parametrize(
    "how", [{"class_weight": "balanced"}, {"pos_weight": [0.2, 1.0, 5.0]}, {"C": [0.1, 1.0, 10.0]}]
)
def test_what_models_have_of_their_own_they_have_in_every_permutation(rng, blobs, how):
    X, y = blobs
    X, y = X[:75] + rng.normal(size=(75, 4)), y[:75]
    found = gpulr.permutation_test(X, y, n=2, cv=3, scoring="neg_log_loss", **how, **EXACT)
    for score, order in zip([found.score, *found.scores], orders_of(75, 2), strict=True):
        Z = gpulr.cross_val_predict(X, y[order], cv=3, method="predict_proba", **how, **EXACT)
        each = np.log(Z[np.arange(75), y[order]])
        folds = StratifiedKFold(3).split(X, y[order])
        assert score == pytest.approx(np.mean([each[test].mean() for _, test in folds]), abs=1e-6)


def test_groups_keep_labels_and_rows_together(blobs):
    X, y = blobs
    groups = np.tile(np.repeat(["a", "b", "c"], 10), 3)
    for order in orders_of(90, 3, groups=groups):
        assert groups[order].tolist() == groups.tolist()
        assert sorted(order) == list(range(90))
    found = gpulr.permutation_test(X, y, n=2, cv=GroupKFold(3), groups=groups, **EXACT)
    pairs = list(GroupKFold(3).split(X, y, groups))
    expected = [searched(X, y[order], pairs, **EXACT) for order in orders_of(90, 2, groups=groups)]
    np.testing.assert_allclose([found.score, *found.scores], expected)


def test_groups_of_permutations_make_no_difference(blobs, monkeypatch):
    how = {"n": 5, "cv": 3, **EXACT}
    whole = gpulr.permutation_test(*blobs, **how)
    monkeypatch.setattr("gpulr.families.permutation_test.WORKING_BYTES", 1)
    apart = gpulr.permutation_test(*blobs, **how)
    assert whole.score == apart.score
    np.testing.assert_allclose(whole.scores, apart.scores)
    more = gpulr.permutation_test(*blobs, **how | {"n": 7})
    np.testing.assert_allclose(more.scores[:5], whole.scores)
    other = gpulr.permutation_test(*blobs, **how, random_state=1)
    assert (other.scores != whole.scores).any()


def test_chance_and_knowledge_are_told_apart_as_scikit_learn_tells_them(rng):
    X = rng.normal(size=(100, 3))
    y = rng.integers(0, 2, 100)
    known = gpulr.permutation_test(X + 2.0 * y[:, np.newaxis], y, n=39)
    assert known.p_value == 1 / 40
    nothing = gpulr.permutation_test(X, y, n=39)
    _, theirs, p_value = permutation_test_score(
        LogisticRegression(solver="newton-cholesky"), X, y, n_permutations=39, random_state=0
    )
    assert abs(nothing.scores.mean() - theirs.mean()) < 4 * theirs.std() / np.sqrt(39)
    assert abs(nothing.p_value - p_value) < 0.3


def test_the_p_value_counts_equal_scores_and_the_labels_own():
    found = PermutationTest(0.75, np.array([0.5, 0.75, 0.8, 0.2]), "accuracy")
    assert found.p_value == 3 / 5
    words = "<PermutationTest: accuracy 0.7500, as good in 2 of 4 permutations, p = 0.6>"
    assert repr(found) == words


@pytest.mark.parametrize(("groups_done", "known"), [(0, None), (2, 1)])
def test_an_interrupt_keeps_the_permutations_that_are_done(blobs, monkeypatch, groups_done, known):
    monkeypatch.setattr("gpulr.families.permutation_test.WORKING_BYTES", 1)
    begun = []

    def end(progress):
        begun.append(progress.iteration == 0)
        if sum(begun) > groups_done:
            raise KeyboardInterrupt

    whole = gpulr.permutation_test(*blobs, n=4, cv=3)
    with pytest.raises(gpulr.TrainingInterrupted, match="of 4 permutations") as told:
        gpulr.permutation_test(*blobs, n=4, cv=3, callbacks=[end])
    if known is None:
        assert told.value.result is None
        return
    assert told.value.result.score == whole.score
    assert told.value.result.scores.tolist() == whole.scores[:known].tolist()


def test_every_permutation_needs_rows_with_weight_to_be_scored_on(rng):
    X, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    weight = np.isin(np.arange(60) % 12, [0, 1]).astype(float)  # two rows of every fold
    with pytest.raises(gpulr.DataError, match=r"fold \d of permutation \d+ is scored on"):
        gpulr.permutation_test(X, y, cv=5, n=50, sample_weight=weight)


def test_a_label_that_scores_leave_out_is_told(rng):
    X, Y = rng.normal(size=(90, 3)), rng.integers(0, 2, (90, 2))
    Y[:, 1] = np.arange(90) % 30 == 0
    Y[60:, 1] = 0
    with pytest.warns(gpulr.UndefinedScoreWarning, match=r"1 model undefined \(\[1\]\)"):
        gpulr.permutation_test(X, Y, n=1, cv=3, scoring="roc_auc")


@pytest.mark.filterwarnings("error")  # of scikit-learn's: that stratified folds ignore groups
def test_groups_are_no_matter_of_stratified_folds(blobs):
    gpulr.permutation_test(*blobs, n=1, cv=3, groups=np.arange(90) // 45)


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"n": 0}, "n=0"), ({"scoring": "accuracies"}, "accuracies"), ({"random_state": "a"}, "'a'")],
)
def test_what_cannot_be_used_is_told(blobs, settings, words):
    with pytest.raises(gpulr.ParameterError, match=words):
        gpulr.permutation_test(*blobs, **settings)
    for groups in (np.zeros(3), np.zeros((90, 2))):
        with pytest.raises(gpulr.DataError, match="groups has shape"):
            gpulr.permutation_test(*blobs, groups=groups)
