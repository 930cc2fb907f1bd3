"""search(per_model=True): each model's C is chosen by its own scores; all are refitted at once."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold

import gpulr
from gpulr.backend import to_host
from gpulr.families.search_result import choose, choose_each
from helpers import assert_optimal, stacked, targets

CS = [10.0, 0.01, 1.0]


@pytest.fixture
def uneven(rng):
    """Four labels of 240 rows, each as noisy as the one before and half."""
    X = rng.normal(size=(240, 12))
    noise = rng.normal(size=(240, 4)) * [0.0, 0.5, 3.0, 9.0]
    return X, ((X @ rng.normal(size=(12, 4)) + noise) > 1.0).astype(np.int64)


def by_itself(found, score, truth, pairs):
    """Scores of each model, (n_folds, n_Cs, n_models), by a function of scikit-learn's."""
    expected = np.zeros(found.model_scores.shape)
    for f, (_, test) in enumerate(pairs):
        for c in range(len(found.Cs)):
            theta = to_host(found.paths)[f, c]
            Z = truth.X[test] @ theta[:, :-1].T + theta[:, -1]
            for j in range(Z.shape[1]):
                expected[f, c, j] = score(truth.Y[test, j], Z[:, j])
    return expected


class Truth:
    def __init__(self, X, Y):
        self.X, self.Y = X, Y


@pytest.mark.covering(2)
@pytest.mark.parametrize("kind", ["classes", "two", "labels"])
@pytest.mark.parametrize("scoring", ["average_precision", "balanced_accuracy"])
def test_each_model_has_the_C_of_its_own_scores(put, blobs, uneven, rng, kind, scoring):
    X, y = blobs if kind != "labels" else uneven
    if kind != "labels":
        X = X + 2.0 * rng.normal(size=X.shape)
        y = np.minimum(y, 1) if kind == "two" else y
    if (kind, scoring) == ("labels", "balanced_accuracy"):
        scoring = "f1"
    Y = y if kind == "labels" else targets(y).astype(np.int64)
    if kind == "classes" and scoring == "average_precision":
        scoring = "average_precision_macro"
    how = {"Cs": CS, "cv": 3, "dtype": "float64", "tol": 1e-7, "scoring": scoring}
    found = gpulr.search(put(X), y, **how, per_model=True, keep_paths=True)
    k = Y.shape[1]
    assert found.model_scores.shape == (3, 3, k)
    assert found.paths.shape == (3, 3, k, X.shape[1] + 1)
    np.testing.assert_allclose(found.scores, found.model_scores.mean(axis=2))
    for j in range(k):
        best, one_se = choose(found.model_scores[:, :, j], found.Cs)
        assert (found.best_C[j], found.best_C_1se[j]) == (best, one_se)
    strata = np.zeros(len(y)) if kind == "labels" else y
    pairs = list(StratifiedKFold(3).split(X, strata))
    function = {
        "a": average_precision_score,
        "b": lambda t, z: balanced_accuracy_score(t, z > 0),
    }.get(scoring[0])
    if function:
        expected = by_itself(found, function, Truth(X, Y), pairs)
        np.testing.assert_allclose(found.model_scores, expected, atol=1e-9)
    # All are refitted at once, each with its own.
    assert found.model.settings["C"] == found.best_C.tolist()
    assert found.model.converged
    assert_optimal(X, Y.astype(np.float64), stacked(found.model), found.best_C, tol=1.01e-7)
    plain = gpulr.search(put(X), y, **how, refit=False)
    assert isinstance(plain.best_C, float)
    assert plain.model_scores is plain.paths is None


@pytest.mark.parametrize("refit", ["1se", "mean"])
def test_other_ways_to_refit(uneven, refit):
    X, Y = uneven
    how = {"Cs": CS, "cv": 4, "dtype": "float64", "tol": 1e-7, "scoring": "neg_log_loss"}
    found = gpulr.search(X, Y, **how, per_model=True, keep_paths=True, refit=refit)
    assert len(np.unique(found.best_C)) > 1
    C = np.array(found.model.settings["C"])
    if refit == "1se":
        assert C.tolist() == found.best_C_1se.tolist()
        assert (found.best_C >= C).all()
        return
    best = np.argmax(found.model_scores[:, [1, 2, 0]], axis=1)  # the smallest C first
    chosen = np.array([0.01, 1.0, 10.0])[best]
    np.testing.assert_allclose(C, chosen.mean(axis=0))
    index = np.array([1, 2, 0])[best]
    theta = np.mean([found.paths[f, index[f], np.arange(4)] for f in range(4)], axis=0)
    np.testing.assert_allclose(stacked(found.model), theta.T, atol=1e-9)


