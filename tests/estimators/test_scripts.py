"""What scripts of other libraries do with a logistic regression: celltypist's, and cleanlab's.

Neither is installed: the steps that concern the estimator are written out, as of celltypist 1.6
(``train``, ``classifier.Classifier.celltype``, ``models.Model``) and cleanlab 2.7
(``count.compute_confident_joint``, ``filter.find_label_issues``).
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler

from gpulr import OneVsAllLogisticRegression

TYPES = np.array(["B cell", "NK cell", "T cell", "monocyte"])
GENES = np.array([f"gene {i}" for i in range(30)])


@pytest.fixture(params=[4, 2])
def cells(request, rng):
    """Expression (200, 30) of cells of two or four types."""
    y = rng.integers(0, request.param, 200)
    X = rng.normal(size=(4, 30))[y] + rng.normal(size=(200, 30)) + 2.0
    return X, TYPES[y]


# ---- celltypist: a pickled classifier, whose attributes are cut to the genes that a query has ----


def trained(classifier, X, y):
    """Return a model as celltypist.train does, from its file."""
    scaler = StandardScaler().fit(X)
    classifier.fit(scaler.transform(X), y)
    classifier.features = GENES
    return pickle.loads(pickle.dumps({"Model": classifier, "Scaler_": scaler}))


def annotated(model, X, genes, p_thres=0.5):
    """Do what celltypist.annotate does with its model: (margins, probabilities, best, several)."""
    classifier, scaler = model["Model"], model["Scaler_"]
    here = np.isin(genes, classifier.features)
    of_model = {gene: i for i, gene in enumerate(classifier.features)}
    places = np.array([of_model[gene] for gene in genes[here]])
    rows = (X[:, here] - scaler.mean_[places]) / scaler.scale_[places]
    rows[rows > 10] = 10
    kept = classifier.n_features_in_, classifier.features, classifier.coef_
    classifier.n_features_in_ = places.size
    classifier.features = np.array(classifier.features)[places]
    classifier.coef_ = classifier.coef_[:, places]
    scores = classifier.decision_function(rows)
    if len(classifier.classes_) == 2:
        scores = np.column_stack([-scores, scores])
    probabilities = expit(scores)
    best = classifier.classes_[scores.argmax(axis=1)]
    several = np.array(
        ["|".join(classifier.classes_[row]) or "Unassigned" for row in probabilities > p_thres]
    )
    assert np.array_equal(best, classifier.predict(rows))
    classifier.n_features_in_, classifier.features, classifier.coef_ = kept
    return scores, probabilities, best, several


def test_celltypists_annotation(cells, rng):
    X, y = cells
    settings = {"C": 0.5, "max_iter": 1000, "tol": 1e-8}
    ours = trained(OneVsAllLogisticRegression(multi_class="ovr", n_jobs=2, **settings), X, y)
    settings["solver"] = "newton-cholesky"
    theirs = one_vs_rest(X, y, settings)
    query = np.append(rng.permutation(GENES)[:18], ["gene of another panel"] * 2)
    rows = rng.normal(size=(50, 20)) + 2.0
    before = ours["Model"].coef_.copy()
    for found, expected in zip(
        annotated(ours, rows, query), annotated(theirs, rows, query), strict=True
    ):
        if found.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, atol=1e-4)
        else:
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(ours["Model"].coef_, before)
    assert ours["Model"].model_.history.converged.all()  # it is the trained one again
    # What they do to attributes is what a selection does.
    if len(ours["Model"].classes_) > 2:
        model, columns = ours["Model"].model_, [3, 1, 4]
        rows = rng.normal(size=(50, 3))
        ours["Model"].coef_, ours["Model"].n_features_in_ = before[:, columns], 3
        np.testing.assert_allclose(
            ours["Model"].decision_function(rows),
            model.select(features=columns).decision_function(rows),
            rtol=1e-12,
        )


def one_vs_rest(X, y, settings):
    """Return what celltypist trained while scikit-learn still had multi_class="ovr"."""
    scaler = StandardScaler().fit(X)
    rows = scaler.transform(X)
    classifier = LogisticRegression(**settings).fit(rows, y)
    if len(classifier.classes_) > 2:
        each = OneVsRestClassifier(LogisticRegression(**settings)).fit(rows, y).estimators_
        ours = OneVsAllLogisticRegression()  # it is told of their coefficients alone
        ours.coef_ = np.concatenate([one.coef_ for one in each])
        ours.intercept_ = np.concatenate([one.intercept_ for one in each])
        ours.classes_, ours.n_features_in_ = classifier.classes_, 30
        classifier = ours
    classifier.features = GENES
    return {"Model": classifier, "Scaler_": scaler}


# ---- cleanlab: rows whose label is likely wrong, by probabilities from models without them -------


def label_issues(labels, P):
    """Return the rows off the diagonal of the confident joint, the likeliest errors first."""
    classes = np.arange(P.shape[1])
    thresholds = np.array([P[labels == k, k].mean() for k in classes])
    confident = thresholds - 1e-6 <= P
    likely = np.where(confident, P, -1.0).argmax(axis=1)
    issues = np.flatnonzero(confident.any(axis=1) & (likely != labels))
    return issues[np.argsort(P[issues, labels[issues]])]


@pytest.fixture
def noisy(rng):
    """X (300, 12), labels 0 to 2 of which 15 are wrong, and which ones."""
    y = rng.integers(0, 3, 300)
    X = 2.5 * np.eye(3, 12)[y] + rng.normal(size=(300, 12)) * 0.6
    wrong = rng.choice(300, 15, replace=False)
    labels = y.copy()
    labels[wrong] = (y[wrong] + rng.integers(1, 3, 15)) % 3
    return X, labels, wrong


def out_of_fold(classifier, X, y):
    P = cross_val_predict(classifier, X, y, cv=5, method="predict_proba")
    assert np.isfinite(P).all()
    return P


def test_cleanlabs_label_issues(noisy):
    X, labels, wrong = noisy
    P = out_of_fold(OneVsAllLogisticRegression(tol=1e-8), X, labels)
    np.testing.assert_allclose(P.sum(axis=1), 1.0, rtol=1e-6)  # cleanlab insists on it
    theirs = OneVsRestClassifier(LogisticRegression(solver="newton-cholesky", tol=1e-8))
    np.testing.assert_allclose(P, out_of_fold(theirs, X, labels), atol=1e-4)
    issues = label_issues(labels, P)
    assert set(issues[:12]) <= set(wrong)
    assert len(set(wrong) - set(issues)) <= 4


def test_cleanlabs_issues_of_several_labels(noisy):
    """Of a matrix it looks at each label by itself, as one of two classes."""
    X, labels, wrong = noisy
    Y = np.eye(3, dtype=int)[labels]
    P = out_of_fold(OneVsAllLogisticRegression(), X, Y)
    assert P.shape == (300, 3)
    found = set()
    for k in range(3):
        issues = label_issues(Y[:, k], np.column_stack([1.0 - P[:, k], P[:, k]]))
        assert set(issues[:3]) <= set(wrong)
        found.update(issues)
    assert len(set(wrong) - found) <= 4
