"""search() by scores of any name, beside scikit-learn's of out-of-fold margins."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

import gpulr
from gpulr.logistic import log_normalized

EXACT = {"dtype": "float64", "tol": 1e-8, "backend": "numpy"}


@pytest.fixture
def labelled(rng):
    """Rows, a matrix of labels, one class each, and weights."""
    X = rng.normal(size=(240, 6))
    Y = (X[:, :3] + rng.normal(size=(240, 3)) > [0, 1, -1]).astype(np.uint8)
    return X, Y, np.array(["a", "b", "c"])[Y[:, 0] + Y[:, 1]], rng.random(240)


OF_CLASSES = {
    "roc_auc_ovr": lambda y, Z, s: metrics.roc_auc_score(
        y, np.exp(log_normalized(Z)), multi_class="ovr", sample_weight=s
    ),
    "f1_macro": lambda y, Z, s: metrics.f1_score(
        y, Z.argmax(axis=1), average="macro", sample_weight=s
    ),
    "top_k_accuracy": lambda y, Z, s: metrics.top_k_accuracy_score(y, Z, k=2, sample_weight=s),
    "matthews_corrcoef": lambda y, Z, s: metrics.matthews_corrcoef(
        y, Z.argmax(axis=1), sample_weight=s
    ),
}
OF_LABELS = {
    "roc_auc": lambda Y, Z, s: metrics.roc_auc_score(Y, Z, sample_weight=s),
    "average_precision_micro": lambda Y, Z, s: metrics.average_precision_score(
        Y, Z, average="micro", sample_weight=s
    ),
    "f1": lambda Y, Z, s: metrics.f1_score(Y, Z > 0, average="macro", sample_weight=s),
    "jaccard_macro": lambda Y, Z, s: metrics.jaccard_score(
        Y, Z > 0, average="macro", sample_weight=s
    ),
}


@pytest.mark.parametrize("name", [*OF_CLASSES, *OF_LABELS])
def test_a_search_goes_by_scikit_learns_score(labelled, name):
    X, Y, y, weight = labelled
    halves = [(np.arange(120, 240), np.arange(120)), (np.arange(120), np.arange(120, 240))]
    truth, scores = (y, OF_CLASSES) if name in OF_CLASSES else (Y, OF_LABELS)
    how = {"cv": halves, "sample_weight": weight, **EXACT}
    found = gpulr.search(X, truth, Cs=[0.1, 10.0], scoring=name, refit=False, **how)
    for c, C in enumerate((0.1, 10.0)):
        Z = gpulr.cross_val_predict(X, truth, C=C, method="decision_function", **how)
        codes = Y if truth is Y else Y[:, 0] + Y[:, 1]
        expected = [scores[name](codes[test], Z[test], weight[test]) for _, test in halves]
        np.testing.assert_allclose(found.scores[:, c], expected, atol=1e-5)
    assert found.scoring == name


def test_labels_that_held_out_rows_lack_are_left_out_and_named_once(labelled):
    X, Y, _, _ = labelled
    Y[:80, 1], Y[80:90, 1] = 0, 1
    thirds = [(np.delete(np.arange(240), test), test) for test in np.arange(240).reshape(3, 80)]
    how = {"Cs": [0.1, 10.0], "cv": thirds, "scoring": "roc_auc", **EXACT}
    with pytest.warns(gpulr.UndefinedScoreWarning, match=r"1 model undefined \(\[1\]\).* others"):
        found = gpulr.search(X, Y, refit=False, **how)
    two = gpulr.search(X, Y[:, [0, 2]], refit=False, **how)
    np.testing.assert_allclose(found.scores[0], two.scores[0], atol=1e-4)
    gpulr.search(X, Y, refit=False, **{**how, "scoring": "neg_log_loss"})  # needs no positives


def test_a_fold_of_one_class_has_no_roc_curve(labelled):
    X = labelled[0]
    y = np.arange(240) >= 60
    cv = [(np.arange(30, 240), np.arange(30)), (np.arange(200), np.arange(200, 240))]
    with pytest.raises(gpulr.DataError, match="roc_auc is undefined on 30 held-out rows"):
        gpulr.search(X, y, Cs=[1.0], cv=cv, scoring="roc_auc", backend="numpy")


def test_the_estimator_takes_names_and_scorers(labelled):
    X, Y, y, _ = labelled
    scorer = metrics.make_scorer(metrics.fbeta_score, beta=2, average="macro")
    for scoring in ("f1_macro", scorer, metrics.get_scorer("roc_auc_ovr")):
        model = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1, 10.0], cv=3, scoring=scoring).fit(X, y)
        assert 0.2 < model.scores_.min() <= model.scores_.max() < 1
    model = gpulr.OneVsAllLogisticRegressionCV(Cs=[0.1], cv=3, scoring="roc_auc").fit(X, Y)
    assert model.search_.scoring == "roc_auc"
    with pytest.raises(ValueError, match="did you mean f1_macro"):
        gpulr.OneVsAllLogisticRegressionCV(scoring="f1_macr").fit(X, y)