def test_each_choice_is_that_of_the_model_alone(uneven):
    X, Y = uneven
    how = {"Cs": CS, "cv": 3, "scoring": "roc_auc", "dtype": "float64", "tol": 1e-7}
    found = gpulr.search(X, Y, **how, per_model=True, refit=False)
    for j in range(4):
        cv = list(StratifiedKFold(3).split(X, np.zeros(len(X))))
        alone = gpulr.search(X, Y[:, j], **how | {"cv": cv}, refit=False)
        np.testing.assert_allclose(alone.scores, found.model_scores[:, :, j], atol=1e-6)
        assert alone.best_C == found.best_C[j]


def test_a_score_that_is_undefined_in_a_fold_is_left_out_and_told(uneven):
    X, Y = uneven
    Y[:, 1], Y[:, 3] = 0, 0
    Y[:110:5, 1] = 1  # the last fold has none of these
    Y[::12, 3] = 1
    how = {"Cs": CS, "cv": 3, "scoring": "roc_auc", "per_model": True}
    with pytest.warns(gpulr.UndefinedScoreWarning, match=r"1 model undefined \(\[1\]\)") as told:
        found = gpulr.search(X, Y, **how, keep_paths=True)
    assert len(told) == 1
    undefined = np.isnan(found.model_scores).any(axis=1)
    assert undefined.tolist() == [[False] * 4, [False] * 4, [False, True, False, False]]
    assert found.best_C[1] == choose(found.model_scores[:2, :, 1], found.Cs)[0]
    np.testing.assert_allclose(found.scores, np.nanmean(found.model_scores, axis=2))
    with pytest.warns(gpulr.UndefinedScoreWarning):
        mean = gpulr.search(X, Y, **how, refit="mean")
    own = [choose(found.model_scores[f : f + 1, :, 1], found.Cs)[0] for f in (0, 1)]
    assert mean.model.settings["C"][1] == pytest.approx(np.mean([*own, found.best_C[1]]))


def test_a_model_without_any_score_goes_by_the_others():
    scores = np.array([[[0.5, np.nan], [0.9, np.nan]], [[0.6, np.nan], [0.7, 0.2]]])
    best, one_se = choose_each(scores, np.array([1.0, 2.0]))
    assert best.tolist() == [
        2.0,
        choose(np.array([[0.5, 0.9], [0.6, 0.45]]), np.array([1.0, 2.0]))[0],
    ]
    assert one_se[0] == choose(scores[:, :, 0], np.array([1.0, 2.0]))[1]


@pytest.mark.parametrize("name", ["per_model", "keep_paths"])
def test_switches_are_checked(blobs, name):
    with pytest.raises(gpulr.ParameterError, match=f"{name}='yes'"):
        gpulr.search(*blobs, **{name: "yes"})


def test_an_interrupted_search_keeps_what_is_done(blobs):
    def end(progress):
        if progress.C > 0.01:
            raise StopIteration

    how = {"Cs": CS, "cv": 3, "per_model": True, "keep_paths": True}
    with pytest.raises(gpulr.SearchInterrupted) as told:
        gpulr.search(*blobs, **how, callbacks=[end])
    found = told.value.search
    assert found.Cs.tolist() == [0.01]
    assert found.best_C.tolist() == [0.01] * 3
    assert found.paths.shape == (3, 1, 3, 5)


def test_what_it_says_of_itself(uneven, tmp_path):
    X, Y = uneven
    found = gpulr.search(X, Y, Cs=CS, cv=3, per_model=True, scoring="neg_log_loss")
    low, high = f"{found.best_C.min():g}", f"{found.best_C.max():g}"
    assert f"best C of each model {low} to {high}, within" in repr(found)
    assert found.table["mean"].tolist() == found.mean_scores.tolist()
    words = [text.get_text() for text in found.plot().get_legend().get_texts()]
    for C, n in zip(*np.unique(found.best_C, return_counts=True), strict=True):
        assert f"C = {C:.3g} (best of {n} model{'s' if n > 1 else ''})" in words
